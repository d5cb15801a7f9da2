//! The login route and the callback (OpenID Connect Core 1.0 section 3.1).

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, header};
use tokio::time::timeout;

use super::{
    context::{RequestContext, is_prefetch},
    error::{DEADLINE, Error},
    rejection::ErrorResponse,
    response::{not_prefetched, redirect},
    shared::Shared,
};
use crate::{
    audit::{EventKind, Reason},
    metric::{self, Login},
    protocol::{
        AuthorizationRequest, CallbackParameters, ExpectedIdToken, ExpectedNonce, TokenEndpoint,
        TokenResponse, verify_id_token,
    },
    provider::ProviderMetadata,
    session::{AttemptState, Identity, LoginAttempt, ReturnTo, Tokens},
};

/// Maximum number of open login attempts per browser. A new attempt replaces the oldest.
const MAX_ATTEMPTS: usize = 8;

/// Maximum number of attempts that one request removes, however many cookies it has.
const MAX_REMOVALS: usize = 16;

/// The query parameter of the login route that says that a callback restarted the login.
const RESTART: &str = "restart";

/// `GET /login`: starts a login attempt and redirects the browser to the provider.
pub(super) async fn login(context: RequestContext, headers: HeaderMap) -> Response {
    if is_prefetch(&headers) {
        return not_prefetched();
    }
    let return_to = return_to(&context);
    let cookies = &context.state.cookies;
    if context.query_parameter(RESTART).is_some() && !cookies.is_restarted(&headers) {
        // The browser keeps no cookies, so the next callback would match no login attempt either.
        let error = Error::UnknownAttempt { has_cookie: false };
        let mut response = failure(&context, error, return_to);
        // In a browser that keeps cookies now, a reload of this page starts the sign-in.
        let headers = response.headers_mut();
        headers.append(header::SET_COOKIE, cookies.restart());
        return response;
    }
    let attempt = LoginAttempt::new(return_to.clone());
    timeout(DEADLINE, redirect_to_provider(&context, &headers, attempt))
        .await
        .unwrap_or(Err(Error::TooSlow))
        .unwrap_or_else(|error| failure(&context, error, return_to))
}

/// `GET` of the redirect URI: completes a login attempt with the provider's response.
pub(super) async fn callback(context: RequestContext, headers: HeaderMap) -> Response {
    if is_prefetch(&headers) {
        return not_prefetched();
    }
    let mut return_to = None;
    let response = timeout(
        DEADLINE,
        handle_callback(&context, &headers, &mut return_to),
    )
    .await
    .unwrap_or(Err(Error::TooSlow));
    response.unwrap_or_else(|error| failure(&context, error, return_to))
}

fn failure(context: &RequestContext, error: Error, return_to: Option<ReturnTo>) -> Response {
    let response = ErrorResponse::new(context, error).of_sign_in(&context.state, return_to);
    metric::login(match response.reason() {
        Reason::Cancelled => Login::Cancelled,
        _ => Login::Refused,
    });
    response.into_response()
}

/// Returns the path to return to after the sign-in: local, given once, and in no spelling one of the
/// crate's own routes, which would start over.
fn return_to(context: &RequestContext) -> Option<ReturnTo> {
    let return_to = ReturnTo::parse(&context.query_parameter("return_to")?)?;
    (!context.state.is_own_page(&return_to)).then_some(return_to)
}

/// Stores the attempt, binds it to the browser by a cookie and redirects the browser to the provider.
async fn redirect_to_provider(
    context: &RequestContext,
    headers: &HeaderMap,
    attempt: LoginAttempt,
) -> Result<Response, Error> {
    let state = &context.state;
    let metadata = state.provider.metadata().await?;
    let now = state.clock.now();
    let url = state.authorization_requests.url(&AuthorizationRequest {
        issuer: metadata.issuer(),
        endpoint: metadata.authorization_endpoint(),
        state: &attempt.state,
        nonce: &attempt.nonce,
        code_verifier: &attempt.code_verifier,
        now: now.unix_timestamp(),
    });
    let url = url.map_err(Error::RequestObject)?;
    let attempt_state = attempt.state.clone();
    let id = state.attempts.open(attempt).await?;

    let mut response = redirect(&url);
    let open = state.cookies.logins_by_age(headers);
    let surplus = (open.len() + 1).saturating_sub(MAX_ATTEMPTS);
    for oldest in open.iter().take(surplus.min(MAX_REMOVALS)) {
        if state.attempts.remove(&oldest.id).await.is_err() {
            break; // the attempt expires
        }
        let removed = state.cookies.remove_login(oldest);
        response.headers_mut().append(header::SET_COOKIE, removed);
    }
    let cookie = state.cookies.login(&attempt_state, &id, now);
    response.headers_mut().append(header::SET_COOKIE, cookie);
    metric::login_started();
    Ok(response)
}

