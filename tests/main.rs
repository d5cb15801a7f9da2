//! The promises of the crate, each with at least one test; see the modules.

mod browser;
mod program;
