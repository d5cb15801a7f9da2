//! O3: sign-out at the provider.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use axum::http::{Method, StatusCode};
use axum_oten::{
    Oten,
    emulator::{
        Deviation, EmulatorBuilder,
        Endpoint::{Discovery, EndSession, Revocation},
        Fault,
    },
};
use serde_json::{Value, json};
use url::Url;

use super::{is_alive, site};
use crate::common::{
    Browser, ClientKind, Log, Recorder, TestSite, app, jws_part, path_and_query, with_parameter,
};

const BACK: &str = "http://127.0.0.1:3000/logout";

fn query(url: &str) -> BTreeMap<String, String> {
    let url: Url = url.parse().unwrap();
    url.query_pairs().into_owned().collect()
}

fn names(query: &BTreeMap<String, String>) -> Vec<&str> {
    query.keys().map(String::as_str).collect()
}

#[tokio::test]
async fn o3_the_browser_signs_out_at_the_provider_and_returns() {
    for kind in ClientKind::ALL {
        let site = site().client(kind).start().await;
        let mut browser = site.signed_in("alice").await;
        let bob = site.signed_in("bob").await;
        let answer = browser.post("/logout").await;
        let url = answer.location().to_owned();
        assert!(url.starts_with(&format!("{}/v1/oauth/logout?", site.emulator.issuer())));
        let sent = query(&url);
        assert_eq!(
            names(&sent),
            [
                "client_id",
                "id_token_hint",
                "post_logout_redirect_uri",
                "state"
            ]
        );
        assert_eq!(sent["client_id"], "test-site");
        assert_eq!(sent["post_logout_redirect_uri"], BACK);
        assert_eq!(sent["state"].len(), 43, "256 random bits");
        let hint: Value = serde_json::from_slice(&jws_part(&sent["id_token_hint"], 1)).unwrap();
        assert_eq!(hint["sub"], "alice");

        // The session ends before the redirect, even if the browser does not follow it.
        assert!(!browser.cookies.contains_key("oten_session"));
        assert_eq!(browser.signed_in_as().await, "guest");

        // The emulator accepts the hint and ends the one session that it names.
        let back = site.emulator.end_session(&url).unwrap().unwrap();
        assert!(site.emulator.sids_of("alice").is_empty());
        assert_eq!(site.emulator.sids_of("bob").len(), 1);
        let page = browser.get(&path_and_query(&back)).await;
        assert_eq!(page.status, StatusCode::OK);
        assert!(
            page.body.contains("asked Oten to sign you out"),
            "{}",
            page.body
        );
        assert!(!browser.cookies.contains_key("oten_logout"), "used up");
        assert_eq!(bob.clone().signed_in_as().await, "user bob");
    }
}

#[tokio::test]
async fn o3_a_wrong_state_changes_nothing() {
    let site = site().start().await;
    let mut browser = site.signed_in("alice").await;
    let url = browser.post("/logout").await.location().to_owned();
    let back = path_and_query(&site.emulator.end_session(&url).unwrap().unwrap());
    let state = query(&url)["state"].clone();
    for wrong in [
        "/logout".to_owned(),
        "/logout?state=".to_owned(),
        with_parameter(&back, "state", "x"),
        format!("/logout?state={}", &state[1..]),
        format!("{back}&state={state}"),
        format!("{back}&state=x"),
    ] {
        let page = browser.get(&wrong).await;
        assert_eq!(page.status, StatusCode::OK, "{wrong}");
        assert!(
            page.body.contains("You are not signed in to this site"),
            "{wrong}"
        );
        assert!(page.set_cookies().is_empty(), "{wrong}");
    }
    // Nor for another browser, or one that has signed in again.
    let other = site.browser().get(&back).await;
    assert!(other.body.contains("You are not signed in to this site"));
    browser.sign_in("bob", "/").await;
    let page = browser.get(&back).await;
    assert!(page.body.contains("Sign out?"), "{}", page.body);
    assert_eq!(browser.signed_in_as().await, "user bob");
}

