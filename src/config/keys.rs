/// The prefix of this crate's environment variables.
const PREFIX: &str = "OTEN_";

/// The maximum edit distance between a misspelled name and a suggestion.
const MAX_EDITS: usize = 2;

/// A setting: its name in a TOML file and in the environment, its description and its default.
///
/// ```
/// use axum_oten::config::Key;
///
/// let secret = Key::all().iter().find(|key| key.name() == "client_secret").unwrap();
/// assert_eq!(secret.variable(), "OTEN_CLIENT_SECRET");
/// // A secret can also be read from a file of its own.
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

/// The type of a value. Every type can also be given as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ValueType {
    Text,
    /// Words separated by spaces, or a TOML array of strings.
    List,
    /// A duration such as `12h`, or a TOML integer in seconds.
    Seconds,
    /// A TOML integer.
    Count,
    /// A TOML boolean.
    Flag,
    /// Names separated by commas, or a TOML array of strings.
    Names,
    /// The path of a file with a value that is not secret.
    Path,
    /// Paths of key files separated by commas, or a TOML array of strings.
    Paths,
    /// A TOML table, or JSON text.
    Table,
    /// Text that must never be shown, or the path of a file with it under the name with `_file`.
    Secret,
}

impl ValueType {
    /// The types a TOML value can have, as a predicate noun.
    pub(super) fn expected(self) -> &'static str {
        match self {
            Self::Text | Self::Path | Self::Secret => "a string",
            Self::List => "an array of strings, or a string with spaces",
            Self::Seconds => "a number of seconds, or a string such as `12h`",
            Self::Count => "a whole number",
            Self::Flag => "`true` or `false`",
            Self::Table => "a table",
            Self::Names | Self::Paths => "a string, or an array of strings",
        }
    }
}

impl Key {
    /// Returns every setting, in the order of the files in `config/`.
    #[must_use]
    pub fn all() -> &'static [&'static Key] {
        KEYS
    }

    /// The name in a TOML file.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The environment variable, which overrides the file.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("{PREFIX}{}", self.name.to_ascii_uppercase())
    }

    /// Whether the value must never be shown. A secret can also be read from a file of its own.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        self.value_type == ValueType::Secret
    }

    /// The name in a TOML file for the path of a file with the secret.
    #[must_use]
    pub fn file_name(&self) -> Option<String> {
        self.is_secret().then(|| format!("{}_file", self.name))
    }

    /// The environment variable for the path of a file with the secret.
    #[must_use]
    pub fn file_variable(&self) -> Option<String> {
        self.is_secret()
            .then(|| format!("{}_FILE", self.variable()))
    }

    /// The default value, in the text form.
    #[must_use]
    pub fn default(&self) -> Option<&'static str> {
        self.default
    }

    /// The description of the setting, in one sentence.
    #[must_use]
    pub fn description(&self) -> &'static str {
        self.description
    }

    pub(super) fn value_type(&self) -> ValueType {
        self.value_type
    }
}

/// The setting that a name refers to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name {
    pub(super) key: &'static Key,
    /// Whether the value is the path of a file that contains the setting.
    pub(super) is_path: bool,
}

/// Looks up a name in a TOML file.
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

/// Looks up an environment variable.
pub(super) fn variable(variable: &str) -> Option<Name> {
    let name = variable.strip_prefix(PREFIX)?;
    if name.contains(|c: char| c.is_ascii_lowercase()) {
        return None;
    }
    named(&name.to_ascii_lowercase())
}

/// Whether an environment variable has the prefix of this crate.
pub(super) fn is_ours(variable: &str) -> bool {
    variable.starts_with(PREFIX)
}

