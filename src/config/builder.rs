use std::{
    env, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use zeroize::Zeroizing;

use super::{
    ApiConfig, AuthMethod, Config, ConfigError, Environment, Origin, Proxy, RefreshPolicy,
    StoreUrl, TokenValidation,
    keys::{self, Key},
    raw::{Given, Raw},
    sources::{File, sources, unusable},
    validate::{self, format_duration, unreadable},
};
use crate::{
    jose::{Ed25519KeyPair, Ed25519PublicKey},
    secret::Secret,
};

impl Config {
    /// Creates a configuration from the `OTEN_*` environment variables.
    ///
    /// An empty variable counts as unset.
    ///
    /// # Errors
    ///
    /// Returns [`ConfigError`] with every problem, including every `OTEN_*` variable that is not a
    /// setting.
    pub fn from_env() -> Result<Self, ConfigError> {
        ConfigBuilder::from_env().build()
    }

    /// Creates a configuration from a TOML file and the `OTEN_*` environment variables, which
    /// override the file.
    ///
    /// Relative paths in the file are relative to its folder.
    ///
    /// # Errors
    ///
    /// Returns [`ConfigError`] with every problem, or only with that of a file that cannot be read
    /// or is not TOML.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        ConfigBuilder::from_file(path)?.build()
    }

    /// Returns a builder for a configuration in code.
    pub fn builder() -> ConfigBuilder {
        ConfigBuilder::default()
    }
}

impl ApiConfig {
    /// Creates a configuration from the `OTEN_*` environment variables.
    ///
    /// # Errors
    ///
    /// Returns [`ConfigError`] with every problem.
    pub fn from_env() -> Result<Self, ConfigError> {
        ConfigBuilder::from_env().build_api()
    }

    /// Creates a configuration from a TOML file and the `OTEN_*` environment variables, which
    /// override the file.
    ///
    /// # Errors
    ///
    /// Returns [`ConfigError`] with every problem, or only with that of a file that cannot be read
    /// or is not TOML.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        ConfigBuilder::from_file(path)?.build_api()
    }
}

/// Builder for a [`Config`].
///
/// Setters override the values of a file and of the environment. Values are validated only by
/// [`build`](Self::build).
///
/// ```
/// use axum_oten::{Secret, config::{Config, Environment}};
/// use std::time::Duration;
///
/// let config = Config::builder()
///     .environment(Environment::Sandbox)
///     .client_id("my-site")
///     .client_secret(Secret::random())
///     .redirect_uri("https://app.example.com/callback")
///     .session_idle(Duration::from_secs(30 * 60))
///     .build()?;
/// assert_eq!(config.origin(), "https://app.example.com");
///
/// // A session cannot be idle for longer than its lifetime.
/// let error = Config::builder()
///     .environment(Environment::Sandbox)
///     .client_id("my-site")
///     .client_secret(Secret::random())
///     .redirect_uri("https://app.example.com/callback")
///     .session_lifetime(Duration::from_secs(60 * 60))
///     .build()
///     .unwrap_err();
/// assert_eq!(error.problems()[0].key(), "session_idle");
/// # Ok::<_, axum_oten::config::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "a builder does nothing before `build`"]
pub struct ConfigBuilder {
    raw: Raw,
}

impl ConfigBuilder {
    /// Creates a builder with the values of the `OTEN_*` environment variables.
    pub fn from_env() -> Self {
        let raw = sources(None, env::vars_os());
        // Only reading a file can fail.
        Self {
            raw: raw.unwrap_or_default(),
        }
    }