#[tokio::test]
async fn o3_the_logout_state_is_kept_in_a_protected_cookie() {
    let https = "https://app.example";
    for (origin, name, end) in [
        (
            "http://127.0.0.1:3000",
            "oten_logout",
            "; HttpOnly; SameSite=Lax; Path=/; Max-Age=600",
        ),
        (
            https,
            "__Host-oten_logout",
            "; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=600",
        ),
    ] {
        let site = site()
            .origin(origin)
            .config(move |config| config.post_logout_redirect_uri(format!("{origin}/logout")))
            .start()
            .await;
        let mut browser = site.signed_in("alice").await;
        let answer = browser.post("/logout").await;
        let state = &query(answer.location())["state"];
        assert_eq!(answer.set_cookies()[0], format!("{name}={state}{end}"));
        assert_eq!(answer.set_cookies().len(), 2);
    }
}

#[tokio::test]
async fn o3_without_a_post_logout_redirect_uri_there_is_no_state() {
    let site = TestSite::builder()
        .emulator(EmulatorBuilder::advertise_end_session)
        .start()
        .await;
    let mut browser = site.signed_in("alice").await;
    let answer = browser.post("/logout").await;
    assert_eq!(
        names(&query(answer.location())),
        ["client_id", "id_token_hint"]
    );
    assert_eq!(site.emulator.end_session(answer.location()).unwrap(), None);
    assert!(!browser.cookies.contains_key("oten_logout"));
}

#[tokio::test]
async fn o3_the_post_logout_redirect_uri_may_be_another_page() {
    let page = "http://127.0.0.1:3000/bye?a=b";
    let site = site()
        .config(move |config| config.post_logout_redirect_uri(page))
        .start()
        .await;
    let mut browser = site.signed_in("alice").await;
    let url = browser.post("/logout").await.location().to_owned();
    let back = site.emulator.end_session(&url).unwrap().unwrap();
    assert!(back.as_str().starts_with(&format!("{page}&state=")));
}

#[tokio::test]
async fn o3_the_configured_endpoint_takes_precedence_and_needs_no_discovery() {
    let site = TestSite::builder()
        .config(|config| {
            config
                .end_session_endpoint("http://127.0.0.1:9/out?theme=dark")
                .post_logout_redirect_uri(BACK)
        })
        .emulator(EmulatorBuilder::advertise_end_session)
        .start()
        .await;
    let mut browser = site.signed_in("alice").await;
    site.emulator.stop().await;
    let answer = browser.post("/logout").await;
    let start = "http://127.0.0.1:9/out?theme=dark&client_id=test-site&id_token_hint=";
    assert!(answer.location().starts_with(start), "{answer:?}");
}

#[tokio::test]
async fn o3_without_an_endpoint_the_logout_is_local() {
    let site = TestSite::builder()
        .config(|config| config.post_logout_redirect_uri(BACK))
        .start()
        .await;
    let mut browser = site.signed_in("alice").await;
    let calls = site.emulator.calls(Revocation);
    assert_eq!(browser.post("/logout").await.location(), BACK);
    assert!(
        browser
            .get("/logout")
            .await
            .body
            .contains("You are signed out")
    );
    site.oten.shutdown().await;
    assert_eq!(site.emulator.calls(Revocation), calls);
    assert_eq!(site.emulator.calls(EndSession), 0);
    assert_eq!(site.emulator.sids_of("alice").len(), 1, "as documented");
}

/// Signs out in a process that has made no call to the provider.
async fn sign_out_elsewhere(site: &TestSite, mut browser: Browser) -> String {
    let oten = Oten::builder(site.oten.config().clone(), site.store.clone())
        .clock(site.clock.clone())
        .build()
        .unwrap();
    browser.app(app(&oten));
    let location = browser.post("/logout").await.location().to_owned();
    assert_eq!(browser.signed_in_as().await, "guest");
    location
}

