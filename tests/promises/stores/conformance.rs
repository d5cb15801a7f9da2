use std::{collections::BTreeSet, sync::Arc};

use axum_oten::store::{OtenStore, RecordKey};
use time::OffsetDateTime;
use tokio::task::JoinSet;

use super::tested::{Tested, key};

pub(super) async fn insert_puts_a_record_where_none_is(tested: Tested) {
    let (key, end) = (key(), tested.after(60));
    assert_eq!(tested.store.load(&key).await.unwrap(), None);
    assert!(tested.store.insert(&key, b"a", end).await.unwrap());
    assert!(!tested.other.insert(&key, b"b", end).await.unwrap());
    assert_eq!(value(&tested.other, &key).await.unwrap(), b"a");
    assert_eq!(tested.store.is_external(), tested.is_external);
}

pub(super) async fn load_gives_back_what_was_put(tested: Tested) {
    let (key, end) = (key(), tested.after(60));
    tested.store.insert(&key, b"a", end).await.unwrap();
    let found = tested.other.load(&key).await.unwrap().unwrap();
    assert_eq!(found.value, b"a");
    assert_eq!(found.expires_at, end);
    assert_eq!(tested.store.load(&key).await.unwrap().unwrap(), found);
}

pub(super) async fn a_record_ends_when_the_clock_says_so(tested: Tested) {
    let (key, store) = (key(), &tested.store);
    store.insert(&key, b"a", tested.after(10)).await.unwrap();
    let version = store.load(&key).await.unwrap().unwrap().version;
    tested
        .clock
        .advance(std::time::Duration::from_millis(9_999));
    assert!(store.load(&key).await.unwrap().is_some());
    tested.clock.advance(std::time::Duration::from_millis(1));
    // At its end it is gone, for every operation.
    let end = tested.after(10);
    assert_eq!(store.load(&key).await.unwrap(), None);
    assert!(!store.replace(&key, None, b"b", end).await.unwrap());
    assert!(!store.replace(&key, Some(version), b"b", end).await.unwrap());
    assert!(!store.touch(&key, end).await.unwrap());
    assert!(!store.remove_if(&key, b"a").await.unwrap());
    assert_eq!(store.take(&key).await.unwrap(), None);
    // And its place is free.
    assert!(store.insert(&key, b"c", end).await.unwrap());
    assert_eq!(value(store, &key).await.unwrap(), b"c");
}

pub(super) async fn replace_takes_any_version_or_the_named_one(tested: Tested) {
    let (key, store) = (key(), &tested.store);
    let (end, later) = (tested.after(10), tested.after(20));
    assert!(!store.replace(&key, None, b"x", end).await.unwrap());
    assert!(!store.replace(&key, Some(1), b"x", end).await.unwrap());
    assert_eq!(store.load(&key).await.unwrap(), None);

    store.insert(&key, b"a", end).await.unwrap();
    let first = store.load(&key).await.unwrap().unwrap().version;
    assert!(store.replace(&key, None, b"b", later).await.unwrap());
    let second = store.load(&key).await.unwrap().unwrap();
    assert_eq!((&second.value[..], second.expires_at), (&b"b"[..], later));

    assert!(!store.replace(&key, Some(first), b"c", end).await.unwrap());
    assert_eq!(store.load(&key).await.unwrap().unwrap(), second);
    let version = Some(second.version);
    assert!(store.replace(&key, version, b"c", end).await.unwrap());
    let third = store.load(&key).await.unwrap().unwrap();
    assert_eq!((&third.value[..], third.expires_at), (&b"c"[..], end));
    assert!(!store.replace(&key, version, b"d", end).await.unwrap());
}

pub(super) async fn every_write_is_another_version(tested: Tested) {
    let (key, store, end) = (key(), &tested.store, tested.after(60));
    let mut versions = BTreeSet::new();
    for _ in 0..5 {
        // The same value each time.
        store.insert(&key, b"a", end).await.unwrap();
        versions.insert(store.load(&key).await.unwrap().unwrap().version);
        store.replace(&key, None, b"a", end).await.unwrap();
        versions.insert(store.load(&key).await.unwrap().unwrap().version);
        store.take(&key).await.unwrap();
    }
    assert_eq!(versions.len(), 10);
    assert!(versions.iter().all(|version| *version > 0));
}

