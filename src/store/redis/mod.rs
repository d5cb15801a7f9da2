mod call;
mod cluster;
mod connection;
mod node;
mod sentinel;
mod server;

use std::{
    fmt,
    sync::{Arc, LazyLock},
    time::Duration,
};

use ::redis::FromRedisValue;
use async_trait::async_trait;
use bytes::Buf;

use self::{
    call::{Call, Script},
    connection::Connection,
};
use super::{
    Bytes, MAX_EXCESS, OtenStore, RecordKey, StoreError, StoredRecord,
    external::{max_expiry, random_version, stored_millis, texts, warn_if_unreachable},
};
use crate::clock::Clock;

/// A store in a Redis server, a Redis Cluster or a master that sentinels watch, shared by any number of
/// processes.
///
/// Works with Redis 5 or later and any server that runs its Lua scripts, such as Valkey. Holds one
/// connection, or one for each master of a cluster; clones share it. While the server is down, each
/// operation returns an error within 2 seconds. During a failover, an operation that was not executed is
/// repeated for half a second.
///
/// Durability depends on the server. To keep sessions across its restarts, turn on `appendonly`, and
/// set `maxmemory-policy noeviction` or provide enough memory. A replica that takes over may lack
/// the last writes. With `rediss` the system's certificate authorities verify the server, or those in
/// the file of `sslrootcert`.
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
    /// Connects to the server at a URL, `redis://USER:PASSWORD@HOST:PORT/DATABASE`, to the cluster with
    /// the nodes `redis+cluster://USER:PASSWORD@HOST:PORT,HOST:PORT`, or to the master that the sentinels
    /// `redis+sentinel://USER:PASSWORD@HOST:PORT,HOST:PORT/SERVICE/DATABASE` name. For TLS, the schemes
    /// begin with `rediss`.
    ///
    /// A server that does not answer is not an error; each operation tries to connect again.
    ///
    /// # Errors
    ///
    /// [`StoreError::Address`] if the URL is invalid or the file of `sslrootcert` cannot be read.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        let connection = Connection::new(url)?;
        warn_if_unreachable(connection.check().await);
        Ok(Self {
            connection: Arc::new(connection),
            prefix: "oten:".to_owned(),
            clock: Clock::system(),
        })
    }

    /// Sets the prefix of the keys on the server. Defaults to `oten:`.
    #[must_use]
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Sets the clock that decides when records expire, for tests. Defaults to the clock of the
    /// server, also if `clock` is the system's.
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

    /// Returns the call of a script whose first argument is the time of an injected clock, or empty.
    fn script(&self, script: &'static Script, key: String) -> Call {
        let mut call = Call::script(script, key);
        match self.clock.manual_millis() {
            Some(now) => call.arg(now),
            None => call.arg(""),
        };
        call
    }

    async fn invoke<T: FromRedisValue>(&self, call: &Call) -> Result<T, StoreError> {
        let (result, _) = self.connection.execute(call).await?;
        Ok(result)
    }
}

#[async_trait]
impl OtenStore for RedisStore {
    async fn insert(
        &self,
        key: &RecordKey,
        value: &[u8],
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        let mut insert = self.script(&INSERT, self.record(key));
        insert
            .arg(stored_millis(ttl))
            .arg(random_version())
            .arg(value);
        self.invoke(&insert).await
    }

    async fn load(&self, key: &RecordKey) -> Result<Option<StoredRecord>, StoreError> {
        let get = Call::get(self.record(key));
        let (found, now) = self.connection.execute::<Option<Vec<u8>>>(&get).await?;
        let now = self.clock.manual_millis().unwrap_or(now);
        Ok(found.and_then(|raw| parse(raw, now)))
    }

    async fn replace(
        &self,
        key: &RecordKey,
        version: Option<u64>,
        value: &[u8],
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        let version = version.map(|version| version.to_string());
        let mut replace = self.script(&REPLACE, self.record(key));
        replace
            .arg(stored_millis(ttl))
            .arg(random_version())
            .arg(value)
            .arg(version.unwrap_or_default());
        self.invoke(&replace).await
    }

    async fn touch(&self, key: &RecordKey, ttl: Duration) -> Result<bool, StoreError> {
        let mut touch = self.script(&TOUCH, self.record(key));
        touch.arg(stored_millis(ttl));
        self.invoke(&touch).await
    }

    async fn take(&self, key: &RecordKey) -> Result<Option<Bytes>, StoreError> {
        let take = self.script(&TAKE, self.record(key));
        let taken: Option<Vec<u8>> = self.invoke(&take).await?;
        Ok(taken.map(Bytes::from))
    }

    async fn remove_if(&self, key: &RecordKey, value: &[u8]) -> Result<bool, StoreError> {
        let mut remove = self.script(&REMOVE_IF, self.record(key));
        remove.arg(value);
        self.invoke(&remove).await
    }

    async fn add_member(
        &self,
        set: &RecordKey,
        member: &str,
        ttl: Duration,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        let mut add = self.script(&ADD_MEMBER, self.set(set));
        add.arg(stored_millis(ttl))
            .arg(member)
            .arg(limit)
            .arg(MAX_EXCESS);
        let excess: Vec<Vec<u8>> = self.invoke(&add).await?;
        Ok(texts(excess))
    }

    async fn members(&self, set: &RecordKey) -> Result<Vec<String>, StoreError> {
        let members = self.script(&MEMBERS, self.set(set));
        let members: Vec<Vec<u8>> = self.invoke(&members).await?;
        Ok(texts(members))
    }

    async fn remove_member(&self, set: &RecordKey, member: &str) -> Result<(), StoreError> {
        let mut remove = self.script(&REMOVE_MEMBER, self.set(set));
        remove.arg(member);
        self.invoke(&remove).await
    }
}

