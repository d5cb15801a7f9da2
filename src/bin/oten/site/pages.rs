//! The pages of guests and users, and the profile as JSON.

use std::sync::Arc;

use askama::Template;
use axum::{
    Extension, Json,
    extract::{Request, State},
    http::{
        HeaderValue, StatusCode,
        header::{CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, RETRY_AFTER},
    },
    middleware::Next,
    response::{IntoResponse, Response},
};
use axum_oten::{
    User,
    emulator::EmulatedUser,
    web::{Page, UserRejection},
};
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

#[derive(Template)]
#[template(path = "demo/library.html")]
struct LibraryPage {
    layout: Layout,
    library: Page,
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

/// Keeps a page of the library until the frame is known: it depends on the request, and the page does not.
pub(crate) fn library_page(page: &Page) -> Response {
    Extension(page.clone()).into_response()
}

/// Adds the navigation of the signed-in user to a page of the library. Other pages have none.
pub(super) async fn add_navigation(
    State(site): State<Arc<Site>>,
    user: Result<User, UserRejection>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path().to_owned();
    let mut response = next.run(request).await;
    if let Ok(user) = user
        && response.extensions().get::<Page>().is_some()
    {
        let layout = site.layout(Some(&user), &path);
        response.extensions_mut().insert(layout);
    }
    response
}

/// Renders a page of the library, and gives an error response without a body a page: for an unknown path, a
/// wrong method or a request that took too long.
pub(super) async fn add_page(State(site): State<Arc<Site>>, response: Response) -> Response {
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    let (mut parts, body) = response.into_parts();
    let page = if let Some(library) = parts.extensions.remove::<Page>() {
        let policy = site.policies.library.clone();
        parts.headers.insert(CONTENT_SECURITY_POLICY, policy);
        let layout = parts.extensions.remove::<Layout>();
        page(&LibraryPage {
            layout: Layout {
                lang: library.language.tag(),
                ..layout.unwrap_or_else(|| site.plain_layout())
            },
            library,
        })
    } else if is_error && !parts.headers.contains_key(CONTENT_TYPE) {
        let (title, description) = describe(status);
        page(&ErrorPage {
            layout: site.layout(None, ""),
            title,
            description,
        })
    } else {
        return Response::from_parts(parts, body);
    };
    // Keeps the status and headers such as `Allow`.
    parts.headers.remove(CONTENT_LENGTH);
    let (page, body) = page.into_parts();
    parts.headers.extend(page.headers);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        let seconds = HeaderValue::from_static("5");
        parts.headers.entry(RETRY_AFTER).or_insert(seconds);
    }
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
