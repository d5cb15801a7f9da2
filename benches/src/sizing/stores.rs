//! The stores, filled with sessions.

use std::{
    fs,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use axum_oten::{
    Clock, MemoryStore,
    store::{OtenStore, PostgresStore, RedisStore, SqliteStore},
};
use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};
use sqlx::{
    ConnectOptions, Connection, Executor, PgConnection, QueryBuilder, SqliteConnection,
    postgres::PgConnectOptions,
    sqlite::{SqliteConnectOptions, SqliteSynchronous},
};
use tempfile::TempDir;
use tokio::time::sleep;

use super::session::{Operation, Recorded, key, noise, replay};
use crate::{
    Bad,
    faults::servers::Postgres,
    process::{Redis, status},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    Memory,
    Sqlite,
    Redis,
    Postgres,
    Unlogged,
}

impl Kind {
    pub const ALL: [Self; 5] = [
        Self::Memory,
        Self::Sqlite,
        Self::Redis,
        Self::Postgres,
        Self::Unlogged,
    ];

    /// The name on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Sqlite => "sqlite",
            Self::Redis => "redis",
            Self::Postgres => "postgres",
            Self::Unlogged => "unlogged",
        }
    }

    pub fn title(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Sqlite => "SQLite",
            Self::Redis => "Redis",
            Self::Postgres => "PostgreSQL",
            Self::Unlogged => "PostgreSQL, `UNLOGGED`",
        }
    }
}

/// Otherwise the defaults of the server.
pub const POSTGRES_OPTIONS: &[&str] = &["-c", "shared_buffers=1GB", "-c", "max_wal_size=8GB"];

/// One session of so many expires early.
pub const EXPIRING: u64 = 10;

/// When the sessions that expire early have expired.
const EARLY: Duration = Duration::from_secs(70 * 60);

/// A store with its server. Fields are dropped in this order.
pub struct Filled {
    pub kind: Kind,
    pub store: Arc<dyn OtenStore>,
    server: Server,
    _folder: TempDir,
    clock: Clock,
    recorded: Arc<Recorded>,
    sessions: u64,
    /// What was in use before the first session.
    empty_bytes: f64,
}

enum Server {
    Memory,
    Sqlite(SqliteStore, PathBuf),
    Redis(Redis),
    Postgres(PostgresStore, Box<Postgres>),
}

impl Filled {
    /// Starts an empty store, or returns `None` if its server is not installed.
    pub async fn empty(kind: Kind, recorded: &Arc<Recorded>) -> Result<Option<Self>, Bad> {
        let (clock, folder) = (Clock::manual(), TempDir::new()?);
        let (store, server): (Arc<dyn OtenStore>, _) = match kind {
            Kind::Memory => {
                let store = MemoryStore::with_capacity(usize::MAX / 2);
                (Arc::new(store.with_clock(clock.clone())), Server::Memory)
            }
            Kind::Sqlite => {
                let path = folder.path().join("sizing.sqlite");
                let store = SqliteStore::open(&path).await?.with_clock(clock.clone());
                let server = Server::Sqlite(store.clone(), path);
                (Arc::new(store), server)
            }
            Kind::Redis => {
                let Some(redis) = Redis::start(folder.path()).await? else {
                    return Ok(None);
                };
                let store = RedisStore::connect(&redis.url()).await?;
                (Arc::new(store), Server::Redis(redis))
            }
            Kind::Postgres | Kind::Unlogged => {
                let Some(postgres) = Postgres::with(POSTGRES_OPTIONS).await? else {
                    return Ok(None);
                };
                let store = PostgresStore::connect(&url(&postgres)).await?;
                let store = store.with_clock(clock.clone());
                if kind == Kind::Unlogged {
                    set_unlogged(&postgres).await?;
                }
                let server = Server::Postgres(store.clone(), Box::new(postgres));
                (Arc::new(store), server)
            }
        };
        let mut empty = Self {
            kind,
            store,
            server,
            _folder: folder,
            clock,
            recorded: Arc::clone(recorded),
            sessions: 0,
            empty_bytes: 0.0,
        };
        empty.empty_bytes = empty.bytes().await?;
        Ok(Some(empty))
    }

    /// Fills the store with what signed-in users leave behind.
    pub async fn fill(&mut self, sessions: u64) -> Result<(), Bad> {
        self.sessions = sessions;
        match &self.server {
            Server::Memory => self.sign_in(2).await?,
            Server::Redis(..) => self.sign_in(64).await?,
            Server::Sqlite(_, path) => self.fill_sqlite(path).await?,
            Server::Postgres(_, postgres) => self.fill_postgres(postgres).await?,
        }
        self.settle().await
    }

