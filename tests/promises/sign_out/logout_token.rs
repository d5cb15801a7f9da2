//! O4: invalid logout tokens, one test per rule.

use std::time::Duration;

use axum::http::StatusCode;
use axum_oten::{
    Clock, MemoryStore, Oten,
    emulator::{Deviation, LogoutTarget},
};
use serde_json::{Map, Value, json};

use super::{assert_done, send_token, site};
use crate::common::{Browser, Log, Recorder, TestSite};

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

const ALICE: LogoutTarget<'_> = LogoutTarget::Subject("alice");

type Change = fn(&mut Map<String, Value>, &mut Map<String, Value>, i64);

async fn alice() -> (TestSite, Browser) {
    let site = site().start().await;
    let browser = site.signed_in("alice").await;
    (site, browser)
}

fn token(site: &TestSite, change: Change) -> String {
    let now = site.clock.unix_now();
    site.emulator
        .logout_token_with("test-site", ALICE, |header, claims| {
            change(header, claims, now);
        })
}

/// Asserts that the token is rejected for this reason and ends no session.
async fn assert_refused(site: &TestSite, browser: &mut Browser, token: &str, reason: &str) {
    let log = Log::start();
    let answer = send_token(&site.app, token).await;
    assert_eq!(
        answer.status,
        StatusCode::BAD_REQUEST,
        "{reason}: {answer:?}"
    );
    assert_eq!(answer.json()["error"], "invalid_request");
    assert_eq!(log.refusal()["reason"], reason);
    let description = answer.json()["error_description"].to_string();
    assert!(description.contains(reason), "{description}");
    assert!(!log.contains(token));
    assert_eq!(browser.signed_in_as().await, "user alice", "{reason}");
}

async fn assert_rejects(reason: &str, deviations: &[Change]) {
    let (site, mut browser) = alice().await;
    for (number, deviation) in deviations.iter().enumerate() {
        eprintln!("{reason} {number}");
        assert_refused(&site, &mut browser, &token(&site, *deviation), reason).await;
    }
    // A rejected token is not used up, and without the deviation it is accepted.
    let honest = site.emulator.logout_token("test-site", ALICE);
    assert_done(&send_token(&site.app, &honest).await);
    assert_eq!(browser.signed_in_as().await, "guest");
}

macro_rules! deviations {
    ($($name:ident, $reason:literal: [$($deviation:expr),* $(,)?];)*) => {
        $(#[tokio::test]
        async fn $name() {
            let deviations: &[Change] = &[$($deviation),*];
            assert_rejects($reason, deviations).await;
        })*
    };
}

