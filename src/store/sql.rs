//! What the SQL stores have in common: the tables, the statements, and how they are asked. Both
//! databases understand the same statements, each of which decides and acts at once.

use std::{sync::Arc, time::Duration};

use tokio::task::JoinHandle;

use super::StoreError;

/// Puts a record where none is or an expired one.
pub(super) const INSERT: &str = "INSERT INTO oten_records (key, value, version, expires_at) \
    VALUES ($1, $2, $3, $4) \
    ON CONFLICT (key) DO UPDATE SET value = excluded.value, version = excluded.version, \
    expires_at = excluded.expires_at WHERE oten_records.expires_at <= $5";

pub(super) const LOAD: &str =
    "SELECT value, version, expires_at FROM oten_records WHERE key = $1 AND expires_at > $2";

pub(super) const REPLACE: &str = "UPDATE oten_records \
    SET value = $1, version = $2, expires_at = $3 WHERE key = $4 AND expires_at > $5";

pub(super) const REPLACE_VERSION: &str = "UPDATE oten_records \
    SET value = $1, version = $2, expires_at = $3 \
    WHERE key = $4 AND expires_at > $5 AND version = $6";

pub(super) const TOUCH: &str =
    "UPDATE oten_records SET expires_at = $1 WHERE key = $2 AND expires_at > $3";

pub(super) const TAKE: &str =
    "DELETE FROM oten_records WHERE key = $1 AND expires_at > $2 RETURNING value";

pub(super) const REMOVE_IF: &str =
    "DELETE FROM oten_records WHERE key = $1 AND value = $2 AND expires_at > $3";

pub(super) const ADD_MEMBER: &str = "INSERT INTO oten_members (set_key, member, expires_at) \
    VALUES ($1, $2, $3) \
    ON CONFLICT (set_key, member) DO UPDATE SET expires_at = excluded.expires_at";

pub(super) const MEMBERS: &str =
    "SELECT member FROM oten_members WHERE set_key = $1 AND expires_at > $2";

pub(super) const REMOVE_MEMBER: &str =
    "DELETE FROM oten_members WHERE set_key = $1 AND member = $2";

/// What has expired, a few hundred at a time: nobody waits long for it. The condition is there
/// twice, because a record that was found expired may be a new one when it is its turn.
pub(super) const SWEEPS: [&str; 2] = [
    "DELETE FROM oten_records WHERE expires_at <= $1 AND key IN \
     (SELECT key FROM oten_records WHERE expires_at <= $1 LIMIT 500)",
    "DELETE FROM oten_members WHERE expires_at <= $1 AND (set_key, member) IN \
     (SELECT set_key, member FROM oten_members WHERE expires_at <= $1 LIMIT 500)",
];

pub(super) const SWEPT_AT_ONCE: u64 = 500;

const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// Removes from time to time what has expired, until the last copy of its store is gone.
#[derive(Clone)]
pub(super) struct Sweeper(
    #[expect(dead_code, reason = "it is there to be dropped")] Arc<AbortOnDrop>,
);

struct AbortOnDrop(JoinHandle<()>);

