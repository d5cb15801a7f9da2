use std::{net::SocketAddr, time::Duration};

use axum::Router;
use tokio::{net::TcpListener, sync::oneshot, time};

use crate::{failure::Failure, stop::Stop};

/// How long answers under way may take after the signal to stop.
pub(crate) const FAREWELL: Duration = Duration::from_secs(10);

/// A taken address, and an ear for the signal to stop.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    stop: Stop,
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
        })
    }

    /// The address that was taken.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until told to stop, then lets the answers under way finish.
    pub(crate) async fn serve(self, app: Router) -> Result<(), Failure> {
        let (say, stopping) = oneshot::channel::<()>();
        let server = axum::serve(self.socket, app).with_graceful_shutdown(async move {
            self.stop.signalled().await;
            tracing::info!("stopping");
            drop(say);
        });
        let farewell = async {
            // An error says that the sender is gone, and that is the message.
            let _ = stopping.await;
            time::sleep(FAREWELL).await;
        };
        tokio::select! {
            result = server => result.map_err(Failure::Runtime),
            () = farewell => {
                tracing::warn!("some connections did not end in time");
                Ok(())
            }
        }
    }
}
