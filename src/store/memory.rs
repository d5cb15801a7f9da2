mod members;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use time::OffsetDateTime;

use self::members::Members;
use super::{OtenStore, RecordKey, StoreError, StoredRecord};
use crate::clock::Clock;

/// The default bound on the number of records of one kind.
const DEFAULT_CAPACITY: usize = 100_000;

/// A store in this process's memory: gone when the process ends, seen by no other process.
///
/// It holds 100,000 records of each kind by default. A session takes about 1 KiB and its tokens
/// 2 KiB; a login attempt half a KiB, up to 1.5 KiB with the longest path to come back to. Where a
/// kind is full, its record nearest to the end of life makes room, and none of another kind: a flood
/// of sign-ins that nobody finishes signs nobody out. The members of sets are bounded in the same
/// way. Copies are the same store.
///
/// ```
/// use axum_oten::MemoryStore;
///
/// let small = MemoryStore::with_capacity(1_000);
/// assert!(small.is_empty());
/// ```
#[derive(Clone)]
pub struct MemoryStore {
    records: Arc<Mutex<Records>>,
    capacity: usize,
    clock: Clock,
}

#[derive(Default)]
struct Records {
    by_key: HashMap<RecordKey, StoredRecord>,
    /// The same keys, by kind in the order of their ends of life.
    by_end: BTreeMap<&'static str, BTreeSet<(OffsetDateTime, RecordKey)>>,
    last_version: u64,
    members: Members,
}

impl MemoryStore {
    /// A store of at most `capacity` records of each kind, at least one.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            records: Arc::default(),
            capacity: capacity.max(1),
            clock: Clock::system(),
        }
    }

    /// Lets the store's records age by another clock than the system's.
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// How many records there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.live().by_key.len()
    }

    /// Whether there are no records.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The records, the expired ones removed.
    fn live(&self) -> MutexGuard<'_, Records> {
        // A panic under this lock leaves no half-made state that matters: each step is complete.
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        records.remove_expired(now);
        records
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::with_capacity(DEFAULT_CAPACITY)
    }
}

impl Records {
    fn put(&mut self, key: &RecordKey, value: &[u8], expires_at: OffsetDateTime) {
        self.remove(key);
        self.last_version += 1;
        let record = StoredRecord {
            value: value.to_vec(),
            version: self.last_version,
            expires_at,
        };
        self.by_key.insert(*key, record);
        self.ends(key.kind()).insert((expires_at, *key));
    }

    fn ends(&mut self, kind: &'static str) -> &mut BTreeSet<(OffsetDateTime, RecordKey)> {
        self.by_end.entry(kind).or_default()
    }

    fn remove(&mut self, key: &RecordKey) -> Option<StoredRecord> {
        let record = self.by_key.remove(key)?;
        self.ends(key.kind()).remove(&(record.expires_at, *key));
        Some(record)
    }

    fn remove_expired(&mut self, now: OffsetDateTime) {
        self.members.remove_expired(now);
        for ends in self.by_end.values_mut() {
            while ends.first().is_some_and(|(end, _)| *end <= now) {
                if let Some((_, key)) = ends.pop_first() {
                    self.by_key.remove(&key);
                }
            }
        }
    }

    /// Leaves fewer than `capacity` records of a kind.
    fn make_room(&mut self, kind: &'static str, capacity: usize) {
        while self.ends(kind).len() >= capacity {
            if let Some((_, key)) = self.ends(kind).pop_first() {
                self.by_key.remove(&key);
            }
        }
    }
}

#[async_trait]
impl OtenStore for MemoryStore {
    async fn insert(
        &self,
        key: &RecordKey,
        value: &[u8],
        expires_at: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        let mut records = self.live();
        if records.by_key.contains_key(key) {
            return Ok(false);
        }
        records.make_room(key.kind(), self.capacity);
        records.put(key, value, expires_at);
        Ok(true)
    }

    async fn load(&self, key: &RecordKey) -> Result<Option<StoredRecord>, StoreError> {
        Ok(self.live().by_key.get(key).cloned())
    }

    async fn replace(
        &self,
        key: &RecordKey,
        version: Option<u64>,
        value: &[u8],
        expires_at: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        let mut records = self.live();
        let found = records.by_key.get(key).map(|record| record.version);
        if found.is_none() || version.is_some() && version != found {
            return Ok(false);
        }
        records.put(key, value, expires_at);
        Ok(true)
    }

