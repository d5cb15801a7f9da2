use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderValue, header},
    response::Response,
};
use axum_oten::{Config, config::Issuer};

/// Headers of every response, besides the content security policy.
const HEADERS: [(&str, &str); 4] = [
    ("x-content-type-options", "nosniff"),
    // With `no-referrer`, browsers send `Origin: null`, and a sign-out would be rejected.
    ("referrer-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    (
        "permissions-policy",
        "camera=(), geolocation=(), microphone=()",
    ),
];

/// Browsers use https only for one year. Subdomains are not included: they may be other sites.
const STRICT_TRANSPORT_SECURITY: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// Allows pages their own stylesheet and icon.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; \
                      frame-ancestors 'none'";

/// The headers that depend on the configuration: content security policies, and whether browsers use https only.
#[derive(Debug)]
pub(super) struct Policies {
    /// Forms lead to the site or to one of its sign-out targets. Browsers apply `form-action` to redirects,
    /// too: the sign-out form redirects to the provider, which may redirect again.
    pub(super) own: HeaderValue,
    /// For the library's pages: some of their forms lead to native apps.
    pub(super) library: HeaderValue,
    is_https: bool,
}

impl Policies {
    pub(super) fn new(config: &Config) -> Self {
        let form_targets = sign_out_targets(config).join(" ");
        let own = format!("{POLICY}; form-action 'self' {form_targets}");
        let library = HeaderValue::from_static(POLICY);
        Self {
            // An origin is ASCII, so the conversion does not fail.
            own: HeaderValue::try_from(own)
                .unwrap_or(HeaderValue::from_static("default-src 'none'")),
            library,
            is_https: config.secure_cookies(),
        }
    }
}

/// The origin of the provider's pages.
pub(crate) fn provider_origin(config: &Config) -> String {
    match config.issuer() {
        Issuer::Environment(environment) => environment.issuer().to_owned(),
        Issuer::Custom(url) => url.origin().ascii_serialization(),
        // `Issuer` is non-exhaustive.
        _ => config.origin(),
    }
}

/// The other origins that signing out may lead to: the provider's and the configured ones. An
/// end-session endpoint from the discovery document is assumed to be at the provider's origin.
fn sign_out_targets(config: &Config) -> Vec<String> {
    let configured = [
        config.end_session_endpoint(),
        config.post_logout_redirect_uri(),
    ];
    let mut targets = vec![provider_origin(config)];
    let configured = configured.into_iter().flatten();
    targets.extend(configured.map(|url| url.origin().ascii_serialization()));
    targets.retain(|target| *target != config.origin());
    targets.sort();
    targets.dedup();
    targets
}

/// Adds the headers that a response lacks. Pages of the emulator have a content security policy of their
/// own.
pub(super) async fn add_missing(
    State(policies): State<Arc<Policies>>,
    mut response: Response,
) -> Response {
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert_with(|| policies.own.clone());
    if policies.is_https {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, STRICT_TRANSPORT_SECURITY);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_may_lead_to_every_sign_out_target() {
        let config = Config::builder()
            .issuer("https://id.example/oten")
            .client_id("site")
            .client_secret("a-secret-of-at-least-32-bytes-for-tests")
            .redirect_uri("https://app.example/callback")
            .post_logout_redirect_uri("https://app.example/logout");
        let plain = config.clone().build().unwrap();
        assert_eq!(sign_out_targets(&plain), ["https://id.example"]);
        let other_origins = config
            .end_session_endpoint("https://out.example:8443/out?x=y")
            .post_logout_redirect_uri("https://www.example/")
            .build()
            .unwrap();
        assert_eq!(
            sign_out_targets(&other_origins),
            [
                "https://id.example",
                "https://out.example:8443",
                "https://www.example"
            ]
        );
    }
}
