//! The HTML pages, their stylesheet and icon, and the profile as JSON.

use std::sync::Arc;

use askama::Template;
use axum::{
    Json,
    extract::State,
    http::{
        StatusCode,
        header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE},
    },
    response::{Html, IntoResponse, Response},
};
use axum_oten::User;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::json;
use sha2::{Digest, Sha256};
use time::{OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339};

use super::state::{STYLESHEET, Site};

const CSS: &str = include_str!("../../../../templates/demo/site.css");
const ICON_SVG: &str = include_str!("../../../../templates/demo/icon.svg");

#[derive(Template)]
#[template(path = "demo/home.html")]
struct Home<'a> {
    site: &'a Site,
    name: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "demo/profile.html")]
struct Profile<'a> {
    site: &'a Site,
    texts: [(&'static str, Option<&'a str>); 3],
    times: [(&'static str, Time); 2],
}

struct Time {
    /// For the user, in UTC: the server does not know the user's time zone.
    text: String,
    /// For programs, as in RFC 3339.
    rfc3339: String,
}

#[derive(Template)]
#[template(path = "demo/error.html")]
struct ErrorPage<'a> {
    site: &'a Site,
    title: &'static str,
    description: &'static str,
}

/// `/`: open to every visitor; shows the user if signed in.
pub(super) async fn home(State(site): State<Arc<Site>>, user: Option<User>) -> Response {
    let name = user
        .as_ref()
        .map(|user| user.name().unwrap_or(user.subject()));
    page(&Home { site: &site, name })
}

/// `/profile`: for signed-in users.
pub(super) async fn profile(State(site): State<Arc<Site>>, user: User) -> Response {
    page(&Profile {
        site: &site,
        texts: [
            ("User ID", Some(user.subject())),
            ("Name", user.name()),
            ("Email", user.email()),
        ],
        times: [
            ("Signed in", Time::new(user.signed_in_at())),
            ("Session expires", Time::new(user.session_ends_at())),
        ],
    })
}

/// `/api/me`: for signed-in users.
pub(super) async fn me(user: User) -> impl IntoResponse {
    Json(json!({
        "subject": user.subject(),
        "name": user.name(),
        "email": user.email(),
        "signed_in_at": Time::new(user.signed_in_at()).rfc3339,
        "session_ends_at": Time::new(user.session_ends_at()).rfc3339,
    }))
}

/// The stylesheet's path with a fingerprint of its content, so that it can be cached forever.
pub(super) fn stylesheet_path() -> String {
    let fingerprint = BASE64_URL_SAFE_NO_PAD.encode(&Sha256::digest(CSS)[..9]);
    format!("{STYLESHEET}?v={fingerprint}")
}

pub(super) async fn stylesheet() -> impl IntoResponse {
    let headers = [
        (CONTENT_TYPE, "text/css; charset=utf-8"),
        (CACHE_CONTROL, "public, max-age=31536000, immutable"),
    ];
    (headers, CSS)
}

pub(super) async fn icon() -> impl IntoResponse {
    let headers = [
        (CONTENT_TYPE, "image/svg+xml"),
        (CACHE_CONTROL, "public, max-age=86400"),
    ];
    (headers, ICON_SVG)
}

/// Gives an error response without a body a page: for an unknown path, a wrong method or a request
/// that took too long.
pub(super) async fn add_error_page(State(site): State<Arc<Site>>, response: Response) -> Response {
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    if !is_error || response.headers().contains_key(CONTENT_TYPE) {
        return response;
    }
    let (title, description) = describe(status);
    let page = page(&ErrorPage {
        site: &site,
        title,
        description,
    });
    // Keeps the status and headers such as `Allow`.
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(CONTENT_LENGTH);
    let (page, body) = page.into_parts();
    parts.headers.extend(page.headers);
    Response::from_parts(parts, body)
}

fn describe(status: StatusCode) -> (&'static str, &'static str) {
    match status {
        StatusCode::NOT_FOUND => (
            "Page not found",
            "This site has no page at this address. Please check the address.",
        ),
        StatusCode::METHOD_NOT_ALLOWED => (
            "Page not available",
            "This page cannot be opened this way. Please go back to the site.",
        ),
        StatusCode::SERVICE_UNAVAILABLE => (
            "No response in time",
            "The site took too long to respond. Please try again in a moment.",
        ),
        _ => (
            "Request failed",
            "The site could not respond to this request. Please try again in a moment.",
        ),
    }
}

fn page(template: &impl Template) -> Response {
    match template.render() {
        Ok(html) => Html(html).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

impl Time {
    fn new(time: OffsetDateTime) -> Self {
        let utc = time.to_offset(UtcOffset::UTC);
        Self {
            text: format!(
                "{} {} {}, {:02}:{:02} UTC",
                utc.day(),
                utc.month(),
                utc.year(),
                utc.hour(),
                utc.minute(),
            ),
            // RFC 3339 has no form for years after 9999.
            rfc3339: time.format(&Rfc3339).unwrap_or_else(|_| time.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_for_users_and_for_programs() {
        let time = Time::new(OffsetDateTime::from_unix_timestamp(1_777_900_080).unwrap());
        assert_eq!(time.text, "4 May 2026, 13:08 UTC");
        assert_eq!(time.rfc3339, "2026-05-04T13:08:00Z");
    }
}
