//! A CONNECT proxy that records its requests.

use std::sync::{Arc, Mutex};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

/// A proxy on this machine. It connects to 127.0.0.1, whatever host is requested.
pub struct ConnectProxy {
    /// `127.0.0.1:PORT`.
    pub address: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl ConnectProxy {
    pub async fn start() -> Self {
        Self::answering("200 OK").await
    }

    /// A proxy that answers every request with this status.
    pub async fn answering(status: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let requests = Arc::new(Mutex::new(Vec::new()));
        tokio::spawn({
            let requests = Arc::clone(&requests);
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(lead(stream, status, Arc::clone(&requests)));
                }
            }
        });
        Self { address, requests }
    }

    /// The heads of the requests received.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

async fn lead(mut client: TcpStream, status: &str, requests: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match client.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let target = head
        .strip_prefix("CONNECT ")
        .and_then(|rest| rest.split(' ').next());
    let port = target.and_then(|target| target.rsplit(':').next()?.parse::<u16>().ok());
    requests.lock().unwrap().push(head);
    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
    if !status.starts_with("200") {
        let _ = client.write_all(answer.as_bytes()).await;
        return;
    }
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", port.unwrap_or(0))).await else {
        return;
    };
    let _ = client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
    let _ = copy_bidirectional(&mut client, &mut server).await;
}
