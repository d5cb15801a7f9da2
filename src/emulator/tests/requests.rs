use serde_json::{Value, json};

use super::kit::*;
use crate::{
    emulator::{EmulatedClient, Emulator, EmulatorError},
    jose::{Ed25519KeyPair, Header, SigningKey},
    secret::Secret,
};

#[test]
fn a_good_request_ends_at_the_callback_with_code_and_state() {
    let kit = kit();
    let callback = kit.emulator.approve(kit.good_url(), "alice").unwrap();
    assert!(callback.as_str().starts_with(REDIRECT));
    assert_eq!(
        query_value(&callback, "state").as_deref(),
        Some("the-state")
    );
    assert_eq!(query_value(&callback, "code").unwrap().len(), 43);
    assert_eq!(query_value(&callback, "iss"), None);
}

#[test]
fn iss_is_sent_where_it_is_announced() {
    let kit = kit_with(crate::emulator::EmulatorBuilder::advertise_iss);
    let callback = kit.emulator.deny(kit.good_url()).unwrap();
    assert_eq!(
        query_value(&callback, "iss").as_deref(),
        Some(kit.emulator.issuer())
    );
}

#[test]
fn denying_and_refusing_end_at_the_callback_with_an_error() {
    let kit = kit();
    let denied = kit.emulator.deny(kit.good_url()).unwrap();
    assert_eq!(
        query_value(&denied, "error").as_deref(),
        Some("access_denied")
    );
    assert_eq!(query_value(&denied, "state").as_deref(), Some("the-state"));
    let failed = kit.emulator.reject(kit.good_url(), "server_error").unwrap();
    assert_eq!(
        query_value(&failed, "error").as_deref(),
        Some("server_error")
    );
}

