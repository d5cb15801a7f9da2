use std::{net::SocketAddr, pin::pin, time::Duration};

use axum::Router;
use axum_oten::Oten;
use tokio::{net::TcpListener, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    connections::{self, Limits},
    failure::Failure,
    stop::Stop,
};

/// How long answers under way may take after the signal to stop. Renewals of tokens have 15 seconds
/// more: together it is less than the 30 seconds that Kubernetes waits before it kills.
pub(crate) const FAREWELL: Duration = Duration::from_secs(10);

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
    pub(crate) async fn serve(self, app: Router, oten: &Oten) -> Result<(), Failure> {
        let Self {
            socket,
            mut stop,
            stopping,
            ..
        } = self;
        let server = connections::serve(socket, app, stopping.clone(), Limits::default());
        let mut server = pin!(server);
        tokio::select! {
            () = stop.signalled() => {}
            // It does not end before it is told to.
            () = &mut server => {}
        }
        tracing::info!("stopping");
        stopping.cancel();
        let farewell = async {
            if timeout(FAREWELL, server).await.is_err() {
                tracing::warn!("some connections did not end in time");
            }
            // A renewal that is cut off costs its user a new sign-in.
            oten.shutdown().await;
        };
        tokio::select! {
            () = farewell => Ok(()),
            () = stop.signalled() => Err(Failure::Hurried),
        }
    }
}
