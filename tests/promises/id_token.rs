//! Promise S6: what a provider says that lies, or somebody in its place.

use std::time::Duration;

use axum::http::StatusCode;
use axum_oten::emulator::{Deviation, EmulatorBuilder};
use serde_json::{Value, json};

use crate::common::{ClientKind, Log, TestSite};

/// Signs in while the provider lies. Nobody is signed in, the log says `reason` and names `rule`,
/// and once it tells the truth again it is believed.
async fn disbelieved(lies: &[Deviation], reason: &str, rule: &str) {
    let site = TestSite::start().await;
    disbelieved_at(&site, lies, reason, rule).await;
}

async fn disbelieved_at(site: &TestSite, lies: &[Deviation], reason: &str, rule: &str) {
    let mut browser = site.browser();
    let url = browser.start_login("/profile").await;
    let callback = browser.approve(&url, "alice");
    for lie in lies {
        site.emulator.deviate(lie.clone());
    }
    let log = Log::start();
    let answer = browser.get(&callback).await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{lies:?}");
    assert!(answer.body.contains("could not be trusted"));
    assert!(answer.body.contains("href=\"/login?return_to=%2Fprofile\""));
    assert!(!answer.sets_session());
    assert_eq!(browser.who().await, "guest");

    let refusal = log.refusal();
    assert_eq!(refusal["reason"], reason, "{refusal:?}");
    assert!(refusal["cause"].contains(rule), "{refusal:?}");
    assert!(answer.body.contains(&refusal["correlation_id"]));
    for told in lies.iter().filter_map(told) {
        assert!(!log.contains(&told), "{told} is in the log");
        assert!(!answer.body.contains(&told), "{told} is on the page");
    }
    assert!(log.named("signed_in").is_empty());

    site.emulator.clear_deviations();
    browser.sign_in("alice", "/profile").await;
    assert_eq!(browser.who().await, "user alice");
}

/// What a lie says, where it is long enough to be looked for.
fn told(lie: &Deviation) -> Option<String> {
    let (Deviation::Claim(_, value)
    | Deviation::Header(_, value)
    | Deviation::TokenField(_, value)) = lie
    else {
        return None;
    };
    let told = value.as_str().map_or(value.to_string(), str::to_owned);
    (told.len() >= 8).then_some(told)
}

/// Signs in with what sounds like a lie and is none.
async fn believed(lie: Deviation) {
    let site = TestSite::start().await;
    site.emulator.deviate(lie);
    let mut browser = site.signed_in("alice").await;
    assert_eq!(browser.who().await, "user alice");
}

async fn claim(name: &'static str, value: Value, reason: &str) {
    let rule = format!("`{name}`");
    disbelieved(&[Deviation::Claim(name, value)], reason, &rule).await;
}

/// Seconds from the clock of a site that is about to start; both stand still or nearly.
fn in_seconds(seconds: i64) -> Value {
    json!(axum_oten::Clock::system().unix_now() + seconds)
}

// The signature.

#[tokio::test]
async fn s6_rejects_a_bad_signature() {
    disbelieved(
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
        disbelieved_at(&site, &[Deviation::AlgNone], "id_token_signature", "`none`").await;
    }
}

#[tokio::test]
async fn s6_rejects_hs256_with_the_client_secret() {
    for kind in ClientKind::ALL {
        let site = TestSite::builder().client(kind).start().await;
        let lie = [Deviation::Hs256WithClientSecret];
        disbelieved_at(&site, &lie, "id_token_signature", "`alg`").await;
    }
}

#[tokio::test]
async fn s6_rejects_hs256_with_the_public_key() {
    disbelieved(
        &[Deviation::Hs256WithPublicKey],
        "id_token_signature",
        "`alg`",
    )
    .await;
}

