//! The program `oten` as its operator meets it: what it says, what it serves, how it ends.

mod check;
mod container;
pub(crate) mod process;
mod serve;
mod site;
mod start_up;
