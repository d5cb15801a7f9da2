//! Configuration, validated as a whole before the app starts.
//!
//! A configuration comes from a TOML file, from `OTEN_*` environment variables, which override the
//! file, from code, or from a combination of them. The same rules apply to all of them, and
//! [`ConfigError`] lists every problem with its setting and its help.
//! The guide lists all settings.
//!
//! ```
//! use axum_oten::config::{Config, Environment};
//!
//! let config = Config::builder()
//!     .environment(Environment::Sandbox)
//!     .client_id("my-site")
//!     .client_secret("a-secret-of-at-least-32-bytes-as-Oten-makes-them")
//!     .redirect_uri("http://localhost:3000/callback")
//!     .build()?;
//! assert_eq!(config.callback_route(), "/callback");
//! assert!(!config.secure_cookies(), "plain http on localhost");
//!
//! // The error lists every problem.
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
//!         "  redirect_uri (set in code): is not an https URL, which production requires: an \
//!          eavesdropper on http can sign in as the user. Begin it with `https://`."
//!     ),
//! );
//! # Ok::<_, axum_oten::config::ConfigError>(())
//! ```

mod api;
mod builder;
mod client;
mod issuer;
mod keys;
mod login_options;
mod problem;
mod raw;
pub(crate) mod redis_url;
mod refresh_policy;
pub(crate) mod route;
mod rule;
mod settings;
mod sources;
mod store_url;
#[cfg(test)]
mod tests;
mod validate;

pub use self::{
    api::{ApiConfig, TokenValidation},
    builder::ConfigBuilder,
    client::{AuthMethod, Client, ClientType, Jar},
    issuer::{Environment, Issuer},
    login_options::{InvalidLoginOption, LoginOptions},
    problem::{ConfigError, Origin, Problem},
    refresh_policy::RefreshPolicy,
    rule::{Claim, ClaimPath, Denied, Rule},
    store_url::StoreUrl,
};

#[doc(inline)]
pub use crate::{http::Proxy, seal::SealingKey};

// For the program `oten`; not part of the API.
#[doc(hidden)]
pub use self::keys::Key;

#[cfg(any(doc, test))]
pub(crate) use self::keys::{settings_cells, settings_table};
pub(crate) use self::{api::ApiSettings, settings::TrustedProxies};
pub(crate) use self::{
    issuer::{is_loopback, without_slash},
    login_options::{FRESH, LOGIN_HINT, MAX_MAX_AGE, SWITCH_ACCOUNT},
};
#[cfg(feature = "check")]
pub(crate) use self::{settings::MAX_REQUEST_OBJECT_LIFETIME, validate::Partial};

use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
    time::Duration,
};

use url::Url;

use self::settings::{
    AccessSettings, NetworkSettings, ProviderSettings, SessionSettings, SignInSettings,
    SiteSettings,
};
use crate::{http::HttpOptions, jose::Algorithm};

/// A valid configuration. The only way to create one is to validate it.
#[derive(Clone, Debug)]
pub struct Config {
    issuer: Issuer,
    client: Client,
    provider: ProviderSettings,
    api: ApiSettings,
    site: SiteSettings,
    sign_in: SignInSettings,
    session: SessionSettings,
    access: AccessSettings,
    log_subjects: bool,
    network: NetworkSettings,
    warnings: Vec<Problem>,
}

impl Config {
    /// The provider to sign in with.
    #[must_use]
    pub fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// The client as registered with Oten.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The audiences that are this app's API: an access token must name one of them.
    #[must_use]
    pub fn audiences(&self) -> &[String] {
        &self.api.audiences
    }

    /// How access tokens of API requests are validated.
    #[must_use]
    pub fn token_validation(&self) -> TokenValidation {
        self.api.validation
    }

    /// The settings for access tokens of API requests.
    pub(crate) fn api(&self) -> &ApiSettings {
        &self.api
    }

    /// The algorithms that the provider may sign tokens with.
    pub(crate) fn id_token_algorithms(&self) -> &[Algorithm] {
        &self.provider.algorithms
    }

    /// The end-session endpoint of a provider that does not announce it (OpenID Connect
    /// RP-Initiated Logout 1.0 section 2). An https URL, or http on a loopback host.
    #[must_use]
    pub fn end_session_endpoint(&self) -> Option<&Url> {
        self.provider.end_session_endpoint.as_ref()
    }

    /// The revocation endpoint of a provider that does not announce it (RFC 7009 section 2). An
    /// https URL, or http on a loopback host.
    #[must_use]
    pub fn revocation_endpoint(&self) -> Option<&Url> {
        self.provider.revocation_endpoint.as_ref()
    }

