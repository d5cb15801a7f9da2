//! Limits that the running program sets to a client.

use std::time::{Duration, Instant};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::process::{Running, command};

/// A longer wait means that the program hangs.
const HANG_TIMEOUT: Duration = Duration::from_secs(60);

async fn demo() -> Running {
    Running::start(&mut command(&["demo", "--listen", "127.0.0.1:0"])).await
}

/// Sends bytes, which need not be a request, and returns the beginning of the response.
async fn send(site: &Running, bytes: &[u8]) -> String {
    let address = site.url.socket_addrs(|| None).unwrap()[0];
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The program may close the connection before it has read everything.
    let _ = stream.write_all(bytes).await;
    let mut response = vec![0; 4096];
    let read = timeout(HANG_TIMEOUT, stream.read(&mut response))
        .await
        .unwrap();
    response.truncate(read.unwrap_or_default());
    String::from_utf8_lossy(&response).into_owned()
}

#[tokio::test]
async fn b1_a_head_over_the_limit_is_rejected() {
    let demo = demo().await;
    let head = format!(
        "GET / HTTP/1.1\r\nHost: x\r\nCookie: {}\r\n\r\n",
        "x".repeat(1 << 20)
    );
    let response = send(&demo, head.as_bytes()).await;
    assert!(
        response.is_empty() || response.starts_with("HTTP/1.1 431 "),
        "{response}"
    );
}

#[tokio::test]
async fn b1_malformed_requests_get_an_error_or_no_response() {
    let demo = demo().await;
    for bytes in [
        &b"\0\0\0\0\r\n\r\n"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET http://evil.example/\r\n HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
        b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nTransfer-Encoding: x\r\n\r\n",
    ] {
        let response = send(&demo, &[bytes, b"\r\n\r\n"].concat()).await;
        assert!(
            response.is_empty() || response.starts_with("HTTP/1.1 4"),
            "{response}"
        );
    }
    let valid = send(&demo, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(valid.starts_with("HTTP/1.1 200 "), "{valid}");
}

#[tokio::test]
async fn b1_an_incomplete_body_times_out() {
    let demo = demo().await;
    let host = demo.url.authority();
    let head = format!(
        "POST /backchannel-logout HTTP/1.1\r\nHost: {host}\r\nContent-Length: 100\r\n\
         Content-Type: application/x-www-form-urlencoded\r\n\r\nlogout_token="
    );
    let began = Instant::now();
    let response = send(&demo, head.as_bytes()).await;
    assert!(response.starts_with("HTTP/1.1 503 "), "{response}");
    assert!(response.contains("\r\nretry-after: "), "{response}");
    assert!(
        began.elapsed() > Duration::from_secs(5),
        "the time-out was not reached"
    );
}
