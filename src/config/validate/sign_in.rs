use std::time::Duration;

use super::{
    native_links,
    validator::Validator,
    value::{distinct_words, duration, flag, one_of},
};
use crate::config::{
    keys,
    login_options::{self, LoginOptions, MAX_MAX_AGE},
    problem::{Invalid, invalid},
    settings::{MAX_REQUEST_OBJECT_LIFETIME, SignInSettings},
};

const MIN_REQUEST_OBJECT_LIFETIME: Duration = Duration::from_secs(10);

pub(super) fn validate(validator: &mut Validator<'_>) -> Option<SignInSettings> {
    let scopes = validator.required(&keys::SCOPES, scopes);
    validator.partial.scopes.clone_from(&scopes);
    let prompt = validator.optional(&keys::PROMPT, login_options::prompt);
    let max_age = validator.optional(&keys::MAX_AGE, duration(Duration::ZERO..=MAX_MAX_AGE));
    let ui_locales = validator.optional(&keys::UI_LOCALES, login_options::ui_locales);
    let mut defaults = LoginOptions::new();
    if let Some(max_age) = max_age {
        defaults = defaults.max_age(max_age);
    }
    let mut defaults = defaults
        .prompt(prompt.unwrap_or_default())
        .ui_locales(ui_locales.unwrap_or_default());
    validator.only_for_other_providers(&keys::AUTHORIZATION_PARAMETERS);
    let added = validator.required(&keys::AUTHORIZATION_PARAMETERS, authorization_parameters);
    for (name, value) in added.iter().flatten() {
        defaults = defaults.parameter(name, value);
    }
    if let Err(error) = defaults.check() {
        validator.problem(&keys::UI_LOCALES, &error.message, &error.help);
    }
    let login_parameters = validator.required(&keys::LOGIN_PARAMETERS, login_parameters);
    let is_replaceable = |name: &str| {
        let mut names = login_parameters.iter().flatten();
        names.any(|replaceable| replaceable == name)
    };
    if validator.raw.is_set(&keys::PROMPT) && is_replaceable(login_options::PROMPT) {
        validator.problem(
            &keys::LOGIN_PARAMETERS,
            "names `prompt`, but `prompt` is set: a link could replace it",
            "Remove one of the two.",
        );
    }
    if added.iter().flatten().any(|(name, _)| is_replaceable(name)) {
        validator.problem(
            &keys::LOGIN_PARAMETERS,
            "names a parameter that `authorization_parameters` sets: a link could replace it",
            "Remove one of the two.",
        );
    }
    let claims_from_userinfo = validator.required(&keys::CLAIMS_FROM_USERINFO, flag);
    let request_object_lifetime = validator.required(
        &keys::REQUEST_OBJECT_LIFETIME,
        duration(MIN_REQUEST_OBJECT_LIFETIME..=MAX_REQUEST_OBJECT_LIFETIME),
    );
    let native_links = validator.required(&keys::NATIVE_LINKS, native_links::validate);
    Some(SignInSettings {
        scopes: scopes?,
        defaults,
        login_parameters: login_parameters?,
        claims_from_userinfo: claims_from_userinfo?,
        native_links: native_links?,
        request_object_lifetime: request_object_lifetime?,
    })
}

/// Reads `NAME=VALUE` words, whose names are neither parameters of the protocol nor other settings.
fn authorization_parameters(text: &str) -> Result<Vec<(String, String)>, Invalid> {
    let mut parameters: Vec<(String, String)> = Vec::new();
    for word in distinct_words(text)? {
        let Some((name, value)) = word.split_once('=').filter(|(_, value)| !value.is_empty())
        else {
            return invalid(
                "contains a word that is not a parameter",
                "Write `NAME=VALUE`, without spaces.",
            );
        };
        login_options::check_name(name)?;
        if SETTINGS.contains(&name) || parameters.iter().any(|(other, _)| other == name) {
            return invalid(
                "contains a name twice, or one that has a setting of its own",
                format!("Remove it; set {} by name.", one_of(&SETTINGS)),
            );
        }
        parameters.push((name.to_owned(), value.to_owned()));
    }
    Ok(parameters)
}

/// The parameters that are settings of their own.
const SETTINGS: [&str; 3] = [
    login_options::PROMPT,
    login_options::MAX_AGE,
    login_options::UI_LOCALES,
];

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

fn login_parameters(text: &str) -> Result<Vec<String>, Invalid> {
    let names = distinct_words(text)?;
    names
        .iter()
        .try_for_each(|name| login_options::check_name(name))?;
    Ok(names.into_iter().map(str::to_owned).collect())
}
