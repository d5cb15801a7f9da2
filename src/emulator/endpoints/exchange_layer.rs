use std::sync::Arc;

use axum::{
    body::{Body, to_bytes},
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, Method, StatusCode, header};
use serde_json::{Map, Value};
use url::Url;

use crate::emulator::{
    exchanges::{Exchange, ExchangedValue, METHODS, keep, parse},
    faults::Endpoint,
    state::Core,
};

/// The maximum size of a message that is read, in bytes. Those of the emulator are smaller.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// Keeps the messages of an emulator that was built with
/// [`record_exchanges`](super::EmulatorBuilder::record_exchanges).
pub(super) async fn record(
    State(core): State<Arc<Core>>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path().to_owned();
    if core.settings.recorded_exchanges == 0 || !is_message(&core, request.method(), &path) {
        return next.run(request).await;
    }
    let time = core.clock().now();
    let method = request.method().clone();
    let query = request.uri().query().unwrap_or_default().to_owned();
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MAX_BODY_BYTES).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let mut sent = parse(query.as_bytes());
    sent.extend(parse(&body));
    let response = next.run(Request::from_parts(parts, Body::from(body))).await;
    let status = response.status();
    let (response, answered) = match redirect_parameters(response.headers()) {
        None if path == core.path_of(Endpoint::Token) => token_response(response).await,
        answered => (response, answered.unwrap_or_default()),
    };
    core.add_exchange(Exchange {
        time,
        method: Some(method),
        path,
        request: sent,
        status: Some(status),
        response: answered,
    });
    response
}

/// Whether a request is part of the protocol, or the user's decision.
fn is_message(core: &Core, method: &Method, path: &str) -> bool {
    let endpoints = [
        Endpoint::Discovery,
        Endpoint::Jwks,
        Endpoint::Authorization,
        Endpoint::Token,
        Endpoint::Userinfo,
        Endpoint::Validation,
        Endpoint::EndSession,
        Endpoint::Revocation,
    ];
    let is_decision = ["/v1/oauth/login", "/v1/oauth/consent"].contains(&path);
    let is_endpoint = |endpoint: &Endpoint| core.path_of(*endpoint) == path;
    METHODS.contains(method) && endpoints.iter().any(is_endpoint)
        || is_decision && *method == Method::POST
}

/// Returns the parameters of the URL in `Location`. `None` without a redirect.
fn redirect_parameters(headers: &HeaderMap) -> Option<Vec<(String, ExchangedValue)>> {
    let location = headers.get(header::LOCATION)?.to_str().ok()?;
    let base = Url::parse("http://emulator.invalid").ok()?;
    let url = base.join(location).ok()?;
    Some(parse(url.query().unwrap_or_default().as_bytes()))
}

/// Returns the response and the members of its JSON.
async fn token_response(response: Response) -> (Response, Vec<(String, ExchangedValue)>) {
    let (parts, body) = response.into_parts();
    // The fault with a large body exceeds the limit.
    let Ok(body) = to_bytes(body, usize::MAX).await else {
        return (
            StatusCode::INTERNAL_SERVER_ERROR.into_response(),
            Vec::new(),
        );
    };
    let members = serde_json::from_slice::<Map<String, Value>>(&body).unwrap_or_default();
    let members = members.into_iter().map(|(name, value)| match value {
        Value::String(text) => (name, text),
        value => (name, value.to_string()),
    });
    let members = keep(members);
    (Response::from_parts(parts, body.into()), members)
}