    /// The number of processes that share the client's limit on token requests, 1 to 1000.
    #[must_use]
    pub fn instances(&self) -> u32 {
        self.provider.instances
    }

    /// The number of token requests per minute that this process may send: its share of the client's
    /// limit, at least 1. `None` if no limit is known.
    #[must_use]
    pub fn token_budget(&self) -> Option<u32> {
        let limit = self.provider.token_requests_per_minute?;
        Some((limit / self.instances()).max(1))
    }

    /// The file of certificates to trust for calls to the provider, in addition to the system's. It
    /// was read when the configuration was created.
    #[must_use]
    pub fn ca_file(&self) -> Option<&Path> {
        self.provider.ca_file.as_deref()
    }

    /// The proxy for calls to the provider.
    #[must_use]
    pub fn proxy(&self) -> &Proxy {
        &self.provider.http.proxy
    }

    /// The options for calls to the provider.
    pub(crate) fn http_options(&self) -> &HttpOptions {
        &self.provider.http
    }

    /// The absolute URL of the callback route. An https URL, or http on a loopback host.
    #[must_use]
    pub fn redirect_uri(&self) -> &Url {
        &self.site.redirect_uri
    }

    /// The absolute URL to which Oten redirects after signing the user out; preferably the logout
    /// route. Without it, the app's page after sign-out is shown, or Oten's if the user signs out at
    /// Oten, too.
    #[must_use]
    pub fn post_logout_redirect_uri(&self) -> Option<&Url> {
        self.site.post_logout_redirect_uri.as_ref()
    }

    /// The path under which browsers see the app: empty, or a path such as `/app` without a trailing
    /// slash.
    #[must_use]
    pub fn base_path(&self) -> &str {
        &self.site.base_path
    }

    /// The callback route for the app's router: the redirect URI's path without the base path.
    #[must_use]
    pub fn callback_route(&self) -> &str {
        &self.site.callback_route
    }

    /// The local path to go to after sign-in if no page was requested, as browsers see it.
    #[must_use]
    pub fn home(&self) -> &str {
        &self.site.home
    }

    /// The scopes to request: distinct, and including `openid`.
    #[must_use]
    pub fn scopes(&self) -> &[String] {
        &self.sign_in.scopes
    }

    /// The prompts that Oten must show at sign-in, separated by spaces.
    #[must_use]
    pub fn prompt(&self) -> Option<&str> {
        self.sign_in.defaults.get(login_options::PROMPT)
    }

    /// The maximum time since the user last signed in at Oten, in whole seconds.
    #[must_use]
    pub fn max_age(&self) -> Option<Duration> {
        self.sign_in.defaults.given_max_age()
    }

    /// The preferred languages for Oten's pages, best first, separated by spaces.
    #[must_use]
    pub fn ui_locales(&self) -> Option<&str> {
        self.sign_in.defaults.get(login_options::UI_LOCALES)
    }

    /// The options of every sign-in.
    pub(crate) fn login_defaults(&self) -> &LoginOptions {
        &self.sign_in.defaults
    }

    /// The login options that the query of the login route may set.
    #[must_use]
    pub fn login_parameters(&self) -> &[String] {
        &self.sign_in.login_parameters
    }

    /// Whether claims such as name and email that the ID token lacks are taken from the userinfo endpoint.
    #[must_use]
    pub fn claims_from_userinfo(&self) -> bool {
        self.sign_in.claims_from_userinfo
    }

    /// The links of native apps to which a sign-in may return. Without one, native apps cannot sign in.
    #[must_use]
    pub fn native_links(&self) -> &[String] {
        &self.sign_in.native_links.0
    }

    /// Whether a sign-in may return to this link.
    pub(crate) fn is_native_link(&self, uri: &str) -> bool {
        self.sign_in.native_links.contains(uri)
    }

    /// The lifetime of a signed authorization request, 10 to 300 seconds.
    #[must_use]
    pub fn request_object_lifetime(&self) -> Duration {
        self.sign_in.request_object_lifetime
    }

    /// The time without a request after which a session expires, at most
    /// [`session_lifetime`](Self::session_lifetime).
    #[must_use]
    pub fn session_idle(&self) -> Duration {
        self.session.idle
    }

    /// The maximum lifetime of a session and of its cookie.
    #[must_use]
    pub fn session_lifetime(&self) -> Duration {
        self.session.lifetime
    }

    /// The time without a request after which the session of a guest expires.
    #[must_use]
    pub fn guest_session_idle(&self) -> Duration {
        self.session.guest_idle
    }

    /// The number of sessions that a user can have, 1 to 1000.
    #[must_use]
    pub fn sessions_per_user(&self) -> u32 {
        self.session.per_user
    }

    /// Whether a session contains the client's address at the sign-in.
    #[must_use]
    pub fn session_addresses(&self) -> bool {
        self.session.addresses
    }

