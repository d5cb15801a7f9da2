use std::{collections::HashMap, fmt, sync::Arc};

use async_trait::async_trait;
use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use time::OffsetDateTime;
use tokio::sync::Mutex;
use tower_sessions::{
    SessionStore,
    session::{Id, Record},
};

use super::{
    OtenStore, RecordKey, StoreError, StoredRecord,
    outside::{from_millis, millis, random_version},
};
use crate::clock::Clock;

/// How many operations may be under way at the same time, if their keys do not meet.
const LOCKS: usize = 64;

/// Any other [`SessionStore`], for **one process only**.
///
/// A `SessionStore` can save, load and delete, and none of it under a condition. What an
/// [`OtenStore`] promises beyond that is kept by locks in this process: where two processes write
/// to the same records, both may take the same sign-in, an ended session may come back, both may
/// renew the same tokens, and a member added to a set may be lost. For several processes use a
/// store of this crate. The store must end the life of its records by itself.
///
/// ```
/// use axum_oten::store::{OtenStore, WrappedStore};
/// # #[derive(Debug, Clone, Default)] struct TheirStore;
/// # #[async_trait::async_trait] impl tower_sessions::SessionStore for TheirStore {
/// #   async fn save(&self, _: &tower_sessions::session::Record) -> tower_sessions::session_store::Result<()> { Ok(()) }
/// #   async fn load(&self, _: &tower_sessions::session::Id) -> tower_sessions::session_store::Result<Option<tower_sessions::session::Record>> { Ok(None) }
/// #   async fn delete(&self, _: &tower_sessions::session::Id) -> tower_sessions::session_store::Result<()> { Ok(()) }
/// # }
///
/// let store = WrappedStore::new(TheirStore::default());
/// assert!(store.is_external()); // who knows where it writes to
/// ```
pub struct WrappedStore<S> {
    inner: Arc<Inner<S>>,
    clock: Clock,
}

struct Inner<S> {
    store: S,
    locks: [Mutex<()>; LOCKS],
}

impl<S: SessionStore> WrappedStore<S> {
    /// Wraps a store.
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

    /// Lets the records age by another clock than the system's.
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Decides about a record and acts on it, alone. Goes on to its end even if nobody waits for it
    /// any more: what the store was told must not arrive after somebody else's turn.
    async fn alone<T, F>(
        &self,
        key: &RecordKey,
        act: impl FnOnce(Arc<Inner<S>>, Clock) -> F + Send + 'static,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send,
    {
        let (inner, clock) = (Arc::clone(&self.inner), self.clock.clone());
        let lock = usize::from(key.as_bytes()[0]) % LOCKS;
        let turn = async move {
            let held = Arc::clone(&inner);
            let _lock = held.locks[lock].lock().await;
            act(inner, clock).await
        };
        tokio::spawn(turn)
            .await
            .unwrap_or_else(|error| Err(StoreError::Backend(error.into())))
    }
}

impl<S: SessionStore> Inner<S> {
    async fn load<T: DeserializeOwned>(&self, id: Id) -> Result<Option<T>, StoreError> {
        let found = self.store.load(&id).await.map_err(failed)?;
        let data = found.and_then(|mut record| record.data.remove(DATA));
        Ok(data.and_then(|data| serde_json::from_value(data).ok()))
    }

    async fn save(
        &self,
        id: Id,
        data: &impl Serialize,
        expiry_date: OffsetDateTime,
    ) -> Result<(), StoreError> {
        let data: Value = serde_json::to_value(data).map_err(failed)?;
        let data = HashMap::from([(DATA.to_owned(), data)]);
        let record = Record {
            id,
            data,
            expiry_date,
        };
        // Not `create`, which takes another id where this one is taken.
        self.store.save(&record).await.map_err(failed)
    }

    async fn delete(&self, id: Id) -> Result<(), StoreError> {
        self.store.delete(&id).await.map_err(failed)
    }

    async fn record(&self, id: Id, clock: &Clock) -> Result<Option<Kept>, StoreError> {
        let kept: Option<Kept> = self.load(id).await?;
        Ok(kept.filter(|kept| kept.expires_at > millis(clock.now())))
    }
}

/// The one key of a session record's data.
const DATA: &str = "axum_oten";

/// A record, as JSON can carry it.
#[derive(Serialize, Deserialize)]
struct Kept {
    version: u64,
    expires_at: i64,
    value: String,
}

/// The members of a set and their ends of life.
type Set = HashMap<String, i64>;

impl Kept {
    fn new(value: &[u8], expires_at: OffsetDateTime) -> Self {
        Self {
            version: random_version(),
            expires_at: millis(expires_at),
            value: BASE64_STANDARD.encode(value),
        }
    }

