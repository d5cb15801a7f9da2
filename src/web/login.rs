use axum::{
    extract::RawQuery,
    response::{IntoResponse, Redirect, Response},
};
use http::{HeaderMap, header};
use url::form_urlencoded;

use super::{
    error::Error,
    rejection::Refusal,
    visit::{Visit, keep_private},
};
use crate::{
    protocol::{AuthorizationRequest, authorization_url},
    session::{LoginAttempt, ReturnTo},
};

/// A browser has this many open login attempts at most; the oldest goes.
const MAX_ATTEMPTS: usize = 8;

/// `GET /login`: away to the provider.
pub(super) async fn get(visit: Visit, headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    let return_to = return_to(query.as_deref().unwrap_or_default());
    let attempt = LoginAttempt::new(return_to.clone(), false);
    match start(&visit, &headers, attempt).await {
        Ok(response) => response,
        Err(error) => Refusal::new(&visit, error)
            .coming_back_to(return_to.as_ref())
            .into_response(),
    }
}

/// The page to come back to: a local path, given once, or nothing.
fn return_to(query: &str) -> Option<ReturnTo> {
    let mut given =
        form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "return_to");
    let (_, path) = given.next()?;
    match given.next() {
        None => ReturnTo::parse(&path),
        Some(_) => None,
    }
}

/// Keeps the attempt, ties it to the browser and sends the browser to the provider.
pub(super) async fn start(
    visit: &Visit,
    headers: &HeaderMap,
    attempt: LoginAttempt,
) -> Result<Response, Error> {
    let inner = visit.inner();
    let metadata = inner.provider.metadata().await.map_err(Error::Provider)?;
    let now = inner.clock.now();
    let request = AuthorizationRequest {
        client: inner.config.client(),
        issuer: metadata.issuer(),
        redirect_uri: inner.config.redirect_uri(),
        scopes: inner.config.scopes(),
        state: &attempt.state,
        nonce: &attempt.nonce,
        code_verifier: &attempt.code_verifier,
        prompt: inner.config.prompt(),
        max_age: inner.config.max_age(),
        ui_locales: inner.config.ui_locales(),
        lifetime: inner.config.request_object_lifetime(),
        now: now.unix_timestamp(),
    };
    let url = authorization_url(metadata.authorization_endpoint(), &request)
        .map_err(Error::RequestObject)?;
    let state = attempt.state.clone();
    let id = inner.attempts.open(attempt).await.map_err(Error::Store)?;

    let mut response = Redirect::to(url.as_str()).into_response();
    let cookies = &inner.cookies;
    let open = cookies.logins_by_age(headers);
    let surplus = (open.len() + 1).saturating_sub(MAX_ATTEMPTS);
    for oldest in open.iter().take(surplus) {
        inner
            .attempts
            .forget(&oldest.id)
            .await
            .map_err(Error::Store)?;
        let gone = cookies.no_login(oldest);
        response.headers_mut().append(header::SET_COOKIE, gone);
    }
    let cookie = cookies.login(&state, &id, now);
    response.headers_mut().append(header::SET_COOKIE, cookie);
    keep_private(response.headers_mut());
    Ok(response)
}