    async fn touch(&self, key: &RecordKey, expires_at: OffsetDateTime) -> Result<bool, StoreError> {
        let mut records = self.live();
        let Some(record) = records.by_key.get_mut(key) else {
            return Ok(false);
        };
        let before = std::mem::replace(&mut record.expires_at, expires_at);
        let ends = records.ends(key.kind());
        ends.remove(&(before, *key));
        ends.insert((expires_at, *key));
        Ok(true)
    }

    async fn take(&self, key: &RecordKey) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.live().remove(key).map(|record| record.value))
    }

    async fn remove_if(&self, key: &RecordKey, value: &[u8]) -> Result<bool, StoreError> {
        let mut records = self.live();
        let is_same = records
            .by_key
            .get(key)
            .is_some_and(|record| record.value == value);
        Ok(is_same && records.remove(key).is_some())
    }

    async fn add_member(
        &self,
        set: &RecordKey,
        member: &str,
        expires_at: OffsetDateTime,
    ) -> Result<(), StoreError> {
        self.live()
            .members
            .add(set, member, expires_at, self.capacity);
        Ok(())
    }

    async fn members(&self, set: &RecordKey) -> Result<Vec<String>, StoreError> {
        Ok(self.live().members.of(set))
    }

    async fn remove_member(&self, set: &RecordKey, member: &str) -> Result<(), StoreError> {
        self.live().members.remove(set, member);
        Ok(())
    }

    fn is_external(&self) -> bool {
        false
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn key(id: usize) -> RecordKey {
        RecordKey::new("test", &id.to_string())
    }

    fn store(capacity: usize) -> (MemoryStore, Clock) {
        let clock = Clock::manual();
        let store = MemoryStore::with_capacity(capacity).with_clock(clock.clone());
        (store, clock)
    }

    #[tokio::test]
    async fn expired_records_are_gone_and_evicted() {
        let (store, clock) = store(10);
        let end = clock.now() + Duration::from_secs(10);
        assert!(store.insert(&key(1), b"a", end).await.unwrap());
        clock.advance(Duration::from_secs(10));
        assert_eq!(store.load(&key(1)).await.unwrap(), None);
        assert!(store.is_empty());
        let end = clock.now() + Duration::from_secs(10);
        assert!(!store.replace(&key(1), None, b"b", end).await.unwrap());
        assert!(!store.touch(&key(1), end).await.unwrap());
        assert!(store.insert(&key(1), b"c", end).await.unwrap());
    }

    #[tokio::test]
    async fn a_full_store_drops_what_ends_first_of_its_kind() {
        let (store, clock) = store(3);
        let session = RecordKey::new("session", "1");
        let soon = clock.now() + Duration::from_secs(1);
        assert!(store.insert(&session, b"", soon).await.unwrap());
        for id in 1..=100 {
            let end = clock.now() + Duration::from_secs(1000 + id as u64);
            assert!(store.insert(&key(id), b"", end).await.unwrap());
            assert!(store.len() <= 4);
        }
        assert!(store.load(&session).await.unwrap().is_some());
        for (id, is_there) in [(97, false), (98, true), (99, true), (100, true)] {
            let found = store.load(&key(id)).await.unwrap();
            assert_eq!(found.is_some(), is_there, "{id}");
        }
    }

    #[tokio::test]
    async fn a_version_is_replaced_once() {
        let (store, clock) = store(10);
        let end = clock.now() + Duration::from_secs(10);
        store.insert(&key(1), b"a", end).await.unwrap();
        let version = store.load(&key(1)).await.unwrap().unwrap().version;
        assert!(
            store
                .replace(&key(1), Some(version), b"b", end)
                .await
                .unwrap()
        );
        assert!(
            !store
                .replace(&key(1), Some(version), b"c", end)
                .await
                .unwrap()
        );
        assert_eq!(store.load(&key(1)).await.unwrap().unwrap().value, b"b");
    }

    #[tokio::test]
    async fn a_touch_moves_the_end_and_nothing_else() {
        let (store, clock) = store(10);
        let end = clock.now() + Duration::from_secs(10);
        store.insert(&key(1), b"a", end).await.unwrap();
        let before = store.load(&key(1)).await.unwrap().unwrap();
        store
            .touch(&key(1), end + Duration::from_secs(10))
            .await
            .unwrap();
        clock.advance(Duration::from_secs(15));
        let after = store.load(&key(1)).await.unwrap().unwrap();
        assert_eq!(
            (after.version, &after.value),
            (before.version, &before.value)
        );
    }
}
