use axum::routing::get;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::JoinHandle,
    time::timeout,
};

use super::*;

/// What takes this long hangs.
const PATIENCE: Duration = Duration::from_secs(20);

const SOON: Duration = Duration::from_millis(100);

const LARGE: usize = 32 * 1024 * 1024;

struct Server {
    address: SocketAddr,
    stopping: CancellationToken,
    task: JoinHandle<()>,
}

impl Server {
    async fn start(limits: Limits) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let peer = async |ConnectInfo(peer): ConnectInfo<SocketAddr>| peer.to_string();
        // More than the buffers of the system take.
        let large = async || "x".repeat(LARGE);
        let app = Router::new()
            .route("/", get(peer))
            .route("/large", get(large));
        let stopping = CancellationToken::new();
        let task = tokio::spawn(serve(socket, app, stopping.clone(), limits));
        Self {
            address,
            stopping,
            task,
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

/// Everything until the server hangs up.
async fn rest(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    // A server that hangs up before it has read everything resets the connection.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut text))
        .await
        .unwrap();
    String::from_utf8(text).unwrap()
}

async fn ask(stream: &mut TcpStream) -> String {
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    let mut answer = [0; 1024];
    let length = timeout(PATIENCE, stream.read(&mut answer))
        .await
        .unwrap()
        .unwrap();
    String::from_utf8(answer[..length].to_vec()).unwrap()
}

#[tokio::test]
async fn b1_a_head_that_does_not_come_is_not_waited_for() {
    let limits = Limits {
        head_time: SOON,
        ..Limits::default()
    };
    let server = Server::start(limits).await;
    for beginning in ["", "GET", "GET / HTTP/1.1\r\nHost: x\r\nX: "] {
        let mut slow = server.connect().await;
        slow.write_all(beginning.as_bytes()).await.unwrap();
        let answer = rest(&mut slow).await;
        assert!(!answer.contains("200 OK"), "{answer}");
    }
    // A drop now and then does not help.
    let mut slow = server.connect().await;
    slow.write_all(b"GET / HTTP/1.1\r\nX: ").await.unwrap();
    let (mut reader, mut writer) = slow.split();
    let drops = async {
        while writer.write_all(b"x").await.is_ok() {
            tokio::time::sleep(SOON / 5).await;
        }
    };
    let mut text = Vec::new();
    let hung_up = async { reader.read_to_end(&mut text).await };
    tokio::select! {
        () = drops => {}
        _ = timeout(PATIENCE, hung_up) => {}
    }
    assert!(!String::from_utf8(text).unwrap().contains("200 OK"));
}

#[tokio::test]
async fn b1_a_head_has_a_size() {
    let server = Server::start(Limits::default()).await;
    let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(1024 * 1024));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "X: x\r\n".repeat(101));
    let path = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(70 * 1024));
    for head in [long, many, path] {
        let mut stream = server.connect().await;
        // It may hang up before all is said.
        let _ = stream.write_all(head.as_bytes()).await;
        let answer = rest(&mut stream).await;
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 431 "),
            "{answer}"
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
async fn b1_connections_are_counted() {
    let limits = Limits {
        connections: 2,
        ..Limits::default()
    };
    let server = Server::start(limits).await;
    let (mut first, mut second) = (server.connect().await, server.connect().await);
    let address = first.local_addr().unwrap().to_string();
    assert!(ask(&mut first).await.ends_with(&address));
    assert!(ask(&mut second).await.contains("200 OK"));
    // The third waits for a place, and is served when there is one.
    let mut third = server.connect().await;
    let mut asked = Box::pin(ask(&mut third));
    assert!(timeout(SOON, &mut asked).await.is_err());
    drop(first);
    assert!(asked.await.contains("200 OK"));
}

#[tokio::test]
async fn b1_an_answer_that_is_not_read_holds_no_place() {
    let limits = Limits {
        connections: 1,
        write_time: SOON,
        ..Limits::default()
    };
    let server = Server::start(limits).await;
    let mut deaf = server.connect().await;
    deaf.write_all(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    // There is one place, and it becomes free.
    let mut next = server.connect().await;
    assert!(ask(&mut next).await.contains("200 OK"));
    drop(deaf);
}

/// Small ones, many at a time: in the end not even the questions are taken any more.
#[tokio::test]
async fn b1_answers_that_are_not_read_hold_no_place() {
    let limits = Limits {
        write_time: SOON,
        ..Limits::default()
    };
    let server = Server::start(limits).await;
    let mut deaf = server.connect().await;
    let questions = "GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(1000);
    let hung_up = async { while deaf.write_all(questions.as_bytes()).await.is_ok() {} };
    timeout(PATIENCE, hung_up).await.unwrap();
}

/// The time is for a client that takes nothing, not for the whole answer.
#[tokio::test]
async fn an_answer_that_is_read_slowly_arrives() {
    let limits = Limits {
        write_time: SOON * 5,
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
        match timeout(PATIENCE, slow.read(&mut part)).await.unwrap() {
            Ok(0) => break,
            length => read += length.unwrap(),
        }
        if began.elapsed() < limits.write_time * 2 {
            tokio::time::sleep(SOON / 2).await;
        }
    }
    assert!(read > LARGE, "{read}");
    assert!(began.elapsed() > limits.write_time);
}

#[tokio::test]
async fn whoever_asks_nothing_holds_nobody_up() {
    let server = Server::start(Limits::default()).await;
    let mut fresh = server.connect().await;
    let mut idle = server.connect().await;
    assert!(ask(&mut idle).await.contains("200 OK"));
    server.stopping.cancel();
    timeout(PATIENCE, server.task).await.unwrap().unwrap();
    assert_eq!(rest(&mut idle).await, "");
    assert_eq!(rest(&mut fresh).await, "");
    assert!(TcpStream::connect(server.address).await.is_err());
}
