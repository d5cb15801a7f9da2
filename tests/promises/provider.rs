//! Promises D1 to D5: a provider that is down, slow, changing or malformed.
//!
//! The emulator is on loopback, where plain http is allowed. That other endpoints must be https is
//! tested with `ProviderMetadata`.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use axum::http::{StatusCode, header};
use axum_oten::{
    Config, MemoryStore, Oten,
    emulator::{
        Deviation,
        Endpoint::{Authorization, Discovery, Jwks, Token, Userinfo},
        Fault, LogoutTarget,
    },
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
};
use url::Url;

use crate::{
    common::{Answer, Browser, Log, TestSite, eventually, with_parameter},
    sign_out::{assert_done, send_token},
};

/// The pause after discovery failed.
const PAUSE: Duration = Duration::from_secs(5);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// Asserts the page for a provider that is down.
#[track_caller]
fn assert_down(answer: &Answer) {
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
    assert!(answer.header(header::RETRY_AFTER).is_some(), "{answer:?}");
    assert!(answer.body.contains("<h1>Oten is not responding</h1>"));
    assert!(answer.body.contains("try again") || answer.body.contains("Try again"));
}

/// Asserts the page for an invalid response of the provider.
#[track_caller]
fn assert_untrusted(answer: &Answer) {
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{answer:?}");
    assert!(answer.body.contains("could not be trusted"), "{answer:?}");
}

/// Runs a sign-in from `/login` to the callback and returns the callback's response.
async fn attempt(browser: &mut Browser) -> Answer {
    let authorization_url = browser.start_login("/open").await;
    let callback = browser.approve(&authorization_url, "alice");
    browser.get(&callback).await
}

#[tokio::test]
async fn d1_the_site_serves_while_the_provider_is_down() {
    let site = TestSite::start().await;
    site.emulator.stop().await;
    let mut browser = site.browser();
    assert_eq!(browser.get("/open").await.status, StatusCode::OK);
    assert_eq!(browser.signed_in_as().await, "guest");
    assert!(
        browser
            .get("/profile")
            .await
            .location()
            .starts_with("/login")
    );

    let down = browser.get("/login").await;
    assert_down(&down);
    assert_eq!(down.header(header::RETRY_AFTER), Some("5"));
    assert!(down.set_cookies().is_empty());
    assert!(site.store.is_empty(), "a login attempt was left behind");

    site.emulator.resume().await.unwrap();
    assert_down(&browser.get("/login").await);
    assert_eq!(site.emulator.calls(Discovery), 0, "it was not left alone");
    site.clock.advance(PAUSE);
    browser.sign_in("alice", "/profile").await;
}

#[tokio::test]
async fn d1_signed_in_users_are_served_while_the_provider_is_down() {
    let site = TestSite::start().await;
    let mut browser = site.signed_in("alice").await;
    site.emulator.stop().await;
    assert_eq!(browser.get("/profile").await.status, StatusCode::OK);
    // Discovery is cached, so `/login` still redirects.
    site.browser().start_login("/").await;
}

#[tokio::test]
async fn d1_a_provider_outage_during_a_sign_in_is_reported() {
    let site = TestSite::start().await;
    let mut browser = site.browser();
    let authorization_url = browser.start_login("/open").await;
    let callback = browser.approve(&authorization_url, "alice");
    site.emulator.stop().await;
    assert_down(&browser.get(&callback).await);
    assert_eq!(browser.signed_in_as().await, "guest");
    site.emulator.resume().await.unwrap();
    browser.sign_in("alice", "/open").await;
}

#[tokio::test]
async fn d2_many_logins_fetch_discovery_once() {
    let site = TestSite::start().await;
    for _ in 0..5 {
        site.signed_in("alice").await;
    }
    site.clock.advance(Duration::from_secs(3599));
    site.browser().start_login("/").await;
    assert_eq!(site.emulator.calls(Discovery), 1);
}

#[tokio::test]
async fn d2_concurrent_first_logins_fetch_discovery_once() {
    let site = TestSite::start().await;
    let delay = Fault::Delay(Duration::from_millis(50));
    site.emulator.fault(Discovery, delay);
    let logins: Vec<_> = (0..10)
        .map(|_| {
            let mut browser = site.browser();
            tokio::spawn(async move { browser.start_login("/").await })
        })
        .collect();
    for login in logins {
        login.await.unwrap();
    }
    assert_eq!(site.emulator.calls(Discovery), 1);
}

