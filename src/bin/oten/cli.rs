use std::{env, ffi::OsString, net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand};

use crate::{client_kind::ClientKind, demo, failure::Failure, serve, trace};

/// A site that leaves signing in to Oten.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the site together with an emulated Oten: nothing to register, nothing to configure
    Demo(Demo),
    /// Run the site against an issuer of your own, such as Oten's sandbox
    Serve(Serve),
}

/// What `oten demo` can be told.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// How the site's client is registered with the emulator
    #[arg(long, value_enum, default_value_t)]
    pub(crate) client: ClientKind,
    /// Read this file instead of a built-in configuration
    ///
    /// Issuer and credentials in it are replaced by the emulator's.
    #[arg(long, value_name = "FILE", conflicts_with = "client")]
    pub(crate) config: Option<PathBuf>,
    /// Listen on this address instead of the configured one; port 0 takes a free port
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<SocketAddr>,
    /// Show metrics for Prometheus on this address, under `/metrics`; else on the configured one
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) metrics_listen: Option<SocketAddr>,
}

/// What `oten serve` can be told.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Read this file; environment variables replace what it says
    ///
    /// Without it the environment says everything.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Listen on this address instead of the configured one
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<SocketAddr>,
    /// Show metrics for Prometheus on this address, under `/metrics`; else on the configured one
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) metrics_listen: Option<SocketAddr>,
}

impl Cli {
    /// Reads the command line; a wrong one ends the program with what is right.
    pub(crate) fn read() -> Self {
        Self::parse_from(without_separator(env::args_os()))
    }

    /// Does what was asked, until it is done or told to stop.
    pub(crate) fn run(self) -> Result<(), Failure> {
        trace::init()?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(Failure::Runtime)?;
        let outcome = runtime.block_on(async {
            match self.command {
                Command::Demo(demo) => demo::run(demo).await,
                Command::Serve(serve) => serve::run(serve).await,
            }
        });
        // What has not ended by now, such as a look-up of a name, is not waited for.
        runtime.shutdown_background();
        outcome
    }
}

/// `cargo demo -- --client public` is a habit, and the alias holds a `--` already: the one after
/// the command says nothing here.
fn without_separator(line: impl Iterator<Item = OsString>) -> impl Iterator<Item = OsString> {
    const AFTER_COMMAND: usize = 2;
    let words = line.enumerate();
    let words = words.filter(|(place, word)| *place != AFTER_COMMAND || word != "--");
    words.map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_file_and_a_built_in_configuration_exclude_each_other() {
        let line = ["oten", "demo", "--client", "public", "--config", "x.toml"];
        assert!(Cli::try_parse_from(line).is_err());
        assert!(Cli::try_parse_from(["oten", "demo", "--config", "x.toml"]).is_ok());
    }

    #[test]
    fn a_separator_out_of_habit_is_passed_over() {
        let line = ["oten", "demo", "--", "--client", "public"];
        let words = || without_separator(line.iter().map(Into::into));
        assert!(Cli::try_parse_from(words()).is_ok());
        let line = ["oten", "--", "demo"];
        assert!(Cli::try_parse_from(line).is_err());
    }
}
