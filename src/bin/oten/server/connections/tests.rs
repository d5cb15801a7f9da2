use axum::routing::get;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::JoinHandle,
    time::timeout,
};

use super::*;

/// A longer wait means that the server hangs.
const HANG_TIMEOUT: Duration = Duration::from_secs(20);

const SHORT: Duration = Duration::from_millis(100);

/// The size of a response that does not fit into the system's buffers.
const LARGE: usize = 32 * 1024 * 1024;

struct Server {
    address: SocketAddr,
    closing: CancellationToken,
    task: JoinHandle<()>,
}

impl Server {
    async fn start(limits: Limits) -> Self {
        Self::start_with(None, limits).await
    }

    async fn start_with(tls: Option<TlsAcceptor>, limits: Limits) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let peer = async |ConnectInfo(peer): ConnectInfo<SocketAddr>| peer.to_string();
        let large = async || "x".repeat(LARGE);
        let app = Router::new()
            .route("/", get(peer))
            .route("/large", get(large));
        let closing = CancellationToken::new();
        let connections = Connections { app, tls, limits };
        let task = tokio::spawn(connections.serve(socket, closing.clone()));
        Self {
            address,
            closing,
            task,
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

/// Reads until the server closes the connection.
async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    // A server that closes before it has read everything resets the connection.
    let _ = timeout(HANG_TIMEOUT, stream.read_to_end(&mut text))
        .await
        .unwrap();
    String::from_utf8(text).unwrap()
}

async fn get_root(stream: &mut TcpStream) -> String {
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    let mut response = [0; 1024];
    let length = timeout(HANG_TIMEOUT, stream.read(&mut response))
        .await
        .unwrap()
        .unwrap();
    String::from_utf8(response[..length].to_vec()).unwrap()
}

#[tokio::test]
async fn b1_an_incomplete_head_times_out() {
    let limits = Limits {
        head_timeout: SHORT,
        ..Limits::default()
    };
    let server = Server::start(limits).await;
    for beginning in ["", "GET", "GET / HTTP/1.1\r\nHost: x\r\nX: "] {
        let mut slow = server.connect().await;
        slow.write_all(beginning.as_bytes()).await.unwrap();
        let response = read_to_end(&mut slow).await;
        assert!(!response.contains("200 OK"), "{response}");
    }
    // Sending a byte from time to time does not extend the time-out.
    let mut slow = server.connect().await;
    slow.write_all(b"GET / HTTP/1.1\r\nX: ").await.unwrap();
    let (mut reader, mut writer) = slow.split();
    let send_bytes = async {
        while writer.write_all(b"x").await.is_ok() {
            tokio::time::sleep(SHORT / 5).await;
        }
    };
    let mut text = Vec::new();
    let closed = async { reader.read_to_end(&mut text).await };
    tokio::select! {
        () = send_bytes => {}
        _ = timeout(HANG_TIMEOUT, closed) => {}
    }
    assert!(!String::from_utf8(text).unwrap().contains("200 OK"));
}

#[tokio::test]
async fn b1_the_size_of_a_head_is_limited() {
    let server = Server::start(Limits::default()).await;
    let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(1024 * 1024));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "X: x\r\n".repeat(101));
    let path = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(70 * 1024));
    for head in [long, many, path] {
        let mut stream = server.connect().await;
        // The server may close before it has read everything.
        let _ = stream.write_all(head.as_bytes()).await;
        let response = read_to_end(&mut stream).await;
        assert!(
            response.is_empty() || response.starts_with("HTTP/1.1 431 "),
            "{response}"
        );
    }
    let few = format!("GET / HTTP/1.1\r\n{}\r\n", "X: x\r\n".repeat(99));
    let mut stream = server.connect().await;
    stream.write_all(few.as_bytes()).await.unwrap();
    let mut status = [0; 12];
    stream.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 200");
}