#[tokio::test]
async fn o3_a_provider_outage_keeps_no_user_signed_in() {
    let site = site().start().await;
    for fault in [Fault::Status(500), Fault::Html, Fault::Close] {
        let browser = site.signed_in("alice").await;
        site.emulator.fault(Discovery, fault);
        assert_eq!(sign_out_elsewhere(&site, browser).await, BACK);
        site.emulator.clear_faults();
    }
    let browser = site.signed_in("alice").await;
    site.emulator.deviate(Deviation::IssuerMismatch);
    assert_eq!(sign_out_elsewhere(&site, browser).await, BACK);
    site.emulator.clear_deviations();

    let browser = site.signed_in("alice").await;
    site.emulator.stop().await;
    assert_eq!(sign_out_elsewhere(&site, browser).await, BACK);
}

#[tokio::test]
async fn o3_sign_out_does_not_wait_long_for_a_slow_provider() {
    let site = site().start().await;
    let browser = site.signed_in("alice").await;
    let held = site.emulator.hold(Discovery);
    let before = Instant::now();
    assert_eq!(sign_out_elsewhere(&site, browser).await, BACK);
    let taken = before.elapsed();
    assert!(taken < Duration::from_secs(4), "{taken:?}");
    held.release();
}

#[tokio::test]
async fn o3_a_second_sign_out_also_redirects_to_the_provider() {
    let site = site().start().await;
    let mut browser = site.signed_in("alice").await;
    let mut impatient = browser.clone();
    browser.post("/logout").await;
    let answer = impatient.post("/logout").await;
    let sent = query(answer.location());
    assert_eq!(
        names(&sent),
        ["client_id", "post_logout_redirect_uri", "state"]
    );
}

#[tokio::test]
async fn o3_a_session_cookie_of_another_host_adds_no_id_token_hint() {
    let site = site().start().await;
    let mut browser = site.signed_in("alice").await;
    let mallory = site.signed_in("bob").await;
    let planted = format!(
        "oten_session={}; oten_session={}",
        mallory.session_cookie().unwrap(),
        browser.session_cookie().unwrap()
    );
    let mut request = browser.navigation(Method::POST, "/logout");
    let headers = request.headers_mut();
    headers.insert("sec-fetch-site", "same-origin".parse().unwrap());
    headers.insert("cookie", planted.parse().unwrap());
    browser.cookies.clear();
    let answer = browser.send(request).await;
    assert!(!answer.location().contains("id_token_hint"));
    assert!(site.store.is_empty() || mallory.clone().signed_in_as().await == "guest");
}

#[tokio::test]
async fn o3_a_cross_site_request_is_not_redirected_to_the_provider() {
    let site = site().start().await;
    let mut browser = site.signed_in("alice").await;
    let mut request = browser.navigation(Method::POST, "/logout");
    let headers = request.headers_mut();
    headers.insert("sec-fetch-site", "cross-site".parse().unwrap());
    let answer = browser.send(request).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(answer.set_cookies().is_empty());
    site.oten.shutdown().await;
    assert_eq!(site.emulator.calls(Revocation), 0);
    assert_eq!(browser.signed_in_as().await, "user alice");
}

#[tokio::test]
async fn o3_the_refresh_token_is_revoked() {
    for kind in ClientKind::ALL {
        let site = site().client(kind).start().await;
        let recorder = Recorder::before(&site.emulator).await;
        let mut browser = site.signed_in("alice").await;
        browser.post("/logout").await;
        site.oten.shutdown().await;
        assert_eq!(site.emulator.calls(Revocation), 1);
        let refresh_token = recorder.calls()[0].answer["refresh_token"].clone();
        if kind != ClientKind::Public {
            assert!(!is_alive(&site.emulator, refresh_token.as_str().unwrap()).await);
        }
    }
    // Unless no revocation endpoint is known.
    let site = TestSite::start().await;
    let recorder = Recorder::before(&site.emulator).await;
    let mut browser = site.signed_in("alice").await;
    browser.post("/logout").await;
    site.oten.shutdown().await;
    let refresh_token = recorder.calls()[0].answer["refresh_token"].clone();
    assert!(is_alive(&site.emulator, refresh_token.as_str().unwrap()).await);
}

