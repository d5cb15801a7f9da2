//! One test per refusal, through the routes an app would use.

mod browser;
mod faults;
mod kit;
mod lies;
mod requests;
mod server;
mod tokens;
