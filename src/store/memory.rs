use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;

use super::{Bytes, MAX_EVICTED, OtenStore, RecordKey, StoreError, StoredRecord, to_millis};
use crate::clock::Clock;

/// The default limit on the number of records of each kind.
const DEFAULT_CAPACITY: usize = 100_000;

/// A store in the memory of this process.
///
/// Records are lost when the process exits and are not visible to other processes. Clones share
/// the same records.
///
/// The store holds at most 100,000 records of each kind by default. When a kind is full, an insert
/// evicts the record of that kind that expires first; a flood of abandoned login attempts therefore
/// evicts no session. The members of sets are limited in the same way. A session takes about 1 KiB
/// and its tokens 2 KiB; a login attempt takes 0.5 KiB, or 1.5 KiB with the longest return path.
///
/// ```
/// use axum_oten::MemoryStore;
///
/// let small = MemoryStore::with_capacity(1_000);
/// assert!(small.is_empty());
/// ```
#[derive(Clone)]
pub struct MemoryStore {
    state: Arc<Mutex<State>>,
    capacity: usize,
    clock: Clock,
}

impl MemoryStore {
    /// Creates a store of at most `capacity` records of each kind, and at least one.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            state: Arc::default(),
            capacity: capacity.max(1),
            clock: Clock::system(),
        }
    }

    /// Sets the clock that decides when records expire. Defaults to the system clock.
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Returns the number of records.
    #[must_use]
    pub fn len(&self) -> usize {
        let state = self.state();
        state.records.values().map(|table| table.rows.len()).sum()
    }

    /// Returns whether the store holds no records.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn after(&self, ttl: Duration) -> i64 {
        self.clock.unix_millis().saturating_add(to_millis(ttl))
    }

    /// Locks the state and removes what has expired.
    fn state(&self) -> MutexGuard<'_, State> {
        // Every update completes without a panic in between, so a poisoned lock is still consistent.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.remove_expired(self.clock.unix_millis());
        state
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::with_capacity(DEFAULT_CAPACITY)
    }
}

/// Records and set members, each in one table per kind.
#[derive(Default)]
struct State {
    records: BTreeMap<&'static str, Table<RecordKey, Record>>,
    members: BTreeMap<&'static str, Table<(RecordKey, String), ()>>,
    last_version: u64,
}

struct Record {
    value: Bytes,
    version: u64,
}

impl State {
    fn records(&mut self, kind: &'static str) -> &mut Table<RecordKey, Record> {
        self.records.entry(kind).or_insert_with(Table::new)
    }

    fn members(&mut self, kind: &'static str) -> &mut Table<(RecordKey, String), ()> {
        self.members.entry(kind).or_insert_with(Table::new)
    }

    fn put(&mut self, key: &RecordKey, value: &[u8], expires_at: i64, capacity: usize) {
        self.last_version += 1;
        let record = Record {
            value: Bytes::copy_from_slice(value),
            version: self.last_version,
        };
        self.records(key.kind())
            .put(*key, record, expires_at, capacity);
    }

    fn remove_expired(&mut self, now: i64) {
        for table in self.records.values_mut() {
            table.remove_expired(now);
        }
        for table in self.members.values_mut() {
            table.remove_expired(now);
        }
    }
}

struct Table<K, V> {
    rows: BTreeMap<K, Row<V>>,
    /// The keys of `rows`, ordered by expiry.
    by_expiry: BTreeSet<(i64, K)>,
}

struct Row<V> {
    value: V,
    expires_at: i64,
}

impl<K: Ord + Clone, V> Table<K, V> {
    fn new() -> Self {
        Self {
            rows: BTreeMap::new(),
            by_expiry: BTreeSet::new(),
        }
    }

    /// Inserts or replaces a row. Evicts the rows that expire first if there are more than
    /// `capacity`.
    fn put(&mut self, key: K, value: V, expires_at: i64, capacity: usize) {
        self.remove(&key);
        while self.rows.len() >= capacity {
            self.remove_first();
        }
        self.by_expiry.insert((expires_at, key.clone()));
        self.rows.insert(key, Row { value, expires_at });
    }

