//! The storage trait [`OtenStore`] and its implementations.
//!
//! A store holds small, versioned records that expire. All state that this crate keeps between
//! requests goes through [`OtenStore`]: sessions, login attempts and tokens.
//!
//! | store | `session_store` | feature | survives a restart | shared by several processes |
//! |---|---|---|---|---|
//! | [`MemoryStore`] | `memory:` | | no | no |
//! | `SqliteStore` | `sqlite:PATH` | `sqlite` | yes | on one machine |
//! | `PostgresStore` | `postgres://…` | `postgres` | yes | yes |
//! | `RedisStore` | `redis://…`, `rediss://…` | `redis` | depends on the server's configuration | yes |
//!
//! [`open`] opens the store that the configuration names. For any other store, implement
//! [`OtenStore`]: `examples/custom_store.rs` does so on top of a tower-sessions `SessionStore`.
//!
//! ```
//! use axum_oten::store::{MemoryStore, OtenStore, RecordKey};
//! use time::{Duration, OffsetDateTime};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), axum_oten::store::StoreError> {
//! let store = MemoryStore::default();
//! let key = RecordKey::new("example", "1");
//! let expires_at = OffsetDateTime::now_utc() + Duration::HOUR;
//!
//! // The first insert succeeds, the second one finds a record.
//! assert!(store.insert(&key, b"first", expires_at).await?);
//! assert!(!store.insert(&key, b"second", expires_at).await?);
//!
//! // A record can be taken once, and `replace` never creates one.
//! assert_eq!(store.take(&key).await?.as_deref(), Some(&b"first"[..]));
//! assert_eq!(store.take(&key).await?, None);
//! assert!(!store.replace(&key, None, b"third", expires_at).await?);
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

use std::fmt::{self, Debug};

use async_trait::async_trait;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use crate::config::{Config, without_slash};

/// A store of small, versioned records that expire.
///
/// Implement this trait to keep sessions in a store that this crate does not support. An
/// implementation must meet these requirements:
///
/// - **Operations are atomic.** Concurrent operations on one record take effect one after the
///   other, and each sees the result of those before it, also when they come from several
///   processes that share the store.
/// - **Records expire.** From `expires_at` on, every operation treats the record as absent, even
///   if the store removes it later.
/// - **Acknowledged writes are visible** to every operation that starts afterwards.
///
/// The methods are asynchronous through [`async_trait`](https://docs.rs/async-trait/0.1):
/// implementations need the attribute `#[async_trait]`.
///
/// The crate abandons an operation that takes longer than 2 seconds. Values are a few hundred
/// bytes to a few KiB long; a session record also contains the data that the app stores in its session.
///
/// Every operation returns [`StoreError`] if the store cannot be reached or fails. It is then unknown
/// whether a write has taken effect.
#[async_trait]
pub trait OtenStore: Debug + Send + Sync + 'static {
    /// Inserts a record and returns `true`, or returns `false` and changes nothing if a record
    /// exists under `key`.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store fails.
    async fn insert(
        &self,
        key: &RecordKey,
        value: &[u8],
        expires_at: OffsetDateTime,
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
        expires_at: OffsetDateTime,
    ) -> Result<bool, StoreError>;

    /// Changes the expiry of a record, keeps its value and version, and returns `true`. Returns
    /// `false` if the record does not exist.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store fails.
    async fn touch(&self, key: &RecordKey, expires_at: OffsetDateTime) -> Result<bool, StoreError>;

    /// Removes a record and returns its value, or `None` if it does not exist. Of concurrent
    /// calls, only one receives the value.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store fails.
    async fn take(&self, key: &RecordKey) -> Result<Option<Vec<u8>>, StoreError>;

    /// Removes the record only if its value equals `value`, and returns whether it was removed.
    ///
    /// It releases a lease: an owner whose lease has expired must not remove the lease of the next
    /// owner.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store fails.
    async fn remove_if(&self, key: &RecordKey, value: &[u8]) -> Result<bool, StoreError>;

    /// Adds a member to a set until `expires_at`, or changes the expiry of an existing member.
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
        expires_at: OffsetDateTime,
    ) -> Result<(), StoreError>;

    /// Returns the members of a set in no particular order. Returns an empty `Vec` if the set does
    /// not exist.
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
    /// session key, which seals sessions, tokens and login attempts. In production it requires an
    /// external store.
    fn is_external(&self) -> bool {
        true
    }
}

/// A record as [`OtenStore::load`] returns it.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredRecord {
    /// The value that was last written.
    pub value: Vec<u8>,
    /// The version of the value. It differs from every earlier version under the same key.
    pub version: u64,
    /// The time from which the record counts as absent.
    pub expires_at: OffsetDateTime,
}

/// Omits the value, which may be secret.
impl Debug for StoredRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredRecord")
            .field("version", &self.version)
            .field("expires_at", &self.expires_at)
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
        for part in [without_slash(&issuer), config.client().id()] {
            // The length separates the parts.
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
        // Hashed to a fixed length, so that the kind and ID that follow cannot be mistaken for part
        // of the realm.
        Self(Sha256::new_with_prefix(hash.finalize()))
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
/// value from addressing a record of another kind.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordKey {
    hash: [u8; 32],
    kind: &'static str,
}

impl RecordKey {
    /// Creates the key of the record with this kind and ID.
    #[must_use]
    pub fn new(kind: &'static str, id: &str) -> Self {
        Self::in_realm(&Realm::default(), kind, id)
    }

    /// Creates the key of a record in a realm.
    pub(crate) fn in_realm(realm: &Realm, kind: &'static str, id: &str) -> Self {
        let hash = realm
            .0
            .clone()
            .chain_update(kind)
            // No kind contains a zero byte, so `("a", "bc")` and `("ab", "c")` have different keys.
            .chain_update([0])
            .chain_update(id);
        Self {
            hash: hash.finalize().into(),
            kind,
        }
    }

    /// Parses the hash from the text that `Display` writes.
    pub(crate) fn from_hex(kind: &'static str, text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        let mut hash = [0; 32];
        if digits.len() != 2 * hash.len() {
            return None;
        }
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |digit: u8| char::from(digit).to_digit(16);
            let (high, low) = (digit(pair[0])?, digit(pair[1])?);
            *byte = u8::try_from(16 * high + low).ok()?;
        }
        Some(Self { hash, kind })
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
}

/// Writes the hash as 64 hexadecimal digits, for stores with text keys.
impl fmt::Display for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.hash
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Debug for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecordKey({}, {self})", self.kind)
    }
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
