//! Connections: taken in, bounded in number, time and size, and ended in order.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Extension, Router, extract::ConnectInfo, serve::Listener};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto::Builder, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;
use tower::Layer;

/// What clients may take, whatever they ask for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// How many connections there are at the same time; further ones wait to be taken in.
    connections: usize,
    /// How long the head of a request may take, and how long a connection waits for one.
    head_time: Duration,
    /// How long the head of a request may be, the request line included, give or take what is read
    /// at once.
    head_bytes: usize,
    /// How many headers a request may have.
    headers: usize,
    /// How long a client may leave unread what it is sent, once the system's buffers are full.
    write_time: Duration,
}

impl Limits {
    /// For a page that one program asks for now and then: it takes next to nothing from the site.
    pub(crate) fn few() -> Self {
        Self {
            connections: 16,
            head_time: Duration::from_secs(5),
            write_time: Duration::from_secs(5),
            ..Self::default()
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // Half of the 1024 open files that many systems allow: the store and the provider have
            // to be reached, too.
            connections: 512,
            head_time: Duration::from_secs(30),
            // Cookies and a callback with a long code come to a third of it.
            head_bytes: 32 * 1024,
            headers: 100,
            write_time: Duration::from_secs(30),
        }
    }
}

/// Serves until it is told to stop. Then nobody is taken in any more, connections without a request
/// end, and this ends when the requests under way are answered.
///
/// HTTP/1.1 only: browsers speak HTTP/2 with TLS alone, which a proxy in front ends.
pub(crate) async fn serve(
    mut socket: TcpListener,
    app: Router,
    stopping: CancellationToken,
    limits: Limits,
) {
    let mut http = Builder::new(TokioExecutor::new()).http1_only();
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_time)
        .max_buf_size(limits.head_bytes)
        .max_headers(limits.headers);
    let places = Arc::new(Semaphore::new(limits.connections));
    let connections = GracefulShutdown::new();
    loop {
        let next = stopping.run_until_cancelled(take_in(&mut socket, &places));
        let Some((stream, peer, place)) = next.await else {
            break;
        };
        let app = Extension(ConnectInfo(peer)).layer(app.clone());
        let stream = TokioIo::new(Box::pin(impatient(stream, limits.write_time)));
        let connection = http.serve_connection(stream, TowerToHyperService::new(app));
        let connection = connections.watch(connection.into_owned());
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, %peer, "a connection broke");
            }
            drop(place);
        });
    }
    // Whoever comes now is refused at once and goes elsewhere.
    drop(socket);
    connections.shutdown().await;
}

/// A client that does not read holds its place no longer than this: without it, 512 of them are
/// enough to keep everybody else out.
fn impatient(stream: TcpStream, write_time: Duration) -> TimeoutStream<TcpStream> {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(write_time));
    stream
}

/// The next connection, once there is a place for it.
async fn take_in(
    socket: &mut TcpListener,
    places: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, Option<OwnedSemaphorePermit>) {
    // It fails for a closed semaphore, and nobody closes this one.
    let place = Arc::clone(places).acquire_owned().await.ok();
    let (stream, peer) = Listener::accept(socket).await;
    // An answer is one packet, or a few: waiting to fill one up only delays it.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, %peer, "small packets are delayed");
    }
    (stream, peer, place)
}

#[cfg(test)]
mod tests;
