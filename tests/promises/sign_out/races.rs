//! O4: a logout token that arrives at any step of a sign-in or of a change of the session ID.

use std::time::Duration;

use axum::http::{Method, StatusCode, header};
use axum_oten::emulator::{
    Endpoint::{Revocation, Token},
    LogoutTarget,
};
use tokio::task::JoinHandle;

use super::{assert_done, reaches, send_token, site};
use crate::common::{
    Browser, Log,
    Operation::{self, AddMember, Insert, Load, Replace},
    TestSite, WatchedStore, eventually,
};

/// Longer than the rounding of times in a store.
const SECONDS: Duration = Duration::from_secs(5);

/// The last steps of a sign-in, after the code exchange: add index entries, store tokens and session,
/// check for a logout meanwhile.
const SIGN_IN: [Operation; 6] = [AddMember, AddMember, Insert, Insert, Load, Load];

async fn start() -> (TestSite, WatchedStore) {
    site().start_watched().await
}

/// The target of a logout token: the user or the provider's session.
fn targets(site: &TestSite) -> [String; 3] {
    let sids = site.emulator.sids_of("alice");
    let sid = sids.last().unwrap();
    let both = LogoutTarget::Both { sub: "alice", sid };
    [
        LogoutTarget::Subject("alice"),
        LogoutTarget::Session(sid),
        both,
    ]
    .map(|target| site.emulator.logout_token("test-site", target))
}

/// The number of store calls of a callback, and a callback that is about to start.
async fn callback(site: &TestSite, store: &WatchedStore) -> (usize, Browser, String) {
    let mut browser = site.browser();
    let url = browser.start_login("/").await;
    let callback = browser.approve(&url, "alice");
    store.take_calls();
    browser.get(&callback).await;
    let calls = store.take_calls();
    assert!(calls.ends_with(&SIGN_IN), "{calls:?}");
    let mut browser = site.browser();
    let url = browser.start_login("/").await;
    let callback = browser.approve(&url, "alice");
    (calls.len(), browser, callback)
}

fn in_background(mut browser: Browser, path: String) -> JoinHandle<Browser> {
    tokio::spawn(async move {
        browser.get(&path).await;
        browser
    })
}

#[tokio::test]
async fn o4_a_logout_at_any_step_of_a_sign_in_ends_it() {
    for target in 0..3 {
        for step in 1..=SIGN_IN.len() {
            let (site, store) = start().await;
            let (calls, browser, callback) = callback(&site, &store).await;
            let token = &targets(&site)[target];
            // Before this one of the last steps.
            let pause = store.pause_after(calls - SIGN_IN.len() + step - 1);
            let sign_in = in_background(browser, callback);
            pause.reached().await;
            assert_done(&send_token(&site.app, token).await);
            pause.go_on();
            let mut browser = sign_in.await.unwrap();
            assert_eq!(
                browser.signed_in_as().await,
                "guest",
                "{target}, before step {step}"
            );
        }
    }
}

#[tokio::test]
async fn o4_a_sign_in_at_any_step_of_a_logout_is_ended() {
    for target in 0..3 {
        for step in 0.. {
            let (site, store) = start().await;
            let (calls, browser, callback) = callback(&site, &store).await;
            let token = targets(&site)[target].clone();
            // In the index, but not yet stored.
            let sign_in = store.pause_after(calls - 3);
            let browser = in_background(browser, callback);
            sign_in.reached().await;
            let logout = store.pause_after(step);
            let app = site.app.clone();
            let mut ending = tokio::spawn(async move { send_token(&app, &token).await });
            if !reaches(&logout, &mut ending).await {
                assert!(step > 5, "a logout has more than {step} steps");
                break;
            }
            sign_in.go_on();
            let mut browser = browser.await.unwrap();
            logout.go_on();
            assert_done(&ending.await.unwrap());
            assert_eq!(browser.signed_in_as().await, "guest", "{target}, {step}");
        }
    }
}

#[tokio::test]
async fn o4_a_session_that_changes_its_id_at_any_step_of_a_logout_is_ended() {
    for target in 0..3 {
        for step in 0.. {
            let (site, store) = start().await;
            let mut browser = site.signed_in("alice").await;
            let token = targets(&site)[target].clone();
            let logout = store.pause_after(step);
            let app = site.app.clone();
            let mut ending = tokio::spawn(async move { send_token(&app, &token).await });
            if !reaches(&logout, &mut ending).await {
                assert!(step > 4, "a logout has more than {step} steps");
                break;
            }
            browser.post("/cycle").await;
            logout.go_on();
            assert_done(&ending.await.unwrap());
            assert_eq!(browser.signed_in_as().await, "guest", "{target}, {step}");
        }
    }
}

