use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;
use url::Url;

use super::{CodeVerifier, ErrorCode, credentials::with_credentials};
use crate::{
    audit::Reason,
    config::Client,
    http::{Answer, Call, HttpClient, HttpError},
    metric::Endpoint,
    secret::{Secret, exposed},
};

/// A successful answer of the token endpoint (RFC 6749 section 5.1), nothing in it verified yet.
#[derive(Debug, Deserialize)]
pub(crate) struct TokenResponse {
    #[serde(with = "exposed")]
    pub(crate) access_token: Secret,
    token_type: String,
    #[serde(default)]
    expires_in: Option<u64>,
    #[serde(default, deserialize_with = "optional_secret")]
    pub(crate) refresh_token: Option<Secret>,
    #[serde(default, deserialize_with = "optional_secret")]
    pub(crate) id_token: Option<Secret>,
    #[serde(default)]
    pub(crate) scope: Option<String>,
}

/// Oten's documented lifetime of an access token, for an answer that does not say.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(3600);

/// An access token that claims to live longer is not believed.
const MAX_LIFETIME: Duration = Duration::from_secs(86_400);

impl TokenResponse {
    /// How long the access token lives from now on.
    pub(crate) fn lifetime(&self) -> Duration {
        self.expires_in
            .map_or(DEFAULT_LIFETIME, Duration::from_secs)
            .min(MAX_LIFETIME)
    }
}

/// Why there are no tokens.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("the token endpoint could not be asked")]
    Unreachable(#[source] HttpError),
    #[error("the token endpoint is busy (429)")]
    Busy { retry_after: Option<Duration> },
    #[error("the token endpoint refused: {0}; {help}", help = .0.help())]
    Refused(ErrorCode),
    #[error("the token endpoint answered {0} without an error code")]
    Status(StatusCode),
    #[error("the token endpoint's answer is not a token response (RFC 6749 section 5.1)")]
    Malformed,
    #[error("the token endpoint's `token_type` is not `Bearer`")]
    NotBearer,
}

impl TokenError {
    /// Returns the reason that events and answers name.
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::Unreachable(_) => Reason::TokenEndpointDown,
            Self::Busy { .. } => Reason::TokenEndpointBusy,
            Self::Refused(code) => code.reason(),
            Self::Status(_) | Self::Malformed | Self::NotBearer => Reason::TokenResponse,
        }
    }
}

/// Exchanges a code (RFC 6749 section 4.1.3) with its verifier (RFC 7636 section 4.5).
pub(crate) async fn exchange_code(
    http: &HttpClient,
    token_endpoint: &Url,
    client: &Client,
    redirect_uri: &Url,
    code: &Secret,
    code_verifier: &CodeVerifier,
) -> Result<TokenResponse, TokenError> {
    let grant = [
        ("grant_type", "authorization_code"),
        ("code", code.expose()),
        ("redirect_uri", redirect_uri.as_str()),
        ("code_verifier", code_verifier.expose()),
    ];
    request_tokens(http, token_endpoint, client, &grant).await
}

/// Exchanges a refresh token (RFC 6749 section 6). It may be worth nothing afterwards.
pub(crate) async fn refresh_tokens(
    http: &HttpClient,
    token_endpoint: &Url,
    client: &Client,
    refresh_token: &Secret,
) -> Result<TokenResponse, TokenError> {
    let grant = [
        ("grant_type", "refresh_token"),
        ("refresh_token", refresh_token.expose()),
    ];
    request_tokens(http, token_endpoint, client, &grant).await
}

/// One token request: the grant, and the client's credentials.
async fn request_tokens(
    http: &HttpClient,
    token_endpoint: &Url,
    client: &Client,
    grant: &[(&str, &str)],
) -> Result<TokenResponse, TokenError> {
    let form = with_credentials(client, grant);
    let call = Call::post(Endpoint::Token, token_endpoint, &form, was_not_acted_on);
    let answer = http.send(&call).await.map_err(TokenError::Unreachable)?;
    if !answer.status.is_success() {
        return Err(refusal(&answer));
    }
    let tokens: TokenResponse = answer.json().ok_or(TokenError::Malformed)?;
    if !tokens.token_type.eq_ignore_ascii_case("bearer") {
        return Err(TokenError::NotBearer);
    }
    if tokens.access_token.is_empty() {
        return Err(TokenError::Malformed);
    }
    Ok(tokens)
}

/// Whether the provider says that it did nothing with the request: it had no time for it (429), or
/// one of the codes that may be repeated. A bare 5xx says nothing about what was done.
fn was_not_acted_on(answer: &Answer) -> bool {
    match refusal(answer) {
        _ if answer.status.is_success() => false,
        TokenError::Busy { .. } => true,
        TokenError::Refused(code) => code.is_retryable(),
        _ => false,
    }
}

fn refusal(answer: &Answer) -> TokenError {
    if answer.status == StatusCode::TOO_MANY_REQUESTS {
        return TokenError::Busy {
            retry_after: answer.retry_after,
        };
    }
    match ErrorCode::of(answer) {
        Some(code) => TokenError::Refused(code),
        None => TokenError::Status(answer.status),
    }
}

fn optional_secret<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Secret>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.filter(|text| !text.is_empty()).map(Secret::from))
}
