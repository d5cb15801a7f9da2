//! Expiry by dropping partitions, against the sweep of the store, in plain SQL.
//!
//! A partition per day by `expires_at` requires `expires_at` in the primary key. A statement that knows the
//! key only then searches every partition, and the database no longer prevents two rows with one key.

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};
use sqlx::{Executor, PgConnection};

use super::{
    LASTS, TASKS, percentile,
    stores::{POSTGRES_OPTIONS, connect},
};
use crate::{Bad, faults::servers::Postgres};

/// Sessions with a record and tokens each, which expire within a week.
const ROWS: i64 = 200_000;
const DAYS: i64 = 7;
const DAY: i64 = 86_400_000;

const VALUE_BYTES: i64 = 900;

/// The batches of the store's sweep.
const BATCH: i64 = 500;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Partitions {
    pub rows: i64,
    pub partitions: i64,
    pub plain: Table,
    pub partitioned: Table,
    /// How many rows have one key after two inserts of it.
    pub rows_of_one_key: i64,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Table {
    pub read_p50_ms: f64,
    pub reads_per_second: f64,
    pub write_p50_ms: f64,
    pub writes_per_second: f64,
    /// Writes that move the row to another day.
    pub moves_per_second: f64,
    /// How long the removal of a day takes.
    pub expiry_seconds: f64,
}

/// Returns `None` if PostgreSQL is not installed.
pub async fn measure() -> Result<Option<Partitions>, Bad> {
    let Some(postgres) = Postgres::with(POSTGRES_OPTIONS).await? else {
        return Ok(None);
    };
    let mut connection = connect(&postgres).await?;
    let columns = "key BYTEA NOT NULL, value BYTEA NOT NULL, version BIGINT NOT NULL, \
                   expires_at BIGINT NOT NULL";
    let mut create = format!(
        "CREATE TABLE plain ({columns}, PRIMARY KEY (key)); \
         CREATE INDEX ON plain (expires_at); \
         CREATE TABLE partitioned ({columns}, PRIMARY KEY (key, expires_at)) \
         PARTITION BY RANGE (expires_at);"
    );
    for day in 0..DAYS + 1 {
        let (from, to) = (day * DAY, (day + 1) * DAY);
        create += &format!(
            "CREATE TABLE day{day} PARTITION OF partitioned FOR VALUES FROM ({from}) TO ({to});"
        );
    }
    for table in ["plain", "partitioned"] {
        // 28 hashes of 32 bytes cannot be compressed.
        create += &format!(
            "INSERT INTO {table} SELECT sha256(n::TEXT::BYTEA), \
             (SELECT string_agg(sha256((n + k * 1000000)::TEXT::BYTEA), '') \
              FROM generate_series(1, {VALUE_BYTES} / 32) AS k), \
             1, abs(hashint8(n)::BIGINT) % ({DAYS} * {DAY}::BIGINT) \
             FROM generate_series(1::BIGINT, {ROWS}) AS n;"
        );
    }
    connection.execute(&*create).await?;
    connection.execute("VACUUM (ANALYZE)").await?;
    connection.execute("CHECKPOINT").await?;
    let plain = table(&postgres, "plain").await?;
    connection.execute("CHECKPOINT").await?;
    let partitioned = table(&postgres, "partitioned").await?;
    let twice = format!(
        "INSERT INTO partitioned VALUES ('\\x00', '', 1, {DAY}); \
         INSERT INTO partitioned VALUES ('\\x00', '', 1, 2 * {DAY}::BIGINT)"
    );
    connection.execute(&*twice).await?;
    let count = "SELECT count(*) FROM partitioned WHERE key = '\\x00'";
    let (rows_of_one_key,) = sqlx::query_as(count).fetch_one(&mut connection).await?;
    Ok(Some(Partitions {
        rows: ROWS,
        partitions: DAYS + 1,
        plain,
        partitioned,
        rows_of_one_key,
    }))
}

async fn table(postgres: &Postgres, name: &str) -> Result<Table, Bad> {
    let read = format!(
        "SELECT value, version, expires_at FROM {name} \
         WHERE key = sha256($1::BIGINT::TEXT::BYTEA) AND expires_at > 0"
    );
    let update = |expires_at: &str| {
        format!(
            "UPDATE {name} SET version = 1, value = value, expires_at = {expires_at} \
             WHERE key = sha256($1::BIGINT::TEXT::BYTEA) AND version = 1 AND expires_at > 0"
        )
    };
    // A refresh keeps the expiry; an extension changes it.
    let (write, extend) = (
        update("expires_at"),
        update(&format!("{DAYS} * {DAY}::BIGINT + $1")),
    );
    let (read_one, read_many) = (
        load(postgres, &read, 1, 0).await?,
        load(postgres, &read, TASKS, 0).await?,
    );
    let (write_one, write_many) = (
        load(postgres, &write, 1, 1).await?,
        load(postgres, &write, TASKS, 1).await?,
    );
    let moves = load(postgres, &extend, TASKS, 2).await?;
    let mut connection = connect(postgres).await?;
    let begin = Instant::now();
    if name == "plain" {
        let sweep = format!(
            "DELETE FROM plain WHERE expires_at < {DAY} AND key IN \
             (SELECT key FROM plain WHERE expires_at < {DAY} LIMIT {BATCH})"
        );
        while connection.execute(&*sweep).await?.rows_affected() > 0 {}
    } else {
        connection.execute("DROP TABLE day0").await?;
    }
    let per_second = |all: &[Duration]| all.len() as f64 / LASTS.as_secs_f64();
    Ok(Table {
        expiry_seconds: begin.elapsed().as_secs_f64(),
        read_p50_ms: percentile(&read_one, 0.5),
        reads_per_second: per_second(&read_many),
        write_p50_ms: percentile(&write_one, 0.5),
        writes_per_second: per_second(&write_many),
        moves_per_second: per_second(&moves),
    })
}

/// Runs a statement for rows in turn, with a number of connections. Returns how long each took, sorted.
async fn load(
    postgres: &Postgres,
    statement: &str,
    tasks: u64,
    round: i64,
) -> Result<Vec<Duration>, Bad> {
    let end = Instant::now() + LASTS;
    let tasks = (0..tasks).map(async |task| {
        let mut connection: PgConnection = connect(postgres).await?;
        let mut took = Vec::new();
        // Each round begins elsewhere.
        let mut row = i64::try_from(task)? + round * (ROWS / 4);
        while Instant::now() < end {
            row += i64::try_from(tasks)?;
            let begin = Instant::now();
            sqlx::query(statement)
                .bind(1 + row % ROWS)
                .execute(&mut connection)
                .await?;
            took.push(begin.elapsed());
        }
        Ok::<_, Bad>(took)
    });
    let mut all = try_join_all(tasks).await?.concat();
    all.sort_unstable();
    Ok(all)
}