#[tokio::test]
async fn o4_a_logout_at_any_step_of_an_id_change_ends_the_session() {
    let (site, store) = start().await;
    let mut browser = site.signed_in("alice").await;
    store.take_calls();
    browser.post("/cycle").await;
    let calls = store.take_calls();
    assert!(
        calls.contains(&AddMember) && calls.contains(&Replace),
        "{calls:?}"
    );
    for target in 0..3 {
        for step in 0..calls.len() {
            let (site, store) = start().await;
            let mut browser = site.signed_in("alice").await;
            let token = &targets(&site)[target];
            let pause = store.pause_after(step);
            let moving = tokio::spawn(async move {
                browser.post("/cycle").await;
                browser
            });
            pause.reached().await;
            assert_done(&send_token(&site.app, token).await);
            pause.go_on();
            let mut browser = moving.await.unwrap();
            assert_eq!(browser.signed_in_as().await, "guest", "{target}, {step}");
        }
    }
}

#[tokio::test]
async fn o4_a_logout_during_the_code_exchange_ends_the_sign_in() {
    for target in 0..3 {
        let site = site().start().await;
        let mut browser = site.browser();
        let url = browser.start_login("/page").await;
        let callback = browser.approve(&url, "alice");
        let token = &targets(&site)[target];
        let log = Log::start();
        let held = site.emulator.hold(Token);
        let mut tab = browser.clone();
        let sign_in = tokio::spawn(async move { tab.get(&callback).await });
        held.wait_for(1).await;
        site.clock.advance(SECONDS);
        assert_done(&send_token(&site.app, token).await);
        site.clock.advance(SECONDS);
        held.release();
        let page = sign_in.await.unwrap();
        assert_eq!(page.status, StatusCode::FORBIDDEN, "{target}");
        assert!(
            page.body.contains("You were signed out while"),
            "{}",
            page.body
        );
        let link = r#"href="/login?return_to=%2Fpage""#;
        assert!(page.body.contains(link), "{}", page.body);
        assert_eq!(page.header(header::CACHE_CONTROL), Some("no-store"));
        assert!(!page.sets_session());
        assert_eq!(log.refusal()["reason"], "signed_out_meanwhile");
        assert_eq!(log.named("signed_in").len(), 0);
        eventually(|| site.emulator.calls(Revocation) == 1).await;
        assert_eq!(browser.signed_in_as().await, "guest");
        // Signing in again works.
        browser.sign_in("alice", "/page").await;
        assert_eq!(browser.signed_in_as().await, "user alice");
        browser.post("/logout").await;
        site.clock.advance(Duration::from_secs(1300));
        assert!(site.store.is_empty(), "not even tokens are left");
    }
}

#[tokio::test]
async fn o4_a_logout_before_the_sign_in_does_not_end_it() {
    let site = site().start().await;
    site.signed_in("alice").await;
    let logout = async |sub| {
        let target = LogoutTarget::Subject(sub);
        let token = site.emulator.logout_token("test-site", target);
        assert_done(&send_token(&site.app, &token).await);
    };
    logout("alice").await;
    site.clock.advance(SECONDS);
    let mut browser = site.browser();
    let url = browser.start_login("/").await;
    let callback = browser.approve(&url, "alice");
    let held = site.emulator.hold(Token);
    let sign_in = tokio::spawn(async move {
        browser.get(&callback).await;
        browser
    });
    held.wait_for(1).await;
    // The sign-in looks for a logout of its user only if a logout token has arrived.
    logout("bob").await;
    held.release();
    let mut browser = sign_in.await.unwrap();
    assert_eq!(browser.signed_in_as().await, "user alice");
}

#[tokio::test]
async fn o4_a_script_learns_that_its_sign_in_was_ended() {
    let site = site().start().await;
    let mut browser = site.browser();
    let url = browser.start_login("/page").await;
    let callback = browser.approve(&url, "alice");
    let held = site.emulator.hold(Token);
    let sign_in = tokio::spawn(async move { browser.fetch(Method::GET, &callback, "").await });
    held.wait_for(1).await;
    assert_done(&send_token(&site.app, &targets(&site)[0]).await);
    held.release();
    let problem = sign_in.await.unwrap();
    assert_eq!(problem.status, StatusCode::FORBIDDEN);
    assert_eq!(problem.json()["reason"], "signed_out_meanwhile");
    assert_eq!(problem.json()["login_url"], "/login");
}

#[tokio::test]
async fn o4_after_a_store_failure_at_any_step_the_token_can_be_sent_again() {
    for target in [0, 2] {
        for step in 0.. {
            let (site, store) = start().await;
            let mut browsers = [site.signed_in("alice").await, site.signed_in("alice").await];
            let token = targets(&site)[target].clone();
            let pause = store.pause_after(step);
            let (app, sent) = (site.app.clone(), token.clone());
            let mut ending = tokio::spawn(async move { send_token(&app, &sent).await });
            if !reaches(&pause, &mut ending).await {
                assert!(step > 8, "a logout has more than {step} steps");
                break;
            }
            store.fails(&Operation::ALL);
            pause.go_on();
            let answer = ending.await.unwrap();
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{step}");
            assert!(answer.header(header::RETRY_AFTER).is_some());
            store.recover();
            assert_done(&send_token(&site.app, &token).await);
            assert_eq!(browsers[1].signed_in_as().await, "guest", "{step}");
            let first = browsers[0].signed_in_as().await;
            assert_eq!(first == "guest", target == 0, "{step}");
        }
    }
}
