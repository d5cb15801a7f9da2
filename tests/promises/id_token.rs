//! Promise S6: deviations of the provider, or of an attacker in its place.

use std::time::Duration;

use axum::http::StatusCode;
use axum_oten::emulator::{Deviation, EmulatorBuilder};
use serde_json::{Value, json};

use crate::common::{ClientKind, Log, TestSite};

/// Signs in while the provider deviates. Asserts that no user is signed in, that the log has `reason`
/// and names `rule`, and that a sign-in without the deviation succeeds.
async fn assert_rejected(deviations: &[Deviation], reason: &str, rule: &str) {
    let site = TestSite::start().await;
    assert_rejected_at(&site, deviations, reason, rule).await;
}

async fn assert_rejected_at(site: &TestSite, deviations: &[Deviation], reason: &str, rule: &str) {
    let mut browser = site.browser();
    let url = browser.start_login("/profile").await;
    let callback = browser.approve(&url, "alice");
    for deviation in deviations {
        site.emulator.deviate(deviation.clone());
    }
    let log = Log::start();
    let answer = browser.get(&callback).await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{deviations:?}");
    assert!(answer.body.contains("could not be trusted"));
    assert!(answer.body.contains("href=\"/login?return_to=%2Fprofile\""));
    assert!(!answer.sets_session());
    assert_eq!(browser.signed_in_as().await, "guest");

    let refusal = log.refusal();
    assert_eq!(refusal["reason"], reason, "{refusal:?}");
    assert!(refusal["cause"].contains(rule), "{refusal:?}");
    assert!(answer.body.contains(&refusal["correlation_id"]));
    for value in deviations.iter().filter_map(value_of) {
        assert!(!log.contains(&value), "{value} is in the log");
        assert!(!answer.body.contains(&value), "{value} is on the page");
    }
    assert!(log.named("signed_in").is_empty());

    site.emulator.clear_deviations();
    browser.sign_in("alice", "/profile").await;
    assert_eq!(browser.signed_in_as().await, "user alice");
}

/// The value of a deviation, if it is long enough to search for.
fn value_of(deviation: &Deviation) -> Option<String> {
    let (Deviation::Claim(_, value)
    | Deviation::Header(_, value)
    | Deviation::TokenField(_, value)) = deviation
    else {
        return None;
    };
    let value = value.as_str().map_or(value.to_string(), str::to_owned);
    (value.len() >= 8).then_some(value)
}

/// Asserts that a sign-in with a harmless deviation succeeds.
async fn assert_accepted(deviation: Deviation) {
    let site = TestSite::start().await;
    site.emulator.deviate(deviation);
    let mut browser = site.signed_in("alice").await;
    assert_eq!(browser.signed_in_as().await, "user alice");
}

async fn claim(name: &'static str, value: Value, reason: &str) {
    let rule = format!("`{name}`");
    assert_rejected(&[Deviation::Claim(name, value)], reason, &rule).await;
}

/// Seconds from the clock of a site that is about to start.
fn in_seconds(seconds: i64) -> Value {
    json!(axum_oten::Clock::system().unix_now() + seconds)
}

// Signature

#[tokio::test]
async fn s6_rejects_a_bad_signature() {
    assert_rejected(
        &[Deviation::BadSignature],
        "id_token_signature",
        "signature",
    )
    .await;
}

#[tokio::test]
async fn s6_rejects_an_unsigned_token() {
    for kind in ClientKind::ALL {
        let site = TestSite::builder().client(kind).start().await;
        assert_rejected_at(&site, &[Deviation::AlgNone], "id_token_signature", "`none`").await;
    }
}

#[tokio::test]
async fn s6_rejects_hs256_with_the_client_secret() {
    for kind in ClientKind::ALL {
        let site = TestSite::builder().client(kind).start().await;
        let deviation = [Deviation::Hs256WithClientSecret];
        assert_rejected_at(&site, &deviation, "id_token_signature", "`alg`").await;
    }
}

