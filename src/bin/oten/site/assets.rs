use axum::{
    http::header::{CACHE_CONTROL, CONTENT_TYPE},
    response::IntoResponse,
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

const STYLESHEET: &str = include_str!("../../../../templates/demo/site.css");
const ICON: &str = include_str!("../../../../templates/demo/icon.svg");

/// The stylesheet's path with a fingerprint, so that it can be cached for ever.
pub(super) fn stylesheet_path() -> String {
    let fingerprint = BASE64_URL_SAFE_NO_PAD.encode(&Sha256::digest(STYLESHEET)[..9]);
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
