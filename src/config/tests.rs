//! Validation through each source: a file, the environment and the builder.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    sources::{File, sources},
    *,
};
use crate::{
    jose::{Algorithm, Ed25519KeyPair, Ed25519PublicKey},
    secret::Secret,
};

/// Keys of 32 bytes each.
const KEYS: [&str; 2] = [
    "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
    "/////////////////////////////////////////+4=",
];

const SECRET: &str = "correct-horse-battery-staple-0123456789";

/// A minimal valid configuration.
const MINIMAL: &[(&str, &str)] = &[
    ("environment", "sandbox"),
    ("client_id", "my-site"),
    ("client_secret", SECRET),
    ("redirect_uri", "https://app.example.com/callback"),
];

/// The change that makes it a configuration for production.
const PRODUCTION: &[(&str, &str)] = &[("environment", "production")];

/// Values that make `MINIMAL` invalid.
const INVALID: &[(&str, &[&str])] = &[
    ("environment", &["prod", "Sandbox", " sandbox"]),
    ("client_id", &["two words", "ümlaut", "a\nb"]),
    ("client_type", &["native", "Public"]),
    ("client_secret", &["line\nbreak", " space"]),
    (
        "redirect_uri",
        &[
            "/callback",
            "app.example.com/callback",
            "ftp://app.example.com/callback",
            "http://app.example.com/callback",
            "http://localhost.example.com/callback",
            "http://192.168.0.1/callback",
            "http://128.0.0.1/callback",
            "https://app.example.com/callback#top",
            "https://app.example.com/callback#",
            "https://app.example.com/callback?next=1",
            "https://app.example.com/callback?",
            "https://alice@app.example.com/callback",
            "https://alice:pw@app.example.com/callback",
            "https://@app.example.com/callback",
            "https://App.Example.com/callback",
            "https://app.example.com:443/callback",
            "https://app.example.com/a/../callback",
            "https:\\\\app.example.com\\callback",
            "https://app.example.com",
            "https://app.example.com/",
            "https://app.example.com/login",
            "https://app.example.com/logout",
            "https://app.example.com/backchannel-logout",
            "https://app.example.com/.well-known/jwks.json",
            "https://app.example.com/{callback}",
            "https://app.example.com/%7Bcallback%7D",
            "https://app.example.com/:callback",
            "https://app.example.com/*callback",
            "https://app.example.com//callback",
            "https://app.example.com/callback//",
            "https://app.example.com/call%20back",
            "https://",
            "mailto:alice@example.com",
        ],
    ),
    (
        "post_logout_redirect_uri",
        &[
            "/",
            "http://app.example.com/",
            "https://app.example.com",
            "https://app.example.com/#top",
            "https://alice@app.example.com/",
        ],
    ),
    (
        "base_path",
        &[
            "//", "app", "app/", "/app//", "//app", "/a//b", "/a/../b", "/.", "/./", "/a b",
            "/a%20b", "/{a}",
        ],
    ),
    (
        "home",
        &[
            "welcome",
            "//evil.example",
            "/\\evil.example",
            "/a//b",
            "https://app.example.com/",
            "/a b",
            "/ä",
            "/%2f%2fevil.example",
            "/%5Cevil.example",
            "/%0d%0a",
            "/%zz",
            "/%",
            "/login",
            "/logout",
            "/callback",
            "/login?return_to=/",
        ],
    ),
    (
        "scopes",
        &[
            "profile",
            "openid openid",
            "openid \"x\"",
            "openid a\\b",
            "openid ä",
            "OPENID",
        ],
    ),
    ("jar", &["none", "RS256", "hs256", "eddsa"]),
    ("prompt", &["none login", "login login", "create"]),
    ("max_age", &["-1", "soon", "1.5", "366d"]),
    (
        "ui_locales",
        &["de_CH", "de,en", "de-", "en en", "languages"],
    ),
    (
        "request_object_lifetime",
        &["9", "301", "6m", "0", "-60", "2 m"],
    ),
    ("session_idle", &["59", "8d", "366d", "h"]),
    ("session_lifetime", &["59s", "366d", "1w"]),
    ("guest_session_idle", &["59s", "366d", "1w"]),
    ("sessions_per_user", &["0", "1001", "-1"]),
    ("persistent_cookie", &["yes", "1", "True"]),
    ("clear_cache", &["no", "cache", "\"cache\""]),
    (
        "session_store",
        &[
            "memory",
            "memory:x",
            "disk:",
            "sqlite",
            "sqlite:",
            "sqlite::memory:",
            "sqlite:/var/lib/site/",
            "sqlite:site.db?mode=ro",
            "redis:",
            "redis:localhost",
            "rediss://h/sessions",
            "rediss://h#insecure",
            "redis://h:port",
            "redis://a,b",
            "redis+disk://a",
            "redis+://a",
            "redis+cluster:",
            "redis+cluster://",
            "redis+cluster://a,",
            "redis+cluster://a,:1",
            "redis+cluster://a:1,b:port",
            "redis+cluster://a,b/1",
            "redis+cluster://a,b#insecure",
            "redis+cluster://a?sslrootcert=/ca.pem",
            "redis+sentinel://a,b",
            "redis+sentinel://a,b/",
            "redis+sentinel://a,b/service/x",
            "postgres:",
            "postgresql:db",
            "postgres://h:port/db",
        ],
    ),
    (
        "session_key",
        &[
            "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg==",
            "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gIQ==",
            "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
            "_____________________________________________-4=",
            "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
            "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=,",
            ",AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
            "correct horse battery staple",
        ],
    ),
    ("refresh", &["never", "Always", "on_demand", "ondemand"]),
    ("refresh_grace", &["61m", "2h", "-1", "soon"]),
    (
        "instances",
        &["0", "1001", "-1", "+2", "1.5", "two", "4294967296"],
    ),
    ("token_requests_per_minute", &["0", "1000001", "60/m", "-1"]),
    (
        "end_session_endpoint",
        &[
            "/logout",
            "http://id.example.com/logout",
            "https://id.example.com/logout#x",
            "https://alice@id.example.com/logout",
        ],
    ),
    (
        "revocation_endpoint",
        &[
            "/revoke",
            "http://id.example.com/revoke",
            "ftp://localhost/",
        ],
    ),
    ("ca_file", &["/nowhere/at/all"]),
    (
        "proxy",
        &[
            "on",
            "System",
            "proxy.example.com:3128",
            "socks5://proxy.example.com:1080",
            "http://",
            "http://proxy.example.com:3128/path",
            "http://proxy.example.com:3128?x",
            "http://proxy.example.com:3128#x",
        ],
    ),
    (
        "cookie_name",
        &[
            "__Host-oten",
            "__oten",
            "a b",
            "a;b",
            "a=b",
            "ö",
            "abcdefghijklmnopqrstuvwxyz0123456",
        ],
    ),
    ("log_subjects", &["yes", "TRUE", "1"]),
    ("access", &["admin", "[]", "{", "{\"admin\":"]),
    ("trust_emails", &["yes", "TRUE", "1"]),
    (
        "trusted_proxies",
        &[
            "proxy.example.com",
            "10.0.0.0/33",
            "10.0.0",
            "10.0.0.7/8",
            "10.0.0.7:80",
            "[::1]",
            "127.0.0.1,127.0.0.2",
            "0.0.0.0/0",
            "10.0.0.7 ::/0",
            "::ffff:10.0.0.0/104",
        ],
    ),
    ("listen", &["localhost:3000", "3000", "127.0.0.1", ":3000"]),
    (
        "metrics_listen",
        &[
            "localhost:9000",
            "9000",
            // Conflicts with `listen`.
            "127.0.0.1:3000",
            "0.0.0.0:3000",
            "[::]:3000",
        ],
    ),
];

fn variable(name: &str) -> String {
    format!("OTEN_{}", name.to_uppercase())
}

fn toml(settings: &[(&str, &str)]) -> String {
    let line = |(name, value): &(&str, &str)| format!("{name} = {value:?}\n");
    settings.iter().map(line).collect()
}

/// Returns `MINIMAL` with some settings replaced; an empty value removes a setting.
fn changed<'a>(changes: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let is_kept = |name: &str| changes.iter().all(|(changed, _)| *changed != name);
    MINIMAL
        .iter()
        .copied()
        .filter(|(name, _)| is_kept(name))
        .chain(
            changes
                .iter()
                .copied()
                .filter(|(_, value)| !value.is_empty()),
        )
        .collect()
}

fn from_environment(settings: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let variables = settings.iter().map(|(name, value)| (variable(name), value));
    build(None, variables)
}

fn from_toml(text: &str) -> Result<Config, ConfigError> {
    from_both(text, &[])
}

fn from_both(text: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    build(Some(text), variables.iter().copied())
}

fn build(
    text: Option<&str>,
    variables: impl IntoIterator<Item = (impl AsRef<std::ffi::OsStr>, impl AsRef<std::ffi::OsStr>)>,
) -> Result<Config, ConfigError> {
    let path = Path::new("config/site.toml");
    let file = text.map(|text| File { path, text });
    ConfigBuilder::from(sources(file, variables)?).build()
}

fn keys_of(result: &Result<Config, ConfigError>) -> Vec<&str> {
    match result {
        Ok(_) => Vec::new(),
        Err(error) => error.problems().iter().map(Problem::key).collect(),
    }
}

fn only_problem(result: Result<Config, ConfigError>) -> Problem {
    let error = result.unwrap_err();
    assert_eq!(error.problems().len(), 1, "{error}");
    error.problems()[0].clone()
}

/// A file that only its owner may read, deleted at the end of the test.
struct TempFile(PathBuf);

impl TempFile {
    fn new(text: impl AsRef<[u8]>) -> Self {
        let name = format!("axum-oten-{}", Secret::random().expose());
        let path = std::env::temp_dir().join(name);
        fs::write(&path, text).unwrap();
        let file = Self(path);
        file.chmod(0o600);
        file
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }

