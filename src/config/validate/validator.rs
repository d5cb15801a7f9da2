use std::path::Path;

use super::{
    file::{self, Access, SettingFile},
    partial::Partial,
};
use crate::{
    config::{
        keys::{self, Key, ValueType},
        problem::{Invalid, Problem, invalid},
        raw::{Given, Raw},
    },
    secret::Secret,
};

/// Applies rules to the given values, and collects valid values and problems.
#[derive(Debug)]
pub(super) struct Validator<'a> {
    pub(super) raw: &'a Raw,
    /// Whether production's rules apply. Set when the issuer is validated.
    pub(super) production: bool,
    pub(super) partial: Partial,
}

impl<'a> Validator<'a> {
    pub(super) fn new(raw: &'a Raw) -> Self {
        Self {
            raw,
            production: false,
            partial: Partial {
                problems: raw.problems.clone(),
                ..Partial::default()
            },
        }
    }

    /// Applies `rule` to a value that must be set unless it has a default.
    pub(super) fn required<T>(
        &mut self,
        key: &'static Key,
        rule: impl FnOnce(&str) -> Result<T, Invalid>,
    ) -> Option<T> {
        if !self.raw.is_set(key) && key.default().is_none() {
            self.missing(key);
            return None;
        }
        self.optional(key, rule)
    }

    /// Applies `rule` to a value, if there is one. `None` also stands for an invalid value, whose
    /// problem is noted.
    pub(super) fn optional<T>(
        &mut self,
        key: &'static Key,
        rule: impl FnOnce(&str) -> Result<T, Invalid>,
    ) -> Option<T> {
        let text = self.text(key).transpose()?;
        self.accept(key, text.and_then(|text| rule(text.expose())))
    }

    /// The value of a rule's result; notes the problem of an error.
    pub(super) fn accept<T>(&mut self, key: &'static Key, result: Result<T, Invalid>) -> Option<T> {
        result
            .map_err(|invalid| self.problem(key, &invalid.message, &invalid.help))
            .ok()
    }

    /// Notes that a required setting is missing.
    pub(super) fn missing(&mut self, key: &'static Key) {
        let file = key
            .file_variable()
            .map(|file| format!(", or {file} to a file that contains it"));
        let help = format!(
            "Set `{}` or {}{}: {}",
            key.name(),
            key.variable(),
            file.unwrap_or_default(),
            key.description()
        );
        self.problem(key, "is missing", &help);
    }

    /// Notes a problem, which makes the configuration invalid.
    pub(super) fn problem(&mut self, key: &'static Key, message: &str, help: &str) {
        let problem = self.describe(key, message, help);
        self.partial.problems.push(problem);
    }

    /// Notes a setting that works but should be changed.
    pub(super) fn warning(&mut self, key: &'static Key, message: &str, help: &str) {
        let warning = self.describe(key, message, help);
        self.partial.warnings.push(warning);
    }

    /// Notes a problem with a setting that only providers other than Oten need, unless it is the default.
    pub(super) fn only_for_other_providers(&mut self, key: &'static Key) {
        let is_default = match self.raw.given(key) {
            Some(Given::Text(text)) => Some(text.expose()) == key.default(),
            given => given.is_none(),
        };
        if self.raw.is_set(&keys::ENVIRONMENT) && !is_default {
            self.problem(
                key,
                "is not the default, but Oten's environments allow no other value",
                "Remove it: it is for the provider that `issuer` names.",
            );
        }
    }

    /// Notes a problem in production, and a warning elsewhere.
    pub(super) fn problem_in_production(&mut self, key: &'static Key, message: &str, help: &str) {
        if self.production {
            self.problem(key, message, help);
        } else {
            self.warning(key, message, help);
        }
    }

    /// Notes that users other than the owner may read a secret file, or write, and therefore replace,
    /// any file.
    pub(super) fn check_access(
        &mut self,
        key: &'static Key,
        path: &Path,
        file: &SettingFile,
        is_secret: bool,
    ) {
        let path = path.display();
        let readers = is_secret.then_some((file.readers, "read", "600"));
        let writers = Some((file.writers, "write", "go-w"));
        for (access, verb, mode) in readers.into_iter().chain(writers) {
            let message = |users| format!("is in a file that {users} may {verb}: {path}");
            let help = format!("Run `chmod {mode} {path}`.");
            match access {
                Access::Owner => {}
                Access::Group => self.warning(key, &message("its group"), &help),
                Access::Others => self.problem_in_production(key, &message("every user"), &help),
            }
        }
    }

    fn describe(&self, key: &'static Key, message: &str, help: &str) -> Problem {
        let mut message = message.to_owned();
        if let Some(Given::File(path)) = self.raw.given(key) {
            let path = path.display().to_string();
            if !message.contains(&path) {
                message = format!("{message} (in the file {path})");
            }
        }
        Problem {
            key: key.name().to_owned(),
            origin: self.raw.origin(key),
            message,
            help: help.to_owned(),
        }
    }

    fn text(&mut self, key: &'static Key) -> Result<Option<Secret>, Invalid> {
        let Some(given) = self.raw.given(key) else {
            return Ok(key.default().map(Secret::from));
        };
        let text = match given {
            Given::Text(text) => text.clone(),
            Given::File(path) if key.value_type() == ValueType::Path => {
                let file = SettingFile::read(path, file::MAX_PUBLIC_KIB)?;
                self.check_access(key, path, &file, false);
                // Such a file has more than one line.
                return Ok(Some(file.text));
            }
            Given::File(path) => {
                let file = SettingFile::read(path, file::MAX_SECRET_KIB)?;
                self.check_access(key, path, &file, true);
                file.text
            }
            // Each file is validated by the rule of its setting.
            Given::Files(_) => return invalid("is a list of files", "Name one file."),
            Given::Twice => {
                return invalid(
                    "is set twice, as a value and as a file",
                    "Remove one of the two.",
                );
            }
            Given::WrongType(expected) => return wrong_type(expected),
        };
        check_text(key, text.expose())?;
        Ok(Some(text))
    }
}

/// The error for a value of the wrong type.
pub(super) fn wrong_type<T>(expected: &str) -> Result<T, Invalid> {
    invalid(format!("is not {expected}"), "Write it in this form.")
}

fn check_text(key: &Key, text: &str) -> Result<(), Invalid> {
    if text.is_empty() && key.default() != Some("") {
        return invalid("is empty", "Set a value, or remove the setting.");
    }
    if text.contains(char::is_control) {
        return invalid(
            "contains a control character, such as a line break",
            "Remove it: the value must be on one line.",
        );
    }
    if text.trim() != text {
        return invalid("begins or ends with a space", "Remove the space.");
    }
    Ok(())
}