impl Sweeper {
    pub(super) fn start<S>(mut sweep: impl FnMut() -> S + Send + 'static) -> Self
    where
        S: Future<Output = Result<u64, StoreError>> + Send,
    {
        let task = tokio::spawn(async move {
            let mut interval = tokio::time::interval(SWEEP_INTERVAL);
            loop {
                interval.tick().await;
                if let Err(error) = sweep().await {
                    let error = crate::error::with_causes(&error);
                    tracing::debug!(error, "expired records could not be removed");
                }
            }
        });
        Self(Arc::new(AbortOnDrop(task)))
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

pub(super) fn failed(error: sqlx::Error) -> StoreError {
    StoreError::Backend(error.into())
}

/// Implements [`OtenStore`](super::OtenStore) for a store with a `database`, a `clock` and a
/// `sweeper`, in the driver's `$driver`. The database is `Clone` and has `reads()` and `writes()`,
/// which give a connection for one operation.
macro_rules! sql_store {
    ($store:ident, $driver:ty) => {
        type Arguments<'q> = <$driver as sqlx::Database>::Arguments<'q>;
        type Row = <$driver as sqlx::Database>::Row;
        type Connected<'a> = Lease<'a, <$driver as sqlx::Database>::Connection>;

        impl $store {
            fn start(database: Database, clock: Clock) -> Self {
                let (swept, now) = (database.clone(), clock.clone());
                let sweep = move || {
                    let (swept, now) = (swept.clone(), now.clone());
                    async move { Self::sweep(&swept, &now).await }
                };
                Self {
                    database,
                    clock,
                    sweeper: Sweeper::start(sweep),
                }
            }

            /// Lets the store's records age by another clock than the system's. Must be called
            /// within a Tokio runtime.
            #[must_use]
            pub fn with_clock(self, clock: Clock) -> Self {
                drop(self.sweeper);
                Self::start(self.database, clock)
            }

            /// Removes what has expired and says how much it was. It happens by itself once a
            /// minute; what has expired is not seen before either.
            ///
            /// # Errors
            ///
            /// [`StoreError`] when the database cannot be asked.
            pub async fn remove_expired(&self) -> Result<u64, StoreError> {
                Self::sweep(&self.database, &self.clock).await
            }

            async fn sweep(database: &Database, clock: &Clock) -> Result<u64, StoreError> {
                let mut removed = 0;
                for sweep in sql::SWEEPS {
                    loop {
                        let sweep = sqlx::query(sweep).bind(millis(clock.now()));
                        let swept = execute(database, sweep).await?;
                        removed += swept;
                        if swept < sql::SWEPT_AT_ONCE {
                            break;
                        }
                    }
                }
                Ok(removed)
            }

            fn now(&self) -> i64 {
                millis(self.clock.now())
            }
        }

        /// Writes, and tells how many rows that changed.
        async fn execute<'q>(
            database: &Database,
            write: sqlx::query::Query<'q, $driver, Arguments<'q>>,
        ) -> Result<u64, StoreError> {
            in_time(async {
                let mut connection = database.writes().await.map_err(failed)?;
                let written = write.execute(&mut *connection).await.map_err(failed)?;
                connection.keep();
                Ok(written.rows_affected())
            })
            .await
        }

        /// All rows, not the first one: when the answer is complete, what it says is committed.
        async fn fetch<'q, T>(
            connection: impl Future<Output = Result<Connected<'_>, sqlx::Error>>,
            question: sqlx::query::QueryAs<'q, $driver, T, Arguments<'q>>,
        ) -> Result<Vec<T>, StoreError>
        where
            T: for<'r> sqlx::FromRow<'r, Row> + Send + Unpin + 'q,
        {
            in_time(async {
                let mut connection = connection.await.map_err(failed)?;
                let answer = question.fetch_all(&mut *connection).await.map_err(failed)?;
                connection.keep();
                Ok(answer)
            })
            .await
        }

        #[async_trait]
        impl OtenStore for $store {
            async fn insert(
                &self,
                key: &RecordKey,
                value: &[u8],
                expires_at: OffsetDateTime,
            ) -> Result<bool, StoreError> {
                let insert = sqlx::query(sql::INSERT)
                    .bind(&key.as_bytes()[..])
                    .bind(value)
                    .bind(random_version().cast_signed())
                    .bind(millis(expires_at))
                    .bind(self.now());
                Ok(execute(&self.database, insert).await? > 0)
            }

            async fn load(&self, key: &RecordKey) -> Result<Option<StoredRecord>, StoreError> {
                let load = sqlx::query_as(sql::LOAD)
                    .bind(&key.as_bytes()[..])
                    .bind(self.now());
                let found: Vec<(Vec<u8>, i64, i64)> = fetch(self.database.reads(), load).await?;
                let Some((value, version, expires_at)) = found.into_iter().next() else {
                    return Ok(None);
                };
                Ok(Some(StoredRecord {
                    value,
                    version: version.cast_unsigned(),
                    expires_at: from_millis(expires_at)?,
                }))
            }

            async fn replace(
                &self,
                key: &RecordKey,
                version: Option<u64>,
                value: &[u8],
                expires_at: OffsetDateTime,
            ) -> Result<bool, StoreError> {
                let statement = match version {
                    None => sql::REPLACE,
                    Some(_) => sql::REPLACE_VERSION,
                };
                let mut replace = sqlx::query(statement)
                    .bind(value)
                    .bind(random_version().cast_signed())
                    .bind(millis(expires_at))
                    .bind(&key.as_bytes()[..])
                    .bind(self.now());
                if let Some(version) = version {
                    replace = replace.bind(version.cast_signed());
                }
                Ok(execute(&self.database, replace).await? > 0)
            }

            async fn touch(
                &self,
                key: &RecordKey,
                expires_at: OffsetDateTime,
            ) -> Result<bool, StoreError> {
                let touch = sqlx::query(sql::TOUCH)
                    .bind(millis(expires_at))
                    .bind(&key.as_bytes()[..])
                    .bind(self.now());
                Ok(execute(&self.database, touch).await? > 0)
            }

            async fn take(&self, key: &RecordKey) -> Result<Option<Vec<u8>>, StoreError> {
                let take = sqlx::query_as(sql::TAKE)
                    .bind(&key.as_bytes()[..])
                    .bind(self.now());
                let taken: Vec<(Vec<u8>,)> = fetch(self.database.writes(), take).await?;
                Ok(taken.into_iter().next().map(|(value,)| value))
            }

            async fn remove_if(&self, key: &RecordKey, value: &[u8]) -> Result<bool, StoreError> {
                let remove = sqlx::query(sql::REMOVE_IF)
                    .bind(&key.as_bytes()[..])
                    .bind(value)
                    .bind(self.now());
                Ok(execute(&self.database, remove).await? > 0)
            }

            async fn add_member(
                &self,
                set: &RecordKey,
                member: &str,
                expires_at: OffsetDateTime,
            ) -> Result<(), StoreError> {
                let add = sqlx::query(sql::ADD_MEMBER)
                    .bind(&set.as_bytes()[..])
                    .bind(member.as_bytes())
                    .bind(millis(expires_at));
                execute(&self.database, add).await.map(drop)
            }

            async fn members(&self, set: &RecordKey) -> Result<Vec<String>, StoreError> {
                let members = sqlx::query_as(sql::MEMBERS)
                    .bind(&set.as_bytes()[..])
                    .bind(self.now());
                let found: Vec<(Vec<u8>,)> = fetch(self.database.reads(), members).await?;
                found
                    .into_iter()
                    .map(|(member,)| String::from_utf8(member))
                    .collect::<Result<_, _>>()
                    .map_err(|error| StoreError::Backend(error.into()))
            }

            async fn remove_member(&self, set: &RecordKey, member: &str) -> Result<(), StoreError> {
                let remove = sqlx::query(sql::REMOVE_MEMBER)
                    .bind(&set.as_bytes()[..])
                    .bind(member.as_bytes());
                execute(&self.database, remove).await.map(drop)
            }
        }
    };
}

pub(super) use sql_store;
