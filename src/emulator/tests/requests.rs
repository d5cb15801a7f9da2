use serde_json::{Value, json};

use super::support::*;
use crate::{
    emulator::{EmulatedClient, Emulator, EmulatorError},
    jose::{Ed25519KeyPair, Header, SigningKey},
    secret::Secret,
};

#[test]
fn returns_code_and_state_for_a_valid_request() {
    let provider = provider();
    let callback = provider
        .emulator
        .approve(provider.valid_url(), "alice")
        .unwrap();
    assert!(callback.as_str().starts_with(REDIRECT));
    assert_eq!(
        query_value(&callback, "state").as_deref(),
        Some("the-state")
    );
    assert_eq!(query_value(&callback, "code").unwrap().len(), 43);
    assert_eq!(query_value(&callback, "iss"), None);
}

#[test]
fn sends_iss_if_advertised() {
    let provider = provider_with(crate::emulator::EmulatorBuilder::advertise_iss);
    let callback = provider.emulator.deny(provider.valid_url()).unwrap();
    assert_eq!(
        query_value(&callback, "iss").as_deref(),
        Some(provider.emulator.issuer())
    );
}

#[test]
fn returns_errors_of_user_and_provider_to_the_callback() {
    let provider = provider();
    let denied = provider.emulator.deny(provider.valid_url()).unwrap();
    assert_eq!(
        query_value(&denied, "error").as_deref(),
        Some("access_denied")
    );
    assert_eq!(query_value(&denied, "state").as_deref(), Some("the-state"));
    let failed = provider
        .emulator
        .reject(provider.valid_url(), "server_error")
        .unwrap();
    assert_eq!(
        query_value(&failed, "error").as_deref(),
        Some("server_error")
    );
}

#[test]
fn rejects_an_invalid_claim() {
    let provider = provider();
    let now = provider.clock.unix_now();
    let none = Value::Null;
    let object = "invalid_request_object";
    let request = "invalid_request";
    for (name, value, error) in [
        ("iss", json!("other"), object),
        ("iss", none.clone(), object),
        ("aud", json!("https://another-issuer.example"), object),
        ("aud", json!([]), object),
        ("aud", none.clone(), object),
        ("client_id", json!("other"), object),
        ("client_id", none.clone(), object),
        ("iat", none.clone(), object),
        ("iat", json!(now + 61), object),
        ("exp", none.clone(), object),
        ("exp", json!(now + 301), object),
        ("exp", json!(now - 1), object),
        ("exp", json!(now), request),
        ("nbf", json!(now + 61), object),
        ("jti", none.clone(), object),
        ("jti", json!(""), object),
        ("request", json!("x"), object),
        ("request_uri", json!("https://x.example"), object),
        ("scope", json!(["openid"]), object),
        ("scope", json!("profile"), "invalid_scope"),
        ("scope", none.clone(), "invalid_scope"),
        ("response_type", json!("token"), "unsupported_response_type"),
        ("response_type", none.clone(), request),
        ("response_mode", json!("fragment"), request),
        ("state", none.clone(), request),
        ("redirect_uri", none.clone(), request),
        ("code_challenge", none.clone(), request),
        ("code_challenge", json!("short"), request),
        ("code_challenge_method", none.clone(), request),
        ("code_challenge_method", json!("S512"), request),
        ("prompt", json!("never"), request),
        ("prompt", json!("none login"), request),
        ("prompt", json!("none"), "login_required"),
        ("max_age", json!(-1), request),
        ("max_age", json!("soon"), request),
    ] {
        let mut claims = provider.claims("shop");
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
        let rejection = provider.rejection(&provider.signed_url("shop", &claims));
        assert_eq!(rejection.error(), error, "{name}: {value} ({rejection})");
        let callback = rejection
            .redirect()
            .expect("a registered redirect URI receives the error");
        let parameters_were_read = name != "scope" || !value.is_array();
        let state = query_value(callback, "state");
        assert_eq!(
            state.is_some(),
            parameters_were_read && name != "state",
            "{name}: {value}"
        );
    }
}

