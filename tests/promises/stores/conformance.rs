use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use axum_oten::store::{Bytes, OtenStore, RecordKey};
use tokio::task::JoinSet;

use super::store_pair::{StorePair, key};

pub(super) async fn insert_creates_a_record_only_if_none_exists(stores: StorePair) {
    let (key, ttl) = (key(), secs(60));
    assert_eq!(stores.store.load(&key).await.unwrap(), None);
    assert!(stores.store.insert(&key, b"a", ttl).await.unwrap());
    assert!(!stores.other.insert(&key, b"b", ttl).await.unwrap());
    assert_eq!(value(&stores.other, &key).await.unwrap(), b"a"[..]);
    assert_eq!(stores.store.is_external(), stores.is_external);
}

pub(super) async fn load_returns_the_inserted_record(stores: StorePair) {
    let (key, ttl) = (key(), secs(60));
    stores.store.insert(&key, b"a", ttl).await.unwrap();
    let found = stores.other.load(&key).await.unwrap().unwrap();
    assert_eq!(found.value, b"a"[..]);
    assert_eq!(found.ttl, ttl);
    assert_eq!(stores.store.load(&key).await.unwrap().unwrap(), found);
}

pub(super) async fn a_record_expires_by_the_clock(stores: StorePair) {
    let (key, store) = (key(), &stores.store);
    store.insert(&key, b"a", secs(10)).await.unwrap();
    let version = store.load(&key).await.unwrap().unwrap().version;
    stores.clock.advance(Duration::from_millis(9_999));
    assert!(store.load(&key).await.unwrap().is_some());
    stores.clock.advance(Duration::from_millis(1));
    // From its expiry on, it is absent for every operation.
    let ttl = secs(10);
    assert_eq!(store.load(&key).await.unwrap(), None);
    assert!(!store.replace(&key, None, b"b", ttl).await.unwrap());
    assert!(!store.replace(&key, Some(version), b"b", ttl).await.unwrap());
    assert!(!store.touch(&key, ttl).await.unwrap());
    assert!(!store.remove_if(&key, b"a").await.unwrap());
    assert_eq!(store.take(&key).await.unwrap(), None);
    // A new record can be inserted.
    assert!(store.insert(&key, b"c", ttl).await.unwrap());
    assert_eq!(value(store, &key).await.unwrap(), b"c"[..]);
}

pub(super) async fn replace_accepts_any_version_or_the_given_one(stores: StorePair) {
    let (key, store) = (key(), &stores.store);
    let (ttl, later) = (secs(10), secs(20));
    assert!(!store.replace(&key, None, b"x", ttl).await.unwrap());
    assert!(!store.replace(&key, Some(1), b"x", ttl).await.unwrap());
    assert_eq!(store.load(&key).await.unwrap(), None);

    store.insert(&key, b"a", ttl).await.unwrap();
    let first = store.load(&key).await.unwrap().unwrap().version;
    assert!(store.replace(&key, None, b"b", later).await.unwrap());
    let second = store.load(&key).await.unwrap().unwrap();
    assert_eq!((&second.value[..], second.ttl), (&b"b"[..], later));

    assert!(!store.replace(&key, Some(first), b"c", ttl).await.unwrap());
    assert_eq!(store.load(&key).await.unwrap().unwrap(), second);
    let version = Some(second.version);
    assert!(store.replace(&key, version, b"c", ttl).await.unwrap());
    let third = store.load(&key).await.unwrap().unwrap();
    assert_eq!((&third.value[..], third.ttl), (&b"c"[..], ttl));
    assert!(!store.replace(&key, version, b"d", ttl).await.unwrap());
}

pub(super) async fn every_write_creates_a_new_version(stores: StorePair) {
    let (key, store, ttl) = (key(), &stores.store, secs(60));
    let mut versions = BTreeSet::new();
    for _ in 0..5 {
        // Even with the same value.
        store.insert(&key, b"a", ttl).await.unwrap();
        versions.insert(store.load(&key).await.unwrap().unwrap().version);
        store.replace(&key, None, b"a", ttl).await.unwrap();
        versions.insert(store.load(&key).await.unwrap().unwrap().version);
        store.take(&key).await.unwrap();
    }
    assert_eq!(versions.len(), 10);
    assert!(versions.iter().all(|version| *version > 0));
}

