use http::{HeaderMap, HeaderName, HeaderValue, header};

/// Headers of every answer of our own routes.
const ANSWER: [(HeaderName, HeaderValue); 2] = [
    (
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    ),
    // The callback's URL stays on this site; without a referrer at all, browsers would send
    // `Origin: null` with the button that signs out.
    (
        header::REFERRER_POLICY,
        HeaderValue::from_static("same-origin"),
    ),
];

/// Nothing is loaded, nobody frames it.
const NOTHING: HeaderValue =
    HeaderValue::from_static("default-src 'none'; base-uri 'none'; frame-ancestors 'none'");

/// Protects an answer that sends a browser elsewhere or has nothing to show. It keeps the window
/// that opened it: an app may sign in in one of its own.
pub(super) fn protect(headers: &mut HeaderMap) {
    for (name, value) in ANSWER {
        headers.insert(name, value);
    }
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert(NOTHING);
}

/// Protects something to be shown, also from the window that opened it.
pub(super) fn protect_page(headers: &mut HeaderMap) {
    protect(headers);
    headers.insert(
        "cross-origin-opener-policy",
        HeaderValue::from_static("same-origin"),
    );
}
