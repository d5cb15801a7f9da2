//! L11: a server whose clock differs from that of the app.

use std::time::Duration;

use axum_oten::store::{OtenStore, PostgresStore};
use sqlx::{Connection, Executor, PgConnection};

use super::{schema::new_database, store_pair::key};

const LEASE: Duration = Duration::from_secs(15);

/// A schema that is searched before the built-in functions, with another clock.
const SCHEMA: &str = "CREATE SCHEMA skewed;
    CREATE FUNCTION skewed.clock_timestamp() RETURNS timestamptz LANGUAGE SQL
    AS $$ SELECT pg_catalog.clock_timestamp() + interval 'SKEW' $$";

#[tokio::test]
async fn l11_leases_hold_on_a_postgres_server_whose_clock_is_off() {
    for skew in ["80 seconds", "-80 seconds"] {
        let url = new_database().await;
        let mut server = PgConnection::connect(&url).await.unwrap();
        let schema = SCHEMA.replace("SKEW", skew);
        server.execute(schema.as_str()).await.unwrap();
        let url = format!("{url}?options=-csearch_path%3Dskewed,pg_catalog");
        let store = PostgresStore::connect(&url).await.unwrap();

        let key = key();
        assert!(store.insert(&key, b"holder 1", LEASE).await.unwrap());
        let ttl = store.load(&key).await.unwrap().unwrap().ttl;
        assert!(ttl <= LEASE && ttl > LEASE / 2, "{skew}: {ttl:?}");
        assert!(!store.insert(&key, b"holder 2", LEASE).await.unwrap());
        store.add_member(&key, "x", LEASE, 1).await.unwrap();
        assert_eq!(store.members(&key).await.unwrap(), ["x"], "{skew}");
        assert_eq!(store.remove_expired().await.unwrap(), 0, "{skew}");
        assert!(store.remove_if(&key, b"holder 1").await.unwrap());

        // The clock of the server was used: it differs from the usual one.
        assert!(store.insert(&key, b"", LEASE).await.unwrap());
        let query = "SELECT abs(max(expires_at) / 1000 - 15 - \
                     EXTRACT(EPOCH FROM pg_catalog.clock_timestamp()))::BIGINT \
                     FROM skewed.oten_records";
        let (skew,): (i64,) = sqlx::query_as(query).fetch_one(&mut server).await.unwrap();
        assert!((75..85).contains(&skew), "{skew}");
    }
}