pub(super) async fn touch_changes_only_the_expiry(stores: StorePair) {
    let (key, store) = (key(), &stores.store);
    assert!(!store.touch(&key, secs(10)).await.unwrap());
    assert_eq!(store.load(&key).await.unwrap(), None);

    store.insert(&key, b" a b ", secs(10)).await.unwrap();
    let before = store.load(&key).await.unwrap().unwrap();
    let later = secs(20);
    assert!(store.touch(&key, later).await.unwrap());
    stores.clock.advance(Duration::from_secs(15));
    let after = store.load(&key).await.unwrap().unwrap();
    assert_eq!(after.ttl, secs(5));
    assert_eq!((after.value, after.version), (before.value, before.version));
    // The expiry can also be moved to an earlier time.
    assert!(store.touch(&key, secs(1)).await.unwrap());
    stores.clock.advance(Duration::from_secs(1));
    assert_eq!(store.load(&key).await.unwrap(), None);
}

pub(super) async fn take_returns_a_record_once(stores: StorePair) {
    let (key, ttl) = (key(), secs(60));
    assert_eq!(stores.store.take(&key).await.unwrap(), None);
    stores.store.insert(&key, b"a", ttl).await.unwrap();
    assert_eq!(stores.other.take(&key).await.unwrap().unwrap(), b"a"[..]);
    assert_eq!(stores.store.take(&key).await.unwrap(), None);
    assert_eq!(stores.store.load(&key).await.unwrap(), None);
    assert!(stores.store.insert(&key, b"b", ttl).await.unwrap());
}

pub(super) async fn remove_if_keeps_another_value(stores: StorePair) {
    let (key, store, ttl) = (key(), &stores.store, secs(60));
    assert!(!store.remove_if(&key, b"").await.unwrap());
    store.insert(&key, b"holder 1", ttl).await.unwrap();
    for other in [&b""[..], b"holder 2", b"holder", b"holder 1 "] {
        assert!(!store.remove_if(&key, other).await.unwrap());
    }
    assert_eq!(value(store, &key).await.unwrap(), b"holder 1"[..]);
    assert!(store.remove_if(&key, b"holder 1").await.unwrap());
    assert!(!store.remove_if(&key, b"holder 1").await.unwrap());
    assert_eq!(store.load(&key).await.unwrap(), None);
}

pub(super) async fn a_removed_record_does_not_return(stores: StorePair) {
    let (key, store, ttl) = (key(), &stores.store, secs(60));
    store.insert(&key, b"a", ttl).await.unwrap();
    let version = store.load(&key).await.unwrap().unwrap().version;
    store.take(&key).await.unwrap();
    assert!(!store.replace(&key, None, b"b", ttl).await.unwrap());
    assert!(!store.replace(&key, Some(version), b"b", ttl).await.unwrap());
    assert!(!store.touch(&key, ttl).await.unwrap());
    assert!(!store.remove_if(&key, b"a").await.unwrap());
    assert_eq!(store.load(&key).await.unwrap(), None);
    assert_eq!(stores.other.load(&key).await.unwrap(), None);
}

pub(super) async fn records_of_different_kinds_are_separate(stores: StorePair) {
    let (key, ttl) = (key(), secs(60));
    let id = key.to_string();
    let (a, b) = (RecordKey::new("a", &id), RecordKey::new("b", &id));
    let store = &stores.store;
    assert!(store.insert(&a, b"of a", ttl).await.unwrap());
    assert_eq!(store.load(&b).await.unwrap(), None);
    assert!(store.insert(&b, b"of b", ttl).await.unwrap());
    assert_eq!(store.take(&a).await.unwrap().unwrap(), b"of a"[..]);
    assert_eq!(value(store, &b).await.unwrap(), b"of b"[..]);
}

