use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};

use toml::{Table, Value as TomlValue};
use url::Url;

use super::{
    keys::{self, Key, Name, ValueType},
    problem::{ConfigError, Origin, Problem},
    raw::{Given, Raw},
    redis_url::RedisUrl,
};

/// A configuration file and its content.
#[derive(Debug)]
pub(super) struct File<'a> {
    pub(super) path: &'a Path,
    pub(super) text: &'a str,
}

/// Reads the settings of a file and of the environment, which wins.
///
/// Unknown names are kept, to be reported together with all other problems. The only error is a file
/// that is not TOML.
pub(super) fn sources<N: AsRef<OsStr>, V: AsRef<OsStr>>(
    file: Option<File<'_>>,
    environment: impl IntoIterator<Item = (N, V)>,
) -> Result<Raw, ConfigError> {
    let mut raw = Raw::default();
    if let Some(file) = file {
        read_file(&mut raw, &file)?;
    }
    read_environment(&mut raw, environment);
    Ok(raw)
}

/// The error for a configuration file that cannot be used at all.
pub(super) fn unusable(path: &Path, message: String, help: &str) -> ConfigError {
    ConfigError::new(vec![Problem {
        key: "configuration file".to_owned(),
        origin: Origin::File(path.to_owned()),
        message,
        help: help.to_owned(),
    }])
}

fn read_file(raw: &mut Raw, file: &File<'_>) -> Result<(), ConfigError> {
    let table: Table = file.text.parse().map_err(|error| not_toml(file, &error))?;
    let folder = file.path.parent().unwrap_or(Path::new(""));
    let origin = Origin::File(file.path.to_owned());
    for (name, value) in table {
        let Some(known) = keys::named(&name) else {
            let meant = keys::closest(&name);
            let problem = unknown(&name, origin.clone(), meant, "Remove it");
            raw.problems.push(problem);
            continue;
        };
        let given = from_toml(known, value, folder);
        match &given {
            Given::Text(text) if is_secret(known.key, text.expose()) => {
                raw.inline_secrets.push((known.key, origin.clone()));
            }
            _ => {}
        }
        set(raw, known, given, origin.clone());
    }
    Ok(())
}

/// Whether a value is secret: every value of a secret setting, except that a URL is secret only if
/// it contains credentials.
fn is_secret(key: &Key, text: &str) -> bool {
    let has_password = |url: &Url| {
        let mut query = url.query_pairs();
        url.password().is_some()
            || query.any(|(name, _)| name.to_ascii_lowercase().contains("password"))
    };
    let url = Url::parse(text).ok();
    match key.name() {
        "session_store" => match RedisUrl::parse(text) {
            Ok(redis) => redis.servers.iter().any(has_password),
            // A URL that cannot be read may have a password, too.
            Err(_) => url.map_or(
                text.contains('@') || text.to_ascii_lowercase().contains("password"),
                |url| has_password(&url),
            ),
        },
        // For some proxies the user name alone is a token.
        "proxy" => url.is_some_and(|url| has_password(&url) || !url.username().is_empty()),
        _ => key.is_secret(),
    }
}

fn from_toml(name: Name, value: TomlValue, folder: &Path) -> Given {
    let value_type = name.key.value_type();
    match (value, value_type) {
        (TomlValue::String(path), ValueType::Paths) => files([&*path], folder),
        (TomlValue::String(path), _) if name.is_path => file(&path, folder),
        (TomlValue::String(text), _) => Given::text(text),
        (TomlValue::Integer(number), ValueType::Seconds | ValueType::Count) => {
            Given::text(number.to_string())
        }
        (table @ TomlValue::Table(_), ValueType::Table) => {
            serde_json::to_string(&table).map_or(Given::WrongType("a table"), Given::text)
        }
        (TomlValue::Boolean(flag), ValueType::Flag) => Given::text(flag.to_string()),
        (TomlValue::Array(items), ValueType::List | ValueType::Names | ValueType::Paths) => {
            let items: Option<Vec<&str>> = items.iter().map(TomlValue::as_str).collect();
            match (items, value_type) {
                (None, _) => Given::WrongType("an array of strings"),
                (Some(words), ValueType::List) => Given::words(words),
                (Some(paths), ValueType::Paths) => files(paths, folder),
                (Some(names), _) => Given::names(&names),
            }
        }
        _ => Given::WrongType(value_type.expected()),
    }
}

