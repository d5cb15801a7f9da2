use std::time::Duration;

use http::StatusCode;
use url::Url;

use super::{
    access_token::{AccessTokenClaims, AccessTokenError, ExpectedAccessToken, check_claims},
    claims::Claims,
    error_code::ErrorCode,
    token::post_as,
};
use crate::{
    config::Client,
    http::{HttpClient, HttpError, HttpResponse},
    metric::Endpoint,
};

/// Error returned when the provider gives no verdict on a token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ValidationError {
    #[error("the token validation endpoint is unreachable")]
    Unreachable(#[source] HttpError),
    /// RFC 6749 section 5.2.
    #[error("the token validation endpoint responded with `{0}`; {help}", help = .0.help())]
    ErrorResponse(ErrorCode),
    #[error("the token validation endpoint responded with {status}")]
    Status {
        status: StatusCode,
        retry_after: Option<Duration>,
    },
    #[error(
        "the response of the token validation endpoint has neither `active` nor `valid`; check that \
         no proxy or captive portal responds in its place"
    )]
    Malformed,
}

impl ValidationError {
    /// Whether the endpoint may have a verdict later.
    #[cfg(feature = "check")]
    pub(crate) fn is_temporary(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::ErrorResponse(code) => code.is_retryable(),
            Self::Status { status, .. } => {
                status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS
            }
            Self::Malformed => false,
        }
    }

    /// How long the provider asks to wait.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// Asks the provider whether an access token is valid, and checks the claims in its answer.
///
/// Oten has not published the contract of this endpoint. This follows RFC 7662: the form has the
/// token and the client's credentials, and the answer has the verdict as `active` or `valid`, with
/// the claims beside it. A 401 without an error code is a verdict, too.
pub(crate) async fn validate_token(
    http: &HttpClient,
    endpoint: &Url,
    client: &Client,
    token: &str,
    expected: &ExpectedAccessToken<'_>,
) -> Result<Result<AccessTokenClaims, AccessTokenError>, ValidationError> {
    // The question changes nothing, so it may be asked again.
    let retry_on = HttpResponse::is_transient_failure;
    let form = [("token", token)];
    let request = post_as(client, Endpoint::Validation, endpoint, &form, retry_on);
    let response = http.send(&request).await;
    let response = response.map_err(ValidationError::Unreachable)?;
    match (response.status, ErrorCode::from_response(&response)) {
        (status, Some(code)) if !status.is_server_error() && code.as_str() == "invalid_token" => {
            return Ok(Err(AccessTokenError::Inactive));
        }
        // The client's credentials are wrong, which says nothing about the token.
        (status, Some(code)) if !status.is_success() => {
            return Err(ValidationError::ErrorResponse(code));
        }
        (StatusCode::UNAUTHORIZED, _) => return Ok(Err(AccessTokenError::Inactive)),
        (status, _) if !status.is_success() => {
            let retry_after = response.retry_after();
            return Err(ValidationError::Status {
                status,
                retry_after,
            });
        }
        _ => {}
    }
    let claims: Claims = response.json().ok_or(ValidationError::Malformed)?;
    let verdict = claims.get("active").or(claims.get("valid"));
    match verdict.and_then(serde_json::Value::as_bool) {
        Some(true) if is_other_kind(&claims) => Ok(Err(AccessTokenError::Kind)),
        Some(true) => Ok(check_claims(claims, expected)),
        Some(false) => Ok(Err(AccessTokenError::Inactive)),
        None => Err(ValidationError::Malformed),
    }
}

/// Whether a verdict says that it is about a refresh token or an ID token, which RFC 7662 lets a provider call
/// active, too. Providers name the kind in one of these members.
fn is_other_kind(verdict: &Claims) -> bool {
    ["token_type", "token_use", "typ"].iter().any(|name| {
        let kind = verdict.get(name).and_then(serde_json::Value::as_str);
        let kind = kind.unwrap_or_default().to_ascii_lowercase();
        matches!(
            &*kind,
            "id" | "id_token" | "offline" | "refresh" | "refresh_token"
        )
    })
}
