//! Security headers on every response of the crate, and readiness.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use axum::{
    body::Body,
    extract::ConnectInfo,
    http::{HeaderName, Method, Request, StatusCode, header},
};
use axum_oten::{emulator::Endpoint::Discovery, web::DependencyStatus};

use crate::common::{Answer, Browser, Log, Operation, TestSite, WatchedStore, app, eventually};

#[track_caller]
fn assert_protected(answer: &Answer, what: &str) {
    let header = |name: &'static str| answer.header(name.parse().unwrap()).unwrap_or("");
    assert_eq!(header("x-content-type-options"), "nosniff", "{what}");
    assert_eq!(header("referrer-policy"), "same-origin", "{what}");
    let policy = header("content-security-policy");
    assert!(policy.contains("default-src 'none'"), "{what}: {policy}");
    assert!(!policy.contains("script-src"), "{what}: {policy}");
    assert!(
        policy.contains("frame-ancestors 'none'"),
        "{what}: {policy}"
    );
    assert!(header("cache-control").contains("no-store"), "{what}");
    // An app may open a sign-in window and wait for it: only pages set this header.
    let is_redirect = answer.status == StatusCode::SEE_OTHER;
    let opener = if is_redirect { "" } else { "same-origin" };
    assert_eq!(header("cross-origin-opener-policy"), opener, "{what}");
    let frames = if is_redirect { "" } else { "DENY" };
    assert_eq!(header("x-frame-options"), frames, "{what}");
}

