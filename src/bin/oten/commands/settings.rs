//! Arguments and rules about settings that several commands share.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use axum_oten::{
    Secret,
    config::{ConfigBuilder, ConfigError, StoreUrl},
};
use clap::Args;
use zeroize::Zeroizing;

use crate::error::Error;

/// The session store of `oten serve` if none is configured, in the working directory.
const DEFAULT_STORE: &str = "oten-sessions.sqlite";

/// The file with the session key of that store, outside production.
const DEFAULT_SESSION_KEY: &str = "oten-sessions.key";

/// Settings to check, or the reason why their file is not a configuration.
pub(super) type Settings = Result<ConfigBuilder, ConfigError>;

#[derive(Debug, Default, Args)]
pub(crate) struct ConfigArgs {
    /// Read settings from this TOML file; environment variables take precedence
    ///
    /// Without a file, all settings come from the environment.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl ConfigArgs {
    /// The settings of the file and the environment.
    pub(super) fn builder(&self) -> Settings {
        match &self.config {
            Some(file) => ConfigBuilder::from_file(file),
            None => Ok(ConfigBuilder::from_env()),
        }
    }

    /// The same for a check, to which a missing file is an error and not a finding.
    pub(super) fn settings(&self) -> Result<Settings, Error> {
        if let Some(file) = &self.config {
            read(file)?;
        }
        Ok(self.builder())
    }
}

#[derive(Debug, Default, Args)]
pub(crate) struct ListenArgs {
    /// Listen on this address instead of the configured one; port 0 selects a free port
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address)]
    pub(super) listen: Option<SocketAddr>,
    /// Serve metrics for Prometheus under `/metrics` on this address instead of the configured one
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address)]
    metrics_listen: Option<SocketAddr>,
}

impl ListenArgs {
    /// Replaces the configured addresses with the given ones.
    pub(super) fn apply(&self, mut builder: ConfigBuilder) -> ConfigBuilder {
        if let Some(address) = self.listen {
            builder = builder.listen(address);
        }
        if let Some(address) = self.metrics_listen {
            builder = builder.metrics_listen(address);
        }
        builder
    }
}

/// Parses an address to listen on.
pub(super) fn parse_address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse()
        .map_err(|_| "write an IP address with a port, such as 127.0.0.1:3000 or [::1]:3000")
}

/// The settings of a file, without those of the environment.
pub(super) fn read_file_only(file: &Path) -> Result<Settings, Error> {
    let text = read(file)?;
    let text = String::from_utf8_lossy(&text);
    Ok(ConfigBuilder::from_toml(file, &text))
}

fn read(file: &Path) -> Result<Zeroizing<Vec<u8>>, Error> {
    let bytes = fs::read(file).map_err(Error::read_file(file))?;
    Ok(Zeroizing::new(bytes))
}

/// Adds the store of `oten serve` if none is configured. Outside production it also gets a session
/// key, which `session_key` returns for the path of the key file.
pub(super) fn with_default_store(
    builder: ConfigBuilder,
    session_key: impl FnOnce(&Path) -> Result<Secret, Error>,
) -> Result<ConfigBuilder, Error> {
    if builder.is_set("session_store") {
        return Ok(builder);
    }
    let builder = builder.session_store(StoreUrl::Sqlite(DEFAULT_STORE.into()));
    if builder.is_set("session_key") || builder.is_production() {
        return Ok(builder);
    }
    Ok(builder.session_key(session_key(DEFAULT_SESSION_KEY.as_ref())?))
}
