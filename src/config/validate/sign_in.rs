use std::time::Duration;

use super::{
    validator::Validator,
    value::{distinct_words, duration, one_of},
};
use crate::config::{
    keys,
    problem::{Invalid, invalid},
    settings::{MAX_REQUEST_OBJECT_LIFETIME, SignInSettings},
};

const MIN_REQUEST_OBJECT_LIFETIME: Duration = Duration::from_secs(10);
const MAX_MAX_AGE: Duration = Duration::from_secs(365 * 86_400);

/// The prompts that can be combined (OpenID Connect Core 1.0 section 3.1.2.1).
const PROMPTS: [&str; 3] = ["login", "consent", "select_account"];

pub(super) fn validate(validator: &mut Validator<'_>) -> Option<SignInSettings> {
    let scopes = validator.required(&keys::SCOPES, scopes);
    validator.partial.scopes.clone_from(&scopes);
    let prompt = validator.optional(&keys::PROMPT, prompt);
    let max_age = validator.optional(&keys::MAX_AGE, duration(Duration::ZERO..=MAX_MAX_AGE));
    let ui_locales = validator.optional(&keys::UI_LOCALES, ui_locales);
    let request_object_lifetime = validator.required(
        &keys::REQUEST_OBJECT_LIFETIME,
        duration(MIN_REQUEST_OBJECT_LIFETIME..=MAX_REQUEST_OBJECT_LIFETIME),
    );
    Some(SignInSettings {
        scopes: scopes?,
        prompt,
        max_age,
        ui_locales,
        request_object_lifetime: request_object_lifetime?,
    })
}

fn scopes(text: &str) -> Result<Vec<String>, Invalid> {
    // `scope-token` of RFC 6749 section 3.3.
    let is_scope_byte = |byte: u8| byte.is_ascii_graphic() && !b"\"\\".contains(&byte);
    let scopes = distinct_words(text)?;
    if !scopes.iter().all(|scope| scope.bytes().all(is_scope_byte)) {
        return invalid(
            "contains a character that scopes may not have",
            "Use visible ASCII without quotes and backslashes, separated by spaces.",
        );
    }
    if !scopes.contains(&"openid") {
        return invalid(
            "lacks `openid`",
            "Add `openid`: without it Oten issues no ID token.",
        );
    }
    Ok(scopes.into_iter().map(str::to_owned).collect())
}

fn prompt(text: &str) -> Result<String, Invalid> {
    let prompts = distinct_words(text)?;
    if prompts != ["none"] && !prompts.iter().all(|prompt| PROMPTS.contains(prompt)) {
        return invalid(
            "is not a prompt",
            format!(
                "Write {}, several of them, or `none` alone.",
                one_of(&PROMPTS)
            ),
        );
    }
    Ok(prompts.join(" "))
}

fn ui_locales(text: &str) -> Result<String, Invalid> {
    let locales = distinct_words(text)?;
    let is_subtag =
        |tag: &str| (1..=8).contains(&tag.len()) && tag.bytes().all(|b| b.is_ascii_alphanumeric());
    if !locales
        .iter()
        .all(|locale| locale.split('-').all(is_subtag))
    {
        return invalid(
            "is not a list of language tags",
            "Write tags like `de-CH de en`, separated by spaces.",
        );
    }
    Ok(locales.join(" "))
}
