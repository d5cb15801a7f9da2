//! Parsing of the session store's URL, and comparison of two URLs for the same store.

use std::{fmt, net::IpAddr, path::PathBuf};

use percent_encoding::percent_decode_str;
use url::Url;

use super::{
    problem::{Invalid, invalid},
    redis_url::{RedisKind, RedisUrl, query},
};
use crate::secret::Secret;

const POSTGRES_PORT: u16 = 5432;

/// The session store: the value of `session_store`.
///
/// Neither `Debug` nor `Display` shows a password.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreUrl {
    /// `memory:`, which is lost when the process ends.
    Memory,
    /// `sqlite:PATH`, a file on this machine.
    Sqlite(PathBuf),
    /// `redis://…`, `redis+cluster://…`, `redis+sentinel://…`, or with `rediss` for TLS: the whole URL,
    /// which may contain a password.
    Redis(Secret),
    /// `postgres://…` or `postgresql://…`: the whole URL, which may contain a password.
    Postgres(Secret),
}

impl StoreUrl {
    /// Parses the value of `session_store`.
    pub(super) fn parse(text: &str) -> Result<Self, Invalid> {
        let (scheme, rest) = text.split_once(':').unwrap_or((text, ""));
        match scheme {
            "memory" if rest.is_empty() && text != scheme => Ok(Self::Memory),
            "sqlite" => sqlite(rest),
            _ if RedisUrl::has_scheme(scheme) => {
                RedisUrl::parse(text).map(|_| Self::Redis(text.into()))
            }
            "postgres" | "postgresql" => postgres(text),
            _ => invalid(
                "does not name a store",
                "Write `memory:`, `sqlite:PATH`, `redis://HOST` or `postgres://USER@HOST/DATABASE`.",
            ),
        }
    }

    /// The value of `session_store`, including a password.
    pub(super) fn setting(&self) -> String {
        match self {
            Self::Memory | Self::Sqlite(_) => self.to_string(),
            Self::Redis(url) | Self::Postgres(url) => url.expose().to_owned(),
        }
    }

    /// The place where the store keeps its records; `None` for `memory:`.
    pub(crate) fn place(&self) -> Option<StorePlace> {
        match self {
            Self::Memory => None,
            Self::Sqlite(path) => Some(StorePlace::File(path.clone())),
            Self::Redis(url) => {
                let url = RedisUrl::parse(url.expose()).ok()?;
                Some(StorePlace::Database(Database::redis(&url)))
            }
            Self::Postgres(url) => {
                let url = Url::parse(url.expose()).ok()?;
                Some(StorePlace::Database(Database::postgres(&url)))
            }
        }
    }

    /// Whether the connection passes through a network and does not authenticate the server. Sealing
    /// hides the tokens from an eavesdropper, but neither the sessions in use nor swapped records.
    pub(super) fn is_interceptable(&self) -> bool {
        let is_verified = match self {
            Self::Memory | Self::Sqlite(_) => true,
            Self::Redis(url) => {
                RedisUrl::parse(url.expose()).is_ok_and(|url| url.scheme.starts_with("rediss"))
            }
            // Every weaker mode accepts any server, or any server with a certificate.
            Self::Postgres(url) => Url::parse(url.expose()).is_ok_and(|url| {
                query(&url, &["sslmode", "ssl-mode"])
                    .is_some_and(|mode| mode.eq_ignore_ascii_case("verify-full"))
            }),
        };
        !is_verified && self.place().is_some_and(|place| !place.is_local_network())
    }
}

