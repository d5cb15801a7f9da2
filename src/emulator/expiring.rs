use std::collections::{HashMap, VecDeque};

/// A bounded map whose entries end at a time, in seconds since the Unix epoch.
pub(super) struct Expiring<V> {
    entries: HashMap<String, Entry<V>>,
    /// Keys by age. Entries of one map live about equally long, so the oldest also ends first.
    order: VecDeque<String>,
    capacity: usize,
}

struct Entry<V> {
    expires_at: i64,
    value: V,
}

impl<V> Expiring<V> {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            entries: HashMap::new(),
            order: VecDeque::new(),
            capacity,
        }
    }

    /// Adds an entry, and lets go of the oldest ones that have ended or are too many.
    pub(super) fn insert(&mut self, key: String, value: V, expires_at: i64, now: i64) {
        while let Some(oldest) = self.order.front() {
            let is_live = self.get(oldest, now).is_some();
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

    pub(super) fn get(&self, key: &str, now: i64) -> Option<&V> {
        let entry = self.entries.get(key)?;
        (now < entry.expires_at).then_some(&entry.value)
    }

    pub(super) fn get_mut(&mut self, key: &str, now: i64) -> Option<&mut V> {
        let entry = self.entries.get_mut(key)?;
        (now < entry.expires_at).then_some(&mut entry.value)
    }

    pub(super) fn remove(&mut self, key: &str, now: i64) -> Option<V> {
        let entry = self.entries.remove(key)?;
        (now < entry.expires_at).then_some(entry.value)
    }

    /// Lets go of every entry that passes the test.
    pub(super) fn remove_if(&mut self, test: impl Fn(&V) -> bool) {
        self.entries.retain(|_, entry| !test(&entry.value));
    }

    /// What has not ended, the oldest first.
    pub(super) fn values(&self, now: i64) -> impl Iterator<Item = &V> {
        self.order.iter().filter_map(move |key| self.get(key, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_end_on_time_and_the_oldest_goes_first() {
        let mut map = Expiring::new(2);
        map.insert("a".into(), 1, 10, 0);
        assert_eq!(map.get("a", 9), Some(&1));
        assert_eq!(map.get("a", 10), None);
        map.insert("b".into(), 2, 20, 0);
        map.insert("c".into(), 3, 20, 0);
        assert_eq!(map.get("a", 0), None, "the oldest made room");
        assert_eq!(map.remove("b", 0), Some(2));
        assert_eq!(map.remove("b", 0), None);
        map.insert("d".into(), 4, 40, 20);
        assert_eq!(map.values(20).collect::<Vec<_>>(), [&4]);
        assert_eq!(map.order.len(), 1, "ended entries are let go");
        map.remove_if(|value| *value == 4);
        assert_eq!(map.values(20).count(), 0);
    }
}
