//! The program `oten` as its operator meets it: what it says, what it serves, how it ends.

mod authorize_url;
mod check;
mod container;
mod emulator;
mod keygen;
mod metrics;
pub(crate) mod process;
mod register;
mod serve;
mod site;
mod start_up;
pub(crate) mod tls_emulator;
