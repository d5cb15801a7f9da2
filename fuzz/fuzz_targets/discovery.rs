//! Discovery documents, against a second reading.

#![no_main]

use axum_oten::{config::Environment, provider::ProviderMetadata};
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value};
use url::{Host, Url};

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
    let read = ProviderMetadata::from_discovery(document, issuer, environment);
    let found = read.as_ref().ok().map(endpoints);
    for (name, endpoint) in NAMES.into_iter().zip(found.iter().flatten()) {
        let is_secure = endpoint.as_ref().is_none_or(|url| is_secure(url, issuer));
        assert!(is_secure, "{name}: {endpoint:?}");
    }
    // The second reading fails if a member that is not used has an unusual value.
    let text = document.strip_prefix(b"\xef\xbb\xbf").unwrap_or(document);
    if let Ok(document) = serde_json::from_slice::<Map<String, Value>>(text) {
        let expected = expected(&document.into(), issuer, environment);
        assert_eq!(found, expected, "{read:?}");
    }
}

type Endpoints = [Option<Url>; 6];

const NAMES: [&str; 6] = [
    "authorization_endpoint",
    "token_endpoint",
    "jwks_uri",
    "userinfo_endpoint",
    "end_session_endpoint",
    "revocation_endpoint",
];

fn endpoints(metadata: &ProviderMetadata) -> Endpoints {
    [
        Some(metadata.authorization_endpoint()),
        Some(metadata.token_endpoint()),
        Some(metadata.jwks_uri()),
        metadata.userinfo_endpoint(),
        metadata.end_session_endpoint(),
        metadata.revocation_endpoint(),
    ]
    .map(|url| url.cloned())
}

/// Returns the endpoints of a document that is good. A member that is `null` is absent.
fn expected(document: &Value, issuer: &str, environment: Option<Environment>) -> Option<Endpoints> {
    if normal(document["issuer"].as_str()?) != normal(issuer) {
        return None;
    }
    let is_announced = &document["authorization_response_iss_parameter_supported"];
    if !is_announced.is_null() && !is_announced.is_boolean() {
        return None;
    }
    let documented = environment.map(|it| endpoints(&ProviderMetadata::from_environment(it)));
    let mut found = documented.unwrap_or_default();
    for (at, name) in NAMES.into_iter().enumerate() {
        let named = &document[name];
        let url = named.as_str().and_then(|text| Url::parse(text).ok());
        // Sign-in needs the first three; of the others, one that is no URL is ignored.
        if at < 3 && url.is_none() && (!named.is_null() || found[at].is_none()) {
            return None;
        }
        found[at] = url.or(found[at].take());
    }
    let are_secure = found.iter().flatten().all(|url| is_secure(url, issuer));
    are_secure.then_some(found)
}

/// Returns an issuer in its normal form without one slash at its end. One with characters that a URL parser
/// replaces is compared as text.
fn normal(issuer: &str) -> String {
    let is_odd = |c: char| c.is_control() || c.is_whitespace() || c == '\\' || c == '@';
    let url = Url::parse(issuer).ok().filter(|_| !issuer.contains(is_odd));
    let text = url.map_or(issuer.to_owned(), String::from);
    text.strip_suffix('/').unwrap_or(&text).to_owned()
}

fn is_secure(url: &Url, issuer: &str) -> bool {
    let is_loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    url.scheme() == "https" || url.scheme() == "http" && is_loopback && issuer.starts_with("http:")
}
