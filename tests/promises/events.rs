//! Promise B5: each sign-in, sign-out and rejection is one event with the correlation ID on the page.

use std::{collections::BTreeMap, time::Duration};

use axum::http::{Method, header};
use axum_oten::{
    MemoryStore, Oten,
    emulator::{
        Deviation, EmulatorBuilder,
        Endpoint::{Discovery, Token},
        Fault,
    },
};
use serde_json::json;

use crate::common::{Answer, Browser, Log, TestSite, app};

type Event = BTreeMap<String, String>;

/// Removes the only event from the log.
#[track_caller]
fn only_event(log: &Log) -> Event {
    let mut events = log.events();
    log.clear();
    assert_eq!(events.len(), 1, "{events:#?}");
    events.remove(0)
}

#[track_caller]
fn assert_id(event: &Event) -> &str {
    let id = &event["correlation_id"];
    assert!(
        id.len() == 16 && id.bytes().all(|b| b.is_ascii_hexdigit()),
        "{event:?}"
    );
    id
}

/// Asserts that the only event is `refused` and agrees with the response.
#[track_caller]
fn assert_refused(log: &Log, answer: &Answer, reason: &str) {
    let event = only_event(log);
    assert_eq!(event["event"], "refused", "{event:?}");
    assert_eq!(event["reason"], reason, "{event:?}");
    assert_eq!(event["status"], answer.status.as_u16().to_string());
    assert!(!event["cause"].is_empty());
    let id = assert_id(&event);
    if answer.header(header::CONTENT_TYPE) == Some("application/problem+json") {
        let problem = answer.json();
        assert_eq!(problem["correlation_id"], id, "{answer:?}");
        assert_eq!(problem["reason"], reason);
    } else {
        assert!(
            answer.body.contains(&format!("<code>{id}</code>")),
            "{answer:?}"
        );
    }
}

/// Requests a path as a navigation of the browser, or as an API client.
async fn request(browser: &mut Browser, path: &str, is_api: bool) -> Answer {
    if is_api {
        browser.fetch(Method::GET, path, "").await
    } else {
        browser.get(path).await
    }
}

#[tokio::test]
async fn b5_a_sign_in_and_a_sign_out_are_one_event_each() {
    let log = Log::start();
    let site = TestSite::start().await;
    let mut browser = site.signed_in("alice").await;
    let signed_in = only_event(&log);
    assert_eq!(signed_in["event"], "signed_in");
    assert!(!signed_in.contains_key("reason"));
    browser.get("/profile").await;
    browser.get("/logout").await;
    assert!(log.events().is_empty(), "{:?}", log.events());

    browser.post("/logout").await;
    let signed_out = only_event(&log);
    assert_eq!(signed_out["event"], "signed_out");
    assert_eq!(signed_out["subject"], signed_in["subject"]);
    assert_ne!(assert_id(&signed_out), assert_id(&signed_in));
    // The user is already signed out.
    browser.post("/logout").await;
    assert!(log.events().is_empty(), "{:?}", log.events());
}

#[tokio::test]
async fn b5_a_redirect_to_sign_in_is_no_event() {
    let log = Log::start();
    let site = TestSite::start().await;
    site.browser().get("/profile").await.location();
    site.browser().get("/").await;
    assert!(log.events().is_empty(), "{:?}", log.events());
}

#[tokio::test]
async fn b5_a_rejected_callback_is_one_event() {
    let log = Log::start();
    let site = TestSite::start().await;
    for is_api in [false, true] {
        let mut browser = site.browser();
        for (query, reason) in [
            ("", "callback_without_state"),
            ("?state=%ff", "callback_not_utf8"),
            ("?state=a&state=b", "callback_repeated_parameter"),
            ("?error=invalid_request", "callback_without_state"),
        ] {
            let path = format!("/callback{query}");
            let answer = request(&mut browser, &path, is_api).await;
            assert_refused(&log, &answer, reason);
        }
        let answer = request(&mut browser, "/login?restart=1", is_api).await;
        assert_refused(&log, &answer, "unknown_sign_in");
        let too_much = format!("/callback?state={}", "x".repeat(10_000));
        let answer = request(&mut browser, &too_much, is_api).await;
        assert_refused(&log, &answer, "callback_too_long");

        for (error, reason) in [
            ("server_error", "provider_error"),
            ("invalid_request", "client_setup"),
            ("login_required", "interaction_required"),
            ("never_heard_of", "provider_refused"),
        ] {
            let url = browser.start_login("/").await;
            let back = site.emulator.reject(url, error).unwrap();
            let answer = request(&mut browser, back.as_str(), is_api).await;
            assert_refused(&log, &answer, reason);
        }
    }
}

#[tokio::test]
async fn b5_a_cancelled_sign_in_is_one_event_and_no_error_page() {
    let log = Log::start();
    let site = TestSite::start().await;
    let mut browser = site.browser();
    let url = browser.start_login("/").await;
    let back = site.emulator.deny(url).unwrap();
    browser.get(back.as_str()).await;
    let event = only_event(&log);
    assert_eq!(event["reason"], "cancelled");
    assert_eq!(event["status"], "200");
}