#[tokio::test]
async fn d2_concurrent_first_logins_fail_together() {
    let site = TestSite::start().await;
    site.emulator.fault(Discovery, Fault::Status(404));
    let logins: Vec<_> = (0..10)
        .map(|_| {
            let mut browser = site.browser();
            tokio::spawn(async move { browser.get("/login").await })
        })
        .collect();
    for login in logins {
        assert_down(&login.await.unwrap());
    }
    assert_eq!(site.emulator.calls(Discovery), 1);
}

#[tokio::test]
async fn d2_requests_do_not_wait_for_a_refetch_of_discovery() {
    let site = TestSite::start().await;
    site.browser().start_login("/").await;
    site.clock.advance(HOUR);
    site.emulator.fault(Discovery, Fault::Hang.times(1));
    let started = Instant::now();
    for _ in 0..3 {
        site.browser().start_login("/").await;
    }
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "a request waited for the refetch"
    );
    eventually(|| site.emulator.calls(Discovery) == 2).await;
    for _ in 0..3 {
        site.browser().start_login("/").await;
    }
    assert_eq!(site.emulator.calls(Discovery), 2, "one at a time");
}

#[tokio::test]
async fn d2_refetched_metadata_is_used() {
    let site = TestSite::start().await;
    let mut browser = site.browser();
    browser.start_login("/").await;
    let moved = "http://127.0.0.1:9/elsewhere";
    site.emulator.deviate(Deviation::DiscoveryField(
        "authorization_endpoint",
        json!(moved),
    ));
    site.clock.advance(HOUR);
    let is_moved = |url: &Url| url.as_str().starts_with(moved);
    let started = Instant::now();
    while !is_moved(&browser.start_login("/").await) {
        assert!(
            started.elapsed() < Duration::from_secs(5),
            "it never counts"
        );
        tokio::task::yield_now().await;
    }
    for _ in 0..3 {
        browser.start_login("/").await;
    }
    assert_eq!(site.emulator.calls(Discovery), 2, "it is fresh again");
}

#[tokio::test]
async fn d2_known_metadata_is_used_if_a_refetch_fails() {
    for failure in [Fault::Status(404), Fault::Html, Fault::Empty] {
        let log = Log::start();
        let site = TestSite::start().await;
        site.signed_in("alice").await;
        site.emulator.fault(Discovery, failure);
        site.clock.advance(HOUR);
        site.signed_in("alice").await;
        eventually(|| log.text().contains("the cached document stays in use")).await;
        site.signed_in("alice").await;
        assert_eq!(site.emulator.calls(Discovery), 2, "it was not left alone");

        // It is fetched again when the provider works.
        site.emulator.clear_faults();
        site.clock.advance(PAUSE);
        site.signed_in("alice").await;
        eventually(|| site.emulator.calls(Discovery) == 3).await;
    }
}

#[tokio::test]
async fn d2_another_issuer_is_rejected_and_known_metadata_is_used() {
    let site = TestSite::start().await;
    site.emulator.deviate(Deviation::IssuerMismatch);
    let mut browser = site.browser();
    assert_untrusted(&browser.get("/login").await);
    assert!(site.store.is_empty());
    site.emulator.clear_deviations();
    site.clock.advance(PAUSE);
    browser.sign_in("alice", "/").await;

    site.emulator.deviate(Deviation::IssuerMismatch);
    site.clock.advance(HOUR);
    let log = Log::start();
    site.signed_in("alice").await;
    eventually(|| log.text().contains("the cached document stays in use")).await;
    site.signed_in("alice").await;
}

#[tokio::test]
async fn d2_a_document_without_an_endpoint_is_rejected() {
    for endpoint in ["authorization_endpoint", "token_endpoint", "jwks_uri"] {
        let site = TestSite::start().await;
        site.emulator
            .deviate(Deviation::WithoutDiscoveryField(endpoint));
        assert_untrusted(&site.browser().get("/login").await);
        let error = site.oten.provider_metadata().await.unwrap_err();
        assert!(error.to_string().contains(endpoint), "{error}");
    }
}