/// The scheme, hosts, ports and path. The query is omitted because it may contain a password.
impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = match self {
            Self::Memory => return f.write_str("memory:"),
            Self::Sqlite(path) => return write!(f, "sqlite:{}", path.display()),
            Self::Redis(url) => match RedisUrl::parse(url.expose()) {
                Ok(url) => return url.fmt(f),
                Err(_) => None,
            },
            Self::Postgres(url) => Url::parse(url.expose()).ok(),
        };
        let Some(url) = url else {
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

fn sqlite(rest: &str) -> Result<StoreUrl, Invalid> {
    let path = rest.strip_prefix("//").unwrap_or(rest);
    if path.is_empty() || path.ends_with('/') {
        return invalid(
            "names no file",
            "Write `sqlite:` and the path of a file, like `sqlite:/var/lib/site/sessions.db`.",
        );
    }
    if path == ":memory:" {
        return invalid(
            "names a database that is lost when the process ends",
            "Write `memory:`, or `sqlite:` and the path of a file.",
        );
    }
    if path.contains(['?', '#', '\0']) {
        return invalid(
            "has more than a path after `sqlite:`",
            "Remove the `?` or `#` and everything after it.",
        );
    }
    Ok(StoreUrl::Sqlite(path.into()))
}

fn postgres(text: &str) -> Result<StoreUrl, Invalid> {
    let names_host = |url: Url| url.has_host() || query(&url, &["host", "hostaddr"]).is_some();
    if !Url::parse(text).is_ok_and(names_host) {
        return invalid(
            "does not name the host of the PostgreSQL server",
            "Write the whole URL, like `postgres://USER:PASSWORD@db.example.com/DATABASE`.",
        );
    }
    Ok(StoreUrl::Postgres(text.into()))
}

/// A place outside of the process. Credentials and connection options are not part of it.
#[derive(Debug)]
#[cfg_attr(not(feature = "check"), allow(dead_code))]
pub(crate) enum StorePlace {
    File(PathBuf),
    Database(Database),
}

/// A database on a server, or on one of several servers that lead to it.
#[derive(Debug)]
#[cfg_attr(not(feature = "check"), allow(dead_code))]
pub(crate) struct Database {
    kind: &'static str,
    servers: Vec<(Host, u16)>,
    name: String,
}

/// The host of a database server.
#[derive(Debug, PartialEq, Eq)]
enum Host {
    /// This machine.
    Loopback,
    /// This machine, through a Unix socket in this folder.
    Socket(PathBuf),
    /// A name or an address, in lower case.
    Named(String),
}

impl StorePlace {
    /// Whether the connection stays on this machine or in a network of containers, whose names
    /// contain no dot.
    fn is_local_network(&self) -> bool {
        match self {
            Self::File(_) => true,
            Self::Database(database) => database.servers.iter().all(|(host, _)| match host {
                Host::Loopback | Host::Socket(_) => true,
                // An address written as one number contains no dot either.
                Host::Named(name) => {
                    !name.contains(['.', ':']) && !name.starts_with(|c: char| c.is_ascii_digit())
                }
            }),
        }
    }
}

#[cfg(feature = "check")]
impl StorePlace {
    /// Whether both are the same place, however they are spelled.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        use Host::{Loopback, Socket};
        match (self, other) {
            (Self::File(this), Self::File(other)) => resolved(this) == resolved(other),
            (Self::Database(this), Self::Database(other)) => {
                let is_server = |(this, port): &(Host, u16), (other, other_port): &(Host, u16)| {
                    // A server that listens on both uses the same port for both.
                    let both =
                        matches!((this, other), (Loopback, Socket(_)) | (Socket(_), Loopback));
                    port == other_port && (both || this == other)
                };
                (this.kind, &this.name) == (other.kind, &other.name)
                    && this
                        .servers
                        .iter()
                        .any(|server| other.servers.iter().any(|other| is_server(server, other)))
            }
            _ => false,
        }
    }
}

/// The absolute path without links, resolved up to the first component that does not exist.
#[cfg(feature = "check")]
fn resolved(path: &std::path::Path) -> PathBuf {
    use std::path::Component;
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    match (std::fs::canonicalize(&path), path.parent()) {
        (Ok(real), _) => real,
        (Err(_), Some(folder)) => {
            let folder = resolved(folder);
            match path.components().next_back() {
                Some(Component::Normal(name)) => folder.join(name),
                Some(Component::ParentDir) => folder.parent().unwrap_or(&folder).to_owned(),
                _ => folder,
            }
        }
        (Err(_), None) => path,
    }
}

