//! The promises, one file for each of their chapters. One binary: it links once.

// Here an `unwrap` is an assertion.
#![allow(clippy::unwrap_used)]
#![allow(unreachable_pub, missing_docs)]

mod apps;
mod browser;
mod common;
mod layering;
mod program;
mod promises_kept;
mod requests;
mod sign_in;
mod sign_out;
