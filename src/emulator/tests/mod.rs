//! One test per refusal, through the routes an app would use.

mod browser;
mod end_session;
mod faults;
mod held;
mod kit;
mod lies;
mod logout_tokens;
mod refreshes;
mod requests;
mod revocation;
mod server;
mod tokens;