#[tokio::test]
async fn s6_rejects_hs256_with_the_public_key() {
    assert_rejected(
        &[Deviation::Hs256WithPublicKey],
        "id_token_signature",
        "`alg`",
    )
    .await;
}

#[tokio::test]
async fn s6_rejects_an_algorithm_that_is_not_allowed() {
    for alg in ["RS256", "ES256", "Ed448", "eddsa", ""] {
        let deviation = Deviation::Header("alg", json!(alg));
        assert_rejected(&[deviation], "id_token_signature", "`alg`").await;
    }
}

#[tokio::test]
async fn s6_rejects_a_key_that_is_not_published() {
    assert_rejected(&[Deviation::UnknownKey], "unknown_key", "`kid`").await;
}

#[tokio::test]
async fn s6_rejects_another_kid() {
    let deviation = Deviation::Header("kid", json!("another-key"));
    assert_rejected(&[deviation], "unknown_key", "`kid`").await;
}

#[tokio::test]
async fn s6_rejects_another_key_without_a_kid() {
    assert_rejected(
        &[Deviation::UnknownKey, Deviation::NoKeyId],
        "id_token_signature",
        "signature",
    )
    .await;
}

#[tokio::test]
async fn s6_rejects_a_key_in_the_header() {
    assert_rejected(&[Deviation::EmbeddedKey], "id_token_signature", "`jwk`").await;
}

#[tokio::test]
async fn s6_rejects_unsupported_header_parameters() {
    for (name, value) in [
        ("crit", json!(["exp"])),
        ("jku", json!("https://evil.example/keys")),
        ("jwk", json!({ "kty": "OKP" })),
        ("x5u", json!("https://evil.example/chain")),
        ("x5c", json!(["AAAAAAAAAAAA"])),
        ("b64", json!(false)),
    ] {
        let rule = format!("`{name}`");
        assert_rejected(
            &[Deviation::Header(name, value)],
            "id_token_signature",
            &rule,
        )
        .await;
    }
}

// Other tokens in place of the ID token

#[tokio::test]
async fn s6_rejects_an_access_token() {
    assert_rejected(&[Deviation::AccessTokenAsIdToken], "id_token_typ", "`typ`").await;
}

#[tokio::test]
async fn s6_rejects_another_token_type() {
    for typ in ["at+jwt", "application/at+jwt", "logout+jwt", ""] {
        let deviation = Deviation::Header("typ", json!(typ));
        assert_rejected(&[deviation], "id_token_typ", "`typ`").await;
    }
}

#[tokio::test]
async fn s6_rejects_a_response_without_id_token() {
    assert_rejected(&[Deviation::NoIdToken], "id_token_missing", "`id_token`").await;
    let empty = Deviation::TokenField("id_token", json!(""));
    assert_rejected(&[empty], "id_token_missing", "`id_token`").await;
}

#[tokio::test]
async fn s6_rejects_text_that_is_not_a_token() {
    for text in [
        "x",
        "a.b.c",
        "eyJhbGciOiJub25lIn0.e30",
        "e30.e30.e30.e30.e30",
    ] {
        let deviation = Deviation::TokenField("id_token", json!(text));
        assert_rejected(&[deviation], "id_token_signature", "not a compact JWS").await;
    }
}

// Issuer, audience and subject

#[tokio::test]
async fn s6_rejects_another_issuer() {
    claim("iss", json!("https://evil.example"), "id_token_iss").await;
    claim("iss", json!(""), "id_token_iss").await;
}

#[tokio::test]
async fn s6_rejects_another_spelling_of_the_issuer() {
    let site = TestSite::start().await;
    let spelled = json!(format!("{}/", site.emulator.issuer()));
    let deviation = [Deviation::Claim("iss", spelled)];
    assert_rejected_at(&site, &deviation, "id_token_iss", "`iss`").await;
}

#[tokio::test]
async fn s6_rejects_another_audience() {
    for aud in [
        json!("another-client"),
        json!(["another-client"]),
        json!([]),
        json!("test-site "),
    ] {
        claim("aud", aud, "id_token_aud").await;
    }
}

