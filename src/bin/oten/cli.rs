use std::{env, ffi::OsString, net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};

use crate::{
    authorize_url::{self, AuthorizeUrl},
    check,
    client_kind::ClientKind,
    demo,
    emulator::{self, EmulatorArguments},
    failure::Failure,
    health,
    keygen::{self, Keygen},
    register::{self, Register},
    run, serve, trace,
};

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
    /// Run the site against Oten, or against any issuer you configure
    Serve(Serve),
    /// Run the site if the environment configures one, and else the demo, as containers do
    ///
    /// Any `OTEN_` variable but `OTEN_LISTEN` configures a site: what is missing then is told, and the
    /// demo does not take its place.
    Run,
    /// Find out what is wrong with a configuration, the provider, the client or the store
    ///
    /// One token request with a made-up code shows whether the credentials are good. Ends with 0
    /// if nothing failed, with 1 if something did, and with 2 if nothing could be checked.
    Check(Check),
    /// Ask whether the provider's endpoints, or the site's own, answer now
    ///
    /// Ends with 0 if all answer, with 1 if one does not, and with 2 if none could be asked.
    Health(Health),
    /// Run an emulated Oten alone, for a site in another process
    Emulator(EmulatorArguments),
    /// Print the sheet that Oten's developer portal asks for
    Register(Register),
    /// Make a key: one that signs requests, or one that seals sessions
    Keygen(Keygen),
    /// Print an authorization URL and what is in it, for support cases
    AuthorizeUrl(AuthorizeUrl),
}

/// What `oten demo` can be told.
#[derive(Debug, Default, Args)]
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
    ///
    /// Without it `OTEN_LISTEN` says where. Nothing else is taken from the environment.
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub(crate) listen: Option<SocketAddr>,
    /// Show metrics for Prometheus on this address, under `/metrics`; else on the configured one
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub(crate) metrics_listen: Option<SocketAddr>,
}

/// What `oten serve` can be told.
#[derive(Debug, Default, Args)]
pub(crate) struct Serve {
    /// Read this file; environment variables replace what it says
    ///
    /// Without it the environment says everything.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Listen on this address instead of the configured one
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub(crate) listen: Option<SocketAddr>,
    /// Show metrics for Prometheus on this address, under `/metrics`; else on the configured one
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub(crate) metrics_listen: Option<SocketAddr>,
}

/// What `oten check` can be told.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Check this file; environment variables replace what it says
    ///
    /// Without it the environment says everything.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Check that this file of another environment shares no secret and no store with the first
    ///
    /// Environment variables count for the first configuration only.
    #[arg(long, value_name = "FILE")]
    pub(crate) against: Option<PathBuf>,
    /// Do not ask the provider
    #[arg(long)]
    pub(crate) offline: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What `oten health` can be told.
#[derive(Debug, Args)]
pub(crate) struct Health {
    /// Read this file; environment variables replace what it says
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Ask the site on this machine for its `/healthz` instead, where `listen` and `base_path` say
    #[arg(long = "self")]
    pub(crate) own: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl Cli {
    /// Reads the command line; a wrong one ends the program with what is right.
    pub(crate) fn read() -> Self {
        Self::parse_from(without_separator(env::args_os()))
    }

    /// How the program ends if it cannot do what was asked: for a question, otherwise than with
    /// the answer no.
    pub(crate) fn on_failure(&self) -> ExitCode {
        match self.command {
            Command::Check(_) | Command::Health(_) => ExitCode::from(2),
            _ => ExitCode::FAILURE,
        }
    }

    /// Does what was asked, until it is done or told to stop.
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        trace::init(match self.command {
            // What there is to say is in the answer.
            Command::Check(_) | Command::Health(_) => "off",
            _ => "info",
        })?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(Failure::Runtime)?;
        let done = |()| ExitCode::SUCCESS;
        let outcome = runtime.block_on(async {
            match self.command {
                Command::Demo(demo) => demo::run(demo).await.map(done),
                Command::Serve(serve) => serve::run(serve).await.map(done),
                Command::Run => run::run().await.map(done),
                Command::Check(check) => check::run(check).await,
                Command::Health(health) => health::run(health).await,
                Command::Emulator(emulator) => emulator::run(emulator).await.map(done),
                Command::Register(register) => register::run(register).map(done),
                Command::Keygen(keygen) => keygen::run(keygen).map(done),
                Command::AuthorizeUrl(url) => authorize_url::run(url).await.map(done),
            }
        });
        // What has not ended by now, such as a look-up of a name, is not waited for.
        runtime.shutdown_background();
        outcome
    }
}

/// An address to listen on.
pub(crate) fn address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse()
        .map_err(|_| "write an IP address with a port, like 127.0.0.1:3000 or [::1]:3000")
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
