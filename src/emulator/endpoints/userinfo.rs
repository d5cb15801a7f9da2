use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, header};
use serde_json::Value;

use super::response::json_response;
use crate::emulator::{faults::Deviation, state::Core};

/// The userinfo endpoint (OpenID Connect Core section 5.3). It accepts the token only in the header
/// (RFC 6750 section 2.1).
pub(super) async fn userinfo(State(core): State<Arc<Core>>, headers: HeaderMap) -> Response {
    let Some(token) = bearer(&headers) else {
        return unauthorized(r#"Bearer realm="oten""#);
    };
    let state = core.state();
    let Some(token) = state.access_token(token) else {
        return unauthorized(r#"Bearer realm="oten", error="invalid_token""#);
    };
    let mut claims = token.grant.user.claims(&token.scope);
    for deviation in &state.deviations {
        if let Deviation::UserinfoClaim(name, value) = deviation {
            claims.insert((*name).to_owned(), value.clone());
        }
    }
    json_response(StatusCode::OK, &Value::Object(claims))
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("Bearer").then_some(token)
}

fn unauthorized(challenge: &'static str) -> Response {
    let headers = [(header::WWW_AUTHENTICATE, challenge)];
    (StatusCode::UNAUTHORIZED, headers).into_response()
}
