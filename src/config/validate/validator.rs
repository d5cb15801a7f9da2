use std::{borrow::Cow, path::Path};

use super::{
    private_file::{self, Audience},
    refusal::{Refusal, refuse},
};
use crate::{
    config::{
        Problem,
        keys::{Key, ValueType},
        raw::{Given, Raw},
    },
    secret::Secret,
};

/// Hands each value to its rule and collects what the rules say.
#[derive(Debug)]
pub(super) struct Validator<'a> {
    pub(super) raw: &'a Raw,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Problem>,
    /// Known after the issuer was checked, which therefore comes first.
    pub(super) production: bool,
}

impl<'a> Validator<'a> {
    pub(super) fn new(raw: &'a Raw) -> Self {
        Self {
            raw,
            problems: raw.problems.clone(),
            warnings: Vec::new(),
            production: false,
        }
    }

    /// What the rule makes of a value that must be there, or else have a default.
    pub(super) fn required<T>(
        &mut self,
        key: &'static Key,
        rule: impl FnOnce(&str) -> Result<T, Refusal>,
    ) -> Option<T> {
        if !self.raw.is_set(key) && key.default().is_none() {
            return self.missing(key);
        }
        self.optional(key, rule)
    }

    /// Notes that a setting is missing. Always `None`, as [`refuse`](Self::refuse).
    pub(super) fn missing<T>(&mut self, key: &'static Key) -> Option<T> {
        let file = key
            .file_variable()
            .map(|file| format!(", or {file} to a file that holds it"));
        let help = format!(
            "Set `{}` or {}{}: {}",
            key.name(),
            key.variable(),
            file.unwrap_or_default(),
            key.description()
        );
        self.refuse(key, "is missing", help)
    }

    /// What the rule makes of a value if there is one. `None` also stands for a refused value: the
    /// problem is noted, and nothing is made of a configuration with a problem.
    pub(super) fn optional<T>(
        &mut self,
        key: &'static Key,
        rule: impl FnOnce(&str) -> Result<T, Refusal>,
    ) -> Option<T> {
        let checked = self
            .text(key)
            .and_then(|text| text.map_or(Ok(None), |text| rule(text.expose()).map(Some)));
        match checked {
            Ok(value) => value,
            Err(refusal) => self.refuse(key, refusal.message, refusal.help),
        }
    }

    /// Notes a problem. Always `None`, for the caller that has no value then.
    pub(super) fn refuse<T>(
        &mut self,
        key: &'static Key,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Option<T> {
        let problem = self.problem(key, message, help);
        self.problems.push(problem);
        None
    }

    /// Notes something that works and should not stay so.
    pub(super) fn warn(&mut self, key: &'static Key, message: &str, help: &str) {
        let problem = self.problem(key, message, help);
        self.warnings.push(problem);
    }

    fn problem(
        &self,
        key: &'static Key,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Problem {
        Problem {
            key: key.name().to_owned(),
            origin: self.raw.origin(key),
            message: self.placed(key, message.into()),
            help: help.into(),
        }
    }

    /// What is said of a value, with the file it lies in.
    fn placed(&self, key: &Key, message: String) -> String {
        let Some(Given::File(path)) = self.raw.get(key).map(|value| &value.given) else {
            return message;
        };
        let path = path.display().to_string();
        if message.contains(&path) {
            return message;
        }
        format!("{message} (in the file {path})")
    }

    /// A problem in production, a warning elsewhere.
    pub(super) fn discourage(&mut self, key: &'static Key, message: &str, help: &str) {
        let problem = self.problem(key, message, help);
        self.discourage_problem(problem);
    }

    /// The same where the problem is not with the value that is used.
    pub(super) fn discourage_problem(&mut self, problem: Problem) {
        if self.production {
            self.problems.push(problem);
        } else {
            self.warnings.push(problem);
        }
    }

    /// Notes it if others than the owner may read a file with a secret.
    pub(super) fn heed_readers(&mut self, key: &'static Key, path: &Path, readers: Audience) {
        let path = path.display();
        self.heed(key, readers, &format!("Run `chmod 600 {path}`."), |who| {
            format!("lies in a file that {who} may read: {path}")
        });
    }

    /// Notes it if others than the owner may write a file, be it a secret or only believed.
    pub(super) fn heed_writers(&mut self, key: &'static Key, path: &Path, writers: Audience) {
        let path = path.display();
        self.heed(key, writers, &format!("Run `chmod go-w {path}`."), |who| {
            format!("lies in a file that {who} may write, and so replace: {path}")
        });
    }

    fn heed(
        &mut self,
        key: &'static Key,
        audience: Audience,
        help: &str,
        message: impl FnOnce(&str) -> String,
    ) {
        match audience {
            Audience::Owner => {}
            Audience::Group => self.warn(key, &message("its group"), help),
            Audience::Everybody => self.discourage(key, &message("everybody"), help),
        }
    }

    fn text(&mut self, key: &'static Key) -> Result<Option<Secret>, Refusal> {
        let Some(value) = self.raw.get(key) else {
            return Ok(key.default().map(Secret::from));
        };
        let text = match &value.given {
            Given::Text(text) => text.clone(),
            Given::File(path) if key.value_type() == ValueType::Path => {
                let file = private_file::read_public(path)?;
                self.heed_writers(key, path, file.writers);
                file.text
            }
            Given::File(path) => {
                let file = private_file::read(path)?;
                self.heed_readers(key, path, file.readers);
                self.heed_writers(key, path, file.writers);
                file.text
            }
            // Whoever has several files asks for each.
            Given::Files(_) => return refuse("is a list of files", "Name one file."),
            Given::Twice => {
                return refuse(
                    "is set twice, as a value and as a file",
                    "Keep one of the two.",
                );
            }
            Given::Unfit(fit) => return refuse(format!("is not {fit}"), "Write it in this form."),
        };
        // Such a file has lines of its own.
        if key.value_type() != ValueType::Path {
            refuse_untidy(key, text.expose())?;
        }
        Ok(Some(text))
    }
}

fn refuse_untidy(key: &Key, text: &str) -> Result<(), Refusal> {
    if text.is_empty() && key.default() != Some("") {
        return refuse("is empty", "Give it a value or leave it out.");
    }
    if text.contains(char::is_control) {
        return refuse(
            "holds a control character, such as a line break",
            "Remove it; text stands on one line.",
        );
    }
    if text.trim() != text {
        return refuse("begins or ends with a space", "Remove the space.");
    }
    Ok(())
}

/// "`a`, `b` or `c`".
pub(super) fn one_of(names: &[&str]) -> String {
    let names: Vec<Cow<'_, str>> = names
        .iter()
        .map(|name| format!("`{name}`").into())
        .collect();
    match names.split_last() {
        Some((last, [])) => last.to_string(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}