#[tokio::test]
async fn b5_a_rejected_token_response_is_one_event() {
    let log = Log::start();
    for (deviation, reason) in [
        (Deviation::BadSignature, "id_token_signature"),
        (Deviation::AlgNone, "id_token_signature"),
        (Deviation::NoIdToken, "id_token_missing"),
        (Deviation::UnknownKey, "unknown_key"),
        (
            Deviation::Claim("iss", json!("https://x.example")),
            "id_token_iss",
        ),
        (Deviation::Claim("aud", json!("another")), "id_token_aud"),
        (
            Deviation::Claim("nonce", json!("another")),
            "id_token_nonce",
        ),
        (Deviation::Claim("exp", json!(1)), "id_token_exp"),
        (
            Deviation::TokenField("token_type", json!("mac")),
            "token_response",
        ),
    ] {
        for is_api in [false, true] {
            let site = TestSite::start().await;
            site.emulator.deviate(deviation.clone());
            let mut browser = site.browser();
            let url = browser.start_login("/").await;
            let callback = browser.approve(&url, "alice");
            let answer = request(&mut browser, &callback, is_api).await;
            assert_refused(&log, &answer, reason);
        }
    }
}

#[tokio::test]
async fn b5_a_failure_of_the_provider_is_one_event() {
    let log = Log::start();
    for (endpoint, fault, reason) in [
        (Discovery, Fault::Status(404), "provider_down"),
        (Discovery, Fault::Html, "provider_document"),
        (Token, Fault::Close, "token_endpoint_down"),
        (Token, Fault::OAuthError("invalid_grant"), "invalid_grant"),
        (
            Token,
            Fault::TooManyRequests {
                retry_after: Some(Duration::from_secs(60)),
            },
            "token_endpoint_busy",
        ),
    ] {
        for is_api in [false, true] {
            let site = TestSite::start().await;
            site.emulator.fault(endpoint, fault.clone());
            let mut browser = site.browser();
            let path = if endpoint == Discovery {
                "/login".to_owned()
            } else {
                let url = browser.start_login("/").await;
                browser.approve(&url, "alice")
            };
            let answer = request(&mut browser, &path, is_api).await;
            assert_refused(&log, &answer, reason);
        }
    }
    let site = TestSite::start().await;
    site.emulator.deviate(Deviation::IssuerMismatch);
    let answer = site.browser().get("/login").await;
    assert_refused(&log, &answer, "issuer_mismatch");
}

#[tokio::test]
async fn b5_other_rejections_are_one_event_each() {
    let log = Log::start();
    let site = TestSite::start().await;
    let mut guest = site.browser();
    let answer = guest.fetch(Method::GET, "/profile", "").await;
    assert_refused(&log, &answer, "not_signed_in");
    let answer = guest.fetch(Method::GET, "/extracted", "").await;
    assert_refused(&log, &answer, "not_signed_in");
    let answer = guest.post("/callback").await;
    assert_refused(&log, &answer, "method_not_allowed");

    let site = TestSite::builder()
        .emulator(EmulatorBuilder::without_refresh_tokens)
        .start()
        .await;
    let mut bob = site.signed_in("bob").await;
    log.clear();
    let answer = bob.get("/staff").await;
    assert_refused(&log, &answer, "forbidden");
    let answer = bob.fetch(Method::GET, "/staff", "").await;
    assert_refused(&log, &answer, "forbidden");
    let cross_site = bob.navigation(Method::POST, "/logout");
    let answer = bob.send(cross_site).await;
    assert_refused(&log, &answer, "cross_site");
    site.clock.advance(Duration::from_secs(3600));
    let answer = bob.fetch(Method::GET, "/token", "").await;
    assert_refused(&log, &answer, "access_token_ended");
}

#[tokio::test]
async fn b5_subjects_are_hashes_that_distinguish_users() {
    let log = Log::start();
    let site = TestSite::start().await;
    let mut subjects = Vec::new();
    for user in ["alice", "bob", "alice"] {
        site.signed_in(user).await;
        let subject = only_event(&log)["subject"].clone();
        assert_eq!(subject.len(), 16);
        assert!(!subject.contains(user));
        subjects.push(subject);
    }
    assert_eq!(subjects[0], subjects[2]);
    assert_ne!(subjects[0], subjects[1]);

    // Another process has another key, which rules out precomputed tables of hashes.
    let store = MemoryStore::default().with_clock(site.clock.clone());
    let oten = Oten::builder(site.oten.config().clone(), store.clone())
        .clock(site.clock.clone())
        .build()
        .unwrap();
    let another = TestSite {
        app: app(&oten),
        oten,
        store,
        ..site
    };
    another.signed_in("alice").await;
    assert_ne!(only_event(&log)["subject"], subjects[0]);
}

#[tokio::test]
async fn b5_subjects_are_plain_with_log_subjects() {
    let log = Log::start();
    let site = TestSite::builder()
        .config(|config| config.log_subjects(true))
        .start()
        .await;
    let mut browser = site.signed_in("alice").await;
    assert_eq!(only_event(&log)["subject"], "alice");
    browser.post("/logout").await;
    assert_eq!(only_event(&log)["subject"], "alice");
}
