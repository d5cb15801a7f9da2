//! An HTTP client: keep-alive connections, each with one request at a time.

use std::{
    io,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime::{Builder, Runtime},
};

use crate::Bad;

const CONNECTIONS: usize = 16;

/// A connection to a server.
pub struct Connection {
    stream: TcpStream,
    response: Vec<u8>,
}

impl Connection {
    pub async fn open(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let response = Vec::with_capacity(16 * 1024);
        Ok(Self { stream, response })
    }

    /// Sends a request and returns the whole response.
    pub async fn send(&mut self, request: &[u8]) -> io::Result<&[u8]> {
        self.response.clear();
        self.stream.write_all(request).await?;
        while !is_whole(&self.response) {
            if self.stream.read_buf(&mut self.response).await? == 0 {
                let closed = "the server closed the connection";
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, closed));
            }
        }
        Ok(&self.response)
    }
}

/// One request, sent again and again.
pub struct Load<'a> {
    pub address: &'a str,
    pub cookie: &'a str,
    pub path: &'a str,
}

impl Load<'_> {
    fn request(&self) -> String {
        let Self {
            address,
            cookie,
            path,
        } = self;
        let cookie = if cookie.is_empty() {
            String::new()
        } else {
            format!("cookie: {cookie}\r\n")
        };
        format!("GET {path} HTTP/1.1\r\nhost: {address}\r\naccept: text/html\r\n{cookie}\r\n")
    }

    async fn send(&self, connection: &mut Connection, request: &str) -> Result<(), Bad> {
        let expected: &[u8] = match self.path {
            "/login" => b"HTTP/1.1 303",
            _ => b"HTTP/1.1 200",
        };
        let response = connection.send(request.as_bytes()).await?;
        if !response.starts_with(expected) {
            return Err(String::from_utf8_lossy(response).into());
        }
        Ok(())
    }
}

/// Requests a second over `slice`.
pub fn measure(load: &Load<'_>, slice: Duration) -> Result<f64, Bad> {
    let request = load.request();
    runtime()?.block_on(async {
        let begin = Instant::now();
        let end = begin + slice;
        let connections = (0..CONNECTIONS).map(async |_| {
            let mut connection = Connection::open(load.address).await?;
            let mut count = 0u64;
            while Instant::now() < end {
                load.send(&mut connection, &request).await?;
                count += 1;
            }
            Ok::<_, Bad>(count)
        });
        let counts = futures_util::future::try_join_all(connections).await?;
        Ok(counts.iter().sum::<u64>() as f64 / begin.elapsed().as_secs_f64())
    })
}

/// Sends a number of requests over one connection.
pub fn send(load: &Load<'_>, requests: u64) -> Result<(), Bad> {
    let request = load.request();
    runtime()?.block_on(async {
        let mut connection = Connection::open(load.address).await?;
        for _ in 0..requests {
            load.send(&mut connection, &request).await?;
        }
        Ok(())
    })
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

fn is_whole(response: &[u8]) -> bool {
    let Some(head) = response.windows(4).position(|part| part == b"\r\n\r\n") else {
        return false;
    };
    let text = std::str::from_utf8(&response[..head]).unwrap_or_default();
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>().ok())?
    });
    response.len() >= head + 4 + length.unwrap_or(0)
}