    async fn sign_in(&self, tasks: u64) -> Result<(), Bad> {
        let tasks = (0..tasks).map(|task| {
            let (store, recorded) = (Arc::clone(&self.store), Arc::clone(&self.recorded));
            let (sessions, early) = (self.sessions, self.kind == Kind::Memory);
            tokio::spawn(async move {
                for session in (task..sessions).step_by(tasks as usize) {
                    let lifetime = Some(lifetime(session, early));
                    replay(&*store, recorded.kept(), session, lifetime).await?;
                }
                Ok::<_, Bad>(())
            })
        });
        for filled in try_join_all(tasks).await? {
            filled?;
        }
        Ok(())
    }

    /// Writes the rows of many sessions in one transaction.
    async fn fill_sqlite(&self, path: &PathBuf) -> Result<(), Bad> {
        const SESSIONS: u64 = 200;
        const TRANSACTION: u64 = 20_000;
        let options = SqliteConnectOptions::new().filename(path);
        let options = options
            .synchronous(SqliteSynchronous::Off)
            .pragma("cache_size", "-1000000");
        let mut connection: SqliteConnection =
            options.disable_statement_logging().connect().await?;
        for from in (0..self.sessions).step_by(TRANSACTION as usize) {
            let to = self.sessions.min(from + TRANSACTION);
            let mut transaction = connection.begin().await?;
            for from in (from..to).step_by(SESSIONS as usize) {
                let (mut records, mut members) = (Vec::new(), Vec::new());
                for session in from..to.min(from + SESSIONS) {
                    let (of_records, of_members) = self.rows(session);
                    records.extend(of_records);
                    members.extend(of_members);
                }
                let insert = "INSERT INTO oten_records (key, value, version, expires_at) ";
                QueryBuilder::new(insert)
                    .push_values(records, |mut row, record| {
                        row.push_bind(record.key.to_vec())
                            .push_bind(record.value)
                            .push_bind(record.version)
                            .push_bind(record.expires_at);
                    })
                    .build()
                    .execute(&mut *transaction)
                    .await?;
                let insert = "INSERT INTO oten_members (set_key, member, expires_at) ";
                QueryBuilder::new(insert)
                    .push_values(members, |mut row, member| {
                        row.push_bind(member.set.to_vec())
                            .push_bind(member.member.into_bytes())
                            .push_bind(member.expires_at);
                    })
                    .build()
                    .execute(&mut *transaction)
                    .await?;
            }
            transaction.commit().await?;
        }
        connection
            .execute("PRAGMA wal_checkpoint(TRUNCATE)")
            .await?;
        Ok(connection.close().await?)
    }

    async fn fill_postgres(&self, postgres: &Postgres) -> Result<(), Bad> {
        let records = async {
            let mut copy = Copy::start(postgres, "oten_records").await?;
            for session in 0..self.sessions {
                for record in self.rows(session).0 {
                    let (version, expires_at) = (
                        record.version.to_be_bytes(),
                        record.expires_at.to_be_bytes(),
                    );
                    copy.row(&[&record.key, &record.value, &version, &expires_at])
                        .await?;
                }
            }
            copy.finish().await
        };
        let members = async {
            let mut copy = Copy::start(postgres, "oten_members").await?;
            for session in 0..self.sessions {
                for member in self.rows(session).1 {
                    let expires_at = member.expires_at.to_be_bytes();
                    copy.row(&[&member.set, member.member.as_bytes(), &expires_at])
                        .await?;
                }
            }
            copy.finish().await
        };
        tokio::try_join!(records, members)?;
        Ok(())
    }

    /// The rows of a session in the SQL stores.
    fn rows(&self, session: u64) -> (Vec<Record>, Vec<Member>) {
        let ttl = i64::try_from(lifetime(session, true).as_millis()).unwrap_or(i64::MAX);
        let expires_at = self.clock.unix_now() * 1000 + ttl;
        let (mut records, mut members) = (Vec::new(), Vec::new());
        for operation in self.recorded.kept() {
            match *operation {
                Operation::Insert { kind, bytes, .. } => records.push(Record {
                    key: *key(kind, session).as_bytes(),
                    value: noise(session, bytes),
                    version: hash(session).cast_signed() & i64::MAX,
                    expires_at,
                }),
                Operation::AddMember { set, .. } => members.push(Member {
                    set: *key(set, session).as_bytes(),
                    member: key("session", session).to_string(),
                    expires_at,
                }),
                _ => {}
            }
        }
        (records, members)
    }

