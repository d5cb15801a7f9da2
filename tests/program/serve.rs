//! `oten serve`, configured from the environment alone, against an emulator on a port of its own.

use axum_oten::emulator::{EmulatedClient, Emulator};
