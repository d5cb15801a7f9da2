use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, header};

use super::{
    core::Core,
    token::{TokenError, authenticate, error_response, find_client, read_form, required},
};

/// The revocation endpoint (RFC 7009). `token_type_hint` is taken and not needed: every token is
/// looked up everywhere.
pub(super) async fn revoke(
    State(core): State<Arc<Core>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    match take_back(&core, &headers, &body) {
        Ok(()) => (StatusCode::OK, [(header::CACHE_CONTROL, "no-store")]).into_response(),
        Err((error, description)) => error_response(error, &description),
    }
}

fn take_back(core: &Core, headers: &HeaderMap, body: &[u8]) -> Result<(), TokenError> {
    let form = read_form(headers, body)?;
    let client = find_client(core, headers, &form)?;
    authenticate(client, &form)?;
    let token = required(&form, "token")?;
    let id = &client.registered.id;
    let revoked = core.state().grants.revoke(token, id, core.now());
    revoked.map_err(|description| ("invalid_grant", description.to_owned()))
}