pub(super) async fn values_can_contain_any_bytes(stores: StorePair) {
    let (store, ttl) = (&stores.store, secs(60));
    let every_byte: Vec<u8> = (0..=255).collect();
    let big: Vec<u8> = every_byte.iter().copied().cycle().take(65_536).collect();
    for bytes in [&b""[..], b" ", b"1 2 3", b"\0\0", &every_byte, &big] {
        let key = key();
        assert!(store.insert(&key, bytes, ttl).await.unwrap());
        assert_eq!(value(store, &key).await.unwrap(), bytes);
        assert!(store.replace(&key, None, b"small", ttl).await.unwrap());
        assert!(store.replace(&key, None, bytes, ttl).await.unwrap());
        assert!(store.touch(&key, ttl).await.unwrap());
        assert_eq!(value(store, &key).await.unwrap(), bytes);
        assert_eq!(store.take(&key).await.unwrap().unwrap(), bytes);

        store.insert(&key, bytes, ttl).await.unwrap();
        assert!(store.remove_if(&key, bytes).await.unwrap());
    }
}

pub(super) async fn any_lifetime_is_supported(stores: StorePair) {
    let (key, store) = (key(), &stores.store);
    let far = Duration::MAX;
    assert!(store.insert(&key, b"a", far).await.unwrap());
    assert!(store.load(&key).await.unwrap().unwrap().ttl > secs(86_400 * 365));
    assert!(store.touch(&key, far).await.unwrap());
    store.add_member(&key, "x", far, UNLIMITED).await.unwrap();
    stores.clock.advance(Duration::from_secs(86_400 * 365));
    assert_eq!(value(store, &key).await.unwrap(), b"a"[..]);
    assert_eq!(store.members(&key).await.unwrap(), ["x"]);

    // A record that has already expired is absent.
    let key = self::key();
    let past = Duration::ZERO;
    assert!(store.insert(&key, b"a", past).await.unwrap());
    assert_eq!(store.load(&key).await.unwrap(), None);
}

pub(super) async fn one_of_fifty_inserts_succeeds(stores: StorePair) {
    let (key, ttl) = (key(), secs(60));
    let succeeded = succeeded(&stores, move |store, n| async move {
        store.insert(&key, &[n], ttl).await.unwrap()
    });
    let succeeded = succeeded.await;
    assert_eq!(succeeded.len(), 1);
    assert_eq!(value(&stores.store, &key).await.unwrap(), succeeded);
}

pub(super) async fn one_of_fifty_inserts_replaces_an_expired_record(stores: StorePair) {
    let key = key();
    let ttl = secs(10);
    stores.store.insert(&key, b"old", ttl).await.unwrap();
    stores.clock.advance(Duration::from_secs(10));
    let ttl = secs(60);
    let succeeded = succeeded(&stores, move |store, n| async move {
        store.insert(&key, &[n], ttl).await.unwrap()
    });
    let succeeded = succeeded.await;
    assert_eq!(succeeded.len(), 1);
    assert_eq!(value(&stores.store, &key).await.unwrap(), succeeded);
}

pub(super) async fn one_of_fifty_takes_succeeds(stores: StorePair) {
    let (key, ttl) = (key(), secs(60));
    stores.store.insert(&key, b"a", ttl).await.unwrap();
    let succeeded = succeeded(&stores, move |store, _| async move {
        store.take(&key).await.unwrap().is_some()
    });
    assert_eq!(succeeded.await.len(), 1);
}

pub(super) async fn one_of_fifty_replaces_succeeds(stores: StorePair) {
    let (key, ttl) = (key(), secs(60));
    stores.store.insert(&key, b"a", ttl).await.unwrap();
    let version = stores.store.load(&key).await.unwrap().unwrap().version;
    let succeeded = succeeded(&stores, move |store, n| async move {
        let version = Some(version);
        store.replace(&key, version, &[n], ttl).await.unwrap()
    });
    let succeeded = succeeded.await;
    assert_eq!(succeeded.len(), 1);
    assert_eq!(value(&stores.store, &key).await.unwrap(), succeeded);
}