#[test]
fn a_bad_claim_is_refused() {
    let kit = kit();
    let now = kit.clock.unix_now();
    let none = Value::Null;
    let object = "invalid_request_object";
    let request = "invalid_request";
    for (name, value, error) in [
        ("iss", json!("other"), object),
        ("iss", none.clone(), object),
        ("aud", json!("https://somebody-else.example"), object),
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
        let mut claims = kit.claims("shop");
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
        let refusal = kit.refusal(&kit.signed_url("shop", &claims));
        assert_eq!(refusal.error(), error, "{name}: {value} ({refusal})");
        let callback = refusal.redirect().expect("the redirect URI is registered");
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
fn good_variations_are_accepted() {
    let kit = kit();
    let now = kit.clock.unix_now();
    for (name, value) in [
        ("aud", json!(["x", kit.emulator.issuer()])),
        ("iat", json!(now + 60)),
        ("exp", json!(now + 300)),
        ("max_age", json!(60)),
        ("max_age", json!("60")),
        ("prompt", json!("login consent")),
        ("code_challenge_method", json!("plain")),
        ("scope", json!("openid workspace")),
    ] {
        let mut claims = kit.claims("shop");
        claims[name] = value.clone();
        let approved = kit.emulator.approve(kit.signed_url("shop", &claims), "bob");
        assert!(approved.is_ok(), "{name}: {value}: {approved:?}");
    }
}

#[test]
fn a_request_object_is_good_once_and_for_its_time() {
    let kit = kit();
    let url = kit.good_url();
    kit.emulator.approve(&url, "alice").unwrap();
    assert_eq!(kit.refusal(&url).error(), "invalid_request_object");

    let late = kit.good_url();
    kit.clock.advance(std::time::Duration::from_secs(120));
    assert_eq!(kit.refusal(&late).error(), "invalid_request");
}

#[test]
fn a_bad_signature_is_refused_and_its_state_is_not_repeated() {
    let kit = kit();
    let claims = kit.claims("shop");
    let stranger = SigningKey::hs256(&Secret::from("another secret of 32 bytes or more"));
    let pair = SigningKey::from(kit.key_pair.clone());
    for request in [
        stranger.sign(&Header::new("JWT"), &claims).unwrap(),
        pair.sign(&Header::new("JWT"), &claims).unwrap(),
        SigningKey::hs256(&Secret::from(SECRET))
            .sign(&Header::new("at+jwt"), &claims)
            .unwrap(),
        "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.e30.".to_owned(),
        "not a JWT".to_owned(),
    ] {
        let refusal = kit.refusal(&kit.url(&[("client_id", "shop"), ("request", &request)]));
        assert_eq!(refusal.error(), "invalid_request_object");
        assert_eq!(query_value(refusal.redirect().unwrap(), "state"), None);
    }
}

#[test]
fn a_registered_key_replaces_the_secret() {
    let kit = kit();
    let claims = kit.claims("eddsa");
    let header = Header::new("JWT");
    let ask = |request: &str| kit.url(&[("client_id", "eddsa"), ("request", request)]);

    let unknown = kit.key_pair.clone().with_key_id("unknown");
    let other = Ed25519KeyPair::generate().with_key_id("client-key");
    for request in [
        sign(&claims),
        SigningKey::from(unknown).sign(&header, &claims).unwrap(),
        SigningKey::from(other).sign(&header, &claims).unwrap(),
    ] {
        assert_eq!(
            kit.refusal(&ask(&request)).error(),
            "invalid_request_object"
        );
    }
    let good = SigningKey::from(kit.key_pair.clone()).sign(&header, &claims);
    kit.emulator.approve(ask(&good.unwrap()), "alice").unwrap();
}

#[test]
fn the_outer_query_of_a_signed_request_says_nothing_else() {
    let kit = kit();
    let request = sign(&kit.claims("shop"));
    let base = [("client_id", "shop"), ("request", request.as_str())];

    let refusal = kit.refusal(&kit.url(&[base[0], base[1], ("state", "forged")]));
    assert_eq!(refusal.error(), "invalid_request");
    assert_eq!(query_value(refusal.redirect().unwrap(), "state"), None);

    let refusal = kit.refusal(&kit.url(&[base[0], base[1], ("request_uri", "urn:x")]));
    assert_eq!(refusal.error(), "invalid_request");
    let refusal = kit.refusal(&kit.url(&[base[0], ("request_uri", "urn:x")]));
    assert_eq!(refusal.error(), "request_uri_not_supported");
    let refusal = kit.refusal(&kit.url(&[base[0], base[1], base[1]]));
    assert_eq!(refusal.error(), "invalid_request");
    let refusal = kit.refusal(&kit.url(&[("client_id", "other"), base[1]]));
    assert_eq!(refusal.error(), "invalid_request_object");
}

#[test]
fn a_confidential_client_must_sign() {
    let kit = kit();
    let refusal = kit.refusal(&kit.url(&Kit::plain("shop")));
    assert_eq!(refusal.error(), "invalid_request");
    assert_eq!(refusal.description(), "Request parameter is required");
    let callback = refusal.redirect().unwrap();
    assert_eq!(query_value(callback, "state").as_deref(), Some("the-state"));
}

#[test]
fn clients_without_request_objects_send_plain_parameters() {
    let kit = kit();
    for client in ["spa", "legacy"] {
        kit.emulator
            .approve(kit.url(&Kit::plain(client)), "carol")
            .unwrap();
        let signed = kit.signed_url(client, &kit.claims(client));
        assert_eq!(kit.refusal(&signed).error(), "request_not_supported");
    }
    let without = |client| {
        let parameters = with(Kit::plain(client), "code_challenge", "");
        kit.url(&with(parameters, "code_challenge_method", ""))
    };
    assert_eq!(kit.refusal(&without("spa")).error(), "invalid_request");
    kit.emulator.approve(without("legacy"), "carol").unwrap();
}

#[test]
fn nothing_is_redirected_to_a_stranger() {
    let kit = kit();
    let mut claims = kit.claims("shop");
    claims["redirect_uri"] = json!("https://evil.example/");
    for url in [
        kit.signed_url("shop", &claims),
        kit.signed_url("nobody", &kit.claims("nobody")),
        kit.url(&[]),
        kit.url(&with(
            Kit::plain("spa"),
            "redirect_uri",
            "https://evil.example/",
        )),
        kit.url(&with(
            Kit::plain("spa"),
            "redirect_uri",
            "http://127.0.0.1:3000/callback/",
        )),
    ] {
        let refusal = kit.refusal(&url);
        assert_eq!(refusal.error(), "invalid_request", "{url}");
        assert_eq!(refusal.redirect(), None, "{url}");
    }
}

#[test]
fn of_two_registered_addresses_the_signed_request_names_one() {
    let kit = kit();
    let url = kit.signed_url("two", &kit.claims("two"));
    let callback = kit.emulator.approve(&url, "alice").unwrap();
    assert!(callback.as_str().starts_with(REDIRECT));
    // Nothing verified says which one is meant: the person is told.
    let refusal = kit.refusal(&kit.url(&[("client_id", "two"), ("request", "broken")]));
    assert_eq!(refusal.error(), "invalid_request_object");
    assert_eq!(refusal.redirect(), None);
}

#[test]
fn only_its_own_url_and_people_are_known() {
    let kit = kit();
    let elsewhere = kit.good_url().replace("/oten/", "/other/");
    assert!(matches!(
        kit.emulator.approve(elsewhere, "alice"),
        Err(EmulatorError::NotAnAuthorizationUrl)
    ));
    assert!(matches!(
        kit.emulator.approve(kit.good_url(), "mallory"),
        Err(EmulatorError::UnknownUser(_))
    ));
    kit.emulator.disable_user("bob");
    assert!(kit.emulator.approve(kit.good_url(), "bob").is_err());
    kit.emulator.enable_user("bob");
    assert!(kit.emulator.approve(kit.good_url(), "bob").is_ok());
}

#[test]
fn registrations_are_checked() {
    let good = || EmulatedClient::confidential("shop", SECRET).redirect_uri(REDIRECT);
    let start = |client: EmulatedClient| {
        let issuer = "http://127.0.0.1:3000".parse().unwrap();
        Emulator::builder().client(client).mount(issuer)
    };
    assert!(start(good()).is_ok());
    assert!(start(good().redirect_uri("https://app.example/callback")).is_ok());
    for bad in [
        EmulatedClient::confidential("shop", SECRET),
        EmulatedClient::public("").redirect_uri(REDIRECT),
        EmulatedClient::confidential("shop", "").redirect_uri(REDIRECT),
        good().redirect_uri("http://app.example/callback"),
        good().redirect_uri("https://app.example/callback#x"),
        good().redirect_uri("app:callback"),
        good().redirect_uri("/callback"),
        good().request_object_key(&json!({ "kty": "RSA" })),
    ] {
        assert!(matches!(start(bad), Err(EmulatorError::Client { .. })));
    }
}

#[test]
fn debug_output_tells_no_secret() {
    let kit = kit();
    let client = EmulatedClient::confidential("shop", SECRET);
    let refusal = kit.refusal(&kit.url(&Kit::plain("shop")));
    let text = format!("{:?} {client:?} {refusal:?}", kit.emulator);
    assert!(
        !text.contains(SECRET) && !text.contains("the-state"),
        "{text}"
    );
}
