//! Servers that go away in the middle of things, and come back.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum_oten::store::{OtenStore, PostgresStore, RecordKey, RedisStore, StoreError};
use time::OffsetDateTime;
use tokio::task::JoinSet;

use super::{
    servers::{Kind, Server, shared},
    tested::key,
    wire::Wire,
};

/// No answer takes longer, whatever happens to the server.
const LIMIT: Duration = Duration::from_millis(2_500);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l8_redis_is_killed_under_load_and_nothing_is_lost() {
    killed_under_load(Kind::Redis).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l8_postgres_is_killed_under_load_and_nothing_is_lost() {
    killed_under_load(Kind::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l8_redis_may_start_after_the_app() {
    starts_later(Kind::Redis).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l8_postgres_may_start_after_the_app() {
    starts_later(Kind::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l8_nobody_notices_a_restart_of_redis_while_idle() {
    restarts_while_idle(Kind::Redis).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l8_nobody_notices_a_restart_of_postgres_while_idle() {
    restarts_while_idle(Kind::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l8_a_redis_that_hangs_is_down_and_recovers() {
    let mut server = Server::new(Kind::Redis);
    server.start();
    let store = connect(Kind::Redis, &server.url()).await;
    let key = key();
    store.insert(&key, b"a", end()).await.unwrap();
    server.signal("STOP");
    for _ in 0..2 {
        timed(store.load(&key)).await.unwrap_err();
    }
    server.signal("CONT");
    assert!(timed(store.load(&key)).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l8_redis_vanishes_from_the_network_and_comes_back() {
    vanishes(Kind::Redis).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l8_postgres_vanishes_from_the_network_and_comes_back() {
    vanishes(Kind::Postgres).await;
}

async fn connect(kind: Kind, url: &str) -> Arc<dyn OtenStore> {
    match kind {
        Kind::Redis => Arc::new(RedisStore::connect(url).await.unwrap()),
        Kind::Postgres => Arc::new(PostgresStore::connect(url).await.unwrap()),
    }
}

async fn starts_later(kind: Kind) {
    let mut server = Server::new(kind);
    let start = Instant::now();
    let store = connect(kind, &server.url()).await;
    assert!(start.elapsed() < LIMIT);
    let key = key();
    timed(store.insert(&key, b"a", end())).await.unwrap_err();
    timed(store.members(&key)).await.unwrap_err();
    server.start();
    assert!(timed(store.insert(&key, b"a", end())).await.unwrap());
    assert_eq!(timed(store.take(&key)).await.unwrap().unwrap(), b"a");
}

async fn restarts_while_idle(kind: Kind) {
    let mut server = Server::new(kind);
    server.start();
    let store = connect(kind, &server.url()).await;
    let key = key();
    // Several connections, where a store has several.
    let mut inserts = JoinSet::new();
    for n in 0..50 {
        let store = Arc::clone(&store);
        inserts.spawn(async move { store.insert(&key, &[n], end()).await.unwrap() });
    }
    inserts.join_all().await;
    let used = Instant::now();
    server.kill();
    server.start();
    // Within a second a connection counts as alive: whoever asks before may get an error. The
    // other half is for the store's own work.
    tokio::time::sleep(Duration::from_millis(1_500).saturating_sub(used.elapsed())).await;
    assert!(timed(store.load(&key)).await.unwrap().is_some());
    assert!(timed(store.take(&key)).await.unwrap().is_some());
}

async fn vanishes(kind: Kind) {
    let server = shared(kind);
    let wire = Wire::to(server.address()).await;
    let store = connect(kind, &server.url_by(wire.port)).await;
    let key = key();
    let many = |cut: bool| {
        let mut asked = JoinSet::new();
        for _ in 0..50 {
            let store = Arc::clone(&store);
            asked.spawn(async move { timed(store.load(&key)).await });
        }
        if cut {
            wire.cut();
        }
        asked.join_all()
    };
    assert!(many(false).await.iter().all(Result::is_ok));
    // In the middle of fifty questions, and for fifty more.
    many(true).await;
    assert!(many(false).await.iter().all(Result::is_err));
    wire.mend();
    assert!(timed(store.insert(&key, b"a", end())).await.unwrap());
    assert!(many(false).await.iter().all(Result::is_ok));
}

async fn killed_under_load(kind: Kind) {
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

    // What was said to be there is there, and what was said to be gone is gone.
    let known = std::mem::take(&mut *load.known.lock().unwrap());
    for (is_there, name) in [(true, "kept"), (false, "taken")] {
        let count = known.values().filter(|value| value.is_some() == is_there);
        assert!(count.count() > 20, "too few were {name}");
    }
    let fresh = connect(kind, &server.url()).await;
    for (key, value) in known {
        let found = fresh.load(&key).await.unwrap();
        assert_eq!(found.map(|record| record.value), value, "{key}");
    }
}

/// What goes on while the server comes and goes.
#[derive(Default)]
struct Load {
    answers: AtomicUsize,
    errors: AtomicUsize,
    over: AtomicBool,
    /// What must be in the store at the end, as far as its answers said so.
    known: Mutex<HashMap<RecordKey, Option<Vec<u8>>>>,
}

impl Load {
    async fn client(self: Arc<Self>, store: Arc<dyn OtenStore>) {
        while !self.over.load(Ordering::SeqCst) {
            let key = key();
            match self.record_lives(&*store, &key).await {
                Ok(value) => {
                    self.known.lock().unwrap().insert(key, value);
                }
                // What became of this one is unknown.
                Err(_) => {
                    self.errors.fetch_add(1, Ordering::SeqCst);
                }
            }
        }
    }

    /// A record's life, in which every answer is right. The outcome is what is left of it.
    async fn record_lives(
        &self,
        store: &dyn OtenStore,
        key: &RecordKey,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        assert!(self.asked(store.insert(key, b"1", end())).await?);
        let found = self.asked(store.load(key)).await?.unwrap();
        assert_eq!(found.value, b"1");
        let version = Some(found.version);
        assert!(self.asked(store.replace(key, version, b"2", end())).await?);
        assert!(!self.asked(store.replace(key, version, b"3", end())).await?);
        assert!(self.asked(store.touch(key, end())).await?);
        if key.as_bytes()[0].is_multiple_of(2) {
            return Ok(Some(b"2".to_vec()));
        }
        assert_eq!(self.asked(store.take(key)).await?.unwrap(), b"2");
        assert_eq!(self.asked(store.take(key)).await?, None);
        assert!(!self.asked(store.replace(key, None, b"4", end())).await?);
        Ok(None)
    }

    async fn asked<T>(
        &self,
        operation: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let answer = timed(operation).await?;
        self.answers.fetch_add(1, Ordering::SeqCst);
        Ok(answer)
    }

    /// Waits until so many more are counted.
    async fn reaches(&self, count: &AtomicUsize, more: usize) {
        let goal = count.load(Ordering::SeqCst) + more;
        let limit = Instant::now() + Duration::from_secs(30);
        while count.load(Ordering::SeqCst) < goal {
            assert!(Instant::now() < limit, "{more} more never come");
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

fn end() -> OffsetDateTime {
    OffsetDateTime::now_utc() + time::Duration::HOUR
}
