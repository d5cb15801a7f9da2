//! `POST /backchannel-logout` (OpenID Connect Back-Channel Logout 1.0): the provider says whose
//! sessions it ended. No browser is there, so no cookie and no origin counts: the token does.

use std::time::Duration;

use axum::{
    body::{Body, to_bytes},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use serde_json::json;
use time::OffsetDateTime;
use tokio::time::timeout;
use url::form_urlencoded;

use super::{
    error::{BackChannelError, Error},
    event,
    request_context::{RequestContext, keep_private},
    security_headers::protect_page,
};
use crate::{
    protocol::{ExpectedLogoutToken, LogoutTokenError, verify_logout_token},
    session::LogoutTarget,
};

/// A logout token has 16 KiB at most.
const MAX_BODY_BYTES: usize = 32 * 1024;

/// What has to be read and asked is given up together after this time.
const DEADLINE: Duration = Duration::from_secs(11);

/// When to send a token again where nobody says so.
const RETRY_AFTER: Duration = Duration::from_secs(60);

/// Ends the sessions that a logout token names. The answer is 200 once they are gone, 400 for a token
/// that is not believed, and 5xx for one that may be sent again.
pub(super) async fn post(context: RequestContext, request: Request<Body>) -> Response {
    let outcome = timeout(DEADLINE, log_out(&context, request))
        .await
        .unwrap_or(Err(BackChannelError::TooSlow(DEADLINE).into()));
    let mut response = match outcome {
        Ok(()) => StatusCode::OK.into_response(),
        Err(error) => refuse(&context, &error),
    };
    protect_page(response.headers_mut());
    keep_private(response.headers_mut());
    response
}

async fn log_out(context: &RequestContext, request: Request<Body>) -> Result<(), Error> {
    let inner = context.inner();
    let token = logout_token(request).await?;
    let metadata = inner.provider.metadata().await.map_err(Error::Provider)?;
    let expected = ExpectedLogoutToken {
        client_id: inner.config.client().id(),
        now: inner.clock.unix_now(),
    };
    let claims = verify_logout_token(&inner.provider, &metadata, &token, &expected).await?;

    let (issuer, jti) = (metadata.issuer(), &claims.jti);
    let used = &inner.used_logout_tokens;
    if used.contains(issuer, jti).await.map_err(Error::Store)? {
        return Err(refused(LogoutTokenError::Replayed));
    }
    let target = LogoutTarget {
        issuer: issuer.to_owned(),
        sub: claims.sub.clone(),
        sid: claims.sid.clone(),
    };
    let ended = inner.sessions.end_named(target).await;
    let ended = ended.map_err(Error::Store)?;
    let subject = match (&ended.user, &claims.sub) {
        (Some(owner), _) => Some(inner.trail.pseudonym(owner.issuer(), owner.subject())),
        (None, Some(sub)) => Some(inner.trail.pseudonym(issuer, sub)),
        (None, None) => None,
    };
    event::back_channel_logout(context, subject, ended.count);
    // Only now: if the store fails before, the provider sends the same token again.
    let expires_at = OffsetDateTime::from_unix_timestamp(claims.expires_at)
        .map_err(|_| refused(LogoutTokenError::InvalidClaim("iat")))?;
    if used
        .add(issuer, jti, expires_at)
        .await
        .map_err(Error::Store)?
    {
        Ok(())
    } else {
        Err(refused(LogoutTokenError::Replayed))
    }
}

fn refused(error: LogoutTokenError) -> Error {
    Error::BackChannel(error.into())
}

fn malformed(why: &'static str) -> Error {
    Error::BackChannel(BackChannelError::Request(why))
}

/// The token of a form that has exactly one (section 2.5). Other parameters are nobody's.
async fn logout_token(request: Request<Body>) -> Result<String, Error> {
    let (parts, body) = request.into_parts();
    if !is_form(&parts.headers) {
        return Err(malformed("it is not application/x-www-form-urlencoded"));
    }
    let body = to_bytes(body, MAX_BODY_BYTES)
        .await
        .map_err(|_| malformed("its body is longer than 32 KiB or incomplete"))?;
    let mut given = form_urlencoded::parse(&body).filter(|(name, _)| name == "logout_token");
    match (given.next(), given.next()) {
        (Some((_, token)), None) => Ok(token.into_owned()),
        (None, _) => Err(malformed("it has no `logout_token`")),
        _ => Err(malformed("it has two `logout_token`s")),
    }
}

fn is_form(headers: &HeaderMap) -> bool {
    let mut sent = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(content_type), None) = (sent.next(), sent.next()) else {
        return false;
    };
    let essence = content_type.as_bytes().split(|byte| *byte == b';').next();
    essence.is_some_and(|essence| {
        essence
            .trim_ascii()
            .eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
    })
}

/// The answer to a program (section 2.8), which says which rule was broken and nothing else.
fn refuse(context: &RequestContext, error: &Error) -> Response {
    event::refused(context, error);
    let description = error.description();
    let code = if description.status.is_client_error() {
        "invalid_request"
    } else {
        "temporarily_unavailable"
    };
    let body = json!({
        "error": code,
        "error_description": format!("{} ({})", description.sentence, description.reason),
        "correlation_id": context.correlation_id(),
    });
    let mut response = (description.status, body.to_string()).into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    if description.status.is_server_error() {
        let after = description.retry_after.unwrap_or(RETRY_AFTER);
        headers.insert(header::RETRY_AFTER, after.as_secs().max(1).into());
    }
    response
}
