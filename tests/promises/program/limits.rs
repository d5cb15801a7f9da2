//! What one client may take of the running program.

use std::time::{Duration, Instant};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::process::{Running, command};

/// What takes this long hangs.
const PATIENCE: Duration = Duration::from_secs(60);

async fn demo() -> Running {
    Running::start(&mut command(&["demo", "--listen", "127.0.0.1:0"])).await
}

/// The beginning of the answer to bytes that need not be a request.
async fn answer(site: &Running, bytes: &[u8]) -> String {
    let address = site.url.socket_addrs(|| None).unwrap()[0];
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The program may hang up before all is said.
    let _ = stream.write_all(bytes).await;
    let mut answer = vec![0; 4096];
    let read = timeout(PATIENCE, stream.read(&mut answer)).await.unwrap();
    answer.truncate(read.unwrap_or_default());
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn b1_a_head_past_the_limit_is_refused() {
    let demo = demo().await;
    let head = format!(
        "GET / HTTP/1.1\r\nHost: x\r\nCookie: {}\r\n\r\n",
        "x".repeat(1 << 20)
    );
    let answer = answer(&demo, head.as_bytes()).await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 431 "),
        "{answer}"
    );
}

#[tokio::test]
async fn b1_nonsense_gets_an_answer_or_nothing() {
    let demo = demo().await;
    for nonsense in [
        &b"\0\0\0\0\r\n\r\n"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET http://evil.example/\r\n HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
        b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nTransfer-Encoding: x\r\n\r\n",
    ] {
        let answer = answer(&demo, &[nonsense, b"\r\n\r\n"].concat()).await;
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
            "{answer}"
        );
    }
    let well = answer(&demo, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(well.starts_with("HTTP/1.1 200 "), "{well}");
}

/// A body that does not come: the request is answered all the same.
#[tokio::test]
async fn b1_a_body_that_does_not_come_is_not_waited_for() {
    let demo = demo().await;
    let host = demo.url.authority();
    let head = format!(
        "POST /backchannel-logout HTTP/1.1\r\nHost: {host}\r\nContent-Length: 100\r\n\
         Content-Type: application/x-www-form-urlencoded\r\n\r\nlogout_token="
    );
    let began = Instant::now();
    let answer = answer(&demo, head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(
        began.elapsed() > Duration::from_secs(5),
        "it was not the body"
    );
}
