//! The settings of a valid configuration, in groups.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use ipnet::IpNet;
use url::Url;

use super::{
    login_options::LoginOptions, refresh_policy::RefreshPolicy, rule::Rule, store_url::StoreUrl,
};
use crate::{http::HttpOptions, jose::Algorithm, seal::SealingKey};

/// Oten rejects request objects with a longer lifetime.
pub(crate) const MAX_REQUEST_OBJECT_LIFETIME: Duration = Duration::from_secs(300);

/// The settings about the provider, apart from its issuer.
#[derive(Clone, Debug)]
pub(super) struct ProviderSettings {
    /// At least one, and never `HS256`.
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) end_session_endpoint: Option<Url>,
    pub(super) revocation_endpoint: Option<Url>,
    /// For all instances together.
    pub(super) token_requests_per_minute: Option<u32>,
    pub(super) instances: u32,
    pub(super) ca_file: Option<PathBuf>,
    /// With the content of `ca_file`.
    pub(super) http: HttpOptions,
}

/// The URLs and paths of the app.
#[derive(Clone, Debug)]
pub(super) struct SiteSettings {
    pub(super) redirect_uri: Url,
    pub(super) post_logout_redirect_uri: Option<Url>,
    /// Empty, or a path such as `/app` without a trailing slash.
    pub(super) base_path: String,
    /// The redirect URI's path without the base path.
    pub(super) callback_route: String,
    /// A local path, as the browser sees it.
    pub(super) home: String,
}

/// The parameters of authorization requests.
#[derive(Clone, Debug)]
pub(super) struct SignInSettings {
    pub(super) scopes: Vec<String>,
    pub(super) defaults: LoginOptions,
    /// The options that the query of the login route may set.
    pub(super) login_parameters: Vec<String>,
    pub(super) claims_from_userinfo: bool,
    pub(super) native_links: NativeLinks,
    pub(super) request_object_lifetime: Duration,
}

/// The hosts of native apps that listen on this device, to be written before a port and a path.
pub(super) const LOOPBACK: [&str; 2] = ["http://127.0.0.1", "http://[::1]"];

/// The links of native apps to which a sign-in may return.
#[derive(Clone, Debug)]
pub(super) struct NativeLinks(pub(super) Vec<String>);

impl NativeLinks {
    /// Compares byte by byte. Only a loopback link may add a port, which the operating system gives the
    /// app (RFC 8252 section 7.3).
    pub(super) fn contains(&self, uri: &str) -> bool {
        let is_listed = |link: &str| self.0.iter().any(|listed| listed == link);
        is_listed(uri) || without_port(uri).is_some_and(|link| is_listed(&link))
    }
}

fn without_port(uri: &str) -> Option<String> {
    let (host, rest) = LOOPBACK
        .iter()
        .find_map(|host| Some((host, uri.strip_prefix(host)?.strip_prefix(':')?)))?;
    let (port, path) = rest.split_at(rest.find('/')?);
    // Not another spelling of the number.
    let number: u16 = port.parse().ok()?;
    (number.to_string() == port).then(|| format!("{host}{path}"))
}

/// The settings about sessions, their store and the refresh of their tokens.
#[derive(Clone, Debug)]
pub(super) struct SessionSettings {
    pub(super) idle: Duration,
    pub(super) lifetime: Duration,
    pub(super) guest_idle: Duration,
    pub(super) per_user: u32,
    pub(super) addresses: bool,
    pub(super) store: StoreUrl,
    pub(super) keys: Vec<SealingKey>,
    pub(super) refresh: RefreshPolicy,
    pub(super) refresh_grace: Duration,
    pub(super) cookie_name: String,
    pub(super) persistent_cookie: bool,
    pub(super) clear_cache: bool,
}

/// The settings about access rules.
#[derive(Clone, Debug)]
pub(super) struct AccessSettings {
    pub(super) rules: BTreeMap<String, Rule>,
    pub(super) trusts_emails: bool,
}

/// The proxies that are trusted to report the client's address.
#[derive(Clone, Debug)]
pub(crate) struct TrustedProxies(pub(super) Vec<IpNet>);

impl TrustedProxies {
    /// Whether the proxy at `address` is one of them. An IPv4-mapped IPv6 address is the same as its
    /// IPv4 address.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// The addresses of the program and of the proxies in front of it.
#[derive(Clone, Debug)]
pub(super) struct NetworkSettings {
    pub(super) trusted_proxies: TrustedProxies,
    pub(super) listen: SocketAddr,
    pub(super) metrics_listen: Option<SocketAddr>,
}
