use std::collections::{BTreeMap, BTreeSet, HashMap};

use time::OffsetDateTime;

use crate::store::RecordKey;

/// The members of all sets, each with its end of life.
#[derive(Default)]
pub(super) struct Members {
    by_set: HashMap<RecordKey, BTreeMap<String, OffsetDateTime>>,
    /// The same members, by their sets' kind in the order of their ends of life.
    by_end: BTreeMap<&'static str, BTreeSet<(OffsetDateTime, RecordKey, String)>>,
}

impl Members {
    /// Adds a member. Where as many as `capacity` are in the sets of this kind, the one nearest to
    /// its end makes room.
    pub(super) fn add(
        &mut self,
        set: &RecordKey,
        member: &str,
        expires_at: OffsetDateTime,
        capacity: usize,
    ) {
        self.remove(set, member);
        while self.ends(set.kind()).len() >= capacity {
            self.remove_first(set.kind());
        }
        self.ends(set.kind())
            .insert((expires_at, *set, member.to_owned()));
        self.by_set
            .entry(*set)
            .or_default()
            .insert(member.to_owned(), expires_at);
    }

    pub(super) fn of(&self, set: &RecordKey) -> Vec<String> {
        self.by_set
            .get(set)
            .map(|members| members.keys().cloned().collect())
            .unwrap_or_default()
    }

    pub(super) fn remove(&mut self, set: &RecordKey, member: &str) {
        let Some(members) = self.by_set.get_mut(set) else {
            return;
        };
        if let Some(end) = members.remove(member) {
            if members.is_empty() {
                self.by_set.remove(set);
            }
            self.ends(set.kind())
                .remove(&(end, *set, member.to_owned()));
        }
    }

    pub(super) fn remove_expired(&mut self, now: OffsetDateTime) {
        let kinds: Vec<_> = self.by_end.keys().copied().collect();
        for kind in kinds {
            while self.ends(kind).first().is_some_and(|(end, ..)| *end <= now) {
                self.remove_first(kind);
            }
        }
    }

    fn remove_first(&mut self, kind: &'static str) {
        if let Some((_, set, member)) = self.ends(kind).first().cloned() {
            self.remove(&set, &member);
        }
    }

    fn ends(&mut self, kind: &'static str) -> &mut BTreeSet<(OffsetDateTime, RecordKey, String)> {
        self.by_end.entry(kind).or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::Clock;

    #[test]
    fn full_sets_drop_the_member_that_ends_first_and_none_of_another_kind() {
        let now = Clock::manual().now();
        let (set, other) = (RecordKey::new("a", "1"), RecordKey::new("b", "1"));
        let mut members = Members::default();
        members.add(&other, "x", now + Duration::from_secs(1), 3);
        for id in 1..=10 {
            let end = now + Duration::from_secs(100 + id);
            members.add(&set, &id.to_string(), end, 3);
        }
        assert_eq!(members.of(&set), ["10", "8", "9"]);
        assert_eq!(members.of(&other), ["x"]);
        members.remove_expired(now + Duration::from_secs(109));
        assert_eq!(members.of(&set), ["10"]);
        members.remove(&set, "10");
        assert!(members.by_set.is_empty());
        assert!(members.by_end.values().all(BTreeSet::is_empty));
    }
}
