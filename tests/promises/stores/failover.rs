//! Servers that take over from others: the nodes of a cluster, and a replica behind sentinels.

use std::{
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use axum_oten::store::{OtenStore, RecordKey, RedisStore, StoreError};
use tokio::task::JoinSet;

use super::{
    access::{DENIED, define, misconfiguration, without},
    outage::LIMIT,
    redis_servers::{RedisCluster, RedisSentinels, cluster_rules, replicated},
    servers::{ADMIN_PASSWORD, Server},
    store_pair::key,
};

const TTL: Duration = Duration::from_secs(3_600);

/// The time in which a failover must be over, even on a busy machine. The servers notice a failure
/// after one second.
const RECOVERY: Duration = Duration::from_secs(30);

/// A store and the sessions in it.
struct Sessions {
    store: Arc<dyn OtenStore>,
    keys: Vec<RecordKey>,
}

impl Sessions {
    async fn insert(url: &str) -> Self {
        let store = Arc::new(RedisStore::connect(url).await.unwrap());
        let keys: Vec<_> = (0..100).map(|_| key()).collect();
        for key in &keys {
            assert!(store.insert(key, &key.as_bytes()[..], TTL).await.unwrap());
        }
        Self { store, keys }
    }

    /// Loads all sessions at the same time. Each answer must be in time and correct, or an error.
    async fn load(&self) -> Vec<Result<(), StoreError>> {
        let mut loads = JoinSet::new();
        for (at, key) in self.keys.iter().copied().enumerate() {
            let store = Arc::clone(&self.store);
            loads.spawn(async move {
                let start = Instant::now();
                let loaded = store.load(&key).await;
                assert!(start.elapsed() < LIMIT, "it took {:?}", start.elapsed());
                let result = loaded.map(|record| {
                    let record = record.expect("the session is lost");
                    assert_eq!(record.value, key.as_bytes()[..]);
                });
                (at, result)
            });
        }
        let mut results = loads.join_all().await;
        results.sort_by_key(|(at, _)| *at);
        results.into_iter().map(|(_, result)| result).collect()
    }

    /// Loads the sessions until all are available. Returns whether each was available throughout.
    async fn recover(&self) -> Vec<bool> {
        let mut available = vec![true; self.keys.len()];
        let limit = Instant::now() + RECOVERY;
        loop {
            let results = self.load().await;
            for (available, result) in available.iter_mut().zip(&results) {
                *available &= result.is_ok();
            }
            let Some(error) = results.into_iter().find_map(Result::err) else {
                return available;
            };
            assert!(Instant::now() < limit, "it has not recovered: {error:?}");
        }
    }

    /// Every operation works, and each session can be taken once.
    async fn use_up(&self) {
        for key in &self.keys {
            let found = self.store.load(key).await.unwrap().unwrap();
            let value = &key.as_bytes()[..];
            assert!(
                self.store
                    .replace(key, Some(found.version), value, TTL)
                    .await
                    .unwrap()
            );
            assert!(
                !self
                    .store
                    .replace(key, Some(found.version), b"2", TTL)
                    .await
                    .unwrap()
            );
            self.store.add_member(key, "a", TTL, 9).await.unwrap();
            assert_eq!(self.store.members(key).await.unwrap(), ["a"]);
            assert_eq!(self.store.take(key).await.unwrap().unwrap(), *value);
            assert_eq!(self.store.take(key).await.unwrap(), None);
        }
    }
}

/// The node hangs, so connections to it stay open. The other two nodes have about two thirds of the
/// sessions, which stay available.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l8_sessions_survive_the_failover_of_a_cluster_node() {
    let mut cluster = RedisCluster::start(Path::new("redis-server"), 1);
    let sessions = Sessions::insert(&cluster.url()).await;
    for master in &cluster.nodes[..3] {
        replicated(master);
    }
    // The first node of the URL.
    cluster.nodes[0].signal("STOP");
    let available = sessions.recover().await;
    let lost = available.iter().filter(|available| !**available).count();
    assert!((1..60).contains(&lost), "{lost} sessions were unavailable");
    sessions.use_up().await;

    // It returns as a replica of the node that has replaced it.
    cluster.nodes[0].signal("CONT");
    let sessions = Sessions::insert(&cluster.url()).await;
    sessions.use_up().await;

    // A store that has just started finds the cluster through the other node of the URL.
    cluster.nodes[0].kill();
    Sessions::insert(&cluster.url()).await.use_up().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l8_sessions_survive_a_failover_by_sentinels() {
    let mut servers = RedisSentinels::start_protected();
    let sessions = Sessions::insert(&servers.url()).await;
    replicated(&servers.master);
    // One sentinel is lost together with the master.
    servers.sentinels[0].kill();
    servers.master.kill();
    let available = sessions.recover().await;
    assert!(available.contains(&false), "the master was not used");
    sessions.use_up().await;

    // The previous master returns and takes itself for the master until the sentinels make it a replica.
    servers.master.start();
    let sessions = Sessions::insert(&servers.url()).await;
    for key in &sessions.keys {
        assert!(has(&servers.replica, key));
    }
    sessions.use_up().await;
}

/// A master that became a replica behind the back of the sentinels rejects writes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l8_a_read_only_master_is_left_for_the_one_that_the_sentinels_name() {
    let servers = RedisSentinels::start();
    let store = RedisStore::connect(&servers.url()).await.unwrap();
    assert!(store.insert(&key(), b"a", TTL).await.unwrap());
    replicated(&servers.master);
    let replica = servers.replica.port().to_string();
    servers.replica.execute(&["REPLICAOF", "NO", "ONE"]);
    servers
        .master
        .execute(&["REPLICAOF", "127.0.0.1", &replica]);
    for sentinel in &servers.sentinels {
        monitor(sentinel, &servers.replica);
    }
    let key = key();
    assert!(store.insert(&key, b"b", TTL).await.unwrap());
    assert!(has(&servers.replica, &key));
}

