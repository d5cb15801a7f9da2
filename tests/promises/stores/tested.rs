use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use axum_oten::{
    Clock, Secret,
    store::{
        MemoryStore, OtenStore, PostgresStore, RecordKey, RedisStore, SqliteStore, WrappedStore,
    },
};
use time::{Duration, OffsetDateTime};
use tokio::task::yield_now;
use tower_sessions::{
    SessionStore,
    session::{Id, Record},
    session_store,
};

use super::{
    folder::Folder,
    servers::{Kind, shared},
};

/// A store to test, and where there can be one, another on the same data, as a second process has
/// it. Both follow one clock.
pub(super) struct Tested {
    pub(super) store: Arc<dyn OtenStore>,
    pub(super) other: Arc<dyn OtenStore>,
    pub(super) clock: Clock,
    pub(super) is_external: bool,
    _folder: Option<Folder>,
}

impl Tested {
    #[expect(clippy::unused_async, reason = "the others wait")]
    pub(super) async fn memory() -> Self {
        let clock = Clock::manual();
        let store = MemoryStore::default().with_clock(clock.clone());
        Self {
            is_external: false,
            ..Self::new(clock, store.clone(), store)
        }
    }

    #[expect(clippy::unused_async, reason = "the others wait")]
    pub(super) async fn wrapped() -> Self {
        let clock = Clock::manual();
        let store = WrappedStore::new(Sessions::default()).with_clock(clock.clone());
        Self::new(clock, store.clone(), store)
    }

    pub(super) async fn sqlite() -> Self {
        let (clock, folder) = (Clock::manual(), Folder::new());
        let path = folder.path().join("sessions.db");
        let store = SqliteStore::open(&path).await.unwrap();
        let other = SqliteStore::open(&path).await.unwrap();
        Self {
            _folder: Some(folder),
            ..Self::new(
                clock.clone(),
                store.with_clock(clock.clone()),
                other.with_clock(clock),
            )
        }
    }

    pub(super) async fn postgres() -> Self {
        let (clock, url) = (Clock::manual(), shared(Kind::Postgres).url());
        let store = PostgresStore::connect(&url).await.unwrap();
        let other = PostgresStore::connect(&url).await.unwrap();
        Self::new(
            clock.clone(),
            store.with_clock(clock.clone()),
            other.with_clock(clock),
        )
    }

    pub(super) async fn redis() -> Self {
        let (clock, url) = (Clock::manual(), shared(Kind::Redis).url());
        let store = RedisStore::connect(&url).await.unwrap();
        let other = RedisStore::connect(&url).await.unwrap();
        Self::new(
            clock.clone(),
            store.with_clock(clock.clone()),
            other.with_clock(clock),
        )
    }

    fn new(clock: Clock, store: impl OtenStore, other: impl OtenStore) -> Self {
        Self {
            store: Arc::new(store),
            other: Arc::new(other),
            clock,
            is_external: true,
            _folder: None,
        }
    }

    /// The store and the other one, in turn.
    pub(super) fn either(&self, n: usize) -> Arc<dyn OtenStore> {
        Arc::clone(if n.is_multiple_of(2) {
            &self.store
        } else {
            &self.other
        })
    }

    /// So many seconds from now.
    pub(super) fn after(&self, seconds: i64) -> OffsetDateTime {
        self.clock.now() + Duration::seconds(seconds)
    }
}

/// A key that no other test has.
pub(super) fn key() -> RecordKey {
    RecordKey::new("test", Secret::random().expose())
}

/// A plain `SessionStore` as the published ones are: `save` writes whatever was there before, and
/// others get their turn in the middle of things.
#[derive(Clone, Debug, Default)]
struct Sessions(Arc<Mutex<HashMap<Id, Record>>>);

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
