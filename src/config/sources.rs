use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};

use toml::{Table, Value as TomlValue};

use super::{
    inline_secret::is_secret,
    keys::{self, Key, Name, ValueType},
    problem::{ConfigError, Origin, Problem},
    raw::{Given, Raw},
    suggest,
};

/// A configuration file that has been read.
#[derive(Debug)]
pub(super) struct File<'a> {
    pub(super) path: &'a Path,
    pub(super) text: &'a str,
}

/// Everything that was set, in the file and in the environment, which wins.
///
/// Only a file that is no TOML at all is refused here. Unknown names are kept, to be reported
/// together with everything else.
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

fn read_file(raw: &mut Raw, file: &File<'_>) -> Result<(), ConfigError> {
    let table: Table = file.text.parse().map_err(|error| not_toml(file, &error))?;
    let folder = file.path.parent().unwrap_or(Path::new(""));
    let origin = Origin::File(file.path.to_owned());
    for (name, value) in table {
        match keys::named(&name) {
            Some(known) => {
                let given = from_toml(known, value, folder);
                note_plain_secret(raw, known.key, &given, &origin);
                set(raw, known, given, origin.clone());
            }
            None => raw.problems.push(unknown(
                &name,
                origin.clone(),
                suggest::closest(&name, keys::names()).as_deref(),
                "Remove it",
            )),
        }
    }
    Ok(())
}

/// Now: later, what stands in the file may have been replaced.
fn note_plain_secret(raw: &mut Raw, key: &'static Key, given: &Given, origin: &Origin) {
    match given {
        Given::Text(text) if key.is_secret() && is_secret(key, text.expose()) => {
            raw.inline_secrets.push((key, origin.clone()));
        }
        _ => {}
    }
}

fn from_toml(name: Name, value: TomlValue, folder: &Path) -> Given {
    match (value, name.key.value_type()) {
        // A relative path is relative to the file that names it, wherever the program starts.
        (TomlValue::String(path), ValueType::Paths) => files_given([&*path], folder),
        (TomlValue::String(path), _) if name.is_path => file_given(&path, folder),
        (TomlValue::String(text), _) => Given::text(text),
        (TomlValue::Integer(number), ValueType::Seconds | ValueType::Count) => {
            Given::text(number.to_string())
        }
        (TomlValue::Boolean(flag), ValueType::Flag) => Given::text(flag.to_string()),
        (TomlValue::Array(items), ValueType::List) => {
            let items: Option<Vec<&str>> = items.iter().map(TomlValue::as_str).collect();
            items.map_or(Given::Unfit("an array of strings"), Given::list)
        }
        (TomlValue::Array(items), value_type @ (ValueType::Paths | ValueType::Names)) => {
            let items: Option<Vec<&str>> = items.iter().map(TomlValue::as_str).collect();
            match (items, value_type) {
                (None, _) => Given::Unfit("an array of strings"),
                (Some(paths), ValueType::Paths) => files_given(paths, folder),
                (Some(names), _) => Given::names(&names),
            }
        }
        (_, ValueType::Paths | ValueType::Names) => {
            Given::Unfit("a string, or an array of strings")
        }
        (_, ValueType::List) => Given::Unfit("an array of strings, or a string with spaces"),
        (_, ValueType::Seconds) => Given::Unfit("a number of seconds, or a string such as `12h`"),
        (_, ValueType::Count) => Given::Unfit("a whole number"),
        (_, ValueType::Flag) => Given::Unfit("`true` or `false`"),
        (_, ValueType::Text | ValueType::Path | ValueType::Secret) => Given::Unfit("a string"),
    }
}

fn read_environment<N: AsRef<OsStr>, V: AsRef<OsStr>>(
    raw: &mut Raw,
    environment: impl IntoIterator<Item = (N, V)>,
) {
    // A name that is no text is none of ours. Sorted, so that problems come in the same order.
    let ours: BTreeMap<String, OsString> = environment
        .into_iter()
        .filter_map(|(name, value)| {
            let name = name.as_ref().to_str().filter(|name| keys::is_ours(name))?;
            Some((name.to_owned(), value.as_ref().to_owned()))
        })
        // A variable that is set to nothing is a variable somebody wanted to unset.
        .filter(|(_, value)| !value.is_empty())
        .collect();
    let mut environment = Raw::default();
    for (variable, value) in ours {
        let origin = Origin::Variable(variable.clone());
        match keys::variable(&variable) {
            Some(known) => {
                let given = match value.to_str() {
                    Some(paths) if known.key.value_type() == ValueType::Paths => {
                        files_given(paths.split(',').map(str::trim), Path::new(""))
                    }
                    Some(path) if known.is_path => file_given(path, Path::new("")),
                    Some(text) => Given::text(text),
                    None => Given::Unfit("UTF-8 text"),
                };
                set(&mut environment, known, given, origin);
            }
            None if is_service_link(&variable, &value) => {}
            None => environment.problems.push(unknown(
                &variable,
                origin,
                suggest::closest(&variable, keys::variables()).as_deref(),
                "Unset it",
            )),
        }
    }
    raw.merge(environment);
}

fn file_given(path: &str, folder: &Path) -> Given {
    file(path, folder).map_or(Given::Unfit("the path of a file"), Given::File)
}

fn files_given<'a>(paths: impl IntoIterator<Item = &'a str>, folder: &Path) -> Given {
    let files: Option<Vec<PathBuf>> = paths.into_iter().map(|path| file(path, folder)).collect();
    match files {
        Some(files) if !files.is_empty() => Given::Files(files),
        _ => Given::Unfit("the path of a file, or a list of such paths"),
    }
}

fn file(path: &str, folder: &Path) -> Option<PathBuf> {
    let is_path = !path.is_empty() && !path.contains(char::is_control);
    is_path.then(|| folder.join(path))
}

/// Within one place a setting can be made twice only as a secret and as the file of it.
fn set(place: &mut Raw, name: Name, given: Given, origin: Origin) {
    let twice = place.is_set(name.key);
    let given = if twice { Given::Twice } else { given };
    place.set(name.key, given, origin);
}

/// Kubernetes writes `OTEN_SERVICE_HOST`, `OTEN_PORT` and more into every pod beside a service
/// named `oten`; they are not meant for us.
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

fn unknown(name: &str, origin: Origin, meant: Option<&str>, otherwise: &str) -> Problem {
    Problem {
        key: printable(name),
        origin,
        message: "is not a setting".to_owned(),
        help: match meant {
            Some(meant) => format!("Did you mean `{meant}`?"),
            None => format!("{otherwise}: nothing would come of it."),
        },
    }
}

/// The parser's own text quotes the line, which may hold a secret: only its place is told.
fn not_toml(file: &File<'_>, error: &toml::de::Error) -> ConfigError {
    let before = error.span().and_then(|span| file.text.get(..span.start));
    let line = before.map(|before| 1 + before.matches('\n').count());
    let place = line.map_or(String::new(), |line| format!(" in line {line}"));
    unusable(
        file.path,
        format!("is not TOML{place}"),
        "Correct the line; text stands in quotes, and each setting stands once.",
    )
}

/// A configuration file that cannot be used at all.
pub(super) fn unusable(path: &Path, message: String, help: &str) -> ConfigError {
    ConfigError::new(vec![Problem {
        key: "configuration file".to_owned(),
        origin: Origin::File(PathBuf::from(path)),
        message,
        help: help.to_owned(),
    }])
}

fn printable(name: &str) -> String {
    name.escape_debug().to_string()
}