pub(super) async fn take_wins_against_replace_and_touch(stores: StorePair) {
    for _ in 0..20 {
        let (key, ttl) = (key(), secs(60));
        stores.store.insert(&key, b"a", ttl).await.unwrap();
        let taken = succeeded(&stores, move |store, n| async move {
            match n % 3 {
                0 => store.take(&key).await.unwrap().is_some(),
                1 => store.replace(&key, None, b"b", ttl).await.is_err(),
                _ => store.touch(&key, ttl).await.is_err(),
            }
        });
        assert_eq!(taken.await.len(), 1);
        assert_eq!(stores.store.load(&key).await.unwrap(), None);
        assert_eq!(stores.other.load(&key).await.unwrap(), None);
    }
}

pub(super) async fn each_member_of_a_set_has_its_own_expiry(stores: StorePair) {
    let (set, store) = (key(), &stores.store);
    assert_eq!(members(store, &set).await, [""; 0]);
    store
        .add_member(&set, "long", secs(30), UNLIMITED)
        .await
        .unwrap();
    store
        .add_member(&set, "short", secs(10), UNLIMITED)
        .await
        .unwrap();
    store
        .add_member(&set, "again", secs(10), UNLIMITED)
        .await
        .unwrap();
    store
        .add_member(&set, "again", secs(20), UNLIMITED)
        .await
        .unwrap();
    assert_eq!(
        members(&stores.other, &set).await,
        ["again", "long", "short"]
    );
    stores.clock.advance(Duration::from_secs(10));
    assert_eq!(members(store, &set).await, ["again", "long"]);
    store.remove_member(&set, "again").await.unwrap();
    store.remove_member(&set, "again").await.unwrap();
    store.remove_member(&set, "unknown").await.unwrap();
    assert_eq!(members(store, &set).await, ["long"]);
    // A new member does not shorten the expiry of other members, even if it has already expired.
    let past = Duration::ZERO;
    store
        .add_member(&set, "past", past, UNLIMITED)
        .await
        .unwrap();
    assert_eq!(members(store, &set).await, ["long"]);
    store
        .add_member(&set, "brief", secs(1), UNLIMITED)
        .await
        .unwrap();
    stores.clock.advance(Duration::from_secs(1));
    assert_eq!(members(store, &set).await, ["long"]);
    stores.clock.advance(Duration::from_secs(19));
    assert_eq!(members(store, &set).await, [""; 0]);
    store
        .add_member(&set, "new", secs(1), UNLIMITED)
        .await
        .unwrap();
    assert_eq!(members(store, &set).await, ["new"]);
    store.remove_member(&set, "new").await.unwrap();
    assert_eq!(members(store, &set).await, [""; 0]);
}

pub(super) async fn members_can_contain_any_text(stores: StorePair) {
    let (set, store, ttl) = (key(), &stores.store, secs(60));
    let long = "x".repeat(1024);
    let mut texts = ["", " ", "a b", "A", "a", "ä", "nul \0 nul", "'); --", &long];
    for text in texts {
        store.add_member(&set, text, ttl, UNLIMITED).await.unwrap();
    }
    texts.sort_unstable();
    assert_eq!(members(store, &set).await, texts);
    for text in texts {
        store.remove_member(&set, text).await.unwrap();
    }
    assert_eq!(members(store, &set).await, [""; 0]);
}

pub(super) async fn sets_and_records_are_separate(stores: StorePair) {
    let (key, other, ttl) = (key(), key(), secs(60));
    let store = &stores.store;
    store.add_member(&key, "x", ttl, UNLIMITED).await.unwrap();
    store.add_member(&other, "y", ttl, UNLIMITED).await.unwrap();
    assert!(store.insert(&key, b"a", ttl).await.unwrap());
    assert_eq!(members(store, &key).await, ["x"]);
    store.take(&key).await.unwrap();
    assert_eq!(members(store, &key).await, ["x"]);
    assert_eq!(members(store, &other).await, ["y"]);
    store.remove_member(&key, "y").await.unwrap();
    assert_eq!(members(store, &other).await, ["y"]);
}

