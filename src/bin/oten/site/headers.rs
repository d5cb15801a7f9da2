use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderName, HeaderValue, header},
    response::Response,
};
use axum_oten::Config;

use super::sign_out_targets::sign_out_targets;

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

/// For a year browsers come back by https only. Other hosts of the domain are not ours to speak for.
const TRANSPORT: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// What differs from site to site.
#[derive(Debug)]
pub(crate) struct SecurityHeaders {
    policy: HeaderValue,
    /// Whether browsers see the site under https.
    https: bool,
}

impl SecurityHeaders {
    /// The headers of the site with this configuration.
    pub(crate) fn of(config: &Config) -> Self {
        Self {
            policy: content_security_policy(&sign_out_targets(config)),
            https: config.secure_cookies(),
        }
    }
}

/// The content security policy of the site's pages: their own stylesheet and icon, nothing else.
///
/// `form_targets` are more origins a form may lead to: browsers hold `form-action` against redirects
/// too, and the sign-out form is answered with one to the provider, which answers with another.
fn content_security_policy(form_targets: &[String]) -> HeaderValue {
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
    State(site): State<Arc<SecurityHeaders>>,
    mut response: Response,
) -> Response {
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.entry(name).or_insert(value);
    }
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert_with(|| site.policy.clone());
    if site.https {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, TRANSPORT);
    }
    response
}