    #[cfg(unix)]
    fn chmod(&self, mode: u32) {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(&self.0, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[cfg(not(unix))]
    fn chmod(&self, _: u32) {}
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn a_minimal_configuration_has_the_documented_defaults() {
    let config = from_environment(MINIMAL).unwrap();
    assert_eq!(config.issuer(), &Issuer::Environment(Environment::Sandbox));
    assert_eq!(config.client().id(), "my-site");
    let ClientType::Confidential { secret, jar, .. } = config.client().client_type() else {
        panic!("confidential by default");
    };
    assert_eq!(secret.expose(), SECRET);
    assert!(matches!(jar, Jar::Hs256));
    assert_eq!(config.base_path(), "");
    assert_eq!(config.callback_route(), "/callback");
    assert_eq!(config.home(), "/");
    assert_eq!(config.scopes(), ["openid", "profile", "email"]);
    assert_eq!(config.prompt(), None);
    assert_eq!(config.max_age(), None);
    assert_eq!(config.ui_locales(), None);
    assert_eq!(config.request_object_lifetime(), Duration::from_secs(120));
    assert_eq!(config.session_idle(), Duration::from_secs(12 * 60 * 60));
    assert_eq!(
        config.session_lifetime(),
        Duration::from_secs(7 * 24 * 60 * 60)
    );
    assert_eq!(
        config.guest_session_idle(),
        Duration::from_secs(2 * 60 * 60)
    );
    assert_eq!(config.sessions_per_user(), 100);
    assert!(config.persistent_cookie());
    assert!(config.clear_cache());
    assert_eq!(config.session_store(), &StoreUrl::Memory);
    assert!(config.session_keys().is_empty());
    assert_eq!(config.refresh(), RefreshPolicy::Always);
    assert_eq!(config.refresh_grace(), Duration::from_secs(300));
    assert_eq!(config.instances(), 1);
    assert_eq!(config.token_budget(), Some(120));
    assert_eq!(config.end_session_endpoint(), None);
    assert_eq!(config.revocation_endpoint(), None);
    assert_eq!((config.ca_file(), config.proxy()), (None, &Proxy::System));
    assert_eq!(config.cookie_name(), "oten");
    assert!(!config.log_subjects());
    assert!(!config.is_trusted_proxy(Ipv4Addr::LOCALHOST.into()));
    assert_eq!(config.listen().to_string(), "127.0.0.1:3000");
    assert_eq!(config.metrics_listen(), None);
    assert_eq!(config.origin(), "https://app.example.com");
    assert!(config.secure_cookies());
    assert!(config.warnings().is_empty());
}

#[test]
fn b3_every_invalid_value_is_rejected_under_its_key() {
    for (key, values) in INVALID {
        for value in *values {
            let settings = changed(&[(*key, *value)]);
            for result in [from_environment(&settings), from_toml(&toml(&settings))] {
                assert_eq!(keys_of(&result).first(), Some(key), "{value}");
            }
        }
    }
}

#[test]
fn every_valid_value_is_accepted() {
    let table: &[(&str, &[&str])] = &[
        (
            "redirect_uri",
            &[
                "http://localhost:3000/callback",
                "http://127.9.9.9/callback",
                "http://[::1]:3000/callback",
                "https://app.example.com:8443/a/b-c_d.e~f",
                "https://app.example.com/callback/",
                "https://app.example.com/auth/login",
            ],
        ),
        (
            "post_logout_redirect_uri",
            &["https://app.example.com/bye?x=1", "http://localhost/"],
        ),
        ("home", &["/", "/welcome?tab=1#top", "/%C3%A4"]),
        (
            "scopes",
            &["openid", "email  openid", "openid offline_access urn:x:y"],
        ),
        (
            "prompt",
            &["none", "login", "login consent", "select_account login"],
        ),
        ("max_age", &["0", "3600", "1h"]),
        ("ui_locales", &["de", "de-CH de en-US-x-twain"]),
        ("request_object_lifetime", &["10", "5m"]),
        ("session_idle", &["60", "7d"]),
        ("session_lifetime", &["365d", "12h"]),
        ("guest_session_idle", &["60", "365d"]),
        ("sessions_per_user", &["1", "1000"]),
        ("persistent_cookie", &["true", "false"]),
        ("clear_cache", &["true", "false"]),
        ("base_path", &["", "/"]),
        ("session_key", &KEYS),
        ("refresh", &["always", "on-demand"]),
        ("refresh_grace", &["0", "1h"]),
        ("instances", &["1", "1000"]),
        ("token_requests_per_minute", &["1", "1000000"]),
        (
            "end_session_endpoint",
            &["https://id.example.com/logout?tenant=1", "http://[::1]/out"],
        ),
        (
            "revocation_endpoint",
            &["https://id.example.com/revoke", "http://localhost:4000/"],
        ),
        (
            "proxy",
            &[
                "system",
                "direct",
                "http://proxy.example.com:3128",
                "https://me:pw@[2001:db8::1]",
            ],
        ),
        (
            "cookie_name",
            &["my_site", "abcdefghijklmnopqrstuvwxyz012345"],
        ),
        ("log_subjects", &["true", "false"]),
        (
            "trusted_proxies",
            &[
                "127.0.0.1",
                "10.0.0.0/8 2001:db8::/32",
                "::1  ::ffff:10.0.0.7",
            ],
        ),
        ("listen", &["0.0.0.0:0", "[::]:80"]),
        (
            "metrics_listen",
            &["127.0.0.1:9000", "0.0.0.0:0", "127.0.0.2:3000"],
        ),
    ];
    for (key, values) in table {
        for value in *values {
            let settings = changed(&[(*key, *value)]);
            from_environment(&settings).unwrap();
            from_toml(&toml(&settings)).unwrap();
        }
    }
}

#[test]
fn b3_all_problems_are_listed_with_their_help() {
    let error = from_both(
        "environment = \"sandbx\"\nsession_idel = 60\nbase_path = \"app\"\nscopes = \"email\"",
        &[("OTEN_LISTEN", "here"), ("OTEN_CLIENT_SECERT", SECRET)],
    )
    .unwrap_err();
    let lines: Vec<String> = error.to_string().lines().map(str::to_owned).collect();
    let [title, problems @ ..] = lines.as_slice() else {
        panic!("a title");
    };
    assert_eq!(title, "9 problems in the configuration:");
    let expected = [
        "session_idel (from config/site.toml): is not a setting. Did you mean `session_idle`?",
        "OTEN_CLIENT_SECERT (from OTEN_CLIENT_SECERT): is not a setting. Did you mean \
         `OTEN_CLIENT_SECRET`?",
        "environment (from config/site.toml): is not one of the possible values. Write `sandbox` \
         or `production`.",
        "client_id: is missing. Set `client_id` or OTEN_CLIENT_ID: The client ID from Oten's \
         developer portal.",
        "client_secret: is missing. Set `client_secret` or OTEN_CLIENT_SECRET, or \
         OTEN_CLIENT_SECRET_FILE to a file that contains it: ",
        "base_path (from config/site.toml): is not a plain path. ",
        "redirect_uri: is missing. Set `redirect_uri` or OTEN_REDIRECT_URI: ",
        "scopes (from config/site.toml): lacks `openid`. Add `openid`",
        "listen (from OTEN_LISTEN): is not an IP address with a port. ",
    ];
    assert_eq!(problems.len(), expected.len());
    for (problem, expected) in problems.iter().zip(expected) {
        assert!(problem.trim_start().starts_with(expected), "{problem}");
    }
}

#[test]
fn a_single_problem_is_announced_in_the_singular() {
    let error = from_environment(&changed(&[("client_id", "")])).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("1 problem in the configuration:\n  client_id: ")
    );
}

/// A control character is a problem in every setting, so a problem shows that the setting is read.
#[test]
fn every_setting_is_read_from_the_file_and_the_environment() {
    for key in Key::all() {
        let name = key.name();
        let jar = match name {
            "jar_key_id" | "jar_key_file" => "EdDSA",
            _ => "",
        };
        let settings = changed(&[("jar", jar), (name, "\t")]);
        for result in [from_environment(&settings), from_toml(&toml(&settings))] {
            assert!(keys_of(&result).contains(&name), "{name}");
        }
    }
}

#[test]
fn every_default_is_valid() {
    let spelled_out: Vec<_> = Key::all()
        .iter()
        .filter_map(|key| Some((key.name(), key.default().filter(|text| !text.is_empty())?)))
        .collect();
    let spelled_out = from_toml(&toml(&changed(&spelled_out))).unwrap();
    let unsaid = from_toml(&toml(MINIMAL)).unwrap();
    assert_eq!(format!("{spelled_out:?}"), format!("{unsaid:?}"));
}

#[test]
fn toml_values_can_have_native_types() {
    let config = from_toml(&format!(
        "{}scopes = [\"openid\", \"email\"]\nmax_age = 60\ninstances = 2\nlog_subjects = true\nbase_path = \"\"",
        toml(MINIMAL)
    ))
    .unwrap();
    assert_eq!(config.scopes(), ["openid", "email"]);
    assert_eq!(config.max_age(), Some(Duration::from_secs(60)));
    assert_eq!(config.instances(), 2);
    assert!(config.log_subjects());

    for (line, key) in [
        ("prompt = 5", "prompt"),
        ("prompt = \"\"", "prompt"),
        ("scopes = [\"openid email\"]", "scopes"),
        ("scopes = [5]", "scopes"),
        ("scopes = true", "scopes"),
        ("max_age = 1.5", "max_age"),
        ("instances = 1.5", "instances"),
        ("instances = true", "instances"),
        ("session_key = [\"x\"]", "session_key"),
        ("log_subjects = 1", "log_subjects"),
        ("listen = 3000", "listen"),
        (
            "client_secret_file = 5\nclient_secret = \"x\"",
            "client_secret",
        ),
        ("[home]\nx = 1", "home"),
        ("[oten]\nclient_id = \"x\"", "oten"),
    ] {
        let name = line.split([' ', '_']).next().unwrap();
        let rest = if name == "client" {
            changed(&[("client_secret", "")])
        } else {
            MINIMAL.to_vec()
        };
        let problem = only_problem(from_toml(&format!("{}{line}", toml(&rest))));
        assert_eq!(problem.key(), key, "{line}");
    }
}

#[test]
fn unknown_names_are_rejected_with_a_suggestion() {
    let problem = only_problem(from_toml(&format!("{}scope = \"openid\"", toml(MINIMAL))));
    assert_eq!(
        (problem.key(), problem.help()),
        ("scope", "Did you mean `scopes`?")
    );

    for (variable, help) in [
        ("OTEN_REDIRECT_URL", "Did you mean `OTEN_REDIRECT_URI`?"),
        (
            "OTEN_CLIENT_SECRET_FIL",
            "Did you mean `OTEN_CLIENT_SECRET_FILE`?",
        ),
        ("OTEN_CLIENT_id", "Did you mean `OTEN_CLIENT_ID`?"),
        ("OTEN_DATABASE", "Unset it: it has no effect."),
        ("OTEN_PORT", "Unset it: it has no effect."),
    ] {
        let problem = only_problem(from_both(&toml(MINIMAL), &[(variable, "x")]));
        assert_eq!((problem.key(), problem.help()), (variable, help));
    }
    // A name cannot forge lines of the error.
    let problem = only_problem(from_toml(&format!("{}\"a\\nb\" = 1", toml(MINIMAL))));
    assert_eq!(problem.key(), "a\\nb");
}

#[test]
fn unrelated_environment_variables_are_ignored() {
    from_both(
        &toml(MINIMAL),
        &[
            ("PATH", "/bin"),
            ("OTEN_UNSET", ""),
            ("OTEN_SERVICE_HOST", "10.0.0.1"),
            ("OTEN_SERVICE_PORT_HTTP", "80"),
            ("OTEN_PORT", "tcp://10.0.0.1:80"),
            ("OTEN_PORT_80_TCP", "tcp://10.0.0.1:80"),
            ("OTEN_PORT_80_TCP_PROTO", "tcp"),
            ("OTEN_PORT_80_TCP_ADDR", "10.0.0.1"),
        ],
    )
    .unwrap();
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_utf8_is_rejected() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

    let problem = only_problem(build(
        Some(&toml(MINIMAL)),
        [("OTEN_CLIENT_ID", OsStr::from_bytes(b"\xff"))],
    ));
    assert_eq!(
        (problem.key(), problem.message()),
        ("client_id", "is not UTF-8 text")
    );
}

#[test]
fn the_environment_overrides_the_file() {
    let text = toml(&changed(&[
        ("client_id", "from-file"),
        ("cookie_name", "from-file"),
    ]));
    let config = from_both(&text, &[("OTEN_CLIENT_ID", "from-env")]).unwrap();
    assert_eq!(config.client().id(), "from-env");
    assert_eq!(config.cookie_name(), "from-file");

    // An empty variable counts as unset.
    let config = from_both(&text, &[("OTEN_CLIENT_ID", "")]).unwrap();
    assert_eq!(config.client().id(), "from-file");
}

#[test]
fn a_secret_can_be_read_from_a_file() {
    for text in [
        SECRET.to_owned(),
        format!("{SECRET}\n"),
        format!("{SECRET}\r\n"),
    ] {
        let file = TempFile::new(text);
        let settings = changed(&[("client_secret", ""), ("client_secret_file", file.path())]);
        for result in [from_environment(&settings), from_toml(&toml(&settings))] {
            let config = result.unwrap();
            let ClientType::Confidential { secret, .. } = config.client().client_type() else {
                panic!("confidential by default");
            };
            assert_eq!(secret.expose(), SECRET);
            assert!(config.warnings().is_empty());
        }
    }
}

#[test]
fn an_invalid_secret_file_is_reported_by_its_path_only() {
    let folder = std::env::temp_dir();
    let two_lines = TempFile::new(format!("{SECRET}\n\n"));
    let empty = TempFile::new("\n");
    let binary = TempFile::new(b"\xff\xfe");
    let long = TempFile::new("x".repeat(70_000));
    for (path, message) in [
        ("/nowhere/at/all", "does not exist: /nowhere/at/all"),
        (folder.to_str().unwrap(), "a directory"),
        (two_lines.path(), "control character"),
        (empty.path(), "is empty"),
        (binary.path(), "not text"),
        (long.path(), "larger than 64 KiB"),
    ] {
        let settings = changed(&[("client_secret", ""), ("client_secret_file", path)]);
        let problem = only_problem(from_environment(&settings));
        assert_eq!(problem.key(), "client_secret");
        assert!(problem.message().contains(message), "{problem}");
        assert_eq!(problem.message().matches(path).count(), 1, "{problem}");
        assert!(!problem.to_string().contains(SECRET));
    }
}

#[test]
fn a_secret_and_its_file_from_one_source_are_rejected() {
    let file = TempFile::new(SECRET);
    let both = changed(&[("client_secret_file", file.path())]);
    for result in [from_environment(&both), from_toml(&toml(&both))] {
        let problem = only_problem(result);
        assert_eq!(problem.key(), "client_secret");
        assert!(problem.message().contains("set twice"), "{problem}");
    }
    // From two sources, the environment overrides the file.
    from_both(&toml(MINIMAL), &[("OTEN_CLIENT_SECRET_FILE", file.path())]).unwrap();
}

#[test]
fn relative_paths_are_relative_to_the_configuration_file() {
    let key = Ed25519KeyPair::generate();
    let file = TempFile::new(&*key.to_pem());
    let name = file.0.file_name().unwrap().to_str().unwrap();
    let text = toml(&changed(&[("jar", "EdDSA"), ("jar_key_file", name)]));
    let site = TempFile::new(text);
    let config = Config::from_file(site.path()).unwrap();
    assert!(format!("{:?}", config.client()).contains(key.key_id()));
}

/// Returns the settings of a client of a provider other than Oten, with these in addition.
fn of_another_provider(added: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let issuer = [("environment", ""), ("issuer", "https://id.example")];
    from_environment(&changed(&[&issuer[..], added].concat()))
}

#[test]
fn s6_only_another_provider_may_have_its_own_algorithms_methods_and_audiences() {
    for (name, value) in [
        ("id_token_algorithms", "RS256"),
        ("id_token_algorithms", "EdDSA RS256"),
        ("token_endpoint_auth_method", "client_secret_basic"),
        ("trusted_audiences", "project"),
        ("authorization_parameters", "access_type=offline"),
    ] {
        for environment in ["sandbox", "production"] {
            let set = [("environment", environment), (name, value)];
            let result = from_environment(&changed(&set));
            assert!(keys_of(&result).contains(&name), "{environment}: {name}");
        }
        assert!(of_another_provider(&[(name, value)]).is_ok(), "{name}");
    }
    let of_an_api = |issuer: (&str, &str)| {
        let builder =
            ConfigBuilder::from_toml("api.toml", &format!("{} = '{}'", issuer.0, issuer.1));
        let builder = builder.unwrap().audiences(["api"]);
        builder.id_token_algorithms(["ES256"]).build_api().is_ok()
    };
    assert!(of_an_api(("issuer", "https://id.example")));
    assert!(!of_an_api(("environment", "sandbox")));
}

#[test]
fn s6_the_algorithms_are_those_of_the_setting() {
    use Algorithm::{EdDsa, Es256, Ps256, Rs256};
    let algorithms = |text: &str| {
        let config = of_another_provider(&[("id_token_algorithms", text)]);
        config.map(|config| config.id_token_algorithms().to_vec())
    };
    let default = of_another_provider(&[]).unwrap();
    assert_eq!(default.id_token_algorithms(), [EdDsa]);
    assert_eq!(algorithms("RS256").unwrap(), [Rs256]);
    let all = algorithms("ES256 PS256 EdDSA RS256").unwrap();
    assert_eq!(all, [Es256, Ps256, EdDsa, Rs256]);
    for text in [
        "HS256",
        "none",
        "RS256 HS256",
        "rs256",
        "RS512",
        "RS256 RS256",
        "*",
    ] {
        assert!(algorithms(text).is_err(), "{text}");
    }
    let none: [&str; 0] = [];
    let empty = Config::builder()
        .issuer("https://id.example")
        .id_token_algorithms(none);
    assert!(keys_of(&empty.build()).contains(&"id_token_algorithms"));
}

#[test]
fn s3_the_client_authenticates_as_configured() {
    let method = |settings: &[(&str, &str)]| {
        let config = of_another_provider(settings).unwrap();
        match config.client().client_type() {
            ClientType::Confidential { auth_method, .. } => *auth_method,
            ClientType::Public => panic!("a public client"),
        }
    };
    assert_eq!(method(&[]), AuthMethod::ClientSecretPost);
    let basic = [("token_endpoint_auth_method", "client_secret_basic")];
    assert_eq!(method(&basic), AuthMethod::ClientSecretBasic);
    for name in ["none", "client_secret_jwt", "private_key_jwt"] {
        assert!(of_another_provider(&[("token_endpoint_auth_method", name)]).is_err());
    }
}

#[test]
fn s10_authorization_parameters_change_no_parameter_of_the_protocol() {
    let result = |text: &str| of_another_provider(&[("authorization_parameters", text)]);
    let config = result("access_type=offline hd=example.com acr_values=a=b").unwrap();
    let parameters: Vec<_> = config.login_defaults().parameters().collect();
    assert_eq!(
        parameters,
        [
            ("access_type", "offline"),
            ("acr_values", "a=b"),
            ("hd", "example.com")
        ]
    );
    for text in [
        "state=x",
        "Nonce=x",
        "redirect_uri=https://evil.example",
        "scope=all",
        "code_challenge_method=plain",
        "response_mode=fragment",
        "request=x",
        "prompt=none",
        "max_age=1",
        "ui_locales=de",
        "a=1 a=2",
        "a",
        "a=",
        "=a",
        "a&b=c",
    ] {
        assert_eq!(
            keys_of(&result(text)),
            ["authorization_parameters"],
            "{text}"
        );
    }
    let replaceable = [
        ("authorization_parameters", "hd=example.com"),
        ("login_parameters", "hd"),
    ];
    assert_eq!(
        keys_of(&of_another_provider(&replaceable)),
        ["login_parameters"]
    );
}

#[test]
fn s2_unsigned_requests_to_another_provider_are_no_warning() {
    let config = of_another_provider(&[("jar", "off")]).unwrap();
    assert_eq!(config.warnings(), []);
    let sandbox = from_environment(&changed(&[("jar", "off")])).unwrap();
    assert_eq!(sandbox.warnings().len(), 1);
}

#[test]
fn s2_eddsa_requires_a_key() {
    let key = Ed25519KeyPair::generate();
    let good = TempFile::new(&*key.to_pem());
    let with = |path| changed(&[("jar", "EdDSA"), ("jar_key_file", path)]);
    let key_id = |settings: &[(&str, &str)]| match from_environment(settings).unwrap().client.kind {
        ClientType::Confidential {
            jar: Jar::EdDsa(pair),
            ..
        } => pair.key_id().to_owned(),
        other => panic!("{other:?}"),
    };
    assert_eq!(key_id(&with(good.path())), key.key_id());
    let mut named = with(good.path());
    named.push(("jar_key_id", "registered"));
    assert_eq!(key_id(&named), "registered");

    let problem = only_problem(from_environment(&with("")));
    assert_eq!(problem.key(), "jar_key_file");
    assert!(problem.message().contains("is missing"), "{problem}");
}

#[test]
fn b3_each_invalid_key_file_is_reported_with_its_path_and_help() {
    let key = Ed25519KeyPair::generate();
    let pem = key.to_pem();
    let block = |label: &str| {
        format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n").into_bytes()
    };
    let new_key = "`oten keygen ed25519`";
    for (bytes, message, help) in [
        (Vec::new(), "is empty", new_key),
        (b"\n".to_vec(), "is empty", new_key),
        (b"not a key".to_vec(), "is not PEM", new_key),
        (pem[..50].into(), "is cut off", "Copy the whole file again"),
        (
            pem.replace("MC4C", "M").into(),
            "is damaged",
            "Copy the whole file again",
        ),
        (block("PRIVATE KEY"), "is damaged", new_key),
        (
            pem.repeat(2).into(),
            "more than one PEM block",
            "file of its own",
        ),
        (
            key.public_pem().into(),
            "holds a public key",
            "Name the file with the private key",
        ),
        (block("RSA PRIVATE KEY"), "another algorithm", new_key),
        (block("EC PRIVATE KEY"), "another algorithm", new_key),
        (
            block("ENCRYPTED PRIVATE KEY"),
            "passphrase",
            "`openssl pkey -in",
        ),
        (block("OPENSSH PRIVATE KEY"), "PKCS#8", new_key),
        (vec![0x30, 0x2e, 0xff, 0xfe], "is not text", "not DER"),
        (
            vec![b'A'; 64 * 1024 + 1],
            "larger than 64 KiB",
            "Correct the path",
        ),
    ] {
        let file = TempFile::new(bytes);
        let settings = changed(&[("jar", "EdDSA"), ("jar_key_file", file.path())]);
        assert_bad_key(&settings, message, file.path(), help);
    }
    let folder = std::env::temp_dir();
    for (path, message, help) in [
        ("/nowhere/at/all", "does not exist", "Create it"),
        (folder.to_str().unwrap(), "a directory", "Correct the path"),
    ] {
        let settings = changed(&[("jar", "EdDSA"), ("jar_key_file", path)]);
        assert_bad_key(&settings, message, path, help);
    }
}

#[track_caller]
fn assert_bad_key(settings: &[(&str, &str)], message: &str, path: &str, help: &str) {
    let problem = only_problem(from_environment(settings));
    assert_eq!(problem.key(), "jar_key_file");
    assert!(problem.message().contains(message), "{message}: {problem}");
    assert!(problem.message().contains(path), "{path}: {problem}");
    assert!(problem.help().contains(help), "{help}: {problem}");
}

#[cfg(unix)]
#[test]
fn production_rejects_private_keys_that_every_user_may_read() {
    let (first, next) = (Ed25519KeyPair::generate(), Ed25519KeyPair::generate());
    let private = TempFile::new(&*first.to_pem());
    let later = TempFile::new(&*next.to_pem());
    let public = TempFile::new(next.public_pem());
    public.chmod(0o644);
    let read = |second: &TempFile, environment| {
        let files = format!("{},{}", private.path(), second.path());
        let settings = [("environment", environment), ("jar", "EdDSA")];
        let settings = [&settings[..], &[("jar_key_file", &files)]].concat();
        from_environment(&changed(&settings))
    };
    // A public key may be readable by every user.
    assert!(read(&public, "production").unwrap().warnings().is_empty());
    // A private key that does not sign yet is a secret, too.
    for file in [&private, &later] {
        file.chmod(0o644);
        assert_eq!(read(&later, "sandbox").unwrap().warnings().len(), 1);
        let problem = only_problem(read(&later, "production"));
        assert!(
            problem.message().contains("every user may read"),
            "{problem}"
        );
        let help = format!("chmod 600 {}", file.path());
        assert!(problem.help().contains(&help), "{problem}");
        file.chmod(0o600);
    }
}

fn published(config: &Config) -> Vec<&str> {
    let keys = config.client().published_keys();
    keys.iter().map(Ed25519PublicKey::key_id).collect()
}

#[test]
fn the_first_key_signs_and_all_are_published() {
    let [first, next, last] = [(); 3].map(|()| Ed25519KeyPair::generate());
    let private = TempFile::new(&*first.to_pem());
    let also_private = TempFile::new(&*next.to_pem());
    let public = TempFile::new(last.public_pem());
    let paths = [private.path(), also_private.path(), public.path()];
    let thumbprints = [first.key_id(), next.key_id(), last.key_id()];

    let separated = paths.join(", ");
    let settings = changed(&[("jar", "EdDSA"), ("jar_key_file", &separated)]);
    let array = format!("{}jar = 'EdDSA'\njar_key_file = {paths:?}\n", toml(MINIMAL));
    for config in [from_environment(&settings), from_toml(&array)] {
        let config = config.unwrap();
        assert_eq!(published(&config), thumbprints);
        let ClientType::Confidential { jar, .. } = config.client().client_type() else {
            panic!("{config:?}")
        };
        assert!(matches!(jar, Jar::EdDsa(pair) if pair.key_id() == first.key_id()));
    }

    // IDs are in the order of the keys; an omitted one defaults to the thumbprint.
    for (ids, expected) in [
        ("one", ["one", thumbprints[1], thumbprints[2]]),
        ("one, two", ["one", "two", thumbprints[2]]),
        (",two", [thumbprints[0], "two", thumbprints[2]]),
        ("one,two,three", ["one", "two", "three"]),
    ] {
        let mut settings = settings.clone();
        settings.push(("jar_key_id", ids));
        assert_eq!(published(&from_environment(&settings).unwrap()), expected);
        let names: Vec<_> = ids.split(',').map(str::trim).collect();
        let array = format!("{array}jar_key_id = {names:?}\n");
        assert_eq!(published(&from_toml(&array).unwrap()), expected);
    }
    for (ids, message) in [
        ("one,two,three,four", "more IDs than there are keys"),
        ("one,one", "ID of an earlier key"),
        (thumbprints[1], "ID of an earlier key"),
        ("one,t wo", "contains a space"),
    ] {
        let mut settings = settings.clone();
        settings.push(("jar_key_id", ids));
        let problem = only_problem(from_environment(&settings));
        assert_eq!(problem.key(), "jar_key_id");
        assert!(problem.message().contains(message), "{problem}");
    }
}

#[test]
fn repeated_and_invalid_keys_are_reported_individually() {
    let pair = Ed25519KeyPair::generate();
    let (private, public) = (
        TempFile::new(&*pair.to_pem()),
        TempFile::new(pair.public_pem()),
    );
    let files = |paths: &[&str]| {
        let paths = paths.join(",");
        from_environment(&changed(&[("jar", "EdDSA"), ("jar_key_file", &paths)]))
    };
    for twice in [private.path(), public.path()] {
        let problem = only_problem(files(&[private.path(), twice]));
        assert!(problem.message().contains("repeats"), "{problem}");
    }
    // A public key cannot sign, so it cannot be first.
    let problem = only_problem(files(&[public.path(), private.path()]));
    assert!(problem.message().contains(public.path()), "{problem}");

    let empty = TempFile::new("");
    let error = files(&[empty.path(), "/nowhere", private.path(), empty.path()]).unwrap_err();
    assert_eq!(error.problems().len(), 3, "{error}");

    for given in ["", " , ", "a.pem,", ",a.pem"] {
        assert_eq!(keys_of(&files(&[given])), ["jar_key_file"], "{given}");
    }
    for given in ["[]", "[5]", "['']", "5", "['a\\nb']", "[['a']]"] {
        for key in ["jar_key_file", "jar_key_id"] {
            let other = match key {
                "jar_key_id" => format!("jar_key_file = {:?}", private.path()),
                _ => String::new(),
            };
            let text = format!("{}jar = 'EdDSA'\n{key} = {given}\n{other}", toml(MINIMAL));
            let text = text.replace("'a\\nb'", "\"a\\nb\"");
            assert_eq!(keys_of(&from_toml(&text)), [key], "{key} = {given}");
        }
    }
}

#[test]
fn a_key_without_eddsa_is_rejected() {
    for jar in ["", "HS256", "off"] {
        let settings = changed(&[("jar", jar), ("jar_key_file", "k.pem"), ("jar_key_id", "k")]);
        assert_eq!(
            keys_of(&from_environment(&settings)),
            ["jar_key_file", "jar_key_id"]
        );
    }
}

#[test]
fn l7_each_invalid_key_is_reported_with_its_help() {
    let keys = ["", KEYS[0], "short", KEYS[1], KEYS[0]].join(", ");
    let error = from_environment(&changed(&[("session_key", &keys)])).unwrap_err();
    let lines: Vec<_> = error.problems().iter().map(Problem::to_string).collect();
    let wrong = |position| {
        format!(
            "session_key (from OTEN_SESSION_KEY): is invalid: key {position} is not 32 bytes in \
             base64. Create a key with `oten keygen session` or `openssl rand -base64 32`."
        )
    };
    let repeated = "session_key (from OTEN_SESSION_KEY): repeats an earlier key as key 5. Remove \
                    the repetition.";
    assert_eq!(lines, [wrong(1), wrong(3), repeated.to_owned()]);
}

#[test]
fn l7_keys_keep_their_order_and_can_be_read_from_a_file() {
    let ids = |settings: &[(&str, &str)]| {
        let config = from_environment(&changed(settings)).unwrap();
        format!("{:?}", config.session_keys())
    };
    let both = KEYS.join(",");
    let file = TempFile::new(format!("{both}\n"));
    let in_order = ids(&[("session_key", &both)]);
    assert_eq!(in_order, ids(&[("session_key_file", file.path())]));
    let [first, second] = KEYS.map(|key| ids(&[("session_key", key)]));
    let items = [&first, &second].map(|id| id.trim_matches(['[', ']']));
    assert_eq!(in_order, format!("[{}]", items.join(", ")));
    for shown in [in_order, first, second] {
        assert!(KEYS.iter().all(|key| !shown.contains(key)), "{shown}");
    }
}

#[test]
fn d5_the_token_budget_is_a_share_of_the_clients_limit() {
    let budget = |settings: &[(&str, &str)]| {
        let config = from_environment(&changed(settings)).unwrap();
        let warnings = config.warnings().iter();
        let warnings = warnings.filter(|warning| warning.key() == "instances");
        (config.token_budget(), warnings.count())
    };
    let custom = [("environment", ""), ("issuer", "https://id.example.com")];
    let limit = |limit| [("token_requests_per_minute", limit)];
    let instances = |instances| [("instances", instances)];
    assert_eq!(budget(&[]), (Some(120), 0));
    assert_eq!(budget(PRODUCTION), (Some(60), 0));
    assert_eq!(budget(&custom), (None, 0));
    assert_eq!(
        budget(&[custom, [limit("90")[0]; 2]].concat()),
        (Some(90), 0)
    );
    assert_eq!(budget(&limit("600")), (Some(600), 0));
    assert_eq!(budget(&instances("7")), (Some(17), 0));
    assert_eq!(budget(&instances("120")), (Some(1), 0));
    // The minimum is one, which exceeds the limit for all instances together.
    assert_eq!(budget(&instances("121")), (Some(1), 1));
}

#[test]
fn production_requires_https_endpoints() {
    for key in ["end_session_endpoint", "revocation_endpoint"] {
        let settings = [PRODUCTION, &[(key, "http://localhost:4000/x")]].concat();
        let problem = only_problem(from_environment(&changed(&settings)));
        assert_eq!(problem.key(), key);
    }
}

#[test]
fn s3_a_public_client_has_no_secret_and_no_signature() {
    let public = [("client_type", "public"), ("client_secret", "")];
    let config = from_environment(&changed(&public)).unwrap();
    assert!(matches!(config.client().client_type(), ClientType::Public));

    let settings = changed(&[
        ("client_type", "public"),
        ("jar", "HS256"),
        ("jar_key_file", "k.pem"),
        ("jar_key_id", "k"),
        ("request_object_lifetime", "2m"),
        ("token_validation", "remote"),
        (
            "token_validation_endpoint",
            "https://id.example.com/validate",
        ),
    ]);
    assert_eq!(
        keys_of(&from_environment(&settings)),
        [
            "client_secret",
            "jar",
            "jar_key_file",
            "jar_key_id",
            "request_object_lifetime",
            "token_validation",
            "token_validation_endpoint",
        ]
    );
}

#[test]
fn s3_a_public_client_has_no_setting_that_is_ignored() {
    let mut refused = Vec::new();
    for key in Key::all() {
        let value = match (key.name(), key.default()) {
            // Set already, instead of `environment`, and a file.
            ("client_type" | "issuer" | "ca_file", _) => continue,
            (_, Some(default)) => default,
            ("environment", _) => "sandbox",
            ("client_id", _) => "my-site",
            ("client_secret", _) => SECRET,
            ("redirect_uri", _) => "https://app.example.com/callback",
            ("jar_key_file" | "jar_key_id", _) => "k",
            (
                "audiences"
                | "end_session_endpoint"
                | "revocation_endpoint"
                | "post_logout_redirect_uri"
                | "token_validation_endpoint",
                _,
            ) => "https://app.example.com/x",
            ("token_requests_per_minute", _) => "60",
            ("home", _) => "/home",
            ("prompt", _) => "login",
            ("max_age", _) => "1h",
            ("ui_locales", _) => "de",
            ("session_key", _) => KEYS[0],
            ("metrics_listen", _) => "127.0.0.1:9464",
            ("access", _) => r#"{"admin": {"subjects": ["alice"]}}"#,
            ("native_links", _) => "com.example.app:/callback",
            (name, None) => panic!("`{name}` needs a value"),
        };
        let public = [("client_type", "public"), ("client_secret", "")];
        let is_kept = |(name, _): &&(&str, &str)| *name != key.name();
        let settings: Vec<_> = public.iter().filter(is_kept).copied().collect();
        let settings = changed(&[&settings[..], &[(key.name(), value)]].concat());
        let result = from_environment(&settings);
        refused.extend(keys_of(&result).into_iter().map(str::to_owned));
    }
    let expected = [
        "client_secret",
        "token_endpoint_auth_method",
        "token_validation_endpoint",
        "jar",
        "jar_key_file",
        "jar_key_id",
        "request_object_lifetime",
    ];
    assert_eq!(refused, expected);
}

#[test]
fn s3_an_api_rejects_settings_for_a_secret_that_it_does_not_have() {
    let api = |settings: &[(&str, &str)]| {
        let variables = settings
            .iter()
            .map(|(name, value)| (variable(name), *value));
        let error = ConfigBuilder::from(sources(None, variables).unwrap()).build_api();
        let problems = error.err().map(|error| error.problems().to_vec());
        let keys = problems.unwrap_or_default();
        keys.iter()
            .map(|problem| problem.key().to_owned())
            .collect::<Vec<_>>()
    };
    let base = [("environment", "sandbox"), ("audiences", "orders")];
    let endpoint = (
        "token_validation_endpoint",
        "https://id.example.com/validate",
    );
    let id = ("client_id", "orders");
    let secret = ("client_secret", SECRET);
    for (settings, problems) in [
        (&[][..], &[][..]),
        (&[id], &[]),
        (
            &[id, secret, endpoint, ("token_requests_per_minute", "60")],
            &[],
        ),
        (&[endpoint], &["token_validation_endpoint"]),
        (&[id, endpoint], &["token_validation_endpoint"]),
        (&[("token_validation", "remote")], &["token_validation"]),
        (
            &[id, secret, endpoint, ("token_validation", "local")],
            &["token_validation_endpoint"],
        ),
        (&[id, secret, ("client_type", "public")], &["client_secret"]),
        (
            &[("token_requests_per_minute", "60")],
            &["token_requests_per_minute"],
        ),
        (&[secret], &["client_id"]),
    ] {
        assert_eq!(
            api(&[&base[..], settings].concat()),
            problems,
            "{settings:?}"
        );
    }
}

#[test]
fn s3_settings_for_signed_requests_are_rejected_without_them() {
    let off = changed(&[("jar", "off"), ("request_object_lifetime", "2m")]);
    assert_eq!(
        keys_of(&from_environment(&off)),
        ["request_object_lifetime"]
    );
    let key = Ed25519KeyPair::generate().public_key();
    let builder = Config::builder()
        .environment(Environment::Sandbox)
        .client_id("my-site")
        .redirect_uri("https://app.example.com/callback")
        .jar_published_key(key);
    for builder in [
        builder.clone().public_client(),
        builder.clone().client_secret(Secret::random()),
        builder.client_secret(Secret::random()).jar_off(),
    ] {
        let error = builder.build().unwrap_err();
        assert_eq!(error.problems()[0].key(), "jar_key_file", "{error}");
    }
}

#[test]
fn s10_the_query_may_set_known_options_and_parameters_of_the_app_only() {
    let with = |names| from_environment(&changed(&[("login_parameters", names)]));
    let config = with("login_hint ui_locales workspace").unwrap();
    assert_eq!(
        config.login_parameters(),
        ["login_hint", "ui_locales", "workspace"]
    );
    assert!(with("").unwrap().login_parameters().is_empty());
    for names in [
        "state",
        "login_hint NONCE",
        "return_to",
        "a=b",
        "iss",
        "prompt prompt",
    ] {
        assert_eq!(
            only_problem(with(names)).key(),
            "login_parameters",
            "{names}"
        );
    }
    let both = changed(&[("login_parameters", "prompt"), ("prompt", "login")]);
    let problem = only_problem(from_environment(&both));
    assert_eq!(problem.key(), "login_parameters");
    // A default that is too long for a request is not dropped.
    let long = "de-AAAAAAAA-".repeat(200) + "x";
    let long = only_problem(from_environment(&changed(&[("ui_locales", &long)])));
    assert_eq!(long.key(), "ui_locales");
}

#[test]
fn a6_the_links_of_native_apps_are_exact_and_the_apps_own() {
    let with = |links| from_environment(&changed(&[("native_links", links)]));
    let links = [
        "https://app.example.com/open",
        "https://xn--bcher-kva.example/",
        "com.example.app:/callback",
        "com.example.app://callback",
        "com.example.app:/",
        "http://127.0.0.1/callback",
        "http://[::1]/a/b",
    ];
    let all = links.join(" ");
    let config = with(&all).unwrap();
    assert_eq!(config.native_links(), links);
    assert!(with("").unwrap().native_links().is_empty());
    for link in [
        "https://app.example.com",
        "https://app.example.com/open?x=1",
        "https://app.example.com/open#x",
        "https://user@app.example.com/open",
        "https://app.example.com:8443/open",
        "https://app.example.com:443/open",
        "https://app.example.com./open",
        "https://APP.example.com/open",
        "https://bücher.example/open",
        "https://192.0.2.1/open",
        "https://localhost/open",
        "https://app.localhost/open",
        "https://printer.local/open",
        "https://host/open",
        "https://[::1]/open",
        "https://app.example.com/a/../open",
        "https://app.example.com/%6fpen",
        r"https:\\app.example.com\open",
        "https:app.example.com/open",
        "https:///open",
        "http://app.example.com/open",
        "http://localhost/callback",
        "http://127.0.0.1:8080/callback",
        "http://127.0.0.1",
        "http://127.0.0.1.example.com/callback",
        "http://127.0.0.1@example.com/callback",
        "http://127.1/callback",
        "http://[::ffff:127.0.0.1]/callback",
        "javascript:alert(1)",
        "javascript:/callback",
        "data:/callback",
        "file:///callback",
        "blob:https://app.example.com/x",
        "intent://callback",
        "myapp:/callback",
        "com..example:/callback",
        "example.:/callback",
        "Com.Example.App:/callback",
        "com.example.app:callback",
        "com.example.app:",
        "com.example.app:/call back",
        "com.example.app:/../callback",
        "com.example.app:/callback%0a",
        "com.example.app:/<b>",
        "www.example.com:443/callback",
        "//app.example.com/open",
        "/callback",
        "callback",
        "com.example.app:/a com.example.app:/a",
    ] {
        assert_eq!(only_problem(with(link)).key(), "native_links", "{link}");
    }
}

#[test]
fn exactly_one_issuer_is_required() {
    let neither = only_problem(from_environment(&changed(&[("environment", "")])));
    assert_eq!(neither.key(), "environment");
    assert!(neither.message().contains("`issuer`"));

    let both = [MINIMAL, &[("issuer", "https://id.example.com")]].concat();
    let both = only_problem(from_environment(&both));
    assert_eq!(both.key(), "issuer");
    assert!(
        both.message()
            .contains("`environment` (from OTEN_ENVIRONMENT)")
    );

    for (issuer, is_valid) in [
        ("https://id.example.com", true),
        ("https://id.example.com/tenant/", true),
        ("http://127.0.0.1:4000", true),
        ("http://[::1]:4000", true),
        ("http://localhost:4000/", true),
        ("http://id.example.com", false),
        ("https://id.example.com?x", false),
        ("https://id.example.com#x", false),
        ("https://alice@id.example.com", false),
        ("id.example.com", false),
        ("https://account.oten.com", false),
        ("https://account.oten.com/", false),
        ("https://ACCOUNT.sbx.oten.dev:443", false),
    ] {
        let result = from_environment(&changed(&[("environment", ""), ("issuer", issuer)]));
        let expected: &[&str] = if is_valid { &[] } else { &["issuer"] };
        assert_eq!(keys_of(&result), expected, "{issuer}");
    }
}

#[test]
fn production_is_strict_where_the_sandbox_warns() {
    let short = [("client_secret", "short")];
    let short_sandbox = from_environment(&changed(&short)).unwrap();
    assert_eq!(short_sandbox.warnings().len(), 1);
    assert!(
        short_sandbox.warnings()[0]
            .message()
            .starts_with("is shorter than 32 bytes")
    );
    let (too_short, long) = ("x".repeat(31), "x".repeat(32));
    let in_production = |secret: &str| {
        let settings = [PRODUCTION, &[("client_secret", secret)]].concat();
        from_environment(&changed(&settings))
    };
    assert_eq!(
        only_problem(in_production(&too_short)).key(),
        "client_secret"
    );
    in_production(&long).unwrap();

    for (key, uri) in [
        ("redirect_uri", "http://localhost:3000/callback"),
        ("post_logout_redirect_uri", "http://localhost:3000/"),
    ] {
        from_environment(&changed(&[(key, uri)])).unwrap();
        let rejected = from_environment(&changed(&[PRODUCTION, &[(key, uri)]].concat()));
        assert_eq!(only_problem(rejected).key(), key);
    }
    let loopback = [("redirect_uri", "https://localhost:3000/callback")];
    from_environment(&changed(&[PRODUCTION, &loopback].concat())).unwrap();

    // A short secret is accepted if it signs nothing.
    let off =
        from_environment(&changed(&[PRODUCTION, &short, &[("jar", "off")]].concat())).unwrap();
    assert!(off.warnings()[0].help().contains("legacy"));
}

#[test]
fn production_rejects_the_memory_store() {
    let memory = [PRODUCTION, &[("session_store", "memory:")]].concat();
    let problem = only_problem(from_environment(&changed(&memory)));
    assert_eq!(problem.key(), "session_store");
    assert!(problem.message().contains("restart"), "{problem}");
    assert!(problem.help().contains("sqlite:PATH"), "{problem}");
    // The app may pass a store of its own, which the configuration does not contain.
    from_environment(&changed(PRODUCTION)).unwrap();
    from_environment(&changed(&[("session_store", "memory:")])).unwrap();
}

#[test]
fn l7_an_external_store_requires_a_key() {
    for store in ["sqlite:/var/lib/site.db", "redis://h", "postgres://h/db"] {
        for environment in ["sandbox", "production"] {
            let settings = [("environment", environment), ("session_store", store)];
            let problem = only_problem(from_environment(&changed(&settings)));
            assert_eq!(problem.key(), "session_key");
            assert!(problem.message().contains("`session_store`"), "{problem}");
            assert!(problem.help().contains("OTEN_SESSION_KEY"), "{problem}");

            let with_key = [&settings[..], &[("session_key", KEYS[0])]].concat();
            from_environment(&changed(&with_key)).unwrap();
            // An invalid key is reported only once.
            let wrong_key = [&settings[..], &[("session_key", "short")]].concat();
            let wrong_key = only_problem(from_environment(&changed(&wrong_key)));
            assert!(wrong_key.message().contains("key 1"), "{wrong_key}");
        }
    }
}

#[test]
fn production_warns_of_interceptable_store_connections() {
    let warns = |environment, store| {
        let settings = [("environment", environment), ("session_store", store)];
        let settings = [&settings[..], &[("session_key", KEYS[0])]].concat();
        let config = from_environment(&changed(&settings)).unwrap();
        let mut warnings = config.warnings().iter();
        let found = warnings.find(|warning| warning.key() == "session_store");
        found.map(|warning| warning.help().to_owned())
    };
    for (store, help) in [
        ("redis://redis.example.com", "`rediss://`"),
        ("redis://10.0.0.7:6379/1", "`rediss://`"),
        ("redis+cluster://a,10.0.0.7:6379", "`rediss://`"),
        ("redis+sentinel://a,b.example.com/s", "`rediss://`"),
        ("postgres://db.example.com/d", "verify-full"),
        ("postgres://localhost/d?host=db.example.com", "verify-full"),
        ("postgres://db.example.com/d?sslmode=require", "verify-full"),
        (
            "postgresql://db.example.com/d?sslmode=verify-ca",
            "verify-full",
        ),
        (
            "postgres://db.example.com/d?sslmode=verify-full&sslmode=disable",
            "verify-full",
        ),
    ] {
        let warned = warns("production", store).unwrap_or_else(|| panic!("{store}"));
        assert!(warned.contains(help), "{store}: {warned}");
        assert_eq!(warns("sandbox", store), None, "{store}");
    }
    for store in [
        "rediss://redis.example.com",
        "redis://127.0.0.1",
        "redis://[::1]",
        "redis://redis:6379",
        "redis+cluster://redis-1,redis-2",
        "rediss+cluster://redis.example.com,10.0.0.7",
        "rediss+sentinel://redis.example.com/s",
        "postgres://localhost/d",
        "postgres://db/d",
        "postgres:///d?host=/run/postgresql",
        "postgres://db.example.com/d?sslmode=verify-full",
        "postgres://db.example.com/d?ssl-mode=VERIFY-FULL",
        "sqlite:/var/lib/site.db",
    ] {
        assert_eq!(warns("production", store), None, "{store}");
    }
}

#[test]
fn production_recommends_eddsa() {
    let recommends = |settings: &[(&str, &str)]| {
        let config = from_environment(&changed(settings)).unwrap();
        let is_it = |warning: &Problem| {
            warning.key() == "jar" && warning.help().contains("setting it to `EdDSA`")
        };
        config.warnings().iter().any(is_it)
    };
    let pair = Ed25519KeyPair::generate();
    let pem = TempFile::new(&*pair.to_pem());
    let eddsa = [("jar", "EdDSA"), ("jar_key_file", pem.path())];
    assert!(recommends(PRODUCTION));
    assert!(!recommends(&[]));
    assert!(!recommends(&[PRODUCTION, &eddsa].concat()));
}

#[test]
fn production_rejects_secrets_in_a_toml_file() {
    let key = ("session_key", KEYS[0]);
    for (settings, wrong) in [
        (vec![], "client_secret"),
        (vec![("client_secret", ""), key], "session_key"),
        (
            vec![("client_secret", ""), ("proxy", "http://me:pw@proxy:3128")],
            "proxy",
        ),
        // For some proxies the user name is a token.
        (
            vec![("client_secret", ""), ("proxy", "http://token@proxy:3128")],
            "proxy",
        ),
        (
            vec![("client_secret", ""), ("session_store", "redis://:pw@h")],
            "session_store",
        ),
        (
            vec![
                ("client_secret", ""),
                ("session_store", "postgres://h/d?Password=pw"),
            ],
            "session_store",
        ),
        (
            vec![
                ("client_secret", ""),
                ("session_store", "rediss+cluster://me:pw@a:6379,b:6379"),
            ],
            "session_store",
        ),
    ] {
        // All other secrets come from the environment.
        let held = settings.iter().any(|setting| setting.0 == "client_secret");
        let mut variables = vec![];
        if held {
            variables.push(("OTEN_CLIENT_SECRET", SECRET));
        }
        if wrong == "session_store" {
            variables.push(("OTEN_SESSION_KEY", KEYS[0]));
        }
        let sandbox = from_both(&toml(&changed(&settings)), &variables).unwrap();
        let warned: Vec<_> = sandbox.warnings().iter().map(Problem::key).collect();
        assert_eq!(warned, [wrong]);

        let production = toml(&changed(&[PRODUCTION, &settings].concat()));
        let problem = only_problem(from_both(&production, &variables));
        assert_eq!(problem.key(), wrong);
        let variable = variable(wrong);
        assert!(problem.help().contains(&variable), "{problem}");
        assert!(
            problem.help().contains(&format!("`{wrong}_file`")),
            "{problem}"
        );

        // It is also rejected if the environment overrides it.
        let value = production.lines().find_map(|line| {
            let value = line.strip_prefix(&format!("{wrong} = "))?;
            Some(value.trim_matches('"').to_owned())
        });
        let value = value.unwrap();
        variables.push((&variable, &value));
        let problem = only_problem(from_both(&production, &variables));
        assert_eq!(problem.key(), wrong);
        assert_eq!(problem.origin(), &Origin::File("config/site.toml".into()));

        // The same value from the environment alone is accepted.
        let without: String = production
            .lines()
            .filter(|line| !line.starts_with(&format!("{wrong} = ")))
            .flat_map(|line| [line, "\n"])
            .collect();
        from_both(&without, &variables).unwrap();
    }
}

#[test]
fn a_url_without_a_password_is_not_a_secret() {
    let text = toml(&changed(&[
        PRODUCTION[0],
        ("client_secret", ""),
        ("session_store", "postgres://site@h/d?sslmode=verify-full"),
        ("proxy", "http://proxy:3128"),
    ]));
    from_both(
        &text,
        &[
            ("OTEN_CLIENT_SECRET", SECRET),
            ("OTEN_SESSION_KEY", KEYS[0]),
        ],
    )
    .unwrap();
}

#[test]
fn a_store_url_with_a_password_can_be_read_from_a_file() {
    let file = TempFile::new("redis://:pw@h\n");
    let text = toml(&changed(&[
        PRODUCTION[0],
        ("client_secret", ""),
        ("session_store_file", file.path()),
    ]));
    let secrets = [
        ("OTEN_CLIENT_SECRET", SECRET),
        ("OTEN_SESSION_KEY", KEYS[0]),
    ];
    let config = from_both(&text, &secrets).unwrap();
    assert_eq!(
        config.session_store(),
        &StoreUrl::Redis("redis://:pw@h".into())
    );
}

fn ca_pem() -> String {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::default().self_signed(&key);
    certificate.unwrap().pem()
}

#[test]
fn every_certificate_of_the_ca_file_is_read() {
    let (first, second) = (ca_pem(), ca_pem());
    // A system's list is long and readable by every user.
    let long = format!(
        "# The company's own\n{first}\n\n{second}\n# {}",
        "x".repeat(100_000)
    );
    let file = TempFile::new(long);
    file.chmod(0o644);
    for environment in ["sandbox", "production"] {
        let settings = [("environment", environment), ("ca_file", file.path())];
        let config = from_environment(&changed(&settings)).unwrap();
        assert_eq!(config.ca_file(), Some(file.0.as_path()));
        assert_eq!(
            format!("{:?}", config.http_options().ca_certificates),
            "CaCertificates(2)"
        );
        assert!(!config.warnings().iter().any(|one| one.key() == "ca_file"));
    }
}

#[test]
fn b3_an_invalid_ca_file_is_reported_with_its_path() {
    let good = ca_pem();
    let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let cut_off = &good[..good.len() / 2];
    let folder = std::env::temp_dir();
    let lines = good.lines().collect::<Vec<_>>();
    let other = [lines[0], "AAAA", lines[lines.len() - 1]].join("\n");
    for (text, message) in [
        (String::new(), "is empty"),
        ("\n \n".to_owned(), "is empty"),
        ("0\u{82}DER".to_owned(), "not PEM"),
        (cut_off.to_owned(), "certificate 1 is cut off"),
        (format!("{good}{cut_off}"), "certificate 2 is cut off"),
        (format!("{good}{other}"), "certificate 2 is cut off"),
        (format!("{good}{key}"), "a private key"),
        (Ed25519KeyPair::generate().public_pem(), "no certificate"),
        ("x".repeat(1024 * 1024 + 1), "larger than 1024 KiB"),
    ] {
        let file = TempFile::new(text);
        let problem = only_problem(from_environment(&changed(&[("ca_file", file.path())])));
        assert_eq!(problem.key(), "ca_file");
        assert!(problem.message().contains(message), "{problem}");
        assert_eq!(
            problem.message().matches(file.path()).count(),
            1,
            "{problem}"
        );
    }
    for (path, message) in [
        ("/nowhere/at/all", "does not exist: /nowhere/at/all"),
        (folder.to_str().unwrap(), "a directory"),
    ] {
        let problem = only_problem(from_environment(&changed(&[("ca_file", path)])));
        assert!(problem.message().contains(message), "{problem}");
    }
}

#[test]
fn a_proxy_is_rejected_with_a_plain_http_issuer() {
    let issuer = |issuer| {
        [
            ("environment", ""),
            ("issuer", issuer),
            ("proxy", "http://proxy:3128"),
        ]
    };
    let plain = from_environment(&changed(&issuer("http://localhost:4000")));
    assert_eq!(only_problem(plain).key(), "proxy");
    from_environment(&changed(&issuer("https://localhost:4000"))).unwrap();
}

#[cfg(unix)]
#[test]
fn production_rejects_secret_files_that_every_user_may_read() {
    let file = TempFile::new(SECRET);
    let in_file = [("client_secret", ""), ("client_secret_file", file.path())];
    for (mode, warnings, rejected) in [
        (0o600, 0, false),
        (0o400, 0, false),
        (0o640, 1, false),
        (0o604, 1, true),
        (0o644, 1, true),
    ] {
        file.chmod(mode);
        let sandbox = from_environment(&changed(&in_file)).unwrap();
        assert_eq!(sandbox.warnings().len(), warnings, "{mode:o}");
        let production = from_environment(&changed(&[PRODUCTION, &in_file].concat()));
        let expected: &[&str] = if rejected { &["client_secret"] } else { &[] };
        assert_eq!(keys_of(&production), expected, "{mode:o}");
    }
}

/// A user who may write a file can replace it, even if its content is not secret.
#[cfg(unix)]
#[test]
fn production_rejects_files_that_every_user_may_write() {
    let pair = Ed25519KeyPair::generate();
    let secret = TempFile::new(SECRET);
    let key = TempFile::new(&*pair.to_pem());
    let public = TempFile::new(Ed25519KeyPair::generate().public_pem());
    let both = format!("{},{}", key.path(), public.path());
    let ca = TempFile::new(ca_pem());
    for (file, name, settings) in [
        (
            &secret,
            "client_secret",
            &[("client_secret", ""), ("client_secret_file", secret.path())][..],
        ),
        (
            &key,
            "jar_key_file",
            &[("jar", "EdDSA"), ("jar_key_file", &both)],
        ),
        (
            &public,
            "jar_key_file",
            &[("jar", "EdDSA"), ("jar_key_file", &both)],
        ),
        (&ca, "ca_file", &[("ca_file", ca.path())]),
    ] {
        for (mode, is_reported, is_rejected) in [
            (0o600, false, false),
            (0o620, true, false),
            (0o602, true, true),
            (0o622, true, true),
        ] {
            file.chmod(mode);
            let reports = |problem: &Problem| {
                problem.key() == name
                    && problem.message().contains("may write")
                    && problem
                        .help()
                        .contains(&format!("chmod go-w {}", file.path()))
            };
            let sandbox = from_environment(&changed(settings)).unwrap();
            let warns = sandbox.warnings().iter().any(reports);
            assert_eq!(warns, is_reported, "{name} {mode:o}");
            match from_environment(&changed(&[PRODUCTION, settings].concat())) {
                Ok(config) => {
                    assert!(!is_rejected, "{name} {mode:o}");
                    let warns = config.warnings().iter().any(reports);
                    assert_eq!(warns, is_reported, "{name} {mode:o}");
                }
                rejected => {
                    assert!(is_rejected, "{name} {mode:o}: {rejected:?}");
                    assert!(reports(&only_problem(rejected)), "{name} {mode:o}");
                }
            }
        }
        file.chmod(0o600);
    }
}

/// Reading them could block or never end.
#[cfg(unix)]
#[test]
fn b3_pipes_and_devices_are_rejected() {
    let folder = std::env::temp_dir().join(Secret::random().expose());
    fs::create_dir(&folder).unwrap();
    let [pipe, link] = ["pipe", "link"].map(|name| folder.join(name));
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    std::os::unix::fs::symlink(&pipe, &link).unwrap();
    let pipes = [&pipe, &link].map(|path| path.to_str().unwrap());
    for path in pipes.into_iter().chain(["/dev/null", "/dev/zero"]) {
        for settings in [
            &[("client_secret", ""), ("client_secret_file", path)][..],
            &[("jar", "EdDSA"), ("jar_key_file", path)],
            &[("ca_file", path)],
        ] {
            let problem = only_problem(from_environment(&changed(settings)));
            assert!(
                problem.message().contains("is a pipe, a device"),
                "{problem}"
            );
            assert!(problem.message().contains(path), "{problem}");
        }
    }
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn the_callback_path_begins_with_the_base_path() {
    let at = |base, path| {
        let uri = format!("https://app.example.com{path}");
        from_environment(&changed(&[("base_path", base), ("redirect_uri", &uri)]))
            .map(|config| (config.callback_route().to_owned(), config.home().to_owned()))
            .map_err(|error| error.problems()[0].key().to_owned())
    };
    let found = |callback: &str, home: &str| Ok((callback.to_owned(), home.to_owned()));
    let rejected = || Err("redirect_uri".to_owned());
    assert_eq!(at("/app", "/app/callback"), found("/callback", "/app"));
    assert_eq!(at("/a/b", "/a/b/c/d"), found("/c/d", "/a/b"));
    // A trailing slash makes no difference.
    assert_eq!(at("/app/", "/app/callback"), found("/callback", "/app"));
    assert_eq!(at("/", "/app/callback"), found("/app/callback", "/"));
    assert_eq!(at("", "/app/callback"), found("/app/callback", "/"));
    for path in [
        "/callback",
        "/application/callback",
        "/app",
        "/app/",
        "/app/login",
    ] {
        assert_eq!(at("/app", path), rejected(), "{path}");
    }
    // An invalid redirect URI is not reported for a valid home.
    let settings = [
        ("base_path", "/app"),
        ("home", "/app"),
        ("redirect_uri", "nowhere"),
    ];
    assert_eq!(
        keys_of(&from_environment(&changed(&settings))),
        ["redirect_uri"]
    );
}

/// Promise B2.
#[test]
fn secrets_are_never_shown() {
    let secrets = |name| changed(&[("client_secret", ""), (name, SECRET)]);
    let config = from_environment(MINIMAL).unwrap();
    let builder = Config::builder().client_secret(SECRET).client_id(SECRET);
    let mut shown = vec![format!("{config:?}"), format!("{builder:?}")];
    for store in [
        format!("redis://:{SECRET}@localhost/1"),
        format!("redis+cluster://{SECRET}:{SECRET}@localhost,localhost:1"),
        format!("redis+sentinel://:{SECRET}@localhost/s?sentinel_password={SECRET}"),
        format!("rediss://{SECRET}:x@localhost?password={SECRET}"),
        format!("postgres://site:{SECRET}@localhost/db?sslpassword={SECRET}"),
    ] {
        let builder = Config::builder().session_store(StoreUrl::Postgres(store.as_str().into()));
        let settings = changed(&[("session_store", &store), ("session_key", KEYS[0])]);
        let config = from_environment(&settings).unwrap();
        let url = config.session_store();
        shown.push(format!("{builder:?} {config:?} {url:?} {url}"));
    }
    for proxy in [
        format!("http://site:{SECRET}@localhost:3128"),
        format!("https://{SECRET}@localhost"),
    ] {
        let builder = Config::builder().proxy(Proxy::Url(proxy.as_str().into()));
        let config = from_environment(&changed(&[("proxy", &proxy)])).unwrap();
        shown.push(format!("{builder:?} {config:?} {}", config.proxy()));
    }
    // Nor is one in the wrong line.
    for key in Key::all() {
        let settings = secrets(key.name());
        for result in [from_environment(&settings), from_toml(&toml(&settings))] {
            if let Err(error) = result {
                shown.push(format!("{error} {error:?}"));
            }
        }
    }
    for text in [
        format!("client_secret = \"{SECRET}"),
        format!("client_secret = {SECRET}"),
        format!("client_secret = \"{SECRET}\"\nclient_secret = \"{SECRET}\""),
        format!("redirect_uri = \"https://x:{SECRET}@app.example.com/\""),
        format!("redirect_uri = \"https://app.example.com/callback?key={SECRET}\""),
        format!("session_store = \"redis://:{SECRET}@localhost/x\""),
        format!("proxy = \"http://:{SECRET}@localhost/x\""),
        format!("client_secret = [\"{SECRET}\"]"),
    ] {
        let error = from_toml(&text).unwrap_err();
        shown.push(format!("{error} {error:?}"));
    }
    for text in shown {
        // The path of a file is not a secret.
        let text = text.replace(&format!("does not exist: {SECRET}"), "");
        let text = text.replace(&format!("does not exist: config/{SECRET}"), "");
        assert!(!text.contains(SECRET), "{text}");
    }
}

#[test]
fn a_file_that_is_not_toml_is_reported_by_its_line() {
    let problem = only_problem(from_toml("client_id = \"x\"\nclient_id = \"y\""));
    assert_eq!(problem.message(), "is not TOML in line 2");
    assert_eq!(problem.origin(), &Origin::File("config/site.toml".into()));

    let problem = only_problem(Config::from_file("/nowhere/at/all.toml"));
    assert_eq!(problem.message(), "does not exist");
    assert!(Config::from_file(std::env::temp_dir()).is_err());
}

#[test]
fn the_builder_and_the_environment_create_equal_configurations() {
    let key = Ed25519KeyPair::generate().with_key_id("registered");
    let pem = TempFile::new(&*key.to_pem());
    let ca = TempFile::new(ca_pem());
    let read = from_environment(&[
        ("issuer", "http://127.0.0.1:4000"),
        ("client_id", "my-site"),
        ("client_secret", SECRET),
        ("redirect_uri", "http://localhost:3000/app/callback"),
        ("post_logout_redirect_uri", "http://localhost:3000/app"),
        ("base_path", "/app"),
        ("home", "/app/welcome"),
        ("scopes", "openid email"),
        ("jar", "EdDSA"),
        ("jar_key_file", pem.path()),
        ("jar_key_id", "registered"),
        ("prompt", "login consent"),
        ("max_age", "1h"),
        ("ui_locales", "de en"),
        ("request_object_lifetime", "60"),
        ("session_idle", "30m"),
        ("session_lifetime", "1d"),
        ("guest_session_idle", "5m"),
        ("sessions_per_user", "7"),
        ("session_store", "memory:"),
        ("session_key", KEYS[0]),
        ("refresh", "on-demand"),
        ("refresh_grace", "90"),
        ("instances", "4"),
        ("token_requests_per_minute", "100"),
        ("end_session_endpoint", "http://127.0.0.1:4000/out"),
        ("revocation_endpoint", "http://127.0.0.1:4000/revoke"),
        ("ca_file", ca.path()),
        ("proxy", "direct"),
        ("cookie_name", "site"),
        ("persistent_cookie", "false"),
        ("clear_cache", "false"),
        ("log_subjects", "true"),
        ("trusted_proxies", "10.0.0.0/8 ::1"),
        ("listen", "127.0.0.1:0"),
        ("metrics_listen", "127.0.0.1:0"),
    ])
    .unwrap();
    let made = Config::builder()
        .environment(Environment::Production)
        .issuer("http://127.0.0.1:4000")
        .client_id("my-site")
        .client_secret(SECRET)
        .redirect_uri("http://localhost:3000/app/callback")
        .post_logout_redirect_uri("http://localhost:3000/app")
        .base_path("/app")
        .home("/app/welcome")
        .scopes(["openid", "email"])
        .jar_eddsa(key)
        .prompt("login consent")
        .max_age(Duration::from_secs(3_600))
        .ui_locales("de en")
        .request_object_lifetime(Duration::from_secs(60))
        .session_idle(Duration::from_secs(1_800))
        .session_lifetime(Duration::from_secs(86_400))
        .guest_session_idle(Duration::from_secs(300))
        .sessions_per_user(7)
        .session_store(StoreUrl::Memory)
        .session_key(KEYS[0])
        .refresh(RefreshPolicy::OnDemand)
        .refresh_grace(Duration::from_secs(90))
        .instances(4)
        .token_requests_per_minute(100)
        .end_session_endpoint("http://127.0.0.1:4000/out")
        .revocation_endpoint("http://127.0.0.1:4000/revoke")
        .ca_file(ca.path())
        .proxy(Proxy::Direct)
        .cookie_name("site")
        .persistent_cookie(false)
        .clear_cache(false)
        .log_subjects(true)
        .trusted_proxies(["10.0.0.0/8", "::1"])
        .listen("127.0.0.1:0".parse().unwrap())
        .metrics_listen("127.0.0.1:0".parse().unwrap())
        .build()
        .unwrap();
    assert_eq!(format!("{made:?}"), format!("{read:?}"));
    assert!(!made.secure_cookies());
    assert_eq!(made.origin(), "http://localhost:3000");
}

#[test]
fn store_urls_are_parsed_and_displayed() {
    let redis = |url: &str| StoreUrl::Redis(url.into());
    let postgres = |url: &str| StoreUrl::Postgres(url.into());
    let socket = "postgres://site@%2Frun%2Fpostgresql/db";
    for (text, url, shown) in [
        ("memory:", StoreUrl::Memory, "memory:"),
        (
            "sqlite:a/b.db",
            StoreUrl::Sqlite("a/b.db".into()),
            "sqlite:a/b.db",
        ),
        (
            "sqlite:///a.db",
            StoreUrl::Sqlite("/a.db".into()),
            "sqlite:/a.db",
        ),
        ("redis://h", redis("redis://h"), "redis://h"),
        (
            "rediss://me:pw@h:1/2",
            redis("rediss://me:pw@h:1/2"),
            "rediss://h:1/2",
        ),
        (
            "redis+cluster://me:p,w@h:1,[::1]:2,i?protocol=resp3",
            redis("redis+cluster://me:p,w@h:1,[::1]:2,i?protocol=resp3"),
            "redis+cluster://h:1,[::1]:2,i",
        ),
        (
            "rediss+sentinel://:pw@h,i:2/my%20site/3?sentinel_password=pw",
            redis("rediss+sentinel://:pw@h,i:2/my%20site/3?sentinel_password=pw"),
            "rediss+sentinel://h,i:2/my site/3",
        ),
        (
            "postgresql://me:pw@h/db?sslmode=verify-full",
            postgres("postgresql://me:pw@h/db?sslmode=verify-full"),
            "postgresql://h/db",
        ),
        (
            socket,
            postgres(socket),
            "postgres://%2Frun%2Fpostgresql/db",
        ),
    ] {
        let settings = changed(&[("session_store", text), ("session_key", KEYS[0])]);
        let read = from_environment(&settings).unwrap();
        assert_eq!(read.session_store(), &url, "{text}");
        assert_eq!(url.to_string(), shown);
        assert_eq!(url.setting().replacen("sqlite:/a", "sqlite:///a", 1), text);
    }
}

#[test]
fn setters_complete_and_override_the_file() {
    let text = toml(&changed(&[
        ("client_secret", ""),
        ("jar", "EdDSA"),
        ("jar_key_file", "missing.pem"),
        ("jar_key_id", "old"),
    ]));
    let file = TempFile::new(text);
    let builder = ConfigBuilder::from_file(file.path()).unwrap();
    assert!(builder.is_set("client_id") && builder.is_set("jar_key_file"));
    assert!(!builder.is_set("client_secret") && !builder.is_set("nonsense"));
    let config = builder
        .client_secret(Secret::random())
        .jar_eddsa(Ed25519KeyPair::generate().with_key_id("new"))
        .issuer("http://127.0.0.1:4000")
        .build()
        .unwrap();
    assert!(matches!(config.issuer(), Issuer::Custom(_)));
    assert!(format!("{:?}", config.client()).contains("\"new\""));

    let hs256 = ConfigBuilder::from_file(file.path()).unwrap();
    let hs256 = hs256.client_secret(SECRET).jar_hs256().build().unwrap();
    let jar_off = Config::builder()
        .jar_eddsa(Ed25519KeyPair::generate())
        .jar_off();
    assert!(format!("{:?}", hs256.client()).contains("Hs256"));
    assert!(!jar_off.is_set("jar_key_file"));
}

#[test]
fn the_builder_applies_the_same_rules() {
    let good = || {
        Config::builder()
            .environment(Environment::Sandbox)
            .client_id("my-site")
            .client_secret(SECRET)
            .redirect_uri("https://app.example.com/callback")
    };
    good().build().unwrap();
    for (builder, key) in [
        (good().public_client(), "client_secret"),
        (good().scopes(["openid email"]), "scopes"),
        (good().scopes([""]), "scopes"),
        (good().scopes(Vec::<String>::new()), "scopes"),
        (good().max_age(Duration::from_millis(1_500)), "max_age"),
        (good().session_idle(Duration::MAX), "session_idle"),
        (good().client_id(""), "client_id"),
        (good().home("//evil.example"), "home"),
        (good().session_key(""), "session_key"),
        (good().instances(0), "instances"),
        (
            good().refresh_grace(Duration::from_secs(3_601)),
            "refresh_grace",
        ),
    ] {
        let problem = only_problem(builder.build());
        assert_eq!(problem.key(), key);
        assert_eq!(problem.origin(), &Origin::Builder);
    }
}

#[test]
fn trusted_proxies_are_matched_by_address() {
    let settings = changed(&[(
        "trusted_proxies",
        "10.1.0.0/16 2001:db8::/32 ::ffff:192.0.2.7",
    )]);
    let config = from_environment(&settings).unwrap();
    for (address, trusted) in [
        ("10.1.255.255", true),
        ("::ffff:10.1.2.3", true),
        ("10.2.0.1", false),
        ("192.0.2.7", true),
        ("192.0.2.8", false),
        ("2001:db8:1::1", true),
        ("2001:db9::1", false),
        ("::1", false),
    ] {
        let address: IpAddr = address.parse().unwrap();
        assert_eq!(config.is_trusted_proxy(address), trusted, "{address}");
    }
    for none in [
        from_toml(&format!("{}trusted_proxies = []", toml(MINIMAL))),
        from_toml(&toml(MINIMAL)),
    ] {
        let config = none.unwrap();
        assert!(!config.is_trusted_proxy(Ipv4Addr::LOCALHOST.into()));
    }
}

#[cfg(unix)]
#[test]
fn a_session_key_file_from_code_is_checked_for_access() {
    let file = TempFile::new(KEYS[0]);
    let builder = || {
        let builder = Config::builder().environment(Environment::Production);
        let builder = builder.client_id("my-site").public_client();
        let builder = builder.redirect_uri("https://app.example.com/callback");
        builder.session_key_file(file.path())
    };
    assert_eq!(builder().build().unwrap().session_keys().len(), 1);
    file.chmod(0o604);
    let problem = only_problem(builder().build());
    assert_eq!(problem.key(), "session_key");
    assert!(
        problem.message().contains("every user may read"),
        "{problem}"
    );
}

#[cfg(feature = "check")]
#[test]
fn an_invalid_configuration_keeps_its_valid_settings_and_reports_each_problem_once() {
    let key = TempFile::new(KEYS[0]);
    key.chmod(0o640);
    let text = toml(&changed(&[
        ("client_secret", ""),
        ("client_type", "native"),
        ("prompt", "create"),
        ("session_key_file", key.path()),
    ]));
    let file = Path::new("config/site.toml");
    let variables = [("OTEN_CLIENT_SECRET", SECRET)];
    let sources = sources(
        Some(File {
            path: file,
            text: &text,
        }),
        variables,
    )
    .unwrap();
    let partial = ConfigBuilder::from(sources).examine();

    let keys = |problems: &[Problem]| -> Vec<String> {
        problems
            .iter()
            .map(|problem| problem.key().to_owned())
            .collect()
    };
    assert_eq!(keys(&partial.problems), ["client_type", "prompt"]);
    assert_eq!(keys(&partial.warnings), ["session_key"]);
    assert_eq!(keys(partial.error_in(&["prompt"]).problems()), ["prompt"]);
    assert!(partial.config.is_none() && partial.client.is_none());
    assert!(partial.issuer.is_some() && partial.http.is_some());
    assert_eq!(partial.client_id.as_deref(), Some("my-site"));
    assert_eq!(partial.client_secret, Some(SECRET.into()));
    assert!(partial.redirect_uri.is_some() && partial.listen.is_some());
    assert_eq!(partial.base_path.as_deref(), Some(""));
    assert_eq!(partial.scopes.map(|scopes| scopes.len()), Some(3));
    assert_eq!(partial.session_store, Some(StoreUrl::Memory));
    assert_eq!(partial.session_keys.len(), 1);
}
