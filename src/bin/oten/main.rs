//! `oten`: the demo site with an emulated Oten, the same site against a real one, and what its
//! operator needs.
//!
//! It stands on the library's public API alone, as any site that mounts it does.

mod announce;
mod check;
mod cli;
mod client_kind;
mod demo;
mod failure;
mod health;
mod listen;
mod one_origin;
mod print;
mod run;
mod serve;
mod session_key;
mod settings;
mod site;
mod stop;
mod trace;
mod wait;

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
