//! Stopping the program: accepted requests are answered.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use axum_oten::emulator::Endpoint::Token;
use reqwest::{StatusCode, header};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{
    process::{Running, command},
    site::client,
    test_site::{emulator, serve, sign_in},
};

/// A longer wait means that the program hangs.
const HANG_TIMEOUT: Duration = Duration::from_secs(30);

/// How long `oten serve` accepts requests after SIGTERM.
const PRE_STOP_DELAY: Duration = Duration::from_secs(3);

/// Tokens are refreshed after half of it.
const TOKEN_LIFETIME: Duration = Duration::from_secs(4);

fn address(site: &Running) -> SocketAddr {
    site.url.socket_addrs(|| None).unwrap()[0]
}

/// Waits until the site refuses connections.
async fn wait_until_closed(address: SocketAddr) {
    let closed = async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(HANG_TIMEOUT, closed)
        .await
        .expect("the site still listens");
}

#[tokio::test]
async fn l4_a_token_refresh_in_progress_finishes_after_the_stop_signal() {
    let emulator = emulator(|emulator| emulator.access_token_lifetime(TOKEN_LIFETIME)).await;
    let (mut serve, client) = (serve(&emulator), client());
    let site = Running::start(&mut serve).await;
    let session = sign_in(&site, "", &emulator, &client).await;

    // After two seconds a request waits for the tokens to be refreshed.
    let held = emulator.hold(Token);
    let me = |site: &Running| {
        let me = client.get(site.at("/api/me"));
        me.header(header::COOKIE, session.clone()).send()
    };
    let began = Instant::now();
    let pending = loop {
        assert!(began.elapsed() < HANG_TIMEOUT, "no token is refreshed");
        let mut pending = tokio::spawn(me(&site));
        tokio::select! {
            () = held.wait_for(1) => break pending,
            answer = &mut pending => assert!(answer.unwrap().unwrap().status().is_success()),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };

    // A connection with half a request, and one without a request.
    let mut slow = TcpStream::connect(address(&site)).await.unwrap();
    slow.write_all(b"GET /readyz HTTP/1.1\r\n").await.unwrap();
    let mut silent = TcpStream::connect(address(&site)).await.unwrap();
    // Both are accepted: a later connection gets a response.
    assert!(client.get(site.at("/healthz")).send().await.is_ok());

    site.terminate().await;
    wait_until_closed(address(&site)).await;
    let mut answer = String::new();
    slow.write_all(b"Host: x\r\n\r\n").await.unwrap();
    timeout(HANG_TIMEOUT, slow.read_to_string(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains(r#""status":"stopping""#), "{answer}");
    let mut nothing = String::new();
    timeout(HANG_TIMEOUT, silent.read_to_string(&mut nothing))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(nothing, "");
    assert!(!pending.is_finished(), "the provider has not responded yet");

    held.release();
    let answer = timeout(HANG_TIMEOUT, pending)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let (status, log) = site.ended().await;
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!log.contains("did not end in time"), "{log}");

    // The new tokens were stored: the old ones would be reported as reused, and the user would be
    // signed out.
    let before = emulator.refreshes();
    assert!(before > 0);
    let site = Running::start(&mut serve).await;
    let refreshed = async {
        while emulator.refreshes() == before {
            assert_eq!(me(&site).await.unwrap().status(), StatusCode::OK);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(HANG_TIMEOUT, refreshed).await.unwrap();
    assert_eq!(me(&site).await.unwrap().status(), StatusCode::OK);
    assert_eq!(emulator.reuse_detected(), 0);
}

/// Waits until `/readyz` reports that the site is stopping, and returns that response.
async fn wait_until_stopping(site: &Running) -> String {
    let stopping = async {
        loop {
            let mut stream = TcpStream::connect(address(site)).await.unwrap();
            let answer = get(&mut stream, "/readyz", "Connection: close\r\n").await;
            if answer.starts_with("HTTP/1.1 503 ") {
                return answer;
            }
        }
    };
    timeout(HANG_TIMEOUT, stopping)
        .await
        .expect("the site does not stop")
}

/// Sends a request and reads until the site closes the connection.
async fn get(stream: &mut TcpStream, path: &str, header: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n{header}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer);
    timeout(HANG_TIMEOUT, read).await.unwrap().unwrap();
    answer
}

/// `/readyz` reports that the site is stopping while it still answers requests.
#[tokio::test]
async fn l4_readiness_fails_before_the_listener_is_closed() {
    let emulator = emulator(|emulator| emulator).await;
    let site = Running::start(&mut serve(&emulator)).await;
    let mut kept = TcpStream::connect(address(&site)).await.unwrap();
    kept.write_all(b"HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    let mut answer = vec![0; 4096];
    let length = kept.read(&mut answer).await.unwrap();
    answer.truncate(length);
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(!answer.contains("connection: close"), "{answer}");

    let began = Instant::now();
    site.terminate().await;
    let answer = wait_until_stopping(&site).await;
    assert!(answer.contains(r#""status":"stopping""#), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    let mut late = TcpStream::connect(address(&site)).await.unwrap();
    for stream in [&mut late, &mut kept] {
        let answer = get(stream, "/healthz", "").await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(answer.contains("connection: close"), "{answer}");
    }
    let (status, log) = site.ended().await;
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(began.elapsed() > PRE_STOP_DELAY);
}

/// No load balancer has to notice these.
#[tokio::test]
async fn ctrl_c_and_a_demo_stop_without_a_delay() {
    let emulator = emulator(|emulator| emulator).await;
    let site = Running::start(&mut serve(&emulator)).await;
    let began = Instant::now();
    site.interrupt().await;
    let (status, log) = site.ended().await;
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(began.elapsed() < PRE_STOP_DELAY, "{:?}", began.elapsed());

    let demo = Running::start(&mut command(&["demo", "--listen", "127.0.0.1:0"])).await;
    let began = Instant::now();
    let (status, log) = demo.end().await;
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(began.elapsed() < PRE_STOP_DELAY, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_second_signal_stops_a_site_that_still_accepts_requests() {
    let emulator = emulator(|emulator| emulator).await;
    let site = Running::start(&mut serve(&emulator)).await;
    site.terminate().await;
    wait_until_stopping(&site).await;
    let began = Instant::now();
    site.terminate().await;
    let (status, log) = site.ended().await;
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("second signal"), "{log}");
    assert!(began.elapsed() < PRE_STOP_DELAY, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_second_signal_stops_the_site_at_once() {
    let emulator = emulator(|emulator| emulator).await;
    let (site, client) = (Running::start(&mut serve(&emulator)).await, client());
    let login = client.get(site.at("/login")).send().await.unwrap();
    let location = login.headers()["location"].to_str().unwrap();
    let callback = emulator.approve(location, "carol").unwrap();
    let url = site.at(&callback[url::Position::BeforePath..]);
    let held = emulator.hold(Token);
    let request = client
        .get(url)
        .header(header::COOKIE, super::test_site::cookies(&login));
    let pending = tokio::spawn(request.send());
    timeout(HANG_TIMEOUT, held.wait_for(1)).await.unwrap();

    site.terminate().await;
    wait_until_closed(address(&site)).await;
    let began = Instant::now();
    site.terminate().await;
    let (status, log) = site.ended().await;
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("second signal"), "{log}");
    assert!(
        timeout(HANG_TIMEOUT, pending)
            .await
            .unwrap()
            .unwrap()
            .is_err()
    );
}
