use std::{fmt, path::PathBuf};

use url::Url;

use crate::secret::Secret;

/// Which store keeps the sessions: the value of `session_store`.
///
/// Neither `Debug` nor `Display` shows a password.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreUrl {
    /// `memory:`, gone when the process ends.
    Memory,
    /// `sqlite:PATH`, a file on this machine.
    Sqlite(PathBuf),
    /// `redis://…` or `rediss://…`, the whole URL, which may hold a password.
    Redis(Secret),
    /// `postgres://…` or `postgresql://…`, the whole URL, which may hold a password.
    Postgres(Secret),
}

impl StoreUrl {
    /// The value as an operator writes it, password and all.
    pub(super) fn setting(&self) -> String {
        match self {
            Self::Memory | Self::Sqlite(_) => self.to_string(),
            Self::Redis(url) | Self::Postgres(url) => url.expose().to_owned(),
        }
    }
}

/// Scheme, host, port and path. A query may hold a password, too.
impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = match self {
            Self::Memory => return f.write_str("memory:"),
            Self::Sqlite(path) => return write!(f, "sqlite:{}", path.display()),
            Self::Redis(url) | Self::Postgres(url) => url,
        };
        let Ok(url) = Url::parse(url.expose()) else {
            return f.write_str("[not a URL]");
        };
        write!(f, "{}://{}", url.scheme(), url.host_str().unwrap_or(""))?;
        if let Some(port) = url.port() {
            write!(f, ":{port}")?;
        }
        f.write_str(url.path())
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreUrl({self})")
    }
}