pub(super) async fn touch_moves_the_end_and_nothing_else(tested: Tested) {
    let (key, store) = (key(), &tested.store);
    assert!(!store.touch(&key, tested.after(10)).await.unwrap());
    assert_eq!(store.load(&key).await.unwrap(), None);

    store
        .insert(&key, b" a b ", tested.after(10))
        .await
        .unwrap();
    let before = store.load(&key).await.unwrap().unwrap();
    let later = tested.after(20);
    assert!(store.touch(&key, later).await.unwrap());
    tested.clock.advance(std::time::Duration::from_secs(15));
    let after = store.load(&key).await.unwrap().unwrap();
    assert_eq!(after.expires_at, later);
    assert_eq!((after.value, after.version), (before.value, before.version));
    // It can be brought forward, too.
    assert!(store.touch(&key, tested.after(1)).await.unwrap());
    tested.clock.advance(std::time::Duration::from_secs(1));
    assert_eq!(store.load(&key).await.unwrap(), None);
}

pub(super) async fn take_hands_out_once(tested: Tested) {
    let (key, end) = (key(), tested.after(60));
    assert_eq!(tested.store.take(&key).await.unwrap(), None);
    tested.store.insert(&key, b"a", end).await.unwrap();
    assert_eq!(tested.other.take(&key).await.unwrap().unwrap(), b"a");
    assert_eq!(tested.store.take(&key).await.unwrap(), None);
    assert_eq!(tested.store.load(&key).await.unwrap(), None);
    assert!(tested.store.insert(&key, b"b", end).await.unwrap());
}

pub(super) async fn remove_if_leaves_another_value_alone(tested: Tested) {
    let (key, store, end) = (key(), &tested.store, tested.after(60));
    assert!(!store.remove_if(&key, b"").await.unwrap());
    store.insert(&key, b"holder 1", end).await.unwrap();
    for other in [&b""[..], b"holder 2", b"holder", b"holder 1 "] {
        assert!(!store.remove_if(&key, other).await.unwrap());
    }
    assert_eq!(value(store, &key).await.unwrap(), b"holder 1");
    assert!(store.remove_if(&key, b"holder 1").await.unwrap());
    assert!(!store.remove_if(&key, b"holder 1").await.unwrap());
    assert_eq!(store.load(&key).await.unwrap(), None);
}

pub(super) async fn what_is_gone_does_not_come_back(tested: Tested) {
    let (key, store, end) = (key(), &tested.store, tested.after(60));
    store.insert(&key, b"a", end).await.unwrap();
    let version = store.load(&key).await.unwrap().unwrap().version;
    store.take(&key).await.unwrap();
    assert!(!store.replace(&key, None, b"b", end).await.unwrap());
    assert!(!store.replace(&key, Some(version), b"b", end).await.unwrap());
    assert!(!store.touch(&key, end).await.unwrap());
    assert!(!store.remove_if(&key, b"a").await.unwrap());
    assert_eq!(store.load(&key).await.unwrap(), None);
    assert_eq!(tested.other.load(&key).await.unwrap(), None);
}

pub(super) async fn keys_of_kinds_are_apart(tested: Tested) {
    let (key, end) = (key(), tested.after(60));
    let id = key.to_string();
    let (a, b) = (RecordKey::new("a", &id), RecordKey::new("b", &id));
    let store = &tested.store;
    assert!(store.insert(&a, b"of a", end).await.unwrap());
    assert_eq!(store.load(&b).await.unwrap(), None);
    assert!(store.insert(&b, b"of b", end).await.unwrap());
    assert_eq!(store.take(&a).await.unwrap().unwrap(), b"of a");
    assert_eq!(value(store, &b).await.unwrap(), b"of b");
}

pub(super) async fn values_are_any_bytes(tested: Tested) {
    let (store, end) = (&tested.store, tested.after(60));
    let every_byte: Vec<u8> = (0..=255).collect();
    let big: Vec<u8> = every_byte.iter().copied().cycle().take(65_536).collect();
    for bytes in [&b""[..], b" ", b"1 2 3", b"\0\0", &every_byte, &big] {
        let key = key();
        assert!(store.insert(&key, bytes, end).await.unwrap());
        assert_eq!(value(store, &key).await.unwrap(), bytes);
        assert!(store.replace(&key, None, b"small", end).await.unwrap());
        assert!(store.replace(&key, None, bytes, end).await.unwrap());
        assert!(store.touch(&key, end).await.unwrap());
        assert_eq!(value(store, &key).await.unwrap(), bytes);
        assert_eq!(store.take(&key).await.unwrap().unwrap(), bytes);

        store.insert(&key, bytes, end).await.unwrap();
        assert!(store.remove_if(&key, bytes).await.unwrap());
    }
}

