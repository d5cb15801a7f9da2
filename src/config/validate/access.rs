//! The named access rules of an operator.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};

use super::{validator::Validator, value};
use crate::config::{
    Problem, Rule, keys,
    problem::{Invalid, invalid},
    rule::{Claim, MAX_DEPTH},
    settings::AccessSettings,
};

/// The kinds of conditions, and the other names in a condition.
const CONDITIONS: [&str; 7] = [
    "all",
    "any",
    "not",
    "claim",
    "emails",
    "email_domain",
    "subjects",
];
const TESTS: [&str; 3] = ["equals", "contains", "exists"];

const MAX_NAME_BYTES: usize = 64;

pub(super) fn validate(validator: &mut Validator<'_>) -> Option<AccessSettings> {
    let trusts_emails = validator.required(&keys::TRUST_EMAILS, value::flag);
    let mut parser = Parser::default();
    let rules = validator.optional(&keys::ACCESS, |text| {
        let has_unique_names = serde_json::from_str::<UniqueNames>(text).is_ok();
        match serde_json::from_str::<Map<String, Value>>(text) {
            Ok(rules) if has_unique_names => Ok(parser.rules(rules)),
            Ok(_) => invalid(
                "has an object with the same name twice",
                "Keep one of the two, or combine them with `any` or `all`.",
            ),
            Err(_) => invalid(
                "is not an object of rules",
                "Write it in JSON, such as `{\"admin\": {\"subjects\": [\"…\"]}}`, or as a TOML table.",
            ),
        }
    });
    let origin = validator.raw.origin(&keys::ACCESS);
    let problems = parser.problems.into_iter();
    validator
        .partial
        .problems
        .extend(problems.map(|(path, Invalid { message, help })| Problem {
            key: path,
            origin: origin.clone(),
            message,
            help,
        }));
    let trusts_emails = trusts_emails?;
    let mut rules = rules.unwrap_or_default();
    if trusts_emails {
        let trusting = rules
            .into_iter()
            .map(|(name, rule)| (name, rule.trust_emails()));
        rules = trusting.collect();
    }
    Some(AccessSettings {
        rules,
        trusts_emails,
    })
}

/// JSON in which no object has the same name twice. `serde_json` keeps the last, which may allow more.
struct UniqueNames;

impl<'de> Deserialize<'de> for UniqueNames {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for UniqueNames {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self, A::Error> {
        let mut names = BTreeSet::new();
        while let Some((name, Self)) = object.next_entry::<String, Self>()? {
            if !names.insert(name) {
                return Err(de::Error::custom("a name is repeated"));
            }
        }
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        while items.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }
}

/// Reads rules, and notes each mistake with the path to it.
#[derive(Default)]
struct Parser {
    problems: Vec<(String, Invalid)>,
}

impl Parser {
    fn rules(&mut self, rules: Map<String, Value>) -> BTreeMap<String, Rule> {
        let mut parsed = BTreeMap::new();
        for (name, value) in rules {
            let path = format!("access.{}", shown(&name));
            let is_name_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
            if !(1..=MAX_NAME_BYTES).contains(&name.len()) || !name.bytes().all(is_name_byte) {
                let help = format!("Use at most {MAX_NAME_BYTES} letters, digits, `-` and `_`.");
                self.note(&path, "is not a name for a rule", help);
            }
            if let Some(rule) = self.rule(&path, &value, 1) {
                parsed.insert(name, rule);
            }
        }
        parsed
    }

    fn note(&mut self, path: &str, message: &str, help: impl Into<String>) {
        let (message, help) = (message.to_owned(), help.into());
        self.problems
            .push((path.to_owned(), Invalid { message, help }));
    }

    /// Reads a rule. Notes at least one problem if it returns `None`.
    fn rule(&mut self, path: &str, value: &Value, depth: usize) -> Option<Rule> {
        if depth > MAX_DEPTH {
            let help =
                format!("Use at most {MAX_DEPTH} levels, or name a part as a rule of its own.");
            self.note(path, "is nested too deeply", help);
            return None;
        }
        let Value::Object(table) = value else {
            self.note(
                path,
                "is not a condition",
                "Write a table, such as `{ subjects = [\"…\"] }`.",
            );
            return None;
        };
        let named: Vec<&str> = table.keys().map(String::as_str).collect();
        let kinds: Vec<&str> = CONDITIONS
            .into_iter()
            .filter(|kind| named.contains(kind))
            .collect();
        let kind = match kinds[..] {
            [kind] => Some(kind),
            [] => None,
            _ => {
                let help = "Write one in each table, and combine them with `all` or `any`.";
                self.note(path, "has several conditions", help);
                return None;
            }
        };
        let options: &[&str] = match kind {
            Some("claim") => &["equals", "contains", "exists", "ignore_case"],
            Some("email_domain") => &["subdomains"],
            _ => &[],
        };
        let known = |name: &&str| kind == Some(*name) || options.contains(name);
        let unknown: Vec<&str> = named.into_iter().filter(|name| !known(name)).collect();
        for name in &unknown {
            let meant = options.iter().chain(
                kind.is_none()
                    .then_some(&CONDITIONS[..])
                    .into_iter()
                    .flatten(),
            );
            let meant = meant
                .copied()
                .find(|meant| strsim::levenshtein(name, meant) <= 2);
            let help = match (meant, kind) {
                (Some(meant), _) => format!("Did you mean `{meant}`?"),
                (None, Some(_)) if TESTS.contains(name) => "It needs a `claim`.".to_owned(),
                (None, Some(_)) => "Remove it.".to_owned(),
                (None, None) => format!("Use {}.", value::one_of(&CONDITIONS)),
            };
            let path = format!("{path}.{}", shown(name));
            self.note(&path, "is not part of a condition", help);
        }
        let Some(kind) = kind else {
            if unknown.is_empty() {
                let help = format!("Use {}.", value::one_of(&CONDITIONS));
                self.note(path, "has no condition", help);
            }
            return None;
        };
        let rule = self.condition(path, kind, table, depth)?;
        if let Some(reason) = rule.unusable_reason() {
            self.note(
                path,
                "can never allow a user",
                format!("Correct it: {reason}."),
            );
            return None;
        }
        unknown.is_empty().then_some(rule)
    }