#[tokio::test]
async fn d3_keys_are_fetched_once_and_found_by_kid() {
    let site = TestSite::start().await;
    for _ in 0..3 {
        site.signed_in("alice").await;
    }
    assert_eq!(site.emulator.calls(Jwks), 1);
}

#[tokio::test]
async fn d3_concurrent_first_sign_ins_fetch_keys_once() {
    let site = TestSite::start().await;
    let delay = Fault::Delay(Duration::from_millis(50));
    site.emulator.fault(Jwks, delay);
    let mut sign_ins = Vec::new();
    for _ in 0..5 {
        let mut browser = site.browser();
        sign_ins.push(tokio::spawn(async move {
            browser.sign_in("alice", "/").await;
        }));
    }
    for sign_in in sign_ins {
        sign_in.await.unwrap();
    }
    assert_eq!(site.emulator.calls(Jwks), 1);
}

#[tokio::test]
async fn d3_sign_ins_do_not_wait_for_a_refetch_of_keys() {
    let site = TestSite::start().await;
    site.signed_in("alice").await;
    site.clock.advance(HOUR);
    site.emulator.fault(Jwks, Fault::Hang.times(1));
    let started = Instant::now();
    for _ in 0..3 {
        site.signed_in("alice").await;
    }
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "a request waited for the refetch"
    );
    eventually(|| site.emulator.calls(Jwks) == 2).await;
}

#[tokio::test]
async fn d3_rotation_needs_no_restart() {
    let site = TestSite::start().await;
    let mut alice = site.signed_in("alice").await;
    // Each time less than a minute after the last fetch.
    for rotations in 1..=3 {
        site.emulator.rotate_keys();
        site.signed_in("alice").await;
        site.signed_in("bob").await;
        assert_eq!(site.emulator.calls(Jwks), 1 + rotations);
    }
    assert_eq!(site.emulator.calls(Discovery), 1);
    assert_eq!(alice.signed_in_as().await, "user alice");
}

#[tokio::test]
async fn d3_keys_are_fetched_in_vain_at_most_once_a_minute() {
    let log = Log::start();
    let site = TestSite::start().await;
    let mut browser = site.signed_in("alice").await;
    site.emulator.deviate(Deviation::UnknownKey);
    for minutes in 1..=3 {
        log.clear();
        assert_untrusted(&attempt(&mut browser).await);
        assert_eq!(log.refusal()["reason"], "unknown_key");
        site.clock.advance(59 * SECOND);
        for _ in 0..2 {
            log.clear();
            let answer = attempt(&mut browser).await;
            assert_down(&answer);
            assert_eq!(answer.header(header::RETRY_AFTER), Some("1"));
            assert_eq!(log.refusal()["reason"], "key_pending");
        }
        assert_eq!(site.emulator.calls(Jwks), 1 + minutes);
        site.clock.advance(SECOND);
    }
    // The provider's own keys stay known, and new ones are found after the minute.
    site.emulator.clear_deviations();
    site.signed_in("bob").await;
    site.emulator.rotate_keys();
    site.signed_in("bob").await;
}

#[tokio::test]
async fn d3_concurrent_sign_ins_with_an_unknown_key_fetch_keys_once() {
    let site = TestSite::start().await;
    site.signed_in("alice").await;
    site.emulator.deviate(Deviation::UnknownKey);
    let held = site.emulator.hold(Jwks);
    let attempts: Vec<_> = (0..5)
        .map(|_| {
            let mut browser = site.browser();
            tokio::spawn(async move { attempt(&mut browser).await })
        })
        .collect();
    held.wait_for(1).await;
    eventually(|| site.emulator.calls(Token) == 6).await;
    held.release();
    let mut rejected = 0;
    for attempt in attempts {
        let answer = attempt.await.unwrap();
        if answer.status == StatusCode::BAD_GATEWAY {
            rejected += 1;
        } else {
            assert_down(&answer);
        }
    }
    assert_eq!((rejected, site.emulator.calls(Jwks)), (1, 2));
}

