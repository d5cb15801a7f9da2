//! L12: what another program writes under the keys of a store counts as absent.

use std::time::Duration;

use axum_oten::store::{OtenStore, PostgresStore, RecordKey, RedisStore, SqliteStore};
use redis::cmd;
use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection, SqliteConnection};

use super::{
    custom_store::CustomStore,
    schema::new_database,
    servers::{ServerKind, shared},
    store_pair::{Sessions, key},
    temp_dir::TempDir,
};

const TTL: Duration = Duration::from_secs(60);

/// Values of columns that no store writes. The year 10000 begins at 253402300800000.
const RECORDS: [&str; 5] = [
    "expires_at = 9223372036854775807",
    "expires_at = 253402300800000",
    "expires_at = -9223372036854775808",
    "version = -1",
    "version = -9223372036854775808",
];

/// Like [`RECORDS`], for SQLite, whose columns accept values of any type.
const UNTYPED_RECORDS: [&str; 8] = [
    "expires_at = 'tomorrow'",
    "expires_at = x'00'",
    "expires_at = 1e300",
    "expires_at = expires_at + 0.5",
    "version = 'one'",
    "version = 1.5",
    "value = 'text'",
    "value = 7",
];

const MEMBERS: [&str; 3] = [
    "expires_at = 9223372036854775807",
    "expires_at = 253402300800000",
    "expires_at = -9223372036854775808",
];

#[tokio::test]
async fn l12_malformed_rows_of_sqlite_are_absent() {
    let dir = TempDir::new();
    let path = dir.path().join("sessions.db");
    let store = SqliteStore::open(&path).await.unwrap();
    let path = path.to_str().unwrap();
    let execute = async |statement: &str| {
        let mut file = SqliteConnection::connect(path).await.unwrap();
        file.execute(statement).await.unwrap();
    };
    for change in RECORDS.into_iter().chain(UNTYPED_RECORDS) {
        let update = format!("UPDATE oten_records SET {change}");
        record_is_absent(&store, async |_| execute(&update).await, change).await;
        execute("DELETE FROM oten_records").await;
    }
    let untyped = ["expires_at = 'tomorrow'", "expires_at = expires_at + 0.5"];
    let no_text = ["member = x'ff'", "member = 'text'", "member = 7"];
    for change in MEMBERS.into_iter().chain(untyped).chain(no_text) {
        let update = format!("UPDATE oten_members SET {change}");
        member_is_absent(&store, async |_| execute(&update).await, change).await;
        execute("DELETE FROM oten_members").await;
    }
}

#[tokio::test]
async fn l12_malformed_rows_of_postgres_are_absent() {
    let url = new_database().await;
    let store = PostgresStore::connect(&url).await.unwrap();
    let execute = async |statement: &str| {
        let mut server = PgConnection::connect(&url).await.unwrap();
        server.execute(statement).await.unwrap();
    };
    for change in RECORDS {
        let update = format!("UPDATE oten_records SET {change}");
        record_is_absent(&store, async |_| execute(&update).await, change).await;
        execute("DELETE FROM oten_records").await;
    }
    for change in MEMBERS.into_iter().chain([r"member = '\xff'"]) {
        let update = format!("UPDATE oten_members SET {change}");
        member_is_absent(&store, async |_| execute(&update).await, change).await;
        execute("DELETE FROM oten_members").await;
    }
}

