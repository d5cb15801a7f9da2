//! The storage trait [`OtenStore`] and its implementations.
//!
//! A store holds small, versioned records that expire. All state that this crate keeps between
//! requests goes through [`OtenStore`]: sessions, tokens, login attempts, kept forms, codes of native apps,
//! leases and notes of logout tokens.
//!
//! | store | `session_store` | feature | survives a restart | shared by several processes |
//! |---|---|---|---|---|
//! | [`MemoryStore`] | `memory:` | | no | no |
//! | `SqliteStore` | `sqlite:PATH` | `sqlite` | yes | on one machine |
//! | `PostgresStore` | `postgres://…` | `postgres` | yes | yes |
//! | `RedisStore` | `redis://…`, `redis+cluster://…`, `redis+sentinel://…` | `redis` | depends on the server's configuration | yes |
//!
//! [`open`] opens the store that the configuration names. For any other store, implement
//! [`OtenStore`]: `examples/custom_store.rs` does so on top of a tower-sessions `SessionStore`.
//!
//! ```
//! use std::time::Duration;
//!
//! use axum_oten::store::{MemoryStore, OtenStore, RecordKey};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), axum_oten::store::StoreError> {
//! let store = MemoryStore::default();
//! let key = RecordKey::new("example", "1");
//! let ttl = Duration::from_secs(3600);
//!
//! // The first insert succeeds, the second one finds a record.
//! assert!(store.insert(&key, b"first", ttl).await?);
//! assert!(!store.insert(&key, b"second", ttl).await?);
//!
//! // A record can be taken once, and `replace` never creates one.
//! assert_eq!(store.take(&key).await?.as_deref(), Some(&b"first"[..]));
//! assert_eq!(store.take(&key).await?, None);
//! assert!(!store.replace(&key, None, b"third", ttl).await?);
//! # Ok(()) }
//! ```

#[cfg(any(feature = "postgres", feature = "redis", feature = "sqlite"))]
mod external;
mod memory;
mod open;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod pool;
#[cfg(feature = "postgres")]
mod postgres;
mod records;
#[cfg(feature = "redis")]
mod redis;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod sql;
#[cfg(feature = "sqlite")]
mod sqlite;

#[cfg(feature = "postgres")]
#[cfg_attr(docsrs, doc(cfg(feature = "postgres")))]
pub use self::postgres::PostgresStore;
#[cfg(feature = "check")]
pub(crate) use self::records::{ProbeError, RecordEncoding};
#[cfg(feature = "redis")]
#[cfg_attr(docsrs, doc(cfg(feature = "redis")))]
pub use self::redis::RedisStore;
#[cfg(feature = "sqlite")]
#[cfg_attr(docsrs, doc(cfg(feature = "sqlite")))]
pub use self::sqlite::SqliteStore;

pub use self::{memory::MemoryStore, open::open};

pub(crate) use self::records::{LoadedRecord, RecordId, RecordKind, Records};

/// The values of records: a buffer that is cloned without a copy, from
/// [`bytes` 1](https://docs.rs/bytes/1).
pub use bytes::Bytes;

use std::{
    cmp::Ordering,
    fmt::{self, Debug},
    hash::{Hash, Hasher},
    time::Duration,
};

use async_trait::async_trait;
use sha2::{Digest, Sha256};

use crate::{
    config::Config,
    secret::{hex, unhex},
};

