//! The promises, one file for each of their chapters. One binary: it links once.

// Here an `unwrap` is an assertion.
#![allow(clippy::unwrap_used)]

mod browser;
mod common;
mod layering;
mod program;
mod sign_in;
