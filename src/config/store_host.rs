use std::{net::IpAddr, path::PathBuf};

use percent_encoding::percent_decode_str;
use url::Url;

/// Where a store's server is, as far as its address tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StoreHost {
    /// This machine, however it is spelled.
    Loopback,
    /// This machine, through a Unix socket in this folder.
    Socket(PathBuf),
    /// A name or an address, in lower case.
    Named(String),
}

impl StoreHost {
    pub(crate) fn of_redis(url: &Url) -> Self {
        Self::named(url.host_str().unwrap_or_default())
    }

    /// In the order in which the client goes by them: the folder of a socket, the host of the query,
    /// the host of the URL.
    pub(crate) fn of_postgres(url: &Url) -> Self {
        let in_url = percent_decode_str(url.host_str().unwrap_or_default()).decode_utf8_lossy();
        let in_query = url.query_pairs().filter_map(|(name, value)| {
            let is_host = name == "host" || name == "hostaddr";
            is_host.then_some(value)
        });
        let all: Vec<_> = std::iter::once(in_url).chain(in_query).collect();
        let mut from_the_last = all.iter().rev();
        match from_the_last.find(|host| host.starts_with('/')) {
            Some(folder) => Self::Socket(folder.as_ref().into()),
            None => Self::named(all.last().map_or("", AsRef::as_ref)),
        }
    }

    /// Whether what is said with it stays on this machine or in a network of containers, which have
    /// names without a dot.
    pub(crate) fn is_near(&self) -> bool {
        match self {
            Self::Loopback | Self::Socket(_) => true,
            // An address written as one number has no dot either.
            Self::Named(name) => {
                !name.contains(['.', ':']) && !name.starts_with(|c: char| c.is_ascii_digit())
            }
        }
    }

    fn named(host: &str) -> Self {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        // A URL of a store's leaves an address as it was written.
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

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn one_host_is_one_however_it_is_spelled() {
        for host in [
            "localhost",
            "LOCALHOST",
            "localhost.",
            "127.0.0.1",
            "127.0.0.2",
            "[::1]",
            "[::ffff:127.0.0.1]",
        ] {
            for (scheme, of) in [
                ("redis", StoreHost::of_redis as fn(&Url) -> StoreHost),
                ("rediss", StoreHost::of_redis),
                ("postgres", StoreHost::of_postgres),
                ("postgresql", StoreHost::of_postgres),
            ] {
                let url = url(&format!("{scheme}://me@{host}:7/1"));
                assert_eq!(of(&url), StoreHost::Loopback, "{url}");
            }
        }
        let named = |host: &str| StoreHost::of_redis(&url(&format!("redis://{host}")));
        assert_eq!(named("DB.example.com."), named("db.example.com"));
        assert_eq!(named("[::ffff:10.0.0.1]"), named("10.0.0.1"));
        assert_ne!(named("localhost.example.com"), StoreHost::Loopback);
    }

    #[test]
    fn postgres_goes_by_the_query_and_first_by_a_socket() {
        let at = |text: &str| StoreHost::of_postgres(&url(text));
        assert_eq!(at("postgres:///d?host=LocalHost"), StoreHost::Loopback);
        assert_eq!(
            at("postgres://far.example/d?host=127.0.0.1"),
            StoreHost::Loopback
        );
        assert_eq!(
            at("postgres:///d?host=a.example&hostaddr=10.0.0.1"),
            StoreHost::Named("10.0.0.1".to_owned())
        );
        let socket = StoreHost::Socket("/run/postgres".into());
        assert_eq!(at("postgres:///d?host=/run/postgres"), socket);
        assert_eq!(at("postgres://%2Frun%2Fpostgres/d"), socket);
        assert_eq!(at("postgres://h/d?host=/run/postgres&host=other"), socket);
    }

    #[test]
    fn near_is_this_machine_and_a_name_without_a_dot() {
        for (host, is_near) in [
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
            let host = StoreHost::of_redis(&url(&format!("redis://{host}")));
            assert_eq!(host.is_near(), is_near, "{host:?}");
        }
    }
}
