//! The tables and files of the SQL stores: creation, permissions and removal of expired records.

use std::{fs, os::unix::fs::PermissionsExt, sync::Arc, time::Duration};

use axum_oten::{
    Clock,
    config::StoreUrl,
    store::{self, OtenStore, PostgresStore, SqliteStore, StoreError},
};
use sqlx::{Connection, Executor, PgConnection, SqliteConnection};
use tokio::task::JoinSet;

use super::{
    servers::{Server, ServerKind, shared},
    store_pair::key,
    temp_dir::TempDir,
};

/// Creates a database on the shared server and returns its URL.
pub(super) async fn new_database() -> String {
    let url = shared(ServerKind::Postgres).url();
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let name = format!("d{}", &key().to_string()[..16]);
    let create = format!("CREATE DATABASE {name}");
    connection.execute(create.as_str()).await.unwrap();
    url.replace("/postgres", &format!("/{name}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_stores_can_create_the_tables_at_the_same_time() {
    let dir = TempDir::new();
    let mut stores = JoinSet::new();
    for round in 0..4 {
        let path = dir.path().join(format!("{round}/sessions.db"));
        let url = new_database().await;
        for _ in 0..8 {
            let path = path.clone();
            stores.spawn(async move {
                let store = SqliteStore::open(path).await.unwrap();
                store.load(&key()).await.unwrap();
            });
            let url = url.clone();
            stores.spawn(async move {
                let store = PostgresStore::connect(&url).await.unwrap();
                store.load(&key()).await.unwrap();
            });
        }
    }
    stores.join_all().await;
}

/// An operator resets the database or restores a backup while the site runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l8_tables_that_were_dropped_are_created_again() {
    let dir = TempDir::new();
    let path = dir.path().join("sessions.db");
    let store = SqliteStore::open(&path).await.unwrap();
    let mut file = SqliteConnection::connect(path.to_str().unwrap())
        .await
        .unwrap();
    use_dropped_tables(Arc::new(store), async |sql| {
        file.execute(sql).await.unwrap();
    })
    .await;

    let url = new_database().await;
    let store = PostgresStore::connect(&url).await.unwrap();
    let mut server = PgConnection::connect(&url).await.unwrap();
    let mut execute = async |sql: &'static str| {
        server.execute(sql).await.unwrap();
    };
    use_dropped_tables(Arc::new(store.clone()), &mut execute).await;

    // The connections find the table of a backup.
    let (key, ttl) = (key(), Duration::from_secs(60));
    assert!(store.insert(&key, b"a", ttl).await.unwrap());
    execute("CREATE TABLE backup (LIKE oten_records INCLUDING ALL)").await;
    execute("INSERT INTO backup SELECT * FROM oten_records").await;
    execute("DROP TABLE oten_records").await;
    assert!(store.load(&key).await.unwrap().is_none());
    execute("DROP TABLE oten_records; ALTER TABLE backup RENAME TO oten_records").await;
    assert!(store.load(&key).await.unwrap().is_some());

    // If they cannot be created, every operation fails until they are restored.
    execute("ALTER SCHEMA public RENAME TO hidden").await;
    store.load(&key).await.unwrap_err();
    execute("ALTER SCHEMA hidden RENAME TO public").await;
    assert!(store.load(&key).await.unwrap().is_some());
}

/// An operator has made the tables unlogged: they keep their rows, work, and are empty after a crash.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l8_unlogged_tables_work_and_lose_their_records_in_a_crash() {
    let mut server = Server::new(ServerKind::Postgres);
    server.start();
    let (before, after, ttl) = (key(), key(), Duration::from_secs(60));
    let store = PostgresStore::connect(&server.url()).await.unwrap();
    assert!(store.insert(&before, b"a", ttl).await.unwrap());
    let mut operator = PgConnection::connect(&server.url()).await.unwrap();
    for table in ["oten_records", "oten_members"] {
        let switch = format!("ALTER TABLE {table} SET UNLOGGED");
        operator.execute(switch.as_str()).await.unwrap();
    }
    assert!(store.load(&before).await.unwrap().is_some());
    assert!(store.insert(&after, b"a", ttl).await.unwrap());
    store.add_member(&before, "a", ttl, 9).await.unwrap();

    server.kill();
    server.start();
    let store = PostgresStore::connect(&server.url()).await.unwrap();
    for key in [before, after] {
        assert!(store.load(&key).await.unwrap().is_none());
        assert!(store.insert(&key, b"b", ttl).await.unwrap());
    }
    assert!(store.members(&before).await.unwrap().is_empty());
}

