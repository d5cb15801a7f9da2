//! The program `oten` as its operator meets it: what it says, what it serves, how it ends.

mod base_path;
mod client_address;
mod health;
mod limits;
mod metrics;
pub(crate) mod process;
mod serve;
mod served;
mod shutdown;
mod site;
mod start_up;
