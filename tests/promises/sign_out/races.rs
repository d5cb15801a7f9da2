//! O4: a logout token that arrives at any step of a sign-in or of a change of the session ID.

use axum::{Router, routing::post};
use axum_oten::{Oten, emulator::LogoutTarget};
use tokio::task::JoinHandle;
use tower_sessions::Session;

use super::{assert_done, send_token, site};
use crate::common::{
    Browser,
    Operation::{self, AddMember, Insert, Load, Replace},
    Pause, TestSite, WatchedStore, app,
};

/// The last steps of a sign-in, after the code exchange: add index entries, store tokens and session,
/// check for a logout meanwhile.
const SIGN_IN: [Operation; 6] = [AddMember, AddMember, Insert, Insert, Load, Load];

async fn start() -> (TestSite, WatchedStore) {
    let moving = |oten: &Oten| {
        let cycle = async |session: Session| session.cycle_id().await.unwrap();
        let cycle = Router::new().route("/cycle", post(cycle));
        app(oten).merge(cycle.layer(oten.layer()))
    };
    site().app(moving).start_watched().await
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

/// Returns whether the task reached the pause before it completed.
async fn reaches<T>(pause: &Pause, work: &mut JoinHandle<T>) -> bool {
    tokio::select! {
        () = pause.reached() => true,
        _ = work => false,
    }
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
