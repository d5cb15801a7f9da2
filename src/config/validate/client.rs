use super::{
    jar_keys,
    validator::Validator,
    value::{choice, distinct_words, visible_ascii},
};
use crate::{
    config::{AuthMethod, Client, ClientType, Jar, keys, problem::Invalid},
    secret::Secret,
};

/// A shorter HS256 key can be guessed from a signed request, which passes through the browser
/// (RFC 7518 section 3.2 requires as many bytes as the hash has).
const MIN_HS256_SECRET_BYTES: usize = 32;

pub(super) fn validate(validator: &mut Validator<'_>) -> Option<Client> {
    let id = validator.required(&keys::CLIENT_ID, visible_ascii);
    validator.partial.client_id.clone_from(&id);
    let is_public = validator.required(&keys::CLIENT_TYPE, client_type);
    let trusted_audiences = trusted_audiences(validator);
    let kind = if is_public == Some(true) {
        validate_public(validator);
        Some(ClientType::Public)
    } else {
        validate_confidential(validator, is_public.is_none())
    };
    let client = Client {
        id: id?,
        kind: kind.filter(|_| is_public.is_some())?,
        published_keys: validator.partial.request_keys.clone(),
        trusted_audiences: trusted_audiences?,
    };
    validator.partial.client = Some(client.clone());
    Some(client)
}

fn trusted_audiences(validator: &mut Validator<'_>) -> Option<Vec<String>> {
    validator.only_for_other_providers(&keys::TRUSTED_AUDIENCES);
    validator.required(&keys::TRUSTED_AUDIENCES, |text| {
        distinct_words(text)?
            .into_iter()
            .map(visible_ascii)
            .collect()
    })
}

/// Returns how a confidential client sends its secret.
pub(super) fn auth_method(validator: &mut Validator<'_>) -> Option<AuthMethod> {
    validator.only_for_other_providers(&keys::TOKEN_ENDPOINT_AUTH_METHOD);
    validator.required(&keys::TOKEN_ENDPOINT_AUTH_METHOD, |text| {
        choice(text, AuthMethod::ALL.map(|method| (method.name(), method)))
    })
}

/// Returns whether the client is public.
pub(super) fn client_type(text: &str) -> Result<bool, Invalid> {
    choice(text, [("confidential", false), ("public", true)])
}

fn validate_public(validator: &mut Validator<'_>) {
    for (key, message) in [
        (&keys::CLIENT_SECRET, "a public client has no secret"),
        (
            &keys::TOKEN_ENDPOINT_AUTH_METHOD,
            "a public client has no secret",
        ),
        (&keys::JAR, NO_SIGNATURE),
        (&keys::JAR_KEY_FILE, NO_SIGNATURE),
        (&keys::JAR_KEY_ID, NO_SIGNATURE),
        (&keys::REQUEST_OBJECT_LIFETIME, NO_SIGNATURE),
    ] {
        if validator.raw.is_set(key) {
            validator.problem(
                key,
                &format!("is set, but {message}"),
                "Remove it, or set `client_type` to `confidential`.",
            );
        }
    }
    check_published_keys(validator, NO_SIGNATURE);
}

/// A key from code that is never published.
fn check_published_keys(validator: &mut Validator<'_>, reason: &str) {
    if !validator.raw.published_keys.is_empty() {
        validator.problem(
            &keys::JAR_KEY_FILE,
            &format!("has keys to publish from code, but {reason}"),
            "Remove `jar_published_key`, or sign with `jar_eddsa`.",
        );
    }
}

const NO_SIGNATURE: &str = "Oten forbids public clients to sign their requests";

/// If `may_be_public`, a missing secret is not a problem.
fn validate_confidential(validator: &mut Validator<'_>, may_be_public: bool) -> Option<ClientType> {
    let rule = |text: &str| Ok(Secret::from(text));
    let secret = if may_be_public {
        validator.optional(&keys::CLIENT_SECRET, rule)
    } else {
        validator.required(&keys::CLIENT_SECRET, rule)
    };
    validator.partial.client_secret.clone_from(&secret);
    let auth_method = auth_method(validator);
    let signature = validator.required(&keys::JAR, |text| {
        choice(text, ["HS256", "EdDSA", "off"].map(|name| (name, name)))
    })?;
    if signature != "EdDSA" {
        for key in [&keys::JAR_KEY_FILE, &keys::JAR_KEY_ID] {
            if validator.raw.is_set(key) {
                validator.problem(
                    key,
                    &format!("is set, but `jar` is `{signature}`"),
                    "Set `jar` to `EdDSA`, or remove it.",
                );
            }
        }
        check_published_keys(validator, &format!("`jar` is `{signature}`"));
    }
    if signature == "off" && validator.raw.is_set(&keys::REQUEST_OBJECT_LIFETIME) {
        validator.problem(
            &keys::REQUEST_OBJECT_LIFETIME,
            "is set, but `jar` is `off`",
            "Remove it, or sign the requests.",
        );
    }
    let jar = match signature {
        "EdDSA" => jar_keys::validate(validator).map(Jar::EdDsa),
        "off" => {
            // Most other providers expect unsigned requests.
            if !validator.raw.is_set(&keys::ISSUER) {
                validator.warning(
                    &keys::JAR,
                    "is `off`: authorization requests are not signed",
                    "Only use it for a legacy client that Oten's support exempted from signing; Oten \
                     rejects unsigned requests from all others.",
                );
            }
            Some(Jar::Off)
        }
        _ => {
            check_hs256(validator, secret.as_ref());
            Some(Jar::Hs256)
        }
    };
    Some(ClientType::Confidential {
        secret: secret?,
        auth_method: auth_method?,
        jar: jar?,
    })
}

fn check_hs256(validator: &mut Validator<'_>, secret: Option<&Secret>) {
    if secret.is_some_and(|secret| secret.expose().len() < MIN_HS256_SECRET_BYTES) {
        validator.problem_in_production(
            &keys::CLIENT_SECRET,
            "is shorter than 32 bytes, so an attacker can guess it from a signed request",
            "Create a new secret in Oten's developer portal, or set `jar` to `EdDSA`.",
        );
    }
    if validator.production {
        validator.warning(
            &keys::JAR,
            "is `HS256`: the provider holds the same secret, and an attacker who guesses it from \
             a signed request can sign others",
            "Consider setting it to `EdDSA`: Oten then holds only the public half of a key that \
             never leaves this machine.",
        );
    }
}