    fn condition(
        &mut self,
        path: &str,
        kind: &str,
        table: &Map<String, Value>,
        depth: usize,
    ) -> Option<Rule> {
        let given = &table[kind];
        let inner = format!("{path}.{kind}");
        match kind {
            "not" => self.rule(&inner, given, depth + 1).map(Rule::not),
            "all" | "any" => {
                let rules = self.list(&inner, given, "an array of conditions")?;
                let rules: Vec<_> = rules
                    .iter()
                    .enumerate()
                    .map(|(n, rule)| self.rule(&format!("{inner}[{n}]"), rule, depth + 1))
                    .collect();
                let rules = rules.into_iter().collect::<Option<Vec<_>>>()?;
                Some(if kind == "all" {
                    Rule::all(rules)
                } else {
                    Rule::any(rules)
                })
            }
            "claim" => {
                let claim = Rule::claim(self.texts(&inner, given)?);
                self.test(path, table, claim)
            }
            "emails" => {
                let addresses = self.texts(&inner, given)?;
                Some(Rule::emails(addresses))
            }
            "email_domain" => {
                let domains = self.texts(&inner, given)?;
                let with_subdomains = self.flag(path, table, "subdomains")?;
                Some(Rule::email_domains(domains, with_subdomains))
            }
            _ => Some(Rule::subjects(self.texts(&inner, given)?)),
        }
    }

    fn test(&mut self, path: &str, table: &Map<String, Value>, claim: Claim) -> Option<Rule> {
        let ignore_case = self.flag(path, table, "ignore_case")?;
        let given: Vec<&str> = TESTS
            .into_iter()
            .filter(|test| table.contains_key(*test))
            .collect();
        let [kind] = given[..] else {
            let help = format!("Add one of {}.", value::one_of(&TESTS));
            self.note(path, "does not say what the claim must be", help);
            return None;
        };
        let value = &table[kind];
        let inner = format!("{path}.{kind}");
        match (kind, value) {
            ("exists", Value::Bool(true)) if !ignore_case => Some(claim.exists()),
            ("exists", Value::Bool(false)) if !ignore_case => Some(claim.is_missing()),
            ("exists", _) => {
                let help = "Write `true` or `false`, without `ignore_case`.";
                self.note(&inner, "is not `true` or `false`", help);
                None
            }
            ("equals", Value::String(text)) if ignore_case => {
                Some(claim.equals_ignore_ascii_case(text))
            }
            (_, Value::String(text)) if ignore_case => Some(claim.contains_ignore_ascii_case(text)),
            (_, Value::String(_) | Value::Number(_) | Value::Bool(_)) if !ignore_case => {
                let value = value.clone();
                Some(if kind == "equals" {
                    claim.equals(value)
                } else {
                    claim.contains(value)
                })
            }
            _ => {
                let expected = if ignore_case {
                    "is not a string, which `ignore_case` is for"
                } else {
                    "is neither a string, a number nor `true` or `false`"
                };
                self.note(
                    &inner,
                    expected,
                    "Write one value, and several conditions with `any`.",
                );
                None
            }
        }
    }

    fn flag(&mut self, path: &str, table: &Map<String, Value>, name: &str) -> Option<bool> {
        match table.get(name) {
            None => Some(false),
            Some(Value::Bool(flag)) => Some(*flag),
            Some(_) => {
                let path = format!("{path}.{name}");
                self.note(
                    &path,
                    "is not `true` or `false`",
                    "Write it without quotes.",
                );
                None
            }
        }
    }

    /// Reads a string, or an array of strings, which must not be empty.
    fn texts(&mut self, path: &str, value: &Value) -> Option<Vec<String>> {
        const EXPECTED: &str = "a string, or an array of strings";
        let values = match value {
            Value::String(_) => std::slice::from_ref(value),
            value => self.list(path, value, EXPECTED)?,
        };
        let texts: Option<Vec<_>> = values
            .iter()
            .map(|value| {
                value
                    .as_str()
                    .filter(|text| !text.is_empty())
                    .map(str::to_owned)
            })
            .collect();
        if texts.is_none() {
            self.note(
                path,
                &format!("is not {EXPECTED}"),
                "Write texts in quotes.",
            );
        }
        texts
    }

    fn list<'a>(&mut self, path: &str, value: &'a Value, expected: &str) -> Option<&'a [Value]> {
        match value {
            Value::Array(items) if !items.is_empty() => Some(items),
            Value::Array(_) => {
                self.note(
                    path,
                    "is empty, so it would deny every user",
                    "Add a value.",
                );
                None
            }
            _ => {
                self.note(
                    path,
                    &format!("is not {expected}"),
                    "Write it in this form.",
                );
                None
            }
        }
    }
}

/// A name from a file, as a problem shows it.
fn shown(name: &str) -> String {
    let name: String = name.chars().take(MAX_NAME_BYTES).collect();
    name.escape_debug().to_string()
}