#[test]
fn accepts_valid_variations() {
    let provider = provider();
    let now = provider.clock.unix_now();
    for (name, value) in [
        ("aud", json!(["x", provider.emulator.issuer()])),
        ("iat", json!(now + 60)),
        ("exp", json!(now + 300)),
        ("max_age", json!(60)),
        ("max_age", json!("60")),
        ("prompt", json!("login consent")),
        ("code_challenge_method", json!("plain")),
        ("scope", json!("openid workspace")),
    ] {
        let mut claims = provider.claims("shop");
        claims[name] = value.clone();
        let approved = provider
            .emulator
            .approve(provider.signed_url("shop", &claims), "bob");
        assert!(approved.is_ok(), "{name}: {value}: {approved:?}");
    }
}

#[test]
fn rejects_a_used_or_expired_request_object() {
    let provider = provider();
    let url = provider.valid_url();
    provider.emulator.approve(&url, "alice").unwrap();
    assert_eq!(provider.rejection(&url).error(), "invalid_request_object");

    let expired = provider.valid_url();
    provider.clock.advance(std::time::Duration::from_secs(120));
    assert_eq!(provider.rejection(&expired).error(), "invalid_request");
}

#[test]
fn rejects_a_bad_signature_without_repeating_state() {
    let provider = provider();
    let claims = provider.claims("shop");
    let other_secret = SigningKey::hs256(&Secret::from("another secret of 32 bytes or more"));
    let pair = SigningKey::from(provider.key_pair.clone());
    for request in [
        other_secret.sign(&Header::new("JWT"), &claims).unwrap(),
        pair.sign(&Header::new("JWT"), &claims).unwrap(),
        SigningKey::hs256(&Secret::from(SECRET))
            .sign(&Header::new("at+jwt"), &claims)
            .unwrap(),
        "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.e30.".to_owned(),
        "not a JWT".to_owned(),
    ] {
        let rejection =
            provider.rejection(&provider.url(&[("client_id", "shop"), ("request", &request)]));
        assert_eq!(rejection.error(), "invalid_request_object");
        assert_eq!(query_value(rejection.redirect().unwrap(), "state"), None);
    }
}

#[test]
fn verifies_with_the_registered_key_instead_of_the_secret() {
    let provider = provider();
    let claims = provider.claims("eddsa");
    let header = Header::new("JWT");
    let url = |request: &str| provider.url(&[("client_id", "eddsa"), ("request", request)]);

    let unknown = provider.key_pair.clone().with_key_id("unknown");
    let other = Ed25519KeyPair::generate().with_key_id("client-key");
    for request in [
        sign(&claims),
        SigningKey::from(unknown).sign(&header, &claims).unwrap(),
        SigningKey::from(other).sign(&header, &claims).unwrap(),
    ] {
        assert_eq!(
            provider.rejection(&url(&request)).error(),
            "invalid_request_object"
        );
    }
    let request = SigningKey::from(provider.key_pair.clone()).sign(&header, &claims);
    provider
        .emulator
        .approve(url(&request.unwrap()), "alice")
        .unwrap();
}

#[test]
fn rejects_parameters_beside_a_request_object() {
    let provider = provider();
    let request = sign(&provider.claims("shop"));
    let base = [("client_id", "shop"), ("request", request.as_str())];

    let rejection = provider.rejection(&provider.url(&[base[0], base[1], ("state", "forged")]));
    assert_eq!(rejection.error(), "invalid_request");
    assert_eq!(query_value(rejection.redirect().unwrap(), "state"), None);

    let rejection =
        provider.rejection(&provider.url(&[base[0], base[1], ("request_uri", "urn:x")]));
    assert_eq!(rejection.error(), "invalid_request");
    let rejection = provider.rejection(&provider.url(&[base[0], ("request_uri", "urn:x")]));
    assert_eq!(rejection.error(), "request_uri_not_supported");
    let rejection = provider.rejection(&provider.url(&[base[0], base[1], base[1]]));
    assert_eq!(rejection.error(), "invalid_request");
    let rejection = provider.rejection(&provider.url(&[("client_id", "other"), base[1]]));
    assert_eq!(rejection.error(), "invalid_request_object");
}

#[test]
fn rejects_an_unsigned_request_of_a_confidential_client() {
    let provider = provider();
    let rejection = provider.rejection(&provider.url(&TestProvider::plain_parameters("shop")));
    assert_eq!(rejection.error(), "invalid_request");
    assert_eq!(rejection.description(), "Request parameter is required");
    let callback = rejection.redirect().unwrap();
    assert_eq!(query_value(callback, "state").as_deref(), Some("the-state"));
}

