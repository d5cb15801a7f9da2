mod connection;

use std::{
    fmt,
    sync::{Arc, LazyLock},
};

use ::redis::{Script, cmd};
use async_trait::async_trait;
use time::OffsetDateTime;

use self::connection::Connection;
use super::{
    OtenStore, RecordKey, StoreError, StoredRecord,
    external::{from_millis, random_version, to_millis, warn_if_unreachable},
};
use crate::clock::Clock;

/// A store in a Redis server, shared by any number of processes.
///
/// Works with any server that runs Lua scripts, such as Valkey, but not with a cluster. Holds one
/// connection; clones share it. While the server is down, each operation returns an error within
/// 2 seconds.
///
/// Durability depends on the server. To keep sessions across its restarts, turn on `appendonly`, and
/// set `maxmemory-policy noeviction` or provide enough memory. A replica that takes over may lack
/// the last writes. With `rediss://` the system's certificate authorities verify the server.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use axum_oten::store::{RedisStore, StoreError};
///
/// let result = RedisStore::connect("https://redis.example.com").await;
/// assert!(matches!(result, Err(StoreError::Address(_))));
/// # }
/// ```
#[derive(Clone)]
pub struct RedisStore {
    connection: Arc<Connection>,
    prefix: String,
    clock: Clock,
}

impl RedisStore {
    /// Connects to the server at a URL, `redis://USER:PASSWORD@HOST:PORT/DATABASE`, or `rediss://`
    /// for TLS.
    ///
    /// A server that does not answer is not an error; each operation tries to connect again.
    ///
    /// # Errors
    ///
    /// [`StoreError::Address`] if the URL is invalid.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        let connection = Connection::new(url)?;
        warn_if_unreachable(connection.query(&cmd("PING")).await);
        Ok(Self {
            connection: Arc::new(connection),
            prefix: "oten:".to_owned(),
            clock: Clock::system(),
        })
    }

    /// Sets the prefix of the keys on the server. Defaults to `oten:`. Two apps that share a
    /// database need different prefixes.
    #[must_use]
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Sets the clock that decides when records expire. Defaults to the system clock.
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
        to_millis(self.clock.now())
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
        let mut insert = INSERT.key(self.record(key));
        insert
            .arg(self.now())
            .arg(script_expiry(expires_at))
            .arg(random_version())
            .arg(value);
        self.connection.invoke(&insert).await
    }

    async fn load(&self, key: &RecordKey) -> Result<Option<StoredRecord>, StoreError> {
        let mut get = cmd("GET");
        get.arg(self.record(key));
        let found: Option<Vec<u8>> = self.connection.query(&get).await?;
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
        let mut replace = REPLACE.key(self.record(key));
        replace
            .arg(self.now())
            .arg(script_expiry(expires_at))
            .arg(random_version())
            .arg(value)
            .arg(
                version
                    .map(|version| version.to_string())
                    .unwrap_or_default(),
            );
        self.connection.invoke(&replace).await
    }

    async fn touch(&self, key: &RecordKey, expires_at: OffsetDateTime) -> Result<bool, StoreError> {
        let mut touch = TOUCH.key(self.record(key));
        touch.arg(self.now()).arg(script_expiry(expires_at));
        self.connection.invoke(&touch).await
    }

    async fn take(&self, key: &RecordKey) -> Result<Option<Vec<u8>>, StoreError> {
        let mut take = TAKE.key(self.record(key));
        take.arg(self.now());
        self.connection.invoke(&take).await
    }

    async fn remove_if(&self, key: &RecordKey, value: &[u8]) -> Result<bool, StoreError> {
        let mut remove = REMOVE_IF.key(self.record(key));
        remove.arg(self.now()).arg(value);
        self.connection.invoke(&remove).await
    }

    async fn add_member(
        &self,
        set: &RecordKey,
        member: &str,
        expires_at: OffsetDateTime,
    ) -> Result<(), StoreError> {
        let mut add = ADD_MEMBER.key(self.set(set));
        add.arg(self.now())
            .arg(script_expiry(expires_at))
            .arg(member);
        self.connection.invoke(&add).await
    }

    async fn members(&self, set: &RecordKey) -> Result<Vec<String>, StoreError> {
        let mut members = cmd("ZRANGEBYSCORE");
        members
            .arg(self.set(set))
            .arg(format!("({}", self.now()))
            .arg("+inf");
        self.connection.query(&members).await
    }

    async fn remove_member(&self, set: &RecordKey, member: &str) -> Result<(), StoreError> {
        let mut remove = cmd("ZREM");
        remove.arg(self.set(set)).arg(member);
        self.connection.query(&remove).await
    }
}

