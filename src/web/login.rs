use std::time::Duration;

use axum::{extract::RawQuery, response::Response};
use http::{HeaderMap, header};
use tokio::time::timeout;
use url::form_urlencoded;

use super::{
    Oten,
    error::Error,
    rejection::refuse,
    request_context::{RequestContext, redirect},
};
use crate::{
    audit::Reason,
    metric::{self, Login},
    protocol::AuthorizationRequest,
    session::{LoginAttempt, ReturnTo},
};

/// A browser has this many open login attempts at most; the oldest goes.
const MAX_ATTEMPTS: usize = 8;

/// A browser cannot make us forget more than this many at a time.
const MAX_FORGOTTEN: usize = 16;

/// What has to be asked on the way is given up together after this time.
const DEADLINE: Duration = Duration::from_secs(11);

/// `GET /login`: away to the provider.
pub(super) async fn get(
    context: RequestContext,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let return_to = return_to(context.oten(), query.as_deref().unwrap_or_default());
    let attempt = LoginAttempt::new(return_to.clone(), false);
    let outcome = timeout(DEADLINE, start(&context, &headers, attempt))
        .await
        .unwrap_or(Err(Error::TooSlow(DEADLINE)));
    match outcome {
        Ok(response) => response,
        Err(error) => fail(&context, error, return_to.as_ref()),
    }
}

/// A sign-in comes to nothing.
pub(super) fn fail(
    context: &RequestContext,
    error: Error,
    return_to: Option<&ReturnTo>,
) -> Response {
    metric::login(match error.description().reason {
        Reason::Cancelled => Login::Cancelled,
        _ => Login::Refused,
    });
    refuse(context, error, return_to)
}

/// The page to come back to: a local path, given once, and not one of our own routes, which would
/// lead in circles; or nothing.
fn return_to(oten: &Oten, query: &str) -> Option<ReturnTo> {
    let mut given =
        form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "return_to");
    let (_, path) = given.next()?;
    if given.next().is_some() {
        return None;
    }
    let return_to = ReturnTo::parse(&path)?;
    let callback = oten.config().redirect_uri().path();
    let ours = [&*oten.login_path(), &*oten.logout_path(), callback];
    (!ours.contains(&return_to.path())).then_some(return_to)
}

/// Keeps the attempt, ties it to the browser and sends the browser to the provider.
pub(super) async fn start(
    context: &RequestContext,
    headers: &HeaderMap,
    attempt: LoginAttempt,
) -> Result<Response, Error> {
    let inner = context.inner();
    let metadata = inner.provider.metadata().await.map_err(Error::Provider)?;
    let now = inner.clock.now();
    let request = AuthorizationRequest {
        config: &inner.config,
        issuer: metadata.issuer(),
        state: &attempt.state,
        nonce: &attempt.nonce,
        code_verifier: &attempt.code_verifier,
        now: now.unix_timestamp(),
    };
    let url = request.url(metadata.authorization_endpoint());
    let url = url.map_err(Error::RequestObject)?;
    let state = attempt.state.clone();
    let id = inner.attempts.open(attempt).await.map_err(Error::Store)?;

    let mut response = redirect(url.as_str());
    let cookies = &inner.cookies;
    let open = cookies.logins_by_age(headers);
    let surplus = (open.len() + 1).saturating_sub(MAX_ATTEMPTS);
    for oldest in open.iter().take(surplus.min(MAX_FORGOTTEN)) {
        if inner.attempts.forget(&oldest.id).await.is_err() {
            break; // it ends by itself
        }
        let gone = cookies.no_login(oldest);
        response.headers_mut().append(header::SET_COOKIE, gone);
    }
    let cookie = cookies.login(&state, &id, now);
    response.headers_mut().append(header::SET_COOKIE, cookie);
    metric::login_started();
    Ok(response)
}