impl Database {
    fn redis(url: &RedisUrl) -> Self {
        let (kind, service) = match &url.kind {
            RedisKind::Server => ("redis", ""),
            RedisKind::Cluster => ("redis+cluster", ""),
            RedisKind::Sentinel { service } => ("redis+sentinel", &**service),
        };
        let server = |server: &Url| {
            let host = Host::named(server.host_str().unwrap_or_default());
            (host, server.port().unwrap_or(url.kind.default_port()))
        };
        Self {
            kind,
            servers: url.servers.iter().map(server).collect(),
            name: format!("{service}/{}", url.database()),
        }
    }

    /// The query overrides the rest of the URL, as in the client. The default database has the name
    /// of the user.
    fn postgres(url: &Url) -> Self {
        let decoded = |text: &str| {
            let text = percent_decode_str(text).decode_utf8_lossy().into_owned();
            Some(text).filter(|text| !text.is_empty())
        };
        let port = query(url, &["port"]).and_then(|port| port.parse().ok());
        let name = query(url, &["dbname"])
            .or_else(|| decoded(url.path().trim_start_matches('/')))
            .or_else(|| query(url, &["user"]))
            .or_else(|| decoded(url.username()));
        Self {
            kind: "postgres",
            servers: vec![(
                Host::postgres(url),
                port.or(url.port()).unwrap_or(POSTGRES_PORT),
            )],
            name: name.unwrap_or_default(),
        }
    }
}

impl Host {
    /// Like the client, prefers the folder of a socket, then the host in the query, then the host of
    /// the URL.
    fn postgres(url: &Url) -> Self {
        let in_url = percent_decode_str(url.host_str().unwrap_or_default()).decode_utf8_lossy();
        let in_query = url
            .query_pairs()
            .filter(|(name, _)| name == "host" || name == "hostaddr")
            .map(|(_, value)| value);
        let all: Vec<_> = std::iter::once(in_url).chain(in_query).collect();
        match all.iter().rfind(|host| host.starts_with('/')) {
            Some(folder) => Self::Socket(folder.as_ref().into()),
            None => Self::named(all.last().map_or("", AsRef::as_ref)),
        }
    }

