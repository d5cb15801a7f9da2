mod members;
mod table;

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;

use self::{
    members::Members,
    table::{Entries, Table},
};
use super::{Bytes, OtenStore, RecordKey, StoreError, StoredRecord, to_millis};
use crate::clock::Clock;

/// The default limit on the number of records of each group.
const DEFAULT_CAPACITY: usize = 100_000;

/// The number of parts with a lock of their own, in a store that is large enough.
const SHARDS: usize = 16;

/// A smaller store has one part, so that its capacity is exact.
const MIN_SHARDED_CAPACITY: usize = 16_000;

/// How many expired records of each group an operation that writes removes at most, in two parts of
/// the store. It is greater than one, so that more are removed than added.
const SWEEP_LIMIT: usize = 16;

/// A store in the memory of this process.
///
/// Records are lost when the process exits and are not visible to other processes. Clones share
/// the same records.
///
/// The store holds at most 100,000 records of each kind by default, and as many sessions of guests. When
/// a kind is full, an insert evicts the record of that kind that expires first. A flood of abandoned
/// login attempts or guests therefore evicts no session of a user. The members of sets are limited in the
/// same way. A record takes about 170 bytes in addition to its value, and a set of one session about
/// 180 bytes.
///
/// ```
/// use axum_oten::MemoryStore;
///
/// let small = MemoryStore::with_capacity(1_000);
/// assert!(small.is_empty());
/// ```
#[derive(Clone)]
pub struct MemoryStore {
    shards: Arc<[Mutex<Shard>]>,
    /// Counts the writes, to select the shard that each one sweeps besides its own.
    writes: Arc<AtomicUsize>,
    capacity: usize,
    clock: Clock,
}

/// A part of the store, with its own lock.
#[derive(Default)]
struct Shard {
    records: Table<Record>,
    sets: Table<Members>,
    last_version: u64,
}

struct Record {
    value: Bytes,
    version: u64,
    expires_at: i64,
}

impl Entries for Record {
    fn count(&self) -> usize {
        1
    }

    fn first_expiry(&self) -> Option<i64> {
        Some(self.expires_at)
    }

    fn remove_first(&mut self) -> Option<i64> {
        None
    }
}

