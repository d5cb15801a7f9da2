use std::{collections::BTreeMap, path::PathBuf};

use super::{
    keys::Key,
    problem::{Origin, Problem},
};
use crate::{
    jose::{Ed25519KeyPair, Ed25519PublicKey},
    secret::Secret,
};

/// What was given for each setting and by whom, before anything is checked.
#[derive(Clone, Debug, Default)]
pub(super) struct Raw {
    values: BTreeMap<&'static str, Value>,
    /// A key made by the program, which has no file.
    pub(super) key_pair: Option<Ed25519KeyPair>,
    /// Keys named by the program, to be published beside.
    pub(super) published_keys: Vec<Ed25519PublicKey>,
    /// Settings whose secret stands in a TOML file as it is, whatever is used instead.
    pub(super) inline_secrets: Vec<(&'static Key, Origin)>,
    /// Names that stand for no setting.
    pub(super) problems: Vec<Problem>,
}

#[derive(Clone, Debug)]
pub(super) struct Value {
    pub(super) given: Given,
    pub(super) origin: Origin,
}

/// The form in which a value was given. All text is held as if it were secret: a password in the
/// wrong line is still a password.
#[derive(Clone, Debug)]
pub(super) enum Given {
    Text(Secret),
    /// The value is what this file holds.
    File(PathBuf),
    /// The values are what these files hold; there is at least one.
    Files(Vec<PathBuf>),
    /// A secret and its file, both in the same place.
    Twice,
    /// Not text; what it must be instead.
    Unfit(&'static str),
}

impl Given {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(Secret::from(text.into()))
    }

    /// Items that must not hold spaces, since their text form is separated by them.
    pub(super) fn list<T: AsRef<str>>(items: impl IntoIterator<Item = T>) -> Self {
        let items: Vec<T> = items.into_iter().collect();
        let is_item = |item: &T| !item.as_ref().is_empty() && !item.as_ref().contains(' ');
        if !items.iter().all(is_item) {
            return Self::Unfit("a list of words without spaces");
        }
        Self::text(
            items
                .iter()
                .map(AsRef::as_ref)
                .collect::<Vec<_>>()
                .join(" "),
        )
    }

    /// Names that must not hold commas, since their text form is separated by them. An empty one
    /// keeps a place.
    pub(super) fn names(names: &[&str]) -> Self {
        if names.is_empty() || names.iter().any(|name| name.contains(',')) {
            return Self::Unfit("a list of names without commas");
        }
        Self::text(names.join(","))
    }
}

impl Raw {
    pub(super) fn get(&self, key: &Key) -> Option<&Value> {
        self.values.get(key.name())
    }

    /// Replaces what was given before, in whatever form and by whomever.
    pub(super) fn set(&mut self, key: &Key, given: Given, origin: Origin) {
        self.values.insert(key.name(), Value { given, origin });
    }

    pub(super) fn unset(&mut self, key: &Key) {
        self.values.remove(key.name());
    }

    /// Takes over everything of `stronger`.
    pub(super) fn merge(&mut self, stronger: Self) {
        self.values.extend(stronger.values);
        self.inline_secrets.extend(stronger.inline_secrets);
        self.problems.extend(stronger.problems);
    }

    pub(super) fn is_set(&self, key: &Key) -> bool {
        self.values.contains_key(key.name())
    }

    pub(super) fn origin(&self, key: &Key) -> Origin {
        match (self.get(key), key.default()) {
            (Some(value), _) => value.origin.clone(),
            (None, Some(_)) => Origin::Default,
            (None, None) => Origin::Missing,
        }
    }
}
