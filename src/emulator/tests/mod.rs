//! Tests through the routes that an app uses.

mod browser;
mod deviations;
mod end_session;
mod exchanges;
mod faults;
mod holds;
mod logout_tokens;
mod refreshes;
mod requests;
mod revocation;
mod server;
mod support;
mod tokens;
