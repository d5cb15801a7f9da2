//! The promises of the crate, each with at least one test; see the modules.

// A test that meets what it does not expect ends there; so do its helpers.
#![allow(clippy::unwrap_used)]

mod browser;
mod program;
