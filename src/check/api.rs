//! Checks of the endpoints for access tokens.

use url::Url;

use super::{
    finding::{Finding, TOKEN_VALIDATION, USERINFO},
    text::{CHECK_FOR_PROXY, error_line, no_response, sentence},
};
use crate::{
    clock::Clock,
    config::{ClientType, Config, TokenValidation},
    http::HttpClient,
    protocol::{AccessTokenError, ExpectedAccessToken, ValidationError, validate_token},
    provider::ProviderMetadata,
    secret::Secret,
};

pub(super) fn userinfo(metadata: &ProviderMetadata, config: &Config) -> Finding {
    if !config.claims_from_userinfo() {
        return USERINFO.passed("not needed: `claims_from_userinfo` is not set");
    }
    match metadata.userinfo_endpoint() {
        Some(endpoint) => USERINFO.passed(endpoint.as_str()),
        None => USERINFO.failed(
            "`claims_from_userinfo` is set, but the provider announces no usable `userinfo_endpoint`",
            "Remove `claims_from_userinfo`, or check the issuer: users sign in without these claims.",
        ),
    }
}

pub(super) async fn token_validation(
    http: HttpClient,
    metadata: ProviderMetadata,
    config: Config,
    clock: Clock,
) -> Finding {
    let given = config.api().validation_endpoint.as_ref();
    let endpoint = given.or(metadata.token_validation_endpoint());
    let is_remote = config.token_validation() == TokenValidation::Remote;
    let is_public = matches!(config.client().client_type(), ClientType::Public);
    match endpoint {
        Some(endpoint) if is_remote || given.is_some() => {
            ask(&http, endpoint, &metadata, &config, &clock).await
        }
        None if is_remote => TOKEN_VALIDATION.failed(
            "`token_validation` is `remote`, but no endpoint that validates tokens is known",
            "Set `token_validation_endpoint`, or set `token_validation` to `local`.",
        ),
        Some(_) if config.token_validation() == TokenValidation::Auto && !is_public => {
            TOKEN_VALIDATION.passed("JWTs with the provider's keys, other tokens by the provider")
        }
        _ => TOKEN_VALIDATION.passed("JWTs with the provider's keys; other tokens are rejected"),
    }
}

/// Asks about a random token, which no provider can call valid.
async fn ask(
    http: &HttpClient,
    endpoint: &Url,
    metadata: &ProviderMetadata,
    config: &Config,
    clock: &Clock,
) -> Finding {
    let token = Secret::random();
    let expected = ExpectedAccessToken {
        issuer: metadata.issuer(),
        audiences: config.audiences(),
        now: clock.unix_now(),
    };
    let verdict = validate_token(http, endpoint, config.client(), token.expose(), &expected);
    let error = match verdict.await {
        Ok(Err(AccessTokenError::Inactive)) => {
            return TOKEN_VALIDATION.passed(format!("{endpoint} rejects an invalid token"));
        }
        Ok(_) => {
            return TOKEN_VALIDATION.failed(
                format!("{endpoint} calls an invalid token valid"),
                "Do not use this endpoint: set `token_validation` to `local`.",
            );
        }
        Err(error) => error,
    };
    match &error {
        ValidationError::Unreachable(error) => {
            TOKEN_VALIDATION.failed_at(endpoint, no_response(error))
        }
        ValidationError::ErrorResponse(code) if !code.is_retryable() => TOKEN_VALIDATION.failed(
            format!("{endpoint}: the response is {code}"),
            sentence(code.help()),
        ),
        error if error.is_temporary() => TOKEN_VALIDATION.warning(
            format!("{endpoint}: {}", error_line(error)),
            "Try again in a minute.",
        ),
        error => TOKEN_VALIDATION.failed(
            format!("{endpoint}: {}", error_line(error)),
            CHECK_FOR_PROXY,
        ),
    }
}