pub(super) async fn concurrent_changes_to_a_set_are_not_lost(stores: StorePair) {
    let (set, ttl) = (key(), secs(60));
    for n in 0..10 {
        stores
            .store
            .add_member(&set, &format!("old {n}"), ttl, UNLIMITED)
            .await
            .unwrap();
    }
    let done = succeeded(&stores, move |store, n| async move {
        if n < 10 {
            store
                .remove_member(&set, &format!("old {n}"))
                .await
                .unwrap();
        } else {
            store
                .add_member(&set, &format!("new {n}"), ttl, UNLIMITED)
                .await
                .unwrap();
        }
        true
    });
    assert_eq!(done.await.len(), 50);
    let expected: Vec<_> = (10..50).map(|n| format!("new {n}")).collect();
    assert_eq!(members(&stores.other, &set).await, expected);
}

pub(super) async fn l9_a_full_set_returns_the_members_that_expire_first(stores: StorePair) {
    let (set, store) = (key(), &stores.store);
    let add = async |member: &'static str, ttl, limit| {
        let excess = store.add_member(&set, member, secs(ttl), limit).await;
        let mut excess = excess.unwrap();
        excess.sort_unstable();
        excess
    };
    for (member, ttl) in [("b", 20), ("d", 40), ("a", 10), ("c", 30)] {
        assert_eq!(add(member, ttl, 4).await, [""; 0]);
    }
    // A member that is added again takes no more room, and then expires later.
    assert_eq!(add("a", 50, 4).await, [""; 0]);
    assert_eq!(add("e", 60, 4).await, ["b"]);
    // The caller removes it.
    assert_eq!(
        members(&stores.other, &set).await,
        ["a", "b", "c", "d", "e"]
    );
    store.remove_member(&set, "b").await.unwrap();
    // The new member is not returned even if it expires first.
    assert_eq!(add("f", 1, 4).await, ["c"]);
    store.remove_member(&set, "c").await.unwrap();
    // What has expired takes no room, and is not returned.
    stores.clock.advance(secs(1));
    assert_eq!(add("g", 60, 4).await, [""; 0]);
    assert_eq!(members(store, &set).await, ["a", "d", "e", "g"]);
    // Another limit applies at once.
    assert_eq!(add("e", 60, 2).await, ["a", "d"]);
    assert_eq!(add("h", 60, 0).await.len(), 4);
    assert_eq!(members(store, &key()).await, [""; 0]);
}

pub(super) async fn l9_an_addition_returns_a_bounded_number_of_members(stores: StorePair) {
    let (set, store) = (key(), &stores.store);
    for n in 1..=40 {
        let member = format!("{n:02}");
        let added = store.add_member(&set, &member, secs(n), UNLIMITED).await;
        assert_eq!(added.unwrap(), [""; 0]);
    }
    let mut excess = store.add_member(&set, "x", secs(60), 5).await.unwrap();
    excess.sort_unstable();
    let expected: Vec<_> = (1..=16).map(|n| format!("{n:02}")).collect();
    assert_eq!(excess, expected);
}