/// A store of small, versioned records that expire.
///
/// Implement this trait to keep sessions in a store that this crate does not support. An
/// implementation must meet these requirements:
///
/// - **Operations are atomic.** Concurrent operations on one record take effect one after the
///   other, and each sees the result of those before it, also when they come from several
///   processes that share the store.
/// - **Records expire by the clock of the store.** Once a record's `ttl` has elapsed, every operation
///   treats the record as absent, even if the store removes it later. The clocks of the processes that
///   share the store may differ, so they must not decide. A `ttl` that exceeds what the store can
///   represent is shortened; an operation never fails or panics because of it.
/// - **Acknowledged writes are visible** to every operation that starts afterwards.
/// - **Malformed records are absent.** If another program has written something else under a key,
///   every operation treats it as absent, and [`insert`](Self::insert) and
///   [`add_member`](Self::add_member) overwrite it.
///
/// The methods are asynchronous through [`async_trait`](https://docs.rs/async-trait/0.1):
/// implementations need the attribute `#[async_trait]`.
///
/// The crate abandons an operation that takes longer than 2 seconds. Values are a few hundred
/// bytes to a few KiB long; a session record also contains the data that the app stores in its session, and the
/// record of a form that a sign-in interrupts has up to 68 KiB.
///
/// Every operation returns [`StoreError`] if the store cannot be reached or fails. It is then unknown
/// whether a write has taken effect.
#[async_trait]
pub trait OtenStore: Debug + Send + Sync + 'static {
    /// Inserts a record that expires in `ttl` and returns `true`, or returns `false` and changes
    /// nothing if a record exists under `key`.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store fails.
    async fn insert(
        &self,
        key: &RecordKey,
        value: &[u8],
        ttl: Duration,
    ) -> Result<bool, StoreError>;

    /// Returns the record under `key`, or `None` if it does not exist.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store fails.
    async fn load(&self, key: &RecordKey) -> Result<Option<StoredRecord>, StoreError>;

    /// Replaces the value and expiry of an existing record, gives it a new version and returns
    /// `true`.
    ///
    /// If `version` is `Some`, the record is replaced only if it has this version (compare and
    /// set). Returns `false` and changes nothing if the record does not exist or has another
    /// version. Never creates a record.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store fails.
    async fn replace(
        &self,
        key: &RecordKey,
        version: Option<u64>,
        value: &[u8],
        ttl: Duration,
    ) -> Result<bool, StoreError>;

    /// Lets a record expire in `ttl` from now, keeps its value and version, and returns `true`.
    /// Returns `false` if the record does not exist.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store fails.
    async fn touch(&self, key: &RecordKey, ttl: Duration) -> Result<bool, StoreError>;

    /// Removes a record and returns its value, or `None` if it does not exist. Of concurrent
    /// calls, only one receives the value.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store fails.
    async fn take(&self, key: &RecordKey) -> Result<Option<Bytes>, StoreError>;

    /// Removes the record only if its value equals `value`, and returns whether it was removed.
    ///
    /// It releases a lease: an owner whose lease has expired must not remove the lease of the next
    /// owner.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store fails.
    async fn remove_if(&self, key: &RecordKey, value: &[u8]) -> Result<bool, StoreError>;

    /// Adds a member to a set until `ttl` has elapsed, or changes the expiry of an existing member.
    ///
    /// Returns the members beyond `limit`: those that expire first, but never the one that was added,
    /// and at most [`MAX_EXCESS`] of them. They stay in the set. The work is bounded by `limit`: a set
    /// that has grown larger is not read as a whole.
    ///
    /// A set exists while it has members, and is independent of a record under the same key.
    /// Concurrent calls must not lose members. A member is at most 1 KiB long.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store fails.
    async fn add_member(
        &self,
        set: &RecordKey,
        member: &str,
        ttl: Duration,
        limit: usize,
    ) -> Result<Vec<String>, StoreError>;

    /// Returns the members that a set has at one point in time, in no particular order. Returns an
    /// empty `Vec` if the set does not exist.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store fails.
    async fn members(&self, set: &RecordKey) -> Result<Vec<String>, StoreError>;

    /// Removes a member from a set. Does nothing if the set does not contain it.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store fails.
    async fn remove_member(&self, set: &RecordKey, member: &str) -> Result<(), StoreError>;

    /// Returns whether records leave the process, for example to a file or a server.
    ///
    /// Defaults to `true`. For an external store, [`Oten::new`](crate::Oten::new) requires a
    /// session key, which seals every record. In production it requires an external store.
    fn is_external(&self) -> bool {
        true
    }
}

/// The number of members that one call of [`OtenStore::add_member`] returns at most.
pub const MAX_EXCESS: usize = 16;

/// A record as [`OtenStore::load`] returns it.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredRecord {
    /// The value that was last written.
    pub value: Bytes,
    /// The version of the value. It differs from every earlier version under the same key.
    pub version: u64,
    /// The time until the record expires, by the clock of the store.
    pub ttl: Duration,
}

/// Omits the value, which may be secret.
impl Debug for StoredRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredRecord")
            .field("version", &self.version)
            .field("ttl", &self.ttl)
            .finish_non_exhaustive()
    }
}

/// The issuer and client that records belong to.
///
/// The realm is part of every key, so the records of another issuer, environment or client in the same
/// store are not found.
#[derive(Clone, Default)]
pub(crate) struct Realm(Sha256);

impl Realm {
    pub(crate) fn new(config: &Config) -> Self {
        let issuer = config.issuer().to_string();
        let mut hash = Sha256::new();
        for part in [&*issuer, config.client().id()] {
            // The length separates the parts.
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
        // Hashed to a fixed length, so that the kind and ID that follow cannot be mistaken for part
        // of the realm. Filled up to one block of SHA-256, which is compressed here for all keys.
        Self(Sha256::new_with_prefix(hash.finalize()).chain_update([0; 32]))
    }
}

impl Debug for Realm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Realm").finish_non_exhaustive()
    }
}

/// The key of a record: a hash of the record's kind and ID.
///
/// The hash hides IDs that would work as cookies from readers of the store. It also prevents a cookie
/// value from addressing a record of another kind. Keys are equal if their hashes are.
#[derive(Clone, Copy)]
pub struct RecordKey {
    hash: [u8; 32],
    kind: &'static str,
    group: &'static str,
}