    /// Completes what the store does in the background after many writes.
    async fn settle(&self) -> Result<(), Bad> {
        match &self.server {
            Server::Redis(redis) => {
                let end = Instant::now() + Duration::from_secs(120);
                while redis.number("aof_rewrite_in_progress")?
                    + redis.number("aof_rewrite_scheduled")?
                    > 0.0
                    && Instant::now() < end
                {
                    sleep(Duration::from_millis(200)).await;
                }
            }
            Server::Postgres(_, postgres) => {
                let mut connection = connect(postgres).await?;
                for table in ["oten_records", "oten_members"] {
                    let vacuum = format!("VACUUM (ANALYZE) {table}");
                    connection.execute(&*vacuum).await?;
                }
                connection.execute("CHECKPOINT").await?;
            }
            Server::Memory | Server::Sqlite(..) => {}
        }
        Ok(())
    }

    /// The bytes that one session occupies.
    pub async fn bytes_per_session(&self) -> Result<f64, Bad> {
        Ok((self.bytes().await? - self.empty_bytes) / self.sessions as f64)
    }

    /// The bytes in use: memory, or tables with their indexes.
    async fn bytes(&self) -> Result<f64, Bad> {
        Ok(match &self.server {
            Server::Memory => status("self", "RssAnon:")?,
            Server::Sqlite(_, path) => fs::metadata(path)?.len() as f64,
            Server::Redis(redis) => redis.number("used_memory")?,
            Server::Postgres(_, postgres) => {
                number(
                    postgres,
                    "SELECT pg_total_relation_size('oten_records') \
                     + pg_total_relation_size('oten_members')",
                )
                .await?
            }
        })
    }

    /// The bytes that PostgreSQL has written to its log.
    pub async fn wal(&self) -> Result<Option<f64>, Bad> {
        let Server::Postgres(_, postgres) = &self.server else {
            return Ok(None);
        };
        let wal = "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::BIGINT";
        Ok(Some(number(postgres, wal).await?))
    }

    /// Lets one of [`EXPIRING`] sessions expire, and waits until the store has removed it. Returns how
    /// long that took and which part was removed; `None` if the store does it with later writes.
    pub async fn expire(&self) -> Result<Option<(Duration, f64)>, Bad> {
        let expected = self.sessions.div_ceil(EXPIRING);
        if let Server::Redis(redis) = &self.server {
            return self.expire_redis(redis, expected).await.map(Some);
        }
        self.clock.advance(EARLY);
        let begin = Instant::now();
        let removed = match &self.server {
            Server::Sqlite(store, ..) => store.remove_expired().await?,
            Server::Postgres(store, _) => store.remove_expired().await?,
            Server::Memory | Server::Redis(..) => return Ok(None),
        };
        if removed == 0 {
            return Err("no record has expired".into());
        }
        Ok(Some((begin.elapsed(), 1.0)))
    }

    async fn expire_redis(&self, redis: &Redis, expected: u64) -> Result<(Duration, f64), Bad> {
        /// Redis removes expired keys at its own pace.
        const LIMIT: Duration = Duration::from_secs(30);
        const TASKS: u64 = 64;
        // The operations take less time than that.
        let at = Instant::now() + Duration::from_secs(2) + Duration::from_micros(expected * 300);
        let before = redis.number("expired_keys")?;
        let tasks = (0..TASKS).map(|task| {
            let (store, recorded) = (Arc::clone(&self.store), Arc::clone(&self.recorded));
            let sessions = self.sessions;
            tokio::spawn(async move {
                let all = (0..sessions).step_by(EXPIRING as usize);
                for session in all.skip(task as usize).step_by(TASKS as usize) {
                    for operation in recorded.kept() {
                        let ttl = at.saturating_duration_since(Instant::now());
                        match *operation {
                            Operation::Insert { kind, .. } => {
                                store.touch(&key(kind, session), ttl).await?;
                            }
                            Operation::AddMember { set, limit, .. } => {
                                let member = key("session", session).to_string();
                                let set = key(set, session);
                                store.add_member(&set, &member, ttl, limit).await?;
                            }
                            _ => {}
                        }
                    }
                }
                Ok::<_, Bad>(())
            })
        });
        for done in try_join_all(tasks).await? {
            done?;
        }
        let early = at.saturating_duration_since(Instant::now());
        if early.is_zero() {
            return Err("the sessions expire too early".into());
        }
        sleep(early).await;
        // The sets with a part of all sessions stay.
        let keys = (self.recorded.kept().count() as u64 - 1) * expected;
        let removed = || Ok::<_, Bad>(redis.number("expired_keys")? - before);
        // The last ones are found by chance.
        while removed()? < 0.99 * keys as f64 && at.elapsed() < LIMIT {
            sleep(Duration::from_millis(20)).await;
        }
        Ok((at.elapsed(), removed()? / keys as f64))
    }

