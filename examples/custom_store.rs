//! An app with a store of its own: implements `OtenStore` on top of a tower-sessions
//! `SessionStore`, **for a single process**.
//!
//! A `SessionStore` saves, loads and deletes without conditions, so locks in this process make the
//! operations atomic. If two processes shared the store, both could accept the same sign-in or refresh
//! the same tokens, and a deleted session could return. A store for several processes needs
//! conditional writes, as the stores of this crate use them.
//!
//! ```console
//! $ export OTEN_ENVIRONMENT=sandbox OTEN_CLIENT_ID=... OTEN_CLIENT_SECRET=...
//! $ export OTEN_REDIRECT_URI=http://localhost:3000/callback
//! $ export OTEN_SESSION_KEY=$(openssl rand -base64 32)
//! $ cargo run --example custom_store
//! ```

use std::{
    collections::HashMap,
    error::Error,
    fmt,
    sync::{Arc, PoisonError},
};

use async_trait::async_trait;
use axum::{Router, routing::get};
use axum_oten::{
    Clock, Config, Oten, User,
    store::{OtenStore, RecordKey, StoreError, StoredRecord},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use time::OffsetDateTime;
use tokio::{net::TcpListener, sync::Mutex};
use tower_sessions::{
    SessionStore,
    session::{Id, Record},
    session_store::Result as StoreResult,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt::init();
    let store = CustomStore::new(AppStore::default());
    let oten = Oten::new(Config::from_env()?, store)?;
    let listener = TcpListener::bind(oten.config().listen()).await?;
    println!("{}", oten.config().origin());
    axum::serve(listener, app(&oten)).await?;
    Ok(())
}

fn app(oten: &Oten) -> Router {
    Router::new()
        .route("/", get(home))
        .merge(oten.routes())
        .layer(oten.layer())
}

async fn home(user: Option<User>) -> String {
    user.map_or("guest".to_owned(), |user| user.subject().to_owned())
}

/// A tower-sessions store. Any other one works as well, if it removes expired records.
#[derive(Clone, Debug, Default)]
struct AppStore(Arc<std::sync::Mutex<HashMap<Id, Record>>>);

impl AppStore {
    fn with<T>(&self, access: impl FnOnce(&mut HashMap<Id, Record>) -> T) -> T {
        access(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl SessionStore for AppStore {
    async fn save(&self, record: &Record) -> StoreResult<()> {
        self.with(|records| records.insert(record.id, record.clone()));
        Ok(())
    }

    async fn load(&self, id: &Id) -> StoreResult<Option<Record>> {
        Ok(self.with(|records| records.get(id).cloned()))
    }

    async fn delete(&self, id: &Id) -> StoreResult<()> {
        self.with(|records| records.remove(id));
        Ok(())
    }
}

/// The number of operations that can run at the same time if their keys select different locks.
const LOCKS: usize = 64;

/// An [`OtenStore`] that keeps its records in a [`SessionStore`]. Clones share the store.
pub struct CustomStore<S> {
    inner: Arc<Inner<S>>,
    clock: Clock,
}

struct Inner<S> {
    store: S,
    locks: [Mutex<()>; LOCKS],
}

impl<S: SessionStore> CustomStore<S> {
    /// Creates a store that keeps its records in `store`.
    #[must_use]
    pub fn new(store: S) -> Self {
        Self {
            inner: Arc::new(Inner {
                store,
                locks: std::array::from_fn(|_| Mutex::default()),
            }),
            clock: Clock::system(),
        }
    }

    /// Sets the clock that decides when records expire. Defaults to the system clock.
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Runs an operation while no other operation on the same key runs. The operation completes
    /// even if the caller is cancelled, because a write must not reach the store after the lock was
    /// released.
    async fn exclusively<T, F>(
        &self,
        key: &RecordKey,
        operation: impl FnOnce(Arc<Inner<S>>, i64) -> F + Send + 'static,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send,
    {
        let (inner, clock) = (Arc::clone(&self.inner), self.clock.clone());
        let lock = usize::from(key.as_bytes()[0]) % LOCKS;
        let task = tokio::spawn(async move {
            let locked = Arc::clone(&inner);
            let _guard = locked.locks[lock].lock().await;
            operation(inner, to_millis(clock.now())).await
        });
        task.await
            .unwrap_or_else(|error| Err(StoreError::backend(error)))
    }
}

impl<S: SessionStore> Inner<S> {
    async fn load<T: DeserializeOwned>(&self, id: Id) -> Result<Option<T>, StoreError> {
        let record = self.store.load(&id).await.map_err(StoreError::backend)?;
        let data = record.and_then(|mut record| record.data.remove(DATA));
        Ok(data.and_then(|data| serde_json::from_value(data).ok()))
    }

    async fn save(
        &self,
        id: Id,
        data: &impl Serialize,
        expiry_date: OffsetDateTime,
    ) -> Result<(), StoreError> {
        let data = serde_json::to_value(data).map_err(StoreError::backend)?;
        let record = Record {
            id,
            data: HashMap::from([(DATA.to_owned(), data)]),
            expiry_date,
        };
        // `create` would choose another ID if this one exists.
        self.store.save(&record).await.map_err(StoreError::backend)
    }

    async fn delete(&self, id: Id) -> Result<(), StoreError> {
        self.store.delete(&id).await.map_err(StoreError::backend)
    }

    async fn record(&self, id: Id, now: i64) -> Result<Option<Row>, StoreError> {
        let row: Option<Row> = self.load(id).await?;
        Ok(row.filter(|row| row.expires_at > now))
    }

    /// Saves a set until its last member expires.
    async fn save_set(&self, id: Id, members: &Members) -> Result<(), StoreError> {
        match members.values().max() {
            Some(expires_at) => self.save(id, members, from_millis(*expires_at)?).await,
            None => self.delete(id).await,
        }
    }
}

/// The key of the data in a session record.
const DATA: &str = "axum_oten";

#[derive(Serialize, Deserialize)]
struct Row {
    version: u64,
    expires_at: i64,
    /// In base64.
    value: String,
}

/// The members of a set and their expiry.
type Members = HashMap<String, i64>;

impl Row {
    fn new(value: &[u8], expires_at: OffsetDateTime) -> Self {
        Self {
            // Differs from every earlier version, also of a record that was removed.
            version: getrandom::u64().expect("the operating system must provide random bytes"),
            expires_at: to_millis(expires_at),
            value: BASE64_STANDARD.encode(value),
        }
    }

    fn value(&self) -> Result<Vec<u8>, StoreError> {
        BASE64_STANDARD
            .decode(&self.value)
            .map_err(StoreError::backend)
    }
}

/// Returns the session ID of a record: the first half of the hash.
fn record_id(key: &RecordKey) -> Id {
    id(&key.as_bytes()[..16])
}

/// Returns the session ID of a set: the second half of the hash.
fn set_id(key: &RecordKey) -> Id {
    id(&key.as_bytes()[16..])
}

fn id(bytes: &[u8]) -> Id {
    Id(bytes.iter().fold(0, |id, byte| id << 8 | i128::from(*byte)))
}

fn to_millis(at: OffsetDateTime) -> i64 {
    i64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}

fn from_millis(millis: i64) -> Result<OffsetDateTime, StoreError> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000)
        .map_err(StoreError::backend)
}

#[async_trait]
impl<S: SessionStore> OtenStore for CustomStore<S> {
    async fn insert(
        &self,
        key: &RecordKey,
        value: &[u8],
        expires_at: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        let (id, new) = (record_id(key), Row::new(value, expires_at));
        self.exclusively(key, move |inner, now| async move {
            if inner.record(id, now).await?.is_some() {
                return Ok(false);
            }
            inner.save(id, &new, expires_at).await?;
            Ok(true)
        })
        .await
    }

    async fn load(&self, key: &RecordKey) -> Result<Option<StoredRecord>, StoreError> {
        let now = to_millis(self.clock.now());
        let Some(row) = self.inner.record(record_id(key), now).await? else {
            return Ok(None);
        };
        Ok(Some(StoredRecord {
            value: row.value()?,
            version: row.version,
            expires_at: from_millis(row.expires_at)?,
        }))
    }

    async fn replace(
        &self,
        key: &RecordKey,
        version: Option<u64>,
        value: &[u8],
        expires_at: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        let (id, new) = (record_id(key), Row::new(value, expires_at));
        self.exclusively(key, move |inner, now| async move {
            let current = inner.record(id, now).await?.map(|row| row.version);
            if current.is_none() || version.is_some() && version != current {
                return Ok(false);
            }
            inner.save(id, &new, expires_at).await?;
            Ok(true)
        })
        .await
    }

    async fn touch(&self, key: &RecordKey, expires_at: OffsetDateTime) -> Result<bool, StoreError> {
        let id = record_id(key);
        self.exclusively(key, move |inner, now| async move {
            let Some(mut row) = inner.record(id, now).await? else {
                return Ok(false);
            };
            row.expires_at = to_millis(expires_at);
            inner.save(id, &row, expires_at).await?;
            Ok(true)
        })
        .await
    }

    async fn take(&self, key: &RecordKey) -> Result<Option<Vec<u8>>, StoreError> {
        let id = record_id(key);
        self.exclusively(key, move |inner, now| async move {
            let Some(row) = inner.record(id, now).await? else {
                return Ok(None);
            };
            inner.delete(id).await?;
            row.value().map(Some)
        })
        .await
    }

    async fn remove_if(&self, key: &RecordKey, value: &[u8]) -> Result<bool, StoreError> {
        let (id, value) = (record_id(key), BASE64_STANDARD.encode(value));
        self.exclusively(key, move |inner, now| async move {
            let row = inner.record(id, now).await?;
            if row.is_none_or(|row| row.value != value) {
                return Ok(false);
            }
            inner.delete(id).await?;
            Ok(true)
        })
        .await
    }

    async fn add_member(
        &self,
        set: &RecordKey,
        member: &str,
        expires_at: OffsetDateTime,
    ) -> Result<(), StoreError> {
        let (id, member) = (set_id(set), member.to_owned());
        self.exclusively(set, move |inner, now| async move {
            let mut members: Members = inner.load(id).await?.unwrap_or_default();
            members.insert(member, to_millis(expires_at));
            members.retain(|_, expires_at| *expires_at > now);
            inner.save_set(id, &members).await
        })
        .await
    }

    async fn members(&self, set: &RecordKey) -> Result<Vec<String>, StoreError> {
        let members: Members = self.inner.load(set_id(set)).await?.unwrap_or_default();
        let now = to_millis(self.clock.now());
        let live = members.into_iter().filter(|(_, at)| *at > now);
        Ok(live.map(|(member, _)| member).collect())
    }

    async fn remove_member(&self, set: &RecordKey, member: &str) -> Result<(), StoreError> {
        let (id, member) = (set_id(set), member.to_owned());
        self.exclusively(set, move |inner, _| async move {
            let mut members: Members = inner.load(id).await?.unwrap_or_default();
            match members.remove(&member) {
                Some(_) => inner.save_set(id, &members).await,
                None => Ok(()),
            }
        })
        .await
    }
}

impl<S> Clone for CustomStore<S> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            clock: self.clock.clone(),
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for CustomStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CustomStore")
            .field(&self.inner.store)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_record_can_be_taken_once() {
        let store = CustomStore::new(AppStore::default());
        assert!(store.is_external());
        let key = RecordKey::new("example", "1");
        let expires_at = OffsetDateTime::now_utc() + time::Duration::HOUR;
        assert!(store.insert(&key, b"a", expires_at).await.unwrap());
        assert!(!store.insert(&key, b"b", expires_at).await.unwrap());
        assert_eq!(store.take(&key).await.unwrap().as_deref(), Some(&b"a"[..]));
        assert_eq!(store.take(&key).await.unwrap(), None);
    }
}
