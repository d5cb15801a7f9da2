use std::{net::SocketAddr, time::Duration};

use axum::Router;
use tokio::{net::TcpListener, signal, time};

use crate::failure::Failure;

/// How long answers under way may take after the signal to stop.
const FAREWELL: Duration = Duration::from_secs(10);

/// Takes the address. With port 0, the listener knows which port it became.
pub(crate) async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Failure> {
    let failed = |error| Failure::Listen { address, error };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// Serves until Ctrl-C or SIGTERM, then lets the answers under way finish.
pub(crate) async fn serve(listener: TcpListener, app: Router) -> Result<(), Failure> {
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = axum::serve(listener, app).with_graceful_shutdown(async move {
        stop_signal().await;
        tracing::info!("stopping");
        drop(stop);
    });
    let farewell = async {
        // An error says that the sender is gone, and that is the message.
        let _ = stopped.await;
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

/// Ends at the first Ctrl-C or SIGTERM.
async fn stop_signal() {
    let interrupt = async {
        if signal::ctrl_c().await.is_err() {
            // No handler could be installed: the operating system ends us without one.
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    let terminate = async {
        match signal::unix::signal(signal::unix::SignalKind::terminate()) {
            Ok(mut terminate) => {
                terminate.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminate = std::future::pending::<()>();

    tokio::select! {
        () = interrupt => {}
        () = terminate => {}
    }
}
