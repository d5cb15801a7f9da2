//! The sign-in of native apps (RFC 8252): it runs in the system browser and ends in the app, with a
//! session of its own. The browser's session is neither used nor changed.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, Request, StatusCode, header};
use serde_json::json;
use tokio::time::timeout;
use url::form_urlencoded;

use super::{
    context::RequestContext,
    cookies::LoginCookie,
    error::{DEADLINE, Error},
    form::read_form,
    rejection::ErrorResponse,
    response::{confirm_app_page, protect_page, redirect},
};
use crate::{
    audit::Reason,
    iter::exactly_one,
    metric,
    protocol::{CallbackError, ErrorCode},
    secret::Secret,
    session::{NativeRequest, NativeSignIn, TokenRequest},
};

/// The length of `BASE64URL(SHA256(verifier))` (RFC 7636 section 4.2).
const CHALLENGE_CHARS: usize = 43;

/// A longer `state` is rejected: it is stored, and returned in a link.
const MAX_STATE_CHARS: usize = 512;

/// A token request has a few hundred bytes.
const MAX_BODY_BYTES: usize = 8 * 1024;

/// Reads the query of a native app (RFC 6749 section 4.1.1, RFC 7636 section 4.3). The link is compared
/// with the configured ones, so nothing is sent to any other.
pub(super) fn requested(context: &RequestContext) -> Result<NativeRequest, Error> {
    let parameter = |name| {
        let value = context.query_parameter(name);
        value.ok_or(Error::NativeRequest(name))
    };
    let redirect_uri = parameter("redirect_uri")?;
    if !context.state.config.is_native_link(&redirect_uri) {
        return Err(Error::NativeRequest("redirect_uri"));
    }
    let has_response_type = context.has_query_parameter("response_type");
    if has_response_type && parameter("response_type")? != "code" {
        return Err(Error::NativeRequest("response_type"));
    }
    if parameter("code_challenge_method")? != "S256" {
        return Err(Error::NativeRequest("code_challenge_method"));
    }
    let code_challenge = parameter("code_challenge")?;
    let is_base64url = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if code_challenge.len() != CHALLENGE_CHARS || !code_challenge.bytes().all(is_base64url) {
        return Err(Error::NativeRequest("code_challenge"));
    }
    let state = parameter("state")?;
    let is_visible = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
    if state.is_empty() || state.len() > MAX_STATE_CHARS || !state.bytes().all(is_visible) {
        return Err(Error::NativeRequest("state"));
    }
    Ok(NativeRequest {
        redirect_uri,
        state: state.into(),
        code_challenge,
    })
}

/// Continues after the provider has signed the user in. `login` is the cookie of the login attempt.
pub(super) async fn signed_in(
    context: &RequestContext,
    login: &LoginCookie,
    mut sign_in: NativeSignIn,
) -> Result<Response, Error> {
    let sessions = &context.state.sessions;
    if !sign_in.request.needs_confirmation() {
        let request = sign_in.request.clone();
        let code = sessions.issue_code(sign_in, context.session.origin());
        return Ok(send_code(&request, &code.await?));
    }
    sessions.keep_native(&login.id, &mut sign_in).await?;
    Ok(confirm_page(context, login, &sign_in))
}

/// Shows the confirm page again, if the user has not confirmed yet.
pub(super) async fn confirm_again(
    context: &RequestContext,
    login: &LoginCookie,
) -> Result<Response, Error> {
    let sign_in = context.state.sessions.find_native(&login.id).await?;
    let sign_in = sign_in.ok_or(Error::NativeSignInUsed)?;
    Ok(confirm_page(context, login, &sign_in))
}

/// The form names the login attempt by the tag of its cookie: the `state` is spent, and a URL is logged in
/// more places than a cookie's value.
fn confirm_page(context: &RequestContext, login: &LoginCookie, sign_in: &NativeSignIn) -> Response {
    let link = &sign_in.request.redirect_uri;
    let tag = context.state.cookies.tag(login);
    confirm_app_page(context, tag, &sign_in.user(), link)
}

/// `POST /native/confirm`: sends the code to the app, or the error if the user cancels.
pub(super) async fn confirm(context: RequestContext, headers: HeaderMap) -> Response {
    let confirmed = timeout(DEADLINE, handle_confirm(&context, &headers)).await;
    confirmed
        .unwrap_or(Err(Error::TooSlow))
        .unwrap_or_else(|error| ErrorResponse::new(&context, error).into_response())
}