#[tokio::test]
async fn s6_rejects_an_audience_shared_with_another_client() {
    let shared = Deviation::Claim("aud", json!(["test-site", "another-client"]));
    assert_rejected(std::slice::from_ref(&shared), "id_token_aud", "`aud`").await;
    // Also if `azp` is this client: tokens for other audiences are rejected.
    let for_us = Deviation::Claim("azp", json!("test-site"));
    assert_rejected(&[shared, for_us], "id_token_aud", "`aud`").await;
}

#[tokio::test]
async fn s6_rejects_another_authorized_party() {
    claim("azp", json!("another-client"), "id_token_azp").await;
}

#[tokio::test]
async fn s6_rejects_an_unusable_subject() {
    for sub in [
        json!(""),
        json!("x".repeat(256)),
        json!("älice-of-somewhere"),
    ] {
        claim("sub", sub, "id_token_sub").await;
    }
}

// Times

#[tokio::test]
async fn s6_rejects_an_expired_token() {
    for seconds in [-90, -86_400] {
        claim("exp", in_seconds(seconds), "id_token_exp").await;
    }
    claim("exp", json!(0), "id_token_exp").await;
}

#[tokio::test]
async fn s6_rejects_a_token_issued_in_the_future() {
    claim("iat", in_seconds(90), "id_token_iat").await;
}

#[tokio::test]
async fn s6_rejects_a_token_that_is_not_valid_yet() {
    claim("nbf", in_seconds(90), "id_token_nbf").await;
}

#[tokio::test]
async fn s6_tolerates_one_minute_of_clock_skew() {
    for (name, good, bad, reason) in [
        ("exp", -59, -60, "id_token_exp"),
        ("iat", 60, 61, "id_token_iat"),
        ("nbf", 60, 61, "id_token_nbf"),
        ("auth_time", 60, 61, "id_token_auth_time"),
    ] {
        let site = TestSite::start().await;
        let now = site.clock.unix_now();
        let deviation = [Deviation::Claim(name, json!(now + bad))];
        assert_rejected_at(&site, &deviation, reason, name).await;
        site.emulator
            .deviate(Deviation::Claim(name, json!(now + good)));
        site.signed_in("alice").await;
    }
}

#[tokio::test]
async fn s6_rejects_an_authentication_older_than_max_age() {
    let builder = TestSite::builder();
    let site = builder
        .config(|config| config.max_age(Duration::from_secs(300)))
        .start()
        .await;
    let (now, reason) = (site.clock.unix_now(), "id_token_auth_time");
    let old = Deviation::Claim("auth_time", json!(now - 361));
    let untold = Deviation::WithoutClaim("auth_time");
    for deviation in [old, untold] {
        assert_rejected_at(&site, &[deviation], reason, "`auth_time`").await;
    }
    site.emulator
        .deviate(Deviation::Claim("auth_time", json!(now - 360)));
    site.signed_in("alice").await;
}

#[tokio::test]
async fn l13_rejects_a_session_that_has_expired() {
    let (site, reason) = (TestSite::start().await, "id_token_session_expiry");
    let now = site.clock.unix_now();
    for expiry in [json!(now), json!(now - 86_400)] {
        let deviation = [Deviation::Claim("session_expiry", expiry)];
        assert_rejected_at(&site, &deviation, reason, "`session_expiry`").await;
    }
}

// Binding to the login attempt and the access token

#[tokio::test]
async fn s6_rejects_another_nonce() {
    claim("nonce", json!("another-nonce"), "id_token_nonce").await;
    claim("nonce", json!(""), "id_token_nonce").await;
    claim("nonce", Value::Null, "id_token_nonce").await;
    let untold = Deviation::WithoutClaim("nonce");
    assert_rejected(&[untold], "id_token_nonce", "`nonce`").await;
}

#[tokio::test]
async fn s6_rejects_the_hash_of_another_access_token() {
    claim("at_hash", json!("another-hash"), "id_token_at_hash").await;
    claim("at_hash", json!(""), "id_token_at_hash").await;
    let swapped = Deviation::TokenField("access_token", json!("another-access-token"));
    assert_rejected(&[swapped], "id_token_at_hash", "`at_hash`").await;
}

