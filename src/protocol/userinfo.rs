use std::{error::Error, sync::Arc, time::Duration};

use http::StatusCode;
use serde_json::{Map, Value};

use super::claims::{Claims, InvalidClaim, LEEWAY, verify_signature};
use crate::{
    http::HttpRequest,
    jose::{JoseError, Verified},
    metric::Endpoint,
    provider::{Provider, ProviderError, ProviderMetadata, TokenOrigin},
    secret::Secret,
};

/// The claims of a signed response that concern the response and not the user.
const PROTOCOL_CLAIMS: [&str; 6] = ["iss", "aud", "exp", "iat", "nbf", "jti"];

/// Error returned when the userinfo endpoint gives no claims about the signed-in user. It names the
/// claim and never quotes its value.
///
/// Sections are those of OpenID Connect Core.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UserInfoError {
    /// The user has signed out since the access token was extracted.
    #[error("the user is no longer signed in")]
    SignedOut,
    /// The provider has no userinfo endpoint.
    #[error("the provider announces no userinfo endpoint (`userinfo_endpoint`)")]
    NoEndpoint,
    /// The provider's metadata or keys are unavailable.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// The endpoint did not respond.
    #[error("the userinfo endpoint is unreachable")]
    Unreachable(#[source] Arc<dyn Error + Send + Sync>),
    /// The provider allows no more requests with this token now (RFC 6585 section 4).
    #[error("the userinfo endpoint allows no more requests with this token now (429)")]
    RateLimited {
        /// How long the provider asks to wait.
        retry_after: Option<Duration>,
    },
    /// The endpoint rejects the access token (section 5.3.3): it was revoked or lacks a scope.
    #[error("the userinfo endpoint rejects the access token ({0})")]
    Rejected(StatusCode),
    /// The endpoint responded with another status than 200.
    #[error("the userinfo endpoint responded with {0}")]
    Status(StatusCode),
    /// The response is neither JSON nor a signed JWT (section 5.3.2).
    #[error(
        "the response of the userinfo endpoint is neither JSON nor a signed JWT; check that no proxy \
         or captive portal responds in its place"
    )]
    Malformed,
    /// The signature is invalid (section 5.3.4).
    #[error("the signed userinfo response is rejected")]
    Jose(#[from] JoseError),
    /// A claim is missing, has the wrong type or the wrong value (sections 5.3.2 and 5.3.4).
    #[error("the `{0}` of the userinfo response is missing or wrong")]
    Claim(&'static str),
    /// The response is about another user (section 5.3.2).
    #[error("the `sub` of the userinfo response is another user's")]
    Subject,
}

impl UserInfoError {
    /// How long to wait before the next request, if the provider asks for it.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after } => *retry_after,
            Self::Provider(error) => error.retry_after(),
            _ => None,
        }
    }
}

impl From<InvalidClaim> for UserInfoError {
    fn from(InvalidClaim(name): InvalidClaim) -> Self {
        Self::Claim(name)
    }
}

/// Requests the claims about a user (OpenID Connect Core section 5.3). They must be about `subject`.
pub(crate) async fn fetch_userinfo(
    provider: &Provider,
    client_id: &str,
    token: &Secret,
    subject: &str,
    now: i64,
) -> Result<Map<String, Value>, UserInfoError> {
    let metadata = provider.metadata().await?;
    let endpoint = metadata.userinfo_endpoint();
    let endpoint = endpoint.ok_or(UserInfoError::NoEndpoint)?;
    let request = HttpRequest::get_with_token(Endpoint::Userinfo, endpoint, token);
    let response = provider.http().send(&request).await;
    let response = response.map_err(|error| UserInfoError::Unreachable(Arc::new(error)))?;
    let status = response.status;
    match status {
        StatusCode::OK => {}
        StatusCode::TOO_MANY_REQUESTS => {
            let retry_after = response.retry_after();
            return Err(UserInfoError::RateLimited { retry_after });
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            return Err(UserInfoError::Rejected(status));
        }
        _ => return Err(UserInfoError::Status(status)),
    }
    let claims = if response.is_media_type("application/jwt") {
        let jwt = std::str::from_utf8(response.body()).map_err(|_| UserInfoError::Malformed)?;
        let origin = TokenOrigin::ProviderResponse;
        let verified =
            verify_signature::<UserInfoError>(provider, &metadata, jwt.trim(), origin).await?;
        check_signed(verified, &metadata, client_id, now)?
    } else if response.is_media_type("application/json") {
        response.json().ok_or(UserInfoError::Malformed)?
    } else {
        return Err(UserInfoError::Malformed);
    };
    if claims.required_string("sub")? != subject {
        return Err(UserInfoError::Subject);
    }
    Ok(claims.into_all_but(&PROTOCOL_CLAIMS))
}

/// Checks that a signed JWT is a userinfo response to this client (OpenID Connect Core sections 5.3.2
/// and 5.3.4), and no logout token or access token, which name this client, too.
fn check_signed(
    verified: Verified<Claims>,
    metadata: &ProviderMetadata,
    client_id: &str,
    now: i64,
) -> Result<Claims, UserInfoError> {
    let is_userinfo = matches!(
        verified.typ().as_deref(),
        None | Some("jwt" | "userinfo+jwt")
    );
    let claims = verified.into_claims();
    if !is_userinfo || claims.has("events") {
        return Err(UserInfoError::Malformed);
    }
    if claims.required_string("iss")? != metadata.issuer() {
        return Err(UserInfoError::Claim("iss"));
    }
    if !claims.is_for_any(&[client_id.to_owned()])? {
        return Err(UserInfoError::Claim("aud"));
    }
    let (earliest, latest) = (now.saturating_sub(LEEWAY), now.saturating_add(LEEWAY));
    if claims.date("exp")?.is_some_and(|exp| exp <= earliest) {
        return Err(UserInfoError::Claim("exp"));
    }
    for name in ["nbf", "iat"] {
        if claims.date(name)?.is_some_and(|date| date > latest) {
            return Err(UserInfoError::Claim(name));
        }
    }
    Ok(claims)
}