#[tokio::test]
async fn s6_rejects_an_algorithm_that_is_not_allowed() {
    for alg in ["RS256", "ES256", "Ed448", "eddsa", ""] {
        let lie = Deviation::Header("alg", json!(alg));
        disbelieved(&[lie], "id_token_signature", "`alg`").await;
    }
}

#[tokio::test]
async fn s6_rejects_a_key_that_is_not_published() {
    disbelieved(&[Deviation::UnknownKey], "unknown_key", "`kid`").await;
}

#[tokio::test]
async fn s6_rejects_another_kid() {
    let lie = Deviation::Header("kid", json!("another-key"));
    disbelieved(&[lie], "unknown_key", "`kid`").await;
}

#[tokio::test]
async fn s6_rejects_another_key_without_a_kid() {
    disbelieved(
        &[Deviation::UnknownKey, Deviation::NoKeyId],
        "id_token_signature",
        "signature",
    )
    .await;
}

#[tokio::test]
async fn s6_rejects_a_key_in_the_header() {
    disbelieved(&[Deviation::EmbeddedKey], "id_token_signature", "`jwk`").await;
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
        disbelieved(
            &[Deviation::Header(name, value)],
            "id_token_signature",
            &rule,
        )
        .await;
    }
}

// Other tokens in its place.

#[tokio::test]
async fn s6_rejects_an_access_token() {
    disbelieved(&[Deviation::AccessTokenAsIdToken], "id_token_typ", "`typ`").await;
}

#[tokio::test]
async fn s6_rejects_another_token_type() {
    for typ in ["at+jwt", "application/at+jwt", "logout+jwt", ""] {
        let lie = Deviation::Header("typ", json!(typ));
        disbelieved(&[lie], "id_token_typ", "`typ`").await;
    }
}

#[tokio::test]
async fn s6_rejects_a_response_without_id_token() {
    disbelieved(&[Deviation::NoIdToken], "id_token_missing", "`id_token`").await;
    let empty = Deviation::TokenField("id_token", json!(""));
    disbelieved(&[empty], "id_token_missing", "`id_token`").await;
}

#[tokio::test]
async fn s6_rejects_text_that_is_not_a_token() {
    for text in [
        "x",
        "a.b.c",
        "eyJhbGciOiJub25lIn0.e30",
        "e30.e30.e30.e30.e30",
    ] {
        let lie = Deviation::TokenField("id_token", json!(text));
        disbelieved(&[lie], "id_token_signature", "not a compact JWS").await;
    }
}

// Who speaks, about whom, to whom.

#[tokio::test]
async fn s6_rejects_another_issuer() {
    claim("iss", json!("https://evil.example"), "id_token_iss").await;
    claim("iss", json!(""), "id_token_iss").await;
}

#[tokio::test]
async fn s6_rejects_another_spelling_of_the_issuer() {
    let site = TestSite::start().await;
    let spelled = json!(format!("{}/", site.emulator.issuer()));
    let lie = [Deviation::Claim("iss", spelled)];
    disbelieved_at(&site, &lie, "id_token_iss", "`iss`").await;
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
    disbelieved(std::slice::from_ref(&shared), "id_token_aud", "`aud`").await;
    // Also where we are the one who asked: nobody else is trusted with our users' tokens.
    let for_us = Deviation::Claim("azp", json!("test-site"));
    disbelieved(&[shared, for_us], "id_token_aud", "`aud`").await;
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

// When.

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
        let lie = [Deviation::Claim(name, json!(now + bad))];
        disbelieved_at(&site, &lie, reason, name).await;
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
    for lie in [old, untold] {
        disbelieved_at(&site, &[lie], reason, "`auth_time`").await;
    }
    site.emulator
        .deviate(Deviation::Claim("auth_time", json!(now - 360)));
    site.signed_in("alice").await;
}

// What ties it to this sign-in and to the access token.

