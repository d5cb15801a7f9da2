//! A balancer in front of the two processes. It asks `/readyz` of each twice a second, prefers a process
//! that is ready, and sends a `GET` that got no answer to the other one.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    select,
    sync::watch,
    time::{sleep, timeout},
};

use super::Task;
use crate::{Bad, client::Connection};

/// `/readyz` answers within 2 seconds, the limit of a store operation.
const PROBE_TIMEOUT: Duration = Duration::from_millis(2_500);
const PROBE_PAUSE: Duration = Duration::from_millis(500);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// In the order in which requests are sent to processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Health {
    Ready,
    /// It answers, but not with 200: its store may be down.
    NotReady,
    Down,
}

pub struct Balancer {
    pub address: String,
    _tasks: Vec<Task>,
}

struct Backend {
    address: String,
    health: watch::Sender<Health>,
}

struct Shared {
    backends: Vec<Backend>,
    next: AtomicUsize,
}

impl Balancer {
    pub async fn start(sites: &[String]) -> Result<Self, Bad> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let backends = sites.iter().map(|address| Backend {
            address: address.clone(),
            health: watch::Sender::new(Health::Ready),
        });
        let shared = Arc::new(Shared {
            backends: backends.collect(),
            next: AtomicUsize::new(0),
        });
        let mut tasks: Vec<Task> = (0..sites.len())
            .map(|site| Task(tokio::spawn(probe(Arc::clone(&shared), site))))
            .collect();
        tasks.push(Task(tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, Arc::clone(&shared)));
            }
        })));
        Ok(Self {
            address,
            _tasks: tasks,
        })
    }
}

async fn probe(shared: Arc<Shared>, site: usize) {
    let backend = &shared.backends[site];
    loop {
        let request = format!("GET /readyz HTTP/1.1\r\nhost: {}\r\n\r\n", backend.address);
        let answer = timeout(PROBE_TIMEOUT, async {
            let mut connection = Connection::open(&backend.address).await?;
            Ok::<_, io::Error>(
                connection.send(request.as_bytes()).await?.get(9..12) == Some(b"200"),
            )
        });
        backend.health.send_replace(match answer.await {
            Ok(Ok(true)) => Health::Ready,
            Ok(Ok(false)) => Health::NotReady,
            _ => Health::Down,
        });
        sleep(PROBE_PAUSE).await;
    }
}

/// Serves a browser's connection, with one connection to each process.
async fn serve(mut client: TcpStream, shared: Arc<Shared>) {
    client.set_nodelay(true).ok();
    let mut kept: Vec<Option<Connection>> = shared.backends.iter().map(|_| None).collect();
    let mut request = Vec::new();
    loop {
        request.clear();
        // The browsers send no bodies.
        while !request.ends_with(b"\r\n\r\n") {
            match client.read_buf(&mut request).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
        // Without an answer the connection closes.
        let Some(response) = forward(&shared, &mut kept, &request).await else {
            return;
        };
        if client.write_all(&response).await.is_err() {
            return;
        }
    }
}

async fn forward(
    shared: &Shared,
    kept: &mut [Option<Connection>],
    request: &[u8],
) -> Option<Vec<u8>> {
    let turn = shared.next.fetch_add(1, Ordering::Relaxed);
    let count = shared.backends.len();
    let mut order: Vec<usize> = (turn..turn + count).map(|site| site % count).collect();
    order.sort_by_key(|site| *shared.backends[*site].health.borrow());
    for site in order {
        let backend = &shared.backends[site];
        if let Some(connection) = kept[site].take() {
            if let Some(response) = exchange(backend, connection, request, &mut kept[site]).await {
                return Some(response);
            }
            // An idle connection that the process has closed shows here.
            if !request.starts_with(b"GET ") {
                return None;
            }
        }
        let opened = timeout(CONNECT_TIMEOUT, Connection::open(&backend.address)).await;
        let Ok(Ok(connection)) = opened else { continue };
        if let Some(response) = exchange(backend, connection, request, &mut kept[site]).await {
            return Some(response);
        }
        if !request.starts_with(b"GET ") {
            return None;
        }
    }
    None
}

/// Returns the response, or `None` if the connection fails or the process is found to be down.
async fn exchange(
    backend: &Backend,
    mut connection: Connection,
    request: &[u8],
    kept: &mut Option<Connection>,
) -> Option<Vec<u8>> {
    let mut health = backend.health.subscribe();
    let was_down = *health.borrow_and_update() == Health::Down;
    let response = select! {
        response = connection.send(request) => response.ok()?.to_vec(),
        _ = health.wait_for(|health| *health == Health::Down), if !was_down => return None,
        () = sleep(PROBE_TIMEOUT), if was_down => return None,
    };
    let head = response.split(|byte| *byte == b'\n');
    let closes = head
        .take_while(|line| line.len() > 1)
        .any(|line| line.eq_ignore_ascii_case(b"connection: close\r"));
    if !closes {
        *kept = Some(connection);
    }
    Some(response)
}
