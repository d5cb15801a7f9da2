//! The network between the sites and their store.

use std::time::Duration;

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    select,
    sync::watch,
    time::sleep,
};

use super::Task;
use crate::Bad;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// Connections are forwarded to the server at this port.
    To(u16),
    /// Connections are closed, and new ones too.
    Cut,
    /// Connections stay open and nothing arrives.
    Silent,
}

/// A TCP proxy in front of the store.
pub struct Proxy {
    pub port: u16,
    network: watch::Sender<Network>,
    _task: Task,
}

impl Proxy {
    pub async fn to(server: u16) -> Result<Self, Bad> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let (network, receiver) = watch::channel(Network::To(server));
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(forward(client, receiver.clone()));
            }
        });
        Ok(Self {
            port,
            network,
            _task: Task(task),
        })
    }

    pub fn set(&self, network: Network) {
        self.network.send_replace(network);
    }
}

/// Forwards a connection until the network changes. Connections that a silent network has carried stay
/// silent, also after its repair, as far as their ends know.
async fn forward(mut client: TcpStream, mut network: watch::Receiver<Network>) {
    let now = *network.borrow_and_update();
    if let Network::To(port) = now {
        let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)).await else {
            return;
        };
        client.set_nodelay(true).ok();
        server.set_nodelay(true).ok();
        select! {
            _ = copy_bidirectional(&mut client, &mut server) => return,
            _ = network.wait_for(|network| *network != now) => {}
        }
        if *network.borrow() != Network::Silent {
            return;
        }
        silence(server).await;
    } else if now == Network::Cut {
        return;
    }
    silence(client).await;
}

async fn silence(connection: TcpStream) {
    sleep(Duration::from_secs(120)).await;
    drop(connection);
}
