//! Sign in with Oten for axum.

mod clock;
pub mod config;
#[cfg(feature = "emulator")]
#[cfg_attr(docsrs, doc(cfg(feature = "emulator")))]
pub mod emulator;
mod error;
mod http;
pub mod jose;
pub mod protocol;
pub mod provider;
mod secret;
pub mod session;
pub mod store;
pub mod web;

pub use self::{clock::Clock, config::Config, secret::Secret, session::User, store::MemoryStore, web::{AccessToken, Oten, RedactedUri}};
