use std::{
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    extract::connect_info::Connected,
    serve::{IncomingStream, Listener},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{Mutex, watch},
    task::JoinHandle,
};

use super::{core::Core, router::router};

const BACKLOG: u32 = 1024;

/// The emulator's own listener, which can go away and come back.
pub(super) struct Server {
    core: Arc<Core>,
    address: SocketAddr,
    phase: Mutex<Phase>,
}

enum Phase {
    Running {
        accepting: JoinHandle<()>,
        /// Says `true` when every connection has to end.
        stop: watch::Sender<bool>,
    },
    /// The port is kept, bound but not listening: connections are refused, and nobody else can
    /// have it meanwhile.
    Stopped(Option<TcpSocket>),
}

impl Server {
    pub(super) async fn listen() -> io::Result<TcpListener> {
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await
    }

    pub(super) fn start(listener: TcpListener, address: SocketAddr, core: &Arc<Core>) -> Self {
        Self {
            core: Arc::clone(core),
            address,
            phase: Mutex::new(Phase::run(listener, core)),
        }
    }

    /// Closes the listener and every connection.
    pub(super) async fn stop(&self) {
        let mut phase = self.phase.lock().await;
        let Phase::Running { accepting, stop } = &mut *phase else {
            return;
        };
        accepting.abort();
        // Over once the listener is dropped; that it was aborted is no news.
        let _ = accepting.await;
        stop.send_replace(true);
        // Every connection holds a receiver until it is dropped.
        let _ = tokio::time::timeout(Duration::from_secs(1), stop.closed()).await;
        *phase = Phase::Stopped(self.reserve().ok());
    }

    /// Listens again, on the same port.
    pub(super) async fn resume(&self) -> io::Result<()> {
        let mut phase = self.phase.lock().await;
        let Phase::Stopped(reserved) = &mut *phase else {
            return Ok(());
        };
        let socket = reserved.take().map_or_else(|| self.reserve(), Ok)?;
        *phase = Phase::run(socket.listen(BACKLOG)?, &self.core);
        Ok(())
    }

    fn reserve(&self) -> io::Result<TcpSocket> {
        let socket = TcpSocket::new_v4()?;
        // Connections of the past must not keep us from the port.
        socket.set_reuseaddr(true)?;
        socket.bind(self.address)?;
        Ok(socket)
    }
}

impl Phase {
    fn run(listener: TcpListener, core: &Arc<Core>) -> Self {
        let (stop, stopped) = watch::channel(false);
        let listener = Doorkeeper { listener, stopped };
        let service = router::<()>(core).into_make_service_with_connect_info::<HangUp>();
        let accepting = tokio::spawn(async move {
            // It serves until the task is aborted.
            let _ = axum::serve(listener, service).await;
        });
        Self::Running { accepting, stop }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Phase::Running { accepting, stop } = self.phase.get_mut() {
            accepting.abort();
            stop.send_replace(true);
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// Hangs up on one connection; a handler finds it in its request.
#[derive(Clone, Debug)]
pub(super) struct HangUp(Arc<watch::Sender<bool>>);

impl HangUp {
    pub(super) fn hang_up(&self) {
        self.0.send_replace(true);
    }
}

impl Connected<IncomingStream<'_, Doorkeeper>> for HangUp {
    fn connect_info(stream: IncomingStream<'_, Doorkeeper>) -> Self {
        stream.io().hang_up.clone()
    }
}

/// A listener whose connections can be cut.
pub(super) struct Doorkeeper {
    listener: TcpListener,
    stopped: watch::Receiver<bool>,
}

impl Listener for Doorkeeper {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.listener).await;
        let (hang_up, line) = watch::channel(false);
        let connection = Connection {
            stream,
            hang_up: HangUp(Arc::new(hang_up)),
            ends: [become_true(self.stopped.clone()), become_true(line)],
            is_cut: false,
        };
        (connection, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

type End = Pin<Box<dyn Future<Output = ()> + Send>>;

fn become_true(mut says: watch::Receiver<bool>) -> End {
    Box::pin(async move {
        // A sender that is gone ends the connection too.
        let _ = says.wait_for(|is_true| *is_true).await;
    })
}

/// A connection that fails once it is cut.
pub(super) struct Connection {
    stream: TcpStream,
    hang_up: HangUp,
    ends: [End; 2],
    is_cut: bool,
}

impl Connection {
    /// The stream, unless it was cut. A pending read or write learns of the cut at once.
    fn stream(&mut self, cx: &mut Context<'_>) -> io::Result<Pin<&mut TcpStream>> {
        self.is_cut = self.is_cut
            || self
                .ends
                .iter_mut()
                .any(|end| end.as_mut().poll(cx).is_ready());
        if self.is_cut {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Ok(Pin::new(&mut self.stream))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream(cx)?.poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream(cx)?.poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream(cx)?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream(cx)?.poll_shutdown(cx)
    }
}
