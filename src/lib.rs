//! Sign in with Oten for axum.

mod clock;
pub mod config;
mod http;
pub mod jose;
pub mod protocol;
pub mod provider;
mod secret;

pub use self::{clock::Clock, secret::Secret};
