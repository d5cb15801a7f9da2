//! `oten`: the demo site with an emulated Oten, the same site against a real provider, and commands
//! for operators.
//!
//! The program uses the library's public API only, like any other app.

mod cli;
mod commands;
mod control;
mod error;
mod key_file;
mod server;
mod site;
mod terminal;

use std::{
    env,
    io::{self, IsTerminal},
    process::ExitCode,
};

use axum_oten::with_causes;
use tracing_subscriber::EnvFilter;

use self::{cli::Cli, error::Error};

fn main() -> ExitCode {
    let cli = Cli::read();
    let (failure_code, log_filter) = cli.on_error();
    run(cli, log_filter).unwrap_or_else(|error| {
        terminal::print_note(&format!("oten: {}", with_causes(&error)));
        ExitCode::from(failure_code)
    })
}

fn run(cli: Cli, log_filter: &str) -> Result<ExitCode, Error> {
    init_log(log_filter)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Error::Runtime)?;
    let outcome = runtime.block_on(cli.run());
    // Dropping the runtime would wait for blocking work, such as a slow name lookup.
    runtime.shutdown_background();
    outcome
}

/// Starts the log on stderr, filtered by `RUST_LOG` or, if that is unset, by `default_filter`.
fn init_log(default_filter: &str) -> Result<(), Error> {
    let filter = env::var_os("RUST_LOG").unwrap_or_else(|| default_filter.into());
    let filter = EnvFilter::try_new(filter.to_string_lossy()).map_err(Error::LogFilter)?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
    Ok(())
}