    fn touch(&mut self, key: &K, expires_at: i64) -> bool {
        let Some(row) = self.rows.get_mut(key) else {
            return false;
        };
        let before = std::mem::replace(&mut row.expires_at, expires_at);
        self.by_expiry.remove(&(before, key.clone()));
        self.by_expiry.insert((expires_at, key.clone()));
        true
    }

    fn remove(&mut self, key: &K) -> Option<V> {
        let row = self.rows.remove(key)?;
        self.by_expiry.remove(&(row.expires_at, key.clone()));
        Some(row.value)
    }

    fn remove_expired(&mut self, now: i64) {
        while self.by_expiry.first().is_some_and(|(at, _)| *at <= now) {
            self.remove_first();
        }
    }

    fn remove_first(&mut self) {
        if let Some((_, key)) = self.by_expiry.pop_first() {
            self.rows.remove(&key);
        }
    }
}

#[async_trait]
impl OtenStore for MemoryStore {
    async fn insert(
        &self,
        key: &RecordKey,
        value: &[u8],
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        let mut state = self.state();
        if state.records(key.kind()).rows.contains_key(key) {
            return Ok(false);
        }
        state.put(key, value, self.after(ttl), self.capacity);
        Ok(true)
    }

    async fn load(&self, key: &RecordKey) -> Result<Option<StoredRecord>, StoreError> {
        let now = self.clock.unix_millis();
        let mut state = self.state();
        let row = state.records(key.kind()).rows.get(key);
        Ok(row.map(|row| StoredRecord {
            value: row.value.value.clone(),
            version: row.value.version,
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
        let mut state = self.state();
        let row = state.records(key.kind()).rows.get(key);
        if row.is_none_or(|row| version.is_some_and(|version| version != row.value.version)) {
            return Ok(false);
        }
        state.put(key, value, self.after(ttl), self.capacity);
        Ok(true)
    }

    async fn touch(&self, key: &RecordKey, ttl: Duration) -> Result<bool, StoreError> {
        Ok(self.state().records(key.kind()).touch(key, self.after(ttl)))
    }

    async fn take(&self, key: &RecordKey) -> Result<Option<Bytes>, StoreError> {
        let taken = self.state().records(key.kind()).remove(key);
        Ok(taken.map(|record| record.value))
    }

    async fn remove_if(&self, key: &RecordKey, value: &[u8]) -> Result<bool, StoreError> {
        let mut state = self.state();
        let records = state.records(key.kind());
        let row = records.rows.get(key);
        let is_same = row.is_some_and(|row| row.value.value == value);
        Ok(is_same && records.remove(key).is_some())
    }

    async fn add_member(
        &self,
        set: &RecordKey,
        member: &str,
        ttl: Duration,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        let added = (*set, member.to_owned());
        let mut state = self.state();
        let members = state.members(set.kind());
        members.put(added.clone(), (), self.after(ttl), self.capacity);
        let of_set = members.rows.range((*set, String::new())..);
        let of_set = of_set.take_while(|((owner, _), _)| owner == set);
        let mut others: Vec<_> = of_set.filter(|(row, _)| **row != added).collect();
        others.sort_unstable_by_key(|(_, row)| row.expires_at);
        let excess = (others.len() + 1).saturating_sub(limit).min(MAX_EVICTED);
        let evicted: Vec<_> = others
            .into_iter()
            .take(excess)
            .map(|(row, _)| row.clone())
            .collect();
        for row in &evicted {
            members.remove(row);
        }
        Ok(evicted.into_iter().map(|(_, member)| member).collect())
    }

    async fn members(&self, set: &RecordKey) -> Result<Vec<String>, StoreError> {
        let mut state = self.state();
        let rows = &state.members(set.kind()).rows;
        Ok(rows
            .range((*set, String::new())..)
            .map(|((owner, member), _)| (owner, member))
            .take_while(|(owner, _)| *owner == set)
            .map(|(_, member)| member.clone())
            .collect())
    }

    async fn remove_member(&self, set: &RecordKey, member: &str) -> Result<(), StoreError> {
        let member = (*set, member.to_owned());
        self.state().members(set.kind()).remove(&member);
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
    async fn expired_records_are_absent_and_evicted() {
        let (store, clock) = store(10);
        let ttl = Duration::from_secs(10);
        assert!(store.insert(&key(1), b"a", ttl).await.unwrap());
        clock.advance(Duration::from_secs(10));
        assert_eq!(store.load(&key(1)).await.unwrap(), None);
        assert!(store.is_empty());
        let ttl = Duration::from_secs(10);
        assert!(!store.replace(&key(1), None, b"b", ttl).await.unwrap());
        assert!(!store.touch(&key(1), ttl).await.unwrap());
        assert!(store.insert(&key(1), b"c", ttl).await.unwrap());
    }

    #[tokio::test]
    async fn a_full_store_evicts_the_record_of_its_kind_that_expires_first() {
        let (store, _clock) = store(3);
        let session = RecordKey::new("session", "1");
        let soon = Duration::from_secs(1);
        assert!(store.insert(&session, b"", soon).await.unwrap());
        for id in 1..=100 {
            let ttl = Duration::from_secs(1000 + id as u64);
            assert!(store.insert(&key(id), b"", ttl).await.unwrap());
            assert!(store.len() <= 4);
        }
        assert!(store.load(&session).await.unwrap().is_some());
        for (id, exists) in [(97, false), (98, true), (99, true), (100, true)] {
            let found = store.load(&key(id)).await.unwrap();
            assert_eq!(found.is_some(), exists, "{id}");
        }
    }

    #[tokio::test]
    async fn a_version_is_replaced_once() {
        let (store, _clock) = store(10);
        let ttl = Duration::from_secs(10);
        store.insert(&key(1), b"a", ttl).await.unwrap();
        let version = Some(store.load(&key(1)).await.unwrap().unwrap().version);
        for (value, is_replaced) in [(b"b", true), (b"c", false)] {
            let key = key(1);
            let replaced = store.replace(&key, version, value, ttl);
            assert_eq!(replaced.await.unwrap(), is_replaced);
        }
        assert_eq!(store.load(&key(1)).await.unwrap().unwrap().value, b"b"[..]);
    }

    #[tokio::test]
    async fn touch_changes_only_the_expiry() {
        let (store, clock) = store(10);
        let ttl = Duration::from_secs(10);
        store.insert(&key(1), b"a", ttl).await.unwrap();
        let before = store.load(&key(1)).await.unwrap().unwrap();
        store.touch(&key(1), Duration::from_secs(20)).await.unwrap();
        clock.advance(Duration::from_secs(15));
        let after = store.load(&key(1)).await.unwrap().unwrap();
        assert_eq!(
            (after.version, &after.value),
            (before.version, &before.value)
        );
    }

    #[tokio::test]
    async fn full_sets_evict_the_member_that_expires_first_and_none_of_another_kind() {
        let (store, clock) = store(3);
        let (set, other) = (RecordKey::new("a", "1"), RecordKey::new("b", "1"));
        let soon = Duration::from_secs(1);
        store
            .add_member(&other, "x", soon, usize::MAX)
            .await
            .unwrap();
        for id in 1..=10 {
            let ttl = Duration::from_secs(100 + id);
            let member = id.to_string();
            store
                .add_member(&set, &member, ttl, usize::MAX)
                .await
                .unwrap();
        }
        assert_eq!(store.members(&set).await.unwrap(), ["10", "8", "9"]);
        assert_eq!(store.members(&other).await.unwrap(), ["x"]);
        clock.advance(Duration::from_secs(109));
        assert_eq!(store.members(&set).await.unwrap(), ["10"]);
        store.remove_member(&set, "10").await.unwrap();
        let state = store.state();
        assert!(state.members.values().all(|table| table.rows.is_empty()));
        let mut tables = state.members.values();
        assert!(tables.all(|table| table.by_expiry.is_empty()));
    }
}
