use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use sqlx::{
    ConnectOptions, Connection, Executor, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use time::OffsetDateTime;
use tokio::{sync::OnceCell, time::timeout};

use super::{
    OtenStore, RecordKey, StoreError, StoredRecord,
    outside::{from_millis, in_time, millis, note_absence, random_version},
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
const HAS_SCHEMA: &str = "SELECT to_regclass('oten_records') IS NOT NULL \
    AND to_regclass('oten_members') IS NOT NULL";

/// Who holds it makes the tables: "oten" in ASCII.
const SCHEMA_LOCK: i64 = 0x6f74_656e;

const ACQUIRE_TIMEOUT: Duration = Duration::from_millis(1_500);

const CONNECTIONS: u32 = 10;

/// A connection that was used less than this ago counts as alive; another one is tried first.
const FRESH: Duration = Duration::from_secs(1);

const PING_TIMEOUT: Duration = Duration::from_millis(300);

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
    pool: PgPool,
    has_tables: Arc<OnceCell<()>>,
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
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .test_before_acquire(false)
            .before_acquire(|connection, use_| {
                Box::pin(async move {
                    let is_fresh = use_.idle_for < FRESH;
                    Ok(is_fresh
                        || matches!(timeout(PING_TIMEOUT, connection.ping()).await, Ok(Ok(()))))
                })
            })
            .connect_lazy_with(options.disable_statement_logging());
        let database = Database {
            pool,
            has_tables: Arc::default(),
        };
        note_absence(in_time(database.tables()).await.map(drop));
        Ok(Self::start(database, Clock::system()))
    }
}

impl Database {
    /// The pool, when the tables are there.
    async fn tables(&self) -> Result<&PgPool, StoreError> {
        self.has_tables
            .get_or_try_init(|| self.make_tables())
            .await
            .map_err(failed)?;
        Ok(&self.pool)
    }

    async fn make_tables(&self) -> Result<(), sqlx::Error> {
        let (has_tables,): (bool,) = sqlx::query_as(HAS_SCHEMA).fetch_one(&self.pool).await?;
        if has_tables {
            return Ok(());
        }
        // `IF NOT EXISTS` alone fails when two do it at the same time.
        let mut transaction = self.pool.begin().await?;
        sqlx::query("SELECT pg_advisory_xact_lock($1)")
            .bind(SCHEMA_LOCK)
            .execute(&mut *transaction)
            .await?;
        transaction.execute(SCHEMA).await?;
        transaction.commit().await
    }

    async fn reads(&self) -> Result<&PgPool, StoreError> {
        self.tables().await
    }

    async fn writes(&self) -> Result<&PgPool, StoreError> {
        self.tables().await
    }
}

sql_store!(PostgresStore);

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore")
            .field("connections", &self.database.pool.size())
            .finish_non_exhaustive()
    }
}