#[tokio::test]
async fn l12_malformed_keys_of_redis_are_absent() {
    let url = shared(ServerKind::Redis).url();
    let store = RedisStore::connect(&url).await.unwrap();
    let client = redis::Client::open(url).unwrap();
    let server = client.get_multiplexed_async_connection().await.unwrap();
    // Replaces a key by what a command with these arguments creates.
    let write = async |key: String, [command, arguments @ ..]: &[&[u8]; 3]| {
        let mut server = server.clone();
        let () = cmd("DEL").arg(&key).query_async(&mut server).await.unwrap();
        let arguments = arguments.iter().filter(|argument| !argument.is_empty());
        let arguments: Vec<_> = arguments.collect();
        let command = String::from_utf8_lossy(command);
        let mut command = cmd(&command);
        let () = command
            .arg(key)
            .arg(arguments)
            .query_async(&mut server)
            .await
            .unwrap();
    };
    let strings = [
        "{}",
        "1 2",
        "99999999999999 x a",
        "99999999999999 -1 a",
        "99999999999999 +1 a",
        "99999999999999 18446744073709551616 a",
        "99999999999999  1 a",
        " 99999999999999 1 a",
        "+99999999999999 1 a",
        "-99999999999999 1 a",
        "253402300800000 1 a",
        "99999999999999999999999 1 a",
        "00000000099999999999999 1 a",
        "099999999999999 1 a",
        "99999999999999 007 a",
    ];
    let strings = strings.map(|text| [&b"SET"[..], text.as_bytes(), b""]);
    let types = [
        [&b"LPUSH"[..], b"a", b""],
        [b"SADD", b"a", b""],
        [b"HSET", b"a", b"b"],
        [b"ZADD", b"99999999999999", b"a"],
    ];
    for command in strings.iter().chain(&types) {
        let spoil = async |key| write(format!("oten:{key}"), command).await;
        let name = String::from_utf8_lossy(command[1]);
        record_is_absent(&store, spoil, &name).await;
    }
    let members = [
        [&b"ZADD"[..], b"99999999999999", b"\xff"],
        [b"ZADD", b"253402300800000", b"old"],
        [b"ZADD", b"inf", b"old"],
        [b"ZADD", b"-inf", b"old"],
    ];
    for command in strings[..1].iter().chain(&types[..3]).chain(&members) {
        let spoil = async |key| write(format!("oten:set:{key}"), command).await;
        let name = String::from_utf8_lossy(command[1]);
        member_is_absent(&store, spoil, &name).await;
    }
}

#[tokio::test]
async fn l12_malformed_data_of_a_session_store_is_absent() {
    let sessions = Sessions::default();
    let store = CustomStore::new(sessions.clone());
    let write = |data: &Value| {
        for record in sessions.0.lock().unwrap().values_mut() {
            *record.data.values_mut().next().unwrap() = data.clone();
        }
    };
    for data in [
        json!(null),
        json!("text"),
        json!({"version": -1, "expires_at": 99_999_999_999_999_u64, "value": ""}),
        json!({"version": 1, "expires_at": 1e300, "value": ""}),
        json!({"version": 1, "expires_at": 99_999_999_999_999_u64, "value": "?"}),
    ] {
        record_is_absent(&store, async |_| write(&data), &data.to_string()).await;
        member_is_absent(&store, async |_| write(&data), &data.to_string()).await;
    }
}

/// Asserts that every operation treats a record as absent after `spoil`, and that `insert`
/// overwrites it.
async fn record_is_absent(store: &impl OtenStore, spoil: impl AsyncFn(RecordKey), change: &str) {
    let key = key();
    assert!(store.insert(&key, b"a", TTL).await.unwrap(), "{change}");
    let version = store.load(&key).await.unwrap().unwrap().version;
    spoil(key).await;
    assert_eq!(store.load(&key).await.unwrap(), None, "{change}");
    for version in [None, Some(version), Some(1)] {
        let replaced = store.replace(&key, version, b"b", TTL).await.unwrap();
        assert!(!replaced, "{change}");
    }
    assert!(!store.touch(&key, TTL).await.unwrap(), "{change}");
    assert!(!store.remove_if(&key, b"a").await.unwrap(), "{change}");
    assert!(store.insert(&key, b"b", TTL).await.unwrap(), "{change}");
    let found = store.load(&key).await.unwrap().unwrap();
    assert_eq!(found.value, b"b"[..], "{change}");

    spoil(key).await;
    assert_eq!(store.take(&key).await.unwrap(), None, "{change}");
    assert!(store.insert(&key, b"c", TTL).await.unwrap(), "{change}");
    assert_eq!(store.take(&key).await.unwrap().unwrap(), b"c"[..]);
}

/// Asserts that a set has no members after `spoil`, and that members can be added.
async fn member_is_absent(store: &impl OtenStore, spoil: impl AsyncFn(RecordKey), change: &str) {
    let set = key();
    store.add_member(&set, "old", TTL, 1).await.unwrap();
    spoil(set).await;
    assert_eq!(store.members(&set).await.unwrap(), [""; 0], "{change}");
    store.remove_member(&set, "new").await.unwrap();
    let removed = store.add_member(&set, "new", TTL, 1).await.unwrap();
    assert_eq!(removed, [""; 0], "{change}");
    assert_eq!(store.members(&set).await.unwrap(), ["new"], "{change}");
    store.remove_member(&set, "new").await.unwrap();
    assert_eq!(store.members(&set).await.unwrap(), [""; 0], "{change}");
}