async fn handle_confirm(context: &RequestContext, headers: &HeaderMap) -> Result<Response, Error> {
    context.require_same_origin()?;
    let tag = context.query_parameter("login");
    let login = tag.and_then(|tag| context.state.cookies.login_tagged(headers, &tag));
    let login = login.ok_or(Error::NativeSignInUsed)?;
    let (sessions, origin) = (&context.state.sessions, context.session.origin());
    if context.has_query_parameter("cancel") {
        let sign_in = sessions.take_native(&login.id, origin).await?;
        let sign_in = sign_in.ok_or(Error::NativeSignInUsed)?;
        sessions.revoke(&sign_in.tokens, origin);
        let cancelled = Error::Callback(CallbackError::ErrorResponse(ErrorCode::AccessDenied));
        let cancelled = ErrorResponse::new(context, cancelled);
        metric::login(metric::Login::Cancelled);
        return Ok(send_error(&cancelled, &sign_in.request));
    }
    let confirmed = sessions.confirm_native(&login.id, origin).await?;
    let (request, code) = confirmed.ok_or(Error::NativeSignInUsed)?;
    Ok(match code {
        Ok(code) => send_code(&request, &code),
        Err(error) => {
            metric::login(metric::Login::Refused);
            failed(ErrorResponse::new(context, error.into()), &request)
        }
    })
}

fn send_code(request: &NativeRequest, code: &Secret) -> Response {
    redirect(&request.respond("code", code.expose()))
}

/// Returns the error of a sign-in to the app: at once if the platform verifies the link, with a click on
/// a page otherwise.
pub(super) fn failed(error: ErrorResponse, request: &NativeRequest) -> Response {
    if request.needs_confirmation() {
        let link = error_link(&error, request);
        error.with_app_link(link).into_response()
    } else if error.reason() == Reason::NativeSignInUsed {
        // The app has the response to the first callback.
        error.into_response()
    } else {
        send_error(&error, request)
    }
}

fn send_error(error: &ErrorResponse, request: &NativeRequest) -> Response {
    error.record();
    redirect(&error_link(error, request))
}

/// RFC 6749 section 4.1.2.1.
fn error_link(error: &ErrorResponse, request: &NativeRequest) -> String {
    let code = match error.reason() {
        Reason::Cancelled => "access_denied",
        Reason::InteractionRequired => "login_required",
        _ if error.status() == StatusCode::SERVICE_UNAVAILABLE => "temporarily_unavailable",
        _ => "server_error",
    };
    request.respond("error", code)
}

/// `POST /native/token`: exchanges a code for the credential of a session (RFC 6749 section 4.1.3).
pub(super) async fn token(context: RequestContext, request: Request<Body>) -> Response {
    timeout(DEADLINE, handle_token(&context, request))
        .await
        .unwrap_or(Err(Error::TooSlow))
        .unwrap_or_else(|error| {
            let code = match &error {
                Error::NativeGrantType => "unsupported_grant_type",
                Error::NativeRequest(_) => "invalid_request",
                Error::NativeGrant(_) => "invalid_grant",
                _ => "temporarily_unavailable",
            };
            metric::login(metric::Login::Refused);
            ErrorResponse::new(&context, error).into_oauth_response(code)
        })
}

async fn handle_token(context: &RequestContext, request: Request<Body>) -> Result<Response, Error> {
    let request = token_request(request).await?;
    let origin = context.session.origin().clone();
    let session = context.state.sessions.redeem(request, origin).await?;
    let session = session.map_err(Error::NativeGrant)?;
    let body = json!({
        "access_token": session.credential.expose(),
        "token_type": "Bearer",
        "expires_in": session.ttl.as_secs(),
    });
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
        (header::PRAGMA, "no-cache"),
    ];
    let mut response = (headers, body.to_string()).into_response();
    protect_page(response.headers_mut());
    Ok(response)
}

/// Ignores other parameters (RFC 6749 section 3.2).
async fn token_request(request: Request<Body>) -> Result<TokenRequest, Error> {
    let body = read_form(request, MAX_BODY_BYTES).await;
    let body = body.map_err(|_| Error::NativeRequest("body"))?;
    let parameter = |name| {
        let named = form_urlencoded::parse(&body).filter(|(key, _)| key == name);
        let value = exactly_one(named).map(|(_, value)| value.into_owned());
        value.ok_or(Error::NativeRequest(name))
    };
    if parameter("grant_type")? != "authorization_code" {
        return Err(Error::NativeGrantType);
    }
    Ok(TokenRequest {
        code: parameter("code")?.into(),
        code_verifier: parameter("code_verifier")?.into(),
        redirect_uri: parameter("redirect_uri")?,
    })
}
