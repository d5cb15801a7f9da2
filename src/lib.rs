//! Sign in with Oten for axum.

mod clock;
pub mod config;
#[cfg(feature = "emulator")]
#[cfg_attr(docsrs, doc(cfg(feature = "emulator")))]
pub mod emulator;
pub mod jose;
mod secret;

pub use self::{clock::Clock, secret::Secret};
