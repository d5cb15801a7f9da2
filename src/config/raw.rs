use std::{collections::BTreeMap, path::PathBuf};

use super::{
    keys::Key,
    problem::{Origin, Problem},
};
use crate::{
    jose::{Ed25519KeyPair, Ed25519PublicKey},
    secret::Secret,
};

/// The given values and their origins, before validation.
#[derive(Clone, Debug, Default)]
pub(super) struct Raw {
    values: BTreeMap<&'static str, Value>,
    /// A signing key from code, which has no file.
    pub(super) key_pair: Option<Ed25519KeyPair>,
    /// Keys from code to publish in addition to the signing key.
    pub(super) published_keys: Vec<Ed25519PublicKey>,
    /// Secrets written into a TOML file, even if the environment or code overrides them.
    pub(super) inline_secrets: Vec<(&'static Key, Origin)>,
    /// Names that are not settings.
    pub(super) problems: Vec<Problem>,
}

#[derive(Clone, Debug)]
struct Value {
    given: Given,
    origin: Origin,
}

/// A value in the form in which it was given. All text is kept as a secret, because a password in
/// the wrong line is still a password.
#[derive(Clone, Debug)]
pub(super) enum Given {
    Text(Secret),
    /// The value is the content of this file.
    File(PathBuf),
    /// The values are the contents of these files, at least one.
    Files(Vec<PathBuf>),
    /// A secret and its file, both from the same origin.
    Twice,
    /// A value of the wrong type, with the expected one.
    WrongType(&'static str),
}

impl Given {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(Secret::from(text.into()))
    }

    /// A list of words, which is joined by spaces.
    pub(super) fn words<T: AsRef<str>>(words: impl IntoIterator<Item = T>) -> Self {
        let words: Vec<T> = words.into_iter().collect();
        let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
        if words
            .iter()
            .any(|word| word.is_empty() || word.contains(' '))
        {
            return Self::WrongType("a list of words without spaces");
        }
        Self::text(words.join(" "))
    }

    /// A list of names, which is joined by commas. An empty name keeps its position.
    pub(super) fn names(names: &[&str]) -> Self {
        if names.is_empty() || names.iter().any(|name| name.contains(',')) {
            return Self::WrongType("a list of names without commas");
        }
        Self::text(names.join(","))
    }
}

impl Raw {
    pub(super) fn given(&self, key: &Key) -> Option<&Given> {
        self.values.get(key.name()).map(|value| &value.given)
    }

    /// Replaces the earlier value, whatever its form and origin.
    pub(super) fn set(&mut self, key: &Key, given: Given, origin: Origin) {
        self.values.insert(key.name(), Value { given, origin });
    }

    pub(super) fn unset(&mut self, key: &Key) {
        self.values.remove(key.name());
    }

    /// Takes over everything from `stronger`.
    pub(super) fn merge(&mut self, stronger: Self) {
        self.values.extend(stronger.values);
        self.inline_secrets.extend(stronger.inline_secrets);
        self.problems.extend(stronger.problems);
    }

    pub(super) fn is_set(&self, key: &Key) -> bool {
        self.values.contains_key(key.name())
    }

    pub(super) fn origin(&self, key: &Key) -> Origin {
        match (self.values.get(key.name()), key.default()) {
            (Some(value), _) => value.origin.clone(),
            (None, Some(_)) => Origin::Default,
            (None, None) => Origin::Missing,
        }
    }
}
