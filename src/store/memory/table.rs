use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    hash::{BuildHasherDefault, Hash, Hasher},
};

use crate::store::RecordKey;

/// The first half of the hash in a [`RecordKey`]: 128 bits suffice to tell records apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key([u8; 16]);

impl From<&RecordKey> for Key {
    fn from(key: &RecordKey) -> Self {
        let mut half = [0; 16];
        half.copy_from_slice(&key.as_bytes()[..16]);
        Self(half)
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let mut part = [0; 8];
        part.copy_from_slice(&self.0[..8]);
        state.write_u64(u64::from_ne_bytes(part));
    }
}

/// Returns what a [`Key`] writes, which is uniformly distributed.
#[derive(Default)]
struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn write_u64(&mut self, part: u64) {
        self.0 = part;
    }

    fn write(&mut self, _: &[u8]) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

/// What a row of a [`Table`] contains: one entry or more that expire.
pub(super) trait Entries {
    fn count(&self) -> usize;

    /// Returns when the first entry expires, or `None` if there are no entries.
    fn first_expiry(&self) -> Option<i64>;

    /// Removes the entry that expires first, and returns when the next one expires.
    fn remove_first(&mut self) -> Option<i64>;
}

/// Rows in groups, whose entries are evicted in the order of their expiry.
pub(super) struct Table<V> {
    rows: HashMap<Key, Row<V>, BuildHasherDefault<KeyHasher>>,
    groups: Vec<Group>,
}

struct Row<V> {
    value: V,
    /// The index of its group.
    group: usize,
}

struct Group {
    name: &'static str,
    /// The number of entries.
    size: usize,
    /// The rows and their first expiry. Contains each row of the group with its first expiry or an
    /// earlier time; that time is corrected when it is reached, so that a later expiry costs nothing
    /// here. May also contain rows that were removed.
    queue: BinaryHeap<Reverse<(i64, Key)>>,
}

impl<V> Default for Table<V> {
    fn default() -> Self {
        Self {
            rows: HashMap::default(),
            groups: Vec::new(),
        }
    }
}

impl<V: Entries> Table<V> {
    pub(super) fn get(&self, key: Key) -> Option<&V> {
        self.rows.get(&key).map(|row| &row.value)
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.rows.values().map(|row| &row.value)
    }

    /// Returns how many rows have space in memory, and in how many places of a queue.
    #[cfg(test)]
    pub(super) fn allocated(&self) -> usize {
        let queues = self.groups.iter().map(|group| group.queue.capacity());
        self.rows.capacity() + queues.sum::<usize>()
    }

    /// Inserts or replaces a row, unless it has no entries.
    pub(super) fn put(&mut self, key: Key, group: &'static str, value: V) {
        self.remove(key);
        let Some(expires_at) = value.first_expiry() else {
            return;
        };
        let group = self.group(group);
        self.groups[group].size += value.count();
        self.rows.insert(key, Row { value, group });
        self.enqueue(group, expires_at, key);
    }

    /// Changes the expiry of a row with one entry.
    pub(super) fn update(&mut self, key: Key, update: impl FnOnce(&mut V)) {
        let Some(row) = self.rows.get_mut(&key) else {
            return;
        };
        let before = row.value.first_expiry();
        update(&mut row.value);
        let (group, after) = (row.group, row.value.first_expiry());
        if let Some(expires_at) = after.filter(|_| after < before) {
            self.enqueue(group, expires_at, key);
        }
    }

    pub(super) fn remove(&mut self, key: Key) -> Option<V> {
        let Row { value, group } = self.rows.remove(&key)?;
        self.groups[group].size -= value.count();
        self.shrink(group);
        Some(value)
    }

    /// Removes the entries of a group that expire first until it has fewer than `capacity`.
    pub(super) fn make_room(&mut self, group: &'static str, capacity: usize) {
        let group = self.group(group);
        while self.groups[group].size >= capacity && self.remove_first(group, i64::MAX) {}
    }

    /// Removes at most `limit` expired entries of each group.
    pub(super) fn remove_expired(&mut self, now: i64, limit: usize) {
        for group in 0..self.groups.len() {
            for _ in 0..limit {
                if !self.remove_first(group, now) {
                    break;
                }
            }
        }
    }

    /// Removes the entry of a group that expires first if it expires by `until`, and returns whether
    /// there was one.
    fn remove_first(&mut self, group: usize, until: i64) -> bool {
        let queue = &mut self.groups[group].queue;
        while let Some(&Reverse((at, key))) = queue.peek()
            && at <= until
        {
            queue.pop();
            let Some(row) = self.rows.get_mut(&key).filter(|row| row.group == group) else {
                continue;
            };
            let expires_at = row.value.first_expiry();
            if expires_at != Some(at) {
                queue.extend(expires_at.map(|expires_at| Reverse((expires_at, key))));
                continue;
            }
            match row.value.remove_first() {
                Some(next) => queue.push(Reverse((next, key))),
                None => drop(self.rows.remove(&key)),
            }
            self.groups[group].size -= 1;
            self.shrink(group);
            return true;
        }
        false
    }

    /// Returns the index of a group.
    fn group(&mut self, name: &'static str) -> usize {
        let found = self.groups.iter().position(|group| group.name == name);
        found.unwrap_or_else(|| {
            self.groups.push(Group {
                name,
                size: 0,
                queue: BinaryHeap::new(),
            });
            self.groups.len() - 1
        })
    }

    fn enqueue(&mut self, group: usize, expires_at: i64, key: Key) {
        let Group { size, queue, .. } = &mut self.groups[group];
        queue.push(Reverse((expires_at, key)));
        if queue.len() <= 2 * *size + SLACK {
            return;
        }
        // Most rows in the queue were removed, or are in it several times.
        let rows = std::mem::take(queue).into_iter().filter_map(|row| {
            let Reverse((_, key)) = row;
            let row = self.rows.get(&key).filter(|row| row.group == group)?;
            Some(Reverse((row.value.first_expiry()?, key)))
        });
        let mut rows: Vec<_> = rows.collect();
        rows.sort_unstable();
        rows.dedup();
        rows.shrink_to_fit();
        *queue = rows.into();
    }

    /// Releases memory after many rows were removed.
    fn shrink(&mut self, group: usize) {
        let (rows, queue) = (&mut self.rows, &mut self.groups[group].queue);
        if rows.capacity() > 4 * rows.len() + SLACK {
            rows.shrink_to(2 * rows.len());
        }
        if queue.capacity() > 4 * queue.len() + SLACK {
            queue.shrink_to(2 * queue.len());
        }
    }
}

/// The unused entries that a small table may have.
const SLACK: usize = 64;
