//! Whether the provider knows the client and its secret.

use url::Url;

use super::{
    Finding,
    checks::CLIENT_AUTHENTICATION,
    text::{no_answer, sentence, told},
};
use crate::{
    config::{Client, ClientType},
    http::HttpClient,
    protocol::{CodeVerifier, ErrorCode, TokenEndpoint, TokenError},
    secret::Secret,
};

/// One token request with a code that nobody ever gave out: what is wrong with it is looked at only
/// after who asks.
pub(super) async fn check(
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
        Ok(_) => gave_tokens(),
        Err(error) => verdict(&error, client.kind()),
    }
}

fn gave_tokens() -> Finding {
    CLIENT_AUTHENTICATION.failed(
        "the provider gave tokens for a made-up code",
        "Do not sign in with it: it gives tokens to anybody.",
    )
}

fn verdict(error: &TokenError, kind: &ClientType) -> Finding {
    match error {
        TokenError::ErrorResponse(ErrorCode::InvalidGrant) => {
            CLIENT_AUTHENTICATION.passed(match kind {
                ClientType::Public => {
                    "the provider knows the client (asked with one token request, a made-up code)"
                }
                ClientType::Confidential { .. } => {
                    "the provider accepts the client's id and secret (asked with one token \
                     request, a made-up code)"
                }
            })
        }
        TokenError::ErrorResponse(ErrorCode::InvalidClient) => CLIENT_AUTHENTICATION.failed(
            match kind {
                ClientType::Public => "the provider does not know the client (invalid_client)",
                ClientType::Confidential { .. } => {
                    "the provider refuses the client's id or secret (invalid_client)"
                }
            },
            sentence(ErrorCode::InvalidClient.help()),
        ),
        TokenError::ErrorResponse(code) if code.is_retryable() => not_now(&told(error)),
        TokenError::ErrorResponse(code @ ErrorCode::Other(_)) => CLIENT_AUTHENTICATION.warning(
            format!("the provider answers {code}, which says nothing about the client"),
            sentence(code.help()),
        ),
        TokenError::ErrorResponse(code) => CLIENT_AUTHENTICATION.failed(
            format!("the provider refuses the client ({code})"),
            sentence(code.help()),
        ),
        TokenError::RateLimited { .. } => not_now("the provider takes no more requests now (429)"),
        TokenError::Unreachable(error) => {
            let (message, help) = no_answer(error);
            CLIENT_AUTHENTICATION.failed(format!("the token endpoint: {message}"), help)
        }
        TokenError::Status(status) if status.is_server_error() => not_now(&told(error)),
        TokenError::Status(_) => CLIENT_AUTHENTICATION.failed(
            told(error),
            "Check the issuer, and that nothing stands between this machine and the provider.",
        ),
        TokenError::Malformed => CLIENT_AUTHENTICATION.failed(
            "the token endpoint accepts a made-up code, and its answer is no token response (RFC \
             6749 section 5.1)",
            "Look what answers there: it may be the log-in page of a network or proxy instead of \
             the provider.",
        ),
        TokenError::NotBearer => gave_tokens(),
    }
}

fn not_now(message: &str) -> Finding {
    CLIENT_AUTHENTICATION.warning(
        format!("{message}, so nothing is known about the client"),
        "Try again in a minute.",
    )
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;
    use crate::{check::Status, config::Jar};

    #[test]
    fn each_answer_has_its_verdict() {
        let confidential = ClientType::Confidential {
            secret: "x".into(),
            jar: Jar::Hs256,
        };
        let refused = |code: &str| TokenError::ErrorResponse(code.into());
        for (error, status) in [
            (refused("invalid_grant"), Status::Passed),
            (refused("invalid_client"), Status::Failed),
            (refused("unauthorized_client"), Status::Failed),
            (refused("invalid_request"), Status::Failed),
            (refused("unsupported_grant_type"), Status::Failed),
            (refused("server_error"), Status::Warning),
            (refused("temporarily_unavailable"), Status::Warning),
            (refused("something_new"), Status::Warning),
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
        assert_eq!(gave_tokens().status, Status::Failed);
        // Who answers with a page gives nobody anything.
        let page = verdict(&TokenError::Malformed, &ClientType::Public);
        assert!(page.message.contains("no token response"), "{page:?}");
        assert!(page.help.unwrap().contains("what answers"));
        let tokens = verdict(&TokenError::NotBearer, &ClientType::Public);
        assert!(tokens.message.contains("gave tokens"), "{tokens:?}");
    }
}
