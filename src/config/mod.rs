//! The settings, validated in full before anything starts.
//!
//! A configuration comes from a TOML file, from `OTEN_*` environment variables (which win over the
//! file), from code, or from all three. Every way leads through the same checks, and a refusal
//! lists every problem with its setting and its help. [`Key::all`] is the list of all settings.
//!
//! ```
//! use axum_oten::config::{Config, Environment};
//!
//! // Accepted: who we are, and where Oten sends browsers back to.
//! let config = Config::builder()
//!     .environment(Environment::Sandbox)
//!     .client_id("my-site")
//!     .client_secret("a-secret-of-at-least-32-bytes-as-Oten-makes-them")
//!     .redirect_uri("http://localhost:3000/callback")
//!     .build()?;
//! assert_eq!(config.callback_path(), "/callback");
//! assert!(!config.secure_cookies(), "plain http, on this machine only");
//!
//! // Refused: every problem is told at once.
//! let error = Config::builder()
//!     .environment(Environment::Production)
//!     .client_id("my-site")
//!     .redirect_uri("http://localhost:3000/callback")
//!     .build()
//!     .unwrap_err();
//! let keys: Vec<_> = error.problems().iter().map(|problem| problem.key()).collect();
//! assert_eq!(keys, ["client_secret", "redirect_uri"]);
//! assert_eq!(
//!     error.to_string().lines().nth(2),
//!     Some(
//!         "  redirect_uri (set in code): is not an https URL, which production demands: over \
//!          http, others read along and sign in as the user. Let it begin with `https://`."
//!     ),
//! );
//! # Ok::<_, axum_oten::config::ConfigError>(())
//! ```

mod builder;
mod client;
mod inline_secret;
mod issuer;
mod keys;
mod problem;
mod raw;
mod refresh_policy;
pub(crate) mod route;
mod sources;
mod store_host;
mod store_url;
mod suggest;
#[cfg(test)]
mod tests;
mod validate;

pub use self::{
    builder::ConfigBuilder,
    client::{Client, ClientType, Jar},
    issuer::{Environment, Issuer},
    keys::Key,
    problem::{ConfigError, Origin, Problem},
    refresh_policy::RefreshPolicy,
    store_url::StoreUrl,
};

#[doc(inline)]
pub use crate::{http::Proxy, seal::SealingKey};

#[cfg(any(doc, test))]
pub(crate) use self::keys::{settings_cells, settings_table};
#[cfg(feature = "check")]
pub(crate) use self::store_host::StoreHost;
#[cfg(feature = "check")]
pub(crate) use self::validate::Partial;
pub(crate) use self::validate::is_loopback;

use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use ipnet::IpNet;
use url::Url;

use crate::http::CaCertificates;

/// A configuration that passed every check. There is no way to make one that did not.
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) issuer: Issuer,
    pub(crate) client: Client,
    pub(crate) end_session_endpoint: Option<Url>,
    pub(crate) revocation_endpoint: Option<Url>,
    /// Of the whole client.
    pub(crate) token_requests_per_minute: Option<u32>,
    pub(crate) instances: u32,
    /// Where `ca_certificates` come from.
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) ca_certificates: CaCertificates,
    pub(crate) proxy: Proxy,
    pub(crate) redirect_uri: Url,
    pub(crate) post_logout_redirect_uri: Option<Url>,
    /// Empty, or `/app` without a slash at its end.
    pub(crate) base_path: String,
    /// The redirect URI's path less the base path.
    pub(crate) callback_path: String,
    /// A local path, as a browser sees it.
    pub(crate) home: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) prompt: Option<String>,
    pub(crate) max_age: Option<Duration>,
    pub(crate) ui_locales: Option<String>,
    pub(crate) request_object_lifetime: Duration,
    pub(crate) session_idle: Duration,
    pub(crate) session_lifetime: Duration,
    pub(crate) session_store: StoreUrl,
    pub(crate) session_keys: Vec<SealingKey>,
    pub(crate) refresh: RefreshPolicy,
    pub(crate) refresh_grace: Duration,
    pub(crate) cookie_name: String,
    pub(crate) log_subjects: bool,
    pub(crate) trusted_proxies: Vec<IpNet>,
    pub(crate) listen: SocketAddr,
    pub(crate) metrics_listen: Option<SocketAddr>,
    pub(crate) warnings: Vec<Problem>,
}

