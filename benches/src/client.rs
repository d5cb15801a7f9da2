//! A load generator: keep-alive connections, each with one request at a time.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    runtime::Builder,
};

use crate::Bad;

const CONNECTIONS: usize = 16;

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

    fn expected(&self) -> &'static [u8] {
        if self.path == "/" {
            b"HTTP/1.1 200"
        } else {
            b"HTTP/1.1 303"
        }
    }
}

/// Requests a second over `slice`.
pub fn measure(load: &Load<'_>, slice: Duration) -> Result<f64, Bad> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let request = load.request().into_bytes();
    let expected = load.expected();
    runtime.block_on(async {
        let begin = Instant::now();
        let end = begin + slice;
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            let mut stream = tokio::net::TcpStream::connect(load.address).await?;
            stream.set_nodelay(true)?;
            let request = request.clone();
            connections.push(async move {
                let (mut count, mut buffer) = (0u64, vec![0; 16 * 1024]);
                while Instant::now() < end {
                    stream.write_all(&request).await?;
                    let mut filled = 0;
                    loop {
                        let read = stream.read(&mut buffer[filled..]).await?;
                        if read == 0 {
                            return Err(Bad::from("the server closed the connection"));
                        }
                        filled += read;
                        if is_whole(&buffer[..filled]) {
                            break;
                        }
                    }
                    if !buffer.starts_with(expected) {
                        let text = String::from_utf8_lossy(&buffer[..filled]).into_owned();
                        return Err(text.into());
                    }
                    count += 1;
                }
                Ok(count)
            });
        }
        let counts = futures_util::future::try_join_all(connections).await?;
        Ok(counts.iter().sum::<u64>() as f64 / begin.elapsed().as_secs_f64())
    })
}

/// Sends a number of requests over one connection.
pub fn send(load: &Load<'_>, requests: u64) -> Result<(), Bad> {
    let mut stream = TcpStream::connect(load.address)?;
    stream.set_nodelay(true)?;
    let request = load.request();
    let mut buffer = vec![0; 16 * 1024];
    for _ in 0..requests {
        stream.write_all(request.as_bytes())?;
        let mut filled = 0;
        while !is_whole(&buffer[..filled]) {
            let read = stream.read(&mut buffer[filled..])?;
            if read == 0 {
                return Err("the server closed the connection".into());
            }
            filled += read;
        }
        if !buffer.starts_with(load.expected()) {
            return Err(String::from_utf8_lossy(&buffer[..filled])
                .into_owned()
                .into());
        }
    }
    Ok(())
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
