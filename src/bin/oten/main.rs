//! `oten`: the demo site with an emulated Oten, the same site against a real one, and the operator's
//! commands.
//!
//! It stands on the library's public API alone, as any site that mounts it does.

mod announce;
mod authorize_url;
mod canonical_origin;
mod check;
mod cli;
mod client_kind;
mod connections;
mod demo;
mod emulator;
mod failure;
mod health;
mod keygen;
mod listen;
mod metrics;
mod output;
mod print;
mod register;
mod run;
mod serve;
mod session_key;
mod settings;
mod site;
mod stop;
#[cfg(test)]
mod temporary;
mod tls;
mod trace;
mod unregistered;
mod wait;
mod write_new;

use std::{error::Error, io::Write, process::ExitCode};

fn main() -> ExitCode {
    let cli = cli::Cli::read();
    let on_failure = cli.on_failure();
    match cli.run() {
        Ok(code) => code,
        Err(failure) => {
            // Whoever closed stderr does not want to read it.
            let _ = writeln!(std::io::stderr(), "oten: {}", with_causes(&failure));
            on_failure
        }
    }
}

/// An error and what caused it, in one line.
fn with_causes(error: &dyn Error) -> String {
    let cause = error.source().map(with_causes);
    cause.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}