    fn value(&self) -> Result<Vec<u8>, StoreError> {
        BASE64_STANDARD.decode(&self.value).map_err(failed)
    }
}

/// Where a record is: under 128 bits of its hashed key.
fn record_id(key: &RecordKey) -> Id {
    id(&key.as_bytes()[..16])
}

/// Where a set is: under the other 128 bits.
fn set_id(key: &RecordKey) -> Id {
    id(&key.as_bytes()[16..])
}

fn id(bytes: &[u8]) -> Id {
    Id(bytes.iter().fold(0, |id, byte| id << 8 | i128::from(*byte)))
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::Backend(error.into())
}

#[async_trait]
impl<S: SessionStore> OtenStore for WrappedStore<S> {
    async fn insert(
        &self,
        key: &RecordKey,
        value: &[u8],
        expires_at: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        let (id, new) = (record_id(key), Kept::new(value, expires_at));
        self.alone(key, move |inner, clock| async move {
            if inner.record(id, &clock).await?.is_some() {
                return Ok(false);
            }
            inner.save(id, &new, expires_at).await?;
            Ok(true)
        })
        .await
    }

    async fn load(&self, key: &RecordKey) -> Result<Option<StoredRecord>, StoreError> {
        let found = self.inner.record(record_id(key), &self.clock).await?;
        let Some(kept) = found else {
            return Ok(None);
        };
        Ok(Some(StoredRecord {
            value: kept.value()?,
            version: kept.version,
            expires_at: from_millis(kept.expires_at)?,
        }))
    }

    async fn replace(
        &self,
        key: &RecordKey,
        version: Option<u64>,
        value: &[u8],
        expires_at: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        let (id, new) = (record_id(key), Kept::new(value, expires_at));
        self.alone(key, move |inner, clock| async move {
            let found = inner.record(id, &clock).await?.map(|kept| kept.version);
            if found.is_none() || version.is_some() && version != found {
                return Ok(false);
            }
            inner.save(id, &new, expires_at).await?;
            Ok(true)
        })
        .await
    }

    async fn touch(&self, key: &RecordKey, expires_at: OffsetDateTime) -> Result<bool, StoreError> {
        let id = record_id(key);
        self.alone(key, move |inner, clock| async move {
            let Some(mut kept) = inner.record(id, &clock).await? else {
                return Ok(false);
            };
            kept.expires_at = millis(expires_at);
            inner.save(id, &kept, expires_at).await?;
            Ok(true)
        })
        .await
    }

    async fn take(&self, key: &RecordKey) -> Result<Option<Vec<u8>>, StoreError> {
        let id = record_id(key);
        self.alone(key, move |inner, clock| async move {
            let Some(kept) = inner.record(id, &clock).await? else {
                return Ok(None);
            };
            inner.delete(id).await?;
            kept.value().map(Some)
        })
        .await
    }

    async fn remove_if(&self, key: &RecordKey, value: &[u8]) -> Result<bool, StoreError> {
        let (id, value) = (record_id(key), BASE64_STANDARD.encode(value));
        self.alone(key, move |inner, clock| async move {
            let found = inner.record(id, &clock).await?;
            if found.is_none_or(|kept| kept.value != value) {
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
        self.alone(set, move |inner, clock| async move {
            let mut members: Set = inner.load(id).await?.unwrap_or_default();
            members.insert(member, millis(expires_at));
            members.retain(|_, end| *end > millis(clock.now()));
            save_set(&inner, id, &members).await
        })
        .await
    }

    async fn members(&self, set: &RecordKey) -> Result<Vec<String>, StoreError> {
        let members: Set = self.inner.load(set_id(set)).await?.unwrap_or_default();
        let now = millis(self.clock.now());
        let live = members.into_iter().filter(|(_, end)| *end > now);
        Ok(live.map(|(member, _)| member).collect())
    }

    async fn remove_member(&self, set: &RecordKey, member: &str) -> Result<(), StoreError> {
        let (id, member) = (set_id(set), member.to_owned());
        self.alone(set, move |inner, _| async move {
            let mut members: Set = inner.load(id).await?.unwrap_or_default();
            match members.remove(&member) {
                Some(_) => save_set(&inner, id, &members).await,
                None => Ok(()),
            }
        })
        .await
    }
}

/// A set lives as long as its last member.
async fn save_set(
    inner: &Inner<impl SessionStore>,
    id: Id,
    members: &Set,
) -> Result<(), StoreError> {
    match members.values().max() {
        Some(end) => inner.save(id, members, from_millis(*end)?).await,
        None => inner.delete(id).await,
    }
}

/// Copies are the same store, even where the wrapped one has none.
impl<S> Clone for WrappedStore<S> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            clock: self.clock.clone(),
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for WrappedStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WrappedStore")
            .field(&self.inner.store)
            .finish()
    }
}
