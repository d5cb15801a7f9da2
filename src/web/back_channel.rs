//! `POST /backchannel-logout` (OpenID Connect Back-Channel Logout 1.0). The provider posts a logout
//! token that names the sessions to end. The token authenticates the request; cookies and `Origin` are
//! ignored.

use std::time::Duration;

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{Request, StatusCode, header};
use time::OffsetDateTime;
use tokio::time::timeout;
use url::form_urlencoded;

use super::{
    context::RequestContext,
    error::{DEADLINE, Error},
    form::read_form,
    rejection::ErrorResponse,
    response::{forbid_caching, protect_page},
};
use crate::{
    audit::EventKind,
    protocol::{ExpectedLogoutToken, LogoutTokenError, verify_logout_token},
    session::LogoutTarget,
};

/// Maximum size of the request body, and so of a logout token, which has none of the user's claims.
const MAX_BODY_BYTES: usize = 32 * 1024;

/// `Retry-After` of an error that names no time.
const LOGOUT_RETRY_AFTER: Duration = Duration::from_secs(60);

/// Ends the sessions that a logout token names. The status is 200 when they have ended, 400 for a
/// rejected token, and 5xx if the provider may send the token again.
pub(super) async fn post(context: RequestContext, request: Request<Body>) -> Response {
    let result = timeout(DEADLINE, log_out(&context, request))
        .await
        .unwrap_or(Err(Error::LogoutTooSlow));
    let mut response = match result {
        Ok(()) => StatusCode::OK.into_response(),
        Err(error) => error_response(&context, error),
    };
    protect_page(response.headers_mut());
    forbid_caching(response.headers_mut());
    response
}

async fn log_out(context: &RequestContext, request: Request<Body>) -> Result<(), Error> {
    let state = &context.state;
    let token = read_logout_token(request).await?;
    let metadata = state.provider.metadata().await?;
    let expected = ExpectedLogoutToken {
        client: state.config.client(),
        now: state.clock.unix_now(),
    };
    let claims = verify_logout_token(&state.provider, &metadata, &token, &expected).await?;

    if state.sessions.is_logout_token_used(&claims.jti).await? {
        return Err(LogoutTokenError::Replayed.into());
    }
    let target = LogoutTarget {
        sub: claims.sub.clone(),
        sid: claims.sid.clone(),
    };
    let ended = state.sessions.end_matching(target).await?;
    let subject = match (&ended.user, &claims.sub) {
        (Some(user), _) => Some(state.trail.pseudonym(user.issuer(), user.subject())),
        (None, Some(sub)) => Some(state.trail.pseudonym(metadata.issuer(), sub)),
        (None, None) => None,
    };
    let event = context.event(EventKind::BackChannelLogout);
    context.record(&event.with_subject(subject).with_sessions(ended.count));
    // Last, so that the provider can send the same token again if the store fails before.
    let expires_at = OffsetDateTime::from_unix_timestamp(claims.expires_at)
        .map_err(|_| LogoutTokenError::InvalidClaim("iat"))?;
    let sessions = &state.sessions;
    if sessions.use_logout_token(&claims.jti, expires_at).await? {
        Ok(())
    } else {
        Err(LogoutTokenError::Replayed.into())
    }
}

/// Reads a form with exactly one logout token (section 2.5). Ignores other parameters.
pub(super) async fn read_logout_token(request: Request<Body>) -> Result<String, Error> {
    let body = read_form(request, MAX_BODY_BYTES).await;
    let body = body.map_err(Error::LogoutRequest)?;
    let mut tokens = form_urlencoded::parse(&body).filter(|(name, _)| name == "logout_token");
    match (tokens.next(), tokens.next()) {
        (Some((_, token)), None) => Ok(token.into_owned()),
        (None, _) => Err(Error::LogoutRequest("`logout_token` is missing")),
        _ => Err(Error::LogoutRequest("`logout_token` is repeated")),
    }
}

/// Returns the error as JSON (section 2.8).
fn error_response(context: &RequestContext, error: Error) -> Response {
    let error = ErrorResponse::new(context, error);
    let (is_rejected, is_timed) = (
        error.status().is_client_error(),
        error.page().retry_after.is_some(),
    );
    let code = if is_rejected {
        "invalid_request"
    } else {
        "temporarily_unavailable"
    };
    let mut response = error.into_oauth_response(code);
    if !is_rejected && !is_timed {
        let seconds = LOGOUT_RETRY_AFTER.as_secs().into();
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    response
}
