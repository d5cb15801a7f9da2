//! The program `oten` as its operator meets it: what it says, what it serves, how it ends.

mod authorize_url;
mod base_path;
mod check;
mod client_address;
mod container;
mod emulator;
mod health;
mod keygen;
mod limits;
mod metrics;
pub(crate) mod process;
mod register;
mod serve;
mod served;
mod shutdown;
mod site;
mod start_up;
pub(crate) mod tls_emulator;