/// The longest number in a record: 19 digits fit 64 bits.
const MAX_DIGITS: usize = 19;

/// Parses what the scripts write: expiry, version and value. Returns `None` for any other value, and
/// for a record that has expired.
fn parse(raw: Vec<u8>, now: i64) -> Option<StoredRecord> {
    let mut parts = raw.splitn(3, |byte| *byte == b' ');
    let mut number = || {
        let part = parts.next().filter(|part| part.len() <= MAX_DIGITS)?;
        let digits = std::str::from_utf8(part).ok()?;
        let is_canonical = !digits.starts_with('0') || digits == "0";
        let is_number = is_canonical && digits.bytes().all(|digit| digit.is_ascii_digit());
        digits.parse::<u64>().ok().filter(|_| is_number)
    };
    let expires_at = number()?.try_into().ok()?;
    let version = number()?;
    let value = parts.next()?.len();
    let is_live = expires_at > now && expires_at <= max_expiry!();
    let mut bytes = Bytes::from(raw);
    bytes.advance(bytes.len() - value);
    is_live.then(|| StoredRecord {
        value: bytes,
        version,
        ttl: Duration::from_millis(now.abs_diff(expires_at)),
    })
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// The first part of every script: the time in milliseconds, and how much longer than a record's
/// lifetime the server keeps it. The clock of the server decides when a record expires. An injected
/// clock may be behind it, so records are then kept for another minute.
const CLOCK: &str = concat!(
    "local max_expiry = ",
    max_expiry!(),
    r"
local key, now, margin = KEYS[1], tonumber(ARGV[1]), 60000
if not now then
  local time = redis.call('TIME')
  now, margin = time[1] * 1000 + math.floor(time[2] / 1000), 0
end
"
);

/// The second part of every script that handles a record. A record is one string: its expiry in
/// milliseconds, its version and its value, separated by spaces. Any other value of the key, also one of
/// another type, is malformed and counts as absent.
const RECORD: &str = r"
local raw = redis.pcall('GET', key)
if type(raw) == 'table' and not string.find(raw.err, '^WRONGTYPE') then
  return raw
end
local expiry, version, from
if type(raw) == 'string' then
  expiry, version, from = string.match(raw, '^([1-9]%d*) (%d+) ()')
end
local is_live = expiry and tonumber(expiry) > now and tonumber(expiry) <= max_expiry
  and #version <= 19 and not string.find(version, '^0%d')
local function put(ttl, version, value)
  local expiry = string.format('%.0f', now + ttl)
  redis.call('SET', key, expiry .. ' ' .. version .. ' ' .. value)
  redis.call('PEXPIRE', key, ttl + margin)
end
";

fn record_script(body: &str) -> Script {
    Script::new(&[CLOCK, RECORD, body])
}

/// Arguments: now, lifetime, version, value.
static INSERT: LazyLock<Script> = LazyLock::new(|| {
    record_script(
        "if is_live then return 0 end
         put(ARGV[2], ARGV[3], ARGV[4])
         return 1",
    )
});

/// Arguments: now, lifetime, new version, value, version to replace or an empty string.
static REPLACE: LazyLock<Script> = LazyLock::new(|| {
    record_script(
        "if not is_live then return 0 end
         if ARGV[5] ~= '' and ARGV[5] ~= version then return 0 end
         put(ARGV[2], ARGV[3], ARGV[4])
         return 1",
    )
});

/// Arguments: now, lifetime.
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

/// The second part of every script that handles a set, which is sorted by the expiry of its members.
const SET: &str = r"
local function score(expiry)
  return string.format('%.0f', expiry)
end
local is_set = redis.call('TYPE', key).ok == 'zset'
";

fn set_script(body: &str) -> Script {
    Script::new(&[CLOCK, SET, body])
}

/// Arguments: now, lifetime, member, limit, number of members to remove at most. The set expires with
/// its last member.
static ADD_MEMBER: LazyLock<Script> = LazyLock::new(|| {
    set_script(
        "if not is_set then redis.call('DEL', key) end
         redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
         redis.call('ZREMRANGEBYSCORE', key, '(' .. score(max_expiry), '+inf')
         redis.call('ZADD', key, score(now + ARGV[2]), ARGV[3])
         local count = math.min(redis.call('ZCARD', key) - ARGV[4], ARGV[5])
         local excess = {}
         if count > 0 then
           for _, member in ipairs(redis.call('ZRANGE', key, 0, count)) do
             if member ~= ARGV[3] and #excess < count then
               excess[#excess + 1] = member
             end
           end
         end
         local last = redis.call('ZREVRANGE', key, 0, 0, 'WITHSCORES')
         redis.call('PEXPIRE', key, score(last[2] - now + margin))
         return excess",
    )
});

/// Arguments: now.
static MEMBERS: LazyLock<Script> = LazyLock::new(|| {
    set_script(
        "if not is_set then return {} end
         return redis.call('ZRANGEBYSCORE', key, '(' .. score(now), score(max_expiry))",
    )
});

/// Arguments: now, member.
static REMOVE_MEMBER: LazyLock<Script> =
    LazyLock::new(|| set_script("if is_set then redis.call('ZREM', key, ARGV[2]) end"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_can_contain_any_bytes() {
        let record = parse(b"1700000000123 42 a \0\xff b".to_vec(), 1_700_000_000_000).unwrap();
        assert_eq!(record.value, b"a \0\xff b"[..]);
        assert_eq!(record.version, 42);
        assert_eq!(record.ttl, Duration::from_millis(123));
    }
}
