//! The parts that the SQL stores share: statements and the implementation of
//! [`OtenStore`](super::OtenStore). Both databases accept the same statements, and each statement is
//! atomic.

use std::{sync::Arc, time::Duration};

use tokio_util::task::AbortOnDropHandle;

/// Inserts a record if none exists or the existing one has expired.
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

/// Statements that remove expired rows, [`SWEEP_BATCH`] at a time to keep locks short. They repeat
/// the condition on the expiry, because a row that was selected may be replaced before it is deleted.
pub(super) const SWEEPS: [&str; 2] = [
    "DELETE FROM oten_records WHERE expires_at <= $1 AND key IN \
     (SELECT key FROM oten_records WHERE expires_at <= $1 LIMIT 500)",
    "DELETE FROM oten_members WHERE expires_at <= $1 AND (set_key, member) IN \
     (SELECT set_key, member FROM oten_members WHERE expires_at <= $1 LIMIT 500)",
];

pub(super) const SWEEP_BATCH: u64 = 500;

pub(super) const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// The task that removes expired records, which ends with the last clone of its store.
pub(super) type Sweeper = Arc<AbortOnDropHandle<()>>;

/// Implements [`OtenStore`](super::OtenStore) for a store with the fields `database`, `clock` and
/// `sweeper`. The module must define `Database` with the methods `read` and `write`, which return a
/// connection of the sqlx driver `$driver`.
macro_rules! sql_store {
    ($store:ident, $driver:ty) => {
        type Arguments<'q> = <$driver as sqlx::Database>::Arguments<'q>;
        type Row = <$driver as sqlx::Database>::Row;
        type Connected<'a> = PooledConnection<'a, <$driver as sqlx::Database>::Connection>;

        impl $store {
            fn new(database: Arc<Database>, clock: Clock) -> Self {
                let (swept, now) = (Arc::clone(&database), clock.clone());
                let sweeper = tokio::spawn(async move {
                    let mut interval = tokio::time::interval(sql::SWEEP_INTERVAL);
                    loop {
                        interval.tick().await;
                        if let Err(error) = sweep(&swept, &now).await {
                            let error = crate::error::with_causes(&error);
                            tracing::debug!(error, "failed to remove expired records");
                        }
                    }
                });
                Self {
                    database,
                    clock,
                    sweeper: Arc::new(AbortOnDropHandle::new(sweeper)),
                }
            }

            /// Sets the clock that decides when records expire. Defaults to the system clock. Must
            /// be called within a Tokio runtime.
            #[must_use]
            pub fn with_clock(self, clock: Clock) -> Self {
                drop(self.sweeper);
                Self::new(self.database, clock)
            }

            /// Removes expired records and set members, and returns their number.
            ///
            /// Calling this is optional: a background task does so every 60 seconds, and other
            /// operations treat expired records as absent.
            ///
            /// # Errors
            ///
            /// [`StoreError`] if the database fails.
            pub async fn remove_expired(&self) -> Result<u64, StoreError> {
                sweep(&self.database, &self.clock).await
            }

            fn now(&self) -> i64 {
                to_millis(self.clock.now())
            }
        }

        async fn sweep(database: &Database, clock: &Clock) -> Result<u64, StoreError> {
            let mut removed = 0;
            for statement in sql::SWEEPS {
                loop {
                    let sweep = sqlx::query(statement).bind(to_millis(clock.now()));
                    let batch = execute(database, sweep).await?;
                    removed += batch;
                    if batch < sql::SWEEP_BATCH {
                        break;
                    }
                }
            }
            Ok(removed)
        }

        /// Executes a write and returns the number of affected rows.
        async fn execute<'q>(
            database: &Database,
            query: sqlx::query::Query<'q, $driver, Arguments<'q>>,
        ) -> Result<u64, StoreError> {
            with_timeout(async {
                let mut pooled = database.write().await.map_err(StoreError::backend)?;
                let result = query.execute(&mut pooled.connection).await;
                let affected = result.map_err(StoreError::backend)?.rows_affected();
                pooled.release();
                Ok(affected)
            })
            .await
        }

        /// Returns all rows instead of the first one: once the response is complete, a write is
        /// committed.
        async fn fetch<'q, T>(
            connection: impl Future<Output = Result<Connected<'_>, sqlx::Error>>,
            query: sqlx::query::QueryAs<'q, $driver, T, Arguments<'q>>,
        ) -> Result<Vec<T>, StoreError>
        where
            T: for<'r> sqlx::FromRow<'r, Row> + Send + Unpin + 'q,
        {
            with_timeout(async {
                let mut pooled = connection.await.map_err(StoreError::backend)?;
                let result = query.fetch_all(&mut pooled.connection).await;
                let rows = result.map_err(StoreError::backend)?;
                pooled.release();
                Ok(rows)
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
                    .bind(to_millis(expires_at))
                    .bind(self.now());
                Ok(execute(&self.database, insert).await? > 0)
            }

            async fn load(&self, key: &RecordKey) -> Result<Option<StoredRecord>, StoreError> {
                let load = sqlx::query_as(sql::LOAD)
                    .bind(&key.as_bytes()[..])
                    .bind(self.now());
                let found: Vec<(Vec<u8>, i64, i64)> = fetch(self.database.read(), load).await?;
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
                    .bind(to_millis(expires_at))
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
                    .bind(to_millis(expires_at))
                    .bind(&key.as_bytes()[..])
                    .bind(self.now());
                Ok(execute(&self.database, touch).await? > 0)
            }

            async fn take(&self, key: &RecordKey) -> Result<Option<Vec<u8>>, StoreError> {
                let take = sqlx::query_as(sql::TAKE)
                    .bind(&key.as_bytes()[..])
                    .bind(self.now());
                let taken: Vec<(Vec<u8>,)> = fetch(self.database.write(), take).await?;
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
                    .bind(to_millis(expires_at));
                execute(&self.database, add).await.map(drop)
            }

            async fn members(&self, set: &RecordKey) -> Result<Vec<String>, StoreError> {
                let members = sqlx::query_as(sql::MEMBERS)
                    .bind(&set.as_bytes()[..])
                    .bind(self.now());
                let found: Vec<(Vec<u8>,)> = fetch(self.database.read(), members).await?;
                found
                    .into_iter()
                    .map(|(member,)| String::from_utf8(member))
                    .collect::<Result<_, _>>()
                    .map_err(StoreError::backend)
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