/// Converts an expiry to the form that [`RECORD_PRELUDE`] parses: digits without a sign.
fn script_expiry(at: OffsetDateTime) -> i64 {
    to_millis(at).max(0)
}

/// Parses what the scripts write: expiry, version and value. Returns `None` for any other value.
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

/// The first part of every script that handles a record. A record is one string: its expiry in
/// milliseconds, its version and its value, separated by spaces. The app's clock decides when a
/// record expires; the server removes it a minute later, in case the server's clock is ahead.
const RECORD_PRELUDE: &str = r"
local key, now = KEYS[1], tonumber(ARGV[1])
local raw = redis.call('GET', key)
local expiry, version, from
if raw then
  expiry, version, from = string.match(raw, '^(%d+) (%d+) ()')
end
local is_live = expiry and tonumber(expiry) > now
local function put(expiry, version, value)
  redis.call('SET', key, expiry .. ' ' .. version .. ' ' .. value)
  redis.call('PEXPIREAT', key, string.format('%.0f', tonumber(expiry) + 60000))
end
";

fn record_script(body: &str) -> Script {
    Script::new(&format!("{RECORD_PRELUDE}{body}"))
}

/// Arguments: now, expiry, version, value.
static INSERT: LazyLock<Script> = LazyLock::new(|| {
    record_script(
        "if is_live then return 0 end
         put(ARGV[2], ARGV[3], ARGV[4])
         return 1",
    )
});

/// Arguments: now, expiry, new version, value, version to replace or an empty string.
static REPLACE: LazyLock<Script> = LazyLock::new(|| {
    record_script(
        "if not is_live then return 0 end
         if ARGV[5] ~= '' and ARGV[5] ~= version then return 0 end
         put(ARGV[2], ARGV[3], ARGV[4])
         return 1",
    )
});

/// Arguments: now, expiry.
static TOUCH: LazyLock<Script> = LazyLock::new(|| {
    record_script(
        "if not is_live then return 0 end
         put(ARGV[2], version, string.sub(raw, from))
         return 1",
    )
});

/// Arguments: now.
static TAKE: LazyLock<Script> = LazyLock::new(|| {
    record_script(
        "if not is_live then return false end
         redis.call('DEL', key)
         return string.sub(raw, from)",
    )
});

/// Arguments: now, value.
static REMOVE_IF: LazyLock<Script> = LazyLock::new(|| {
    record_script(
        "if not is_live or string.sub(raw, from) ~= ARGV[2] then return 0 end
         redis.call('DEL', key)
         return 1",
    )
});

/// Arguments: now, expiry, member. The set expires with its last member.
static ADD_MEMBER: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local key = KEYS[1]
         redis.call('ZREMRANGEBYSCORE', key, '-inf', ARGV[1])
         redis.call('ZADD', key, ARGV[2], ARGV[3])
         local last = redis.call('ZREVRANGE', key, 0, 0, 'WITHSCORES')
         redis.call('PEXPIREAT', key, string.format('%.0f', tonumber(last[2]) + 60000))",
    )
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_can_contain_any_bytes() {
        let record = parse(b"1700000000123 42 a \0\xff b").unwrap().unwrap();
        assert_eq!(record.value, b"a \0\xff b");
        assert_eq!(record.version, 42);
        assert_eq!(record.expires_at.unix_timestamp(), 1_700_000_000);
        for foreign in [&b""[..], b"1 2", b"a 2 x", b"1 -2 x", b"{}"] {
            assert!(parse(foreign).is_none());
        }
    }
}
