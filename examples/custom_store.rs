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
//!
//! Dependencies besides those of the quick start: `async-trait`, `base64`, `getrandom`, `serde` with the feature
//! `derive`, `serde_json`, `time` and `tower-sessions`.

use std::{
    collections::HashMap,
    error::Error,
    fmt,
    sync::{Arc, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use axum::{Router, routing::get};
use axum_oten::{
    Clock, Config, Oten, User,
    store::{Bytes, MAX_EXCESS, OtenStore, RecordKey, StoreError, StoredRecord},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use time::{OffsetDateTime, PrimitiveDateTime};
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

    async fn save(&self, id: Id, data: &impl Serialize, expires_at: i64) -> Result<(), StoreError> {
        let data = serde_json::to_value(data).map_err(StoreError::backend)?;
        let record = Record {
            id,
            data: HashMap::from([(DATA.to_owned(), data)]),
            expiry_date: date(expires_at),
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

    async fn members(&self, id: Id, now: i64) -> Result<Members, StoreError> {
        let mut members: Members = self.load(id).await?.unwrap_or_default();
        members.retain(|_, expires_at| *expires_at > now);
        Ok(members)
    }

    async fn save_record(&self, id: Id, row: &Row) -> Result<(), StoreError> {
        self.save(id, row, row.expires_at).await
    }

    /// Saves a set until its last member expires.
    async fn save_set(&self, id: Id, members: &Members) -> Result<(), StoreError> {
        match members.values().max() {
            Some(expires_at) => self.save(id, members, *expires_at).await,
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
    #[serde(with = "base64")]
    value: Vec<u8>,
}

/// The members of a set and their expiry.
type Members = HashMap<String, i64>;

impl Row {
    fn new(value: Vec<u8>, expires_at: i64) -> Self {
        Self {
            // Differs from every earlier version, also of a record that was removed.
            version: getrandom::u64().expect("the operating system must provide random bytes"),
            expires_at,
            value,
        }
    }
}

/// Writes bytes as text in base64.
mod base64 {
    use base64::{Engine, prelude::BASE64_STANDARD};
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        BASE64_STANDARD.encode(bytes).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        BASE64_STANDARD.decode(text).map_err(D::Error::custom)
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

/// Returns the time in milliseconds at which a lifetime ends.
fn after(now: i64, ttl: Duration) -> i64 {
    now.saturating_add(i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX))
}

/// Returns a date for the inner store, at most in the year 9999.
fn date(millis: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000)
        .unwrap_or(PrimitiveDateTime::MAX.assume_utc())
}

#[async_trait]
impl<S: SessionStore> OtenStore for CustomStore<S> {
    async fn insert(
        &self,
        key: &RecordKey,
        value: &[u8],
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        let (id, value) = (record_id(key), value.to_vec());
        self.exclusively(key, move |inner, now| async move {
            if inner.record(id, now).await?.is_some() {
                return Ok(false);
            }
            inner
                .save_record(id, &Row::new(value, after(now, ttl)))
                .await?;
            Ok(true)
        })
        .await
    }

    async fn load(&self, key: &RecordKey) -> Result<Option<StoredRecord>, StoreError> {
        let now = to_millis(self.clock.now());
        let row = self.inner.record(record_id(key), now).await?;
        Ok(row.map(|row| StoredRecord {
            value: row.value.into(),
            version: row.version,
            ttl: Duration::from_millis(row.expires_at.abs_diff(now)),
        }))
    }

    async fn replace(
        &self,
        key: &RecordKey,
        version: Option<u64>,
        value: &[u8],
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        let (id, value) = (record_id(key), value.to_vec());
        self.exclusively(key, move |inner, now| async move {
            let current = inner.record(id, now).await?.map(|row| row.version);
            if current.is_none() || version.is_some() && version != current {
                return Ok(false);
            }
            inner
                .save_record(id, &Row::new(value, after(now, ttl)))
                .await?;
            Ok(true)
        })
        .await
    }

    async fn touch(&self, key: &RecordKey, ttl: Duration) -> Result<bool, StoreError> {
        let id = record_id(key);
        self.exclusively(key, move |inner, now| async move {
            let Some(mut row) = inner.record(id, now).await? else {
                return Ok(false);
            };
            row.expires_at = after(now, ttl);
            inner.save_record(id, &row).await?;
            Ok(true)
        })
        .await
    }

    async fn take(&self, key: &RecordKey) -> Result<Option<Bytes>, StoreError> {
        let id = record_id(key);
        self.exclusively(key, move |inner, now| async move {
            let Some(row) = inner.record(id, now).await? else {
                return Ok(None);
            };
            inner.delete(id).await?;
            Ok(Some(row.value.into()))
        })
        .await
    }

    async fn remove_if(&self, key: &RecordKey, value: &[u8]) -> Result<bool, StoreError> {
        let (id, value) = (record_id(key), value.to_vec());
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
        ttl: Duration,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        let (id, member) = (set_id(set), member.to_owned());
        self.exclusively(set, move |inner, now| async move {
            let mut members = inner.members(id, now).await?;
            members.remove(&member);
            let mut others: Vec<_> = members.iter().collect();
            others.sort_unstable_by_key(|(_, expires_at)| **expires_at);
            let excess = (others.len() + 1).saturating_sub(limit).min(MAX_EXCESS);
            let excess = others[..excess.min(others.len())].iter();
            let excess = excess.map(|(member, _)| (*member).clone()).collect();
            members.insert(member, after(now, ttl));
            inner.save_set(id, &members).await?;
            Ok(excess)
        })
        .await
    }

    async fn members(&self, set: &RecordKey) -> Result<Vec<String>, StoreError> {
        let now = to_millis(self.clock.now());
        let members = self.inner.members(set_id(set), now).await?;
        Ok(members.into_keys().collect())
    }

    async fn remove_member(&self, set: &RecordKey, member: &str) -> Result<(), StoreError> {
        let (id, member) = (set_id(set), member.to_owned());
        self.exclusively(set, move |inner, now| async move {
            let mut members = inner.members(id, now).await?;
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