pub(super) async fn l11_a_store_whose_clock_is_off_keeps_lifetimes(stores: StorePair) {
    let (key, store, lease) = (key(), &stores.store, secs(15));
    stores.clock.advance(secs(80));
    assert!(store.insert(&key, b"holder 1", lease).await.unwrap());
    assert_eq!(store.load(&key).await.unwrap().unwrap().ttl, lease);
    assert!(!stores.other.insert(&key, b"holder 2", lease).await.unwrap());
    stores.clock.advance(secs(14));
    assert_eq!(store.load(&key).await.unwrap().unwrap().ttl, secs(1));
    assert!(!stores.other.insert(&key, b"holder 2", lease).await.unwrap());
    stores.clock.advance(secs(1));
    assert!(stores.other.insert(&key, b"holder 2", lease).await.unwrap());
    assert!(!store.remove_if(&key, b"holder 1").await.unwrap());
    assert!(stores.other.remove_if(&key, b"holder 2").await.unwrap());
    store.add_member(&key, "x", lease, 1).await.unwrap();
    stores.clock.advance(secs(14));
    assert_eq!(members(store, &key).await, ["x"]);
    stores.clock.advance(secs(1));
    assert_eq!(members(store, &key).await, [""; 0]);
}

/// Without a clock of the app: no operation receives a time.
pub(super) async fn l11_records_expire_by_the_system_clock_of_the_store(stores: StorePair) {
    let (store, key, lease) = (&stores.system, key(), secs(3));
    let (kept, set) = (self::key(), self::key());
    store.insert(&kept, b"kept", secs(20)).await.unwrap();
    assert!(store.touch(&kept, secs(60)).await.unwrap());
    store.add_member(&set, "brief", lease, 9).await.unwrap();
    store.add_member(&set, "long", secs(60), 9).await.unwrap();
    let start = Instant::now();
    assert!(store.insert(&key, b"holder 1", lease).await.unwrap());
    while let Some(found) = store.load(&key).await.unwrap() {
        let elapsed = start.elapsed();
        assert!(found.ttl <= lease + PRECISION && found.ttl + elapsed + PRECISION >= lease);
        assert!(elapsed < 2 * lease, "it does not expire");
        if elapsed < lease / 4 {
            assert!(!store.insert(&key, b"holder 2", lease).await.unwrap());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(start.elapsed() + PRECISION >= lease);
    assert!(!store.remove_if(&key, b"holder 1").await.unwrap());
    assert!(!store.replace(&key, None, b"", lease).await.unwrap());
    assert!(!store.touch(&key, lease).await.unwrap());
    assert_eq!(store.take(&key).await.unwrap(), None);
    assert!(store.insert(&key, b"holder 2", secs(60)).await.unwrap());
    assert!(store.remove_if(&key, b"holder 2").await.unwrap());

    assert_eq!(value(store, &kept).await.unwrap(), b"kept"[..]);
    let found = store.load(&kept).await.unwrap().unwrap();
    assert!(found.ttl > secs(30) && found.ttl <= secs(60) + PRECISION);
    assert_eq!(members(store, &set).await, ["long"]);
}

/// The clock of the store is read before or after ours, on a busy machine.
const PRECISION: Duration = Duration::from_secs(1);

/// No limit on the number of members.
const UNLIMITED: usize = usize::MAX;

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Runs fifty concurrent operations, half of them on each store, and returns those that succeeded.
async fn succeeded<R>(
    stores: &StorePair,
    race: impl Fn(Arc<dyn OtenStore>, u8) -> R + Clone + Send + 'static,
) -> Vec<u8>
where
    R: Future<Output = bool> + Send + 'static,
{
    let start = Arc::new(tokio::sync::Barrier::new(50));
    let mut racers = JoinSet::new();
    for n in 0..50 {
        let (store, start, race) = (stores.either(n.into()), Arc::clone(&start), race.clone());
        racers.spawn(async move {
            start.wait().await;
            (n, race(store, n).await)
        });
    }
    let ended = racers.join_all().await;
    let won = ended.into_iter().filter(|(_, won)| *won);
    won.map(|(n, _)| n).collect()
}

async fn value(store: &Arc<dyn OtenStore>, key: &RecordKey) -> Option<Bytes> {
    let found = store.load(key).await.unwrap();
    found.map(|record| record.value)
}

async fn members(store: &Arc<dyn OtenStore>, set: &RecordKey) -> Vec<String> {
    let mut members = store.members(set).await.unwrap();
    members.sort_unstable();
    members
}
