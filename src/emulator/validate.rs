use std::sync::Arc;

use axum::{body::Bytes, extract::State, response::Response};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::{
    core::Core,
    form::Form,
    token::{authenticate, error_response, find_client, json_response, read_form, required},
};

/// The token validation endpoint. Oten has not published its contract; this one takes a form and
/// answers in the manner of RFC 7662, with 401 for a token that is not valid.
pub(super) async fn validate(
    State(core): State<Arc<Core>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let form = read_form(&headers, &body).and_then(|form| {
        authenticate(find_client(&core, &headers, &form)?, &form)?;
        required(&form, "token")?;
        Ok(form)
    });
    match form {
        Err((error, description)) => error_response(error, &description),
        Ok(form) => match verdict(&core, &form) {
            Some(claims) => json_response(StatusCode::OK, &claims),
            None => json_response(StatusCode::UNAUTHORIZED, &json!({ "active": false })),
        },
    }
}

fn verdict(core: &Core, form: &Form) -> Option<Value> {
    let state = core.state();
    let token = state.grants.access_token(form.get("token")?, core.now())?;
    if state.disabled_users.contains(token.grant.user.sub) {
        return None;
    }
    Some(json!({
        "active": true,
        "iss": core.issuer,
        "sub": token.grant.user.sub,
        "aud": token.grant.client_id,
        "client_id": token.grant.client_id,
        "token_type": "Bearer",
        "scope": token.scope,
        "iat": token.issued_at,
        "exp": token.expires_at,
    }))
}
