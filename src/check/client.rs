//! Checks of the client: its credentials and its request object.

use std::time::Duration;

use serde_json::{Map, Value};
use url::Url;

use super::{
    finding::{CLIENT_AUTHENTICATION, Finding, REQUEST_OBJECT},
    text::{CHECK_FOR_PROXY, SEE_CONFIGURATION, error_line, no_response, sentence},
};
use crate::{
    clock::Clock,
    config::{Client, ClientType, Config, Jar, MAX_REQUEST_OBJECT_LIFETIME, Partial},
    http::HttpClient,
    jose::{Algorithm, CompactJws, VerifyingKey},
    protocol::{
        AuthorizationRequest, AuthorizationRequests, CodeVerifier, ErrorCode, TokenEndpoint,
        TokenError,
    },
    secret::Secret,
};

const RECONFIGURE_KEY: &str =
    "Configure the key again: `client_secret` for HS256, `jar_key_file` for EdDSA.";

/// Sends a token request with a random code. The provider authenticates the client first, so that it
/// returns `invalid_grant` only to a client that it accepts.
pub(super) async fn check_authentication(
    http: HttpClient,
    token_endpoint: Url,
    client: Client,
    redirect_uri: Url,
) -> Finding {
    let (code, verifier) = (Secret::random(), CodeVerifier::random());
    let endpoint = TokenEndpoint {
        http: &http,
        url: &token_endpoint,
        client: &client,
    };
    let outcome = endpoint.exchange_code(&redirect_uri, &code, &verifier);
    match outcome.await {
        Ok(_) => tokens_for_invalid_code(),
        Err(error) => verdict(&error, client.client_type()),
    }
}

fn tokens_for_invalid_code() -> Finding {
    CLIENT_AUTHENTICATION.failed(
        "the provider returned tokens for an invalid code",
        "Do not sign in with this provider: it does not check codes.",
    )
}

fn verdict(error: &TokenError, kind: &ClientType) -> Finding {
    match error {
        TokenError::ErrorResponse(ErrorCode::InvalidGrant, _) => CLIENT_AUTHENTICATION.passed(match kind {
            ClientType::Public => {
                "the provider knows the client (tested with one token request and an invalid code)"
            }
            ClientType::Confidential { .. } => {
                "the provider accepts the client's ID and secret (tested with one token request \
                 and an invalid code)"
            }
        }),
        TokenError::ErrorResponse(ErrorCode::InvalidClient, _) => CLIENT_AUTHENTICATION.failed(
            match kind {
                ClientType::Public => "the provider does not know the client (invalid_client)",
                ClientType::Confidential { .. } => {
                    "the provider rejects the client's ID or secret, or this machine's address \
                     (invalid_client)"
                }
            },
            sentence(ErrorCode::InvalidClient.help()),
        ),
        TokenError::ErrorResponse(code, _) if code.is_retryable() => inconclusive(&error_line(error)),
        TokenError::ErrorResponse(code @ ErrorCode::Other(_), _) => CLIENT_AUTHENTICATION.warning(
            format!("the provider responded with {code}, which is inconclusive"),
            sentence(code.help()),
        ),
        TokenError::ErrorResponse(code, _) => CLIENT_AUTHENTICATION.failed(
            format!("the provider rejects the client ({code})"),
            sentence(code.help()),
        ),
        TokenError::RateLimited { .. } => {
            inconclusive("the provider limits the client's token requests (429)")
        }
        TokenError::Unreachable(error) => {
            CLIENT_AUTHENTICATION.failed_at("the token endpoint", no_response(error))
        }
        TokenError::Status(status) if status.is_server_error() => {
            inconclusive(&error_line(error))
        }
        TokenError::Status(_) => CLIENT_AUTHENTICATION.failed(
            error_line(error),
            CHECK_FOR_PROXY,
        ),
        TokenError::Malformed | TokenError::InvalidMember(_) => CLIENT_AUTHENTICATION.failed(
            "the token endpoint accepts an invalid code and returns no token response (RFC 6749 \
             section 5.1)",
            "Check which server responds at the token endpoint: it may be a captive portal or a \
             proxy.",
        ),
        TokenError::NotBearer => tokens_for_invalid_code(),
    }
}

fn inconclusive(message: &str) -> Finding {
    CLIENT_AUTHENTICATION.warning(
        format!("{message}, so the client could not be tested"),
        "Try again in a minute.",
    )
}