fn read_environment<N: AsRef<OsStr>, V: AsRef<OsStr>>(
    raw: &mut Raw,
    environment: impl IntoIterator<Item = (N, V)>,
) {
    // Sorted, so that problems are always listed in the same order.
    let ours: BTreeMap<String, OsString> = environment
        .into_iter()
        .filter_map(|(name, value)| {
            let name = name.as_ref().to_str().filter(|name| keys::is_ours(name))?;
            Some((name.to_owned(), value.as_ref().to_owned()))
        })
        // An empty variable counts as unset.
        .filter(|(_, value)| !value.is_empty())
        .collect();
    let folder = Path::new("");
    let mut environment = Raw::default();
    for (variable, value) in ours {
        let origin = Origin::Variable(variable.clone());
        match keys::variable(&variable) {
            Some(known) => {
                let given = match value.to_str() {
                    Some(paths) if known.key.value_type() == ValueType::Paths => {
                        files(paths.split(',').map(str::trim), folder)
                    }
                    Some(path) if known.is_path => file(path, folder),
                    Some(text) => Given::text(text),
                    None => Given::WrongType("UTF-8 text"),
                };
                set(&mut environment, known, given, origin);
            }
            None if is_service_link(&variable, &value) => {}
            None => {
                let meant = keys::closest_variable(&variable);
                let problem = unknown(&variable, origin, meant, "Unset it");
                environment.problems.push(problem);
            }
        }
    }
    raw.merge(environment);
}

fn file(path: &str, folder: &Path) -> Given {
    join(path, folder).map_or(Given::WrongType("the path of a file"), Given::File)
}

fn files<'a>(paths: impl IntoIterator<Item = &'a str>, folder: &Path) -> Given {
    let files: Option<Vec<PathBuf>> = paths.into_iter().map(|path| join(path, folder)).collect();
    match files {
        Some(files) if !files.is_empty() => Given::Files(files),
        _ => Given::WrongType("the path of a file, or a list of such paths"),
    }
}

/// A relative path is relative to the folder of the file that contains it.
fn join(path: &str, folder: &Path) -> Option<PathBuf> {
    let is_path = !path.is_empty() && !path.contains(char::is_control);
    is_path.then(|| folder.join(path))
}

/// Within one source, only a secret can be set twice: as a value and as a file.
fn set(source: &mut Raw, name: Name, given: Given, origin: Origin) {
    let twice = source.is_set(name.key);
    let given = if twice { Given::Twice } else { given };
    source.set(name.key, given, origin);
}

/// Whether Kubernetes set this variable: it adds `OTEN_SERVICE_HOST`, `OTEN_PORT` and more to every
/// pod beside a service named `oten`.
fn is_service_link(variable: &str, value: &OsStr) -> bool {
    let is_address = value.to_str().is_some_and(|value| {
        ["tcp://", "udp://", "sctp://"]
            .iter()
            .any(|scheme| value.starts_with(scheme))
    });
    variable.ends_with("_SERVICE_HOST")
        || variable.contains("_SERVICE_PORT")
        || (variable.contains("_PORT") && is_address)
        || ["_TCP", "_UDP", "_SCTP"].iter().any(|protocol| {
            ["_PROTO", "_PORT", "_ADDR"]
                .iter()
                .any(|end| variable.ends_with(&format!("{protocol}{end}")))
        })
}

fn unknown(name: &str, origin: Origin, meant: Option<String>, otherwise: &str) -> Problem {
    Problem {
        key: name.escape_debug().to_string(),
        origin,
        message: "is not a setting".to_owned(),
        help: match meant {
            Some(meant) => format!("Did you mean `{meant}`?"),
            None => format!("{otherwise}: it has no effect."),
        },
    }
}

/// Reports the line number only, because the parser's message quotes the line, which may contain a
/// secret.
fn not_toml(file: &File<'_>, error: &toml::de::Error) -> ConfigError {
    let before = error.span().and_then(|span| file.text.get(..span.start));
    let line = before.map(|before| 1 + before.matches('\n').count());
    let place = line.map_or(String::new(), |line| format!(" in line {line}"));
    unusable(
        file.path,
        format!("is not TOML{place}"),
        "Correct the line: put text in quotes, and write each setting only once.",
    )
}
