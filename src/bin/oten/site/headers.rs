use axum::{
    extract::State,
    http::{HeaderName, HeaderValue, header},
    response::Response,
};

/// Headers of every answer, apart from the content security policy.
const HEADERS: [(HeaderName, HeaderValue); 4] = [
    (
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    ),
    // Not `no-referrer`: with it browsers send `Origin: null`, and a sign-out would be refused.
    (
        header::REFERRER_POLICY,
        HeaderValue::from_static("same-origin"),
    ),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    ),
    (
        HeaderName::from_static("permissions-policy"),
        HeaderValue::from_static("camera=(), geolocation=(), microphone=()"),
    ),
];

/// The content security policy of the site's pages: their own stylesheet and icon, nothing else.
///
/// `form_targets` are more origins a form may lead to: browsers hold `form-action` against redirects
/// too, and the sign-out form is answered with one to the provider, which answers with another.
pub(super) fn content_security_policy(form_targets: &[String]) -> HeaderValue {
    let form_action = [&["'self'".to_owned()], form_targets].concat().join(" ");
    let policy = format!(
        "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action {form_action}; \
         base-uri 'none'; frame-ancestors 'none'",
    );
    // An origin is ASCII; were it not, the strictest policy would be the safe one.
    HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
}

/// Adds the headers an answer does not have: the library's and the emulator's pages bring a
/// content security policy of their own.
pub(super) async fn add_missing(
    State(policy): State<HeaderValue>,
    mut response: Response,
) -> Response {
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.entry(name).or_insert(value);
    }
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert(policy);
    response
}
