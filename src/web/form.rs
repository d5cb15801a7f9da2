use axum::body::{Body, Bytes, to_bytes};
use http::{HeaderMap, Request, header};

use crate::iter::exactly_one;

/// Reads the body of a form, of at most `max_bytes`. The error says what is wrong with the request.
pub(super) async fn read_form(
    request: Request<Body>,
    max_bytes: usize,
) -> Result<Bytes, &'static str> {
    let (parts, body) = request.into_parts();
    if !is_form(&parts.headers) {
        return Err("the content type is not application/x-www-form-urlencoded");
    }
    let body = to_bytes(body, max_bytes).await;
    body.map_err(|_| "the body is incomplete or too long")
}

/// Whether the body is a form without files.
pub(super) fn is_form(headers: &HeaderMap) -> bool {
    let content_type = exactly_one(headers.get_all(header::CONTENT_TYPE));
    let essence =
        content_type.and_then(|value| value.as_bytes().split(|byte| *byte == b';').next());
    essence.is_some_and(|essence| {
        essence
            .trim_ascii()
            .eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
    })
}