#[tokio::test]
async fn l3_a_cooldown_ends_no_session() {
    let site = TestSite::start().await;
    let mut alice = site.signed_in("alice").await;
    site.clock.advance(HOUR);
    site.emulator.deviate(Deviation::UnknownKey);
    assert_untrusted(&attempt(&mut site.browser()).await);
    let calls = site.emulator.calls(Jwks);
    site.emulator.clear_deviations();
    site.emulator.rotate_keys();
    assert_eq!(alice.get("/profile").await.status, StatusCode::OK);
    assert_eq!(site.emulator.refreshes(), 1);
    assert_eq!(site.emulator.calls(Jwks), calls);
    // The next refresh reads its ID token.
    site.clock.advance(HOUR);
    site.emulator
        .deviate(Deviation::Claim("name", json!("Alice II")));
    let profile = alice.get("/profile").await;
    assert_eq!(profile.json()["name"], "Alice II");
}

/// A logout token is a request that any client can send.
#[tokio::test]
async fn d3_a_logout_token_with_an_unknown_key_delays_no_sign_in_and_no_refresh() {
    let site = TestSite::start().await;
    let mut alice = site.signed_in("alice").await;
    site.clock.advance(HOUR);
    site.signed_in("bob").await;
    eventually(|| site.emulator.calls(Jwks) == 2).await;

    let forged = |number: u32| {
        let alice = LogoutTarget::Subject("alice");
        let token = site
            .emulator
            .logout_token_with("test-site", alice, |header, _| {
                header.insert("kid".into(), json!(format!("unknown {number}")));
            });
        let app = site.app.clone();
        async move { send_token(&app, &token).await }
    };
    assert_eq!(forged(0).await.status, StatusCode::BAD_REQUEST);
    let log = Log::start();
    for number in 1..50 {
        let answer = forged(number).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.header(header::RETRY_AFTER), Some("60"));
    }
    assert!(!log.has_error(), "{}", log.text());
    assert_eq!(site.emulator.calls(Jwks), 3);

    site.emulator.rotate_keys();
    site.signed_in("carol").await;
    assert_eq!(site.emulator.calls(Jwks), 4);
    site.emulator.rotate_keys();
    site.emulator
        .deviate(Deviation::Claim("name", json!("Alice II")));
    let profile = alice.get("/profile").await;
    assert_eq!(profile.json()["name"], "Alice II");
    assert_eq!(site.emulator.calls(Jwks), 5);

    // Nor does a sign-in delay a logout token.
    site.clock.advance(MINUTE);
    site.emulator.deviate(Deviation::UnknownKey);
    assert_untrusted(&attempt(&mut site.browser()).await);
    site.emulator.clear_deviations();
    site.emulator.rotate_keys();
    let target = LogoutTarget::Subject("alice");
    let token = site.emulator.logout_token("test-site", target);
    assert_done(&send_token(&site.app, &token).await);
    assert_eq!(alice.signed_in_as().await, "guest");
}

#[tokio::test]
async fn d3_known_keys_are_used_if_a_fetch_fails() {
    let log = Log::start();
    let site = TestSite::start().await;
    site.signed_in("alice").await;
    for failure in [Fault::Status(404), Fault::Html, Fault::Empty] {
        log.clear();
        let before = site.emulator.calls(Jwks);
        site.emulator.fault(Jwks, failure.times(1));
        site.clock.advance(HOUR);
        site.signed_in("alice").await;
        eventually(|| log.text().contains("the cached document stays in use")).await;
        site.signed_in("alice").await;
        assert_eq!(site.emulator.calls(Jwks), before + 1, "once a minute");
    }

    // Also if an unknown `kid` triggers a fetch that fails.
    site.emulator.fault(Jwks, Fault::Status(404));
    site.emulator.deviate(Deviation::UnknownKey);
    site.clock.advance(MINUTE);
    assert_down(&attempt(&mut site.browser()).await);
    site.emulator.clear_deviations();
    site.signed_in("alice").await;
}

#[tokio::test]
async fn d3_waiting_sign_ins_share_a_failed_fetch() {
    let site = TestSite::start().await;
    site.emulator.fault(Jwks, Fault::Status(404));
    let mut callbacks = Vec::new();
    for _ in 0..5 {
        let mut browser = site.browser();
        let authorization_url = browser.start_login("/").await;
        let callback = browser.approve(&authorization_url, "alice");
        callbacks.push(tokio::spawn(async move { browser.get(&callback).await }));
    }
    for callback in callbacks {
        assert_down(&callback.await.unwrap());
    }
    assert_eq!(site.emulator.calls(Jwks), 1);
    site.emulator.clear_faults();
    site.clock.advance(PAUSE);
    site.signed_in("alice").await;
}

