use std::borrow::Cow;

/// What every environment variable of this crate begins with.
const PREFIX: &str = "OTEN_";

/// One setting an operator can make: its name in a TOML file and in the environment, what it
/// means and what it is when nobody sets it.
///
/// ```
/// use axum_oten::config::Key;
///
/// let secret = Key::all().iter().find(|key| key.name() == "client_secret").unwrap();
/// assert_eq!(secret.variable(), "OTEN_CLIENT_SECRET");
/// // A secret may also lie in a file of its own.
/// assert!(secret.is_secret());
/// assert_eq!(secret.file_variable().as_deref(), Some("OTEN_CLIENT_SECRET_FILE"));
/// ```
#[derive(Debug)]
pub struct Key {
    name: &'static str,
    value_type: ValueType,
    default: Option<&'static str>,
    description: &'static str,
}

/// The forms a value may have besides text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ValueType {
    /// Text only.
    Text,
    /// Also a TOML array of strings.
    List,
    /// Also a TOML integer: seconds.
    Seconds,
    /// Also a TOML integer: a number of things.
    Count,
    /// Also a TOML boolean.
    Flag,
    /// Text with commas between names; also a TOML array of strings.
    Names,
    /// The path of a file that holds the value, which is no secret.
    Path,
    /// The paths of files with keys, with commas between them; also a TOML array of strings.
    Paths,
    /// Text that must never be shown, or under the name with `_file` the path of a file with it.
    Secret,
}

impl Key {
    /// Every setting there is, in the order of a well-kept configuration file.
    #[must_use]
    pub fn all() -> &'static [&'static Key] {
        KEYS
    }

    /// The name in a TOML file.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The environment variable, which wins over the file.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("{PREFIX}{}", self.name.to_ascii_uppercase())
    }

    /// Whether the value must never be shown. It may then also lie in a file of its own.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        self.value_type == ValueType::Secret
    }

    /// The name in a TOML file under which a secret's file is given.
    #[must_use]
    pub fn file_name(&self) -> Option<String> {
        self.is_secret().then(|| format!("{}_file", self.name))
    }

    /// The environment variable under which a secret's file is given.
    #[must_use]
    pub fn file_variable(&self) -> Option<String> {
        self.is_secret()
            .then(|| format!("{}_FILE", self.variable()))
    }

    /// What the setting is when nobody makes it.
    #[must_use]
    pub fn default(&self) -> Option<&'static str> {
        self.default
    }

    /// What the setting means, in one sentence.
    #[must_use]
    pub fn description(&self) -> &'static str {
        self.description
    }

    pub(super) fn value_type(&self) -> ValueType {
        self.value_type
    }
}

/// How a name asks for a setting.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name {
    pub(super) key: &'static Key,
    /// The value is the path of the file that holds the setting.
    pub(super) is_path: bool,
}

/// The setting a name in a TOML file stands for.
pub(super) fn named(name: &str) -> Option<Name> {
    KEYS.iter().find_map(|&key| {
        let is_path = matches!(key.value_type, ValueType::Path | ValueType::Paths);
        if name == key.name {
            return Some(Name { key, is_path });
        }
        let is_file = key.is_secret() && name.strip_suffix("_file") == Some(key.name);
        is_file.then_some(Name { key, is_path: true })
    })
}

/// The setting an environment variable stands for.
pub(super) fn variable(variable: &str) -> Option<Name> {
    let name = variable.strip_prefix(PREFIX)?;
    if name.contains(|c: char| c.is_ascii_lowercase()) {
        return None;
    }
    named(&name.to_ascii_lowercase())
}

/// Whether an environment variable claims to be one of ours.
pub(super) fn is_ours(variable: &str) -> bool {
    variable.starts_with(PREFIX)
}

/// Every name that may stand in a TOML file.
pub(super) fn names() -> impl Iterator<Item = Cow<'static, str>> {
    KEYS.iter()
        .flat_map(|key| [Some(key.name.into()), key.file_name().map(Cow::from)])
        .flatten()
}

/// Every variable that may stand in the environment.
pub(super) fn variables() -> impl Iterator<Item = Cow<'static, str>> {
    KEYS.iter()
        .flat_map(|key| [Some(key.variable()), key.file_variable()])
        .flatten()
        .map(Cow::from)
}

/// Writes each setting once, as a static and as a line of the table.
macro_rules! keys {
    ($($ident:ident: $name:literal, $value_type:ident, $default:expr, $description:literal;)*) => {
        $(pub(super) static $ident: Key = Key {
            name: $name,
            value_type: ValueType::$value_type,
            default: $default,
            description: $description,
        };)*

        static KEYS: &[&Key] = &[$(&$ident),*];
    };
}