#[tokio::test]
async fn b1_the_number_of_connections_is_limited() {
    let limits = Limits {
        connections: 2,
        ..Limits::default()
    };
    let server = Server::start(limits).await;
    let (mut first, mut second) = (server.connect().await, server.connect().await);
    let address = first.local_addr().unwrap().to_string();
    assert!(get_root(&mut first).await.ends_with(&address));
    assert!(get_root(&mut second).await.contains("200 OK"));
    // The third waits until another connection closes.
    let mut third = server.connect().await;
    let mut waiting = Box::pin(get_root(&mut third));
    assert!(timeout(SHORT, &mut waiting).await.is_err());
    drop(first);
    assert!(waiting.await.contains("200 OK"));
}

#[tokio::test]
async fn b1_a_client_that_does_not_read_a_response_is_disconnected() {
    let limits = Limits {
        connections: 1,
        write_timeout: SHORT,
        ..Limits::default()
    };
    let server = Server::start(limits).await;
    let mut stalled = server.connect().await;
    stalled
        .write_all(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    // The only permit becomes free.
    let mut next = server.connect().await;
    assert!(get_root(&mut next).await.contains("200 OK"));
    drop(stalled);
}

/// Many small responses: in the end the server stops reading requests, too.
#[tokio::test]
async fn b1_a_client_that_does_not_read_many_responses_is_disconnected() {
    let limits = Limits {
        write_timeout: SHORT,
        ..Limits::default()
    };
    let server = Server::start(limits).await;
    let mut stalled = server.connect().await;
    let requests = "GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(1000);
    let closed = async { while stalled.write_all(requests.as_bytes()).await.is_ok() {} };
    timeout(HANG_TIMEOUT, closed).await.unwrap();
}

/// The time-out applies to a client that reads nothing, not to the whole response.
#[tokio::test]
async fn a_response_that_is_read_slowly_arrives() {
    let limits = Limits {
        write_timeout: SHORT * 5,
        ..Limits::default()
    };
    let server = Server::start(limits).await;
    let mut slow = server.connect().await;
    slow.write_all(b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let (began, mut read) = (std::time::Instant::now(), 0);
    let mut part = vec![0; LARGE / 16];
    loop {
        match timeout(HANG_TIMEOUT, slow.read(&mut part)).await.unwrap() {
            Ok(0) => break,
            length => read += length.unwrap(),
        }
        if began.elapsed() < limits.write_timeout * 2 {
            tokio::time::sleep(SHORT / 2).await;
        }
    }
    assert!(read > LARGE, "{read}");
    assert!(began.elapsed() > limits.write_timeout);
}

#[tokio::test]
async fn a_connection_without_a_request_does_not_delay_closing() {
    let server = Server::start(Limits::default()).await;
    let mut fresh = server.connect().await;
    let mut idle = server.connect().await;
    assert!(get_root(&mut idle).await.contains("200 OK"));
    server.closing.cancel();
    timeout(HANG_TIMEOUT, server.task).await.unwrap().unwrap();
    assert_eq!(read_to_end(&mut idle).await, "");
    assert_eq!(read_to_end(&mut fresh).await, "");
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn b1_an_incomplete_tls_handshake_times_out() {
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let private_key = rustls::pki_types::PrivatePkcs8KeyDer::from(key.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![key.cert.into()], private_key.into())
        .unwrap();
    let tls = Some(TlsAcceptor::from(Arc::new(config)));
    let limits = Limits {
        head_timeout: SHORT,
        ..Limits::default()
    };
    let server = Server::start_with(tls.clone(), limits).await;
    let mut silent = server.connect().await;
    assert_eq!(read_to_end(&mut silent).await, "");

    // It does not delay closing, either.
    let server = Server::start_with(tls, Limits::default()).await;
    let mut silent = server.connect().await;
    silent.write_all(b"\x16").await.unwrap();
    server.closing.cancel();
    timeout(HANG_TIMEOUT, server.task).await.unwrap().unwrap();
    assert_eq!(read_to_end(&mut silent).await, "");
}
