use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use sqlx::{
    ConnectOptions, Connection, Executor, PgConnection, Postgres, postgres::PgConnectOptions,
};
use time::OffsetDateTime;

use super::{
    OtenStore, RecordKey, StoreError, StoredRecord,
    outside::{from_millis, in_time, millis, note_absence, random_version},
    pool::{Lease, Pool},
    sql::{self, Sweeper, failed, sql_store},
};
use crate::clock::Clock;

const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS oten_records (
        key BYTEA PRIMARY KEY, value BYTEA NOT NULL,
        version BIGINT NOT NULL, expires_at BIGINT NOT NULL
    );
    CREATE INDEX IF NOT EXISTS oten_records_expires_at ON oten_records (expires_at);
    CREATE TABLE IF NOT EXISTS oten_members (
        set_key BYTEA NOT NULL, member BYTEA NOT NULL, expires_at BIGINT NOT NULL,
        PRIMARY KEY (set_key, member)
    );
    CREATE INDEX IF NOT EXISTS oten_members_expires_at ON oten_members (expires_at);";

/// Whether the tables are there: a user without the right to make some can use them.
const HAS_TABLES: &str = "SELECT to_regclass('oten_records') IS NOT NULL \
    AND to_regclass('oten_members') IS NOT NULL";

/// Who holds it makes the tables: "oten" in ASCII.
const SCHEMA_LOCK: i64 = 0x6f74_656e;

const CONNECTIONS: usize = 10;

/// A store in a PostgreSQL database, for any number of processes. Copies are the same store.
///
/// The tables `oten_records` and `oten_members` are made in the first schema of the search path
/// when they are not there. Up to ten connections are held. When the server is down each operation
/// fails within two seconds; when it is back they work.
///
/// TLS is decided by the URL's `sslmode` (`prefer` by default; only `verify-full` checks who
/// answers), the authority by `sslrootcert`. Behind a pooler that hands out a connection per
/// transaction, add `statement-cache-capacity=0`.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use axum_oten::store::{PostgresStore, StoreError};
///
/// let refused = PostgresStore::connect("postgres://localhost:port/").await;
/// assert!(matches!(refused, Err(StoreError::Address(_))));
/// # }
/// ```
#[derive(Clone)]
pub struct PostgresStore {
    database: Database,
    clock: Clock,
    sweeper: Sweeper,
}

#[derive(Clone)]
struct Database {
    pool: Arc<Pool<PgConnection>>,
    has_tables: Arc<AtomicBool>,
}

impl PostgresStore {
    /// Connects to the database of a URL, `postgres://USER:PASSWORD@HOST:PORT/DATABASE`. One that
    /// does not answer is no error; it is tried again at each operation. Must be called within a
    /// Tokio runtime.
    ///
    /// # Errors
    ///
    /// [`StoreError::Address`] when the URL is none.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        let options: PgConnectOptions = url
            .parse()
            .map_err(|error: sqlx::Error| StoreError::Address(error.into()))?;
        let database = Database {
            pool: Arc::new(Pool::new(options.disable_statement_logging(), CONNECTIONS)),
            has_tables: Arc::default(),
        };
        note_absence(in_time(async { database.ping().await.map_err(failed) }).await);
        Ok(Self::start(database, Clock::system()))
    }
}

impl Database {
    async fn reads(&self) -> Result<Lease<'_, PgConnection>, sqlx::Error> {
        let mut connection = self.pool.get().await?;
        if !self.has_tables.load(Ordering::Relaxed) {
            make_tables(&mut connection).await?;
            self.has_tables.store(true, Ordering::Relaxed);
        }
        Ok(connection)
    }

    async fn writes(&self) -> Result<Lease<'_, PgConnection>, sqlx::Error> {
        self.reads().await
    }

    async fn ping(&self) -> Result<(), sqlx::Error> {
        self.reads().await?.keep();
        Ok(())
    }
}

async fn make_tables(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let (has_tables,): (bool,) = sqlx::query_as(HAS_TABLES)
        .fetch_one(&mut *connection)
        .await?;
    if has_tables {
        return Ok(());
    }
    // `IF NOT EXISTS` alone fails when two do it at the same time.
    let mut transaction = connection.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(SCHEMA_LOCK)
        .execute(&mut *transaction)
        .await?;
    transaction.execute(SCHEMA).await?;
    transaction.commit().await
}

sql_store!(PostgresStore, Postgres);

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").finish_non_exhaustive()
    }
}