/// A master that was cut off from the sentinels does not know that it was replaced.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l8_a_master_is_left_when_the_sentinels_name_another() {
    let servers = RedisSentinels::start();
    let store = RedisStore::connect(&servers.url()).await.unwrap();
    assert!(store.insert(&key(), b"a", TTL).await.unwrap());
    servers.replica.execute(&["REPLICAOF", "NO", "ONE"]);
    for sentinel in &servers.sentinels {
        monitor(sentinel, &servers.replica);
    }
    let limit = Instant::now() + RECOVERY;
    loop {
        let key = key();
        assert!(store.insert(&key, b"b", TTL).await.unwrap());
        if has(&servers.replica, &key) {
            break;
        }
        assert!(Instant::now() < limit, "the previous master is used");
    }
}

/// The master accepts writes until it is a replica, and then loses those that its successor does not have.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l8_a_master_is_not_used_while_sentinels_replace_it() {
    let servers = RedisSentinels::start();
    replicated(&servers.master);
    // The replica does not confirm its promotion until it continues.
    servers.replica.signal("STOP");
    let started = servers.sentinels[1].execute(&["SENTINEL", "FAILOVER", RedisSentinels::SERVICE]);
    assert_eq!(started, "OK\n");
    let store = RedisStore::connect(&servers.url()).await.unwrap();
    let key = key();
    let error = store.insert(&key, b"a", TTL).await.unwrap_err();
    let cause = format!("{error:?}");
    assert!(cause.contains("are replacing the master"), "{cause}");
    assert!(!has(&servers.master, &key));
    servers.replica.signal("CONT");
    let limit = Instant::now() + RECOVERY;
    while let Err(error) = store.insert(&key, b"a", TTL).await {
        assert!(Instant::now() < limit, "it has not recovered: {error:?}");
    }
}

/// A sentinel that was away names the previous master.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l8_the_sentinel_that_knows_the_last_failover_counts() {
    let mut servers = RedisSentinels::start();
    servers.replica.execute(&["REPLICAOF", "NO", "ONE"]);
    for (number, sentinel) in servers.sentinels.iter_mut().enumerate() {
        // The sentinels no longer know each other.
        let service = RedisSentinels::SERVICE;
        let (master, epoch) = match number {
            1 => (&servers.replica, 7),
            _ => (&servers.master, 3),
        };
        let text = format!(
            "bind 127.0.0.1\nport {}\ndir {}\n\
             sentinel monitor \"{service}\" 127.0.0.1 {} 2\n\
             sentinel config-epoch \"{service}\" {epoch}\n",
            sentinel.port(),
            sentinel.dir().display(),
            master.port(),
        );
        sentinel.kill();
        fs::write(sentinel.dir().join("sentinel.conf"), text).unwrap();
        sentinel.start();
    }
    for _ in 0..5 {
        let store = RedisStore::connect(&servers.url()).await.unwrap();
        let key = key();
        assert!(store.insert(&key, b"a", TTL).await.unwrap());
        assert!(has(&servers.replica, &key));
    }
}

