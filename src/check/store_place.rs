//! Where a store keeps its records, however that is spelled.

use std::{
    fs,
    path::{Component, Path, PathBuf},
};

use percent_encoding::percent_decode_str;
use url::Url;

use crate::config::{StoreHost, StoreUrl};

const REDIS_PORT: u16 = 6379;
const POSTGRES_PORT: u16 = 5432;

/// A place outside of the process. Who connects to it is no part of it, nor is how.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum StorePlace {
    File(PathBuf),
    Database {
        kind: &'static str,
        host: StoreHost,
        port: u16,
        name: String,
    },
}

impl StorePlace {
    /// `None` for a store that is inside the process, and for an address that is none.
    pub(super) fn of(store: &StoreUrl) -> Option<Self> {
        match store {
            StoreUrl::Memory => None,
            StoreUrl::Sqlite(path) => Some(Self::File(real(path))),
            StoreUrl::Redis(url) => Url::parse(url.expose()).ok().map(|url| Self::redis(&url)),
            StoreUrl::Postgres(url) => Url::parse(url.expose())
                .ok()
                .map(|url| Self::postgres(&url)),
        }
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        use StoreHost::{Loopback, Socket};
        match (self, other) {
            (
                Self::Database {
                    kind,
                    host,
                    port,
                    name,
                },
                Self::Database {
                    kind: other_kind,
                    host: other_host,
                    port: other_port,
                    name: other_name,
                },
            ) => {
                // A server that listens on both uses one port for both.
                let is_one_host = match (host, other_host) {
                    (Loopback, Socket(_)) | (Socket(_), Loopback) => true,
                    (host, other) => host == other,
                };
                is_one_host && (kind, port, name) == (other_kind, other_port, other_name)
            }
            _ => self == other,
        }
    }

    fn redis(url: &Url) -> Self {
        let name = url.path().trim_matches('/').trim_start_matches('0');
        Self::Database {
            kind: "redis",
            host: StoreHost::of_redis(url),
            port: url.port().unwrap_or(REDIS_PORT),
            name: if name.is_empty() { "0" } else { name }.to_owned(),
        }
    }

    /// What stands in the query wins, as it does for the client. A database that is not named is
    /// called as its user.
    fn postgres(url: &Url) -> Self {
        let in_query = |name: &str| {
            let found = url.query_pairs().filter(|(other, _)| other == name).last();
            found.map(|(_, value)| value.into_owned())
        };
        let in_url = |text: &str| {
            let text = percent_decode_str(text).decode_utf8_lossy().into_owned();
            Some(text).filter(|text| !text.is_empty())
        };
        let port = in_query("port").and_then(|port| port.parse().ok());
        let user = || in_query("user").or_else(|| in_url(url.username()));
        let name = in_query("dbname")
            .or_else(|| in_url(url.path().trim_start_matches('/')))
            .or_else(user);
        Self::Database {
            kind: "postgres",
            host: StoreHost::of_postgres(url),
            port: port.or(url.port()).unwrap_or(POSTGRES_PORT),
            name: name.unwrap_or_default(),
        }
    }
}

/// The file's one name: links are followed as far as there is something.
fn real(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    match (fs::canonicalize(&path), path.parent()) {
        (Ok(real), _) => real,
        (Err(_), Some(folder)) => {
            let folder = real(folder);
            match path.components().next_back() {
                Some(Component::Normal(name)) => folder.join(name),
                Some(Component::ParentDir) => folder.parent().unwrap_or(&folder).to_owned(),
                _ => folder,
            }
        }
        (Err(_), None) => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_one(this: &str, other: &str) -> bool {
        let place = |text: &str| {
            let store = match text.split_once(':').unwrap() {
                ("sqlite", path) => StoreUrl::Sqlite(path.into()),
                ("redis" | "rediss", _) => StoreUrl::Redis(text.into()),
                _ => StoreUrl::Postgres(text.into()),
            };
            StorePlace::of(&store).unwrap()
        };
        let (this, other) = (place(this), place(other));
        assert_eq!(this.is(&other), other.is(&this));
        this.is(&other)
    }

    #[test]
    fn one_place_is_one_however_it_is_spelled() {
        for (this, other) in [
            ("redis://h", "rediss://H:6379/0"),
            ("redis://h/", "redis://me:pw@h/00"),
            ("redis://localhost/1", "redis://127.0.0.1:6379/1"),
            ("redis://[::1]/1", "redis://localhost/01?protocol=resp3"),
            ("postgres://h/d", "postgresql://me@H:5432/d"),
            ("postgres://h/d", "postgres:///?host=h&dbname=d"),
            ("postgres://h/d", "postgres://other:7/d?host=h&port=5432"),
            ("postgres://d@h", "postgres://h/d"),
            ("postgres://h/?user=d", "postgres://h/%64"),
            ("postgres://%2Frun%2Fpg/d", "postgres:///d?host=/run/pg"),
            ("postgres:///d?host=/run/pg", "postgres://localhost/d"),
            ("sqlite:/nowhere/a.db", "sqlite:/nowhere/./b/../a.db"),
            ("sqlite:a.db", "sqlite:./a.db"),
            ("sqlite:nowhere/../a.db", "sqlite:a.db"),
        ] {
            assert!(is_one(this, other), "{this} {other}");
        }
    }

    #[test]
    fn another_place_is_another() {
        for (this, other) in [
            ("redis://h/0", "redis://h/1"),
            ("redis://h/1", "redis://h/10"),
            ("redis://h", "redis://h:6380"),
            ("redis://h", "redis://i"),
            ("redis://h:1/1", "postgres://h:1/1"),
            ("postgres://h/d", "postgres://h/e"),
            ("postgres://h/d", "postgres://h/D"),
            ("postgres://h/d", "postgres://h:7/d"),
            ("postgres://h/d", "postgres://h/d?host=i"),
            ("postgres:///d?host=/run/a", "postgres:///d?host=/run/b"),
            ("sqlite:/nowhere/a.db", "sqlite:/nowhere/b.db"),
            ("sqlite:/nowhere/a.db", "sqlite:/elsewhere/a.db"),
        ] {
            assert!(!is_one(this, other), "{this} {other}");
        }
        assert!(StorePlace::of(&StoreUrl::Memory).is_none());
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_also_to_a_file_that_is_not_there_yet() {
        let folder = std::env::temp_dir().join(crate::secret::Secret::random().expose());
        let (this, link) = (folder.join("this"), folder.join("link"));
        fs::create_dir_all(&this).unwrap();
        std::os::unix::fs::symlink("this", &link).unwrap();
        let at = |folder: &Path| format!("sqlite:{}/a.db", folder.display());
        assert!(is_one(&at(&this), &at(&link)));
        fs::write(this.join("a.db"), "").unwrap();
        assert!(is_one(&at(&this), &at(&link)));
        fs::remove_dir_all(folder).unwrap();
    }
}
