//! Outages of the servers that hold the stores.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum_oten::store::{
    Bytes, OtenStore, PostgresStore, RecordKey, RedisStore, SqliteStore, StoreError,
};
use sqlx::{ConnectOptions, Executor, sqlite::SqliteConnectOptions};
use tokio::task::JoinSet;

use super::{
    servers::{Server, ServerKind, shared},
    store_pair::key,
    tcp_proxy::TcpProxy,
    temp_dir::TempDir,
};

/// The time limit of every operation, regardless of the state of the server: two seconds, with a
/// margin for a busy machine that is shorter than a second attempt.
pub(super) const LIMIT: Duration = Duration::from_millis(3_800);

const TTL: Duration = Duration::from_secs(3_600);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l8_killing_redis_under_load_loses_no_write() {
    survives_being_killed_under_load(ServerKind::Redis).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l8_killing_postgres_under_load_loses_no_write() {
    survives_being_killed_under_load(ServerKind::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l8_redis_can_start_after_the_app() {
    starts_after_the_app(ServerKind::Redis).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l8_postgres_can_start_after_the_app() {
    starts_after_the_app(ServerKind::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l8_a_restart_of_redis_while_idle_causes_no_error() {
    restarts_while_idle(ServerKind::Redis).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l8_a_restart_of_postgres_while_idle_causes_no_error() {
    restarts_while_idle(ServerKind::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l8_redis_recovers_after_it_hangs() {
    let mut server = Server::new(ServerKind::Redis);
    server.start();
    let store = connect(ServerKind::Redis, &server.url()).await;
    let key = key();
    store.insert(&key, b"a", TTL).await.unwrap();
    server.signal("STOP");
    for _ in 0..2 {
        timed(store.load(&key)).await.unwrap_err();
    }
    server.signal("CONT");
    assert!(timed(store.load(&key)).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l8_redis_recovers_after_a_network_failure() {
    recovers_after_a_network_failure(ServerKind::Redis).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l8_postgres_recovers_after_a_network_failure() {
    recovers_after_a_network_failure(ServerKind::Postgres).await;
}

/// An operation that has returned an error would otherwise block a later one: a lease that no request holds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l8_no_write_to_a_locked_file_is_executed_after_its_error() {
    let directory = TempDir::new();
    let path = directory.path().join("sessions.db");
    let store = Arc::new(SqliteStore::open(&path).await.unwrap());
    let options = SqliteConnectOptions::new().filename(&path);
    let mut other = options.connect().await.unwrap();
    other.execute("BEGIN IMMEDIATE").await.unwrap();
    let keys: Vec<_> = (0..20).map(|_| key()).collect();
    let mut inserts = JoinSet::new();
    for key in keys.clone() {
        let store = Arc::clone(&store);
        inserts.spawn(async move { timed(store.insert(&key, b"a", TTL)).await });
    }
    assert!(inserts.join_all().await.iter().all(Result::is_err));
    other.execute("ROLLBACK").await.unwrap();
    // SQLite waits for a second at most.
    let unlocked = Instant::now();
    while unlocked.elapsed() < Duration::from_millis(1_100) {
        for key in &keys {
            assert!(store.load(key).await.unwrap().is_none());
        }
    }
}

async fn connect(kind: ServerKind, url: &str) -> Arc<dyn OtenStore> {
    match kind {
        ServerKind::Redis => Arc::new(RedisStore::connect(url).await.unwrap()),
        ServerKind::Postgres => Arc::new(PostgresStore::connect(url).await.unwrap()),
    }
}

async fn starts_after_the_app(kind: ServerKind) {
    let mut server = Server::new(kind);
    let start = Instant::now();
    let store = connect(kind, &server.url()).await;
    assert!(start.elapsed() < LIMIT);
    let key = key();
    timed(store.insert(&key, b"a", TTL)).await.unwrap_err();
    timed(store.members(&key)).await.unwrap_err();
    server.start();
    assert!(timed(store.insert(&key, b"a", TTL)).await.unwrap());
    assert_eq!(timed(store.take(&key)).await.unwrap().unwrap(), b"a"[..]);
}

async fn restarts_while_idle(kind: ServerKind) {
    let mut server = Server::new(kind);
    server.start();
    let store = connect(kind, &server.url()).await;
    let key = key();
    // Opens several connections if the store uses several.
    let mut inserts = JoinSet::new();
    for n in 0..50 {
        let store = Arc::clone(&store);
        inserts.spawn(async move { store.insert(&key, &[n], TTL).await.unwrap() });
    }
    inserts.join_all().await;
    let used = Instant::now();
    server.kill();
    server.start();
    // A connection is assumed to be alive within a second after its last use, and may return an error.
    // The other half second is for the store's own work.
    tokio::time::sleep(Duration::from_millis(1_500).saturating_sub(used.elapsed())).await;
    // A new connection to a busy server can time out, unlike a dead one, which returns an error.
    let mut found = timed(store.load(&key)).await;
    for _ in 0..4 {
        if matches!(found, Err(StoreError::TimedOut)) {
            found = timed(store.load(&key)).await;
        }
    }
    assert!(found.unwrap().is_some());
    assert!(timed(store.take(&key)).await.unwrap().is_some());
}

async fn recovers_after_a_network_failure(kind: ServerKind) {
    let server = shared(kind);
    let proxy = TcpProxy::to(server.address()).await;
    let store = connect(kind, &server.url_by(proxy.port)).await;
    let key = key();
    let many = |cut: bool| {
        let mut loads = JoinSet::new();
        for _ in 0..50 {
            let store = Arc::clone(&store);
            loads.spawn(async move { timed(store.load(&key)).await });
        }
        if cut {
            proxy.cut();
        }
        loads.join_all()
    };
    assert!(many(false).await.iter().all(Result::is_ok));
    // The network fails during fifty operations and for fifty more.
    many(true).await;
    assert!(many(false).await.iter().all(Result::is_err));
    proxy.restore();
    assert!(timed(store.insert(&key, b"a", TTL)).await.unwrap());
    assert!(many(false).await.iter().all(Result::is_ok));
}

async fn survives_being_killed_under_load(kind: ServerKind) {
    let mut server = Server::new(kind);
    server.start();
    let store = connect(kind, &server.url()).await;
    let load = Arc::new(Load::default());
    let mut clients = JoinSet::new();
    for _ in 0..8 {
        clients.spawn(Arc::clone(&load).client(Arc::clone(&store)));
    }
    for _ in 0..2 {
        load.reaches(&load.answers, 600).await;
        server.kill();
        load.reaches(&load.errors, 16).await;
        server.start();
    }
    load.reaches(&load.answers, 600).await;
    load.over.store(true, Ordering::SeqCst);
    clients.join_all().await;

    // Every acknowledged write is in the store, and every acknowledged removal is not.
    let known = std::mem::take(&mut *load.known.lock().unwrap());
    for (exists, name) in [(true, "kept"), (false, "taken")] {
        let count = known.values().filter(|value| value.is_some() == exists);
        assert!(count.count() > 20, "too few were {name}");
    }
    let fresh = connect(kind, &server.url()).await;
    for (key, value) in known {
        let found = fresh.load(&key).await.unwrap();
        assert_eq!(found.map(|record| record.value), value, "{key}");
    }
}

/// Operations during the outages.
#[derive(Default)]
struct Load {
    answers: AtomicUsize,
    errors: AtomicUsize,
    over: AtomicBool,
    /// The expected content of the store, according to acknowledged operations.
    known: Mutex<HashMap<RecordKey, Option<Bytes>>>,
}

impl Load {
    async fn client(self: Arc<Self>, store: Arc<dyn OtenStore>) {
        while !self.over.load(Ordering::SeqCst) {
            let key = key();
            match self.use_record(&*store, &key).await {
                Ok(value) => {
                    self.known.lock().unwrap().insert(key, value);
                }
                // The state of this record is unknown.
                Err(_) => {
                    self.errors.fetch_add(1, Ordering::SeqCst);
                }
            }
        }
    }

    /// Creates, changes and removes a record. Every response must be correct. Returns the final value.
    async fn use_record(
        &self,
        store: &dyn OtenStore,
        key: &RecordKey,
    ) -> Result<Option<Bytes>, StoreError> {
        assert!(self.acknowledged(store.insert(key, b"1", TTL)).await?);
        let found = self.acknowledged(store.load(key)).await?.unwrap();
        assert_eq!(found.value, b"1"[..]);
        let version = Some(found.version);
        assert!(
            self.acknowledged(store.replace(key, version, b"2", TTL))
                .await?
        );
        assert!(
            !self
                .acknowledged(store.replace(key, version, b"3", TTL))
                .await?
        );
        assert!(self.acknowledged(store.touch(key, TTL)).await?);
        if key.as_bytes()[0].is_multiple_of(2) {
            return Ok(Some(Bytes::from_static(b"2")));
        }
        assert_eq!(self.acknowledged(store.take(key)).await?.unwrap(), b"2"[..]);
        assert_eq!(self.acknowledged(store.take(key)).await?, None);
        assert!(
            !self
                .acknowledged(store.replace(key, None, b"4", TTL))
                .await?
        );
        Ok(None)
    }

    async fn acknowledged<T>(
        &self,
        operation: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let answer = timed(operation).await?;
        self.answers.fetch_add(1, Ordering::SeqCst);
        Ok(answer)
    }

    /// Waits until a counter has increased by `more`.
    async fn reaches(&self, count: &AtomicUsize, more: usize) {
        let goal = count.load(Ordering::SeqCst) + more;
        let limit = Instant::now() + Duration::from_secs(60);
        while count.load(Ordering::SeqCst) < goal {
            assert!(Instant::now() < limit, "fewer than {more} more operations");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn timed<T>(operation: impl Future<Output = T>) -> T {
    let start = Instant::now();
    let answer = operation.await;
    assert!(start.elapsed() < LIMIT, "it took {:?}", start.elapsed());
    answer
}