pub(super) async fn a_far_end_is_no_trouble(tested: Tested) {
    let (key, store) = (key(), &tested.store);
    let far = OffsetDateTime::from_unix_timestamp(253_402_300_000).unwrap();
    assert!(store.insert(&key, b"a", far).await.unwrap());
    assert_eq!(store.load(&key).await.unwrap().unwrap().expires_at, far);
    assert!(store.touch(&key, far).await.unwrap());
    store.add_member(&key, "x", far).await.unwrap();
    tested
        .clock
        .advance(std::time::Duration::from_secs(86_400 * 365));
    assert_eq!(value(store, &key).await.unwrap(), b"a");
    assert_eq!(store.members(&key).await.unwrap(), ["x"]);

    // And one that is over is not there.
    let key = self::key();
    let over = OffsetDateTime::UNIX_EPOCH;
    assert!(store.insert(&key, b"a", over).await.unwrap());
    assert_eq!(store.load(&key).await.unwrap(), None);
}

pub(super) async fn one_of_fifty_inserts(tested: Tested) {
    let (key, end) = (key(), tested.after(60));
    let winners = winners(&tested, move |store, n| async move {
        store.insert(&key, &[n], end).await.unwrap()
    });
    let winners = winners.await;
    assert_eq!(winners.len(), 1);
    assert_eq!(value(&tested.store, &key).await.unwrap(), winners);
}

pub(super) async fn one_of_fifty_inserts_over_an_expired_record(tested: Tested) {
    let key = key();
    let end = tested.after(10);
    tested.store.insert(&key, b"old", end).await.unwrap();
    tested.clock.advance(std::time::Duration::from_secs(10));
    let end = tested.after(60);
    let winners = winners(&tested, move |store, n| async move {
        store.insert(&key, &[n], end).await.unwrap()
    });
    let winners = winners.await;
    assert_eq!(winners.len(), 1);
    assert_eq!(value(&tested.store, &key).await.unwrap(), winners);
}

pub(super) async fn one_of_fifty_takes(tested: Tested) {
    let (key, end) = (key(), tested.after(60));
    tested.store.insert(&key, b"a", end).await.unwrap();
    let winners = winners(&tested, move |store, _| async move {
        store.take(&key).await.unwrap().is_some()
    });
    assert_eq!(winners.await.len(), 1);
}

pub(super) async fn one_of_fifty_replaces_a_version(tested: Tested) {
    let (key, end) = (key(), tested.after(60));
    tested.store.insert(&key, b"a", end).await.unwrap();
    let version = tested.store.load(&key).await.unwrap().unwrap().version;
    let winners = winners(&tested, move |store, n| async move {
        let version = Some(version);
        store.replace(&key, version, &[n], end).await.unwrap()
    });
    let winners = winners.await;
    assert_eq!(winners.len(), 1);
    assert_eq!(value(&tested.store, &key).await.unwrap(), winners);
}

pub(super) async fn a_take_and_a_replace_end_in_nothing(tested: Tested) {
    for _ in 0..20 {
        let (key, end) = (key(), tested.after(60));
        tested.store.insert(&key, b"a", end).await.unwrap();
        let taken = winners(&tested, move |store, n| async move {
            match n % 3 {
                0 => store.take(&key).await.unwrap().is_some(),
                1 => store.replace(&key, None, b"b", end).await.is_err(),
                _ => store.touch(&key, end).await.is_err(),
            }
        });
        assert_eq!(taken.await.len(), 1);
        assert_eq!(tested.store.load(&key).await.unwrap(), None);
        assert_eq!(tested.other.load(&key).await.unwrap(), None);
    }
}

