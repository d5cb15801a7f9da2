use std::{collections::HashSet, time::Duration};

use super::{
    duration::within,
    refusal::{Refusal, refuse},
    validator::{Validator, one_of},
};
use crate::config::keys;

const SHORTEST_REQUEST_OBJECT: Duration = Duration::from_secs(10);
/// Oten refuses a request object that is valid for longer.
const LONGEST_REQUEST_OBJECT: Duration = Duration::from_secs(300);
const LONGEST_MAX_AGE: Duration = Duration::from_secs(365 * 86_400);

/// The prompts that may stand together (OpenID Connect Core 1.0 section 3.1.2.1).
const PROMPTS: [&str; 3] = ["login", "consent", "select_account"];

/// What is asked of Oten at sign-in.
pub(super) struct Protocol {
    pub(super) scopes: Vec<String>,
    pub(super) prompt: Option<String>,
    pub(super) max_age: Option<Duration>,
    pub(super) ui_locales: Option<String>,
    pub(super) request_object_lifetime: Duration,
}

pub(super) fn check(validator: &mut Validator<'_>) -> Option<Protocol> {
    let scopes = validator.required(&keys::SCOPES, scopes);
    let prompt = validator.optional(&keys::PROMPT, prompt);
    let max_age = validator.optional(&keys::MAX_AGE, within(Duration::ZERO, LONGEST_MAX_AGE));
    let ui_locales = validator.optional(&keys::UI_LOCALES, ui_locales);
    let request_object_lifetime = validator.required(
        &keys::REQUEST_OBJECT_LIFETIME,
        within(SHORTEST_REQUEST_OBJECT, LONGEST_REQUEST_OBJECT),
    );
    Some(Protocol {
        scopes: scopes?,
        prompt,
        max_age,
        ui_locales,
        request_object_lifetime: request_object_lifetime?,
    })
}

fn scopes(text: &str) -> Result<Vec<String>, Refusal> {
    let scopes = distinct_words(text)?;
    if !scopes.iter().all(|scope| scope.bytes().all(is_scope_byte)) {
        return refuse(
            "holds a character no scope may have",
            "Use visible ASCII without quotes and backslashes, separated by spaces.",
        );
    }
    if !scopes.contains(&"openid") {
        return refuse(
            "lacks `openid`",
            "Add `openid`: without it nobody is signed in.",
        );
    }
    Ok(scopes.into_iter().map(str::to_owned).collect())
}

/// `scope-token` of RFC 6749 section 3.3.
fn is_scope_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"\"\\".contains(&byte)
}

fn prompt(text: &str) -> Result<String, Refusal> {
    let prompts = distinct_words(text)?;
    if prompts != ["none"] && !prompts.iter().all(|prompt| PROMPTS.contains(prompt)) {
        return refuse(
            "is not a prompt",
            format!("Write {}, some of them, or `none` alone.", one_of(&PROMPTS)),
        );
    }
    Ok(prompts.join(" "))
}

fn ui_locales(text: &str) -> Result<String, Refusal> {
    let locales = distinct_words(text)?;
    let is_subtag =
        |tag: &str| (1..=8).contains(&tag.len()) && tag.bytes().all(|b| b.is_ascii_alphanumeric());
    if !locales
        .iter()
        .all(|locale| locale.split('-').all(is_subtag))
    {
        return refuse(
            "is not a list of language tags",
            "Write tags like `de-CH de en`, separated by spaces.",
        );
    }
    Ok(locales.join(" "))
}

fn distinct_words(text: &str) -> Result<Vec<&str>, Refusal> {
    let words: Vec<&str> = text.split(' ').filter(|word| !word.is_empty()).collect();
    let mut seen = HashSet::new();
    if !words.iter().all(|word| seen.insert(*word)) {
        return refuse("says the same twice", "Remove the repetition.");
    }
    Ok(words)
}