    /// Creates a builder with the values of a TOML file and of the `OTEN_*` environment variables,
    /// which override the file.
    ///
    /// # Errors
    ///
    /// Returns [`ConfigError`] if the file cannot be read or is not TOML. [`build`](Self::build)
    /// returns all other problems.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let text = fs::read_to_string(path).map_err(|error| {
            let help =
                "Correct the path, create the file, or give this user permission to read it.";
            unusable(path, unreadable(&error).0, help)
        })?;
        let text = Zeroizing::new(text);
        let file = File { path, text: &text };
        sources(Some(file), env::vars_os()).map(|raw| Self { raw })
    }

    /// Creates a builder from a TOML string, such as one compiled into the program. Ignores the
    /// environment.
    ///
    /// Problems refer to the string as `name`. Relative paths in it are relative to the folder of
    /// `name`.
    ///
    /// ```
    /// use axum_oten::config::ConfigBuilder;
    ///
    /// let text = "environment = 'sandbox'\nclient_type = 'public'";
    /// let config = ConfigBuilder::from_toml("built-in.toml", text)?
    ///     .client_id("my-site")
    ///     .redirect_uri("https://app.example.com/callback")
    ///     .build()?;
    /// assert_eq!(config.issuer().to_string(), "https://account.sbx.oten.dev");
    ///
    /// assert!(ConfigBuilder::from_toml("built-in.toml", "client_id: my-site").is_err());
    /// # Ok::<_, axum_oten::config::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`ConfigError`] if the string is not TOML.
    pub fn from_toml(name: impl AsRef<Path>, text: &str) -> Result<Self, ConfigError> {
        let path = name.as_ref();
        let no_variables: [(&str, &str); 0] = [];
        sources(Some(File { path, text }), no_variables).map(|raw| Self { raw })
    }

    /// Whether the setting with this name in a TOML file is set. A default does not count, and
    /// unknown names are never set.
    #[doc(hidden)]
    #[must_use]
    pub fn is_set(&self, name: &str) -> bool {
        keys::named(name).is_some_and(|name| self.raw.is_set(name.key))
    }

    /// Whether the environment is Oten's production, even if other settings are invalid.
    ///
    /// ```
    /// use axum_oten::config::{Config, Environment};
    ///
    /// assert!(Config::builder().environment(Environment::Production).is_production());
    /// assert!(!Config::builder().environment(Environment::Sandbox).is_production());
    /// ```
    #[doc(hidden)]
    #[must_use]
    pub fn is_production(&self) -> bool {
        validate::is_production(&self.raw)
    }

    /// Validates all values and creates the configuration.
    ///
    /// # Errors
    ///
    /// Returns [`ConfigError`] with every problem.
    pub fn build(self) -> Result<Config, ConfigError> {
        validate::validate(&self.raw)
    }

    /// Validates the values that an API needs and creates its configuration.
    ///
    /// # Errors
    ///
    /// Returns [`ConfigError`] with every problem.
    pub fn build_api(self) -> Result<ApiConfig, ConfigError> {
        validate::validate_api(&self.raw)
    }

    /// Returns the valid settings and every problem with the others.
    #[cfg(feature = "check")]
    pub(crate) fn examine(&self) -> validate::Partial {
        validate::examine(&self.raw)
    }

    /// Sets the Oten environment to sign in with. Replaces an [`issuer`](Self::issuer).
    ///
    /// Required unless `issuer` is set. Production rejects settings that only cause a warning
    /// elsewhere, such as a short client secret.
    pub fn environment(mut self, environment: Environment) -> Self {
        self.raw.unset(&keys::ISSUER);
        self.text(&keys::ENVIRONMENT, environment.name())
    }

    /// Sets the URL of another issuer to sign in with, such as an emulator. Replaces an
    /// [`environment`](Self::environment).
    ///
    /// Required unless `environment` is set. Must be an https URL, or http on a loopback host.
    /// **The issuer decides who is signed in**, so it must be trusted.
    pub fn issuer(mut self, url: impl Into<String>) -> Self {
        self.raw.unset(&keys::ENVIRONMENT);
        self.text(&keys::ISSUER, url)
    }

    /// Sets the algorithms that another provider may sign ID tokens, logout tokens and JWT access tokens
    /// with: `EdDSA`, `RS256`, `PS256` and `ES256`. Defaults to `EdDSA` alone.
    ///
    /// A token with another algorithm is rejected, whatever the provider announces. Rejected for Oten's
    /// environments.
    pub fn id_token_algorithms<T: AsRef<str>>(
        self,
        algorithms: impl IntoIterator<Item = T>,
    ) -> Self {
        self.set(&keys::ID_TOKEN_ALGORITHMS, Given::words(algorithms))
    }

    /// Sets how the client sends its secret to another provider. Defaults to
    /// [`AuthMethod::ClientSecretPost`], whatever the provider announces. Rejected for Oten's environments
    /// and for a public client.
    pub fn token_endpoint_auth_method(self, method: AuthMethod) -> Self {
        self.text(&keys::TOKEN_ENDPOINT_AUTH_METHOD, method.name())
    }

    /// Sets the audiences that an ID token of another provider may name beside the client ID. Defaults to
    /// none. Rejected for Oten's environments.
    ///
    /// Such a token must name the client as its authorized party, `azp` (OpenID Connect Core section
    /// 3.1.3.7). **Every audience in it can use the token at the others.**
    pub fn trusted_audiences<T: AsRef<str>>(self, audiences: impl IntoIterator<Item = T>) -> Self {
        self.set(&keys::TRUSTED_AUDIENCES, Given::words(audiences))
    }

    /// Sets the client ID from Oten's developer portal. Required.
    pub fn client_id(self, id: impl Into<String>) -> Self {
        self.text(&keys::CLIENT_ID, id)
    }

    /// Sets the client secret. Required for a confidential client.
    ///
    /// Production rejects a secret of less than 32 bytes, unless requests are signed with
    /// [`jar_eddsa`](Self::jar_eddsa). **Do not write it into the source**: read it from a file or
    /// from the environment.
    pub fn client_secret(self, secret: impl Into<Secret>) -> Self {
        self.set(&keys::CLIENT_SECRET, Given::Text(secret.into()))
    }

    /// Makes the client a public one, which has no secret. Defaults to a confidential client.
    ///
    /// An app on a server can keep a secret and should be a confidential client: requests of a
    /// public client are not signed.
    pub fn public_client(self) -> Self {
        self.text(&keys::CLIENT_TYPE, "public")
    }

    /// Sets the URL of the provider's end-session endpoint. Defaults to the one that discovery
    /// announces, if any.
    ///
    /// Must be an https URL, or http on a loopback host.
    pub fn end_session_endpoint(self, url: impl Into<String>) -> Self {
        self.text(&keys::END_SESSION_ENDPOINT, url)
    }

    /// Sets the URL of the provider's revocation endpoint. Defaults to the one that discovery
    /// announces, if any.
    ///
    /// Must be an https URL, or http on a loopback host: **refresh tokens are sent to it.**
    pub fn revocation_endpoint(self, url: impl Into<String>) -> Self {
        self.text(&keys::REVOCATION_ENDPOINT, url)
    }

    /// Sets the number of token requests per minute that the provider accepts from this client.
    /// Defaults to the limit of Oten's environment: 60 in production, 120 in the sandbox, and none
    /// for another issuer. From 1 to 1,000,000.
    pub fn token_requests_per_minute(self, requests: u32) -> Self {
        self.text(&keys::TOKEN_REQUESTS_PER_MINUTE, requests.to_string())
    }

    /// Sets the number of processes that share the client's limit on token requests, 1 to 1000.
    /// Defaults to 1.
    ///
    /// If it is too small, the provider rejects requests when all processes are busy.
    pub fn instances(self, instances: u32) -> Self {
        self.text(&keys::INSTANCES, instances.to_string())
    }

    /// Sets a PEM file of certificates to trust for calls to the provider, in addition to the
    /// system's. Defaults to the system's only.
    ///
    /// **The holder of such a certificate's key can impersonate the provider**, and so decides who is
    /// signed in.
    pub fn ca_file(self, path: impl Into<PathBuf>) -> Self {
        self.set(&keys::CA_FILE, Given::File(path.into()))
    }

    /// Sets the proxy for calls to the provider. Defaults to [`Proxy::System`].
    // By value, like every other setter.
    #[allow(clippy::needless_pass_by_value)]
    pub fn proxy(self, proxy: Proxy) -> Self {
        self.text(&keys::PROXY, proxy.setting())
    }

    /// Sets the absolute URL of the callback route, such as `https://app.example.com/callback`.
    /// Required.
    ///
    /// Register exactly this URL with Oten. Its path becomes the path of the callback route.
    pub fn redirect_uri(self, url: impl Into<String>) -> Self {
        self.text(&keys::REDIRECT_URI, url)
    }

    /// Sets the absolute URL to which Oten redirects after signing the user out. Defaults to none:
    /// the app's page after sign-out is shown, or Oten's if the user signs out at Oten, too.
    ///
    /// Register exactly this URL with Oten. Preferably it is the logout route, such as
    /// `https://app.example.com/logout`, which recognizes the redirect by its `state` and confirms
    /// the sign-out.
    pub fn post_logout_redirect_uri(self, url: impl Into<String>) -> Self {
        self.text(&keys::POST_LOGOUT_REDIRECT_URI, url)
    }

    /// Sets the path under which browsers see the app, such as `/app`, with or without a trailing
    /// slash. Defaults to the empty path.
    ///
    /// Behind a proxy that removes the path, set the one that browsers see: cookies are bound to it.
    pub fn base_path(self, path: impl Into<String>) -> Self {
        self.text(&keys::BASE_PATH, path)
    }

    /// Sets the local path to go to after sign-in if no page was requested, as browsers see it, such
    /// as `/app/welcome`. Defaults to the app's root.
    ///
    /// Must begin with one slash; special characters must be percent-encoded.
    pub fn home(self, path: impl Into<String>) -> Self {
        self.text(&keys::HOME, path)
    }

    /// Sets the scopes to request. Defaults to `openid`, `profile` and `email`.
    ///
    /// Must include `openid`. Without `profile` and `email`, users have no name and no email
    /// address.
    pub fn scopes<T: AsRef<str>>(self, scopes: impl IntoIterator<Item = T>) -> Self {
        self.set(&keys::SCOPES, Given::words(scopes))
    }

    /// Sets the audiences that are this app's API. Defaults to the client ID.
    ///
    /// An access token is accepted only if it names one of them (RFC 9068 section 4): otherwise a token
    /// that the user gave to another API would be accepted here.
    pub fn audiences<T: AsRef<str>>(self, audiences: impl IntoIterator<Item = T>) -> Self {
        self.set(&keys::AUDIENCES, Given::words(audiences))
    }

    /// Sets how access tokens of API requests are validated. Defaults to [`TokenValidation::Auto`].
    pub fn token_validation(self, validation: TokenValidation) -> Self {
        self.text(&keys::TOKEN_VALIDATION, validation.name())
    }

    /// Sets the URL of the endpoint that validates tokens, for an issuer other than Oten's. Must be an
    /// https URL, or http on a loopback host: **the client secret is sent to it.** Defaults to none, and
    /// access tokens of that issuer are then accepted only if they are JWTs.
    pub fn token_validation_endpoint(self, url: impl Into<String>) -> Self {
        self.text(&keys::TOKEN_VALIDATION_ENDPOINT, url)
    }

    /// Signs authorization requests with the client secret. This is the default for a confidential
    /// client.
    ///
    /// The secret should be at least 32 bytes long, because a signed request passes through the browser.
    pub fn jar_hs256(self) -> Self {
        self.jar("HS256", None)
    }

    /// Signs authorization requests with an Ed25519 key. Defaults to the client secret.
    ///
    /// Register the public half with Oten, under the pair's key ID.
    pub fn jar_eddsa(self, pair: Ed25519KeyPair) -> Self {
        self.jar("EdDSA", Some(pair))
    }

    /// Adds a key to publish in addition to the signing key and the other keys of `jar_key_file`.
    /// Rejected unless requests are signed with an Ed25519 key. Defaults to none.
    ///
    /// To rotate keys without an interruption, publish the new key first. Sign with it and publish
    /// the old key once the provider has fetched the new one. Remove the old key when no request that
    /// it signed is in progress.
    ///
    /// ```
    /// use axum_oten::{Secret, config::{Config, Environment}, jose::Ed25519KeyPair};
    ///
    /// let (old, new) = (Ed25519KeyPair::generate(), Ed25519KeyPair::generate());
    /// let config = Config::builder()
    ///     .environment(Environment::Sandbox)
    ///     .client_id("my-site")
    ///     .client_secret(Secret::random())
    ///     .redirect_uri("https://app.example.com/callback")
    ///     .jar_eddsa(old.clone())
    ///     .jar_published_key(new.public_key());
    /// let ids: Vec<_> = config.clone().build()?.client().published_keys().iter()
    ///     .map(|key| key.key_id().to_owned())
    ///     .collect();
    /// assert_eq!(ids, [old.key_id(), new.key_id()]);
    ///
    /// // A key cannot be published twice.
    /// assert!(config.jar_published_key(old.public_key()).build().is_err());
    /// # Ok::<_, axum_oten::config::ConfigError>(())
    /// ```
    pub fn jar_published_key(mut self, key: Ed25519PublicKey) -> Self {
        self.raw.published_keys.push(key);
        self
    }

    /// Leaves authorization requests unsigned. By default they are signed.
    ///
    /// **Oten rejects unsigned requests** from confidential clients, except legacy clients that
    /// Oten's support has exempted. Many other providers cannot read signed ones. The user can modify an
    /// unsigned request in the browser. Public clients do not need this setting.
    pub fn jar_off(self) -> Self {
        self.jar("off", None)
    }

    /// Sets the prompts that Oten must show at sign-in: `login`, `consent` and `select_account`,
    /// separated by spaces, or `none` alone. By default Oten decides.
    ///
    /// With `none`, only users who are already signed in at Oten can sign in. With `login`, the ID token
    /// must prove it by its `auth_time`.
    pub fn prompt(self, prompt: impl Into<String>) -> Self {
        self.text(&keys::PROMPT, prompt)
    }

    /// Sets the maximum time since the user last signed in at Oten, in whole seconds, up to 365 days.
    /// Defaults to no limit. With zero, the user must sign in every time.
    pub fn max_age(self, age: Duration) -> Self {
        self.text(&keys::MAX_AGE, format_duration(age))
    }

    /// Sets the preferred languages for Oten's pages, best first, separated by spaces, such as
    /// `de-CH de en`. By default Oten uses the browser's languages.
    pub fn ui_locales(self, locales: impl Into<String>) -> Self {
        self.text(&keys::UI_LOCALES, locales)
    }

    /// Sets further parameters of every authorization request to another provider, each as `NAME=VALUE`,
    /// such as `access_type=offline`. Defaults to none. Rejected for Oten's environments.
    ///
    /// The parameters of the protocol, and those that are settings of their own, are rejected. Options of
    /// one sign-in are [`LoginOptions`](crate::web::LoginOptions).
    pub fn authorization_parameters<T: AsRef<str>>(
        self,
        parameters: impl IntoIterator<Item = T>,
    ) -> Self {
        self.set(&keys::AUTHORIZATION_PARAMETERS, Given::words(parameters))
    }

    /// Sets the login options that the query of the login route may set, such as `login_hint`,
    /// `ui_locales`, `max_age`, `prompt` and `acr_values`, or parameters of your own. Defaults to none.
    ///
    /// **Any site can link to the login route** with such a query. Invalid and repeated values are
    /// ignored, and a `max_age` cannot exceed the configured one. `prompt` cannot be combined with
    /// [`prompt`](Self::prompt). See [`LoginOptions`](crate::web::LoginOptions).
    pub fn login_parameters<T: AsRef<str>>(self, names: impl IntoIterator<Item = T>) -> Self {
        self.set(&keys::LOGIN_PARAMETERS, Given::words(names))
    }

    /// Sets whether claims that the ID token lacks are taken from the userinfo endpoint (OpenID Connect Core
    /// section 5.3): `name`, `given_name`, `family_name`, `picture`, `locale`, and `email` with
    /// `email_verified`. Defaults to `false`.
    ///
    /// Each sign-in and each token refresh makes one more call to the provider and waits for it for at most
    /// two seconds. Without an answer, a sign-in continues without these claims, and after a refresh the user
    /// keeps the previous ones. A claim of the ID token is never replaced, and other claims, such as roles,
    /// come from the ID token only.
    pub fn claims_from_userinfo(self, enabled: bool) -> Self {
        self.text(&keys::CLAIMS_FROM_USERINFO, enabled.to_string())
    }

    /// Sets the links of native apps to which a sign-in may return. Defaults to none: without a link,
    /// [`Oten::routes`](crate::Oten::routes) has no routes for native apps.
    ///
    /// Each is `https://HOST/PATH`, which the platform verifies to be the app's, a private-use scheme such
    /// as `com.example.app:/PATH`, or `http://127.0.0.1/PATH` or `http://[::1]/PATH`, where the app chooses
    /// the port (RFC 8252 section 7). Links are compared exactly.
    pub fn native_links<T: AsRef<str>>(self, links: impl IntoIterator<Item = T>) -> Self {
        self.set(&keys::NATIVE_LINKS, Given::words(links))
    }

    /// Sets the lifetime of a signed authorization request, 10 to 300 seconds. Defaults to 120
    /// seconds. In whole seconds; [`build`](Self::build) rejects fractions.
    ///
    /// If it is too short, sign-in fails on servers whose clock is wrong.
    pub fn request_object_lifetime(self, lifetime: Duration) -> Self {
        self.text(&keys::REQUEST_OBJECT_LIFETIME, format_duration(lifetime))
    }

    /// Sets the time without a request after which a session expires, from a minute up to
    /// [`session_lifetime`](Self::session_lifetime). Defaults to 12 hours.
    ///
    /// In whole seconds; [`build`](Self::build) rejects fractions.
    pub fn session_idle(self, idle: Duration) -> Self {
        self.text(&keys::SESSION_IDLE, format_duration(idle))
    }

    /// Sets the maximum lifetime of a session, from a minute to 365 days. Defaults to 7 days.
    ///
    /// A stolen cookie can stay valid for this long. In whole seconds; [`build`](Self::build)
    /// rejects fractions.
    pub fn session_lifetime(self, lifetime: Duration) -> Self {
        self.text(&keys::SESSION_LIFETIME, format_duration(lifetime))
    }

    /// Sets the time without a request after which the session of a guest expires, from a minute to
    /// 365 days. Defaults to 2 hours.
    ///
    /// A guest has a session only if the app stores data in it. In whole seconds;
    /// [`build`](Self::build) rejects fractions.
    pub fn guest_session_idle(self, idle: Duration) -> Self {
        self.text(&keys::GUEST_SESSION_IDLE, format_duration(idle))
    }

    /// Sets the number of sessions that a user can have, 1 to 1000. Defaults to 100.
    ///
    /// A sign-in beyond it ends the user's session that would expire first.
    pub fn sessions_per_user(self, sessions: u32) -> Self {
        self.text(&keys::SESSIONS_PER_USER, sessions.to_string())
    }

    /// Sets whether a session contains the client's address at the sign-in, so that the user and operators
    /// see it in the list of sessions. Defaults to `false`.
    ///
    /// **Addresses are personal data.** Behind a proxy, set
    /// [`trusted_proxies`](Self::trusted_proxies) as well.
    pub fn session_addresses(self, stored: bool) -> Self {
        self.text(&keys::SESSION_ADDRESSES, stored.to_string())
    }

    /// Sets the session store for [`store::open`](crate::store::open). Defaults to
    /// [`StoreUrl::Memory`], which signs every user out when the process ends.
    ///
    /// Production rejects `StoreUrl::Memory` here. An external store requires a
    /// [`session_key`](Self::session_key). Omit this setting if the app passes a store of its own.
    // By value, like every other setter.
    #[allow(clippy::needless_pass_by_value)]
    pub fn session_store(self, store: StoreUrl) -> Self {
        self.text(&keys::SESSION_STORE, store.setting())
    }

    /// Sets the keys that seal records in an external store: 32 bytes each in base64, separated by
    /// commas. Defaults to none, which only an in-process store allows.
    ///
    /// The first key seals, every key opens. To rotate keys, append the new key on every machine,
    /// then move it to the front on every machine, and remove the old key when the sessions sealed
    /// with it have expired. **Removing a key signs out the users whose sessions it sealed.** `oten
    /// keygen session` creates a key.
    /// **Do not write it into the source**: read it from a file or from the environment.
    pub fn session_key(self, keys: impl Into<Secret>) -> Self {
        self.set(&keys::SESSION_KEY, Given::Text(keys.into()))
    }

    /// Sets the file with the keys of [`session_key`](Self::session_key), and reports it if other
    /// users may read or write it.
    #[doc(hidden)]
    pub fn session_key_file(self, path: impl Into<PathBuf>) -> Self {
        self.set(&keys::SESSION_KEY, Given::File(path.into()))
    }

    /// Sets when access tokens are refreshed. Defaults to [`RefreshPolicy::Always`].
    ///
    /// With [`RefreshPolicy::OnDemand`], a user who is disabled at the provider may stay signed in
    /// for the lifetime of the session.
    pub fn refresh(self, policy: RefreshPolicy) -> Self {
        self.text(&keys::REFRESH, policy.name())
    }

    /// Sets how long signed-in users keep access while the provider cannot refresh their tokens, up
    /// to an hour. Defaults to 5 minutes.
    ///
    /// With zero, protected pages answer 503 as soon as an access token expires during an outage of
    /// the provider. In whole seconds; [`build`](Self::build) rejects fractions.
    pub fn refresh_grace(self, grace: Duration) -> Self {
        self.text(&keys::REFRESH_GRACE, format_duration(grace))
    }

    /// Sets the prefix of the cookies' names: at most 32 characters of a token (RFC 9110 section
    /// 5.6.2), not beginning with `__`. Defaults to `oten`.
    ///
    /// Two apps on one host need different names, because browsers send cookies to every port.
    pub fn cookie_name(self, name: impl Into<String>) -> Self {
        self.text(&keys::COOKIE_NAME, name)
    }

    /// Sets whether the session cookie remains when the browser is closed. Defaults to `true`.
    ///
    /// With `false`, the cookie has no `Max-Age`. Browsers that restore the last windows keep such a
    /// cookie as well.
    pub fn persistent_cookie(self, persistent: bool) -> Self {
        self.text(&keys::PERSISTENT_COOKIE, persistent.to_string())
    }

    /// Sets whether a response that ends the session also clears what the browser has cached of this
    /// origin: `Clear-Site-Data: "cache"`. Defaults to `true`.
    ///
    /// It removes the app's pages that were cached without `no-store`, and those that the back button
    /// shows. Browsers based on Chromium take up to several seconds for it, during which the sign-out
    /// seems to hang.
    pub fn clear_cache(self, clear: bool) -> Self {
        self.text(&keys::CLEAR_CACHE, clear.to_string())
    }

    /// Sets the access rules that [`Oten::rule`](crate::Oten::rule) returns, as JSON text. Defaults to none.
    ///
    /// The form is that of the table `access` in a configuration file. In code, create a
    /// [`Rule`](crate::Rule) instead.
    pub fn access(self, rules: impl Into<String>) -> Self {
        self.text(&keys::ACCESS, rules)
    }

    /// Sets whether access rules accept email addresses without `email_verified`. Defaults to `false`.
    ///
    /// **Use it only if the provider verifies every address itself**: otherwise a user can claim the
    /// address of an admin. An address with `email_verified: false` is never accepted.
    pub fn trust_emails(self, trust: bool) -> Self {
        self.text(&keys::TRUST_EMAILS, trust.to_string())
    }

    /// Sets whether logs identify users by their subject instead of a keyed hash of it. Defaults to
    /// `false`.
    ///
    /// **Subjects are personal data**, and so is a log that contains them.
    pub fn log_subjects(self, log_subjects: bool) -> Self {
        self.text(&keys::LOG_SUBJECTS, log_subjects.to_string())
    }

    /// Sets the proxies trusted to report the client's address: addresses such as `10.0.0.7` and
    /// networks such as `10.0.0.0/8`. Defaults to none; the client's address is then the peer's.
    ///
    /// **Include only proxies that set `Forwarded` or `X-Forwarded-For` themselves** and that clients
    /// cannot bypass: a peer with one of these addresses can report any client address.
    pub fn trusted_proxies<T: AsRef<str>>(self, proxies: impl IntoIterator<Item = T>) -> Self {
        self.set(&keys::TRUSTED_PROXIES, Given::words(proxies))
    }

    /// Sets the address and port for the program to listen on. Defaults to `127.0.0.1:3000`.
    ///
    /// The layer itself does not listen.
    pub fn listen(self, address: SocketAddr) -> Self {
        self.text(&keys::LISTEN, address.to_string())
    }

    /// Sets the address and port on which `oten serve` serves Prometheus metrics, under `/metrics`.
    /// Defaults to none.
    ///
    /// Must differ from [`listen`](Self::listen). Metrics are served without authentication and
    /// contain no user data: **listen on a loopback address or in an internal network.**
    #[doc(hidden)]
    pub fn metrics_listen(self, address: SocketAddr) -> Self {
        self.text(&keys::METRICS_LISTEN, address.to_string())
    }

    fn jar(mut self, signature: &str, pair: Option<Ed25519KeyPair>) -> Self {
        self.raw.unset(&keys::JAR_KEY_FILE);
        self.raw.unset(&keys::JAR_KEY_ID);
        self.raw.key_pair = pair;
        self.text(&keys::JAR, signature)
    }

    fn text(self, key: &'static Key, text: impl Into<String>) -> Self {
        self.set(key, Given::text(text))
    }

    fn set(mut self, key: &'static Key, given: Given) -> Self {
        self.raw.set(key, given, Origin::Builder);
        self
    }
}

#[cfg(test)]
impl From<Raw> for ConfigBuilder {
    fn from(raw: Raw) -> Self {
        Self { raw }
    }
}
