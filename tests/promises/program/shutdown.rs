//! The end of the running program: nobody who was let in is let down.

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
    served::{emulator, serve, sign_in},
    site::client,
};

/// What takes this long hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long `oten serve` takes requests after a supervisor's signal.
const NOTICE: Duration = Duration::from_secs(3);

/// Tokens that are to be renewed after the half of it.
const TOKEN_LIFETIME: Duration = Duration::from_secs(4);

fn address(site: &Running) -> SocketAddr {
    site.url.socket_addrs(|| None).unwrap()[0]
}

/// Waits until nobody is let in any more.
async fn refuses(address: SocketAddr) {
    let closed = async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, closed).await.expect("it still listens");
}

#[tokio::test]
async fn l4_a_renewal_under_way_outlives_the_signal_to_stop() {
    let emulator = emulator(|emulator| emulator.access_token_lifetime(TOKEN_LIFETIME)).await;
    let (mut serve, client) = (serve(&emulator), client());
    let site = Running::start(&mut serve).await;
    let session = sign_in(&site, "", &emulator, &client).await;

    // The tokens are due after two seconds: from then on a request waits for their renewal.
    let held = emulator.hold(Token);
    let me = |site: &Running| {
        let me = client.get(site.at("/api/me"));
        me.header(header::COOKIE, session.clone()).send()
    };
    let began = Instant::now();
    let asked = loop {
        assert!(began.elapsed() < PATIENCE, "nothing is renewed");
        let mut asked = tokio::spawn(me(&site));
        tokio::select! {
            () = held.wait_for(1) => break asked,
            answer = &mut asked => assert!(answer.unwrap().unwrap().status().is_success()),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };

    // A connection in the middle of its question, and one that has none.
    let mut slow = TcpStream::connect(address(&site)).await.unwrap();
    slow.write_all(b"GET /readyz HTTP/1.1\r\n").await.unwrap();
    let mut silent = TcpStream::connect(address(&site)).await.unwrap();
    // Let in, both: whoever comes after them has been answered.
    assert!(client.get(site.at("/healthz")).send().await.is_ok());

    site.terminate().await;
    refuses(address(&site)).await;
    let mut answer = String::new();
    slow.write_all(b"Host: x\r\n\r\n").await.unwrap();
    timeout(PATIENCE, slow.read_to_string(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains(r#""status":"stopping""#), "{answer}");
    let mut nothing = String::new();
    timeout(PATIENCE, silent.read_to_string(&mut nothing))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(nothing, "");
    assert!(!asked.is_finished(), "the provider has not answered yet");

    held.release();
    let answer = timeout(PATIENCE, asked).await.unwrap().unwrap().unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let (status, log) = site.ended().await;
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!log.contains("did not end in time"), "{log}");

    // The new tokens were stored: with the old ones the provider would find a theft, and nobody
    // would be signed in.
    let before = emulator.refreshes();
    assert!(before > 0);
    let site = Running::start(&mut serve).await;
    let renewed = async {
        while emulator.refreshes() == before {
            assert_eq!(me(&site).await.unwrap().status(), StatusCode::OK);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, renewed).await.unwrap();
    assert_eq!(me(&site).await.unwrap().status(), StatusCode::OK);
    assert_eq!(emulator.reuse_detected(), 0);
}

/// Waits until `/readyz` says that the site stops, and gives that answer.
async fn stops(site: &Running) -> String {
    let stops = async {
        loop {
            let mut stream = TcpStream::connect(address(site)).await.unwrap();
            let answer = ask(&mut stream, "/readyz", "Connection: close\r\n").await;
            if answer.starts_with("HTTP/1.1 503 ") {
                return answer;
            }
        }
    };
    timeout(PATIENCE, stops).await.expect("it does not stop")
}

/// Everything until the site ends the connection.
async fn ask(stream: &mut TcpStream, path: &str, header: &str) -> String {
    let question = format!("GET {path} HTTP/1.1\r\nHost: x\r\n{header}\r\n");
    stream.write_all(question.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer);
    timeout(PATIENCE, read).await.unwrap().unwrap();
    answer
}

/// A load balancer that asks whether the site is ready hears that it stops, while what it sends is
/// still answered.
#[tokio::test]
async fn l4_the_signal_to_stop_is_told_before_the_door_is_closed() {
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
    let answer = stops(&site).await;
    assert!(answer.contains(r#""status":"stopping""#), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    let mut late = TcpStream::connect(address(&site)).await.unwrap();
    for stream in [&mut late, &mut kept] {
        let answer = ask(stream, "/healthz", "").await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(answer.contains("connection: close"), "{answer}");
    }
    let (status, log) = site.ended().await;
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(began.elapsed() > NOTICE);
}

/// Where nobody has to hear of it first, the end is not put off.
#[tokio::test]
async fn ctrl_c_and_the_end_of_a_demo_do_not_wait() {
    let emulator = emulator(|emulator| emulator).await;
    let site = Running::start(&mut serve(&emulator)).await;
    let began = Instant::now();
    site.interrupt().await;
    let (status, log) = site.ended().await;
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(began.elapsed() < NOTICE, "{:?}", began.elapsed());

    let demo = Running::start(&mut command(&["demo", "--listen", "127.0.0.1:0"])).await;
    let began = Instant::now();
    let (status, log) = demo.end().await;
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(began.elapsed() < NOTICE, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_second_signal_ends_it_while_requests_are_still_taken() {
    let emulator = emulator(|emulator| emulator).await;
    let site = Running::start(&mut serve(&emulator)).await;
    site.terminate().await;
    stops(&site).await;
    let began = Instant::now();
    site.terminate().await;
    let (status, log) = site.ended().await;
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("second signal"), "{log}");
    assert!(began.elapsed() < NOTICE, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let emulator = emulator(|emulator| emulator).await;
    let (site, client) = (Running::start(&mut serve(&emulator)).await, client());
    let login = client.get(site.at("/login")).send().await.unwrap();
    let location = login.headers()["location"].to_str().unwrap();
    let callback = emulator.approve(location, "carol").unwrap();
    let here = site.at(&callback[url::Position::BeforePath..]);
    let held = emulator.hold(Token);
    let request = client
        .get(here)
        .header(header::COOKIE, super::served::cookies(&login));
    let asked = tokio::spawn(request.send());
    timeout(PATIENCE, held.wait_for(1)).await.unwrap();

    site.terminate().await;
    refuses(address(&site)).await;
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
    assert!(timeout(PATIENCE, asked).await.unwrap().unwrap().is_err());
}
