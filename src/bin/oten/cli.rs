use std::{env, ffi::OsString, process::ExitCode};

use clap::{Parser, Subcommand};

use crate::{
    commands::{
        authorize_url, check, demo, emulator, health, keygen, register, run, serve, sessions,
    },
    error::Error,
};

/// Sign in with Oten: a demo site, a local emulator and commands for operators.
#[derive(Debug, Parser)]
#[command(name = "oten", version, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the site with an emulated Oten; needs no registration and no configuration
    ///
    /// Ignores `OTEN_` variables other than `OTEN_LISTEN`.
    Demo(demo::DemoArgs),
    /// Run the site against Oten or another configured issuer
    Serve(serve::ServeArgs),
    /// Run `serve` if the environment configures a site, otherwise `demo`
    ///
    /// Containers run it by default. Every `OTEN_` variable except `OTEN_LISTEN` configures a site.
    /// If the configuration is incomplete, the command lists the missing settings and fails; it does
    /// not run the demo.
    Run,
    /// Check the configuration, the provider, the client and the session store
    ///
    /// Sends one token request with an invalid code to verify the client's credentials. Exits with 0
    /// if no check failed, with 1 if one failed, and with 2 if nothing could be checked.
    Check(check::CheckArgs),
    /// Check whether the provider's endpoints, or the site itself, respond
    ///
    /// Exits with 0 if all respond, with 1 if one does not, and with 2 if none could be requested.
    Health(health::HealthArgs),
    /// Run an emulated Oten alone, for a site in another process
    Emulator(emulator::EmulatorArgs),
    /// Print the values to enter in Oten's developer portal
    ///
    /// The client's ID and secret may be missing: the portal issues them.
    Register(register::RegisterArgs),
    /// List and end the sessions of a site, whose store is shared with this program
    ///
    /// Reads the configuration of the site: its store, session key, issuer and client ID.
    Sessions(sessions::SessionsArgs),
    /// Generate a key that signs requests or encrypts tokens in the session store
    Keygen(keygen::KeygenArgs),
    /// Print an authorization URL and its contents, for support cases
    AuthorizeUrl(authorize_url::AuthorizeUrlArgs),
}

impl Cli {
    /// Reads the command line. If it is wrong, prints the correct usage and exits.
    pub(crate) fn read() -> Self {
        Self::parse_from(without_separator(env::args_os()))
    }

    /// The exit code of an error, and the default filter of the log.
    pub(crate) fn on_error(&self) -> (u8, &'static str) {
        match self.command {
            // The exit code 1 of a check is a negative answer, and its report replaces the log.
            Command::Check(_) | Command::Health(_) => (2, "off"),
            Command::Sessions(_) => (1, "warn"),
            _ => (1, "info"),
        }
    }

    /// Runs the command until it is done or stopped by a signal.
    pub(crate) async fn run(self) -> Result<ExitCode, Error> {
        match self.command {
            Command::Demo(args) => demo::run(args).await?,
            Command::Serve(args) => serve::run(args).await?,
            Command::Run => run::run().await?,
            Command::Check(args) => return Box::pin(check::run(args)).await,
            Command::Health(args) => return health::run(args).await,
            Command::Emulator(args) => emulator::run(args).await?,
            Command::Register(args) => register::run(args)?,
            Command::Sessions(args) => sessions::run(args).await?,
            Command::Keygen(args) => keygen::run(args)?,
            Command::AuthorizeUrl(args) => authorize_url::run(args).await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Drops a `--` directly after the command: the alias `cargo demo` already contains one, and
/// `cargo demo -- --client public` passes another.
fn without_separator(line: impl Iterator<Item = OsString>) -> impl Iterator<Item = OsString> {
    const AFTER_COMMAND: usize = 2;
    line.enumerate()
        .filter(|(index, word)| *index != AFTER_COMMAND || word != "--")
        .map(|(_, word)| word)
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
    fn a_separator_after_the_command_is_ignored() {
        let line = ["oten", "demo", "--", "--client", "public"];
        let words = || without_separator(line.iter().map(Into::into));
        assert!(Cli::try_parse_from(words()).is_ok());
        let line = ["oten", "--", "demo"];
        assert!(Cli::try_parse_from(line).is_err());
    }
}
