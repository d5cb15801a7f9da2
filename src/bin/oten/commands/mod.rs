//! The commands, each beside its arguments.

pub(crate) mod authorize_url;
pub(crate) mod check;
pub(crate) mod demo;
pub(crate) mod emulator;
pub(crate) mod health;
pub(crate) mod keygen;
pub(crate) mod register;
pub(crate) mod run;
pub(crate) mod serve;
pub(crate) mod sessions;
mod settings;
