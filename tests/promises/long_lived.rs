//! Promise A7: long-lived responses end with the session.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    http::{Method, Request, StatusCode},
    routing::{any, get},
};
use axum_oten::{Oten, User, emulator::LogoutTarget, web::SessionEnd};
use tokio::{
    sync::Notify,
    task::JoinHandle,
    time::{Instant, timeout},
};

use crate::{
    common::{Answer, Browser, Operation, TestSite, TestSiteBuilder, WatchedStore},
    sign_out::{assert_done, send_token},
};

/// Less than the interval at which the store is read.
const AT_ONCE: Duration = Duration::from_secs(5);

/// The app of all tests, with a page that answers when the session has ended.
fn app(oten: &Oten, started: Arc<Notify>) -> Router {
    let wait = async move |session: SessionEnd| {
        started.notify_one();
        session.ended().await;
        "ended"
    };
    let feed = Router::new()
        .route("/wait", get(wait))
        .route("/socket", get(async || "open"))
        .route_layer(oten.require_login());
    Router::new()
        .merge(feed)
        .route("/alone", get(async |_: SessionEnd| "open"))
        .route("/optional", any(async |_: Option<User>| "open"))
        .route("/public", get(async || "open"))
        .merge(crate::common::app(oten))
        .layer(oten.layer())
}

fn site() -> (TestSiteBuilder, Arc<Notify>) {
    let started = Arc::new(Notify::new());
    let app_started = Arc::clone(&started);
    let site = TestSite::builder()
        .emulator(axum_oten::emulator::EmulatorBuilder::advertise_back_channel_logout)
        .app(move |oten| app(oten, app_started));
    (site, started)
}

/// Opens the page and returns when its handler waits.
async fn open(browser: &Browser, started: &Notify) -> JoinHandle<Answer> {
    let mut browser = browser.clone();
    let waiting = tokio::spawn(async move { browser.get("/wait").await });
    started.notified().await;
    waiting
}

/// A site with a recorded store, and a page of a signed-in user that waits.
async fn start_waiting() -> (TestSite, WatchedStore, JoinHandle<Answer>) {
    let (builder, started) = site();
    let (site, store) = builder.start_watched().await;
    let browser = site.signed_in("alice").await;
    let waiting = open(&browser, &started).await;
    (site, store, waiting)
}

async fn assert_ends_within(limit: Duration, waiting: JoinHandle<Answer>) {
    let answer = timeout(limit, waiting).await.expect("in time").unwrap();
    assert_eq!((answer.status, &*answer.body), (StatusCode::OK, "ended"));
}

#[tokio::test]
async fn a7_a_response_ends_at_once_when_the_user_signs_out_in_another_tab() {
    let (site, started) = site();
    let site = site.start().await;
    let mut browser = site.signed_in("alice").await;
    let other_user = site.signed_in("alice").await;
    let waiting = open(&browser, &started).await;
    let second = open(&browser, &started).await;
    let other = open(&other_user, &started).await;
    browser.post("/cycle").await;
    assert!(!waiting.is_finished(), "a new ID is no end");
    browser.post("/logout").await;
    assert_ends_within(AT_ONCE, waiting).await;
    assert_ends_within(AT_ONCE, second).await;
    assert!(!other.is_finished(), "another session of the same user");
    other.abort();
}

#[tokio::test]
async fn a7_a_response_ends_at_once_with_a_logout_token() {
    let (site, started) = site();
    let site = site.start().await;
    let browser = site.signed_in("alice").await;
    let waiting = open(&browser, &started).await;
    let token = site
        .emulator
        .logout_token("test-site", LogoutTarget::Subject("alice"));
    assert_done(&send_token(&site.app, &token).await);
    assert_ends_within(AT_ONCE, waiting).await;
}

#[tokio::test]
async fn a7_a_response_ends_within_30_seconds_when_another_process_ends_the_session() {
    let (site, store, waiting) = start_waiting().await;
    let elsewhere = another_process(&site, &store);
    let token = site
        .emulator
        .logout_token("test-site", LogoutTarget::Subject("alice"));
    assert_done(&send_token(&elsewhere, &token).await);
    // From here on only the store is called, and time passes when all tasks wait.
    tokio::time::pause();
    let begin = Instant::now();
    assert_ends_within(Duration::from_secs(30), waiting).await;
    assert!(begin.elapsed() > AT_ONCE, "it was not told");
}

