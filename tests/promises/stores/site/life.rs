//! A session from sign-in to sign-out, and concurrent requests when a refresh is due.

use axum::http::{Method, StatusCode};
use axum_oten::emulator::{Deviation, Endpoint::Token, Fault};
use serde_json::json;
use tokio::task::JoinSet;

use super::{OF_A_SESSION, StoreLocation, another_process, due};
use crate::common::{app, eventually};

super::on_stores! {
    [memory sqlite postgres redis] {
        o2_a_session_from_sign_in_to_sign_out
        l2_two_hundred_requests_make_one_call
        l2_the_next_holder_of_the_lease_sees_the_new_tokens
        l5_a_failed_call_is_not_repeated_by_another_process
    }
}

async fn o2_a_session_from_sign_in_to_sign_out(location: StoreLocation) {
    let (site, store) = location.site(app).await;
    let mut browser = site.browser();
    let noted = browser.fetch(Method::POST, "/note", "of a guest").await;
    assert_eq!(noted.status, StatusCode::OK);
    let as_guest = browser.cookies.clone();
    let of_guest = store.written("session")[0].0;

    site.emulator
        .deviate(Deviation::TokenField("expires_in", json!(0)));
    let login = browser.start_login("/profile").await;
    let callback = browser.approve(&login, "alice");
    assert_eq!(browser.get(&callback).await.location(), "/profile");
    site.emulator.clear_deviations();

    // The tokens have expired and are refreshed once.
    for _ in 0..3 {
        let profile = browser.get("/profile").await;
        assert_eq!(profile.json()["sub"], "alice");
        assert_eq!(site.emulator.refreshes(), 1);
    }
    let token = browser.get("/token").await;
    assert_eq!(token.status, StatusCode::OK);
    assert_eq!(site.emulator.refreshes(), 1);

    // The app's data is kept.
    assert_eq!(browser.get("/note").await.body, "of a guest");
    browser.fetch(Method::POST, "/note", "of alice").await;
    assert_eq!(browser.get("/note").await.body, "of alice");

    // A replayed callback and the cookie from before the sign-in.
    assert_eq!(browser.get(&callback).await.location(), "/profile");
    assert_eq!(browser.signed_in_as().await, "user alice");
    let mut before = site.browser();
    before.cookies = as_guest;
    assert_eq!(before.signed_in_as().await, "guest");
    assert_eq!(before.get("/note").await.body, "no note");

    let mut old = browser.clone();
    browser.post("/logout").await;
    assert_eq!(browser.signed_in_as().await, "guest");
    assert_eq!(old.signed_in_as().await, "guest");
    assert_eq!(
        old.get("/profile").await.location(),
        "/login?return_to=%2Fprofile"
    );
    assert_eq!(old.get("/note").await.body, "no note");
    old.get(&callback).await;
    assert_eq!(old.signed_in_as().await, "guest");
    // The guest's session leaves a mark for a while.
    let mut left = store.left(&OF_A_SESSION).await;
    left.retain(|key| *key != of_guest);
    assert_eq!(left, []);
    assert_eq!(
        (site.emulator.refreshes(), site.emulator.reuse_detected()),
        (1, 0)
    );
}

async fn l2_two_hundred_requests_make_one_call(location: StoreLocation) {
    let (site, store) = location.site(app).await;
    let browser = due(&site).await;
    let held = site.emulator.hold(Token);
    let mut requests = JoinSet::new();
    for _ in 0..200 {
        let mut browser = browser.clone();
        requests.spawn(async move { browser.get("/profile").await });
    }
    held.wait_for(1).await;
    held.release();
    for answer in requests.join_all().await {
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    }
    assert_eq!(
        (site.emulator.refreshes(), site.emulator.reuse_detected()),
        (1, 0)
    );
    // Requests in the same process share one lease.
    assert_eq!(store.written("lease").len(), 1);
    assert_eq!(store.left(&["lease"]).await, []);
}

/// Another process loads expired tokens and acquires the lease after they were refreshed.
async fn l2_the_next_holder_of_the_lease_sees_the_new_tokens(location: StoreLocation) {
    let (site, store) = location.site(app).await;
    let mut browser = due(&site).await;
    let late = super::Store::new(store.memory.clone());
    let mut elsewhere = browser.clone();
    elsewhere.app(app(&another_process(&site, late.clone())));
    // Loads the provider's metadata in advance.
    elsewhere.start_login("/").await;

    let held = late.hold("lease").await;
    let waiting = tokio::spawn(async move { elsewhere.get("/profile").await });
    eventually(|| !late.written("lease").is_empty()).await;
    assert_eq!(browser.get("/profile").await.status, StatusCode::OK);
    drop(held);
    assert_eq!(waiting.await.unwrap().status, StatusCode::OK);
    assert_eq!(
        (site.emulator.refreshes(), site.emulator.reuse_detected()),
        (1, 0)
    );
}

async fn l5_a_failed_call_is_not_repeated_by_another_process(location: StoreLocation) {
    let (site, store) = location.site(app).await;
    let mut browser = due(&site).await;
    let mut elsewhere = browser.clone();
    elsewhere.app(app(&another_process(&site, store)));
    site.emulator.fault(Token, Fault::Status(500));
    let before = site.emulator.calls(Token);
    for _ in 0..2 {
        for browser in [&mut browser, &mut elsewhere] {
            // Within the grace period.
            assert_eq!(browser.get("/profile").await.status, StatusCode::OK);
        }
    }
    assert_eq!(site.emulator.calls(Token), before + 1);
}