/// The name that a misspelled name in a TOML file was probably meant to be.
pub(super) fn closest(name: &str) -> Option<String> {
    KEYS.iter()
        .flat_map(|key| [Some(key.name.to_owned()), key.file_name()])
        .flatten()
        .map(|candidate| (strsim::levenshtein(name, &candidate), candidate))
        .filter(|(edits, _)| *edits <= MAX_EDITS)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// The variable that a misspelled environment variable was probably meant to be.
pub(super) fn closest_variable(variable: &str) -> Option<String> {
    let name = variable.strip_prefix(PREFIX)?.to_ascii_lowercase();
    Some(format!("{PREFIX}{}", closest(&name)?.to_ascii_uppercase()))
}

/// Defines each setting as a static, and all of them as `KEYS` and as the table in the guide. A
/// default of `_` means that there is none.
macro_rules! keys {
    ($($ident:ident: $name:literal, $value_type:ident, $default:tt, $description:literal;)*) => {
        $(pub(super) static $ident: Key = Key {
            name: $name,
            value_type: ValueType::$value_type,
            default: default!($default),
            description: $description,
        };)*

        static KEYS: &[&Key] = &[$(&$ident),*];

        /// Expands to a Markdown table of all settings.
        #[cfg(any(doc, test))]
        macro_rules! settings_table {
            () => {
                concat!(
                    "\n| setting | default | description |\n|---|---|---|\n",
                    $($crate::config::settings_cells!($value_type $name $default), $description, " |\n"),*
                )
            };
        }
    };
}

macro_rules! default {
    (_) => {
        None
    };
    ($default:literal) => {
        Some($default)
    };
}

/// Expands to the cells of a setting's names and its default.
#[cfg(any(doc, test))]
macro_rules! settings_cells {
    (Secret $name:literal $default:tt) => {
        concat!(
            "| `",
            $name,
            "`, `",
            $name,
            "_file` |",
            $crate::config::settings_cells!($default)
        )
    };
    ($value_type:ident $name:literal $default:tt) => {
        concat!(
            "| `",
            $name,
            "` |",
            $crate::config::settings_cells!($default)
        )
    };
    (_) => {
        " | "
    };
    ("") => {
        " empty | "
    };
    ($default:literal) => {
        concat!(" `", $default, "` | ")
    };
}

keys! {
    ENVIRONMENT: "environment", Text, _,
        "The Oten environment, `sandbox` or `production`; omit it to set `issuer`.";
    ISSUER: "issuer", Text, _,
        "The URL of an issuer other than Oten's own, such as an emulator.";
    ID_TOKEN_ALGORITHMS: "id_token_algorithms", List, "EdDSA",
        "The algorithms that another provider may sign ID tokens, logout tokens and JWT access tokens with: \
         `EdDSA`, `RS256`, `PS256`, `ES256`.";
    CLIENT_ID: "client_id", Text, _,
        "The client ID from Oten's developer portal.";
    CLIENT_TYPE: "client_type", Text, "confidential",
        "The client type: `confidential`, which has a secret, or `public`.";
    CLIENT_SECRET: "client_secret", Secret, _,
        "The client secret, which Oten's developer portal shows once.";
    TOKEN_ENDPOINT_AUTH_METHOD: "token_endpoint_auth_method", Text, "client_secret_post",
        "How the client sends its secret to another provider: `client_secret_post`, in the form, or \
         `client_secret_basic`, in the header `Authorization`.";
    TRUSTED_AUDIENCES: "trusted_audiences", List, "",
        "The audiences that an ID token of another provider may name beside the client ID.";
    END_SESSION_ENDPOINT: "end_session_endpoint", Text, _,
        "The URL of the provider's end-session endpoint, if discovery does not announce it.";
    REVOCATION_ENDPOINT: "revocation_endpoint", Text, _,
        "The URL of the provider's revocation endpoint, if discovery does not announce it.";
    TOKEN_REQUESTS_PER_MINUTE: "token_requests_per_minute", Count, _,
        "The number of token requests per minute that the provider accepts from this client; by \
         default Oten's limit, 120 in the sandbox and 60 in production.";
    INSTANCES: "instances", Count, "1",
        "The number of processes that share the client's limit on token requests.";
    AUDIENCES: "audiences", List, _,
        "The audiences that are this app's API, one of which an access token must name; by default the \
         client ID.";
    TOKEN_VALIDATION: "token_validation", Text, "auto",
        "How access tokens of API requests are validated: `local`, with Oten's keys; `remote`, by Oten; \
         `auto`, locally if the token is a JWT.";
    TOKEN_VALIDATION_ENDPOINT: "token_validation_endpoint", Text, _,
        "The URL of the endpoint that validates tokens, if the issuer is not Oten's.";
    CA_FILE: "ca_file", Path, _,
        "A PEM file of certificates to trust for calls to the provider, in addition to the system's.";
    PROXY: "proxy", Secret, "system",
        "The proxy for calls to the provider: `system` to follow HTTPS_PROXY and NO_PROXY, `direct` \
         for none, or `http://[USER:PASSWORD@]HOST:PORT`.";
    REDIRECT_URI: "redirect_uri", Text, _,
        "The absolute URL of the callback route, exactly as registered with Oten.";
    POST_LOGOUT_REDIRECT_URI: "post_logout_redirect_uri", Text, _,
        "The absolute URL to return to after signing out at Oten, exactly as registered; preferably \
         the logout route.";
    BASE_PATH: "base_path", Text, "",
        "The path under which browsers see the app, with or without a trailing slash.";
    HOME: "home", Text, _,
        "The local path to go to after sign-in if no page was requested; by default the app's root.";
    SCOPES: "scopes", List, "openid profile email",
        "The scopes to request; must include `openid`.";
    JAR: "jar", Text, "HS256",
        "How a confidential client signs its authorization requests: `HS256`, `EdDSA`, or `off` for \
         another provider or a legacy client that Oten exempted.";
    JAR_KEY_FILE: "jar_key_file", Paths, _,
        "The PEM files of the Ed25519 keys for `jar = \"EdDSA\"`: the first, a private key, signs; \
         the others are only published.";
    JAR_KEY_ID: "jar_key_id", Names, _,
        "The key IDs of the `EdDSA` keys, in the same order; by default their RFC 7638 thumbprints.";
    PROMPT: "prompt", Text, _,
        "What Oten must prompt for at sign-in: `login`, `consent`, `select_account`, or `none`.";
    MAX_AGE: "max_age", Seconds, _,
        "The maximum time since the user last signed in at Oten.";
    UI_LOCALES: "ui_locales", Text, _,
        "The preferred languages for Oten's pages, best first, separated by spaces (BCP 47).";
    AUTHORIZATION_PARAMETERS: "authorization_parameters", List, "",
        "Further parameters of every authorization request to another provider, each as `NAME=VALUE`.";
    LOGIN_PARAMETERS: "login_parameters", List, "",
        "The login options that the query of `/login` may set, such as `login_hint` and `ui_locales`, or \
         parameters of your own.";
    CLAIMS_FROM_USERINFO: "claims_from_userinfo", Flag, "false",
        "Whether claims such as name and email that the ID token lacks are taken from the userinfo \
         endpoint, at sign-in and at each token refresh.";
    NATIVE_LINKS: "native_links", List, "",
        "The links of native apps to which a sign-in may return: `https://HOST/PATH`, \
         `com.example.app:/PATH`, `http://127.0.0.1/PATH` or `http://[::1]/PATH`, with any port.";
    REQUEST_OBJECT_LIFETIME: "request_object_lifetime", Seconds, "2m",
        "The lifetime of a signed authorization request, from 10 s to 300 s.";
    SESSION_IDLE: "session_idle", Seconds, "12h",
        "The time without a request after which a session expires.";
    SESSION_LIFETIME: "session_lifetime", Seconds, "7d",
        "The maximum lifetime of a session.";
    GUEST_SESSION_IDLE: "guest_session_idle", Seconds, "2h",
        "The time without a request after which the session of a guest expires.";
    SESSIONS_PER_USER: "sessions_per_user", Count, "100",
        "The number of sessions that a user can have; one more ends the one that would expire first.";
    SESSION_ADDRESSES: "session_addresses", Flag, "false",
        "Whether sessions contain the client's address at the sign-in, to be listed.";
    SESSION_STORE: "session_store", Secret, "memory:",
        "The session store: `memory:`, which is lost when the process ends, `sqlite:PATH`, \
         `postgres://…`, `redis://…`, `redis+cluster://…` or `redis+sentinel://…`; with `rediss` for TLS.";
    SESSION_KEY: "session_key", Secret, _,
        "The keys that seal records in the store, 32 bytes each in base64, separated by commas; the \
         first key seals, every key opens.";
    REFRESH: "refresh", Text, "always",
        "When access tokens are refreshed: `always`, before they expire, or `on-demand`, when a \
         handler requests one.";
    REFRESH_GRACE: "refresh_grace", Seconds, "5m",
        "How long signed-in users keep access while Oten cannot refresh their tokens.";
    COOKIE_NAME: "cookie_name", Text, "oten",
        "The start of the session cookie's name.";
    PERSISTENT_COOKIE: "persistent_cookie", Flag, "true",
        "Whether the session cookie remains when the browser is closed.";
    CLEAR_CACHE: "clear_cache", Flag, "true",
        "Whether signing out clears what the browser has cached of the site (`Clear-Site-Data`).";
    ACCESS: "access", Table, _,
        "The access rules by name, as TOML tables or JSON text; the guide's page on access has their form.";
    TRUST_EMAILS: "trust_emails", Flag, "false",
        "Whether access rules accept email addresses without `email_verified`; set it only if Oten \
         verifies every address.";
    LOG_SUBJECTS: "log_subjects", Flag, "false",
        "Whether logs identify users by their subject instead of a keyed hash of it.";
    TRUSTED_PROXIES: "trusted_proxies", List, "",
        "The addresses and networks of the proxies trusted to report the client's address.";
    LISTEN: "listen", Text, "127.0.0.1:3000",
        "The address and port the program listens on.";
    METRICS_LISTEN: "metrics_listen", Text, _,
        "The address and port the program serves metrics on, without authentication; by default none.";
}

#[cfg(any(doc, test))]
pub(crate) use {settings_cells, settings_table};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_close_names_only() {
        for (name, meant) in [
            ("scope", Some("scopes")),
            ("redirect_url", Some("redirect_uri")),
            ("clientid", Some("client_id")),
            ("client-secret", Some("client_secret")),
            ("client_secret_fil", Some("client_secret_file")),
            ("enviroment", Some("environment")),
            ("database", None),
            ("", None),
        ] {
            assert_eq!(closest(name).as_deref(), meant, "{name}");
        }
    }

    #[test]
    fn the_settings_table_lists_every_setting_with_its_default() {
        let rows = KEYS.iter().map(|key| row(key));
        let head = ["", "| setting | default | description |", "|---|---|---|"];
        let expected: Vec<_> = head.map(str::to_owned).into_iter().chain(rows).collect();
        let table = crate::config::settings_table!();
        assert_eq!(table.lines().collect::<Vec<_>>(), expected);
    }

    fn row(key: &Key) -> String {
        let name = match key.file_name() {
            Some(file) => format!("`{}`, `{file}`", key.name()),
            None => format!("`{}`", key.name()),
        };
        let default = match key.default() {
            Some("") => "empty".to_owned(),
            Some(default) => format!("`{default}`"),
            None => String::new(),
        };
        assert!(
            !key.description().contains('|'),
            "{name} would end the cell"
        );
        format!("| {name} | {default} | {} |", key.description()).replace("|  |", "| |")
    }
}
