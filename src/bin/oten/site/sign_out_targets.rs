use axum_oten::{Config, config::Issuer};

/// Where the provider's pages are, in the spelling of a content security policy.
pub(crate) fn provider_origin(config: &Config) -> String {
    match config.issuer() {
        Issuer::Environment(environment) => environment.issuer().to_owned(),
        Issuer::Custom(url) => url.origin().ascii_serialization(),
        // A kind of issuer that is younger than this program.
        _ => config.origin(),
    }
}

/// The origins elsewhere that signing out may lead to: the provider's, and what the configuration
/// names. An end-session endpoint that is only announced is taken to be at the provider's.
pub(super) fn sign_out_targets(config: &Config) -> Vec<String> {
    let named = [
        config.end_session_endpoint(),
        config.post_logout_redirect_uri(),
    ];
    let mut targets = vec![provider_origin(config)];
    let named = named.into_iter().flatten();
    targets.extend(named.map(|url| url.origin().ascii_serialization()));
    targets.retain(|target| *target != config.origin());
    targets.sort();
    targets.dedup();
    targets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_may_lead_where_signing_out_leads() {
        let config = Config::builder()
            .issuer("https://id.example/oten")
            .client_id("site")
            .client_secret("a-secret-of-at-least-32-bytes-for-tests")
            .redirect_uri("https://app.example/callback")
            .post_logout_redirect_uri("https://app.example/logout");
        let plain = config.clone().build().unwrap();
        assert_eq!(sign_out_targets(&plain), ["https://id.example"]);
        let elsewhere = config
            .end_session_endpoint("https://out.example:8443/out?x=y")
            .post_logout_redirect_uri("https://www.example/")
            .build()
            .unwrap();
        assert_eq!(
            sign_out_targets(&elsewhere),
            [
                "https://id.example",
                "https://out.example:8443",
                "https://www.example"
            ]
        );
    }
}