deviations! {
    o4_signature, "logout_token_signature": [
        |header, _, _| drop(header.insert("alg".into(), json!("none"))),
        |header, _, _| drop(header.insert("alg".into(), json!("HS256"))),
        |header, _, _| drop(header.insert("alg".into(), json!("RS256"))),
        |header, _, _| drop(header.insert("crit".into(), json!(["exp"]))),
        |header, _, _| drop(header.insert("jku".into(), json!("https://evil.example/keys"))),
    ];
    o4_kid, "logout_token_unknown_key": [
        |header, _, _| drop(header.insert("kid".into(), json!("unknown"))),
    ];
    o4_typ, "logout_token_typ": [
        |header, _, _| drop(header.insert("typ".into(), json!("at+jwt"))),
        |header, _, _| drop(header.insert("typ".into(), json!("secevent+jwt"))),
        |header, _, _| drop(header.insert("typ".into(), json!(""))),
    ];
    o4_iss, "logout_token_iss": [
        |_, claims, _| drop(claims.insert("iss".into(), json!("https://evil.example"))),
        |_, claims, _| drop(claims.insert("iss".into(), json!(""))),
    ];
    o4_aud, "logout_token_aud": [
        |_, claims, _| drop(claims.insert("aud".into(), json!("another-site"))),
        |_, claims, _| drop(claims.insert("aud".into(), json!(["test-site", "another-site"]))),
        |_, claims, _| drop(claims.insert("aud".into(), json!([]))),
    ];
    o4_exp, "logout_token_exp": [
        |_, claims, now| drop(claims.insert("exp".into(), json!(now - 60))),
        |_, claims, _| drop(claims.insert("exp".into(), json!(0))),
    ];
    o4_iat, "logout_token_iat": [
        |_, claims, now| drop(claims.insert("iat".into(), json!(now + 61))),
    ];
    o4_age, "logout_token_too_old": [
        |_, claims, now| drop(claims.insert("iat".into(), json!(now - 601))),
        |_, claims, now| {
            claims.insert("iat".into(), json!(now - 601));
            claims.remove("exp");
        },
    ];
    o4_jti, "logout_token_jti": [
        |_, claims, _| drop(claims.insert("jti".into(), json!(""))),
    ];
    o4_nonce, "logout_token_nonce": [
        |_, claims, _| drop(claims.insert("nonce".into(), json!("n-0S6_WzA2Mj"))),
        |_, claims, _| drop(claims.insert("nonce".into(), json!(null))),
        |_, claims, _| drop(claims.insert("nonce".into(), json!(""))),
    ];
    o4_events, "logout_token_events": [
        |_, claims, _| drop(claims.remove("events")),
        |_, claims, _| drop(claims.insert("events".into(), json!({}))),
        |_, claims, _| drop(claims.insert("events".into(), json!([EVENT]))),
        |_, claims, _| drop(claims.insert("events".into(), json!(EVENT))),
        |_, claims, _| drop(claims.insert("events".into(), json!({ EVENT: true }))),
        |_, claims, _| drop(claims.insert("events".into(), json!({ EVENT: null }))),
        |_, claims, _| drop(claims.insert("events".into(), json!({ "https://x.example": {} }))),
    ];
    o4_sub_or_sid, "logout_token_names_nobody": [
        |_, claims, _| drop(claims.remove("sub")),
    ];
    o4_shapes, "logout_token_misshapen": [
        |_, claims, _| drop(claims.remove("iss")),
        |_, claims, _| drop(claims.remove("aud")),
        |_, claims, _| drop(claims.remove("iat")),
        |_, claims, _| drop(claims.remove("jti")),
        |_, claims, _| drop(claims.insert("jti".into(), json!(7))),
        |_, claims, _| drop(claims.insert("exp".into(), json!("soon"))),
        |_, claims, _| drop(claims.insert("iat".into(), json!(null))),
        |_, claims, _| drop(claims.insert("sub".into(), json!(["alice"]))),
        |_, claims, _| drop(claims.insert("sub".into(), json!(""))),
        |_, claims, _| drop(claims.insert("sid".into(), json!(""))),
        |_, claims, _| drop(claims.insert("sid".into(), json!(1))),
    ];
}

#[tokio::test]
async fn o4_rejects_deviations_of_signature_and_key() {
    for (deviation, reason) in [
        (Deviation::BadSignature, "logout_token_signature"),
        (Deviation::AlgNone, "logout_token_signature"),
        (Deviation::Hs256WithClientSecret, "logout_token_signature"),
        (Deviation::Hs256WithPublicKey, "logout_token_signature"),
        (Deviation::EmbeddedKey, "logout_token_signature"),
        (Deviation::UnknownKey, "logout_token_unknown_key"),
    ] {
        let (site, mut browser) = alice().await;
        site.emulator.deviate(deviation);
        let token = site.emulator.logout_token("test-site", ALICE);
        assert_refused(&site, &mut browser, &token, reason).await;
    }
}

#[tokio::test]
async fn o4_rejects_an_id_token() {
    let site = site().start().await;
    let recorder = Recorder::before(&site.emulator).await;
    let mut browser = site.signed_in("alice").await;
    site.clock.advance(Duration::from_secs(3600));
    browser.get("/profile").await;
    let calls = recorder.calls();
    let token = |call: usize, name: &str| calls[call].answer[name].as_str().unwrap().to_owned();
    site.clock.advance(Duration::from_secs(1));
    for (token, reason) in [
        (token(1, "id_token"), "logout_token_events"),
        (token(0, "id_token"), "logout_token_nonce"),
        (token(1, "access_token"), "logout_token_typ"),
    ] {
        assert_refused(&site, &mut browser, &token, reason).await;
    }
}