keys! {
    ENVIRONMENT: "environment", Text, None,
        "Oten's environment, `sandbox` or `production`; leave it out to name an `issuer`.";
    ISSUER: "issuer", Text, None,
        "The URL of another issuer than Oten's own, such as an emulator.";
    CLIENT_ID: "client_id", Text, None,
        "The client's id, as Oten's developer portal shows it.";
    CLIENT_TYPE: "client_type", Text, Some("confidential"),
        "Whether the client can keep a secret: `confidential` or `public`.";
    CLIENT_SECRET: "client_secret", Secret, None,
        "The client's secret, as Oten's developer portal showed it once.";
    END_SESSION_ENDPOINT: "end_session_endpoint", Text, None,
        "The URL of sign-out at a provider that has one and does not announce it.";
    REVOCATION_ENDPOINT: "revocation_endpoint", Text, None,
        "The URL where a provider takes tokens back, if it does not announce it.";
    TOKEN_REQUESTS_PER_MINUTE: "token_requests_per_minute", Count, None,
        "How many token requests a minute the provider takes from this client; by default Oten's own \
         limit, 120 in the sandbox and 60 in production.";
    INSTANCES: "instances", Count, Some("1"),
        "How many processes share what the provider takes from this client.";
    CA_FILE: "ca_file", Path, None,
        "The file with certificates (PEM) that calls to the provider trust in addition to the \
         system's.";
    PROXY: "proxy", Secret, Some("system"),
        "The way out to the provider: `system` as HTTPS_PROXY and NO_PROXY say, `direct`, or \
         `http://[USER:PASSWORD@]HOST:PORT`.";
    REDIRECT_URI: "redirect_uri", Text, None,
        "The absolute URL Oten sends the browser back to, spelled as it is registered.";
    POST_LOGOUT_REDIRECT_URI: "post_logout_redirect_uri", Text, None,
        "The absolute URL the browser goes to after signing out, spelled as it is registered; the \
         logout route is the best one.";
    BASE_PATH: "base_path", Text, Some(""),
        "The path under which browsers see the site, without a slash at its end.";
    HOME: "home", Text, None,
        "The local path to go to when there is no page to return to; by default the site's root.";
    SCOPES: "scopes", List, Some("openid profile email"),
        "What to ask Oten for; `openid` must be among it.";
    JAR: "jar", Text, Some("HS256"),
        "How a confidential client signs its authorization requests: `HS256`, `EdDSA` or `off`.";
    JAR_KEY_FILE: "jar_key_file", Paths, None,
        "The files with the Ed25519 keys (PEM) for `jar = \"EdDSA\"`: the first one, private, signs; \
         the others are only published.";
    JAR_KEY_ID: "jar_key_id", Names, None,
        "The ids Oten knows the `EdDSA` keys by, in their order; by default their RFC 7638 thumbprints.";
    PROMPT: "prompt", Text, None,
        "What Oten must ask for at sign-in: `login`, `consent`, `select_account`, or `none`.";
    MAX_AGE: "max_age", Seconds, None,
        "How long ago the user may last have signed in at Oten.";
    UI_LOCALES: "ui_locales", Text, None,
        "The languages for Oten's pages, best first, separated by spaces (BCP 47).";
    REQUEST_OBJECT_LIFETIME: "request_object_lifetime", Seconds, Some("2m"),
        "How long a signed authorization request is valid, from 10 s to 300 s.";
    SESSION_IDLE: "session_idle", Seconds, Some("12h"),
        "How long a session lives without a request.";
    SESSION_LIFETIME: "session_lifetime", Seconds, Some("7d"),
        "How long a session lives at most.";
    SESSION_STORE: "session_store", Secret, Some("memory:"),
        "Where sessions are kept: `memory:`, which forgets them when the process ends, `sqlite:PATH`, \
        `redis://…`, `rediss://…` or `postgres://…`.";
    SESSION_KEY: "session_key", Secret, None,
        "The keys that seal tokens in the store, 32 bytes each in base64, separated by commas; \
         the first one seals, all of them open.";
    REFRESH: "refresh", Text, Some("always"),
        "When access tokens are renewed: `always` before they end, or `on-demand`.";
    REFRESH_GRACE: "refresh_grace", Seconds, Some("5m"),
        "How long pages go on for signed-in users while Oten cannot renew their tokens.";
    COOKIE_NAME: "cookie_name", Text, Some("oten"),
        "What the session cookie's name begins with.";
    LOG_SUBJECTS: "log_subjects", Flag, Some("false"),
        "Whether the log names users by their subject instead of a keyed hash of it.";
    TRUSTED_PROXIES: "trusted_proxies", List, Some(""),
        "The addresses and networks of the proxies whose word on the client's address is believed.";
    LISTEN: "listen", Text, Some("127.0.0.1:3000"),
        "The address and port the program listens on.";
    METRICS_LISTEN: "metrics_listen", Text, None,
        "The address and port the program shows its metrics on, to whoever reaches it; by default nowhere.";
}