/// Drops the tables before each operation, and before many at once.
async fn use_dropped_tables(store: Arc<dyn OtenStore>, mut execute: impl AsyncFnMut(&'static str)) {
    const DROPS: [&str; 3] = [
        "DROP TABLE IF EXISTS oten_records",
        "DROP TABLE IF EXISTS oten_members",
        "DROP TABLE IF EXISTS oten_records; DROP TABLE IF EXISTS oten_members",
    ];
    let (key, ttl) = (key(), Duration::from_secs(60));
    for drop in DROPS {
        execute(drop).await;
        assert!(store.insert(&key, b"a", ttl).await.unwrap());
        assert!(
            store
                .add_member(&key, "a", ttl, 9)
                .await
                .unwrap()
                .is_empty()
        );
        for operation in 0..8 {
            execute(DROPS[2]).await;
            match operation {
                0 => assert!(store.insert(&key, b"a", ttl).await.unwrap()),
                1 => assert_eq!(store.load(&key).await.unwrap(), None),
                2 => assert!(!store.replace(&key, None, b"a", ttl).await.unwrap()),
                3 => assert!(!store.touch(&key, ttl).await.unwrap()),
                4 => assert_eq!(store.take(&key).await.unwrap(), None),
                5 => assert!(!store.remove_if(&key, b"a").await.unwrap()),
                6 => assert!(store.members(&key).await.unwrap().is_empty()),
                _ => store.remove_member(&key, "a").await.unwrap(),
            }
        }
        assert!(store.insert(&key, b"a", ttl).await.unwrap());
        execute(drop).await;
        let mut inserts = JoinSet::new();
        for _ in 0..30 {
            let store = Arc::clone(&store);
            inserts.spawn(async move { store.insert(&super::store_pair::key(), b"a", ttl).await });
        }
        assert!(inserts.join_all().await.into_iter().all(Result::unwrap));
        execute(DROPS[2]).await;
        store.members(&key).await.unwrap();
    }
}

#[tokio::test]
async fn a_database_user_without_the_right_to_create_tables_can_use_them() {
    let url = new_database().await;
    PostgresStore::connect(&url).await.unwrap();
    let mut owner = PgConnection::connect(&url).await.unwrap();
    let user = format!("u{}", &key().to_string()[..16]);
    let grant = format!(
        "CREATE USER {user}; GRANT ALL ON oten_records, oten_members TO {user};
         REVOKE CREATE ON SCHEMA public FROM PUBLIC"
    );
    owner.execute(grant.as_str()).await.unwrap();
    let url = url.replace("site@", &format!("{user}@"));
    let store = PostgresStore::connect(&url).await.unwrap();
    let ttl = Duration::from_secs(60);
    assert!(store.insert(&key(), b"a", ttl).await.unwrap());
}

#[tokio::test]
async fn the_file_is_private_and_survives_the_store() {
    let dir = TempDir::new();
    let path = dir.path().join("a/b/sessions.db");
    let (key, ttl) = (key(), Duration::from_secs(60));
    let store = SqliteStore::open(&path).await.unwrap();
    assert!(store.insert(&key, b"a", ttl).await.unwrap());
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(path.clone()), 0o600);
    assert_eq!(mode(path.with_file_name("sessions.db-wal")), 0o600);
    assert_eq!(mode(path.parent().unwrap().into()), 0o700);
    drop(store);

    let store = store::open(&StoreUrl::Sqlite(path.clone())).await.unwrap();
    assert_eq!(store.take(&key).await.unwrap().unwrap(), b"a"[..]);

    // The error for a file that is not a database contains its path.
    let text = dir.path().join("notes.txt");
    fs::write(&text, "dear diary\n".repeat(100)).unwrap();
    let error = SqliteStore::open(&text).await.unwrap_err();
    let StoreError::Backend(cause) = error else {
        panic!("{error}");
    };
    assert!(cause.to_string().contains("notes.txt"), "{cause}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expired_records_are_removed() {
    let clock = Clock::manual();
    let dir = TempDir::new();
    let path = dir.path().join("sessions.db");
    let sqlite = SqliteStore::open(&path).await.unwrap();
    let sqlite = sqlite.with_clock(clock.clone());
    fill(&sqlite).await;
    let url = new_database().await;
    let postgres = PostgresStore::connect(&url).await.unwrap();
    let postgres = postgres.with_clock(clock.clone());
    fill(&postgres).await;

    clock.advance(Duration::from_secs(10));
    assert_eq!(sqlite.remove_expired().await.unwrap(), 1_202);
    assert_eq!(sqlite.remove_expired().await.unwrap(), 0);
    assert_eq!(postgres.remove_expired().await.unwrap(), 1_202);
    assert_eq!(postgres.remove_expired().await.unwrap(), 0);

    // The background task starts with the store.
    clock.advance(Duration::from_secs(10));
    let _sqlite = sqlite.with_clock(clock.clone());
    let _postgres = postgres.with_clock(clock.clone());
    let count = "SELECT (SELECT COUNT(*) FROM oten_records) + (SELECT COUNT(*) FROM oten_members)";
    let limit = std::time::Instant::now() + Duration::from_secs(10);
    let mut file = SqliteConnection::connect(path.to_str().unwrap())
        .await
        .unwrap();
    let mut server = PgConnection::connect(&url).await.unwrap();
    loop {
        let (in_file,): (i64,) = sqlx::query_as(count).fetch_one(&mut file).await.unwrap();
        let (in_server,): (i64,) = sqlx::query_as(count).fetch_one(&mut server).await.unwrap();
        if (in_file, in_server) == (0, 0) {
            break;
        }
        assert!(std::time::Instant::now() < limit, "{in_file} {in_server}");
    }
}

/// Inserts more records and members than one statement removes, which expire after ten seconds, and one
/// of each that expires after twenty.
async fn fill(store: &impl OtenStore) {
    let set = key();
    let (ttl, later) = (Duration::from_secs(10), Duration::from_secs(20));
    for n in 0..601 {
        store.insert(&key(), b"a", ttl).await.unwrap();
        store
            .add_member(&set, &n.to_string(), ttl, usize::MAX)
            .await
            .unwrap();
    }
    store.insert(&key(), b"a", later).await.unwrap();
    store
        .add_member(&set, "later", later, usize::MAX)
        .await
        .unwrap();
}