#[test]
fn accepts_plain_parameters_of_clients_without_request_objects() {
    let provider = provider();
    for client in ["spa", "legacy"] {
        provider
            .emulator
            .approve(
                provider.url(&TestProvider::plain_parameters(client)),
                "carol",
            )
            .unwrap();
        let signed = provider.signed_url(client, &provider.claims(client));
        assert_eq!(provider.rejection(&signed).error(), "request_not_supported");
    }
    let without = |client| {
        let parameters = with(TestProvider::plain_parameters(client), "code_challenge", "");
        provider.url(&with(parameters, "code_challenge_method", ""))
    };
    assert_eq!(
        provider.rejection(&without("spa")).error(),
        "invalid_request"
    );
    provider
        .emulator
        .approve(without("legacy"), "carol")
        .unwrap();
}

#[test]
fn redirects_only_to_registered_uris() {
    let provider = provider();
    let mut claims = provider.claims("shop");
    claims["redirect_uri"] = json!("https://evil.example/");
    for url in [
        provider.signed_url("shop", &claims),
        provider.signed_url("unregistered", &provider.claims("unregistered")),
        provider.url(&[]),
        provider.url(&with(
            TestProvider::plain_parameters("spa"),
            "redirect_uri",
            "https://evil.example/",
        )),
        provider.url(&with(
            TestProvider::plain_parameters("spa"),
            "redirect_uri",
            "http://127.0.0.1:3000/callback/",
        )),
    ] {
        let rejection = provider.rejection(&url);
        assert_eq!(rejection.error(), "invalid_request", "{url}");
        assert_eq!(rejection.redirect(), None, "{url}");
    }
}

#[test]
fn takes_the_redirect_uri_from_the_request_object() {
    let provider = provider();
    let url = provider.signed_url("two", &provider.claims("two"));
    let callback = provider.emulator.approve(&url, "alice").unwrap();
    assert!(callback.as_str().starts_with(REDIRECT));
    // Without a verified request object the redirect URI is unknown, so the user sees a page.
    let rejection =
        provider.rejection(&provider.url(&[("client_id", "two"), ("request", "broken")]));
    assert_eq!(rejection.error(), "invalid_request_object");
    assert_eq!(rejection.redirect(), None);
}

#[test]
fn rejects_foreign_urls_and_unknown_users() {
    let provider = provider();
    let elsewhere = provider.valid_url().replace("/oten/", "/other/");
    assert!(matches!(
        provider.emulator.approve(elsewhere, "alice"),
        Err(EmulatorError::NotAnAuthorizationUrl)
    ));
    assert!(matches!(
        provider.emulator.approve(provider.valid_url(), "mallory"),
        Err(EmulatorError::UnknownUser(_))
    ));
    provider.emulator.disable_user("bob");
    assert!(
        provider
            .emulator
            .approve(provider.valid_url(), "bob")
            .is_err()
    );
    provider.emulator.enable_user("bob");
    assert!(
        provider
            .emulator
            .approve(provider.valid_url(), "bob")
            .is_ok()
    );
}

#[test]
fn rejects_invalid_registrations() {
    let valid = || EmulatedClient::confidential("shop", SECRET).redirect_uri(REDIRECT);
    let start = |client: EmulatedClient| {
        let issuer = "http://127.0.0.1:3000".parse().unwrap();
        Emulator::builder().client(client).mount(issuer)
    };
    assert!(start(valid()).is_ok());
    assert!(start(valid().redirect_uri("https://app.example/callback")).is_ok());
    for invalid in [
        EmulatedClient::confidential("shop", SECRET),
        EmulatedClient::public("").redirect_uri(REDIRECT),
        EmulatedClient::confidential("shop", "").redirect_uri(REDIRECT),
        valid().redirect_uri("http://app.example/callback"),
        valid().redirect_uri("https://app.example/callback#x"),
        valid().redirect_uri("app:callback"),
        valid().redirect_uri("/callback"),
        valid().request_object_key(&json!({ "kty": "RSA" })),
    ] {
        assert!(matches!(start(invalid), Err(EmulatorError::Client { .. })));
    }
}

#[test]
fn redacts_secrets_in_debug_output() {
    let provider = provider();
    let client = EmulatedClient::confidential("shop", SECRET);
    let rejection = provider.rejection(&provider.url(&TestProvider::plain_parameters("shop")));
    let text = format!("{:?} {client:?} {rejection:?}", provider.emulator);
    assert!(
        !text.contains(SECRET) && !text.contains("the-state"),
        "{text}"
    );
}
