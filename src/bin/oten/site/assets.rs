use axum::{
    http::header::{CACHE_CONTROL, CONTENT_TYPE},
    response::IntoResponse,
};
use sha2::{Digest, Sha256};

const STYLESHEET: &str = include_str!("../../../../templates/demo/site.css");
const ICON: &str = include_str!("../../../../templates/demo/icon.svg");

/// The stylesheet's path with a fingerprint, so that it can be cached for ever.
pub(super) fn stylesheet_path() -> String {
    let digest = Sha256::digest(STYLESHEET);
    let fingerprint: String = digest[..6].iter().map(|b| format!("{b:02x}")).collect();
    format!("/site.css?v={fingerprint}")
}

pub(super) async fn stylesheet() -> impl IntoResponse {
    let headers = [
        (CONTENT_TYPE, "text/css; charset=utf-8"),
        (CACHE_CONTROL, "public, max-age=31536000, immutable"),
    ];
    (headers, STYLESHEET)
}

pub(super) async fn icon() -> impl IntoResponse {
    let headers = [
        (CONTENT_TYPE, "image/svg+xml"),
        (CACHE_CONTROL, "public, max-age=86400"),
    ];
    (headers, ICON)
}
