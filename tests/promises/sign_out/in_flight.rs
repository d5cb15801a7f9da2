//! O2: a refresh in flight when the user signs out.

use std::time::Duration;

use axum_oten::emulator::{
    Endpoint::{Revocation, Token},
    LogoutTarget,
};

use super::{assert_done, is_alive, send_token, site};
use crate::common::{Recorder, TestSite};

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
