//! Sign in with Oten for axum.

mod clock;
pub mod config;
pub mod jose;
mod secret;

pub use self::{clock::Clock, secret::Secret};
