use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
#[cfg(feature = "check")]
use serde_json::{Map, Value};

use crate::{audit::TARGET, json};

/// The members of a JSON object that a provider sent. A member that is not read may have any value.
/// Of members with the same name the last one counts, as in a JWT (RFC 7519 section 4).
#[derive(Debug)]
pub(crate) struct Members<'a> {
    all: BTreeMap<String, &'a RawValue>,
    ignored: Vec<&'static str>,
}

/// Error returned when a member has a value that cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UnusableMember(pub(crate) &'static str);

impl<'a> Members<'a> {
    /// Returns `None` for text that is not a JSON object.
    pub(crate) fn parse(text: &'a [u8]) -> Option<Self> {
        Some(Self {
            all: json::parse(text).ok()?,
            ignored: Vec::new(),
        })
    }

    /// Reads a member whose value must not be ignored. One that is `null` is absent.
    pub(crate) fn essential<T: DeserializeOwned, U>(
        &self,
        name: &'static str,
        convert: impl FnOnce(T) -> Option<U>,
    ) -> Result<Option<U>, UnusableMember> {
        let raw = self.all.get(name).filter(|raw| raw.get() != "null");
        raw.map(|raw| read(raw, convert).ok_or(UnusableMember(name)))
            .transpose()
    }

    /// Reads a member that can be done without. One of another type, or that `convert` rejects, is
    /// ignored.
    pub(crate) fn optional<T: DeserializeOwned, U>(
        &mut self,
        name: &'static str,
        convert: impl FnOnce(T) -> Option<U>,
    ) -> Option<U> {
        let value = read(self.all.get(name)?, convert);
        if value.is_none() {
            self.ignored.push(name);
        }
        value
    }

    /// Returns all members. A value that cannot be represented, such as a number that is too large, is an
    /// empty object.
    #[cfg(feature = "check")]
    pub(crate) fn values(&self) -> Map<String, Value> {
        let value = |raw: &RawValue| serde_json::from_str(raw.get());
        let value = |raw| value(raw).unwrap_or_else(|_| Map::new().into());
        let members = self.all.iter();
        members
            .map(|(name, raw)| (name.clone(), value(raw)))
            .collect()
    }

    /// Returns the names of the members that were ignored.
    pub(crate) fn take_ignored(&mut self) -> Vec<&'static str> {
        std::mem::take(&mut self.ignored)
    }
}

fn read<T: DeserializeOwned, U>(raw: &RawValue, convert: impl FnOnce(T) -> Option<U>) -> Option<U> {
    convert(serde_json::from_str(raw.get()).ok()?)
}

/// The ignored members that a warning has named.
#[derive(Debug, Default)]
pub(super) struct Warned(Mutex<BTreeSet<(&'static str, &'static str)>>);

impl Warned {
    /// Logs one warning with the members of a document that no earlier warning has named.
    pub(super) fn warn(&self, document: &'static str, ignored: &[&'static str]) {
        let mut warned = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = |name: &&&'static str| warned.insert((document, **name));
        let new: Vec<_> = ignored.iter().filter(is_new).copied().collect();
        if !new.is_empty() {
            tracing::warn!(
                target: TARGET,
                members = new.join(", "),
                "ignored members of {document} with unusable values"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: String) -> Option<String> {
        Some(text).filter(|text| !text.is_empty())
    }

    #[test]
    fn p1_an_optional_member_is_ignored_and_named() {
        let mut members = Members::parse(
            br#"{"good": "yes", "null": null, "empty": "", "list": ["x"], "huge": 1e999}"#,
        )
        .unwrap();
        assert_eq!(members.optional("good", text).as_deref(), Some("yes"));
        for name in ["null", "empty", "list", "huge", "absent"] {
            assert_eq!(members.optional(name, text), None, "{name}");
        }
        assert_eq!(members.take_ignored(), ["null", "empty", "list", "huge"]);
    }

    #[test]
    fn p1_an_essential_member_is_absent_or_usable() {
        let members = Members::parse(br#"{"good": "yes", "null": null, "empty": "", "list": []}"#);
        let members = members.unwrap();
        assert_eq!(members.essential("good", text), Ok(Some("yes".to_owned())));
        for name in ["null", "absent"] {
            assert_eq!(members.essential(name, text), Ok(None));
        }
        for name in ["empty", "list"] {
            assert_eq!(members.essential(name, text), Err(UnusableMember(name)));
        }
    }

    #[test]
    fn p1_members_that_are_not_read_may_have_any_value() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let json = format!(r#"{{"a": "1", "deep": {deep}, "huge": -1e999, "a": "2"}}"#);
        let mut members = Members::parse(json.as_bytes()).unwrap();
        assert_eq!(members.optional("a", text).as_deref(), Some("2"));
        assert_eq!(members.take_ignored(), [""; 0]);
        for json in ["", "null", "[]", "5", "{} {}", "{"] {
            assert!(Members::parse(json.as_bytes()).is_none(), "{json}");
        }
    }
}