    /// The session store.
    #[must_use]
    pub fn session_store(&self) -> &StoreUrl {
        &self.session.store
    }

    /// The keys that seal records in the store: the first key seals, every key opens. May be empty only
    /// with an in-process store, where nothing is sealed.
    #[must_use]
    pub fn session_keys(&self) -> &[SealingKey] {
        &self.session.keys
    }

    /// When access tokens are refreshed.
    #[must_use]
    pub fn refresh(&self) -> RefreshPolicy {
        self.session.refresh
    }

    /// How long signed-in users keep access while the provider cannot refresh their tokens, at most
    /// an hour.
    #[must_use]
    pub fn refresh_grace(&self) -> Duration {
        self.session.refresh_grace
    }

    /// The start of the session cookie's name, after `__Host-` or `__Secure-`.
    #[must_use]
    pub fn cookie_name(&self) -> &str {
        &self.session.cookie_name
    }

    /// Whether the session cookie remains when the browser is closed.
    #[must_use]
    pub fn persistent_cookie(&self) -> bool {
        self.session.persistent_cookie
    }

    /// Whether a response that ends the session clears what the browser has cached of the site.
    #[must_use]
    pub fn clear_cache(&self) -> bool {
        self.session.clear_cache
    }

    /// Returns the access rule that the operator named so in `access`.
    #[must_use]
    pub fn rule(&self, name: &str) -> Option<&Rule> {
        self.access.rules.get(name)
    }

    /// Whether access rules accept email addresses without `email_verified`.
    #[must_use]
    pub fn trust_emails(&self) -> bool {
        self.access.trusts_emails
    }

    /// Whether logs identify users by their subject instead of a keyed hash of it.
    #[must_use]
    pub fn log_subjects(&self) -> bool {
        self.log_subjects
    }

    /// Whether the proxy at `address` is trusted to report the client's address (RFC 7239 section
    /// 8.1). An IPv4-mapped IPv6 address is the same as its IPv4 address.
    #[must_use]
    pub fn is_trusted_proxy(&self, address: IpAddr) -> bool {
        self.network.trusted_proxies.contains(address)
    }

    pub(crate) fn trusted_proxies(&self) -> &TrustedProxies {
        &self.network.trusted_proxies
    }

    /// The address and port to listen on. The layer itself does not listen.
    #[must_use]
    pub fn listen(&self) -> SocketAddr {
        self.network.listen
    }

    /// The address and port that `oten serve` serves metrics on, different from
    /// [`listen`](Self::listen); `None` if metrics are not served.
    #[doc(hidden)]
    #[must_use]
    pub fn metrics_listen(&self) -> Option<SocketAddr> {
        self.network.metrics_listen
    }

    /// The settings that work but should be changed, to be logged at start.
    #[must_use]
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }

    /// Whether cookies have the `Secure` attribute and a name prefix. `false` only for a redirect URI
    /// with plain http, where browsers would drop such cookies.
    #[must_use]
    pub fn secure_cookies(&self) -> bool {
        self.redirect_uri().scheme() != "http"
    }

    /// The prefix of cookie names: `__Host-`, or `__Secure-` under a base path, with which browsers
    /// reject `__Host-` (RFC 6265bis section 4.1.3).
    pub(crate) fn cookie_prefix(&self) -> &'static str {
        match (self.secure_cookies(), self.base_path()) {
            (false, _) => "",
            (true, "") => "__Host-",
            (true, _) => "__Secure-",
        }
    }

    /// The full name of the session cookie.
    pub(crate) fn session_cookie_name(&self) -> String {
        format!("{}{}_session", self.cookie_prefix(), self.cookie_name())
    }

    /// The app's origin (RFC 6454 section 6.2), such as `https://app.example.com`.
    #[must_use]
    pub fn origin(&self) -> String {
        self.redirect_uri().origin().ascii_serialization()
    }

    /// The absolute URL of the back-channel logout route, to register with Oten as
    /// `backchannel_logout_uri` (OpenID Connect Back-Channel Logout 1.0 section 2.2).
    #[must_use]
    pub fn back_channel_logout_uri(&self) -> String {
        self.uri(route::BACK_CHANNEL_LOGOUT)
    }

    /// The absolute URL of the route that publishes the client's keys, to register with Oten as
    /// `jwks_uri` for `EdDSA` (RFC 7591 section 2) if the app mounts
    /// [`Oten::jwks_route`](crate::Oten::jwks_route).
    #[must_use]
    pub fn jwks_uri(&self) -> String {
        self.uri(route::JWKS)
    }

    fn uri(&self, path: &str) -> String {
        format!("{}{}{path}", self.origin(), self.base_path())
    }
}