#[tokio::test]
async fn o4_accepts_valid_variations() {
    let truths: [Change; 13] = [
        |_, _, _| (),
        |header, _, _| drop(header.insert("typ".into(), json!("JWT"))),
        |header, _, _| drop(header.insert("typ".into(), json!("Logout+JWT"))),
        |header, _, _| drop(header.insert("typ".into(), json!("application/logout+JWT"))),
        |header, _, _| drop(header.remove("typ")),
        |_, claims, _| drop(claims.insert("sid".into(), json!(null))),
        |_, claims, _| drop(claims.insert("exp".into(), json!(null))),
        |_, claims, _| drop(claims.insert("nbf".into(), json!(null))),
        |_, claims, _| drop(claims.insert("aud".into(), json!(["test-site"]))),
        |_, claims, now| drop(claims.insert("exp".into(), json!(now - 59))),
        |_, claims, _| drop(claims.remove("exp")),
        |_, claims, now| drop(claims.insert("iat".into(), json!(now + 60))),
        |_, claims, now| drop(claims.insert("iat".into(), json!(now - 600))),
    ];
    let (site, _) = alice().await;
    for truth in truths {
        let mut browser = site.signed_in("alice").await;
        assert_done(&send_token(&site.app, &token(&site, truth)).await);
        assert_eq!(browser.signed_in_as().await, "guest");
    }
}

#[tokio::test]
async fn o4_a_logout_token_is_accepted_once() {
    let (site, _) = alice().await;
    // Long enough to be accepted until the last second of its ten minutes.
    let long: Change = |_, claims, now| drop(claims.insert("exp".into(), json!(now + 3600)));
    let short: Change = |_, _, _| ();
    for (change, times) in [(short, [0, 179]), (long, [0, 600])] {
        let used = token(&site, change);
        assert_done(&send_token(&site.app, &used).await);
        let mut browser = site.signed_in("alice").await;
        let mut past = 0;
        for time in times {
            site.clock.advance(Duration::from_secs(time - past));
            past = time;
            assert_refused(&site, &mut browser, &used, "logout_token_replayed").await;
        }
    }
}

#[tokio::test]
async fn l11_a_process_a_minute_behind_accepts_no_used_logout_token() {
    let [ahead, behind] = [60, 0].map(|seconds| {
        let clock = Clock::manual();
        clock.advance(Duration::from_secs(seconds));
        clock
    });
    let store = MemoryStore::default().with_clock(ahead.clone());
    let site = site().start_with(store.clone(), store.clone(), ahead.clone());
    let site = site.await;
    let other = Oten::builder(site.oten.config().clone(), store);
    let other = crate::common::app(&other.clock(behind.clone()).build().unwrap());
    let used = token(&site, |_, _, _| ());
    assert_done(&send_token(&site.app, &used).await);
    for _ in 0..30 {
        for clock in [&ahead, &behind] {
            clock.advance(Duration::from_secs(10));
        }
        assert_eq!(
            send_token(&other, &used).await.status,
            StatusCode::BAD_REQUEST
        );
    }
}

#[tokio::test]
async fn o4_parallel_copies_of_a_logout_token_count_once() {
    let (site, mut browser) = alice().await;
    let token = site.emulator.logout_token("test-site", ALICE);
    let mut posts = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (app, token) = (site.app.clone(), token.clone());
        posts.spawn(async move { send_token(&app, &token).await.status });
    }
    let answers = posts.join_all().await;
    let done = answers.iter().filter(|status| status.is_success());
    assert_eq!(done.count(), 1);
    assert_eq!(browser.signed_in_as().await, "guest");
}

#[tokio::test]
async fn o4_a_rotated_key_is_fetched() {
    let (site, mut browser) = alice().await;
    site.clock.advance(Duration::from_secs(61));
    site.emulator.rotate_keys();
    let token = site.emulator.logout_token("test-site", ALICE);
    assert_done(&send_token(&site.app, &token).await);
    assert_eq!(browser.signed_in_as().await, "guest");
}