/// Signs a request object and verifies it as the provider does.
///
/// `issuer` is the issuer in the provider's metadata, if known; its spelling can differ from the
/// configured one.
pub(super) fn check_request_object(
    settings: &Partial,
    issuer: Option<&str>,
    clock: &Clock,
) -> Finding {
    let Some(config) = &settings.config else {
        return REQUEST_OBJECT.skipped(SEE_CONFIGURATION);
    };
    let (key, algorithm) = match config.client().client_type() {
        ClientType::Public => {
            return REQUEST_OBJECT.passed("not needed: a public client sends no request object");
        }
        ClientType::Confidential { jar: Jar::Off, .. } => {
            return REQUEST_OBJECT.skipped("requests are not signed: `jar` is off");
        }
        ClientType::Confidential {
            jar: Jar::Hs256,
            secret,
            ..
        } => (VerifyingKey::hs256(secret), "HS256".to_owned()),
        ClientType::Confidential {
            jar: Jar::EdDsa(pair),
            ..
        } => (
            pair.verifying_key(),
            format!("EdDSA, key ID `{}`", pair.key_id()),
        ),
    };
    let issuer = issuer.map_or_else(|| config.issuer().to_string(), str::to_owned);
    let lifetime = sign(config, &issuer, clock)
        .and_then(|request_object| verify(&request_object, &key, config, &issuer));
    match lifetime {
        Ok(lifetime) => REQUEST_OBJECT.passed(format!(
            "signed and verified with {algorithm}; valid for {} s",
            lifetime.as_secs()
        )),
        Err(message) => REQUEST_OBJECT.failed(message, RECONFIGURE_KEY),
    }
}

/// Returns the request object of a new authorization URL.
fn sign(config: &Config, issuer: &str, clock: &Clock) -> Result<String, String> {
    // The URL is not used, so its endpoint does not matter.
    let endpoint = Url::parse("https://localhost/").map_err(|error| error.to_string())?;
    let url = AuthorizationRequests::new(config)
        .url(&AuthorizationRequest {
            issuer,
            endpoint: &endpoint,
            state: &Secret::random(),
            nonce: &Secret::random(),
            code_verifier: &CodeVerifier::random(),
            options: config.login_defaults(),
            now: clock.unix_now(),
        })
        .map_err(|error| format!("the request object cannot be signed: {error}"))?;
    match url.split_once("&request=") {
        Some((_, request_object)) => Ok(request_object.to_owned()),
        None => Err("the authorization URL has no request object".to_owned()),
    }
}

/// Verifies the signature, the parties and the lifetime, and returns the lifetime.
fn verify(
    request_object: &str,
    key: &VerifyingKey,
    config: &Config,
    issuer: &str,
) -> Result<Duration, String> {
    let jws = CompactJws::parse(request_object).map_err(|error| error.to_string())?;
    let verified = jws
        .verify::<Map<String, Value>>(key, &[Algorithm::Hs256, Algorithm::EdDsa])
        .map_err(|error| format!("the request object does not verify with its key: {error}"))?;
    let claims = verified.into_claims();
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let number = |name: &str| claims.get(name).and_then(Value::as_i64);
    let id = Some(config.client().id());
    if text("iss") != id || text("client_id") != id || text("aud") != Some(issuer) {
        return Err("the request object names another client or issuer".to_owned());
    }
    let lifetime = number("exp").zip(number("iat")).map(|(exp, iat)| exp - iat);
    lifetime
        .and_then(|lifetime| u64::try_from(lifetime).ok())
        .map(Duration::from_secs)
        .filter(|lifetime| {
            (Duration::from_secs(1)..=MAX_REQUEST_OBJECT_LIFETIME).contains(lifetime)
        })
        .ok_or_else(|| {
            let longest = MAX_REQUEST_OBJECT_LIFETIME.as_secs();
            format!("the request object is not valid for 1 to {longest} s")
        })
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;
    use crate::{check::Status, config::AuthMethod};

    #[test]
    fn token_errors_distinguish_valid_from_invalid_clients() {
        let confidential = ClientType::Confidential {
            secret: "x".into(),
            auth_method: AuthMethod::default(),
            jar: Jar::Hs256,
        };
        let response = |code: &str| TokenError::ErrorResponse(code.into(), StatusCode::BAD_REQUEST);
        for (error, status) in [
            (response("invalid_grant"), Status::Passed),
            (response("invalid_client"), Status::Failed),
            (response("unauthorized_client"), Status::Failed),
            (response("invalid_request"), Status::Failed),
            (response("unsupported_grant_type"), Status::Failed),
            (response("server_error"), Status::Warning),
            (response("temporarily_unavailable"), Status::Warning),
            (response("something_new"), Status::Warning),
            (
                TokenError::RateLimited { retry_after: None },
                Status::Warning,
            ),
            (TokenError::Status(StatusCode::NOT_FOUND), Status::Failed),
            (TokenError::Status(StatusCode::BAD_GATEWAY), Status::Warning),
            (TokenError::Malformed, Status::Failed),
            (TokenError::NotBearer, Status::Failed),
        ] {
            for kind in [&confidential, &ClientType::Public] {
                let finding = verdict(&error, kind);
                assert_eq!(finding.status, status, "{error}");
                assert_eq!(finding.help.is_some(), status != Status::Passed, "{error}");
            }
        }
        assert_eq!(tokens_for_invalid_code().status, Status::Failed);
        // A page in place of a token response is not tokens.
        let page = verdict(&TokenError::Malformed, &ClientType::Public);
        assert!(page.message.contains("no token response"), "{page:?}");
        assert!(page.help.unwrap().contains("which server responds"));
        let tokens = verdict(&TokenError::NotBearer, &ClientType::Public);
        assert!(tokens.message.contains("returned tokens"), "{tokens:?}");
    }
}