#[tokio::test]
async fn d3_an_empty_key_set_is_refetched_soon() {
    let site = TestSite::start().await;
    site.emulator.deviate(Deviation::NoKeys);
    assert_untrusted(&attempt(&mut site.browser()).await);
    site.emulator.clear_deviations();
    site.clock.advance(MINUTE);
    site.signed_in("alice").await;
}

#[tokio::test]
async fn d4_every_call_is_limited_to_ten_seconds() {
    let log = Log::start();
    tokio::join!(
        assert_a_hanging_token_endpoint_is_given_up(),
        assert_hanging_keys_are_given_up(),
        assert_hanging_discovery_is_given_up(),
        assert_an_endless_answer_is_given_up(),
        assert_a_connection_is_given_up_after_three_seconds(),
        assert_the_whole_callback_is_given_up(),
    );
    let text = log.text();
    assert!(text.contains("no complete response within 10 seconds"));
}

async fn assert_a_hanging_token_endpoint_is_given_up() {
    let site = TestSite::start().await;
    site.emulator.fault(Token, Fault::Hang);
    let started = Instant::now();
    assert_down(&attempt(&mut site.browser()).await);
    assert!(started.elapsed() < Duration::from_secs(12));
    assert_eq!(site.emulator.calls(Token), 1, "its outcome is unknown");
}

async fn assert_hanging_keys_are_given_up() {
    let site = TestSite::start().await;
    site.emulator.fault(Jwks, Fault::Hang);
    let started = Instant::now();
    assert_down(&attempt(&mut site.browser()).await);
    assert!(started.elapsed() < Duration::from_secs(12));
}

async fn assert_hanging_discovery_is_given_up() {
    let site = TestSite::start().await;
    site.emulator.fault(Discovery, Fault::Hang);
    let (mut a, mut b) = (site.browser(), site.browser());
    let started = Instant::now();
    let (a, b) = tokio::join!(a.get("/login"), b.get("/login"));
    assert!(started.elapsed() < Duration::from_secs(12));
    assert_down(&a);
    assert_down(&b);
}

/// The head of the response arrives at once; its body never ends.
async fn assert_an_endless_answer_is_given_up() {
    let endless = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{";
    let error = discovery_error(serve(endless).await).await;
    assert!(error.contains("within 10 seconds"), "{error}");
}

/// A server that sends this to every connection and keeps it open.
async fn serve(answer: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(answer).await;
            open.push(stream);
        }
    });
    address
}

/// No server accepts the connection: the listener's queue is full.
async fn assert_a_connection_is_given_up_after_three_seconds() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queue = Vec::new();
    while let Ok(stream) =
        tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(address)).await
    {
        queue.push(stream);
        assert!(queue.len() < 100, "the queue is never full");
    }
    let error = discovery_error(address).await;
    assert!(
        error.contains("no connection could be established"),
        "{error}"
    );
}

/// The error for an issuer at this address.
async fn discovery_error(address: SocketAddr) -> String {
    let config = Config::builder()
        .issuer(format!("http://{address}"))
        .client_id("client")
        .public_client()
        .redirect_uri("http://127.0.0.1:3000/callback")
        .build()
        .unwrap();
    let oten = Oten::new(config, MemoryStore::default()).unwrap();
    let started = Instant::now();
    let error = oten.provider_metadata().await.unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(11), "{error}");
    error.to_string()
}

/// Each call is within its own time limit, but together they exceed the limit of the callback.
async fn assert_the_whole_callback_is_given_up() {
    let site = TestSite::start().await;
    let delay = Fault::Delay(Duration::from_secs(8));
    site.emulator.fault(Token, delay.clone());
    site.emulator.fault(Jwks, delay);
    let started = Instant::now();
    assert_down(&attempt(&mut site.browser()).await);
    assert!(started.elapsed() < Duration::from_secs(12));
}

#[tokio::test]
async fn d4_no_redirect_is_followed() {
    for endpoint in [Discovery, Jwks, Token] {
        let site = TestSite::start().await;
        let elsewhere = format!("{}/v1/userinfo", site.emulator.issuer());
        site.emulator.fault(endpoint, Fault::Redirect(elsewhere));
        let mut browser = site.browser();
        let answer = match endpoint {
            Discovery => browser.get("/login").await,
            _ => attempt(&mut browser).await,
        };
        assert!(answer.status.is_server_error(), "{answer:?}");
        assert_eq!(site.emulator.calls(endpoint), 1);
        assert_eq!(site.emulator.calls(Userinfo), 0, "{endpoint:?}");
    }
}

