//! Connections: limited in number, time and size, and closed in order.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{BoxError, Extension, Router, extract::ConnectInfo, serve::Listener};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto::Builder, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;
use tokio_util::{either::Either, sync::CancellationToken};
use tower::Layer;

use crate::error::Error;

/// How many connections the system holds until they are accepted, if it allows that many. Tokio's
/// default of 128 makes browsers wait for a second in a burst.
const BACKLOG: u32 = 1_024;

/// Limits on clients.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// How many connections are open at the same time. Further ones wait to be accepted.
    pub(super) connections: usize,
    /// How long a TLS handshake or the head of a request may take, and how long an idle connection
    /// stays open.
    pub(super) head_timeout: Duration,
    /// The size of a request's head in bytes, with the request line. One more read may be buffered.
    pub(super) head_bytes: usize,
    /// How many headers a request may have.
    pub(super) headers: usize,
    /// How long a client may read nothing of a response once the system's buffers are full.
    pub(super) write_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // Half of the 1024 open files that many systems allow: connections to the store and
            // the provider need some, too.
            connections: 512,
            head_timeout: Duration::from_secs(30),
            // Cookies and a callback with a long code take a third of it.
            head_bytes: 32 * 1024,
            headers: 100,
            write_timeout: Duration::from_secs(30),
        }
    }
}

/// How to serve connections: which app, over http or https, and with which limits.
pub(super) struct Connections {
    pub(super) app: Router,
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) limits: Limits,
}

impl Connections {
    /// Accepts connections until `closing` is cancelled. Then it closes the listener and the idle
    /// connections, and returns when the requests in progress are answered.
    ///
    /// HTTP/1.1 only: browsers use HTTP/2 only over TLS, which ends at a proxy in front.
    pub(super) async fn serve(self, mut socket: TcpListener, closing: CancellationToken) {
        let limits = self.limits;
        let mut http = Builder::new(TokioExecutor::new()).http1_only();
        http.http1()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.head_timeout)
            .max_buf_size(limits.head_bytes)
            .max_headers(limits.headers);
        let permits = Arc::new(Semaphore::new(limits.connections));
        let shutdown = GracefulShutdown::new();
        loop {
            let next = closing.run_until_cancelled(accept(&mut socket, &permits));
            let Some((stream, peer, permit)) = next.await else {
                break;
            };
            let mut stream = TimeoutStream::new(stream);
            // A client that does not read would otherwise occupy its connection forever.
            stream.set_write_timeout(Some(limits.write_timeout));
            let stream = Box::pin(stream);
            let app = Extension(ConnectInfo(peer)).layer(self.app.clone());
            let (tls, http, watcher) = (self.tls.clone(), http.clone(), shutdown.watcher());
            let closing = closing.clone();
            let connection = async move {
                let stream = match tls {
                    None => Either::Left(stream),
                    Some(tls) => {
                        let handshake = timeout(limits.head_timeout, tls.accept(stream));
                        match closing.run_until_cancelled(handshake).await {
                            Some(stream) => Either::Right(stream??),
                            None => return Ok(()),
                        }
                    }
                };
                let service = TowerToHyperService::new(app);
                let connection = http.serve_connection(TokioIo::new(stream), service);
                watcher.watch(connection.into_owned()).await
            };
            tokio::spawn(async move {
                let outcome: Result<(), BoxError> = connection.await;
                if let Err(error) = outcome {
                    tracing::debug!(%error, %peer, "a connection failed");
                }
                drop(permit);
            });
        }
        // New connections are refused at once, so clients try another process.
        drop(socket);
        shutdown.shutdown().await;
    }
}

/// Binds an address and returns it with its port; port 0 selects a free port.
pub(super) fn bind(
    address: SocketAddr,
    option: &'static str,
) -> Result<(TcpListener, SocketAddr), Error> {
    let failed = |error| Error::Listen {
        address,
        option,
        error,
    };
    let listen = || {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        // A new process can use the address at once, as `TcpListener::bind` does.
        #[cfg(unix)]
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let listener = socket.listen(BACKLOG)?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    };
    listen().map_err(failed)
}

/// Waits for a free permit, then for a connection.
async fn accept(
    socket: &mut TcpListener,
    permits: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, Option<OwnedSemaphorePermit>) {
    // Acquiring fails only for a closed semaphore, and this one is never closed.
    let permit = Arc::clone(permits).acquire_owned().await.ok();
    let (stream, peer) = Listener::accept(socket).await;
    // Responses are a few packets: filling up the last one only delays it.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, %peer, "TCP_NODELAY cannot be set");
    }
    (stream, peer, permit)
}

#[cfg(test)]
mod tests;
