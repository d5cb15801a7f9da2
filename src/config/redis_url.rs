//! Parsing of the URLs of Redis servers, of which a cluster or sentinels have several.

use std::fmt;

use percent_encoding::percent_decode_str;
use url::Url;

use super::problem::{Invalid, invalid};

/// The URL of a Redis server, a cluster or sentinels, `SCHEME://USER:PASSWORD@HOST:PORT,…/PATH?QUERY`.
pub(crate) struct RedisUrl {
    /// `redis` or `rediss`, perhaps with `+cluster` or `+sentinel`.
    pub(crate) scheme: String,
    pub(crate) kind: RedisKind,
    /// For each server of the list, the URL that names only this server, with the scheme `redis` or
    /// `rediss`, the user, the database and the query.
    pub(crate) servers: Vec<Url>,
}

/// What listens at the address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RedisKind {
    Server,
    /// Nodes of a cluster, which know the other nodes.
    Cluster,
    /// Sentinels, which know the master of this service.
    Sentinel {
        service: String,
    },
}

impl RedisKind {
    pub(crate) fn default_port(&self) -> u16 {
        match self {
            Self::Server | Self::Cluster => 6379,
            Self::Sentinel { .. } => 26379,
        }
    }
}

impl RedisUrl {
    /// Whether a URL with this scheme names a Redis store.
    pub(crate) fn has_scheme(scheme: &str) -> bool {
        let (tls, kind) = scheme.split_once('+').unwrap_or((scheme, ""));
        matches!(tls, "redis" | "rediss")
            && matches!(kind, "" | "cluster" | "sentinel")
            && !scheme.ends_with('+')
    }

    pub(crate) fn parse(text: &str) -> Result<Self, Invalid> {
        let not_a_url = || {
            invalid(
                "does not name the host of the Redis server",
                "Write the whole URL, like `rediss://:PASSWORD@redis.example.com:6379/0`, \
                 `rediss+cluster://USER:PASSWORD@HOST:6379,HOST:6379` or \
                 `rediss+sentinel://USER:PASSWORD@HOST:26379,HOST:26379/SERVICE`.",
            )
        };
        let Some((scheme, rest)) = text.split_once("://") else {
            return not_a_url();
        };
        if !Self::has_scheme(scheme) {
            return not_a_url();
        }
        if text.contains('#') {
            return invalid(
                "has a fragment",
                "Remove the `#` and everything after it; certificates are always verified.",
            );
        }
        let (authority, tail) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (path, query) = tail.split_at(tail.find('?').unwrap_or(tail.len()));
        let (user, hosts) = match authority.rsplit_once('@') {
            Some((user, hosts)) => (format!("{user}@"), hosts),
            None => (String::new(), authority),
        };
        let (tls, kind) = scheme.split_once('+').unwrap_or((scheme, ""));
        let (kind, database) = match kind {
            "cluster" => (RedisKind::Cluster, path),
            "sentinel" => {
                let path = path.trim_start_matches('/');
                let (service, database) = path.split_at(path.find('/').unwrap_or(path.len()));
                let service = percent_decode_str(service).decode_utf8_lossy().into_owned();
                (RedisKind::Sentinel { service }, database)
            }
            _ => (RedisKind::Server, path),
        };
        let names_host = |url: &Url| url.host_str().is_some_and(|host| !host.is_empty());
        let servers: Result<Vec<_>, _> = hosts
            .split(',')
            .map(|host| Url::parse(&format!("{tls}://{user}{host}{database}{query}")))
            .collect();
        let servers = match servers {
            Ok(servers) if servers.iter().all(names_host) => servers,
            _ => return not_a_url(),
        };
        let url = Self {
            scheme: scheme.to_owned(),
            kind,
            servers,
        };
        url.check(database)?;
        Ok(url)
    }

    fn check(&self, database: &str) -> Result<(), Invalid> {
        if self.kind == RedisKind::Server && self.servers.len() > 1 {
            return invalid(
                "names several Redis servers",
                "Begin the URL of a cluster with `redis+cluster://`, and that of sentinels with \
                 `redis+sentinel://`; otherwise keep one server.",
            );
        }
        if matches!(&self.kind, RedisKind::Sentinel { service } if service.is_empty()) {
            return invalid(
                "does not name the service of the sentinels",
                "Add it after the hosts, like `redis+sentinel://HOST:26379/SERVICE`: the name in \
                 `sentinel monitor`.",
            );
        }
        let database = database.trim_start_matches('/');
        if !database.bytes().all(|byte| byte.is_ascii_digit()) {
            return invalid(
                "names a database that is not a number",
                "End the URL with `/0`, or after the host and the port; that of sentinels with the \
                 service.",
            );
        }
        if self.kind == RedisKind::Cluster && self.database() != "0" {
            return invalid(
                "names a database of a cluster, which has only one",
                "Remove the path.",
            );
        }
        if !self.scheme.starts_with("rediss") && self.query("sslrootcert").is_some() {
            return invalid(
                "names a certificate authority in `sslrootcert`, but does not use TLS",
                "Begin the URL with `rediss` instead of `redis`, or remove `sslrootcert`.",
            );
        }
        Ok(())
    }

    /// The number of the database, without leading zeros.
    pub(crate) fn database(&self) -> &str {
        let path = self.servers.first().map_or("", Url::path);
        match path.trim_matches('/').trim_start_matches('0') {
            "" => "0",
            number => number,
        }
    }

    /// The value in the query under this name.
    pub(crate) fn query(&self, name: &str) -> Option<String> {
        query(self.servers.first()?, &[name])
    }
}

/// The last value in the query of a URL under one of these names.
pub(crate) fn query(url: &Url, names: &[&str]) -> Option<String> {
    let pairs = url
        .query_pairs()
        .filter(|(name, _)| names.contains(&&**name));
    pairs.last().map(|(_, value)| value.into_owned())
}

/// The scheme, hosts, ports and path.
impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme)?;
        for (at, server) in self.servers.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{}", server.host_str().unwrap_or(""))?;
            if let Some(port) = server.port() {
                write!(f, ":{port}")?;
            }
        }
        if let RedisKind::Sentinel { service } = &self.kind {
            write!(f, "/{service}")?;
        }
        f.write_str(self.servers.first().map_or("", Url::path))
    }
}
