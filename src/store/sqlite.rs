use std::{
    fmt,
    fs::{DirBuilder, OpenOptions},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use sqlx::{
    ConnectOptions, Connection, Executor, Sqlite, SqliteConnection,
    error::DatabaseError,
    sqlite::{SqliteConnectOptions, SqliteJournalMode},
};
use time::OffsetDateTime;

use super::{
    OtenStore, RecordKey, StoreError, StoredRecord,
    outside::{from_millis, in_time, millis, random_version},
    pool::{Lease, Pool},
    sql::{self, Sweeper, failed, sql_store},
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
    CREATE INDEX IF NOT EXISTS oten_members_expires_at ON oten_members (expires_at);";

/// How long a write waits for another process's.
const BUSY_TIMEOUT: Duration = Duration::from_secs(1);

const READERS: usize = 4;

const OPEN_TRIES: u32 = 100;
const OPEN_PAUSE: Duration = Duration::from_millis(20);

/// A store in a SQLite file: it outlives the process, and the processes of one machine may share
/// it. Not for a network file system, whose locks cannot be relied on.
///
/// The file and its folder are made when they are not there, for this user's eyes only. What the
/// store has said to have written survives a loss of power. Copies are the same store.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), axum_oten::store::StoreError> {
/// use axum_oten::store::{OtenStore, SqliteStore};
///
/// # let folder = std::env::temp_dir().join(format!("axum-oten-doc-{}", std::process::id()));
/// let store = SqliteStore::open(folder.join("sessions.db")).await?;
/// assert!(store.is_external());
/// assert!(SqliteStore::open(&folder).await.is_err()); // a folder is no database
/// # std::fs::remove_dir_all(folder).ok();
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct SqliteStore {
    database: Database,
    clock: Clock,
    sweeper: Sweeper,
}

#[derive(Clone)]
struct Database {
    path: PathBuf,
    reads: Arc<Pool<SqliteConnection>>,
    /// One connection: writes of this process queue up here, in order, and not at the file's lock,
    /// where waiting is a gamble.
    writes: Arc<Pool<SqliteConnection>>,
}

impl SqliteStore {
    /// Opens the file, and makes it and its tables where they are not there. Must be called within
    /// a Tokio runtime.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the file cannot be made, or is not a SQLite database.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let path = path.as_ref().to_owned();
        let opened = Database::open(path.clone()).await;
        let database = opened.map_err(|error| {
            let context = format!("the session file {} cannot be opened", path.display());
            StoreError::Backend(Box::new(CannotOpen { context, error }))
        })?;
        Ok(Self::start(database, Clock::system()))
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{context}")]
struct CannotOpen {
    context: String,
    #[source]
    error: sqlx::Error,
}

impl Database {
    async fn open(path: PathBuf) -> Result<Self, sqlx::Error> {
        make_file(path.clone()).await?;
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .journal_mode(SqliteJournalMode::Wal)
            .busy_timeout(BUSY_TIMEOUT)
            .disable_statement_logging();
        let database = Self {
            reads: Arc::new(Pool::new(options.clone(), READERS)),
            writes: Arc::new(Pool::new(options, 1)),
            path,
        };
        database.make_tables().await?;
        Ok(database)
    }

    /// Of several processes that start on a new file, one changes its journal mode while the others
    /// are told, without waiting, that it is locked: they try again.
    async fn make_tables(&self) -> Result<(), sqlx::Error> {
        let mut tries = 0;
        loop {
            let made = async {
                let mut connection = self.writes().await?;
                let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
                transaction.execute(SCHEMA).await?;
                transaction.commit().await?;
                connection.keep();
                Ok(())
            };
            match made.await {
                Err(error) if is_busy(&error) && tries < OPEN_TRIES => tries += 1,
                made => return made,
            }
            tokio::time::sleep(OPEN_PAUSE).await;
        }
    }

    async fn reads(&self) -> Result<Lease<'_, SqliteConnection>, sqlx::Error> {
        self.reads.get().await
    }

    async fn writes(&self) -> Result<Lease<'_, SqliteConnection>, sqlx::Error> {
        self.writes.get().await
    }
}

/// `SQLITE_BUSY` and its extended codes.
fn is_busy(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(DatabaseError::code);
    code.and_then(|code| code.parse::<u32>().ok())
        .is_some_and(|code| code & 0xff == 5)
}

/// Makes the file and its folder, for this user only. The files beside it that SQLite makes get
/// the same permissions.
async fn make_file(path: PathBuf) -> io::Result<()> {
    let make = move || {
        let mut folder = DirBuilder::new();
        let mut file = OpenOptions::new();
        #[cfg(unix)]
        {
            use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
            folder.mode(0o700);
            file.mode(0o600);
        }
        if let Some(parent) = path.parent().filter(|parent| *parent != Path::new("")) {
            folder.recursive(true).create(parent)?;
        }
        let opened = file.read(true).append(true).create(true).open(path);
        opened.map(drop)
    };
    tokio::task::spawn_blocking(make).await?
}

sql_store!(SqliteStore, Sqlite);

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore")
            .field("path", &self.database.path)
            .finish_non_exhaustive()
    }
}
