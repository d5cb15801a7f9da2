//! Handlers that hold a session while other requests refresh its tokens or end it.

use std::sync::Arc;

use axum::{Router, http::StatusCode, routing::get};
use axum_oten::{
    Oten, User,
    emulator::{EmulatorBuilder, Endpoint::Token},
};
use tokio::sync::Notify;
use tower_sessions::Session;

use super::{OF_A_SESSION, StoreLocation, another_process, due};
use crate::common::{Answer, Browser, TestSite, app, eventually};

super::on_stores! {
    [memory sqlite postgres redis] {
        l4_a_slow_handler_keeps_the_tokens_of_a_concurrent_refresh
        o2_a_slow_handler_does_not_restore_a_session
        o2_a_refresh_in_flight_does_not_restore_a_session
        l2_the_holder_of_an_expired_lease_overwrites_nothing
    }
}

#[derive(Default)]
struct Gate {
    entered: Notify,
    resume: Notify,
}

/// The test app with a public route that waits between loading and saving the session.
fn slow_app(gate: &Arc<Gate>) -> impl FnOnce(&Oten) -> Router + 'static {
    let gate = Arc::clone(gate);
    move |oten| {
        let slow = get(async move |user: Option<User>, session: Session| {
            gate.entered.notify_one();
            gate.resume.notified().await;
            session.insert("note", "late").await.unwrap();
            session.save().await.unwrap();
            user.map(|user| user.subject().to_owned())
                .unwrap_or_default()
        });
        let slow = Router::new().route("/slow", slow).layer(oten.layer());
        app(oten).merge(slow)
    }
}

/// Requests the slow route, runs `meanwhile` while it waits, and returns its response.
async fn slowly(
    gate: &Gate,
    browser: &Browser,
    meanwhile: impl AsyncFnOnce(),
) -> (Answer, Browser) {
    let mut tab = browser.clone();
    let slow = tokio::spawn(async move {
        let answer = tab.get("/slow").await;
        (answer, tab)
    });
    gate.entered.notified().await;
    meanwhile().await;
    gate.resume.notify_one();
    slow.await.unwrap()
}

async fn l4_a_slow_handler_keeps_the_tokens_of_a_concurrent_refresh(location: StoreLocation) {
    let gate = Arc::new(Gate::default());
    let (site, _store) = location.site(slow_app(&gate)).await;
    let browser = due(&site).await;
    let (mut fast, mut token) = (browser.clone(), String::new());
    let (answer, mut tab) = slowly(&gate, &browser, async || {
        token = fast.get("/token").await.body;
    })
    .await;
    assert_eq!(answer.body, "alice");
    assert_eq!(tab.get("/note").await.body, "late");
    // The slow request saved that a refresh is due, but the tokens are fresh.
    for path in ["/profile", "/token"] {
        assert_eq!(tab.get(path).await.status, StatusCode::OK);
    }
    assert_eq!(tab.get("/token").await.body, token);
    assert_eq!(
        (site.emulator.refreshes(), site.emulator.reuse_detected()),
        (1, 0)
    );
}

async fn o2_a_slow_handler_does_not_restore_a_session(location: StoreLocation) {
    let gate = Arc::new(Gate::default());
    let (site, store) = location.site(slow_app(&gate)).await;
    let mut browser = site.signed_in("alice").await;
    let mut leaving = browser.clone();
    let (answer, mut tab) = slowly(&gate, &browser, async || {
        assert_eq!(leaving.post("/logout").await.status, StatusCode::SEE_OTHER);
    })
    .await;
    assert_eq!(answer.body, "alice");
    assert!(!answer.sets_session(), "{:?}", answer.set_cookies());
    for browser in [&mut tab, &mut browser] {
        assert_eq!(browser.signed_in_as().await, "guest");
        assert_eq!(browser.get("/note").await.body, "no note");
    }
    assert_eq!(store.left(&OF_A_SESSION).await, []);
}

async fn o2_a_refresh_in_flight_does_not_restore_a_session(location: StoreLocation) {
    let (site, store) = location.site(app).await;
    let mut browser = due(&site).await;
    let held = site.emulator.hold(Token);
    let mut tab = browser.clone();
    let refreshing = tokio::spawn(async move {
        let answer = tab.get("/profile").await;
        (answer, tab)
    });
    held.wait_for(1).await;
    let mut old = browser.clone();
    assert_eq!(browser.post("/logout").await.status, StatusCode::SEE_OTHER);
    held.release();
    let (answer, mut tab) = refreshing.await.unwrap();
    assert_eq!(answer.location(), "/login?return_to=%2Fprofile");
    assert_eq!(site.emulator.refreshes(), 1);
    for browser in [&mut tab, &mut old, &mut browser] {
        assert_eq!(browser.signed_in_as().await, "guest");
    }
    assert_eq!(store.left(&OF_A_SESSION).await, []);
}

/// A process stalls for longer than its lease, and another process stores newer tokens meanwhile.
async fn l2_the_holder_of_an_expired_lease_overwrites_nothing(location: StoreLocation) {
    let without_rotation = TestSite::builder().emulator(EmulatorBuilder::without_rotation);
    let (site, store) = location.start(without_rotation).await;
    let mut browser = due(&site).await;
    let late = super::Store::new(store.memory.clone());
    let mut elsewhere = browser.clone();
    elsewhere.app(app(&another_process(&site, late.clone())));

    let held = late.hold("tokens").await;
    let waiting = tokio::spawn(async move {
        let answer = elsewhere.get("/profile").await;
        (answer, elsewhere)
    });
    eventually(|| !late.written("tokens").is_empty()).await;
    let (lease, owner) = late.written("lease").pop().unwrap();
    assert!(store.memory.remove_if(&lease, &owner).await.unwrap());
    let token = browser.get("/token").await.body;
    assert_eq!(site.emulator.refreshes(), 2);
    drop(held);
    let (answer, mut elsewhere) = waiting.await.unwrap();
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert_eq!(browser.get("/token").await.body, token);
    assert_eq!(elsewhere.get("/token").await.body, token);
    assert_eq!(site.emulator.refreshes(), 2);
}
