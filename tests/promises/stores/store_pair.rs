use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use axum_oten::{
    Clock, Secret,
    store::{MemoryStore, OtenStore, PostgresStore, RecordKey, RedisStore, SqliteStore},
};
use tokio::task::yield_now;
use tower_sessions::{
    SessionStore,
    session::{Id, Record},
    session_store,
};

use super::{
    custom_store::CustomStore,
    redis_servers::{RedisCluster, RedisSentinels, valkey},
    schema::new_database,
    servers::{ServerKind, shared},
    temp_dir::TempDir,
};

/// A store to test and, unless it is a memory store, a second one on the same data, as another
/// process would open it. Both use the same clock.
pub(super) struct StorePair {
    pub(super) store: Arc<dyn OtenStore>,
    pub(super) other: Arc<dyn OtenStore>,
    pub(super) clock: Clock,
    /// A store on the same data with its own clock, as operators use it.
    pub(super) system: Arc<dyn OtenStore>,
    pub(super) is_external: bool,
    _temp_dir: Option<TempDir>,
}

impl StorePair {
    #[expect(clippy::unused_async, reason = "the other constructors await")]
    pub(super) async fn memory() -> Self {
        let clock = Clock::manual();
        let store = MemoryStore::default();
        let system: Arc<dyn OtenStore> = Arc::new(store.clone());
        let store = store.with_clock(clock.clone());
        Self {
            is_external: false,
            ..Self::new(clock, system, store.clone(), store)
        }
    }

    #[expect(clippy::unused_async, reason = "the other constructors await")]
    pub(super) async fn custom() -> Self {
        let clock = Clock::manual();
        let store = CustomStore::new(Sessions::default());
        let system: Arc<dyn OtenStore> = Arc::new(store.clone());
        let store = store.with_clock(clock.clone());
        Self::new(clock, system, store.clone(), store)
    }

    pub(super) async fn sqlite() -> Self {
        let (clock, dir) = (Clock::manual(), TempDir::new());
        let path = dir.path().join("sessions.db");
        let [system, store, other] = [(); 3].map(|()| SqliteStore::open(&path));
        Self {
            _temp_dir: Some(dir),
            ..Self::new(
                clock.clone(),
                Arc::new(system.await.unwrap()),
                store.await.unwrap().with_clock(clock.clone()),
                other.await.unwrap().with_clock(clock),
            )
        }
    }

    pub(super) async fn postgres() -> Self {
        // Of its own: a store whose clock is ahead removes the records of the others.
        let (clock, url) = (Clock::manual(), new_database().await);
        let [system, store, other] = [(); 3].map(|()| PostgresStore::connect(&url));
        Self::new(
            clock.clone(),
            Arc::new(system.await.unwrap()),
            store.await.unwrap().with_clock(clock.clone()),
            other.await.unwrap().with_clock(clock),
        )
    }

    pub(super) async fn redis() -> Self {
        Self::redis_at(&shared(ServerKind::Redis).url()).await
    }

    pub(super) async fn redis_cluster() -> Self {
        Self::redis_at(&RedisCluster::shared().url()).await
    }

    pub(super) async fn redis_sentinels() -> Self {
        Self::redis_at(&RedisSentinels::shared().url()).await
    }

    pub(super) async fn valkey() -> Self {
        Self::redis_at(&valkey().url()).await
    }

    pub(super) async fn valkey_cluster() -> Self {
        Self::redis_at(&RedisCluster::shared_of_valkey().url()).await
    }

    async fn redis_at(url: &str) -> Self {
        let clock = Clock::manual();
        let connect = async || RedisStore::connect(url).await.unwrap();
        Self::new(
            clock.clone(),
            Arc::new(connect().await),
            connect().await.with_clock(clock.clone()),
            connect().await.with_clock(clock),
        )
    }

    fn new(
        clock: Clock,
        system: Arc<dyn OtenStore>,
        store: impl OtenStore,
        other: impl OtenStore,
    ) -> Self {
        Self {
            system,
            store: Arc::new(store),
            other: Arc::new(other),
            clock,
            is_external: true,
            _temp_dir: None,
        }
    }

    /// Returns one of the two stores: `store` for even numbers, `other` for odd ones.
    pub(super) fn either(&self, n: usize) -> Arc<dyn OtenStore> {
        Arc::clone(if n.is_multiple_of(2) {
            &self.store
        } else {
            &self.other
        })
    }
}

/// Returns a unique key.
pub(super) fn key() -> RecordKey {
    RecordKey::new("test", Secret::random().expose())
}

/// A `SessionStore` that saves unconditionally, as published ones do, and yields in every operation.
#[derive(Clone, Debug, Default)]
pub(super) struct Sessions(pub(super) Arc<Mutex<HashMap<Id, Record>>>);

#[async_trait]
impl SessionStore for Sessions {
    async fn save(&self, record: &Record) -> session_store::Result<()> {
        yield_now().await;
        self.0.lock().unwrap().insert(record.id, record.clone());
        yield_now().await;
        Ok(())
    }

    async fn load(&self, id: &Id) -> session_store::Result<Option<Record>> {
        yield_now().await;
        let found = self.0.lock().unwrap().get(id).cloned();
        yield_now().await;
        Ok(found)
    }

    async fn delete(&self, id: &Id) -> session_store::Result<()> {
        yield_now().await;
        self.0.lock().unwrap().remove(id);
        Ok(())
    }
}