#[tokio::test]
async fn d4_an_oversized_response_is_not_read_to_its_end() {
    for endpoint in [Discovery, Jwks, Token] {
        for fault in [Fault::Huge, Fault::GzipBomb] {
            let log = Log::start();
            let site = TestSite::start().await;
            site.emulator.fault(endpoint, fault.clone());
            let mut browser = site.browser();
            let answer = match endpoint {
                Discovery => browser.get("/login").await,
                _ => attempt(&mut browser).await,
            };
            assert_down(&answer);
            let text = log.text();
            assert!(text.contains("larger than 1 MiB"), "{text}");
            assert_eq!(site.emulator.calls(endpoint), 1, "{endpoint:?} {fault:?}");
        }
    }
}

#[tokio::test]
async fn d5_a_failed_document_request_is_repeated() {
    for failure in [
        Fault::Status(500),
        Fault::Status(503),
        Fault::TooManyRequests { retry_after: None },
        Fault::Close,
    ] {
        let site = TestSite::start().await;
        site.emulator.fault(Discovery, failure.clone().times(2));
        site.emulator.fault(Jwks, failure.times(2));
        site.signed_in("alice").await;
        assert_eq!(site.emulator.calls(Discovery), 3);
        assert_eq!(site.emulator.calls(Jwks), 3);
    }
}

#[tokio::test]
async fn d5_documents_are_requested_at_most_three_times() {
    let site = TestSite::start().await;
    site.emulator.fault(Discovery, Fault::Status(500));
    assert_down(&site.browser().get("/login").await);
    assert_eq!(site.emulator.calls(Discovery), 3);
    // An error that a repetition cannot solve is not repeated.
    let site = TestSite::start().await;
    site.emulator.fault(Discovery, Fault::Status(404));
    assert_down(&site.browser().get("/login").await);
    assert_eq!(site.emulator.calls(Discovery), 1);
}

#[tokio::test]
async fn d5_a_token_request_the_provider_did_not_process_is_repeated() {
    for failure in [
        Fault::OAuthError("server_error"),
        Fault::OAuthError("temporarily_unavailable"),
        Fault::TooManyRequests { retry_after: None },
    ] {
        let site = TestSite::start().await;
        site.emulator.fault(Token, failure.clone().times(1));
        site.signed_in("alice").await;
        assert_eq!(site.emulator.calls(Token), 2, "{failure:?}");
    }
}

#[tokio::test]
async fn d5_any_other_token_request_is_never_repeated() {
    for (failure, status) in [
        (Fault::OAuthError("invalid_grant"), 400),
        (Fault::OAuthError("invalid_client"), 500),
        (Fault::OAuthError("unauthorized_client"), 500),
        (Fault::OAuthError("something_new"), 502),
        (Fault::Status(500), 502),
        (Fault::Status(502), 502),
        (Fault::Status(503), 502),
        (Fault::Html, 502),
        (Fault::Empty, 502),
        (Fault::Close, 503),
    ] {
        let site = TestSite::start().await;
        site.emulator.fault(Token, failure.clone());
        let mut browser = site.browser();
        let answer = attempt(&mut browser).await;
        assert_eq!(answer.status.as_u16(), status, "{failure:?}: {answer:?}");
        assert_eq!(site.emulator.calls(Token), 1, "{failure:?}");
        assert_eq!(site.emulator.calls(Jwks), 0, "{failure:?}");
        assert_eq!(browser.signed_in_as().await, "guest");
        site.emulator.clear_faults();
        browser.sign_in("alice", "/").await;
    }
}

#[tokio::test]
async fn d5_a_token_request_is_repeated_at_most_twice() {
    let site = TestSite::start().await;
    site.emulator
        .fault(Token, Fault::OAuthError("server_error"));
    assert_down(&attempt(&mut site.browser()).await);
    assert_eq!(site.emulator.calls(Token), 3);
}