/// Checks the state before it calls the provider; then `iss`, `error` and `code`.
async fn handle_callback(
    context: &RequestContext,
    headers: &HeaderMap,
    return_to: &mut Option<ReturnTo>,
) -> Result<Response, Error> {
    if context.session_cookies.are_several() {
        // The browser would keep both session cookies after the sign-in, and both would be ignored.
        return Err(Error::SeveralSessionCookies);
    }
    let parameters = CallbackParameters::parse(context.uri.query().unwrap_or_default())?;
    let state = parameters.state()?;
    let found = match context.state.cookies.login_for(headers, state) {
        Some(cookie) => context.state.attempts.take(&cookie.id, state).await?,
        None => AttemptState::Unknown,
    };
    match found {
        AttemptState::Taken { attempt, age } => {
            return_to.clone_from(&attempt.return_to);
            exchange_code(context, parameters, &attempt, age).await
        }
        AttemptState::Used { return_to: path } => {
            return_to.clone_from(&path);
            restart_login(context, headers, path).await
        }
        AttemptState::Unknown => restart_login(context, headers, None).await,
    }
}

/// Handles a callback that matches no open login attempt of this browser: repeated, reached with the
/// back button, too late, without cookies, or forged. It never signs a user in or out. A signed-in
/// user continues to the page; for a guest the login restarts, at most once a minute.
///
/// A cookie marks the browser, because the provider or a proxy may change `state`. The redirect leads
/// to the login route, which finds out whether the browser has kept the cookie: a browser that keeps
/// none would go back and forth between the site and the provider.
async fn restart_login(
    context: &RequestContext,
    headers: &HeaderMap,
    return_to: Option<ReturnTo>,
) -> Result<Response, Error> {
    if context.signed_in().await?.is_some() {
        return Ok(redirect_back(context, return_to.as_ref()));
    }
    let state = &context.state;
    if state.cookies.is_restarted(headers) {
        return Err(Error::UnknownAttempt { has_cookie: true });
    }
    context.record(&context.event(EventKind::FreshStart));
    let login_url = state.login_url(return_to.as_ref());
    let separator = if login_url.contains('?') { '&' } else { '?' };
    let mut response = redirect(&format!("{login_url}{separator}{RESTART}=1"));
    let cookie = state.cookies.restart();
    response.headers_mut().append(header::SET_COOKIE, cookie);
    Ok(response)
}

/// Exchanges the code, verifies the ID token and signs the user in.
async fn exchange_code(
    context: &RequestContext,
    parameters: CallbackParameters,
    attempt: &LoginAttempt,
    attempt_age: Duration,
) -> Result<Response, Error> {
    let state = &context.state;
    let metadata = state.provider.metadata().await?;
    let code = parameters.into_code(
        metadata.issuer(),
        metadata.authorization_response_iss_parameter_supported(),
    )?;
    if let Some(budget) = &state.budget {
        budget.sign_in(context.session.origin().client_address())?;
    }
    let endpoint = TokenEndpoint {
        http: state.provider.http(),
        url: metadata.token_endpoint(),
        client: state.config.client(),
    };
    let start = state.sessions.start_sign_in(attempt_age).await?;
    let tokens = endpoint
        .exchange_code(state.config.redirect_uri(), &code, &attempt.code_verifier)
        .await?;
    let identity = verify(state, &metadata, &tokens, attempt).await?;
    let tokens = Tokens::new(tokens, attempt.nonce.clone(), state.clock.now());
    let previous = context.session_cookies.only();
    let origin = context.session.origin().clone();
    let signed_in = state
        .sessions
        .sign_in(start, previous, identity, tokens, origin)
        .await?;
    let id = signed_in.ok_or(Error::SignedOutMeanwhile)?;
    context.mark_session_written();
    let mut response = redirect_back(context, attempt.return_to.as_ref());
    let cookie = state.cookies.session(id, None, state.clock.now());
    response.headers_mut().append(header::SET_COOKIE, cookie);
    Ok(response)
}

async fn verify(
    state: &Shared,
    metadata: &ProviderMetadata,
    tokens: &TokenResponse,
    attempt: &LoginAttempt,
) -> Result<Identity, Error> {
    let expected = ExpectedIdToken {
        issuer: metadata.issuer(),
        client_id: state.config.client().id(),
        subject: None,
        nonce: ExpectedNonce::Required(&attempt.nonce),
        auth_time: None,
        access_token: &tokens.access_token,
        max_age: state.config.max_age(),
        now: state.clock.unix_now(),
    };
    let id_token = tokens.id_token.as_ref();
    let claims = verify_id_token(&state.provider, metadata, id_token, &expected).await?;
    Ok(Identity {
        issuer: metadata.issuer().to_owned(),
        auth_time: claims.auth_time,
        subject: claims.sub,
        sid: claims.sid,
        session_expiry: claims.session_expiry,
        claims: claims.other,
    })
}

fn redirect_back(context: &RequestContext, return_to: Option<&ReturnTo>) -> Response {
    redirect(return_to.map_or(context.state.config.home(), ReturnTo::as_str))
}
