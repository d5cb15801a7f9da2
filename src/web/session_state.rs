use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::{
    context::RequestContext,
    error::Error,
    rejection::ErrorResponse,
    response::{JSON, uncached_json},
};
use crate::{config::route, session::User};

/// `GET /session`: describes the session to a script.
pub(super) async fn get(context: &RequestContext, claims: &[String]) -> Response {
    context.session.keep_expiry();
    let signed_in = context.signed_in().await;
    let signed_in = match signed_in.and_then(|signed_in| signed_in.ok_or(Error::NotSignedIn)) {
        Ok(signed_in) => signed_in,
        Err(error) => return ErrorResponse::new(context, error).into_response(),
    };
    let expires_in = context.session.expires_in().unwrap_or_default();
    let state = &context.state;
    let body = json!({
        "user": listed(signed_in.user(), claims),
        "expires_in": expires_in.as_secs(),
        "login_url": state.path(route::LOGIN),
        "logout_url": state.path(route::LOGOUT),
    });
    uncached_json(JSON, &body)
}

fn listed(user: &User, claims: &[String]) -> Map<String, Value> {
    let claim = |name: &String| match name.as_str() {
        "sub" => Some(user.subject().into()),
        other => user.claim(other).cloned(),
    };
    let named = claims
        .iter()
        .filter_map(|name| Some((name.clone(), claim(name)?)));
    named.collect()
}