// Missing and malformed claims

#[tokio::test]
async fn s6_rejects_a_missing_claim() {
    for name in ["iss", "sub", "aud", "exp", "iat"] {
        let (deviation, rule) = (Deviation::WithoutClaim(name), format!("`{name}`"));
        assert_rejected(&[deviation], "id_token_misshapen", &rule).await;
    }
}

#[tokio::test]
async fn s6_rejects_a_claim_of_the_wrong_type() {
    for name in [
        "iss",
        "sub",
        "aud",
        "azp",
        "exp",
        "iat",
        "nbf",
        "auth_time",
        "session_expiry",
        "nonce",
        "at_hash",
        "sid",
    ] {
        for value in [json!(true), json!({ "wrong-type": 1 })] {
            claim(name, value, "id_token_misshapen").await;
        }
    }
    for name in ["iss", "sub", "aud", "exp", "iat"] {
        claim(name, Value::Null, "id_token_misshapen").await;
    }
    for name in ["exp", "iat", "nbf", "auth_time", "session_expiry"] {
        claim(name, json!("1800000000"), "id_token_misshapen").await;
    }
    for name in ["iss", "sub", "azp", "nonce", "at_hash"] {
        claim(name, json!(["alice-or-another"]), "id_token_misshapen").await;
    }
    claim("aud", json!(["test-site", 1]), "id_token_misshapen").await;
}

// The token response

#[tokio::test]
async fn s6_rejects_a_malformed_token_response() {
    for (deviation, rule) in [
        (
            Deviation::TokenField("token_type", json!("mac")),
            "`token_type`",
        ),
        (Deviation::WithoutTokenField("token_type"), "`token_type`"),
        (
            Deviation::WithoutTokenField("access_token"),
            "`access_token`",
        ),
        (
            Deviation::TokenField("access_token", json!("")),
            "`access_token`",
        ),
        (
            Deviation::TokenField("access_token", json!(1)),
            "`access_token`",
        ),
    ] {
        assert_rejected(&[deviation], "token_response", rule).await;
    }
}

// Unusual but valid tokens

#[tokio::test]
async fn s6_accepts_both_names_of_the_algorithm() {
    let builder = TestSite::builder();
    let site = builder
        .emulator(EmulatorBuilder::rfc9864_algorithm_name)
        .start()
        .await;
    let mut browser = site.signed_in("alice").await;
    assert_eq!(browser.signed_in_as().await, "user alice");
}

#[tokio::test]
async fn s6_accepts_a_token_without_kid_if_there_is_one_key() {
    assert_accepted(Deviation::NoKeyId).await;
}

#[tokio::test]
async fn s6_accepts_an_audience_in_a_list() {
    assert_accepted(Deviation::Claim("aud", json!(["test-site"]))).await;
}

#[tokio::test]
async fn s6_accepts_the_client_as_authorized_party() {
    assert_accepted(Deviation::Claim("azp", json!("test-site"))).await;
}

#[tokio::test]
async fn s6_accepts_a_token_without_optional_claims() {
    for name in ["at_hash", "auth_time"] {
        assert_accepted(Deviation::WithoutClaim(name)).await;
    }
    for name in [
        "azp",
        "nbf",
        "auth_time",
        "session_expiry",
        "at_hash",
        "sid",
    ] {
        assert_accepted(Deviation::Claim(name, Value::Null)).await;
    }
    for typ in ["jwt", "application/JWT"] {
        assert_accepted(Deviation::Header("typ", json!(typ))).await;
    }
    assert_accepted(Deviation::TokenField("token_type", json!("bearer"))).await;
    assert_accepted(Deviation::WithoutTokenField("expires_in")).await;
}

#[tokio::test]
async fn s6_accepts_dates_with_fractions() {
    let exp = axum_oten::Clock::system().unix_now() + 100;
    assert_accepted(Deviation::Claim(
        "exp",
        json!(f64::from(u32::try_from(exp).unwrap()) + 0.5),
    ))
    .await;
}
