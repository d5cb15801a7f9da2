//! Discovery documents, against a second reading.

#![no_main]

use axum_oten::{config::Environment, provider::ProviderMetadata};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use url::Url;

fuzz_target!(|document: &[u8]| {
    check(document, "https://id.example", None);
    check(document, "http://localhost:9", None);
    check(
        document,
        Environment::Sandbox.issuer(),
        Some(Environment::Sandbox),
    );
});

fn check(document: &[u8], issuer: &str, environment: Option<Environment>) {
    let Ok(metadata) = ProviderMetadata::from_discovery(document, issuer, environment) else {
        return;
    };
    let url = |text: &str| Url::parse(text).unwrap();
    let without_slash = |url: Url| url.as_str().trim_end_matches('/').to_owned();
    assert_eq!(
        without_slash(url(metadata.issuer())),
        without_slash(url(issuer))
    );
    let endpoints = [
        (
            "authorization_endpoint",
            Some(metadata.authorization_endpoint()),
        ),
        ("token_endpoint", Some(metadata.token_endpoint())),
        ("jwks_uri", Some(metadata.jwks_uri())),
        ("userinfo_endpoint", metadata.userinfo_endpoint()),
        ("end_session_endpoint", metadata.end_session_endpoint()),
        ("revocation_endpoint", metadata.revocation_endpoint()),
    ];
    // The second reading fails if a member that is not used has an unusual value.
    let document: Option<Value> = serde_json::from_slice(document).ok();
    for (name, endpoint) in endpoints {
        let Some(endpoint) = endpoint else { continue };
        let is_local = matches!(
            endpoint.host_str(),
            Some("localhost" | "127.0.0.1" | "[::1]")
        ) || endpoint
            .host_str()
            .is_some_and(|host| host.starts_with("127."));
        let is_http = issuer.starts_with("http:") && is_local && endpoint.scheme() == "http";
        assert!(
            endpoint.scheme() == "https" || is_http,
            "{name}: {endpoint}"
        );
        let named = document
            .as_ref()
            .and_then(|document| document[name].as_str());
        if let Some(named) = named.and_then(|named| Url::parse(named).ok()) {
            assert_eq!(*endpoint, named, "{name}");
        }
    }
}
