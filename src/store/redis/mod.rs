mod connection;
mod scripts;

use std::{fmt, sync::Arc};

use ::redis::cmd;
use async_trait::async_trait;
use time::OffsetDateTime;

use self::connection::Connection;
use super::{
    OtenStore, RecordKey, StoreError, StoredRecord,
    outside::{from_millis, in_time, millis, note_absence, random_version},
};
use crate::clock::Clock;

/// A store in a Redis server, for any number of processes. Copies are the same store.
///
/// Any server that runs Lua scripts will do, also Valkey; a cluster will not. What the server
/// forgets is forgotten: for sessions that outlive its restart turn on `appendonly`, and give it
/// `maxmemory-policy noeviction` or memory enough. A replica that takes over may lack the last
/// writes.
///
/// One connection is held. When the server is down each operation fails within two seconds; when
/// it is back they work. With `rediss://` the server's certificate must be of an authority this
/// machine trusts.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use axum_oten::store::{RedisStore, StoreError};
///
/// let refused = RedisStore::connect("https://redis.example.com").await;
/// assert!(matches!(refused, Err(StoreError::Address(_))));
/// # }
/// ```
#[derive(Clone)]
pub struct RedisStore {
    connection: Arc<Connection>,
    prefix: String,
    clock: Clock,
}

impl RedisStore {
    /// Connects to the server of a URL, `redis://USER:PASSWORD@HOST:PORT/DATABASE`, or `rediss://`
    /// for TLS. One that does not answer is no error; it is tried again at each operation.
    ///
    /// # Errors
    ///
    /// [`StoreError::Address`] when the URL is none.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        let connection = Connection::new(url)?;
        note_absence(in_time(connection.ask(&cmd("PING"))).await);
        Ok(Self {
            connection: Arc::new(connection),
            prefix: "oten:".to_owned(),
            clock: Clock::system(),
        })
    }

    /// Puts another prefix in front of the server's keys. By default `oten:`. Two sites that share
    /// a database need two.
    #[must_use]
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Lets the store's records age by another clock than the system's.
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    fn record(&self, key: &RecordKey) -> String {
        format!("{}{key}", self.prefix)
    }

    fn set(&self, key: &RecordKey) -> String {
        format!("{}set:{key}", self.prefix)
    }

    fn now(&self) -> i64 {
        millis(self.clock.now())
    }
}

#[async_trait]
impl OtenStore for RedisStore {
    async fn insert(
        &self,
        key: &RecordKey,
        value: &[u8],
        expires_at: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        let mut insert = scripts::INSERT.key(self.record(key));
        insert
            .arg(self.now())
            .arg(ends(expires_at))
            .arg(random_version())
            .arg(value);
        in_time(self.connection.run(&insert)).await
    }

    async fn load(&self, key: &RecordKey) -> Result<Option<StoredRecord>, StoreError> {
        let mut get = cmd("GET");
        get.arg(self.record(key));
        let found: Option<Vec<u8>> = in_time(self.connection.ask(&get)).await?;
        let record = found.as_deref().and_then(parse).transpose()?;
        Ok(record.filter(|record| record.expires_at > self.clock.now()))
    }

    async fn replace(
        &self,
        key: &RecordKey,
        version: Option<u64>,
        value: &[u8],
        expires_at: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        let mut replace = scripts::REPLACE.key(self.record(key));
        replace
            .arg(self.now())
            .arg(ends(expires_at))
            .arg(random_version())
            .arg(value)
            .arg(
                version
                    .map(|version| version.to_string())
                    .unwrap_or_default(),
            );
        in_time(self.connection.run(&replace)).await
    }

    async fn touch(&self, key: &RecordKey, expires_at: OffsetDateTime) -> Result<bool, StoreError> {
        let mut touch = scripts::TOUCH.key(self.record(key));
        touch.arg(self.now()).arg(ends(expires_at));
        in_time(self.connection.run(&touch)).await
    }

    async fn take(&self, key: &RecordKey) -> Result<Option<Vec<u8>>, StoreError> {
        let mut take = scripts::TAKE.key(self.record(key));
        take.arg(self.now());
        in_time(self.connection.run(&take)).await
    }

    async fn remove_if(&self, key: &RecordKey, value: &[u8]) -> Result<bool, StoreError> {
        let mut remove = scripts::REMOVE_IF.key(self.record(key));
        remove.arg(self.now()).arg(value);
        in_time(self.connection.run(&remove)).await
    }

    async fn add_member(
        &self,
        set: &RecordKey,
        member: &str,
        expires_at: OffsetDateTime,
    ) -> Result<(), StoreError> {
        let mut add = scripts::ADD_MEMBER.key(self.set(set));
        add.arg(self.now()).arg(ends(expires_at)).arg(member);
        in_time(self.connection.run(&add)).await
    }

    async fn members(&self, set: &RecordKey) -> Result<Vec<String>, StoreError> {
        let mut members = cmd("ZRANGEBYSCORE");
        members
            .arg(self.set(set))
            .arg(format!("({}", self.now()))
            .arg("+inf");
        in_time(self.connection.ask(&members)).await
    }

    async fn remove_member(&self, set: &RecordKey, member: &str) -> Result<(), StoreError> {
        let mut remove = cmd("ZREM");
        remove.arg(self.set(set)).arg(member);
        in_time(self.connection.ask(&remove)).await
    }
}

/// An end of life as the scripts want it: with digits only.
fn ends(at: OffsetDateTime) -> i64 {
    millis(at).max(0)
}

/// Takes apart what the scripts put together: end of life, version, value. What is not of that
/// form is no record of ours.
fn parse(raw: &[u8]) -> Option<Result<StoredRecord, StoreError>> {
    let mut parts = raw.splitn(3, |byte| *byte == b' ');
    let mut number = || std::str::from_utf8(parts.next()?).ok();
    let expires_at = number()?.parse().ok()?;
    let version = number()?.parse().ok()?;
    let value = parts.next()?.to_vec();
    Some(from_millis(expires_at).map(|expires_at| StoredRecord {
        value,
        version,
        expires_at,
    }))
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_may_be_any_bytes() {
        let record = parse(b"1700000000123 42 a \0\xff b").unwrap().unwrap();
        assert_eq!(record.value, b"a \0\xff b");
        assert_eq!(record.version, 42);
        assert_eq!(record.expires_at.unix_timestamp(), 1_700_000_000);
        for foreign in [&b""[..], b"1 2", b"a 2 x", b"1 -2 x", b"{}"] {
            assert!(parse(foreign).is_none());
        }
    }
}
