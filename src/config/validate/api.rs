use super::{
    client::{auth_method, client_type},
    validator::Validator,
    value::{choice, distinct_words, visible_ascii},
    web_url::endpoint,
};
use crate::{
    config::{
        Client, ClientType, Environment, Issuer, Jar, TokenValidation, api::ApiSettings, keys,
        problem::invalid,
    },
    secret::Secret,
};

/// `client` is the client that asks the provider to validate tokens, if there is one.
pub(super) fn validate(
    validator: &mut Validator<'_>,
    issuer: Option<&Issuer>,
    client: Option<&Client>,
    instances: Option<u32>,
) -> Option<ApiSettings> {
    let production = validator.production;
    let audiences = validator.optional(&keys::AUDIENCES, |text| {
        let audiences: Vec<String> = distinct_words(text)?
            .into_iter()
            .map(visible_ascii)
            .collect::<Result<_, _>>()?;
        match audiences[..] {
            [] => invalid("is empty", "Name at least one audience, or remove it."),
            _ => Ok(audiences),
        }
    });
    let audiences = if validator.raw.is_set(&keys::AUDIENCES) {
        audiences
    } else {
        client.map(|client| vec![client.id.clone()])
    };
    let validation = validator.required(&keys::TOKEN_VALIDATION, |text| {
        choice(text, TokenValidation::ALL.map(|kind| (kind.name(), kind)))
    });
    let validation_endpoint = validator.optional(&keys::TOKEN_VALIDATION_ENDPOINT, |text| {
        endpoint(text, production)
    });
    let can_call = client.is_some_and(|client| !matches!(client.kind, ClientType::Public));
    if validation == Some(TokenValidation::Remote) && !can_call {
        validator.problem(
            &keys::TOKEN_VALIDATION,
            "is `remote`, but there is no client with a secret to call the provider",
            "Set `client_id` and `client_secret`, or set it to `local`.",
        );
    }
    if validator.raw.is_set(&keys::TOKEN_VALIDATION_ENDPOINT) {
        // A client that is not valid has problems of its own.
        let problem = if validation == Some(TokenValidation::Local) {
            Some((
                "is set, but `token_validation` is `local`",
                "Remove it, or set `token_validation` to `auto`.",
            ))
        } else if client.is_some() && !can_call || !validator.raw.is_set(&keys::CLIENT_ID) {
            Some((
                "is set, but there is no client with a secret to call it",
                "Remove it, or set `client_id` and `client_secret`.",
            ))
        } else {
            None
        };
        if let Some((message, help)) = problem {
            validator.problem(&keys::TOKEN_VALIDATION_ENDPOINT, message, help);
        }
    }
    let limit = issuer
        .and_then(Issuer::environment)
        .map(Environment::validations_per_minute);
    let instances = instances?;
    Some(ApiSettings {
        audiences: audiences?,
        validation: validation?,
        validation_endpoint,
        validations_per_minute: limit.map(|limit| (limit / instances).max(1)),
    })
}

/// Returns the client of an API, which needs none to verify tokens itself.
pub(super) fn client(validator: &mut Validator<'_>) -> Option<Client> {
    let raw = validator.raw;
    if !raw.is_set(&keys::AUDIENCES) && !raw.is_set(&keys::CLIENT_ID) {
        validator.missing(&keys::AUDIENCES);
    }
    let id = validator.optional(&keys::CLIENT_ID, visible_ascii);
    let secret = validator.optional(&keys::CLIENT_SECRET, |text| Ok(Secret::from(text)));
    if secret.is_some() && !raw.is_set(&keys::CLIENT_ID) {
        validator.missing(&keys::CLIENT_ID);
    }
    let is_public = validator.required(&keys::CLIENT_TYPE, client_type);
    if is_public == Some(true) && raw.is_set(&keys::CLIENT_SECRET) {
        validator.problem(
            &keys::CLIENT_SECRET,
            "is set, but a public client has no secret",
            "Remove it, or set `client_type` to `confidential`.",
        );
    }
    if !raw.is_set(&keys::CLIENT_SECRET) && raw.is_set(&keys::TOKEN_REQUESTS_PER_MINUTE) {
        validator.problem(
            &keys::TOKEN_REQUESTS_PER_MINUTE,
            "is set, but an API without a client secret sends no token requests",
            "Remove it, or set `client_id` and `client_secret`.",
        );
    }
    if secret.is_none() && raw.is_set(&keys::TOKEN_ENDPOINT_AUTH_METHOD) {
        validator.problem(
            &keys::TOKEN_ENDPOINT_AUTH_METHOD,
            "is set, but there is no client with a secret",
            "Remove it, or set `client_id` and `client_secret`.",
        );
    }
    let auth_method = auth_method(validator);
    Some(Client {
        id: id?,
        kind: match secret {
            Some(secret) => ClientType::Confidential {
                secret,
                auth_method: auth_method?,
                jar: Jar::Off,
            },
            None => ClientType::Public,
        },
        published_keys: Vec::new(),
        trusted_audiences: Vec::new(),
    })
}