impl MemoryStore {
    /// Creates a store of at most `capacity` records of each group, and at least one. A store of
    /// 16,000 and more rounds the capacity up to a multiple of 16.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        let shards = if capacity < MIN_SHARDED_CAPACITY {
            1
        } else {
            SHARDS
        };
        Self {
            shards: (0..shards).map(|_| Mutex::default()).collect(),
            writes: Arc::default(),
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
        let now = self.clock.unix_millis();
        let live = |shard| {
            let shard = lock(shard);
            let records = shard.records.values();
            records.filter(|record| record.expires_at > now).count()
        };
        self.shards.iter().map(live).sum()
    }

    /// Returns whether the store holds no records.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Locks the shard of a key and returns it with the current time.
    fn read(&self, key: &RecordKey) -> (MutexGuard<'_, Shard>, i64) {
        // The first bytes select the row.
        let shard = usize::from(key.as_bytes()[31]) % self.shards.len();
        (lock(&self.shards[shard]), self.clock.unix_millis())
    }

    /// Like [`read`](Self::read), and removes expired records of this shard and of another one, so that
    /// records expire wherever later ones are written.
    fn write(&self, key: &RecordKey) -> (MutexGuard<'_, Shard>, i64) {
        let other = self.writes.fetch_add(1, Ordering::Relaxed) % self.shards.len();
        if let Ok(mut shard) = self.shards[other].try_lock() {
            shard.remove_expired(self.clock.unix_millis());
        }
        let (mut shard, now) = self.read(key);
        shard.remove_expired(now);
        (shard, now)
    }

    /// The limit for each group of a shard.
    fn shard_capacity(&self) -> usize {
        self.capacity.div_ceil(self.shards.len())
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    // Every update completes without a panic in between, so a poisoned lock is still consistent.
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shard {
    fn live(&self, key: &RecordKey, now: i64) -> Option<&Record> {
        let record = self.records.get(key.into())?;
        (record.expires_at > now).then_some(record)
    }

    fn put(&mut self, key: &RecordKey, value: &[u8], expires_at: i64, capacity: usize) {
        self.last_version += 1;
        let record = Record {
            value: Bytes::copy_from_slice(value),
            version: self.last_version,
            expires_at,
        };
        self.records.remove(key.into());
        self.records.make_room(key.group(), capacity);
        self.records.put(key.into(), key.group(), record);
    }

    fn remove_expired(&mut self, now: i64) {
        self.records.remove_expired(now, SWEEP_LIMIT);
        self.sets.remove_expired(now, SWEEP_LIMIT);
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::with_capacity(DEFAULT_CAPACITY)
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
        let (mut shard, now) = self.write(key);
        if shard.live(key, now).is_some() {
            return Ok(false);
        }
        shard.put(key, value, after(now, ttl), self.shard_capacity());
        Ok(true)
    }

    async fn load(&self, key: &RecordKey) -> Result<Option<StoredRecord>, StoreError> {
        let (shard, now) = self.read(key);
        let record = shard.live(key, now);
        Ok(record.map(|record| StoredRecord {
            value: record.value.clone(),
            version: record.version,
            ttl: Duration::from_millis(record.expires_at.abs_diff(now)),
        }))
    }

    async fn replace(
        &self,
        key: &RecordKey,
        version: Option<u64>,
        value: &[u8],
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        let (mut shard, now) = self.write(key);
        let record = shard.live(key, now);
        if record.is_none_or(|record| version.is_some_and(|version| version != record.version)) {
            return Ok(false);
        }
        shard.put(key, value, after(now, ttl), self.shard_capacity());
        Ok(true)
    }

    async fn touch(&self, key: &RecordKey, ttl: Duration) -> Result<bool, StoreError> {
        let (mut shard, now) = self.write(key);
        if shard.live(key, now).is_none() {
            return Ok(false);
        }
        let expires_at = after(now, ttl);
        shard
            .records
            .update(key.into(), |record| record.expires_at = expires_at);
        Ok(true)
    }

    async fn take(&self, key: &RecordKey) -> Result<Option<Bytes>, StoreError> {
        let (mut shard, now) = self.write(key);
        let taken = shard.records.remove(key.into());
        let live = taken.filter(|record| record.expires_at > now);
        Ok(live.map(|record| record.value))
    }

    async fn remove_if(&self, key: &RecordKey, value: &[u8]) -> Result<bool, StoreError> {
        let (mut shard, now) = self.write(key);
        let record = shard.live(key, now);
        let is_same = record.is_some_and(|record| record.value == value);
        Ok(is_same && shard.records.remove(key.into()).is_some())
    }

    async fn add_member(
        &self,
        set: &RecordKey,
        member: &str,
        ttl: Duration,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        let (mut shard, now) = self.write(set);
        let sets = &mut shard.sets;
        // A member that is added again takes no more room.
        let mut members = sets.remove(set.into()).unwrap_or_default();
        members.remove(member, now);
        sets.put(set.into(), set.group(), members);
        sets.make_room(set.group(), self.shard_capacity());
        let mut members = sets.remove(set.into()).unwrap_or_default();
        let excess = members.add(member, after(now, ttl), limit);
        sets.put(set.into(), set.group(), members);
        excess
    }

    async fn members(&self, set: &RecordKey) -> Result<Vec<String>, StoreError> {
        let (shard, now) = self.read(set);
        let members = shard.sets.get(set.into());
        Ok(members.map_or_else(Vec::new, |members| members.texts(now)))
    }

    async fn remove_member(&self, set: &RecordKey, member: &str) -> Result<(), StoreError> {
        let (mut shard, now) = self.write(set);
        if let Some(mut members) = shard.sets.remove(set.into()) {
            members.remove(member, now);
            shard.sets.put(set.into(), set.group(), members);
        }
        Ok(())
    }

    fn is_external(&self) -> bool {
        false
    }
}

/// Returns when a lifetime ends.
fn after(now: i64, ttl: Duration) -> i64 {
    now.saturating_add(to_millis(ttl))
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

    const TTL: Duration = Duration::from_secs(10);

    type Outcome = std::pin::Pin<Box<dyn Future<Output = bool> + Send>>;

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
        let (store, _) = store(3);
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
        let (store, _) = store(10);
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
        assert_eq!(store.members(&set).await.unwrap(), ["8", "9", "10"]);
        assert_eq!(store.members(&other).await.unwrap(), ["x"]);
        clock.advance(Duration::from_secs(109));
        assert_eq!(store.members(&set).await.unwrap(), ["10"]);
        store.remove_member(&set, "10").await.unwrap();
        let (shard, _) = store.read(&set);
        assert_eq!(shard.sets.values().count(), 0);
    }

    #[tokio::test]
    async fn guests_and_users_are_bounded_apart() {
        let (store, clock) = store(3);
        let ttl = Duration::from_secs(10);
        let user = RecordKey::new("session", "user");
        store.insert(&user, b"user", ttl).await.unwrap();
        let guest = |id: u64| RecordKey::new("session", &id.to_string()).in_group("guest_session");
        for id in 1..=100 {
            let ttl = Duration::from_secs(100 + id);
            assert!(store.insert(&guest(id), b"guest", ttl).await.unwrap());
        }
        assert_eq!(store.len(), 4);
        assert!(store.load(&user).await.unwrap().is_some());

        // A guest who signs in moves to the other group, under the same key.
        let signed_in = RecordKey::new("session", "100");
        assert!(store.replace(&signed_in, None, b"", ttl).await.unwrap());
        assert!(store.load(&guest(98)).await.unwrap().is_some());
        for id in 101..=103 {
            let ttl = Duration::from_secs(1_000);
            store.insert(&guest(id), b"guest", ttl).await.unwrap();
        }
        assert!(store.load(&guest(98)).await.unwrap().is_none());
        assert!(store.load(&signed_in).await.unwrap().is_some());
        assert_eq!(store.len(), 5);
        clock.advance(ttl);
        assert_eq!(store.len(), 3, "the guests");
    }

    #[tokio::test]
    async fn a_large_store_has_its_capacity_in_all_shards() {
        let capacity = 2 * MIN_SHARDED_CAPACITY;
        let (store, _) = store(capacity);
        assert_eq!(store.shards.len(), SHARDS);
        for id in 0..2 * capacity {
            store.insert(&key(id), b"", Duration::MAX).await.unwrap();
        }
        assert_eq!(store.len(), capacity);
    }

    /// Writes of a single key, in one shard, release what was abandoned in all shards.
    #[tokio::test]
    async fn abandoned_records_are_removed_by_other_writes() {
        let (store, clock) = store(DEFAULT_CAPACITY);
        let ttl = Duration::from_secs(10);
        for id in 0..10_000 {
            store.insert(&key(id), b"", ttl).await.unwrap();
            store.add_member(&key(id), "x", ttl, 1).await.unwrap();
        }
        let kept = || {
            let shards = store.shards.iter().map(lock);
            let kept = shards.map(|shard| [shard.records.allocated(), shard.sets.allocated()]);
            kept.flatten().sum::<usize>()
        };
        assert!(kept() > 20_000);
        clock.advance(ttl);
        assert_eq!(store.len(), 0);
        let other = RecordKey::new("other", "");
        for _ in 0..2_000 {
            store.insert(&other, b"", ttl).await.unwrap();
            store.take(&other).await.unwrap();
        }
        assert!(kept() < 1_000, "{}", kept());
    }

    #[tokio::test]
    async fn a_record_that_is_written_again_and_again_takes_no_more_memory() {
        let (store, _) = store(10);
        for ttl in (1..10_000).map(Duration::from_secs).rev() {
            store.insert(&key(1), b"", ttl).await.unwrap();
            store.touch(&key(1), ttl / 2).await.unwrap();
            store.add_member(&key(1), "x", ttl, 1).await.unwrap();
            store.replace(&key(2), None, b"", ttl).await.unwrap();
            store.take(&key(1)).await.unwrap();
        }
        let (shard, _) = store.read(&key(1));
        assert!(shard.records.allocated() + shard.sets.allocated() < 1_000);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn each_operation_succeeds_once_in_every_shard_under_load() {
        const KEYS: usize = 12_000;
        let (store, _) = store(DEFAULT_CAPACITY);
        let start = Arc::new(tokio::sync::Barrier::new(4));
        let run = async |operation: fn(MemoryStore, RecordKey, Option<u64>) -> Outcome| {
            let tasks = (0..4).map(|_| {
                let (store, start) = (store.clone(), Arc::clone(&start));
                tokio::spawn(async move {
                    let mut versions = Vec::new();
                    for id in 0..KEYS {
                        let found = store.load(&key(id)).await.unwrap();
                        versions.push(found.map(|record| record.version));
                    }
                    start.wait().await;
                    let mut succeeded = 0;
                    for (id, version) in versions.into_iter().enumerate() {
                        let outcome = operation(store.clone(), key(id), version);
                        succeeded += usize::from(outcome.await);
                    }
                    succeeded
                })
            });
            let mut succeeded = 0;
            for task in tasks.collect::<Vec<_>>() {
                succeeded += task.await.unwrap();
            }
            succeeded
        };
        let insert = run(|store, key, _| {
            Box::pin(async move { store.insert(&key, b"a", TTL).await.unwrap() })
        });
        assert_eq!(insert.await, KEYS);
        let replace = run(|store, key, version| {
            Box::pin(async move { store.replace(&key, version, b"b", TTL).await.unwrap() })
        });
        assert_eq!(replace.await, KEYS);
        let take =
            run(|store, key, _| Box::pin(async move { store.take(&key).await.unwrap().is_some() }));
        assert_eq!(take.await, KEYS);
        assert!(store.is_empty());
    }

    /// Compares the store with a list that is searched as a whole.
    #[tokio::test]
    async fn random_operations_have_the_expected_results() {
        const CAPACITY: usize = 5;
        let (store, clock) = store(CAPACITY);
        let mut expected: Vec<(u64, &str, i64)> = Vec::new();
        let mut random = 1_u64;
        let mut below = |limit: u64| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (random >> 33) % limit
        };
        for step in 0..50_000 {
            let (id, group) = (below(12), if below(2) == 0 { "a" } else { "b" });
            let key = RecordKey::new("kind", &id.to_string()).in_group(group);
            let ttl = Duration::from_millis(below(100));
            let now = clock.unix_millis();
            expected.retain(|(_, _, expires_at)| *expires_at > now);
            let found = expected.iter().position(|(other, ..)| *other == id);
            let put = |expected: &mut Vec<(u64, &'static str, i64)>| {
                let of_group = expected.iter().filter(|(_, other, _)| *other == group);
                if of_group.clone().count() == CAPACITY {
                    let order = |id: u64| *RecordKey::new("kind", &id.to_string()).as_bytes();
                    let first = of_group.min_by_key(|(id, _, at)| (*at, order(*id)));
                    let first = first.copied();
                    expected.retain(|record| Some(*record) != first);
                }
                expected.push((id, group, after(now, ttl)));
            };
            match below(5) {
                0 => {
                    let inserted = store.insert(&key, b"", ttl).await.unwrap();
                    assert_eq!(inserted, found.is_none(), "step {step}");
                    if inserted {
                        put(&mut expected);
                    }
                }
                1 => {
                    let replaced = store.replace(&key, None, b"", ttl).await.unwrap();
                    assert_eq!(replaced, found.is_some(), "step {step}");
                    if let Some(found) = found {
                        expected.remove(found);
                        put(&mut expected);
                    }
                }
                2 => {
                    let touched = store.touch(&key, ttl).await.unwrap();
                    assert_eq!(touched, found.is_some(), "step {step}");
                    if let Some(found) = found {
                        expected[found].2 = after(now, ttl);
                    }
                }
                3 => {
                    let taken = store.take(&key).await.unwrap();
                    assert_eq!(taken.is_some(), found.is_some(), "step {step}");
                    found.map(|found| expected.remove(found));
                }
                _ => drop(clock.advance(Duration::from_millis(below(10)))),
            }
            let now = clock.unix_millis();
            expected.retain(|(_, _, expires_at)| *expires_at > now);
            assert_eq!(store.len(), expected.len(), "step {step}");
        }
    }
}
