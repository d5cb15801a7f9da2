use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use sqlx::{
    ConnectOptions, Connection, Executor, PgConnection, Postgres, postgres::PgConnectOptions,
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    Bytes, MAX_EXCESS, OtenStore, RecordKey, StoreError, StoredRecord,
    external::{
        max_expiry, random_version, stored_millis, texts, warn_if_unreachable, with_timeout,
    },
    pool::{Pool, PooledConnection},
    sql::{self, Sweeper, sql_store, statements},
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
    CREATE INDEX IF NOT EXISTS oten_members_expires_at ON oten_members (expires_at);
    CREATE INDEX IF NOT EXISTS oten_members_set_key_expires_at
        ON oten_members (set_key, expires_at);";

/// Checked first, because a database user without the right to create tables can still use them.
const HAS_TABLES: &str = "SELECT to_regclass('oten_records') IS NOT NULL \
    AND to_regclass('oten_members_set_key_expires_at') IS NOT NULL";

/// The advisory lock for creating the tables: "oten" in ASCII.
const SCHEMA_LOCK: i64 = 0x6f74_656e;

const CONNECTIONS: usize = 10;

/// A store in a PostgreSQL database, shared by any number of processes.
///
/// Creates the tables `oten_records` and `oten_members` in the first schema of the search path if
/// they do not exist. Holds at most 10 connections. Clones share them. While the server is down,
/// each operation returns an error within 2 seconds.
///
/// The `sslmode` of the URL selects TLS and defaults to `prefer`; only `verify-full` verifies the
/// server's identity. `sslrootcert` names the certificate authority. Behind a connection pooler in
/// transaction mode, add `statement-cache-capacity=0`.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use axum_oten::store::{PostgresStore, StoreError};
///
/// let result = PostgresStore::connect("postgres://localhost:port/").await;
/// assert!(matches!(result, Err(StoreError::Address(_))));
/// # }
/// ```
#[derive(Clone)]
pub struct PostgresStore {
    database: Arc<Database>,
    clock: Clock,
    sweeper: Sweeper,
}

struct Database {
    pool: Pool<PgConnection>,
    has_tables: AtomicBool,
}

impl PostgresStore {
    /// Connects to the database at a URL, `postgres://USER:PASSWORD@HOST:PORT/DATABASE`.
    ///
    /// A server that does not answer is not an error; each operation tries to connect again. Must
    /// be called within a Tokio runtime.
    ///
    /// # Errors
    ///
    /// [`StoreError::Address`] if the URL is invalid.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        let options: PgConnectOptions = url
            .parse()
            .map_err(|error: sqlx::Error| StoreError::Address(error.into()))?;
        let database = Database {
            pool: Pool::new(options.disable_statement_logging(), CONNECTIONS),
            has_tables: AtomicBool::new(false),
        };
        let connected =
            with_timeout(async { database.read().await.map_err(StoreError::backend) }).await;
        warn_if_unreachable(connected.map(PooledConnection::release));
        Ok(Self::new(Arc::new(database), Clock::system()))
    }
}

impl Database {
    async fn read(&self) -> Result<PooledConnection<'_, PgConnection>, sqlx::Error> {
        let mut pooled = self.pool.acquire().await?;
        if !self.has_tables.load(Ordering::Relaxed) {
            create_tables(&mut pooled.connection).await?;
            self.has_tables.store(true, Ordering::Relaxed);
        }
        Ok(pooled)
    }

    async fn write(&self) -> Result<PooledConnection<'_, PgConnection>, sqlx::Error> {
        self.read().await
    }
}

async fn create_tables(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let (has_tables,): (bool,) = sqlx::query_as(HAS_TABLES)
        .fetch_one(&mut *connection)
        .await?;
    if has_tables {
        return Ok(());
    }
    // `IF NOT EXISTS` alone fails when two processes create a table at the same time.
    let mut transaction = connection.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(SCHEMA_LOCK)
        .execute(&mut *transaction)
        .await?;
    transaction.execute(SCHEMA).await?;
    transaction.commit().await
}

statements! {
    now: "COALESCE($1, (EXTRACT(EPOCH FROM clock_timestamp()) * 1000)::BIGINT)",
    record: "TRUE",
    member: "TRUE"
}
sql_store!(PostgresStore, Postgres);

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").finish_non_exhaustive()
    }
}
