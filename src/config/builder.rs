use std::{
    env, fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use zeroize::Zeroizing;

use super::{
    Config, ConfigError, Environment, Origin, Proxy, RefreshPolicy, StoreUrl,
    keys::{self, Key},
    raw::{Given, Raw},
    sources::{File, sources, unusable},
    validate::{self, human},
};
use crate::{
    jose::{Ed25519KeyPair, Ed25519PublicKey},
    secret::Secret,
};

/// Makes a [`Config`] in code, or completes one that was read.
///
/// A setter replaces what a file or the environment said. Nothing is checked before
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
/// // A session that may be idle for longer than it lives makes no sense.
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
    /// Begins with what the `OTEN_*` environment variables say, to be completed by setters.
    pub fn from_env() -> Self {
        let raw = sources(None, env::vars_os());
        // Without a file there is nothing that could fail to parse.
        Self {
            raw: raw.unwrap_or_default(),
        }
    }

    /// Begins with what a TOML file and the `OTEN_*` environment variables say, to be completed
    /// by setters. The environment wins over the file.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] when the file cannot be read or is not TOML. Everything else is said by
    /// [`build`](Self::build).
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let text = fs::read_to_string(path).map_err(|error| {
            let (message, help) = match error.kind() {
                io::ErrorKind::NotFound => (
                    "does not exist".to_owned(),
                    "Create it, or correct the path.",
                ),
                kind => (
                    format!("cannot be read ({kind})"),
                    "Correct the path, or let this user read it.",
                ),
            };
            unusable(path, message, help)
        })?;
        let text = Zeroizing::new(text);
        let file = File { path, text: &text };
        sources(Some(file), env::vars_os()).map(|raw| Self { raw })
    }

    /// Begins with what a TOML text says, such as one built into the program, to be completed by
    /// setters. The environment is not asked. `name` is what problems call the text; as a path,
    /// it has the folder that relative paths in the text are relative to.
    ///
    /// ```
    /// use axum_oten::config::ConfigBuilder;
    ///
    /// let text = "environment = 'sandbox'\nclient_id = 'my-site'";
    /// let builder = ConfigBuilder::from_toml("built in", text)?;
    /// assert!(builder.is_set("client_id"));
    ///
    /// assert!(ConfigBuilder::from_toml("built in", "client_id: my-site").is_err());
    /// # Ok::<_, axum_oten::config::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ConfigError`] when the text is not TOML.
    pub fn from_toml(name: impl AsRef<Path>, text: &str) -> Result<Self, ConfigError> {
        let path = name.as_ref();
        let nowhere: [(&str, &str); 0] = [];
        sources(Some(File { path, text }), nowhere).map(|raw| Self { raw })
    }

    /// Whether a setting was made, by its name in a TOML file. A default does not count, and a
    /// name that is no setting never is.
    #[must_use]
    pub fn is_set(&self, name: &str) -> bool {
        keys::named(name).is_some_and(|name| self.raw.is_set(name.key))
    }

    /// Whether the settings name Oten's production, whatever else is wrong with them.
    ///
    /// ```
    /// use axum_oten::config::{Config, Environment};
    ///
    /// assert!(Config::builder().environment(Environment::Production).is_production());
    /// assert!(!Config::builder().environment(Environment::Sandbox).is_production());
    /// ```
    #[must_use]
    pub fn is_production(&self) -> bool {
        validate::is_production(&self.raw)
    }

    /// Checks everything and makes the configuration.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with every problem there is.
    pub fn build(self) -> Result<Config, ConfigError> {
        validate::check(&self.raw)
    }

    /// What is right in it, whatever else is wrong.
    #[cfg(feature = "check")]
    pub(crate) fn examine(&self) -> validate::Partial {
        validate::Partial::of(&self.raw)
    }

    /// Signs in with one of Oten's environments. Replaces an [`issuer`](Self::issuer).
    ///
    /// There is no default: one of the two must be set. Production refuses what elsewhere is only
    /// a warning, such as a short client secret.
    pub fn environment(mut self, environment: Environment) -> Self {
        self.raw.unset(&keys::ISSUER);
        self.text(&keys::ENVIRONMENT, environment.name())
    }

    /// Signs in with another issuer, such as an emulator. Replaces an
    /// [`environment`](Self::environment).
    ///
    /// There is no default: one of the two must be set. The URL must be https, or http on this
    /// machine. **Whoever controls it decides who is signed in.**
    pub fn issuer(mut self, url: impl Into<String>) -> Self {
        self.raw.unset(&keys::ENVIRONMENT);
        self.text(&keys::ISSUER, url)
    }

    /// Sets the client's id, as Oten's developer portal shows it. There is no default.
    pub fn client_id(self, id: impl Into<String>) -> Self {
        self.text(&keys::CLIENT_ID, id)
    }

    /// Sets the client's secret. There is no default; a confidential client must have one.
    ///
    /// **Do not write it into the source**: read it from a file or the environment. Under 32
    /// bytes it is refused in production, unless requests are signed with
    /// [`jar_eddsa`](Self::jar_eddsa).
    pub fn client_secret(self, secret: impl Into<Secret>) -> Self {
        self.set(&keys::CLIENT_SECRET, Given::Text(secret.into()))
    }

    /// Says that the client has no secret. By default it has one.
    ///
    /// A server can keep a secret and should have one: a public client's requests are not signed.
    pub fn public_client(self) -> Self {
        self.text(&keys::CLIENT_TYPE, "public")
    }

    /// Sets the URL of sign-out at a provider that has one and does not announce it. By default
    /// it is what the provider announces, if anything.
    ///
    /// It must be https, or http on this machine.
    pub fn end_session_endpoint(self, url: impl Into<String>) -> Self {
        self.text(&keys::END_SESSION_ENDPOINT, url)
    }

    /// Sets the URL where a provider takes tokens back, if it does not announce it. By default it
    /// is what the provider announces, if anything.
    ///
    /// It must be https, or http on this machine: **refresh tokens are sent there.**
    pub fn revocation_endpoint(self, url: impl Into<String>) -> Self {
        self.text(&keys::REVOCATION_ENDPOINT, url)
    }

    /// Sets how many token requests a minute the provider takes from this client. By default it is
    /// what Oten's environment takes, 60 in production and 120 in the sandbox; another issuer has
    /// no limit.
    pub fn token_requests_per_minute(self, requests: u32) -> Self {
        self.text(&keys::TOKEN_REQUESTS_PER_MINUTE, requests.to_string())
    }

    /// Sets how many processes share what the provider takes from this client, 1 to 1000. By
    /// default 1.
    ///
    /// Too small a number makes the provider refuse requests when all are busy.
    pub fn instances(self, instances: u32) -> Self {
        self.text(&keys::INSTANCES, instances.to_string())
    }

    /// Sets the file with certificates (PEM, one or more) that calls to the provider trust in
    /// addition to the system's. By default only the system's are trusted.
    ///
    /// **Whoever holds the key of such a certificate can stand in for the provider**, and so decides
    /// who is signed in.
    pub fn ca_file(self, path: impl Into<PathBuf>) -> Self {
        self.set(&keys::CA_FILE, Given::File(path.into()))
    }

    /// Sets the way out to the provider. By default [`Proxy::System`]: as `HTTPS_PROXY` and
    /// `NO_PROXY` say, except to a provider on this machine.
    // By value, like every other setter.
    #[allow(clippy::needless_pass_by_value)]
    pub fn proxy(self, proxy: Proxy) -> Self {
        self.text(&keys::PROXY, proxy.setting())
    }

    /// Sets the absolute URL Oten sends the browser back to. There is no default.
    ///
    /// It must be registered in exactly this spelling, and its path decides where the callback
    /// route is.
    pub fn redirect_uri(self, url: impl Into<String>) -> Self {
        self.text(&keys::REDIRECT_URI, url)
    }

    /// Sets the absolute URL the browser goes to after signing out. By default this site shows its
    /// own page, or Oten does where it signs the browser out, too.
    ///
    /// Register it at Oten in exactly this spelling. The best one is the logout route itself, such as
    /// `https://app.example.com/logout`: by the `state` it knows that the browser comes back from
    /// signing out at Oten, and says so.
    pub fn post_logout_redirect_uri(self, url: impl Into<String>) -> Self {
        self.text(&keys::POST_LOGOUT_REDIRECT_URI, url)
    }

    /// Sets the path under which browsers see the site, such as `/app`. By default it is empty.
    ///
    /// It must be what browsers see, also behind a proxy that removes it: cookies are bound to
    /// it.
    pub fn base_path(self, path: impl Into<String>) -> Self {
        self.text(&keys::BASE_PATH, path)
    }

    /// Sets the local path to go to when there is no page to return to, as browsers see it. By
    /// default it is the site's root.
    pub fn home(self, path: impl Into<String>) -> Self {
        self.text(&keys::HOME, path)
    }

    /// Sets what to ask Oten for. By default `openid`, `profile` and `email`.
    ///
    /// `openid` must be among it. Without `profile` and `email` users have no name and no address.
    pub fn scopes<T: AsRef<str>>(self, scopes: impl IntoIterator<Item = T>) -> Self {
        self.set(&keys::SCOPES, Given::list(scopes))
    }

    /// Signs authorization requests with the client secret. This is the default for a
    /// confidential client.
    ///
    /// The secret should have at least 32 bytes: a signed request passes through the browser.
    pub fn jar_hs256(self) -> Self {
        self.jar("HS256", None)
    }

    /// Signs authorization requests with an Ed25519 key. By default they are signed with the
    /// client secret.
    ///
    /// The public half must be registered with Oten, under the pair's key id.
    pub fn jar_eddsa(self, pair: Ed25519KeyPair) -> Self {
        self.jar("EdDSA", Some(pair))
    }

    /// Publishes another key beside the one that signs authorization requests; call it again for
    /// more. By default only the one that signs is published, with what stands after it in
    /// `jar_key_file`. Has no meaning unless requests are signed with an Ed25519 key.
    ///
    /// To change keys without a pause: publish the new one, let it sign and publish the old one
    /// once the provider knows it, remove the old one when no request of its time is under way.
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
    /// // No key twice.
    /// assert!(config.jar_published_key(old.public_key()).build().is_err());
    /// # Ok::<_, axum_oten::config::ConfigError>(())
    /// ```
    pub fn jar_published_key(mut self, key: Ed25519PublicKey) -> Self {
        self.raw.published_keys.push(key);
        self
    }

    /// Sends authorization requests unsigned. By default they are signed.
    ///
    /// **Oten refuses them** from every confidential client but a legacy one for which its support
    /// switched the requirement off, and whoever holds the browser can change them. Public clients
    /// need no such setting.
    pub fn jar_off(self) -> Self {
        self.jar("off", None)
    }

    /// Sets what Oten must ask the user for at sign-in: `login`, `consent` and `select_account`,
    /// separated by spaces, or `none` alone. By default Oten decides.
    ///
    /// With `none` only users who are signed in at Oten already can sign in here.
    pub fn prompt(self, prompt: impl Into<String>) -> Self {
        self.text(&keys::PROMPT, prompt)
    }

    /// Sets how long ago the user may last have signed in at Oten, in whole seconds. By default
    /// any time ago. Zero asks for a fresh sign-in every time.
    pub fn max_age(self, age: Duration) -> Self {
        self.text(&keys::MAX_AGE, human(age))
    }

    /// Sets the languages for Oten's pages, best first, separated by spaces: `de-CH de en`. By
    /// default Oten goes by the browser.
    pub fn ui_locales(self, locales: impl Into<String>) -> Self {
        self.text(&keys::UI_LOCALES, locales)
    }

    /// Sets how long a signed authorization request is valid, 10 to 300 seconds. By default 120.
    ///
    /// Too short a time fails for servers whose clock is wrong.
    pub fn request_object_lifetime(self, lifetime: Duration) -> Self {
        self.text(&keys::REQUEST_OBJECT_LIFETIME, human(lifetime))
    }

    /// Sets how long a session lives without a request, at least a minute. By default 12 hours.
    pub fn session_idle(self, idle: Duration) -> Self {
        self.text(&keys::SESSION_IDLE, human(idle))
    }

    /// Sets how long a session lives at most, a minute to 365 days. By default 7 days.
    ///
    /// A long life is also the life of a stolen cookie.
    pub fn session_lifetime(self, lifetime: Duration) -> Self {
        self.text(&keys::SESSION_LIFETIME, human(lifetime))
    }

    /// Sets where sessions are kept. By default in memory, which signs everybody out when the
    /// process ends, and which production refuses. A store outside this process needs a
    /// [`session_key`](Self::session_key).
    ///
    /// It is for [`store::open`](crate::store::open); an app that hands in a store of its own leaves
    /// it out.
    // By value, like every other setter.
    #[allow(clippy::needless_pass_by_value)]
    pub fn session_store(self, store: StoreUrl) -> Self {
        self.text(&keys::SESSION_STORE, store.setting())
    }

    /// Sets the keys that seal tokens and login attempts in the store: 32 bytes each in base64,
    /// separated by commas. By default there is none, and only a store in this process is allowed.
    ///
    /// Sessions themselves are not sealed: **what the app keeps in them, and what Oten says about
    /// the user, such as name and address, lies in the store in plain.**
    ///
    /// The first key seals, all of them open. To change keys, put the new one in front and remove
    /// the old one when the sessions of its time are over. `oten keygen session` makes one.
    /// **Do not write it into the source**: read it from a file or the environment.
    pub fn session_key(self, keys: impl Into<Secret>) -> Self {
        self.set(&keys::SESSION_KEY, Given::Text(keys.into()))
    }

    /// Sets when access tokens are renewed. By default [`RefreshPolicy::Always`].
    ///
    /// With [`RefreshPolicy::OnDemand`] a user who is disabled at the provider may stay signed in
    /// for as long as the session lives.
    pub fn refresh(self, policy: RefreshPolicy) -> Self {
        self.text(&keys::REFRESH, policy.name())
    }

    /// Sets how long pages go on for signed-in users while the provider cannot renew their tokens,
    /// up to an hour. By default 5 minutes.
    ///
    /// With zero an outage of the provider is at once one of the site.
    pub fn refresh_grace(self, grace: Duration) -> Self {
        self.text(&keys::REFRESH_GRACE, human(grace))
    }

    /// Sets what the session cookie's name begins with, at most 32 characters. By default `oten`.
    ///
    /// Two sites on one host need two names: browsers do not keep cookies of different ports
    /// apart.
    pub fn cookie_name(self, name: impl Into<String>) -> Self {
        self.text(&keys::COOKIE_NAME, name)
    }

    /// Sets whether the log names users by their subject. By default it does not, and shows a
    /// keyed hash instead.
    ///
    /// **Subjects are personal data**: a log with them must be treated so.
    pub fn log_subjects(self, log_subjects: bool) -> Self {
        self.text(&keys::LOG_SUBJECTS, log_subjects.to_string())
    }

    /// Sets whose word on the client's address is believed: addresses such as `10.0.0.7` and
    /// networks such as `10.0.0.0/8`. By default nobody's, and the client is who connects.
    ///
    /// **Name only proxies that write `Forwarded` or `X-Forwarded-For` themselves** and cannot be
    /// passed by: whoever connects from one of these addresses says who the client is.
    pub fn trusted_proxies<T: AsRef<str>>(self, proxies: impl IntoIterator<Item = T>) -> Self {
        self.set(&keys::TRUSTED_PROXIES, Given::list(proxies))
    }

    /// Sets the address and port the program listens on. By default `127.0.0.1:3000`.
    ///
    /// The layer itself does not listen; this is for the program around it.
    pub fn listen(self, address: SocketAddr) -> Self {
        self.text(&keys::LISTEN, address.to_string())
    }

    /// Sets the address and port the program shows its metrics on, under `/metrics` and for
    /// Prometheus. By default it shows them to nobody.
    ///
    /// It is a listener of its own, another one than [`listen`](Self::listen), and asks nobody who
    /// they are: **it belongs on this machine or into a network of the operator's**, not where the
    /// site's users are. Numbers are all that is there, and no user among them.
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
