use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{Extension, Router, extract::ConnectInfo, serve::Listener};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::Mutex,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    endpoints::{fault_layer::Connection, router},
    state::Core,
};

const BACKLOG: u32 = 1024;

/// The emulator's own listener, which can stop and resume.
pub(super) struct Server {
    app: Router,
    address: SocketAddr,
    phase: Mutex<Phase>,
}

enum Phase {
    Running {
        stop: CancellationToken,
        /// The task that accepts connections, and a task for each connection.
        tasks: TaskTracker,
    },
    /// The port is bound but not listening: connections are refused, and other programs cannot take
    /// the port.
    Stopped(Option<TcpSocket>),
}

impl Server {
    /// Binds a free port of 127.0.0.1.
    pub(super) async fn listen() -> io::Result<TcpListener> {
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await
    }

    pub(super) fn start(listener: TcpListener, address: SocketAddr, core: &Arc<Core>) -> Self {
        let app = router(core);
        Self {
            phase: Mutex::new(Phase::run(listener, app.clone())),
            app,
            address,
        }
    }

    /// Closes the listener and every connection.
    pub(super) async fn stop(&self) {
        let mut phase = self.phase.lock().await;
        let Phase::Running { stop, tasks } = &*phase else {
            return;
        };
        stop.cancel();
        tasks.close();
        let _ = tokio::time::timeout(Duration::from_secs(1), tasks.wait()).await;
        *phase = Phase::Stopped(self.reserve().ok());
    }

    /// Listens again, on the same port.
    pub(super) async fn resume(&self) -> io::Result<()> {
        let mut phase = self.phase.lock().await;
        let Phase::Stopped(reserved) = &mut *phase else {
            return Ok(());
        };
        let socket = reserved.take().map_or_else(|| self.reserve(), Ok)?;
        *phase = Phase::run(socket.listen(BACKLOG)?, self.app.clone());
        Ok(())
    }

    fn reserve(&self) -> io::Result<TcpSocket> {
        let socket = TcpSocket::new_v4()?;
        // Closed connections in TIME_WAIT would otherwise block the port.
        socket.set_reuseaddr(true)?;
        socket.bind(self.address)?;
        Ok(socket)
    }
}

impl Phase {
    fn run(listener: TcpListener, app: Router) -> Self {
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let accepting = accept(listener, app, stop.clone(), tasks.clone());
        tasks.spawn(stop.clone().run_until_cancelled_owned(accepting));
        Self::Running { stop, tasks }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Phase::Running { stop, .. } = self.phase.get_mut() {
            stop.cancel();
        }
    }
}

/// Serves each connection in a task of its own. `axum::serve` cannot close a single connection.
async fn accept(
    mut listener: TcpListener,
    app: Router,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    loop {
        let (stream, peer) = Listener::accept(&mut listener).await;
        let token = stop.child_token();
        let app = app
            .clone()
            .layer(Extension(Connection(token.clone())))
            .layer(Extension(ConnectInfo(peer)));
        tasks.spawn(async move {
            let service = TowerToHyperService::new(app);
            let server = auto::Builder::new(TokioExecutor::new());
            let serving = server.serve_connection(TokioIo::new(stream), service);
            // An error belongs to the connection and ends it.
            let _ = token.run_until_cancelled(serving).await;
        });
    }
}
