use std::collections::{HashMap, VecDeque};

use crate::{clock::Clock, secret::Secret};

/// A bounded map whose entries expire.
pub(super) struct Expiring<V> {
    clock: Clock,
    capacity: usize,
    entries: HashMap<String, Entry<V>>,
    /// Keys by age. The entries of a map live about equally long, so the oldest expires first.
    order: VecDeque<String>,
}

struct Entry<V> {
    /// In seconds since the Unix epoch.
    expires_at: i64,
    value: V,
}

impl<V> Expiring<V> {
    pub(super) fn new(clock: &Clock) -> Self {
        Self {
            clock: clock.clone(),
            capacity: 100_000,
            entries: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    /// Adds an entry that lives for `lifetime` seconds, and returns its random key.
    pub(super) fn add(&mut self, value: V, lifetime: i64) -> String {
        let key = Secret::random().expose().to_owned();
        let expires_at = self.clock.unix_now().saturating_add(lifetime);
        self.insert(key.clone(), value, expires_at);
        key
    }

    /// Inserts an entry, and removes the oldest ones that have expired or exceed the capacity.
    pub(super) fn insert(&mut self, key: String, value: V, expires_at: i64) {
        while let Some(oldest) = self.order.front() {
            let is_live = self.get(oldest).is_some();
            if is_live && self.order.len() < self.capacity {
                break;
            }
            if let Some(oldest) = self.order.pop_front() {
                self.entries.remove(&oldest);
            }
        }
        self.order.push_back(key.clone());
        self.entries.insert(key, Entry { expires_at, value });
    }

    pub(super) fn get(&self, key: &str) -> Option<&V> {
        let entry = self.entries.get(key)?;
        (self.clock.unix_now() < entry.expires_at).then_some(&entry.value)
    }

    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut V> {
        let entry = self.entries.get_mut(key)?;
        (self.clock.unix_now() < entry.expires_at).then_some(&mut entry.value)
    }

    pub(super) fn remove(&mut self, key: &str) -> Option<V> {
        let entry = self.entries.remove(key)?;
        (self.clock.unix_now() < entry.expires_at).then_some(entry.value)
    }

    pub(super) fn remove_if(&mut self, predicate: impl Fn(&V) -> bool) {
        self.entries.retain(|_, entry| !predicate(&entry.value));
    }

    /// Returns the live entries, oldest first.
    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.order.iter().filter_map(|key| self.get(key))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn entries_expire_on_time_and_the_oldest_is_dropped_first() {
        let clock = Clock::manual();
        let start = clock.unix_now();
        let mut map = Expiring {
            capacity: 2,
            ..Expiring::new(&clock)
        };
        map.insert("a".into(), 1, start + 10);
        clock.advance(Duration::from_secs(9));
        assert_eq!(map.get("a"), Some(&1));
        clock.advance(Duration::from_secs(1));
        assert_eq!(map.get("a"), None);
        map.insert("a".into(), 1, start + 20);
        map.insert("b".into(), 2, start + 20);
        map.insert("c".into(), 3, start + 20);
        assert_eq!(map.get("a"), None, "the oldest exceeds the capacity");
        assert_eq!(map.remove("b"), Some(2));
        assert_eq!(map.remove("b"), None);
        clock.advance(Duration::from_secs(10));
        let key = map.add(4, 20);
        assert_eq!(map.get(&key), Some(&4));
        assert_eq!(map.values().collect::<Vec<_>>(), [&4]);
        assert_eq!(map.order.len(), 1, "expired entries are removed");
        map.remove_if(|value| *value == 4);
        assert_eq!(map.values().count(), 0);
    }
}
