//! The pages of guests and users, and the profile as JSON.

use std::sync::Arc;

use askama::Template;
use axum::{
    Json,
    extract::State,
    http::{
        StatusCode,
        header::{CONTENT_LENGTH, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
};
use axum_oten::{User, emulator::EmulatedUser};
use serde_json::json;

use super::{
    layout::{Layout, Time, page},
    state::{PROFILE, Site, name_of},
};

#[derive(Template)]
#[template(path = "demo/home.html")]
struct Home<'a> {
    layout: Layout,
    site: &'a Site,
    name: Option<String>,
    users: Vec<EmulatedUser>,
}

#[derive(Template)]
#[template(path = "demo/profile.html")]
struct Profile<'a> {
    layout: Layout,
    site: &'a Site,
    texts: [(&'static str, Option<&'a str>); 3],
    times: [(&'static str, Time); 2],
}

#[derive(Template)]
#[template(path = "demo/error.html")]
struct ErrorPage {
    layout: Layout,
    title: &'static str,
    description: &'static str,
}

/// `/`: open to every visitor; shows the user if signed in.
pub(super) async fn home(State(site): State<Arc<Site>>, user: Option<User>) -> Response {
    let provider = site.provider.as_ref();
    page(&Home {
        layout: site.layout(user.as_ref(), "/"),
        site: &site,
        name: user.as_ref().map(name_of),
        users: provider.map_or_else(Vec::new, |it| it.emulator.users().collect()),
    })
}

/// `/profile`: for signed-in users.
pub(super) async fn profile(State(site): State<Arc<Site>>, user: User) -> Response {
    page(&Profile {
        layout: site.layout(Some(&user), PROFILE),
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
        layout: site.layout(None, ""),
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
