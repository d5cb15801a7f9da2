use std::{
    fmt,
    fs::{DirBuilder, OpenOptions},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use sqlx::{
    ConnectOptions, Connection, Executor, Sqlite, SqliteConnection,
    error::DatabaseError,
    sqlite::{SqliteConnectOptions, SqliteJournalMode},
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    Bytes, MAX_EXCESS, OtenStore, RecordKey, StoreError, StoredRecord,
    external::{OPERATION_TIMEOUT, max_expiry, random_version, stored_millis, texts, with_timeout},
    pool::Pool,
    sql::{self, Sweeper, sql_store, statements},
};
use crate::clock::Clock;

const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS oten_records (
        key BLOB PRIMARY KEY NOT NULL, value BLOB NOT NULL,
        version INTEGER NOT NULL, expires_at INTEGER NOT NULL
    );
    CREATE INDEX IF NOT EXISTS oten_records_expires_at ON oten_records (expires_at);
    CREATE TABLE IF NOT EXISTS oten_members (
        set_key BLOB NOT NULL, member BLOB NOT NULL, expires_at INTEGER NOT NULL,
        PRIMARY KEY (set_key, member)
    ) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS oten_members_expires_at ON oten_members (expires_at);
    CREATE INDEX IF NOT EXISTS oten_members_set_key_expires_at
        ON oten_members (set_key, expires_at);";

/// How long a write waits for a write of another process.
const BUSY_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a write waits for the writes of this process that queue before it. One that waited for longer
/// could be cancelled while SQLite waits for the lock, and be executed after its caller has got an error.
const MAX_WAIT: Duration = OPERATION_TIMEOUT.saturating_sub(BUSY_TIMEOUT);

const READERS: usize = 4;

/// How long an open is repeated while other processes lock the file.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);
const OPEN_PAUSE: Duration = Duration::from_millis(20);

/// A store in a SQLite file, shared by the processes of one machine.
///
/// Creates the file and its directory, readable by the current user only, if they do not exist.
/// Acknowledged writes survive a power failure. Clones share the connections. Do not place the file
/// on a network file system, whose locks are unreliable.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), axum_oten::store::StoreError> {
/// use axum_oten::store::{OtenStore, SqliteStore};
///
/// # let directory = std::env::temp_dir().join(format!("axum-oten-doc-{}", std::process::id()));
/// let store = SqliteStore::open(directory.join("sessions.db")).await?;
/// assert!(store.is_external());
/// assert!(SqliteStore::open(&directory).await.is_err()); // not a file
/// # std::fs::remove_dir_all(directory).ok();
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct SqliteStore {
    database: Arc<Database>,
    clock: Clock,
    sweeper: Sweeper,
}

struct Database {
    path: PathBuf,
    readers: Pool<SqliteConnection>,
    /// One connection, so that writes of this process queue here in order. SQLite does not order the
    /// writers that wait for the lock on the file.
    writer: Pool<SqliteConnection>,
}

impl SqliteStore {
    /// Opens a file, and creates the file and its tables if they do not exist. Must be called within
    /// a Tokio runtime.
    ///
    /// # Errors
    ///
    /// [`StoreError::Backend`] if the file cannot be created or is not a SQLite database.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let path = path.as_ref();
        let database = Database::open(path).await.map_err(|source| {
            let path = path.display().to_string();
            StoreError::Backend(OpenError { path, source }.into())
        })?;
        Ok(Self::new(Arc::new(database), Clock::system()))
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the session file {path} cannot be opened")]
struct OpenError {
    path: String,
    source: sqlx::Error,
}

impl Database {
    async fn open(path: &Path) -> Result<Self, sqlx::Error> {
        create_file(path.to_owned()).await?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            .busy_timeout(BUSY_TIMEOUT)
            .disable_statement_logging();
        let database = Self {
            path: path.to_owned(),
            readers: Pool::new(options.clone(), READERS, MAX_WAIT),
            writer: Pool::new(options, 1, MAX_WAIT),
        };
        // When several processes open a new file, one of them changes the journal mode and the
        // others receive `SQLITE_BUSY` without waiting.
        let deadline = Instant::now() + OPEN_TIMEOUT;
        loop {
            match database.create_tables().await {
                Err(error) if is_busy(&error) && Instant::now() < deadline => {}
                created => return created.map(|()| database),
            }
            tokio::time::sleep(OPEN_PAUSE).await;
        }
    }

    async fn create_tables(&self) -> Result<(), sqlx::Error> {
        let mut pooled = self.writer.acquire().await?;
        let mut transaction = pooled.connection.begin_with("BEGIN IMMEDIATE").await?;
        transaction.execute(SCHEMA).await?;
        transaction.commit().await?;
        pooled.release();
        Ok(())
    }

    fn readers(&self) -> &Pool<SqliteConnection> {
        &self.readers
    }

    fn writer(&self) -> &Pool<SqliteConnection> {
        &self.writer
    }
}

/// Returns whether an error is `SQLITE_BUSY` or one of its extended codes.
fn is_busy(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(DatabaseError::code);
    code.and_then(|code| code.parse::<u32>().ok())
        .is_some_and(|code| code & 0xff == 5)
}

/// Returns whether an error is that of a statement whose table does not exist. It has no code of its
/// own.
fn is_table_missing(error: &sqlx::Error) -> bool {
    let error = error.as_database_error();
    error.is_some_and(|error| error.message().starts_with("no such table"))
}

/// Creates the file and its directory for the current user only. SQLite gives the files that it
/// creates beside it the same permissions.
async fn create_file(path: PathBuf) -> io::Result<()> {
    let create = move || {
        let mut directory = DirBuilder::new();
        let mut file = OpenOptions::new();
        #[cfg(unix)]
        {
            use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
            directory.mode(0o700);
            file.mode(0o600);
        }
        if let Some(parent) = path.parent().filter(|parent| *parent != Path::new("")) {
            directory.recursive(true).create(parent)?;
        }
        file.read(true)
            .append(true)
            .create(true)
            .open(path)
            .map(drop)
    };
    tokio::task::spawn_blocking(create).await?
}

statements! {
    now: "COALESCE($1, CAST(unixepoch('subsec') * 1000 AS INTEGER))",
    // A column can contain values of another type than its own.
    record: "typeof(value) = 'blob' AND typeof(version) = 'integer' \
               AND typeof(oten_records.expires_at) = 'integer'",
    member: "typeof(member) = 'blob' AND typeof(expires_at) = 'integer'"
}
sql_store!(SqliteStore, Sqlite);

fn failed(error: sqlx::Error) -> StoreError {
    match error {
        sqlx::Error::PoolTimedOut => StoreError::TimedOut,
        error => StoreError::backend(error),
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore")
            .field("path", &self.database.path)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn l8_opening_a_locked_file_fails_in_time() {
        let name = format!("axum-oten-locked-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        let path = directory.join("sessions.db");
        drop(SqliteStore::open(&path).await.unwrap());
        let options = SqliteConnectOptions::new().filename(&path);
        let mut other = options.connect().await.unwrap();
        let _transaction = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
        let started = Instant::now();
        let opened = SqliteStore::open(&path).await;
        std::fs::remove_dir_all(directory).unwrap();
        assert!(opened.is_err());
        assert!(started.elapsed() < 2 * OPEN_TIMEOUT);
    }
}
