use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use sqlx::{
    ConnectOptions, Connection, Executor, PgConnection, Postgres, error::DatabaseError,
    postgres::PgConnectOptions,
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    Bytes, MAX_EXCESS, OtenStore, RecordKey, StoreError, StoredRecord,
    external::{
        OPERATION_TIMEOUT, backend, max_expiry, random_version, root_certificates, stored_millis,
        texts, tls_error, warn_if_unreachable, with_timeout,
    },
    pool::Pool,
    sql::{self, Sweeper, sql_store, statements},
};
use crate::{clock::Clock, http::TlsError};

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
/// they do not exist, also if they are dropped later. Holds at most 10 connections. Clones share them. While the server is down,
/// each operation returns an error within 2 seconds.
///
/// The `sslmode` of the URL selects TLS and defaults to `prefer`; only `verify-full` verifies the
/// server's identity. `sslrootcert` names a file of certificate authorities. Behind a connection pooler in
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

struct Database(Pool<PgConnection>);

impl PostgresStore {
    /// Connects to the database at a URL, `postgres://USER:PASSWORD@HOST:PORT/DATABASE`.
    ///
    /// A server that does not answer is not an error; each operation tries to connect again. Must
    /// be called within a Tokio runtime.
    ///
    /// # Errors
    ///
    /// [`StoreError::Address`] if the URL is invalid or the file of `sslrootcert` cannot be read.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        let options: PgConnectOptions = url
            .parse()
            .map_err(|error: sqlx::Error| StoreError::Address(error.into()))?;
        if let Ok(url) = url::Url::parse(url) {
            // The driver would report it only when it connects.
            root_certificates(&url, &["sslrootcert", "ssl-root-cert", "ssl-ca"])?;
        }
        let database = Database(Pool::new(
            options.disable_statement_logging(),
            CONNECTIONS,
            OPERATION_TIMEOUT,
        ));
        let created = async { database.create_tables().await.map_err(failed) };
        warn_if_unreachable(with_timeout(created).await);
        Ok(Self::new(Arc::new(database), Clock::system()))
    }
}

impl Database {
    fn readers(&self) -> &Pool<PgConnection> {
        &self.0
    }

    fn writer(&self) -> &Pool<PgConnection> {
        &self.0
    }

    async fn create_tables(&self) -> Result<(), sqlx::Error> {
        let mut pooled = self.0.acquire().await?;
        let (has_tables,): (bool,) = sqlx::query_as(HAS_TABLES)
            .fetch_one(&mut pooled.connection)
            .await?;
        if !has_tables {
            // `IF NOT EXISTS` alone fails when two processes create a table at the same time.
            let mut transaction = pooled.connection.begin().await?;
            sqlx::query("SELECT pg_advisory_xact_lock($1)")
                .bind(SCHEMA_LOCK)
                .execute(&mut *transaction)
                .await?;
            transaction.execute(SCHEMA).await?;
            transaction.commit().await?;
        }
        pooled.release();
        Ok(())
    }
}

fn failed(error: sqlx::Error) -> StoreError {
    // The only error of TLS that the driver describes in words.
    let is_refused = matches!(
        &error,
        sqlx::Error::Tls(refused) if refused.to_string() == "server does not support TLS"
    );
    if is_refused {
        return tls_error(TlsError::NotTls, error);
    }
    backend(error)
}

/// Returns whether an error is `undefined_table`.
fn is_table_missing(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(DatabaseError::code);
    code.is_some_and(|code| code == "42P01")
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
