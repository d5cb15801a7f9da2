use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, header};
use serde_json::Value;

use super::{Deviation, core::Core, token::json_response};

/// The userinfo endpoint (OpenID Connect Core section 5.3). The token comes in the header only
/// (RFC 6750 section 2.1).
pub(super) async fn userinfo(State(core): State<Arc<Core>>, headers: HeaderMap) -> Response {
    let Some(token) = bearer(&headers) else {
        return unauthorized(r#"Bearer realm="oten""#);
    };
    let state = core.state();
    let live = state
        .grants
        .access_token(token, core.now())
        .filter(|token| !state.disabled_users.contains(token.grant.user.sub));
    let Some(token) = live else {
        return unauthorized(r#"Bearer realm="oten", error="invalid_token""#);
    };
    let mut claims = token.grant.user.claims(&token.scope);
    for lie in &state.lies {
        if let Deviation::UserinfoClaim(name, value) = lie {
            claims.insert((*name).to_owned(), value.clone());
        }
    }
    json_response(StatusCode::OK, &Value::Object(claims))
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?
        .split_once(' ')?;
    scheme.eq_ignore_ascii_case("Bearer").then_some(token)
}

fn unauthorized(challenge: &'static str) -> Response {
    let headers = [(header::WWW_AUTHENTICATE, challenge)];
    (StatusCode::UNAUTHORIZED, headers).into_response()
}
