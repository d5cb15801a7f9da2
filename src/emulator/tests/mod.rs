//! One test per refusal, through the routes an app would use.

mod browser;
mod deviations;
mod end_session;
mod faults;
mod holds;
mod kit;
mod logout_tokens;
mod refreshes;
mod requests;
mod revocation;
mod server;
mod tokens;