/// Without any layer of the app.
#[tokio::test]
async fn every_response_of_the_crate_has_security_headers() {
    let (site, store) = TestSite::builder().start_watched().await;
    let mut browser = site.browser();
    for path in [
        "/login",
        "/logout",
        "/callback",
        "/callback?state=x",
        "/staff",
    ] {
        let answer = browser.get(path).await;
        assert_protected(&answer, path);
    }
    for (method, path) in [
        (Method::HEAD, "/login"),
        (Method::POST, "/callback"),
        (Method::DELETE, "/logout"),
        (Method::POST, "/logout"),
        (Method::POST, "/backchannel-logout"),
        (Method::GET, "/backchannel-logout"),
        (Method::GET, "/profile"),
        (Method::GET, "/token"),
    ] {
        let answer = browser.fetch(method.clone(), path, "").await;
        assert!(!answer.status.is_success(), "{method} {path}");
        if answer.status != StatusCode::SEE_OTHER {
            assert_protected(&answer, path);
        }
    }
    let authorization_url = browser.start_login("/profile").await;
    let callback = browser.approve(&authorization_url, "bob");
    assert_protected(&browser.get(&callback).await, "signing in");
    assert_protected(&browser.get("/staff").await, "forbidden");
    assert_protected(&browser.get("/logout").await, "the button");
    store.fails(&Operation::ALL);
    let down = browser.get("/profile").await;
    assert_eq!(down.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_protected(&down, "store down");
    store.recover();
    assert_protected(&browser.post("/logout").await, "signing out");

    let without_layer =
        axum::Router::new().route("/", axum::routing::get(async |_: axum_oten::User| ""));
    browser.app(without_layer);
    let answer = browser.get("/").await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    let nosniff = answer.header(header::X_CONTENT_TYPE_OPTIONS);
    assert_eq!(nosniff, Some("nosniff"));
}

const STORE_PROBE: [Operation; 8] = [
    Operation::Insert,
    Operation::Load,
    Operation::AddMember,
    Operation::Members,
    Operation::Load,
    Operation::Take,
    Operation::RemoveMember,
    Operation::Load,
];

async fn watched() -> (TestSite, WatchedStore) {
    TestSite::builder().start_watched().await
}

#[tokio::test]
async fn l8_readiness_depends_on_the_store() {
    let (site, store) = watched().await;
    let ready = site.oten.readiness().await;
    assert!(ready.is_ready());
    assert_eq!(
        (ready.store, ready.provider),
        (DependencyStatus::Ok, DependencyStatus::Ok)
    );
    assert_eq!(store.take_calls(), STORE_PROBE);
    for operation in STORE_PROBE {
        site.clock.advance(Duration::from_secs(1));
        store.fails(&[operation]);
        let ready = site.oten.readiness().await;
        assert!(!ready.is_ready(), "{operation:?}");
        assert_eq!(
            (ready.store, ready.provider),
            (DependencyStatus::Unreachable, DependencyStatus::Ok)
        );
    }
    store.recover();
    site.clock.advance(Duration::from_secs(1));
    assert!(site.oten.readiness().await.is_ready());
}

#[tokio::test]
async fn l8_readiness_does_not_wait_for_a_hanging_store() {
    let (site, store) = watched().await;
    store.hangs(&[Operation::Load]);
    let began = Instant::now();
    assert!(!site.oten.readiness().await.is_ready());
    assert!(began.elapsed() <= Duration::from_secs(4));
}

/// Many probes cause one store access per second.
#[tokio::test]
async fn b1_simultaneous_probes_share_one_store_access() {
    let (site, store) = watched().await;
    let pause = store.pause_after(1);
    let probes: Vec<_> = (0..50)
        .map(|_| {
            let oten = site.oten.clone();
            tokio::spawn(async move { oten.readiness().await })
        })
        .collect();
    pause.reached().await;
    pause.go_on();
    for probe in probes {
        assert!(probe.await.unwrap().is_ready());
    }
    assert_eq!(store.take_calls(), STORE_PROBE);
    site.clock.advance(Duration::from_millis(999));
    site.oten.readiness().await;
    assert_eq!(store.take_calls(), []);
    site.clock.advance(Duration::from_millis(1));
    site.oten.readiness().await;
    assert_eq!(store.take_calls(), STORE_PROBE);
}

/// A cancelled probe leaves no record in the store, and the next caller gets its result.
#[tokio::test]
async fn b1_a_cancelled_probe_runs_to_completion() {
    let (site, store) = watched().await;
    let pause = store.pause_after(1);
    let oten = site.oten.clone();
    let probe = tokio::spawn(async move { oten.readiness().await });
    pause.reached().await;
    probe.abort();
    assert!(probe.await.unwrap_err().is_cancelled());
    pause.go_on();
    assert!(site.oten.readiness().await.is_ready());
    assert_eq!(store.take_calls(), STORE_PROBE);
}

#[tokio::test]
async fn d1_readiness_reports_the_provider_without_failing() {
    let site = TestSite::start().await;
    // The check does not wait as long for the first response.
    site.oten.provider_metadata().await.unwrap();
    assert_eq!(site.oten.readiness().await.provider, DependencyStatus::Ok);
    site.emulator.stop().await;
    // A recent result is reused without a new probe.
    site.clock.advance(Duration::from_secs(29));
    assert_eq!(site.oten.readiness().await.provider, DependencyStatus::Ok);
    assert_eq!(site.emulator.calls(Discovery), 1);
    site.clock.advance(Duration::from_secs(1));
    let ready = site.oten.readiness().await;
    assert_eq!(ready.provider, DependencyStatus::Unreachable);
    assert!(ready.is_ready());
    site.emulator.resume().await.unwrap();
    site.clock.advance(Duration::from_secs(5));
    becomes_reachable(&site).await;

    // A hanging provider delays no response, and its result is used as soon as it arrives.
    site.clock.advance(Duration::from_secs(30));
    let held = site.emulator.hold(Discovery);
    assert_eq!(
        site.oten.readiness().await.provider,
        DependencyStatus::Unreachable
    );
    let calls = site.emulator.calls(Discovery);
    held.release();
    eventually(|| site.emulator.calls(Discovery) == calls).await;
    becomes_reachable(&site).await;
    assert_eq!(site.emulator.calls(Discovery), calls);
}

/// A check on a busy machine may end before the response arrives, which the next one uses.
async fn becomes_reachable(site: &TestSite) {
    let reachable = async {
        while site.oten.readiness().await.provider != DependencyStatus::Ok {
            site.clock.advance(Duration::from_secs(1));
        }
    };
    let limit = Duration::from_secs(20);
    tokio::time::timeout(limit, reachable).await.unwrap();
}

fn from(browser: &Browser, peer: &str, forwarded: (&str, &str)) -> Request<Body> {
    let mut request = browser.navigation(Method::GET, "/callback?state=x");
    let peer: SocketAddr = peer.parse().unwrap();
    request.extensions_mut().insert(ConnectInfo(peer));
    let name: HeaderName = forwarded.0.parse().unwrap();
    request
        .headers_mut()
        .insert(name, forwarded.1.parse().unwrap());
    request
}

#[tokio::test]
async fn b5_an_event_has_the_client_address() {
    let log = Log::start();
    let site = TestSite::builder()
        .config(|config| config.trusted_proxies(["10.0.0.0/8"]))
        .app(app)
        .start()
        .await;
    let mut browser = site.browser();
    let xff = ("x-forwarded-for", "1.1.1.1, 203.0.113.9");
    for (peer, expected) in [
        ("10.0.0.7:4711", Some("203.0.113.9")),
        ("198.51.100.4:4711", Some("198.51.100.4")),
    ] {
        log.clear();
        let request = from(&browser, peer, xff);
        browser.send(request).await;
        let event = log.events().remove(0);
        assert_eq!(event.get("client_address").map(String::as_str), expected);
    }
    // Without the peer's address the header is ignored.
    log.clear();
    let mut request = from(&browser, "10.0.0.7:4711", xff);
    request.extensions_mut().clear();
    browser.send(request).await;
    assert!(!log.events().remove(0).contains_key("client_address"));
}
