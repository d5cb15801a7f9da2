//! O2: a refresh or a new session ID in flight when the user signs out or another one signs in.

use std::time::Duration;

use axum::http::Method;
use axum_oten::emulator::{
    Endpoint::{Revocation, Token},
    LogoutTarget,
};

use super::{assert_done, is_alive, reaches, send_token, site};
use crate::common::{Answer, Browser, Recorder, TestSite, WatchedStore};

const HOUR: Duration = Duration::from_secs(3600);

/// Ways to sign out.
#[derive(Clone, Copy, Debug)]
enum Way {
    Browser,
    Provider,
}

#[tokio::test]
async fn o2_a_refresh_in_flight_does_not_revive_a_session() {
    for way in [Way::Browser, Way::Provider] {
        let site = site().start().await;
        let recorder = Recorder::before(&site.emulator).await;
        let mut browser = site.signed_in("alice").await;
        site.clock.advance(HOUR);
        // The response to the refresh arrives after the sign-out, which cannot revoke its tokens.
        let held = site.emulator.hold(Token);
        let held_revocation = site.emulator.hold(Revocation);
        let mut tab = browser.clone();
        let refresh = tokio::spawn(async move { (tab.get("/profile").await, tab) });
        held.wait_for(1).await;
        match way {
            Way::Browser => drop(browser.post("/logout").await),
            Way::Provider => {
                let alice = LogoutTarget::Subject("alice");
                let token = site.emulator.logout_token("test-site", alice);
                assert_done(&send_token(&site.app, &token).await);
            }
        }
        held.release();
        let (answer, mut tab) = refresh.await.unwrap();
        assert!(answer.location().starts_with("/login"), "{way:?}");
        assert_eq!(tab.signed_in_as().await, "guest");
        site.clock.advance(Duration::from_secs(1300));
        assert!(site.store.is_empty(), "{way:?}: {}", site.store.len());

        held_revocation.release();
        site.oten.shutdown().await;
        let new_token = recorder.calls()[1].answer["refresh_token"].clone();
        let revocations = match way {
            Way::Browser => 2,
            Way::Provider => 1,
        };
        assert_eq!(site.emulator.calls(Revocation), revocations, "{way:?}");
        assert!(!is_alive(&site.emulator, new_token.as_str().unwrap()).await);
    }
}

#[tokio::test]
async fn o2_new_tokens_are_dropped_even_without_a_revocation_endpoint() {
    let site = TestSite::start().await;
    let mut browser = site.signed_in("alice").await;
    site.clock.advance(HOUR);
    let held = site.emulator.hold(Token);
    let mut tab = browser.clone();
    let refresh = tokio::spawn(async move { tab.get("/profile").await });
    held.wait_for(1).await;
    browser.post("/logout").await;
    held.release();
    assert!(refresh.await.unwrap().location().starts_with("/login"));
    site.oten.shutdown().await;
    assert!(site.store.is_empty());
}

/// A user whose request to change the session ID waits before the store handles its call number
/// `step`. Returns `None` if there are fewer calls.
async fn changing_id(step: usize) -> Option<ChangingId> {
    let (site, store) = TestSite::builder().start_watched().await;
    let mut browser = site.signed_in("alice").await;
    browser.fetch(Method::POST, "/note", "of alice").await;
    let pause = store.pause_after(step);
    let mut tab = browser.clone();
    let mut changing = tokio::spawn(async move { tab.post("/cycle").await });
    if !reaches(&pause, &mut changing).await {
        assert!(step > 4, "the change has more than {step} steps");
        return None;
    }
    Some(ChangingId {
        site,
        browser,
        response: Box::pin(async move {
            pause.go_on();
            changing.await.unwrap()
        }),
        _store: store,
    })
}

struct ChangingId {
    site: TestSite,
    browser: Browser,
    /// The late response to the change.
    response: std::pin::Pin<Box<dyn Future<Output = Answer>>>,
    _store: WatchedStore,
}

/// The browser after it has received a late response.
fn after(browser: &Browser, late: &Answer) -> Browser {
    let mut browser = browser.clone();
    late.set_cookies()
        .iter()
        .for_each(|cookie| browser.keep(cookie));
    browser
}

#[tokio::test]
async fn o2_a_sign_out_ends_a_session_whose_new_id_is_in_flight() {
    for step in 0.. {
        let Some(changing) = changing_id(step).await else {
            break;
        };
        let ChangingId {
            site, mut browser, ..
        } = changing;
        browser.post("/logout").await;
        let late = changing.response.await;
        for mut browser in [after(&browser, &late), browser] {
            assert_eq!(browser.signed_in_as().await, "guest", "{step}");
            assert_eq!(browser.get("/note").await.body, "no note", "{step}");
        }
        site.clock.advance(Duration::from_secs(1300));
        assert!(site.store.is_empty(), "{step}");
    }
}

#[tokio::test]
async fn o2_a_late_new_id_does_not_undo_a_sign_in_as_another_user() {
    for step in 0.. {
        let Some(changing) = changing_id(step).await else {
            break;
        };
        let ChangingId {
            site, mut browser, ..
        } = changing;
        browser.sign_in("bob", "/").await;
        let late = changing.response.await;
        let mut confused = after(&browser, &late);
        assert_ne!(confused.signed_in_as().await, "user alice", "{step}");
        assert_eq!(confused.get("/note").await.body, "no note", "{step}");
        assert_eq!(browser.signed_in_as().await, "user bob", "{step}");
        assert_eq!(browser.get("/note").await.body, "no note", "{step}");
        site.clock.advance(Duration::from_secs(1300));
        assert_eq!(
            site.store.len(),
            2,
            "{step}: the session of bob, and its tokens"
        );
    }
}

#[tokio::test]
async fn o2_data_written_under_a_previous_id_sets_no_cookie() {
    for user in [None, Some("alice")] {
        let site = TestSite::start().await;
        let mut browser = site.browser();
        if let Some(user) = user {
            browser.sign_in(user, "/").await;
        }
        browser.fetch(Method::POST, "/note", "mine").await;
        let mut old = browser.clone();
        browser.post("/cycle").await;
        let records = site.store.len();
        for _ in 0..2 {
            let answer = old.fetch(Method::POST, "/note", "late").await;
            assert!(answer.set_cookies().is_empty(), "{answer:?}");
            assert!(old.post("/cycle").await.set_cookies().is_empty());
        }
        assert_eq!(site.store.len(), records, "no session of a guest");
        assert_eq!(browser.get("/note").await.body, "mine");
    }
}
