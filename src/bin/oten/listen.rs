use std::{net::SocketAddr, pin::pin, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{HeaderValue, header},
    middleware,
    response::Response,
};
use axum_oten::Oten;
use tokio::{net::TcpListener, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    connections::{self, Limits},
    failure::Failure,
    stop::{Sender, Stop},
};

/// How long a site that a load balancer sends requests to goes on taking them after SIGTERM: the
/// balancer, or the Kubernetes nodes, hear of the end at the same moment and need a while to act on it.
pub(crate) const PRE_STOP_DELAY: Duration = Duration::from_secs(3);

/// How long answers under way may take after nobody is taken in any more. Renewals of tokens have 15
/// seconds more: with [`PRE_STOP_DELAY`] it is less than the 30 seconds that Kubernetes waits before it kills.
pub(crate) const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// A taken address, and an ear for the signal to stop.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    stop: Stop,
    stopping: CancellationToken,
}

impl Listener {
    /// Takes the address; port 0 takes a free one.
    pub(crate) async fn bind(address: SocketAddr) -> Result<Self, Failure> {
        let failed = |error| Failure::Listen { address, error };
        let socket = TcpListener::bind(address).await.map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        // Before anybody is told that we are here: whoever was told may stop us.
        let stop = Stop::new().map_err(Failure::Runtime)?;
        Ok(Self {
            socket,
            address,
            stop,
            stopping: CancellationToken::new(),
        })
    }

    /// The address that was taken.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cancelled from the signal to stop on.
    pub(crate) fn stopping(&self) -> CancellationToken {
        self.stopping.clone()
    }

    /// Serves until told to stop, then lets the answers and the renewals under way finish. A second
    /// signal ends it at once.
    ///
    /// A supervisor's signal is followed by `notice`: requests are still taken, and every answer asks
    /// the client to connect anew, elsewhere.
    pub(crate) async fn serve(
        self,
        app: Router,
        oten: &Oten,
        notice: Duration,
    ) -> Result<(), Failure> {
        let Self {
            socket,
            mut stop,
            stopping,
            ..
        } = self;
        let app = app.layer(middleware::map_response_with_state(
            stopping.clone(),
            send_away,
        ));
        let closing = CancellationToken::new();
        let server = connections::serve(socket, app, closing.clone(), Limits::default());
        let mut server = pin!(server);
        let notice = tokio::select! {
            sender = stop.signalled() => match sender {
                Sender::Supervisor => notice,
                Sender::Terminal => Duration::ZERO,
            },
            // It does not end before it is told to.
            () = &mut server => Duration::ZERO,
        };
        tracing::info!("stopping");
        stopping.cancel();
        let farewell = async {
            // It does not end here, either.
            let _ = timeout(notice, &mut server).await;
            closing.cancel();
            if timeout(DRAIN_TIMEOUT, server).await.is_err() {
                tracing::warn!("some connections did not end in time");
            }
            // A renewal that is cut off costs its user a new sign-in.
            oten.shutdown().await;
        };
        tokio::select! {
            () = farewell => Ok(()),
            _ = stop.signalled() => Err(Failure::Hurried),
        }
    }
}

/// Ends the connection with the answer, from the signal to stop on: the next request of a kept one
/// could come too late.
async fn send_away(State(stopping): State<CancellationToken>, mut answer: Response) -> Response {
    if stopping.is_cancelled() {
        let close = HeaderValue::from_static("close");
        answer.headers_mut().insert(header::CONNECTION, close);
    }
    answer
}
