use http::StatusCode;
use url::Url;

use super::{error_code::ErrorCode, token::post_as};
use crate::{
    config::Client,
    http::{HttpClient, HttpError, HttpResponse},
    metric::Endpoint,
    secret::Secret,
};

/// Error returned when a token may not have been revoked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RevocationError {
    #[error("the revocation endpoint is unreachable")]
    Unreachable(#[source] HttpError),
    /// RFC 7009 section 2.2.1.
    #[error("the revocation endpoint responded with `{0}`; {help}", help = .0.help())]
    ErrorResponse(ErrorCode),
    #[error("the revocation endpoint responded with {0} without an error code")]
    Status(StatusCode),
}

/// Revokes a refresh token, and with it the access tokens issued for it (RFC 7009 section 2.1).
/// Revoking an invalid token succeeds.
pub(crate) async fn revoke_refresh_token(
    http: &HttpClient,
    revocation_endpoint: &Url,
    client: &Client,
    refresh_token: &Secret,
) -> Result<(), RevocationError> {
    let form = [
        ("token", refresh_token.expose()),
        ("token_type_hint", "refresh_token"),
    ];
    // A repeated revocation is harmless.
    let retry_on = HttpResponse::is_transient_failure;
    let endpoint = Endpoint::Revocation;
    let request = post_as(client, endpoint, revocation_endpoint, &form, retry_on);
    let response = http.send(&request).await;
    let response = response.map_err(RevocationError::Unreachable)?;
    if response.status.is_success() {
        return Ok(());
    }
    Err(match ErrorCode::from_response(&response) {
        Some(code) => RevocationError::ErrorResponse(code),
        None => RevocationError::Status(response.status),
    })
}
