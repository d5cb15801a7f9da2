//! The program `oten` as a child process: its output, its responses and its exit codes.

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
mod shutdown;
pub(crate) mod site;
mod start_up;
mod test_site;
pub(crate) mod tls_emulator;
