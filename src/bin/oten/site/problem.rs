use std::sync::Arc;

use askama::Template;
use axum::{
    extract::State,
    http::{
        StatusCode,
        header::{CONTENT_LENGTH, CONTENT_TYPE},
    },
    response::Response,
};

use super::{Site, pages::page};

#[derive(Template)]
#[template(path = "demo/problem.html")]
struct Problem<'a> {
    site: &'a Site,
    heading: &'static str,
    sentence: &'static str,
}

/// Gives an error without a body a page that says what happened: an unknown path, a method a page
/// does not have, a request that took too long.
pub(super) async fn dress(State(site): State<Arc<Site>>, response: Response) -> Response {
    let status = response.status();
    let bare = !response.headers().contains_key(CONTENT_TYPE);
    if !bare || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let (heading, sentence) = words(status);
    let dressed = page(&Problem {
        site: &site,
        heading,
        sentence,
    });
    // The status and headers such as `Allow` stay; what described the empty body goes.
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(CONTENT_LENGTH);
    let (dressing, body) = dressed.into_parts();
    parts.headers.extend(dressing.headers);
    Response::from_parts(parts, body)
}

fn words(status: StatusCode) -> (&'static str, &'static str) {
    match status {
        StatusCode::NOT_FOUND => (
            "No such page",
            "There is nothing at this address. Perhaps a letter went missing.",
        ),
        StatusCode::METHOD_NOT_ALLOWED => (
            "Not that way",
            "This address exists, but it does not take this kind of request.",
        ),
        StatusCode::SERVICE_UNAVAILABLE => (
            "That took too long",
            "The site could not answer in time. Please try again in a moment.",
        ),
        status if status.is_server_error() => (
            "Something broke",
            "The mistake is ours, not yours. Please try again in a moment.",
        ),
        _ => (
            "That did not work",
            "The site could not make sense of this request.",
        ),
    }
}
