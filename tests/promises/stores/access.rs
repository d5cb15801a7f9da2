//! Passwords, permissions and certificates of Redis servers, of a cluster and of sentinels.

use std::{path::Path, time::Duration};

use axum_oten::store::{OtenStore, RedisStore, StoreError};

use super::{
    redis_servers::{
        PASSWORD_IN_URL, RedisCluster, RedisSentinels, cluster_rules, guide_rules, master_rules,
    },
    servers::{ADMIN_PASSWORD, Server},
    store_pair::key,
};
use crate::{
    check::{KEY, checker},
    common::{Log, TestCa, free_port},
};

const TTL: Duration = Duration::from_secs(60);

/// What the errors of a user say that lacks a permission.
pub(super) const DENIED: &str = "denies its user a command or a key";

/// Gives a user exactly these rules.
pub(super) fn define(server: &Server, user: &str, rules: &[String]) {
    let rules = rules.iter().map(String::as_str);
    let define = ["ACL", "SETUSER", user, "reset"];
    let defined = server.execute(&define.into_iter().chain(rules).collect::<Vec<_>>());
    assert_eq!(defined, "OK\n");
}

pub(super) fn without(rules: &[String], rule: &str) -> Vec<String> {
    let mut rules = rules.to_vec();
    rules.retain(|one| one != rule);
    rules
}

/// Returns the text of the error with its sources if the settings are wrong.
pub(super) fn misconfiguration(error: &StoreError) -> String {
    let StoreError::Misconfigured { source, .. } = error else {
        panic!("{error:?}");
    };
    format!("{error}: {source}")
}

