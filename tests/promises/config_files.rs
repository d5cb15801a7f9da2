//! The configuration files in `config/` are complete, commented and valid.

use std::collections::BTreeMap;

use axum_oten::{
    Config, Secret,
    config::{ConfigBuilder, ConfigError, Key, Problem},
    jose::Ed25519KeyPair,
};
use toml::{Table, Value};

const SANDBOX: &str = include_str!("../../config/sandbox.toml");
const PRODUCTION: &str = include_str!("../../config/production.toml");
const DEMOS: [&str; 3] = [
    include_str!("../../config/demo.toml"),
    include_str!("../../config/demo-eddsa.toml"),
    include_str!("../../config/demo-public.toml"),
];

/// Builds the configuration with the credentials that the file requires, and with generated keys.
fn build(text: &str) -> Result<Config, ConfigError> {
    let builder = ConfigBuilder::from_toml("config/site.toml", text).unwrap();
    let eddsa = builder.is_set("jar_key_file");
    let sealed = builder.is_set("session_key");
    let mut builder = builder.client_id("my-site").client_secret(Secret::random());
    if eddsa {
        builder = builder.jar_eddsa(Ed25519KeyPair::generate());
    }
    if sealed {
        builder = builder.session_key("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
    }
    builder.build()
}

/// Returns the settings of a file, and those that are commented out.
fn settings(text: &str) -> (BTreeMap<String, Value>, BTreeMap<String, Value>) {
    let read = |text: &str| -> BTreeMap<String, Value> {
        let table: Table = text.parse().unwrap();
        table.into_iter().collect()
    };
    let commented: String = text
        .lines()
        .filter_map(|line| line.strip_prefix("# "))
        .filter(|line| {
            let name = line.split_once(" = ").map_or("", |(name, _)| name);
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
        })
        .flat_map(|line| [line, "\n"])
        .collect();
    (read(text), read(&commented))
}

fn key_of(name: &str) -> Option<&'static Key> {
    let mut keys = Key::all().iter().copied();
    keys.find(|key| key.name() == name || key.file_name().as_deref() == Some(name))
}

/// Returns the text form of a value, as in the environment.
fn as_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Integer(number) => number.to_string(),
        Value::Boolean(flag) => flag.to_string(),
        Value::Array(items) => items.iter().map(as_text).collect::<Vec<_>>().join(" "),
        _ => panic!("not a value of a setting: {value:?}"),
    }
}

#[test]
fn both_files_contain_every_setting_once() {
    for (file, text) in [("sandbox", SANDBOX), ("production", PRODUCTION)] {
        let (made, commented) = settings(text);
        let mut seen = Vec::new();
        for name in made.keys().chain(commented.keys()) {
            let key = key_of(name).unwrap_or_else(|| panic!("{file}: no setting `{name}`"));
            assert!(!seen.contains(&key.name()), "{file}: `{name}` twice");
            seen.push(key.name());
        }
        for key in Key::all() {
            let name = key.name();
            assert!(seen.contains(&name), "config/{file}.toml lacks `{name}`");
        }
    }
}

#[test]
fn commented_out_settings_have_their_defaults() {
    for text in [SANDBOX, PRODUCTION] {
        for (name, value) in settings(text).1 {
            let default = key_of(&name).unwrap().default();
            let Some(default) = default.filter(|_| !name.ends_with("_file")) else {
                continue;
            };
            assert_eq!(as_text(&value), default, "{name}");
        }
    }
}

#[test]
fn every_setting_has_a_comment() {
    for text in [SANDBOX, PRODUCTION].into_iter().chain(DEMOS) {
        let lines: Vec<&str> = text.lines().collect();
        for pair in lines.windows(2) {
            if !pair[1].is_empty() && !pair[1].starts_with('#') {
                assert!(pair[0].starts_with("# "), "{}", pair[1]);
            }
        }
    }
}

#[test]
fn both_files_are_valid_with_credentials() {
    let sandbox = build(SANDBOX).unwrap();
    assert!(!sandbox.issuer().is_production());
    assert_eq!(sandbox.warnings(), []);
    let production = build(PRODUCTION).unwrap();
    assert!(production.issuer().is_production());
    assert_eq!(production.warnings(), []);
    assert!(production.secure_cookies());
    assert!(!production.session_keys().is_empty());

    for text in [SANDBOX, PRODUCTION] {
        let error = ConfigBuilder::from_toml("site.toml", text).unwrap().build();
        let error = error.unwrap_err();
        let missing: Vec<&str> = error.problems().iter().map(Problem::key).collect();
        assert_eq!(missing[..2], ["client_id", "client_secret"]);
    }
}

#[test]
fn the_environment_is_changed_by_one_word() {
    let words = ["environment = \"production\"", "environment = \"sandbox\""];
    assert_eq!(PRODUCTION.matches(words[0]).count(), 1);
    let tried = build(&PRODUCTION.replace(words[0], words[1])).unwrap();
    assert!(!tried.issuer().is_production());
    assert_eq!(tried.warnings(), []);

    // Conversely, production lists the settings that it rejects.
    let error = build(&SANDBOX.replace(words[1], words[0])).unwrap_err();
    let rejected: Vec<&str> = error.problems().iter().map(Problem::key).collect();
    assert_eq!(rejected, ["redirect_uri"]);
}

#[test]
fn the_files_differ_in_the_requirements_of_production() {
    let [sandbox, production] = [SANDBOX, PRODUCTION].map(|text| settings(text).0);
    let names = sandbox.keys().chain(production.keys());
    let mut different: Vec<&str> = names
        .filter(|name| sandbox.get(*name) != production.get(*name))
        .map(String::as_str)
        .collect();
    different.sort_unstable();
    different.dedup();
    assert_eq!(
        different,
        [
            "environment",
            "jar",
            "jar_key_file",
            "redirect_uri",
            "session_key_file",
            "session_store",
        ]
    );
}

#[test]
fn no_file_contains_a_secret() {
    for text in [SANDBOX, PRODUCTION].into_iter().chain(DEMOS) {
        for (name, _) in settings(text).0 {
            let is_secret = ["client_secret", "session_key", "proxy"].contains(&name.as_str());
            assert!(!is_secret, "{name}");
        }
    }
}
