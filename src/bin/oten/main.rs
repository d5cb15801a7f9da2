//! `oten`: the demo site with an emulated Oten, and the same site against a real one.
//!
//! It stands on the library's public API alone, as any site that mounts it does.

mod announce;
mod cli;
mod client_kind;
mod connections;
mod demo;
mod failure;
mod listen;
mod metrics;
mod serve;
mod session_key;
mod site;
mod stop;
mod trace;

use std::{error::Error, io::Write, process::ExitCode};

fn main() -> ExitCode {
    match cli::Cli::read().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Whoever closed stderr does not want to read it.
            let _ = writeln!(std::io::stderr(), "oten: {}", with_causes(&failure));
            ExitCode::FAILURE
        }
    }
}

/// An error and what caused it, in one line.
fn with_causes(error: &dyn Error) -> String {
    let cause = error.source().map(with_causes);
    cause.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}
