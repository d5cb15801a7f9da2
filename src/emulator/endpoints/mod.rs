//! The routes of the emulator.

pub(crate) mod authorize;
mod discovery;
pub(crate) mod end_session;
pub(crate) mod fault_layer;
mod response;
pub(crate) mod sign_in;
mod token;

use std::{
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use axum::{
    Router,
    extract::{DefaultBodyLimit, State},
    middleware::{from_fn_with_state, map_response_with_state},
    response::Response,
    routing::{MethodRouter, get, post},
};
use http::{HeaderValue, header};

use super::{faults::Endpoint, state::Core};

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
        router = router.route(endpoint.path(), route.layer(layer));
    }
    router
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(from_fn_with_state(
            Arc::clone(core),
            fault_layer::unavailable_while_stopped,
        ))
        .layer(map_response_with_state(Arc::clone(core), set_date))
        .with_state(Arc::clone(core))
}

/// Sets `Date` (RFC 9110 section 6.6.1) from the emulator's clock, which may differ from the
/// system's.
async fn set_date<B>(core: State<Arc<Core>>, mut response: Response<B>) -> Response<B> {
    let seconds = u64::try_from(core.now()).unwrap_or_default();
    let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds));
    if let Ok(date) = HeaderValue::from_str(&date) {
        response.headers_mut().insert(header::DATE, date);
    }
    response
}
