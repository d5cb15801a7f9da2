use std::{
    sync::LazyLock,
    time::{Duration, UNIX_EPOCH},
};

use askama::Template;
use axum::response::{IntoResponse, Response};
use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::emulator::{
    error::Rejection,
    faults::Endpoint,
    messages::authorization::AuthorizationRequest,
    state::{
        Core,
        session::{USERS, User},
    },
};

/// The last second of the year 9999, in seconds since the Unix epoch.
const LAST_DATE: Duration = Duration::from_secs(253_402_300_799);

const STYLE: &str = include_str!("../../../templates/emulator/style.css");

/// Allows only the page's own style. `form-action` is absent, because Chrome applies it to every
/// redirect after a form, and the app behind the callback may redirect to any site.
static CONTENT_SECURITY_POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = BASE64_STANDARD.encode(Sha256::digest(STYLE));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; frame-ancestors 'none'"
    )
});

#[derive(Template)]
#[template(path = "emulator/login.html")]
pub(super) struct LoginPage<'a> {
    pub(super) core: &'a Core,
    pub(super) interaction: &'a str,
    pub(super) request: &'a AuthorizationRequest,
}

#[derive(Template)]
#[template(path = "emulator/consent.html")]
pub(super) struct ConsentPage<'a> {
    pub(super) core: &'a Core,
    pub(super) interaction: &'a str,
    pub(super) request: &'a AuthorizationRequest,
    pub(super) user: &'static User,
}

#[derive(Template)]
#[template(path = "emulator/front.html")]
pub(super) struct FrontPage<'a> {
    pub(super) core: &'a Core,
    pub(super) user: Option<&'static User>,
}

#[derive(Template)]
#[template(path = "emulator/sign_out.html")]
pub(super) struct SignOutPage<'a> {
    pub(super) core: &'a Core,
    pub(super) logout: &'a str,
    pub(super) client_id: Option<&'a str>,
    pub(super) user: &'static User,
}

#[derive(Template)]
#[template(path = "emulator/message.html")]
struct MessagePage<'a> {
    title: &'a str,
    text: &'a str,
    error: Option<&'a str>,
}

pub(super) fn page(status: StatusCode, page: &impl Template) -> Response {
    let Ok(html) = page.render() else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let policy = CONTENT_SECURITY_POLICY.as_str();
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (status, headers, html).into_response()
}

pub(super) fn message_page(status: StatusCode, title: &str, text: &str) -> Response {
    let error = None;
    page(status, &MessagePage { title, text, error })
}

/// The page of an interaction that is unknown, expired or already used.
pub(super) fn sign_in_expired() -> Response {
    message_page(
        StatusCode::BAD_REQUEST,
        "Sign-in page expired",
        "This page has expired or was already used. Go back to the app and sign in again.",
    )
}

/// Sends the error to the callback, or shows it on a page if the callback is not proven.
pub(super) fn rejected(rejection: &Rejection) -> Response {
    match rejection.redirect() {
        Some(callback) => see_other(callback.as_str()),
        None => page(
            StatusCode::BAD_REQUEST,
            &MessagePage {
                title: "Invalid request",
                text: rejection.description(),
                error: Some(rejection.error()),
            },
        ),
    }
}

/// Returns the date this long after the emulator's time.
pub(super) fn http_date(core: &Core, after: Duration) -> HeaderValue {
    let now = Duration::from_secs(u64::try_from(core.now()).unwrap_or_default());
    let date = UNIX_EPOCH + now.saturating_add(after).min(LAST_DATE);
    HeaderValue::from_str(&httpdate::fmt_http_date(date)).expect("a date is ASCII text")
}

pub(super) fn see_other(location: &str) -> Response {
    let headers = [
        (header::CACHE_CONTROL, "no-store"),
        (header::LOCATION, location),
    ];
    (StatusCode::SEE_OTHER, headers).into_response()
}

/// Returns JSON that must not be cached.
pub(super) fn json_response(status: StatusCode, body: &Value) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (status, headers, body.to_string()).into_response()
}

/// Counts a call and returns the response if it exceeds the limit (RFC 6585 section 4).
pub(super) fn limited(core: &Core, endpoint: Endpoint, caller: &str) -> Option<Response> {
    let seconds = core.check_limit(endpoint, caller).err()?;
    let retry_after = [(header::RETRY_AFTER, HeaderValue::from(seconds))];
    Some((StatusCode::TOO_MANY_REQUESTS, retry_after).into_response())
}

/// Returns JSON that may be cached for 5 minutes.
pub(super) fn cacheable_json(body: &Value) -> Response {
    let mut response = json_response(StatusCode::OK, body);
    let public = HeaderValue::from_static("public, max-age=300");
    response.headers_mut().insert(header::CACHE_CONTROL, public);
    response
}

/// An OAuth error response (RFC 6749 section 5.2).
pub(super) struct OAuthError {
    code: &'static str,
    description: String,
}

impl OAuthError {
    pub(super) fn new(code: &'static str, description: impl Into<String>) -> Self {
        Self {
            code,
            description: description.into(),
        }
    }
}

impl IntoResponse for OAuthError {
    fn into_response(self) -> Response {
        let status = match self.code {
            "invalid_client" => StatusCode::UNAUTHORIZED,
            "server_error" => StatusCode::INTERNAL_SERVER_ERROR,
            "temporarily_unavailable" => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_REQUEST,
        };
        let body = json!({ "error": self.code, "error_description": self.description });
        json_response(status, &body)
    }
}