impl RecordKey {
    /// Creates the key of the record with this kind and ID.
    #[must_use]
    pub fn new(kind: &'static str, id: &str) -> Self {
        Self::in_realm(&Realm::default(), kind, id.as_bytes())
    }

    /// Creates the key of a record in a realm.
    pub(crate) fn in_realm(realm: &Realm, kind: &'static str, id: &[u8]) -> Self {
        let hash = realm
            .0
            .clone()
            .chain_update(kind)
            // No kind contains a zero byte, so `("a", "bc")` and `("ab", "c")` have different keys.
            .chain_update([0])
            .chain_update(id);
        Self::from_hash(kind, hash.finalize().into())
    }

    /// Creates the key whose [`as_bytes`](Self::as_bytes) are these.
    pub(crate) fn from_hash(kind: &'static str, hash: [u8; 32]) -> Self {
        Self {
            hash,
            kind,
            group: kind,
        }
    }

    /// Sets the group by which a store can bound its records.
    pub(crate) fn in_group(self, group: &'static str) -> Self {
        Self { group, ..self }
    }

    /// Parses the hash from the text that `Display` writes.
    pub(crate) fn from_hex(kind: &'static str, text: &str) -> Option<Self> {
        unhex(text).map(|hash| Self::from_hash(kind, hash))
    }

    /// Returns the hash, for stores with binary keys.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.hash
    }

    /// Returns the kind of the record, such as `session`. The hash already covers it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// Returns the group of the record, such as `guest_session`; by default its kind.
    ///
    /// A store that bounds the number of its records can do so for each group. The group is only a
    /// hint: the record of a key is the same in each group.
    #[must_use]
    pub fn group(&self) -> &'static str {
        self.group
    }
}

impl PartialEq for RecordKey {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
    }
}

impl Eq for RecordKey {}

impl PartialOrd for RecordKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for RecordKey {
    fn cmp(&self, other: &Self) -> Ordering {
        self.hash.cmp(&other.hash)
    }
}

/// Hashes the first 8 bytes, which are uniformly distributed already.
impl Hash for RecordKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let first = self.hash.first_chunk().copied();
        state.write_u64(first.map_or(0, u64::from_ne_bytes));
    }
}

/// Writes the hash as 64 hexadecimal digits, for stores with text keys.
impl fmt::Display for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.hash))
    }
}

impl Debug for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecordKey({}, {self})", self.kind)
    }
}

/// Converts a lifetime to milliseconds, in which the stores count.
fn to_millis(ttl: Duration) -> i64 {
    i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX)
}

/// Error returned when an operation of a store fails or a store cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The store did not answer in time.
    #[error("the session store did not answer in time")]
    TimedOut,
    /// The store reports a record under a new random ID, so it does not work correctly.
    #[error("the session store reports an existing record under a new random ID")]
    Occupied,
    /// The address of the store is invalid.
    #[error("the address of the session store is invalid; correct `session_store`")]
    Address(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// This build does not include the store that the address names.
    #[error(
        "this build does not include the store for `{scheme}:`; enable the feature `{feature}` of \
         the crate `axum-oten`"
    )]
    FeatureOff {
        /// The scheme of the address.
        scheme: &'static str,
        /// The feature of this crate that includes the store.
        feature: &'static str,
    },
    /// The store's server cannot be used with these settings: its certificate breaks a rule, or it rejects
    /// the user, the password or a command.
    #[error("{problem}; {help}")]
    Misconfigured {
        /// What is wrong.
        problem: &'static str,
        /// How to fix it.
        help: &'static str,
        /// The error of the connection or of the server.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The store failed.
    #[error("the session store failed")]
    Backend(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl StoreError {
    /// Returns [`StoreError::Backend`] with this source.
    pub fn backend(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Backend(source.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kind_and_id_both_determine_the_key() {
        let keys = [
            RecordKey::new("a", "bc"),
            RecordKey::new("ab", "c"),
            RecordKey::new("abc", ""),
            RecordKey::new("a", "b\0c"),
        ];
        for (i, a) in keys.iter().enumerate() {
            assert!(keys[i + 1..].iter().all(|b| a != b));
        }
        assert_eq!(keys[0].to_string().len(), 64);
    }

    #[test]
    fn a_key_round_trips_through_its_hexadecimal_text() {
        let key = RecordKey::new("a", "bc");
        assert_eq!(RecordKey::from_hex("a", &key.to_string()), Some(key));
        let digits = "0".repeat(63);
        for text in [
            "",
            "zz",
            &digits,
            &format!("{digits}g"),
            &format!("{digits}00"),
        ] {
            assert_eq!(RecordKey::from_hex("a", text), None, "{text}");
        }
    }
}
