//! The program's HTTP server: it listens, limits its clients and stops gracefully.

mod connections;
mod metrics;
pub(crate) mod tls;

pub(crate) use self::metrics::Metrics;

use std::{io, net::SocketAddr, pin::pin, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{HeaderValue, header},
    middleware,
    response::Response,
};
#[cfg(not(unix))]
use tokio::signal::ctrl_c;
#[cfg(unix)]
use tokio::signal::unix::{SignalKind, signal};
use tokio::{
    net::TcpListener,
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use self::connections::{Connections, Limits};
use crate::error::Error;

/// How long a site behind a load balancer accepts requests after SIGTERM. The balancer, or the nodes
/// of a Kubernetes cluster, need this time to stop sending them.
pub(crate) const PRE_STOP_DELAY: Duration = Duration::from_secs(3);

/// How long responses may take after the listener is closed. Token refreshes have 15 seconds more.
/// Together with [`PRE_STOP_DELAY`] that is less than the 30 seconds after which Kubernetes kills
/// the process.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// A server with a bound address.
pub(crate) struct Server {
    socket: TcpListener,
    address: SocketAddr,
    signals: UnboundedReceiver<StopSignal>,
    stopping: CancellationToken,
    tls: Option<TlsAcceptor>,
}

impl Server {
    /// Binds the address; port 0 selects a free port.
    pub(crate) fn bind(address: SocketAddr) -> Result<Self, Error> {
        let (socket, address) = connections::bind(address, "--listen")?;
        Ok(Self {
            socket,
            address,
            // Before the address is printed: its reader may send a signal at once.
            signals: stop_signals().map_err(Error::Runtime)?,
            stopping: CancellationToken::new(),
            tls: None,
        })
    }

    /// Serves https instead of http.
    pub(crate) fn with_tls(mut self, tls: Option<TlsAcceptor>) -> Self {
        self.tls = tls;
        self
    }

    /// The bound address.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// A token that is cancelled by the first stop signal.
    pub(crate) fn stopping(&self) -> CancellationToken {
        self.stopping.clone()
    }

    /// Serves until a stop signal, then finishes the requests in progress and runs `shut_down`.
    ///
    /// After SIGTERM requests are still accepted for `pre_stop_delay`, and every response asks the
    /// client to open its next connection elsewhere.
    ///
    /// # Errors
    ///
    /// [`Error::SecondSignal`] if a second signal ends it at once.
    pub(crate) async fn serve(
        mut self,
        app: Router,
        pre_stop_delay: Duration,
        shut_down: impl Future<Output = ()>,
    ) -> Result<(), Error> {
        let app = app.layer(middleware::map_response_with_state(
            self.stopping.clone(),
            close_when_stopping,
        ));
        let closing = CancellationToken::new();
        let connections = Connections {
            app,
            tls: self.tls,
            limits: Limits::default(),
        };
        let mut connections = pin!(connections.serve(self.socket, closing.clone()));
        let delay = tokio::select! {
            Some(signal) = self.signals.recv() => match signal {
                StopSignal::Terminate => pre_stop_delay,
                StopSignal::Interrupt => Duration::ZERO,
            },
            // It serves until `closing` is cancelled.
            () = &mut connections => Duration::ZERO,
        };
        tracing::info!("stopping");
        self.stopping.cancel();
        let drain = async {
            let _ = timeout(delay, &mut connections).await;
            closing.cancel();
            if timeout(DRAIN_TIMEOUT, connections).await.is_err() {
                tracing::warn!("some connections did not end in time");
            }
            shut_down.await;
        };
        tokio::select! {
            () = drain => Ok(()),
            Some(_) = self.signals.recv() => Err(Error::SecondSignal),
        }
    }
}

/// Closes the connection after each response once the server stops: a later request on it could
/// arrive too late.
async fn close_when_stopping(
    State(stopping): State<CancellationToken>,
    mut response: Response,
) -> Response {
    if stopping.is_cancelled() {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    response
}

/// A signal that stops the program.
#[derive(Clone, Copy, Debug)]
enum StopSignal {
    /// Ctrl-C at a terminal.
    Interrupt,
    /// SIGTERM from a supervisor.
    #[cfg_attr(not(unix), expect(dead_code, reason = "only Unix has SIGTERM"))]
    Terminate,
}

/// Receives every stop signal from now on.
#[cfg_attr(
    not(unix),
    expect(clippy::unnecessary_wraps, reason = "on Unix it can fail")
)]
fn stop_signals() -> io::Result<UnboundedReceiver<StopSignal>> {
    let (sender, receiver) = unbounded_channel();
    #[cfg(unix)]
    for (kind, stop) in [
        (SignalKind::interrupt(), StopSignal::Interrupt),
        (SignalKind::terminate(), StopSignal::Terminate),
    ] {
        let (mut signals, sender) = (signal(kind)?, sender.clone());
        tokio::spawn(async move {
            while signals.recv().await.is_some() && sender.send(stop).is_ok() {}
        });
    }
    #[cfg(not(unix))]
    tokio::spawn(async move {
        while ctrl_c().await.is_ok() && sender.send(StopSignal::Interrupt).is_ok() {}
    });
    Ok(receiver)
}