#[tokio::test]
async fn d5_a_token_request_is_repeated_after_a_failed_connect() {
    let log = Log::start();
    let site = TestSite::start().await;
    let mut browser = site.browser();
    let authorization_url = browser.start_login("/open").await;
    let callback = browser.approve(&authorization_url, "alice");
    site.emulator.stop().await;
    let emulator = site.emulator.clone();
    let resume = async {
        eventually(|| log.text().contains("retrying a request to the provider")).await;
        emulator.resume().await.unwrap();
    };
    let (answer, ()) = tokio::join!(browser.get(&callback), resume);
    assert_eq!(answer.location(), "/open");
    assert_eq!(site.emulator.calls(Token), 1);
}

#[tokio::test]
async fn d5_a_short_retry_after_is_respected() {
    let site = TestSite::start().await;
    let busy = Fault::TooManyRequests {
        retry_after: Some(Duration::from_secs(1)),
    };
    site.emulator.fault(Token, busy.times(1));
    let started = Instant::now();
    site.signed_in("alice").await;
    assert!(started.elapsed() >= Duration::from_secs(1));
    assert_eq!(site.emulator.calls(Token), 2);
}

#[tokio::test]
async fn d5_a_long_retry_after_is_passed_on_to_the_client() {
    for seconds in [30, 3600, u64::MAX] {
        let site = TestSite::start().await;
        let busy = Fault::TooManyRequests {
            retry_after: Some(Duration::from_secs(seconds)),
        };
        site.emulator.fault(Token, busy);
        let started = Instant::now();
        let answer = attempt(&mut site.browser()).await;
        assert!(started.elapsed() < Duration::from_secs(2));
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(answer.body.contains("<h1>Oten is busy</h1>"), "{answer:?}");
        let after: u64 = answer.header(header::RETRY_AFTER).unwrap().parse().unwrap();
        assert!(after == seconds || seconds == u64::MAX && after >= 3600);
        assert_eq!(site.emulator.calls(Token), 1);
    }
}

#[tokio::test]
async fn d5_a_rate_limited_document_is_not_requested_before_retry_after() {
    let site = TestSite::start().await;
    let busy = Fault::TooManyRequests {
        retry_after: Some(Duration::from_secs(30)),
    };
    site.emulator.fault(Discovery, busy.times(1));
    let answer = site.browser().get("/login").await;
    assert_down(&answer);
    assert_eq!(answer.header(header::RETRY_AFTER), Some("30"));
    site.clock.advance(Duration::from_secs(29));
    assert_down(&site.browser().get("/login").await);
    assert_eq!(site.emulator.calls(Discovery), 1);
    site.clock.advance(Duration::from_secs(1));
    site.signed_in("alice").await;

    // The pause ends.
    let site = TestSite::start().await;
    let busy = Fault::TooManyRequests {
        retry_after: Some(Duration::MAX),
    };
    site.emulator.fault(Discovery, busy.times(1));
    assert_down(&site.browser().get("/login").await);
    site.clock.advance(HOUR);
    site.signed_in("alice").await;
}

#[tokio::test]
async fn d5_a_malformed_retry_after_is_ignored() {
    for answer in [
        &b"HTTP/1.1 429 Busy\r\nRetry-After: soon\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"[..],
        b"HTTP/1.1 429 Busy\r\nRetry-After: \xff\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        b"HTTP/1.1 503 Down\r\nRetry-After: -1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        b"HTTP/1.1 503 Down\r\nRetry-After: Fri, 31 Dec 1999 23:59:59 GMT\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    ] {
        let error = discovery_error(serve(answer).await).await;
        assert!(error.contains("the status of the response is"), "{error}");
    }
}

#[tokio::test]
async fn d5_a_guest_causes_no_call_to_the_provider() {
    let site = TestSite::start().await;
    let mut browser = site.browser();
    for path in ["/", "/open", "/profile", "/logout"] {
        browser.get(path).await;
    }
    for endpoint in [Discovery, Jwks, Token, Authorization, Userinfo] {
        assert_eq!(site.emulator.calls(endpoint), 0);
    }
}

