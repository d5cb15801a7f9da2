use std::{future, net::SocketAddr};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// A proxy to a server that can simulate a network failure: connections stay open, but nothing
/// arrives.
pub(super) struct TcpProxy {
    pub(super) port: u16,
    is_cut: watch::Sender<bool>,
}

impl TcpProxy {
    pub(super) async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (is_cut, cut) = watch::channel(false);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(forward(client, server, cut.clone()));
            }
        });
        Self { port, is_cut }
    }

    pub(super) fn cut(&self) {
        self.is_cut.send_replace(true);
    }

    /// Forwards new connections. Connections that were cut stay silent.
    pub(super) fn restore(&self) {
        self.is_cut.send_replace(false);
    }
}

async fn forward(mut client: TcpStream, server: SocketAddr, mut cut: watch::Receiver<bool>) {
    let mut server = TcpStream::connect(server).await.unwrap();
    let is_finished = tokio::select! {
        cut = async { cut.wait_for(|is_cut| *is_cut).await.is_err() } => cut,
        _ = copy_bidirectional(&mut client, &mut server) => true,
    };
    if !is_finished {
        future::pending::<()>().await;
    }
}
