//! The parts that the SQL stores share: statements and the implementation of
//! [`OtenStore`](super::OtenStore). Both databases accept the same statements, and each statement is
//! atomic.

use std::{sync::Arc, time::Duration};

use tokio_util::task::AbortOnDropHandle;

/// Defines the statements. The first parameter of each statement is the time of an injected clock, or
/// null. `$now` is an expression for the time in milliseconds: this parameter or, if it is null, the
/// clock of the database. `$record` and `$member` are conditions for rows whose columns have the right
/// types.
macro_rules! statements {
    (
        now: $now:literal,
        record: $record:literal,
        member: $member:literal
    ) => {
        sql::statements! {
            @ $now,
            // The parts of a live record and a live member. Other programs can write any value.
            concat!(
                "(oten_records.expires_at > ", $now, " AND oten_records.expires_at <= ",
                max_expiry!(), " AND oten_records.version >= 0 AND ", $record, ")"
            ),
            concat!(
                "(expires_at > (SELECT ", $now, ") AND expires_at <= ", max_expiry!(), " AND ",
                $member, ")"
            )
        }
    };
    (@ $now:literal, $is_live:expr, $is_member:expr) => {
        /// Inserts a record if none exists or the existing one is not live.
        const INSERT: &str = concat!(
            "INSERT INTO oten_records (key, value, version, expires_at) \
             VALUES ($2, $3, $4, ", $now, " + $5) \
             ON CONFLICT (key) DO UPDATE SET value = excluded.value, version = excluded.version, \
             expires_at = excluded.expires_at WHERE NOT ", $is_live
        );
        const LOAD: &str = concat!(
            "SELECT value, version, expires_at - ", $now, " FROM oten_records \
             WHERE key = $2 AND ", $is_live
        );
        const REPLACE: &str = concat!(
            "UPDATE oten_records SET value = $3, version = $4, expires_at = ", $now, " + $5 \
             WHERE key = $2 AND ", $is_live
        );
        const REPLACE_VERSION: &str = concat!(
            "UPDATE oten_records SET value = $3, version = $4, expires_at = ", $now, " + $5 \
             WHERE key = $2 AND version = $6 AND ", $is_live
        );
        const TOUCH: &str = concat!(
            "UPDATE oten_records SET expires_at = ", $now, " + $3 WHERE key = $2 AND ", $is_live
        );
        const TAKE: &str = concat!(
            "DELETE FROM oten_records WHERE key = $2 AND ", $is_live, " RETURNING value"
        );
        const REMOVE_IF: &str = concat!(
            "DELETE FROM oten_records WHERE key = $2 AND value = $3 AND ", $is_live
        );
        const ADD_MEMBER: &str = concat!(
            "INSERT INTO oten_members (set_key, member, expires_at) \
             VALUES ($2, $3, ", $now, " + $4) \
             ON CONFLICT (set_key, member) DO UPDATE SET expires_at = excluded.expires_at"
        );
        /// Reads the members beyond a limit, but not the one that was added. Reads so many members of
        /// the set, and not more, to count them, in the order of the index.
        const EXCESS_MEMBERS: &str = concat!(
            "SELECT member FROM oten_members WHERE set_key = $2 AND member <> $3 AND ", $is_member,
            " ORDER BY expires_at LIMIT (SELECT COUNT(*) FROM \
             (SELECT 1 FROM oten_members WHERE set_key = $2 AND member <> $3 AND ", $is_member,
            " ORDER BY expires_at LIMIT $5 OFFSET $4) AS excess)"
        );
        const MEMBERS: &str = concat!(
            "SELECT member FROM oten_members WHERE set_key = $2 AND ", $is_member
        );
        const REMOVE_MEMBER: &str = "DELETE FROM oten_members WHERE set_key = $1 AND member = $2";
        /// Statements that remove expired rows, a number of them at a time to keep locks short. They
        /// repeat the condition on the expiry, because a row that was selected may be replaced before
        /// it is deleted. Subqueries read the time once, so that the index on the expiry is used.
        const SWEEPS: [&str; 2] = [
            concat!(
                "DELETE FROM oten_records WHERE expires_at <= (SELECT ", $now, ") AND key IN \
                 (SELECT key FROM oten_records WHERE expires_at <= (SELECT ", $now, ") LIMIT $2)"
            ),
            concat!(
                "DELETE FROM oten_members WHERE expires_at <= (SELECT ", $now, ") \
                 AND (set_key, member) IN (SELECT set_key, member FROM oten_members \
                 WHERE expires_at <= (SELECT ", $now, ") LIMIT $2)"
            ),
        ];
    };
}