#[tokio::test]
async fn p3_key_sets_of_honest_providers_are_read() {
    for deviation in [
        Deviation::KeyPerAlgorithmName,
        Deviation::ForeignKeys(10_000),
        Deviation::ByteOrderMark,
    ] {
        for algorithm_name in ["EdDSA", "Ed25519"] {
            let site = TestSite::builder()
                .emulator(move |emulator| match algorithm_name {
                    "Ed25519" => emulator.rfc9864_algorithm_name(),
                    _ => emulator,
                })
                .start()
                .await;
            site.emulator.deviate(deviation.clone());
            let mut browser = site.signed_in("alice").await;
            site.clock.advance(HOUR);
            assert_eq!(browser.get("/profile").await.status, StatusCode::OK);
            assert_eq!(site.emulator.refreshes(), 1, "{deviation:?}");
        }
    }
}

#[tokio::test]
async fn p3_two_keys_with_one_kid_are_rejected() {
    let site = TestSite::start().await;
    site.emulator.deviate(Deviation::SharedKeyId);
    assert_untrusted(&attempt(&mut site.browser()).await);
}

#[tokio::test]
async fn p5_an_issuer_in_capitals_signs_users_in_and_out() {
    let site = TestSite::builder()
        .emulator(|emulator| emulator.issuer_in_capitals().advertise_iss())
        .start()
        .await;
    assert!(site.emulator.issuer().starts_with("HTTP://127.0.0.1:"));
    let mut browser = site.signed_in("alice").await;
    site.clock.advance(HOUR);
    let profile = browser.get("/profile").await;
    assert_eq!(profile.json()["iss"], site.emulator.issuer());
    assert_eq!(site.emulator.refreshes(), 1);
    let target = LogoutTarget::Subject("alice");
    let token = site.emulator.logout_token("test-site", target);
    assert_done(&send_token(&site.app, &token).await);
    assert_eq!(browser.signed_in_as().await, "guest");
}

/// Tokens and callbacks must have the spelling of the discovery document.
#[tokio::test]
async fn p5_the_iss_of_tokens_and_callbacks_is_compared_byte_for_byte() {
    let log = Log::start();
    let site = TestSite::builder()
        .emulator(|emulator| emulator.issuer_in_capitals().advertise_iss())
        .start()
        .await;
    let normal = site.emulator.issuer().to_ascii_lowercase();
    let mut browser = site.signed_in("alice").await;
    let authorization_url = browser.start_login("/").await;
    let callback = browser.approve(&authorization_url, "alice");
    let callback = with_parameter(&callback, "iss", &normal);
    log.clear();
    browser.get(&callback).await;
    assert_eq!(log.refusal()["reason"], "callback_foreign_iss");

    log.clear();
    let target = LogoutTarget::Subject("alice");
    let change = |_: &mut _, claims: &mut serde_json::Map<_, _>| {
        claims.insert("iss".to_owned(), json!(normal));
    };
    let token = site.emulator.logout_token_with("test-site", target, change);
    let answer = send_token(&site.app, &token).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(log.refusal()["reason"], "logout_token_iss");

    log.clear();
    site.emulator
        .deviate(Deviation::Claim("iss", json!(normal)));
    assert_untrusted(&attempt(&mut browser).await);
    assert_eq!(log.refusal()["reason"], "id_token_iss");
}

#[tokio::test]
async fn p5_the_error_names_both_spellings() {
    let site = TestSite::start().await;
    site.emulator.deviate(Deviation::IssuerMismatch);
    let error = site.oten.provider_metadata().await.unwrap_err().to_string();
    assert!(
        error.contains("`https://another-issuer.example`"),
        "{error}"
    );
    assert!(error.contains(site.emulator.issuer()), "{error}");
}

#[tokio::test]
async fn p6_a_retry_after_with_a_date_is_respected() {
    let site = TestSite::start().await;
    let busy = Fault::TooManyRequestsUntil(Duration::from_secs(30));
    site.emulator.fault(Token, busy.clone().times(1));
    let answer = attempt(&mut site.browser()).await;
    assert_eq!(answer.header(header::RETRY_AFTER), Some("30"));
    assert_eq!(site.emulator.calls(Token), 1);

    site.emulator.fault(Jwks, busy.times(1));
    let answer = attempt(&mut site.browser()).await;
    assert_eq!(answer.header(header::RETRY_AFTER), Some("30"));
    site.clock.advance(Duration::from_secs(29));
    assert_down(&attempt(&mut site.browser()).await);
    assert_eq!(site.emulator.calls(Jwks), 1);
    site.clock.advance(SECOND);
    site.signed_in("alice").await;
}
