//! The promises, one file for each of their chapters. One binary: it links once.

// Here an `unwrap` is an assertion.
#![allow(clippy::unwrap_used)]
#![allow(unreachable_pub, missing_docs)]

mod browser;
mod common;
mod layering;
mod lies;
mod program;
mod promises_kept;
mod sign_in;