impl Config {
    /// Reads the `OTEN_*` environment variables.
    ///
    /// A variable that is set to nothing counts as unset.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with every problem, also with every `OTEN_*` variable that is no setting.
    pub fn from_env() -> Result<Self, ConfigError> {
        ConfigBuilder::from_env().build()
    }

    /// Reads a TOML file and the `OTEN_*` environment variables, which win.
    ///
    /// Relative paths in the file are relative to its folder.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with every problem; with a single one when the file is missing or no TOML.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        ConfigBuilder::from_file(path)?.build()
    }

    /// A configuration made in code.
    pub fn builder() -> ConfigBuilder {
        ConfigBuilder::default()
    }

    /// The provider to sign in with.
    #[must_use]
    pub fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// The client as it is registered with Oten.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The URL of sign-out at a provider that does not announce it: https, or http on this
    /// machine (OpenID Connect RP-Initiated Logout 1.0 section 2).
    #[must_use]
    pub fn end_session_endpoint(&self) -> Option<&Url> {
        self.end_session_endpoint.as_ref()
    }

    /// The URL where a provider that does not announce it takes tokens back: https, or http on
    /// this machine (RFC 7009 section 2).
    #[must_use]
    pub fn revocation_endpoint(&self) -> Option<&Url> {
        self.revocation_endpoint.as_ref()
    }

    /// How many processes share what the provider takes from this client, 1 to 1000.
    #[must_use]
    pub fn instances(&self) -> u32 {
        self.instances
    }

    /// How many token requests a minute this process may make: its part of what the provider
    /// takes from the client, at least one. `None` where no limit is known.
    #[must_use]
    pub fn token_budget(&self) -> Option<u32> {
        let limit = self.token_requests_per_minute?;
        Some((limit / self.instances).max(1))
    }

    /// The file with certificates that calls to the provider trust in addition to the system's. It
    /// was read when the configuration was made.
    #[must_use]
    pub fn ca_file(&self) -> Option<&Path> {
        self.ca_file.as_deref()
    }

    /// The way out to the provider.
    #[must_use]
    pub fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    /// The absolute URL Oten sends the browser back to: https, or http on this machine.
    #[must_use]
    pub fn redirect_uri(&self) -> &Url {
        &self.redirect_uri
    }

    /// The absolute URL the browser goes to after signing out; by default this site's own page,
    /// or Oten's where it signs the browser out, too. The best one is the logout route itself.
    #[must_use]
    pub fn post_logout_redirect_uri(&self) -> Option<&Url> {
        self.post_logout_redirect_uri.as_ref()
    }

    /// The path under which browsers see the site: empty, or `/app` without a slash at its end.
    #[must_use]
    pub fn base_path(&self) -> &str {
        &self.base_path
    }

    /// The redirect URI's path less the base path: the callback route as the router sees it.
    #[must_use]
    pub fn callback_path(&self) -> &str {
        &self.callback_path
    }

    /// The local path to go to when there is no page to return to, as a browser sees it.
    #[must_use]
    pub fn home(&self) -> &str {
        &self.home
    }

    /// What to ask Oten for; `openid` is among it and nothing is there twice.
    #[must_use]
    pub fn scopes(&self) -> &[String] {
        &self.scopes
    }

    /// What Oten must ask the user for at sign-in, separated by spaces.
    #[must_use]
    pub fn prompt(&self) -> Option<&str> {
        self.prompt.as_deref()
    }

    /// How long ago the user may last have signed in at Oten, in whole seconds.
    #[must_use]
    pub fn max_age(&self) -> Option<Duration> {
        self.max_age
    }

    /// The languages for Oten's pages, best first, separated by spaces.
    #[must_use]
    pub fn ui_locales(&self) -> Option<&str> {
        self.ui_locales.as_deref()
    }

    /// How long a signed authorization request is valid, 10 to 300 seconds.
    #[must_use]
    pub fn request_object_lifetime(&self) -> Duration {
        self.request_object_lifetime
    }

    /// How long a session lives without a request; never longer than
    /// [`session_lifetime`](Self::session_lifetime).
    #[must_use]
    pub fn session_idle(&self) -> Duration {
        self.session_idle
    }

    /// How long a session lives at most, also the life of its cookie.
    #[must_use]
    pub fn session_lifetime(&self) -> Duration {
        self.session_lifetime
    }

    /// Where sessions are kept.
    #[must_use]
    pub fn session_store(&self) -> &StoreUrl {
        &self.session_store
    }

    /// The keys that seal tokens and login attempts in the store: the first one seals, all of them
    /// open. Empty where nothing is sealed, which a store outside this process does not allow.
    #[must_use]
    pub fn session_keys(&self) -> &[SealingKey] {
        &self.session_keys
    }

    /// When access tokens are renewed.
    #[must_use]
    pub fn refresh(&self) -> RefreshPolicy {
        self.refresh
    }

    /// How long pages go on for signed-in users while the provider cannot renew their tokens, up
    /// to an hour.
    #[must_use]
    pub fn refresh_grace(&self) -> Duration {
        self.refresh_grace
    }

    /// What the session cookie's name begins with, after `__Host-` or `__Secure-`.
    #[must_use]
    pub fn cookie_name(&self) -> &str {
        &self.cookie_name
    }

    /// Whether the log names users by their subject instead of a keyed hash of it.
    #[must_use]
    pub fn log_subjects(&self) -> bool {
        self.log_subjects
    }

    /// Whether `address` is a proxy's whose word on the client's address is believed (RFC 7239
    /// section 8.1). An IPv4 address that is written as an IPv6 one is the same address.
    #[must_use]
    pub fn is_trusted_proxy(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let mut trusted = self.trusted_proxies.iter();
        trusted.any(|network| network.contains(&address))
    }

    /// The address and port the program listens on. The layer itself does not listen.
    #[must_use]
    pub fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// The address and port the program shows its metrics on, another one than
    /// [`listen`](Self::listen); `None` where it shows them to nobody.
    #[must_use]
    pub fn metrics_listen(&self) -> Option<SocketAddr> {
        self.metrics_listen
    }

    /// What works but should be changed, one sentence each; to be logged at start.
    #[must_use]
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }

    /// Whether cookies get `Secure` and a name prefix: always, except over http on this machine,
    /// where browsers would drop them.
    #[must_use]
    pub fn secure_cookies(&self) -> bool {
        self.redirect_uri.scheme() != "http"
    }

    /// What the names of cookies begin with: `__Host-`, or `__Secure-` under a base path, where
    /// browsers take it (RFC 6265bis section 4.1.3).
    pub(crate) fn cookie_prefix(&self) -> &'static str {
        match (self.secure_cookies(), self.base_path()) {
            (false, _) => "",
            (true, "") => "__Host-",
            (true, _) => "__Secure-",
        }
    }

    /// The full name of the session cookie.
    pub(crate) fn session_cookie_name(&self) -> String {
        format!("{}{}_session", self.cookie_prefix(), self.cookie_name)
    }

    /// The origin browsers see the site under (RFC 6454 section 6.2), such as
    /// `https://app.example.com`.
    #[must_use]
    pub fn origin(&self) -> String {
        self.redirect_uri.origin().ascii_serialization()
    }

    /// The absolute URL of the back-channel logout route, the `backchannel_logout_uri` to register
    /// with Oten (OpenID Connect Back-Channel Logout 1.0 section 2.2).
    #[must_use]
    pub fn back_channel_logout_uri(&self) -> String {
        self.uri(route::BACK_CHANNEL_LOGOUT)
    }

    /// The absolute URL of the route that publishes the client's keys, the `jwks_uri` to register
    /// with Oten for `EdDSA` (RFC 7591 section 2), where the app mounts
    /// [`Oten::jwks_route`](crate::Oten::jwks_route).
    #[must_use]
    pub fn jwks_uri(&self) -> String {
        self.uri(route::JWKS)
    }

    fn uri(&self, path: &str) -> String {
        format!("{}{}{path}", self.origin(), self.base_path)
    }
}