/// Executes each operation. Each returns an error or the right answer. Returns the errors.
async fn execute_all(administrator: &RedisStore, store: &RedisStore) -> Vec<String> {
    let mut errors = Vec::new();
    let mut expect = |answer: Result<bool, StoreError>| match answer {
        Ok(is_right) => assert!(is_right, "the answer is wrong"),
        Err(error) => errors.push(misconfiguration(&error)),
    };
    let record = async || {
        let key = key();
        assert!(administrator.insert(&key, b"a", TTL).await.unwrap());
        key
    };
    expect(store.insert(&key(), b"a", TTL).await);
    let loaded = store.load(&record().await).await;
    expect(loaded.map(|record| record.unwrap().value == b"a"[..]));
    expect(store.replace(&record().await, None, b"b", TTL).await);
    expect(store.touch(&record().await, TTL).await);
    let taken = store.take(&record().await).await;
    expect(taken.map(|value| value.unwrap() == b"a"[..]));
    expect(store.remove_if(&record().await, b"a").await);

    let set = key();
    let added = administrator.add_member(&set, "a", TTL, 9).await.unwrap();
    assert!(added.is_empty());
    let excess = store.add_member(&set, "b", 2 * TTL, 1).await;
    expect(excess.map(|excess| excess == ["a"]));
    let members = store.members(&set).await;
    expect(members.map(|members| members.starts_with(&["a".to_owned()])));
    expect(store.remove_member(&set, "a").await.map(|()| true));
    errors
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b3_a_user_of_redis_needs_each_permission_in_the_guide() {
    let mut server = Server::redis_with(Path::new("redis-server"), &[]);
    server.start();
    let administrator = RedisStore::connect(&server.url()).await.unwrap();
    let database = "for a database other than 0";
    let rules = guide_rules(&["", database]);
    let address = server.address();
    let connect = async |database| {
        let url = format!("redis://site:{PASSWORD_IN_URL}@{address}/{database}");
        RedisStore::connect(&url).await.unwrap()
    };
    define(&server, "site", &rules);
    assert_eq!(
        execute_all(&administrator, &connect(0).await).await,
        [""; 0]
    );
    let permissions = rules.iter().filter(|rule| rule.starts_with(['~', '+']));
    for permission in permissions {
        define(&server, "site", &without(&rules, permission));
        // A server that knows a script needs no permission to load it.
        server.execute(&["SCRIPT", "FLUSH"]);
        let errors = match &**permission {
            "+select" => {
                assert_eq!(
                    execute_all(&administrator, &connect(0).await).await,
                    [""; 0]
                );
                let error = connect(1).await.load(&key()).await.unwrap_err();
                vec![misconfiguration(&error)]
            }
            _ => execute_all(&administrator, &connect(0).await).await,
        };
        // The store asks servers that have been silent for a second whether they are alive.
        assert_eq!(errors.is_empty(), permission == "+ping", "{permission}");
        for error in errors {
            assert!(error.contains(DENIED), "{permission}: {error}");
            assert!(error.contains("the guide, under `Redis`"), "{error}");
        }
    }

    // The check uses a set, too.
    define(&server, "site", &without(&rules, "+zadd"));
    let url = format!("redis://site:{PASSWORD_IN_URL}@{address}");
    let store = format!("session_store = '{url}'\n{KEY}");
    let report = checker(&store).run(|_| {}).await;
    let mut findings = report.findings.iter();
    let found = findings.find(|finding| finding.check.name() == "store");
    let message = &found.unwrap().message;
    assert!(message.contains(DENIED), "{message}");
    assert!(message.contains("script"), "{message}");
}

/// Returns the text of the error that a store at this URL returns.
async fn rejection(url: &str) -> String {
    let store = RedisStore::connect(url).await.unwrap();
    misconfiguration(&store.load(&key()).await.unwrap_err())
}

/// The right URL works. Each change of it is rejected with these words.
async fn assert_rejected(url: &str, changes: &[(&str, &str, &str)]) {
    let store = RedisStore::connect(url).await.unwrap();
    let key = key();
    assert!(store.insert(&key, b"a", TTL).await.unwrap());
    assert_eq!(store.take(&key).await.unwrap().unwrap(), b"a"[..]);
    for (from, to, words) in changes {
        let wrong = url.replacen(from, to, 1);
        assert_ne!(wrong, url);
        let error = rejection(&wrong).await;
        assert!(error.contains(words), "{wrong}: {error}");
        assert!(!error.contains(PASSWORD_IN_URL), "{error}");
    }
}

const REJECTED: &str = "rejects the user or the password; correct them in `session_store`";
const REQUIRED: &str = "requires a password; write it in `session_store`";
const UNTRUSTED: &str = "is from an authority that is not trusted";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b3_a_cluster_accepts_the_right_password_and_proves_its_identity() {
    let cluster = RedisCluster::shared();
    let credentials = format!("site:{PASSWORD_IN_URL}@");
    let ca = format!("?sslrootcert={}", cluster.nodes[0].ca_file().display());
    let other = TestCa::new();
    let other = format!("?sslrootcert={}", other.file().display());
    let changes = [
        (&*credentials, "site:wrong@", REJECTED),
        (&credentials, "other:wrong@", REJECTED),
        (&credentials, "", REQUIRED),
        (&ca, "", UNTRUSTED),
        (&ca, &other, UNTRUSTED),
    ];
    assert_rejected(&cluster.url(), &changes).await;

    let rules = without(&cluster_rules(), "+cluster|slots");
    for node in &cluster.nodes {
        define(node, "without-slots", &rules);
    }
    let error = rejection(&cluster.url().replace("//site:", "//without-slots:")).await;
    assert!(error.contains(DENIED), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b3_sentinels_accept_the_right_password_and_prove_their_identity() {
    let servers = RedisSentinels::shared();
    let credentials = format!("site:{PASSWORD_IN_URL}@");
    let password = format!("&sentinel_password={PASSWORD_IN_URL}");
    let sentinels = format!("sentinel_username=site{password}&");
    let ca = format!("&sslrootcert={}", servers.master.ca_file().display());
    let other = TestCa::new();
    let other = format!("&sslrootcert={}", other.file().display());
    let changes = [
        (&*credentials, "site:wrong@", REJECTED),
        (&credentials, "", REQUIRED),
        (
            &password,
            "&sentinel_password=wrong",
            "`sentinel_password` in the query",
        ),
        (&sentinels, "", "that of sentinels as `sentinel_password`"),
        (&ca, "", UNTRUSTED),
        (&ca, &other, UNTRUSTED),
    ];
    assert_rejected(&servers.url(), &changes).await;

    define(
        &servers.master,
        "without-role",
        &without(&master_rules(), "+role"),
    );
    let url = servers.url();
    let error = rejection(&url.replace("//site:", "//without-role:")).await;
    assert!(error.contains(DENIED), "{error}");
    let rules = guide_rules(&["on the sentinels"]);
    let lookups = rules.iter().filter(|rule| rule.starts_with('+'));
    for (number, lookup) in lookups.enumerate() {
        let user = format!("without-lookup-{number}");
        for sentinel in &servers.sentinels {
            define(sentinel, &user, &without(&rules, lookup));
        }
        let user = format!("sentinel_username={user}");
        let error = rejection(&url.replace("sentinel_username=site", &user)).await;
        assert!(error.contains(DENIED), "{lookup}: {error}");
    }
}

/// The certificate names `localhost`, as the URL does. The servers announce another address.
#[tokio::test]
async fn b3_announced_addresses_must_be_in_the_certificate() {
    let mut node = Server::protected(&TestCa::new(), &cluster_rules());
    let bus = free_port().to_string();
    node.argue(&["--cluster-enabled", "yes", "--cluster-port", &bus]);
    node.argue(&["--cluster-announce-ip", "127.0.0.1"]);
    node.start();
    node.execute(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
    let (port, ca) = (node.port(), node.ca_file());
    let cluster = format!(
        "rediss+cluster://site:{PASSWORD_IN_URL}@localhost:{port}?sslrootcert={}",
        ca.display()
    );

    let servers = RedisSentinels::shared();
    let port = servers.master.port().to_string();
    for sentinel in &servers.sentinels {
        sentinel.execute(&["SENTINEL", "MONITOR", "by-address", "127.0.0.1", &port, "2"]);
        sentinel.execute(&["SENTINEL", "SET", "by-address", "auth-pass", ADMIN_PASSWORD]);
    }
    for url in [cluster, servers.url_of("by-address")] {
        let log = Log::start();
        let error = rejection(&url).await;
        let words = "is for another host name";
        assert!(error.contains(words), "{error}");
        assert!(log.text().contains(words), "{}", log.text());
        assert!(error.contains("`cluster-announce-hostname`"), "{error}");
        assert!(error.contains("\"127.0.0.1\""), "{error}");
    }
}
