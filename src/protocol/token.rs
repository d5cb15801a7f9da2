use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;
use url::Url;

use super::{authorization_request::CodeVerifier, error_code::ErrorCode};
use crate::{
    audit::Reason,
    config::{Client, ClientType},
    http::{HttpClient, HttpError, HttpRequest, HttpResponse},
    metric::Endpoint,
    secret::{Secret, exposed},
};

/// The lifetime of Oten's access tokens, for a response without `expires_in`.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(3600);

/// Longer lifetimes of access tokens are shortened to this one.
const MAX_LIFETIME: Duration = Duration::from_secs(86_400);

/// The token endpoint, called on behalf of a client.
#[derive(Debug)]
pub(crate) struct TokenEndpoint<'a> {
    pub(crate) http: &'a HttpClient,
    pub(crate) url: &'a Url,
    pub(crate) client: &'a Client,
}

impl TokenEndpoint<'_> {
    /// Exchanges a code (RFC 6749 section 4.1.3) with its code verifier (RFC 7636 section 4.5).
    pub(crate) async fn exchange_code(
        &self,
        redirect_uri: &Url,
        code: &Secret,
        code_verifier: &CodeVerifier,
    ) -> Result<TokenResponse, TokenError> {
        self.request_tokens(&[
            ("grant_type", "authorization_code"),
            ("code", code.expose()),
            ("redirect_uri", redirect_uri.as_str()),
            ("code_verifier", code_verifier.expose()),
        ])
        .await
    }

    /// Exchanges a refresh token, which may be invalid afterwards (RFC 6749 section 6).
    pub(crate) async fn refresh(
        &self,
        refresh_token: &Secret,
    ) -> Result<TokenResponse, TokenError> {
        self.request_tokens(&[
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh_token.expose()),
        ])
        .await
    }

    async fn request_tokens(&self, grant: &[(&str, &str)]) -> Result<TokenResponse, TokenError> {
        let form = with_credentials(self.client, grant);
        let request = HttpRequest::post(Endpoint::Token, self.url, &form, was_not_processed);
        let response = self.http.send(&request).await;
        let response = response.map_err(TokenError::Unreachable)?;
        if let Some(error) = TokenError::from_response(&response) {
            return Err(error);
        }
        let tokens: TokenResponse = response.json().ok_or(TokenError::Malformed)?;
        if !tokens.token_type.eq_ignore_ascii_case("bearer") {
            return Err(TokenError::NotBearer);
        }
        if tokens.access_token.is_empty() {
            return Err(TokenError::Malformed);
        }
        Ok(tokens)
    }
}

/// A token response (RFC 6749 section 5.1). Its ID token is not verified yet.
#[derive(Debug, Deserialize)]
pub(crate) struct TokenResponse {
    #[serde(with = "exposed")]
    pub(crate) access_token: Secret,
    token_type: String,
    #[serde(default)]
    expires_in: Option<u64>,
    #[serde(default, deserialize_with = "non_empty")]
    pub(crate) refresh_token: Option<Secret>,
    #[serde(default, deserialize_with = "non_empty")]
    pub(crate) id_token: Option<Secret>,
    #[serde(default)]
    pub(crate) scope: Option<String>,
}

impl TokenResponse {
    /// The lifetime of the access token from now on.
    pub(crate) fn lifetime(&self) -> Duration {
        self.expires_in
            .map_or(DEFAULT_LIFETIME, Duration::from_secs)
            .min(MAX_LIFETIME)
    }
}

/// Error returned when a token request yields no tokens.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("the token endpoint is unreachable")]
    Unreachable(#[source] HttpError),
    /// RFC 6585 section 4.
    #[error("the token endpoint allows no more requests now (429)")]
    RateLimited { retry_after: Option<Duration> },
    /// RFC 6749 section 5.2.
    #[error("the token endpoint responded with `{0}` ({1}); {help}", help = .0.help())]
    ErrorResponse(ErrorCode, StatusCode),
    #[error("the token endpoint responded with {0} without an error code")]
    Status(StatusCode),
    /// RFC 6749 section 5.1.
    #[error(
        "the response of the token endpoint is not a token response; check that no proxy or \
         captive portal responds in its place"
    )]
    Malformed,
    /// RFC 6749 section 7.1.
    #[error("the `token_type` of the token response is not `Bearer`")]
    NotBearer,
}

impl TokenError {
    /// Returns `None` for a successful response. One with an error code is none: some servers send
    /// errors with 200.
    fn from_response(response: &HttpResponse) -> Option<Self> {
        let status = response.status;
        match ErrorCode::from_response(response) {
            Some(code) if code.ends_sign_in() => Some(Self::ErrorResponse(code, status)),
            _ if status == StatusCode::TOO_MANY_REQUESTS => Some(Self::RateLimited {
                retry_after: response.retry_after(),
            }),
            Some(code) => Some(Self::ErrorResponse(code, status)),
            None if status.is_success() => None,
            None => Some(Self::Status(status)),
        }
    }

    /// Whether the same request may succeed later without a change at the client or the provider's
    /// configuration. If not, the provider answered, but the client cannot use its answer.
    pub(crate) fn is_temporary(&self) -> bool {
        match self {
            Self::Unreachable(HttpError::TooLarge) | Self::Malformed | Self::NotBearer => false,
            Self::Unreachable(_) | Self::RateLimited { .. } => true,
            Self::ErrorResponse(code, status) => code.is_retryable() || status.is_server_error(),
            Self::Status(status) => status.is_server_error(),
        }
    }

    /// Returns the reason that events and error responses name.
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::Unreachable(_) => Reason::TokenEndpointDown,
            Self::RateLimited { .. } => Reason::TokenEndpointBusy,
            Self::ErrorResponse(code, _) => code.reason(),
            Self::Status(_) | Self::Malformed | Self::NotBearer => Reason::TokenResponse,
        }
    }
}

/// Adds the client's credentials to a form (`client_secret_post`, RFC 6749 section 2.3.1); a public
/// client sends its ID only.
pub(super) fn with_credentials<'a>(
    client: &'a Client,
    parameters: &[(&'a str, &'a str)],
) -> Vec<(&'a str, &'a str)> {
    let mut form = parameters.to_vec();
    form.push(("client_id", client.id()));
    if let ClientType::Confidential { secret, .. } = client.client_type() {
        form.push(("client_secret", secret.expose()));
    }
    form
}

/// Whether the response shows that the provider did not process the request. A 5xx without an error
/// code does not show that.
fn was_not_processed(response: &HttpResponse) -> bool {
    if response.status.is_success() {
        return false;
    }
    match TokenError::from_response(response) {
        Some(TokenError::RateLimited { .. }) => true,
        Some(TokenError::ErrorResponse(code, _)) => code.is_retryable(),
        _ => false,
    }
}

fn non_empty<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Secret>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.filter(|text| !text.is_empty()).map(Secret::from))
}
