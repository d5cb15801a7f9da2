//! The routes of the emulator.

pub(crate) mod authorize;
mod discovery;
pub(crate) mod end_session;
mod exchange_layer;
pub(crate) mod fault_layer;
mod response;
pub(crate) mod sign_in;
mod token;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::to_bytes,
    extract::{DefaultBodyLimit, State},
    middleware::{from_fn_with_state, map_response_with_state},
    response::Response,
    routing::{MethodRouter, get, post},
};
use http::header;

use self::response::http_date;
use super::{
    faults::{Deviation, Endpoint},
    state::Core,
};

const MAX_BODY_BYTES: usize = 64 * 1024;

/// Returns all routes, relative to the issuer.
pub(crate) fn router<S: Clone + Send + Sync + 'static>(core: &Arc<Core>) -> Router<S> {
    let endpoints: [(Endpoint, MethodRouter<Arc<Core>>); 8] = [
        (Endpoint::Discovery, get(discovery::discovery)),
        (Endpoint::Jwks, get(discovery::jwks)),
        (Endpoint::Authorization, get(authorize::authorize)),
        (Endpoint::Token, post(token::token)),
        (Endpoint::Userinfo, get(token::userinfo)),
        (Endpoint::Validation, post(token::validate)),
        (
            Endpoint::EndSession,
            get(end_session::get).post(end_session::post),
        ),
        (Endpoint::Revocation, post(token::revoke)),
    ];
    let mut router = Router::new()
        .route("/v1/oauth/logout/confirm", post(end_session::confirm))
        .route("/v1/oauth/interaction", get(sign_in::show))
        .route("/v1/oauth/login", post(sign_in::login))
        .route("/v1/oauth/consent", post(sign_in::consent))
        .route("/v1/oauth/sign-out", post(sign_in::sign_out))
        .route("/", get(sign_in::front));
    for (endpoint, route) in endpoints {
        let state = (Arc::clone(core), endpoint);
        let layer = from_fn_with_state(state, fault_layer::count_and_fail);
        router = router.route(core.path_of(endpoint), route.layer(layer));
    }
    router
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(from_fn_with_state(
            Arc::clone(core),
            fault_layer::unavailable_while_stopped,
        ))
        .layer(map_response_with_state(Arc::clone(core), mark_json))
        .layer(from_fn_with_state(Arc::clone(core), exchange_layer::record))
        .layer(map_response_with_state(Arc::clone(core), set_date))
        .with_state(Arc::clone(core))
}

/// Applies [`Deviation::ByteOrderMark`].
async fn mark_json(core: State<Arc<Core>>, response: Response) -> Response {
    let content_type = response.headers().get(header::CONTENT_TYPE);
    let is_json = content_type.is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    if !is_json || !core.state().deviations.contains(&Deviation::ByteOrderMark) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    let json = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let marked = [b"\xef\xbb\xbf", &json[..]].concat();
    Response::from_parts(parts, marked.into())
}

/// Sets `Date` (RFC 9110 section 6.6.1) from the emulator's clock, which may differ from the
/// system's.
async fn set_date<B>(core: State<Arc<Core>>, mut response: Response<B>) -> Response<B> {
    let date = http_date(&core, Duration::ZERO);
    response.headers_mut().insert(header::DATE, date);
    response
}