fn another_process(site: &TestSite, store: &WatchedStore) -> Router {
    let config = site.oten.config().clone();
    let oten = Oten::builder(config, store.clone()).clock(site.clock.clone());
    crate::common::app(&oten.build().unwrap())
}

#[tokio::test]
async fn a7_an_open_response_ends_when_the_session_expires_and_does_not_extend_it() {
    let (site, store, waiting) = start_waiting().await;
    store.take_calls();
    tokio::time::pause();
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_secs(20)).await;
    }
    assert!(store.count(Operation::Load) >= 9, "the session is read");
    assert_eq!(store.count(Operation::Touch), 0);
    assert!(!waiting.is_finished());
    site.clock.advance(site.oten.config().session_idle());
    assert_ends_within(Duration::from_secs(30), waiting).await;
}

#[tokio::test]
async fn a7_a_failure_of_the_store_is_no_end() {
    let (_site, store, waiting) = start_waiting().await;
    store.fails(&[Operation::Load]);
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert!(!waiting.is_finished());
    waiting.abort();
}

#[tokio::test]
async fn a7_a_session_that_expires_during_a_failure_of_the_store_ends() {
    let (site, store, waiting) = start_waiting().await;
    store.fails(&[Operation::Load]);
    tokio::time::pause();
    site.clock.advance(site.oten.config().session_lifetime());
    assert_ends_within(Duration::from_secs(30), waiting).await;
}

#[tokio::test]
async fn a7_a_user_whom_the_provider_has_signed_out_gets_no_long_lived_response() {
    let (site, _) = site();
    let site = site.start().await;
    let mut browser = site.signed_in("alice").await;
    let answer = browser.get("/alone").await;
    assert_eq!((answer.status, &*answer.body), (StatusCode::OK, "open"));
    site.emulator.disable_user("alice");
    site.clock.advance(Duration::from_secs(3600));
    let answer = browser.get("/alone").await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert_eq!(browser.signed_in_as().await, "guest");
}

#[tokio::test]
async fn a7_a_guest_gets_no_long_lived_response() {
    let (site, _) = site();
    let site = site.start().await;
    let answer = site.browser().get("/wait").await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a7_a_websocket_handshake_must_come_from_a_page_of_this_site() {
    let (site, _) = site();
    let site = site.start().await;
    let browser = site.signed_in("alice").await;
    let own = "http://127.0.0.1:3000";
    for (origin, fetch_site, is_allowed) in [
        (Some(own), None, true),
        (Some(own), Some("same-origin"), true),
        (None, Some("same-origin"), true),
        (Some("https://evil.example"), None, false),
        (Some("http://127.0.0.1:3001"), None, false),
        (Some("null"), None, false),
        (None, None, false),
        (Some(own), Some("cross-site"), false),
        (Some(own), Some("same-site"), false),
    ] {
        for upgrade in ["websocket", "WebSocket", "h2c, websocket"] {
            for path in ["/socket", "/optional", "/wait", "/public"] {
                if path == "/wait" && is_allowed {
                    continue; // it does not answer
                }
                let mut request = Request::get(path).header("upgrade", upgrade);
                if let Some(origin) = origin {
                    request = request.header("origin", origin);
                }
                if let Some(site) = fetch_site {
                    request = request.header("sec-fetch-site", site);
                }
                let request = request.body(Body::empty()).unwrap();
                let answer = browser.clone().send(request).await;
                let is_open = is_allowed || path == "/public";
                let expected = if is_open {
                    StatusCode::OK
                } else {
                    StatusCode::FORBIDDEN
                };
                assert_eq!(answer.status, expected, "{origin:?} {fetch_site:?} {path}");
                if !is_open {
                    assert_eq!(answer.json()["reason"], "foreign_origin");
                }
            }
        }
    }
    // HTTP/2 opens a WebSocket with CONNECT (RFC 8441).
    let connect = Request::builder().method(Method::CONNECT).uri("/optional");
    let connect = connect.header("origin", "https://evil.example");
    let answer = browser
        .clone()
        .send(connect.body(Body::empty()).unwrap())
        .await;
    assert_eq!(answer.json()["reason"], "foreign_origin");
}