pub(super) async fn a_set_keeps_each_member_until_its_end(tested: Tested) {
    let (set, store) = (key(), &tested.store);
    assert_eq!(members(store, &set).await, [""; 0]);
    store
        .add_member(&set, "long", tested.after(30))
        .await
        .unwrap();
    store
        .add_member(&set, "short", tested.after(10))
        .await
        .unwrap();
    store
        .add_member(&set, "again", tested.after(10))
        .await
        .unwrap();
    store
        .add_member(&set, "again", tested.after(20))
        .await
        .unwrap();
    assert_eq!(
        members(&tested.other, &set).await,
        ["again", "long", "short"]
    );
    tested.clock.advance(std::time::Duration::from_secs(10));
    assert_eq!(members(store, &set).await, ["again", "long"]);
    store.remove_member(&set, "again").await.unwrap();
    store.remove_member(&set, "again").await.unwrap();
    store.remove_member(&set, "never there").await.unwrap();
    assert_eq!(members(store, &set).await, ["long"]);
    // One added later does not shorten the life of those that are there, even if it is over.
    let over = OffsetDateTime::UNIX_EPOCH;
    store.add_member(&set, "over", over).await.unwrap();
    assert_eq!(members(store, &set).await, ["long"]);
    store
        .add_member(&set, "brief", tested.after(1))
        .await
        .unwrap();
    tested.clock.advance(std::time::Duration::from_secs(1));
    assert_eq!(members(store, &set).await, ["long"]);
    tested.clock.advance(std::time::Duration::from_secs(19));
    assert_eq!(members(store, &set).await, [""; 0]);
    store
        .add_member(&set, "new", tested.after(1))
        .await
        .unwrap();
    assert_eq!(members(store, &set).await, ["new"]);
    store.remove_member(&set, "new").await.unwrap();
    assert_eq!(members(store, &set).await, [""; 0]);
}

pub(super) async fn members_are_any_text(tested: Tested) {
    let (set, store, end) = (key(), &tested.store, tested.after(60));
    let long = "x".repeat(1024);
    let mut texts = ["", " ", "a b", "A", "a", "ä", "nul \0 nul", "'); --", &long];
    for text in texts {
        store.add_member(&set, text, end).await.unwrap();
    }
    texts.sort_unstable();
    assert_eq!(members(store, &set).await, texts);
    for text in texts {
        store.remove_member(&set, text).await.unwrap();
    }
    assert_eq!(members(store, &set).await, [""; 0]);
}

pub(super) async fn sets_and_records_are_apart(tested: Tested) {
    let (key, other, end) = (key(), key(), tested.after(60));
    let store = &tested.store;
    store.add_member(&key, "x", end).await.unwrap();
    store.add_member(&other, "y", end).await.unwrap();
    assert!(store.insert(&key, b"a", end).await.unwrap());
    assert_eq!(members(store, &key).await, ["x"]);
    store.take(&key).await.unwrap();
    assert_eq!(members(store, &key).await, ["x"]);
    assert_eq!(members(store, &other).await, ["y"]);
    store.remove_member(&key, "y").await.unwrap();
    assert_eq!(members(store, &other).await, ["y"]);
}

pub(super) async fn no_add_is_lost_among_many(tested: Tested) {
    let (set, end) = (key(), tested.after(60));
    for n in 0..10 {
        tested
            .store
            .add_member(&set, &format!("old {n}"), end)
            .await
            .unwrap();
    }
    let done = winners(&tested, move |store, n| async move {
        if n < 10 {
            store
                .remove_member(&set, &format!("old {n}"))
                .await
                .unwrap();
        } else {
            store
                .add_member(&set, &format!("new {n}"), end)
                .await
                .unwrap();
        }
        true
    });
    assert_eq!(done.await.len(), 50);
    let expected: Vec<_> = (10..50).map(|n| format!("new {n}")).collect();
    assert_eq!(members(&tested.other, &set).await, expected);
}

/// Lets fifty race, half of them on each store, and tells who won.
async fn winners<R>(
    tested: &Tested,
    race: impl Fn(Arc<dyn OtenStore>, u8) -> R + Clone + Send + 'static,
) -> Vec<u8>
where
    R: Future<Output = bool> + Send + 'static,
{
    let start = Arc::new(tokio::sync::Barrier::new(50));
    let mut racers = JoinSet::new();
    for n in 0..50 {
        let (store, start, race) = (tested.either(n.into()), Arc::clone(&start), race.clone());
        racers.spawn(async move {
            start.wait().await;
            (n, race(store, n).await)
        });
    }
    let ended = racers.join_all().await;
    let won = ended.into_iter().filter(|(_, won)| *won);
    won.map(|(n, _)| n).collect()
}

async fn value(store: &Arc<dyn OtenStore>, key: &RecordKey) -> Option<Vec<u8>> {
    let found = store.load(key).await.unwrap();
    found.map(|record| record.value)
}

async fn members(store: &Arc<dyn OtenStore>, set: &RecordKey) -> Vec<String> {
    let mut members = store.members(set).await.unwrap();
    members.sort_unstable();
    members
}