#[tokio::test]
async fn o3_an_app_that_ends_the_session_also_revokes_the_refresh_token() {
    let site = site()
        .app(|oten| {
            let flush = async |session: tower_sessions::Session| session.flush().await.unwrap();
            let flush = axum::Router::new().route("/flush", axum::routing::post(flush));
            app(oten).merge(flush.layer(oten.layer()))
        })
        .start()
        .await;
    let mut browser = site.signed_in("alice").await;
    assert_eq!(browser.post("/flush").await.status, StatusCode::OK);
    site.oten.shutdown().await;
    assert_eq!(site.emulator.calls(Revocation), 1);
}

#[tokio::test]
async fn o3_the_configured_revocation_endpoint_takes_precedence() {
    let other = site().start().await;
    let endpoint = format!("{}/v1/oauth/revoke", other.emulator.issuer());
    let site = site()
        .config(move |config| config.revocation_endpoint(endpoint))
        .start()
        .await;
    let mut browser = site.signed_in("alice").await;
    browser.post("/logout").await;
    site.oten.shutdown().await;
    assert_eq!(site.emulator.calls(Revocation), 0);
    assert_eq!(other.emulator.calls(Revocation), 1);
}

#[tokio::test]
async fn o3_a_failed_revocation_does_not_matter() {
    for fault in [
        Fault::Status(500),
        Fault::OAuthError("invalid_client"),
        Fault::Close,
    ] {
        let log = Log::start();
        let site = site().start().await;
        let mut browser = site.signed_in("alice").await;
        site.emulator.fault(Revocation, fault);
        let answer = browser.post("/logout").await;
        assert!(answer.location().contains("id_token_hint"));
        site.oten.shutdown().await;
        assert!(site.emulator.calls(Revocation) > 0);
        let failed = log.named("revocation_failed");
        assert_eq!(failed.len(), 1);
        let signed_out = &log.named("signed_out")[0];
        assert_eq!(failed[0]["correlation_id"], signed_out["correlation_id"]);
    }
}

#[tokio::test]
async fn o3_a_revocation_without_a_discovery_document_is_an_event() {
    let site = site().start().await;
    let mut browser = site.signed_in("alice").await;
    // Another process has no document yet.
    let other = Oten::builder(site.oten.config().clone(), site.store.clone());
    let other = other.clock(site.clock.clone()).build().unwrap();
    browser.app(app(&other));
    site.emulator.fault(Discovery, Fault::Status(500));
    let log = Log::start();
    browser.post("/logout").await;
    other.shutdown().await;
    assert_eq!(log.named("signed_out").len(), 1);
    assert_eq!(log.named("revocation_failed").len(), 1);
}

#[tokio::test]
async fn o3_signing_out_does_not_wait_for_the_revocation() {
    let site = site().start().await;
    let mut browser = site.signed_in("alice").await;
    let held = site.emulator.hold(Revocation);
    browser.post("/logout").await.location();
    held.wait_for(1).await;
    let oten = site.oten.clone();
    let shutdown = tokio::spawn(async move { oten.shutdown().await });
    tokio::task::yield_now().await;
    assert!(!shutdown.is_finished(), "but the end of the process does");
    held.release();
    shutdown.await.unwrap();
}

#[tokio::test]
async fn o3_a_refreshed_id_token_is_used_as_hint() {
    let site = site().start().await;
    let mut browser = site.signed_in("alice").await;
    let first = site.emulator.sids_of("alice");
    for _ in 0..2 {
        site.clock.advance(Duration::from_secs(3600));
        assert_eq!(browser.get("/profile").await.status, StatusCode::OK);
    }
    let url = browser.post("/logout").await.location().to_owned();
    let hint = jws_part(&query(&url)["id_token_hint"], 1);
    let hint: Value = serde_json::from_slice(&hint).unwrap();
    assert_eq!(hint["sid"], json!(first[0]));
    assert!(hint.get("nonce").is_none(), "a refreshed one");
    site.emulator.end_session(&url).unwrap();
    assert!(site.emulator.sids_of("alice").is_empty());
}
