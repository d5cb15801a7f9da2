use std::{future, net::SocketAddr};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// The way to a server, which can be cut: then nothing arrives any more, and nobody is told.
pub(super) struct Wire {
    pub(super) port: u16,
    is_cut: watch::Sender<bool>,
}

impl Wire {
    pub(super) async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (is_cut, cut) = watch::channel(false);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, server, cut.clone()));
            }
        });
        Self { port, is_cut }
    }

    pub(super) fn cut(&self) {
        self.is_cut.send_replace(true);
    }

    /// Carries new connections. Those that were cut do not come back.
    pub(super) fn mend(&self) {
        self.is_cut.send_replace(false);
    }
}

async fn carry(mut client: TcpStream, server: SocketAddr, mut cut: watch::Receiver<bool>) {
    let mut server = TcpStream::connect(server).await.unwrap();
    let is_over = tokio::select! {
        cut = async { cut.wait_for(|is_cut| *is_cut).await.is_err() } => cut,
        _ = copy_bidirectional(&mut client, &mut server) => true,
    };
    if !is_over {
        future::pending::<()>().await;
    }
}
