//! The promises, one file for each of their chapters. One binary: it links once.

// Here an `unwrap` is an assertion.
#![allow(clippy::unwrap_used)]
#![allow(unreachable_pub, missing_docs)]

mod apps;
mod bad_input;
mod browser;
mod common;
mod config_files;
mod cookies;
mod doctor;
mod events;
mod eyes;
mod guide;
mod keys;
mod layering;
mod lies;
mod logout;
mod manners;
mod program;
mod promises_kept;
mod provider;
mod refresh;
mod requests;
mod sealing;
mod secrets;
mod sign_in;
mod sign_out;
mod sizes;
mod stores;
mod tls;
