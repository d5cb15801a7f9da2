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

use super::{
    Endpoint, authorize,
    core::Core,
    discovery, end_session,
    fault_layer::{count_and_fail, refuse_while_stopped},
    revocation, token, userinfo, validate,
};

/// No form of ours is longer, in bytes.
const MAX_BODY: usize = 64 * 1024;

/// All routes, relative to the issuer.
pub(super) fn router<S: Clone + Send + Sync + 'static>(core: &Arc<Core>) -> Router<S> {
    let endpoint = |endpoint: Endpoint, route: MethodRouter<Arc<Core>>| {
        let state = (Arc::clone(core), endpoint);
        route.layer(from_fn_with_state(state, count_and_fail))
    };
    let discovery = endpoint(Endpoint::Discovery, get(discovery::discovery));
    let jwks = endpoint(Endpoint::Jwks, get(discovery::jwks));
    let authorization = endpoint(Endpoint::Authorization, get(authorize::authorize));
    let token = endpoint(Endpoint::Token, post(token::token));
    let userinfo = endpoint(Endpoint::Userinfo, get(userinfo::userinfo));
    let validation = endpoint(Endpoint::Validation, post(validate::validate));
    let logout = get(end_session::get).post(end_session::post);
    let logout = endpoint(Endpoint::EndSession, logout);
    let revocation = endpoint(Endpoint::Revocation, post(revocation::revoke));
    Router::new()
        .route("/.well-known/openid-configuration", discovery)
        .route("/.well-known/jwks.json", jwks)
        .route("/v1/oauth/authorize", authorization)
        .route("/v1/oauth/token", token)
        .route("/v1/userinfo", userinfo)
        .route("/v1/token/validate", validation)
        .route("/v1/oauth/logout", logout)
        .route("/v1/oauth/logout/confirm", post(end_session::confirm))
        .route("/v1/oauth/revoke", revocation)
        .route("/v1/oauth/interaction", get(authorize::show))
        .route("/v1/oauth/login", post(authorize::login))
        .route("/v1/oauth/consent", post(authorize::consent))
        .route("/v1/oauth/sign-out", post(authorize::sign_out))
        .route("/", get(authorize::front))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(from_fn_with_state(Arc::clone(core), refuse_while_stopped))
        .layer(map_response_with_state(Arc::clone(core), tell_the_time))
        .with_state(Arc::clone(core))
}

/// `Date` (RFC 9110 section 6.6.1) by the emulator's own clock, which a test may have set wrong.
async fn tell_the_time<B>(State(core): State<Arc<Core>>, mut response: Response<B>) -> Response<B> {
    let seconds = u64::try_from(core.now()).unwrap_or_default();
    let now = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds));
    if let Ok(now) = HeaderValue::from_str(&now) {
        response.headers_mut().insert(header::DATE, now);
    }
    response
}