pub(super) const SWEEP_BATCH: i64 = 500;

pub(super) const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// The task that removes expired records, which ends with the last clone of its store.
pub(super) type Sweeper = Arc<AbortOnDropHandle<()>>;

/// Implements [`OtenStore`](super::OtenStore) for a store with the fields `database`, `clock` and
/// `sweeper`. The module must define `Database` with the methods `readers` and `writer`, which return
/// pools of connections of the sqlx driver `$driver`, and `create_tables`, and the function
/// `is_table_missing`, which recognizes the error of a statement without its table.
macro_rules! sql_store {
    ($store:ident, $driver:ty) => {
        type Arguments<'q> = <$driver as sqlx::Database>::Arguments<'q>;
        type Row = <$driver as sqlx::Database>::Row;
        type Connections = Pool<<$driver as sqlx::Database>::Connection>;

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

            /// Sets the clock that decides when records expire, for tests. Defaults to the clock of
            /// the database, also if `clock` is the system's. Must be called within a Tokio runtime.
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

            /// The time for the first parameter of a statement.
            fn now(&self) -> Option<i64> {
                self.clock.manual_millis()
            }
        }

        async fn sweep(database: &Database, clock: &Clock) -> Result<u64, StoreError> {
            let mut removed = 0;
            for statement in SWEEPS {
                loop {
                    let sweep = || {
                        sqlx::query(statement)
                            .bind(clock.manual_millis())
                            .bind(sql::SWEEP_BATCH)
                    };
                    let batch = execute(database, sweep).await?;
                    removed += batch;
                    if batch < sql::SWEEP_BATCH.unsigned_abs() {
                        break;
                    }
                }
            }
            Ok(removed)
        }

        /// Executes a write and returns the number of affected rows.
        async fn execute<'q>(
            database: &Database,
            query: impl Fn() -> sqlx::query::Query<'q, $driver, Arguments<'q>>,
        ) -> Result<u64, StoreError> {
            with_tables(database, || async {
                let mut pooled = database.writer().acquire().await?;
                let result = query().execute(&mut pooled.connection).await?;
                pooled.release();
                Ok(result.rows_affected())
            })
            .await
        }

        /// Returns all rows instead of the first one: once the response is complete, a write is
        /// committed.
        async fn fetch<'q, T>(
            database: &Database,
            connections: &Connections,
            query: impl Fn() -> sqlx::query::QueryAs<'q, $driver, T, Arguments<'q>>,
        ) -> Result<Vec<T>, StoreError>
        where
            T: for<'r> sqlx::FromRow<'r, Row> + Send + Unpin + 'q,
        {
            with_tables(database, || async {
                let mut pooled = connections.acquire().await?;
                let rows = query().fetch_all(&mut pooled.connection).await?;
                pooled.release();
                Ok(rows)
            })
            .await
        }

        /// Runs an operation. If its table is missing, because the database is new or another program
        /// has dropped the table, creates the tables and runs the operation again: it has changed
        /// nothing.
        async fn with_tables<T, F>(
            database: &Database,
            operation: impl Fn() -> F,
        ) -> Result<T, StoreError>
        where
            F: Future<Output = Result<T, sqlx::Error>>,
        {
            with_timeout(async {
                let mut result = operation().await;
                if result.as_ref().is_err_and(is_table_missing) {
                    result = match database.create_tables().await {
                        Ok(()) => operation().await,
                        Err(error) => Err(error),
                    };
                }
                result.map_err(failed)
            })
            .await
        }

        #[async_trait]
        impl OtenStore for $store {
            async fn insert(
                &self,
                key: &RecordKey,
                value: &[u8],
                ttl: Duration,
            ) -> Result<bool, StoreError> {
                let insert = || {
                    sqlx::query(INSERT)
                        .bind(self.now())
                        .bind(&key.as_bytes()[..])
                        .bind(value)
                        .bind(random_version().cast_signed())
                        .bind(stored_millis(ttl))
                };
                Ok(execute(&self.database, insert).await? > 0)
            }

            async fn load(&self, key: &RecordKey) -> Result<Option<StoredRecord>, StoreError> {
                let load = || {
                    sqlx::query_as(LOAD)
                        .bind(self.now())
                        .bind(&key.as_bytes()[..])
                };
                let found: Vec<(Vec<u8>, i64, i64)> =
                    fetch(&self.database, self.database.readers(), load).await?;
                Ok(found
                    .into_iter()
                    .next()
                    .map(|(value, version, ttl)| StoredRecord {
                        value: value.into(),
                        version: version.cast_unsigned(),
                        ttl: Duration::from_millis(ttl.try_into().unwrap_or_default()),
                    }))
            }

            async fn replace(
                &self,
                key: &RecordKey,
                version: Option<u64>,
                value: &[u8],
                ttl: Duration,
            ) -> Result<bool, StoreError> {
                let statement = match version {
                    None => REPLACE,
                    Some(_) => REPLACE_VERSION,
                };
                let replace = || {
                    let replace = sqlx::query(statement)
                        .bind(self.now())
                        .bind(&key.as_bytes()[..])
                        .bind(value)
                        .bind(random_version().cast_signed())
                        .bind(stored_millis(ttl));
                    match version {
                        Some(version) => replace.bind(version.cast_signed()),
                        None => replace,
                    }
                };
                Ok(execute(&self.database, replace).await? > 0)
            }

            async fn touch(&self, key: &RecordKey, ttl: Duration) -> Result<bool, StoreError> {
                let touch = || {
                    sqlx::query(TOUCH)
                        .bind(self.now())
                        .bind(&key.as_bytes()[..])
                        .bind(stored_millis(ttl))
                };
                Ok(execute(&self.database, touch).await? > 0)
            }

            async fn take(&self, key: &RecordKey) -> Result<Option<Bytes>, StoreError> {
                let take = || {
                    sqlx::query_as(TAKE)
                        .bind(self.now())
                        .bind(&key.as_bytes()[..])
                };
                let taken: Vec<(Vec<u8>,)> =
                    fetch(&self.database, self.database.writer(), take).await?;
                Ok(taken.into_iter().next().map(|(value,)| value.into()))
            }

            async fn remove_if(&self, key: &RecordKey, value: &[u8]) -> Result<bool, StoreError> {
                let remove = || {
                    sqlx::query(REMOVE_IF)
                        .bind(self.now())
                        .bind(&key.as_bytes()[..])
                        .bind(value)
                };
                Ok(execute(&self.database, remove).await? > 0)
            }

            async fn add_member(
                &self,
                set: &RecordKey,
                member: &str,
                ttl: Duration,
                limit: usize,
            ) -> Result<Vec<String>, StoreError> {
                let add = || {
                    sqlx::query(ADD_MEMBER)
                        .bind(self.now())
                        .bind(&set.as_bytes()[..])
                        .bind(member.as_bytes())
                        .bind(stored_millis(ttl))
                };
                execute(&self.database, add).await?;
                // The member that was added counts, but is not returned.
                let Ok(others) = i64::try_from(limit.saturating_sub(1)) else {
                    return Ok(Vec::new());
                };
                let excess = || {
                    sqlx::query_as(EXCESS_MEMBERS)
                        .bind(self.now())
                        .bind(&set.as_bytes()[..])
                        .bind(member.as_bytes())
                        .bind(others)
                        .bind(i64::try_from(MAX_EXCESS).unwrap_or(i64::MAX))
                };
                let found: Vec<(Vec<u8>,)> =
                    fetch(&self.database, self.database.readers(), excess).await?;
                Ok(texts(found.into_iter().map(|(member,)| member)))
            }

            async fn members(&self, set: &RecordKey) -> Result<Vec<String>, StoreError> {
                let members = || {
                    sqlx::query_as(MEMBERS)
                        .bind(self.now())
                        .bind(&set.as_bytes()[..])
                };
                let found: Vec<(Vec<u8>,)> =
                    fetch(&self.database, self.database.readers(), members).await?;
                Ok(texts(found.into_iter().map(|(member,)| member)))
            }

            async fn remove_member(&self, set: &RecordKey, member: &str) -> Result<(), StoreError> {
                let remove = || {
                    sqlx::query(REMOVE_MEMBER)
                        .bind(&set.as_bytes()[..])
                        .bind(member.as_bytes())
                };
                execute(&self.database, remove).await.map(drop)
            }
        }
    };
}

pub(super) use {sql_store, statements};
