use std::time::Duration;

use http::StatusCode;
use serde_json::Value;
use url::Url;

use super::{authorization_request::CodeVerifier, error_code::ErrorCode};
use crate::{
    audit::Reason,
    config::{AuthMethod, Client, ClientType},
    http::{HttpClient, HttpError, HttpRequest, HttpResponse, Members, UnusableMember},
    metric::Endpoint,
    secret::Secret,
};

/// The lifetime of Oten's access tokens, for a response without a usable `expires_in`.
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

    /// Requests an access token for the client itself (RFC 6749 section 4.4.2).
    pub(crate) async fn client_credentials(
        &self,
        scope: &str,
    ) -> Result<TokenResponse, TokenError> {
        let mut grant = vec![("grant_type", "client_credentials")];
        // An empty parameter counts as omitted (RFC 6749 section 3.2).
        grant.extend((!scope.is_empty()).then_some(("scope", scope)));
        self.request_tokens(&grant).await
    }

    async fn request_tokens(&self, grant: &[(&str, &str)]) -> Result<TokenResponse, TokenError> {
        let request = post_as(
            self.client,
            Endpoint::Token,
            self.url,
            grant,
            was_not_processed,
        );
        let response = self.http.send(&request).await;
        let response = response.map_err(TokenError::Unreachable)?;
        if let Some(error) = TokenError::from_response(&response) {
            return Err(error);
        }
        let tokens = TokenResponse::parse(response.body())?;
        self.http
            .warn_ignored("the token response", &tokens.ignored);
        Ok(tokens)
    }
}

/// A token response (RFC 6749 section 5.1). Its ID token is not verified yet.
#[derive(Debug)]
pub(crate) struct TokenResponse {
    pub(crate) access_token: Secret,
    /// The lifetime of the access token from now on.
    pub(crate) lifetime: Duration,
    pub(crate) refresh_token: Option<Secret>,
    pub(crate) id_token: Option<Secret>,
    pub(crate) scope: Option<String>,
    /// The optional members that cannot be used.
    ignored: Vec<&'static str>,
}

impl TokenResponse {
    pub(crate) fn parse(body: &[u8]) -> Result<Self, TokenError> {
        let mut members = Members::parse(body).ok_or(TokenError::Malformed)?;
        let required = |name| {
            let text = members.essential(name, non_empty)?;
            text.ok_or(UnusableMember(name))
        };
        if !required("token_type")?.eq_ignore_ascii_case("bearer") {
            return Err(TokenError::NotBearer);
        }
        Ok(Self {
            access_token: required("access_token")?.into(),
            lifetime: members
                .optional("expires_in", |value: Value| seconds(&value))
                .unwrap_or(DEFAULT_LIFETIME),
            refresh_token: members
                .optional("refresh_token", non_empty)
                .map(Secret::from),
            id_token: members.optional("id_token", non_empty).map(Secret::from),
            scope: members.optional("scope", non_empty),
            ignored: members.take_ignored(),
        })
    }
}

fn non_empty(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

/// Returns the seconds in a number or a string. They are not ignored, because a token that is assumed to
/// live longer than it does is useless to the app.
fn seconds(value: &Value) -> Option<Duration> {
    let number = value.as_f64();
    let seconds = number.or_else(|| value.as_str()?.parse().ok())?;
    (seconds >= 0.0).then(|| Duration::from_secs_f64(seconds.min(MAX_LIFETIME.as_secs_f64())))
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
    /// RFC 6749 section 5.1.
    #[error("the `{0}` of the token response is missing or has an unusable value")]
    InvalidMember(&'static str),
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
            Self::Unreachable(HttpError::TooLarge)
            | Self::Malformed
            | Self::InvalidMember(_)
            | Self::NotBearer => false,
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
            Self::Status(_) | Self::Malformed | Self::InvalidMember(_) | Self::NotBearer => {
                Reason::TokenResponse
            }
        }
    }
}

impl From<UnusableMember> for TokenError {
    fn from(UnusableMember(name): UnusableMember) -> Self {
        Self::InvalidMember(name)
    }
}

