use http::StatusCode;
use url::Url;

use super::{ErrorCode, credentials::with_credentials};
use crate::{
    config::Client,
    http::{Answer, Call, HttpClient, HttpError},
    metric::Endpoint,
    secret::Secret,
};

/// Why a token was not revoked, or may not have been.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RevocationError {
    #[error("the revocation endpoint could not be asked")]
    Unreachable(#[source] HttpError),
    #[error("the revocation endpoint refused: {0}; {help}", help = .0.help())]
    Refused(ErrorCode),
    #[error("the revocation endpoint answered {0} without an error code")]
    Status(StatusCode),
}

/// Tells the provider that a refresh token is needed no more (RFC 7009 section 2.1); the access
/// tokens that came from it go with it. A token that is worth nothing already is no error.
pub(crate) async fn revoke_refresh_token(
    http: &HttpClient,
    revocation_endpoint: &Url,
    client: &Client,
    refresh_token: &Secret,
) -> Result<(), RevocationError> {
    let form = with_credentials(
        client,
        &[
            ("token", refresh_token.expose()),
            ("token_type_hint", "refresh_token"),
        ],
    );
    let call = Call::post(Endpoint::Revocation, revocation_endpoint, &form, may_pass);
    let answer = http.send(&call).await;
    let answer = answer.map_err(RevocationError::Unreachable)?;
    if answer.status.is_success() {
        return Ok(());
    }
    Err(match ErrorCode::of(&answer) {
        Some(code) => RevocationError::Refused(code),
        None => RevocationError::Status(answer.status),
    })
}

/// Revoking twice is revoking once: whatever may pass is tried again (section 2.2.1).
fn may_pass(answer: &Answer) -> bool {
    answer.status.is_server_error() || answer.status == StatusCode::TOO_MANY_REQUESTS
}