    /// Kills PostgreSQL or shuts it down, and starts it again. Returns how long the start took, and which
    /// part of the records is left.
    pub async fn restart(&mut self, is_crash: bool) -> Result<Option<(Duration, f64)>, Bad> {
        let Server::Postgres(_, postgres) = &mut self.server else {
            return Ok(None);
        };
        let count = "SELECT count(*) FROM oten_records";
        let before = number(postgres, count).await?;
        if is_crash {
            postgres.kill();
        } else {
            postgres.stop().await?;
        }
        let begin = Instant::now();
        postgres.restart().await?;
        let took = begin.elapsed();
        let left = number(postgres, count).await? / before;
        // The store goes on, after errors of the connections that were cut.
        let (key, minute) = (key("probe", u64::MAX), Duration::from_secs(60));
        let end = Instant::now() + Duration::from_secs(5);
        while self.store.insert(&key, b"probe", minute).await.is_err() && Instant::now() < end {}
        if self.store.take(&key).await?.is_none() {
            return Err("the store does not work after a restart".into());
        }
        Ok(Some((took, left)))
    }

    /// Makes the tables unlogged and returns how long they were locked.
    pub async fn set_unlogged(&self) -> Result<Option<Duration>, Bad> {
        let Server::Postgres(_, postgres) = &self.server else {
            return Ok(None);
        };
        let begin = Instant::now();
        set_unlogged(postgres).await?;
        Ok(Some(begin.elapsed()))
    }
}

struct Record {
    key: [u8; 32],
    value: Vec<u8>,
    version: i64,
    expires_at: i64,
}

struct Member {
    set: [u8; 32],
    member: String,
    expires_at: i64,
}

/// How long a session lives: less than an hour if it expires early, or 2 to 12 hours.
fn lifetime(session: u64, early: bool) -> Duration {
    let seconds = hash(session) % 3600;
    Duration::from_secs(if early && session.is_multiple_of(EXPIRING) {
        seconds
    } else {
        7200 + 10 * seconds
    })
}

fn hash(session: u64) -> u64 {
    let bytes = noise(session + 1, 32);
    u64::from_le_bytes(*bytes.last_chunk().expect("32 bytes"))
}

/// Rows in the binary format of `COPY`.
struct Copy {
    connection: PgConnection,
    table: &'static str,
    rows: Vec<u8>,
}

impl Copy {
    const CHUNK: usize = 16 << 20;

    async fn start(postgres: &Postgres, table: &'static str) -> Result<Self, Bad> {
        Ok(Self {
            connection: connect(postgres).await?,
            table,
            rows: Vec::with_capacity(Self::CHUNK + (64 << 10)),
        })
    }

    async fn row(&mut self, columns: &[&[u8]]) -> Result<(), Bad> {
        self.rows
            .extend(i16::try_from(columns.len())?.to_be_bytes());
        for column in columns {
            self.rows.extend(i32::try_from(column.len())?.to_be_bytes());
            self.rows.extend(*column);
        }
        if self.rows.len() >= Self::CHUNK {
            self.send().await?;
        }
        Ok(())
    }

    async fn send(&mut self) -> Result<(), Bad> {
        let copy = format!("COPY {} FROM STDIN (FORMAT binary)", self.table);
        let mut copy = self.connection.copy_in_raw(&copy).await?;
        copy.send(&b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0"[..])
            .await?;
        copy.send(&self.rows[..]).await?;
        copy.send(&(-1_i16).to_be_bytes()[..]).await?;
        copy.finish().await?;
        self.rows.clear();
        Ok(())
    }

    async fn finish(mut self) -> Result<(), Bad> {
        self.send().await?;
        Ok(self.connection.close().await?)
    }
}

fn url(postgres: &Postgres) -> String {
    format!("postgres://site@127.0.0.1:{}/postgres", postgres.port)
}

pub async fn connect(postgres: &Postgres) -> Result<PgConnection, Bad> {
    let options: PgConnectOptions = url(postgres).parse()?;
    Ok(options.disable_statement_logging().connect().await?)
}

/// Returns the number that a statement selects.
pub async fn number(postgres: &Postgres, statement: &str) -> Result<f64, Bad> {
    let mut connection = connect(postgres).await?;
    let (number,): (i64,) = sqlx::query_as(statement).fetch_one(&mut connection).await?;
    Ok(number as f64)
}

/// What an operator does.
async fn set_unlogged(postgres: &Postgres) -> Result<(), Bad> {
    let mut connection = connect(postgres).await?;
    let statements = "ALTER TABLE oten_records SET UNLOGGED; ALTER TABLE oten_members SET UNLOGGED";
    connection.execute(statements).await?;
    Ok(())
}