#[tokio::test]
async fn s6_rejects_another_nonce() {
    claim("nonce", json!("another-nonce"), "id_token_nonce").await;
    claim("nonce", json!(""), "id_token_nonce").await;
    let untold = Deviation::WithoutClaim("nonce");
    disbelieved(&[untold], "id_token_nonce", "`nonce`").await;
}

#[tokio::test]
async fn s6_rejects_the_hash_of_another_access_token() {
    claim("at_hash", json!("another-hash"), "id_token_at_hash").await;
    claim("at_hash", json!(""), "id_token_at_hash").await;
    let swapped = Deviation::TokenField("access_token", json!("another-access-token"));
    disbelieved(&[swapped], "id_token_at_hash", "`at_hash`").await;
}

// Claims that are missing, or are not what they should be.

#[tokio::test]
async fn s6_rejects_a_missing_claim() {
    for name in ["iss", "sub", "aud", "exp", "iat"] {
        let (lie, rule) = (Deviation::WithoutClaim(name), format!("`{name}`"));
        disbelieved(&[lie], "id_token_misshapen", &rule).await;
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
        "nonce",
        "at_hash",
    ] {
        for value in [json!(true), json!({ "wrong-type": 1 }), Value::Null] {
            claim(name, value, "id_token_misshapen").await;
        }
    }
    for name in ["exp", "iat", "nbf", "auth_time"] {
        claim(name, json!("1800000000"), "id_token_misshapen").await;
    }
    for name in ["iss", "sub", "azp", "nonce", "at_hash"] {
        claim(name, json!(["alice-or-another"]), "id_token_misshapen").await;
    }
    claim("aud", json!(["test-site", 1]), "id_token_misshapen").await;
}

// The answer around it.

#[tokio::test]
async fn s6_rejects_a_malformed_token_response() {
    for (lie, rule) in [
        (
            Deviation::TokenField("token_type", json!("mac")),
            "`token_type`",
        ),
        (
            Deviation::WithoutTokenField("token_type"),
            "not a token response",
        ),
        (
            Deviation::WithoutTokenField("access_token"),
            "not a token response",
        ),
        (
            Deviation::TokenField("access_token", json!("")),
            "not a token response",
        ),
        (
            Deviation::TokenField("access_token", json!(1)),
            "not a token response",
        ),
        (
            Deviation::TokenField("expires_in", json!(-1)),
            "not a token response",
        ),
    ] {
        disbelieved(&[lie], "token_response", rule).await;
    }
}

// What is true although it looks odd.

#[tokio::test]
async fn s6_accepts_both_names_of_the_algorithm() {
    let builder = TestSite::builder();
    let site = builder
        .emulator(EmulatorBuilder::rfc9864_algorithm_name)
        .start()
        .await;
    let mut browser = site.signed_in("alice").await;
    assert_eq!(browser.who().await, "user alice");
}

#[tokio::test]
async fn s6_accepts_a_token_without_kid_if_there_is_one_key() {
    believed(Deviation::NoKeyId).await;
}

#[tokio::test]
async fn s6_accepts_an_audience_in_a_list() {
    believed(Deviation::Claim("aud", json!(["test-site"]))).await;
}

#[tokio::test]
async fn s6_accepts_the_client_as_authorized_party() {
    believed(Deviation::Claim("azp", json!("test-site"))).await;
}

#[tokio::test]
async fn s6_accepts_a_token_without_optional_claims() {
    for name in ["at_hash", "auth_time"] {
        believed(Deviation::WithoutClaim(name)).await;
    }
    believed(Deviation::Header("typ", json!("jwt"))).await;
    believed(Deviation::TokenField("token_type", json!("bearer"))).await;
    believed(Deviation::WithoutTokenField("expires_in")).await;
}

#[tokio::test]
async fn s6_accepts_dates_with_fractions() {
    let exp = axum_oten::Clock::system().unix_now() + 100;
    believed(Deviation::Claim(
        "exp",
        json!(f64::from(u32::try_from(exp).unwrap()) + 0.5),
    ))
    .await;
}