/// Returns a request that posts a form with the client's credentials, in the one place that is configured
/// (RFC 6749 section 2.3.1); a public client sends its ID only.
pub(super) fn post_as<'a>(
    client: &Client,
    endpoint: Endpoint,
    url: &'a Url,
    parameters: &[(&str, &str)],
    retry_on: fn(&HttpResponse) -> bool,
) -> HttpRequest<'a> {
    let post = |form: &[(&str, &str)]| HttpRequest::post(endpoint, url, form, retry_on);
    let id = ("client_id", client.id());
    match client.client_type() {
        ClientType::Public => post(&[parameters, &[id]].concat()),
        ClientType::Confidential {
            secret,
            auth_method,
            ..
        } => match auth_method {
            AuthMethod::ClientSecretPost => {
                let secret = ("client_secret", secret.expose());
                post(&[parameters, &[id, secret]].concat())
            }
            AuthMethod::ClientSecretBasic => post(parameters).with_basic(client.id(), secret),
        },
    }
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse_with(name: &str, value: &Value) -> Result<TokenResponse, TokenError> {
        let mut response = json!({ "access_token": "token", "token_type": "Bearer" });
        response[name] = value.clone();
        TokenResponse::parse(response.to_string().as_bytes())
    }

    fn error(code: &str) -> String {
        json!({ "error": code }).to_string()
    }

    #[test]
    fn l5_an_error_response_says_whether_a_refresh_may_succeed_later() {
        for (status, body, is_temporary) in [
            (400, error("invalid_grant"), false),
            (500, error("invalid_client"), true),
            (400, error("invalid_client"), false),
            (400, error("temporarily_unavailable"), true),
            (200, error("server_error"), true),
            (429, error("slow_down"), true),
            (429, String::new(), true),
            (503, String::new(), true),
            (404, error(""), false),
        ] {
            let failed = TokenError::from_response(&HttpResponse::of(status, &body));
            assert_eq!(
                failed.unwrap().is_temporary(),
                is_temporary,
                "{status} {body}"
            );
        }
        assert!(TokenError::from_response(&HttpResponse::of(200, "{}")).is_none());
        // A refusal with 429 ends the session nevertheless.
        let refused = TokenError::from_response(&HttpResponse::of(429, &error("invalid_grant")));
        assert!(matches!(
            refused,
            Some(TokenError::ErrorResponse(ErrorCode::InvalidGrant, _))
        ));
        let busy = TokenError::from_response(&HttpResponse::of(429, &error("slow_down")));
        assert!(matches!(busy, Some(TokenError::RateLimited { .. })));
    }

    #[test]
    fn l2_only_a_request_that_was_not_processed_is_repeated() {
        for (status, body, expected) in [
            (429, String::new(), true),
            (503, error("temporarily_unavailable"), true),
            (503, String::new(), false),
            (400, error("invalid_client"), false),
            (200, error("server_error"), false),
            (200, "{}".to_owned(), false),
        ] {
            let response = HttpResponse::of(status, &body);
            assert_eq!(was_not_processed(&response), expected, "{status} {body}");
        }
    }

    #[test]
    fn p1_the_lifetime_is_read_or_ignored() {
        for (value, millis) in [
            (json!(300), 300_000),
            (json!(0), 0),
            (json!(59.5), 59_500),
            (json!("300"), 300_000),
            (json!("59.5"), 59_500),
            (json!(86_401), 86_400_000),
            (json!(u64::MAX), 86_400_000),
            (json!(1e300), 86_400_000),
        ] {
            let response = parse_with("expires_in", &value).unwrap();
            assert_eq!(response.lifetime.as_millis(), millis, "{value}");
            assert_eq!(response.ignored, [""; 0], "{value}");
        }
        for value in [
            json!(null),
            json!(-1),
            json!(-0.5),
            json!(""),
            json!("-1"),
            json!("soon"),
            json!("NaN"),
            json!(true),
            json!([300]),
            json!({}),
        ] {
            let response = parse_with("expires_in", &value).unwrap();
            assert_eq!(response.lifetime, DEFAULT_LIFETIME, "{value}");
            assert_eq!(response.ignored, ["expires_in"], "{value}");
        }
        let beyond = br#"{"access_token":"token","token_type":"Bearer","expires_in":1e400}"#;
        let response = TokenResponse::parse(beyond).unwrap();
        assert_eq!(response.lifetime, DEFAULT_LIFETIME);
    }

    #[test]
    fn p1_unusable_optional_members_are_ignored_and_named() {
        for name in ["refresh_token", "id_token", "scope"] {
            for value in [
                json!(null),
                json!(""),
                json!(5),
                json!(["a", "b"]),
                json!({}),
            ] {
                let response = parse_with(name, &value).unwrap();
                assert_eq!(response.ignored, [name], "{value}");
                assert!(response.refresh_token.is_none() && response.id_token.is_none());
                assert_eq!(response.scope, None);
            }
        }
    }

    #[test]
    fn p1_unusable_required_members_are_rejected_and_named() {
        for name in ["access_token", "token_type"] {
            for value in [
                json!(null),
                json!(""),
                json!(5),
                json!(["Bearer"]),
                json!({}),
            ] {
                let rejected = parse_with(name, &value);
                assert!(
                    matches!(rejected, Err(TokenError::InvalidMember(named)) if named == name),
                    "{name}: {value}"
                );
            }
        }
        for (token_type, accepted) in [("bearer", true), ("BEARER", true), ("DPoP", false)] {
            let response = parse_with("token_type", &json!(token_type));
            assert_eq!(response.is_ok(), accepted, "{token_type}");
        }
    }
}