    fn named(host: &str) -> Self {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        // `Url` normalizes addresses only under its special schemes, which these are not.
        match host.parse::<IpAddr>().map(|address| address.to_canonical()) {
            Ok(address) if address.is_loopback() => Self::Loopback,
            Ok(address) => Self::Named(address.to_string()),
            Err(_) if host == "localhost" => Self::Loopback,
            Err(_) => Self::Named(host),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> Host {
        let store = if text.starts_with("redis") {
            StoreUrl::Redis(text.into())
        } else {
            StoreUrl::Postgres(text.into())
        };
        match store.place() {
            Some(StorePlace::Database(mut database)) => database.servers.remove(0).0,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn every_spelling_of_a_host_is_the_same_host() {
        for spelling in [
            "localhost",
            "LOCALHOST",
            "localhost.",
            "127.0.0.1",
            "127.0.0.2",
            "[::1]",
            "[::ffff:127.0.0.1]",
        ] {
            for scheme in ["redis", "rediss", "postgres", "postgresql"] {
                let url = format!("{scheme}://me@{spelling}:7/1");
                assert_eq!(host(&url), Host::Loopback, "{url}");
            }
        }
        let named = |name: &str| host(&format!("redis://{name}"));
        assert_eq!(named("DB.example.com."), named("db.example.com"));
        assert_eq!(named("[::ffff:10.0.0.1]"), named("10.0.0.1"));
        assert_ne!(named("localhost.example.com"), Host::Loopback);
    }

    #[test]
    fn postgres_prefers_a_socket_then_the_query() {
        assert_eq!(host("postgres:///d?host=LocalHost"), Host::Loopback);
        assert_eq!(
            host("postgres://far.example/d?host=127.0.0.1"),
            Host::Loopback
        );
        assert_eq!(
            host("postgres:///d?host=a.example&hostaddr=10.0.0.1"),
            Host::Named("10.0.0.1".to_owned())
        );
        let socket = Host::Socket("/run/postgres".into());
        assert_eq!(host("postgres:///d?host=/run/postgres"), socket);
        assert_eq!(host("postgres://%2Frun%2Fpostgres/d"), socket);
        assert_eq!(host("postgres://h/d?host=/run/postgres&host=other"), socket);
    }

    #[test]
    fn this_machine_and_names_without_a_dot_are_in_the_local_network() {
        for (host, is_local_network) in [
            ("localhost", true),
            ("[::1]", true),
            ("redis", true),
            ("my-redis-1", true),
            ("redis.example.com", false),
            ("10.0.0.1", false),
            ("[fd00::1]", false),
            ("[fe80::1]", false),
            ("167772161", false),
            ("0xa000001", false),
        ] {
            let store = StoreUrl::Redis(format!("redis://{host}").into());
            assert_eq!(
                store.place().unwrap().is_local_network(),
                is_local_network,
                "{host}"
            );
        }
    }

    #[cfg(feature = "check")]
    fn is_same(this: &str, other: &str) -> bool {
        let [this, other] = [this, other].map(|text| {
            let store = match text.split_once(':').unwrap() {
                ("sqlite", path) => StoreUrl::Sqlite(path.into()),
                (scheme, _) if RedisUrl::has_scheme(scheme) => StoreUrl::Redis(text.into()),
                _ => StoreUrl::Postgres(text.into()),
            };
            store.place().unwrap()
        });
        assert_eq!(this.is_same(&other), other.is_same(&this));
        this.is_same(&other)
    }

    #[cfg(feature = "check")]
    #[test]
    fn every_spelling_of_a_place_is_the_same_place() {
        for (this, other) in [
            ("redis://h", "rediss://H:6379/0"),
            ("redis://h/", "redis://me:pw@h/00"),
            ("redis://localhost/1", "redis://127.0.0.1:6379/1"),
            ("redis://[::1]/1", "redis://localhost/01?protocol=resp3"),
            ("redis+cluster://a:1,b:2", "rediss+cluster://me:pw@c,B:2/0"),
            ("redis+sentinel://a,b/s", "redis+sentinel://b:26379/s/00"),
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
            assert!(is_same(this, other), "{this} {other}");
        }
    }

    #[cfg(feature = "check")]
    #[test]
    fn different_places_differ() {
        for (this, other) in [
            ("redis://h/0", "redis://h/1"),
            ("redis://h/1", "redis://h/10"),
            ("redis://h", "redis://h:6380"),
            ("redis://h", "redis://i"),
            ("redis://h:1/1", "postgres://h:1/1"),
            ("redis+cluster://a:1,b:2", "redis+cluster://a:2,b:1"),
            ("redis+sentinel://a/s", "redis+sentinel://a/t"),
            ("redis+sentinel://a/s", "redis+sentinel://a/s/1"),
            ("postgres://h/d", "postgres://h/e"),
            ("postgres://h/d", "postgres://h/D"),
            ("postgres://h/d", "postgres://h:7/d"),
            ("postgres://h/d", "postgres://h/d?host=i"),
            ("postgres:///d?host=/run/a", "postgres:///d?host=/run/b"),
            ("sqlite:/nowhere/a.db", "sqlite:/nowhere/b.db"),
            ("sqlite:/nowhere/a.db", "sqlite:/elsewhere/a.db"),
        ] {
            assert!(!is_same(this, other), "{this} {other}");
        }
        assert!(StoreUrl::Memory.place().is_none());
    }

    #[cfg(all(unix, feature = "check"))]
    #[test]
    fn links_are_resolved_even_if_the_file_does_not_exist_yet() {
        use std::{fs, path::Path};

        let folder = std::env::temp_dir().join(Secret::random().expose());
        let (this, link) = (folder.join("this"), folder.join("link"));
        fs::create_dir_all(&this).unwrap();
        std::os::unix::fs::symlink("this", &link).unwrap();
        let at = |folder: &Path| format!("sqlite:{}/a.db", folder.display());
        assert!(is_same(&at(&this), &at(&link)));
        fs::write(this.join("a.db"), "").unwrap();
        assert!(is_same(&at(&this), &at(&link)));
        fs::remove_dir_all(folder).unwrap();
    }
}