/// Makes a sentinel watch another master.
fn monitor(sentinel: &Server, master: &Server) {
    let (service, port) = (RedisSentinels::SERVICE, master.port().to_string());
    sentinel.execute(&["SENTINEL", "REMOVE", service]);
    let monitor = ["SENTINEL", "MONITOR", service, "127.0.0.1", &port, "2"];
    sentinel.execute(&monitor);
}

fn has(server: &Server, key: &RecordKey) -> bool {
    server.execute(&["EXISTS", &format!("oten:{key}")]) == "1\n"
}

/// While a slot moves, one node has some of its keys and another one has the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l8_sessions_stay_available_while_their_slot_moves() {
    let cluster = RedisCluster::shared();
    let store = RedisStore::connect(&cluster.url()).await.unwrap();
    // The part in braces determines the slot.
    let store = store.with_prefix("oten:{moving}:");
    let (old, new) = (key(), key());
    assert!(store.insert(&old, b"old", TTL).await.unwrap());
    let name = |key: &RecordKey| format!("oten:{{moving}}:{key}");
    let has = |node: &&Server| node.execute(&["EXISTS", &name(&old)]) == "1\n";
    let nodes = &cluster.nodes;
    let from = nodes.iter().find(has).unwrap();
    let to = nodes
        .iter()
        .find(|node| node.port() != from.port())
        .unwrap();
    let [from_id, to_id] = [from, to].map(|node| node.execute(&["CLUSTER", "MYID"]));
    let (from_id, to_id) = (from_id.trim(), to_id.trim());
    let slot = from.execute(&["CLUSTER", "KEYSLOT", "moving"]);
    let slot = slot.trim();
    to.execute(&["CLUSTER", "SETSLOT", slot, "IMPORTING", from_id]);
    from.execute(&["CLUSTER", "SETSLOT", slot, "MIGRATING", to_id]);

    // The key that exists has not moved yet. A new key is created by the new node.
    assert_eq!(store.load(&old).await.unwrap().unwrap().value, b"old"[..]);
    assert!(store.insert(&new, b"new", TTL).await.unwrap());
    assert!(!store.insert(&new, b"other", TTL).await.unwrap());
    let found = store.load(&new).await.unwrap().unwrap();
    assert_eq!(found.value, b"new"[..]);
    assert!(found.ttl <= TTL, "{:?}", found.ttl);
    for node in nodes {
        define(
            node,
            "without-asking",
            &without(&cluster_rules(), "+asking"),
        );
    }
    let url = cluster.url().replace("//site:", "//without-asking:");
    let denied = RedisStore::connect(&url).await.unwrap();
    let denied = denied.with_prefix("oten:{moving}:");
    let error = misconfiguration(&denied.load(&new).await.unwrap_err());
    assert!(error.contains(DENIED), "{error}");

    let to_port = to.port().to_string();
    let migrate = ["MIGRATE", "127.0.0.1", &to_port, &name(&old), "0", "5000"];
    from.execute(&[&migrate[..], &["AUTH", ADMIN_PASSWORD]].concat());
    assert_eq!(store.load(&old).await.unwrap().unwrap().value, b"old"[..]);
    assert!(store.touch(&old, TTL).await.unwrap());

    for node in nodes {
        node.execute(&["CLUSTER", "SETSLOT", slot, "NODE", to_id]);
    }
    let redirects = || {
        let errors = from.execute(&["INFO", "errorstats"]);
        let moved = errors.lines().find_map(|line| {
            let count = line.strip_prefix("errorstat_MOVED:count=")?;
            count.trim().parse::<usize>().ok()
        });
        moved.unwrap_or(0)
    };
    let before = redirects();
    for _ in 0..50 {
        assert_eq!(store.load(&new).await.unwrap().unwrap().value, b"new"[..]);
    }
    let redirected = redirects() - before;
    assert!(
        (1..25).contains(&redirected),
        "redirected {redirected} times"
    );
    assert_eq!(store.take(&old).await.unwrap().unwrap(), b"old"[..]);
    assert_eq!(store.take(&new).await.unwrap().unwrap(), b"new"[..]);
    assert_eq!(store.take(&new).await.unwrap(), None);
}
