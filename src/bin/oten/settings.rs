//! The settings that the commands are about.

use std::{fs, path::Path};

use axum_oten::config::{ConfigBuilder, ConfigError, StoreUrl};

use crate::{failure::Failure, session_key};

/// Where sessions are kept if the configuration does not say, in the folder the program runs in.
pub(crate) const DEFAULT_STORE: &str = "oten-sessions.sqlite";

/// What seals them then; in production a key has to be set.
pub(crate) const DEFAULT_KEY: &str = "oten-sessions.key";

/// What was set, or what is wrong with the file. A file that is not there is nothing to look at.
pub(crate) type Settings = Result<ConfigBuilder, ConfigError>;

/// The settings of a file and the environment, or of the environment alone.
pub(crate) fn read(file: Option<&Path>) -> Result<Settings, Failure> {
    let Some(file) = file else {
        return Ok(Ok(ConfigBuilder::from_env()));
    };
    // As it is read again, with the environment, only to be said otherwise.
    text(file)?;
    Ok(ConfigBuilder::from_file(file))
}

/// The settings of a file, whatever the environment says.
pub(crate) fn read_alone(file: &Path) -> Result<Settings, Failure> {
    let text = text(file)?;
    Ok(ConfigBuilder::from_toml(
        file,
        &String::from_utf8_lossy(&text),
    ))
}

fn text(file: &Path) -> Result<zeroize::Zeroizing<Vec<u8>>, Failure> {
    fs::read(file)
        .map(Into::into)
        .map_err(|error| Failure::File {
            path: file.to_owned(),
            error,
        })
}

/// As `oten serve` takes them, without making what it would make.
pub(crate) fn as_served(settings: Settings) -> Result<Settings, Failure> {
    let builder = match settings {
        Ok(builder) if !builder.is_set("session_store") => builder,
        whole => return Ok(whole),
    };
    let builder = builder.session_store(StoreUrl::Sqlite(DEFAULT_STORE.into()));
    if builder.is_set("session_key") || builder.is_production() {
        return Ok(Ok(builder));
    }
    let key = session_key::read_or_placeholder(DEFAULT_KEY.as_ref())?;
    Ok(Ok(builder.session_key(key)))
}
