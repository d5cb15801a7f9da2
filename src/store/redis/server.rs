use std::time::Duration;

use ::redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisError,
    RedisResult, TlsCertificates, aio::MultiplexedConnection, io::tcp::TcpSettings,
};

use crate::{
    config::redis_url::{RedisKind, RedisUrl},
    store::{StoreError, external::root_certificates},
};

const CONNECT_TIMEOUT: Duration = Duration::from_millis(700);
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(1);

/// The address of a server, and the credentials and the settings of connections to it.
#[derive(Clone)]
pub(super) struct Server(ConnectionInfo);

impl Server {
    /// Returns each server of a URL. Reads the file of `sslrootcert`.
    pub(super) fn all(url: &RedisUrl) -> Result<Vec<Self>, StoreError> {
        let invalid = |error: RedisError| StoreError::Address(error.into());
        let first = url.servers.first();
        let roots = first.map(|first| root_certificates(first, &["sslrootcert"]));
        let root_cert = roots.transpose()?.flatten();
        let servers = url.servers.iter().map(|server| {
            let mut server = server.clone();
            if server.port().is_none() {
                // Succeeds for every URL with a host.
                let _ = server.set_port(Some(url.kind.default_port()));
            }
            let info = server.into_connection_info()?;
            let info = match &root_cert {
                Some(pem) => {
                    let certificates = TlsCertificates {
                        client_tls: None,
                        root_cert: Some(pem.clone()),
                    };
                    Client::build_with_tls(info, certificates)?
                        .get_connection_info()
                        .clone()
                }
                None => info,
            };
            // Disables Nagle's algorithm, which would delay a small request until earlier data is
            // acknowledged.
            Ok(Self(info.set_tcp_settings(
                TcpSettings::default().set_nodelay(true),
            )))
        });
        let servers: RedisResult<_> = servers.collect();
        install_crypto_provider();
        servers.map_err(invalid)
    }

    /// Returns the sentinel at this address of a master, with the credentials of the sentinels.
    pub(super) fn sentinel(&self, url: &RedisUrl) -> Self {
        debug_assert!(matches!(url.kind, RedisKind::Sentinel { .. }));
        let mut settings = ::redis::RedisConnectionInfo::default();
        if let Some(username) = url.query("sentinel_username") {
            settings = settings.set_username(username);
        }
        if let Some(password) = url.query("sentinel_password") {
            settings = settings.set_password(password);
        }
        Self(self.0.clone().set_redis_settings(settings))
    }

    /// Returns a server at another address with the same credentials and settings.
    pub(super) fn at(&self, host: &str, port: u16) -> Self {
        let mut address = self.0.addr().clone();
        match &mut address {
            ConnectionAddr::Tcp(to_host, to_port)
            | ConnectionAddr::TcpTls {
                host: to_host,
                port: to_port,
                ..
            } => {
                host.clone_into(to_host);
                *to_port = port;
            }
            _ => {}
        }
        Self(self.0.clone().set_addr(address))
    }

    pub(super) fn address(&self) -> (&str, u16) {
        match self.0.addr() {
            ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
                (host, *port)
            }
            _ => ("", 0),
        }
    }

    pub(super) async fn connect(&self) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT));
        Client::open(self.0.clone())?
            .get_multiplexed_async_connection_with_config(&config)
            .await
    }
}

/// Splits `HOST:PORT`, as servers write it: an IPv6 address has no brackets.
pub(super) fn split_address(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    Some((host, port.parse().ok()?))
}

/// Installs a default provider for rustls unless the app has installed one. The driver uses the
/// default provider, and panics if two are compiled in and none is installed.
fn install_crypto_provider() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Fails if another thread has installed a provider, which serves as well.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    }
}
