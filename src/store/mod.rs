//! The trait [`OtenStore`] and the stores.
//!
//! A store keeps small records under keys, each with a version and an end of life. Everything
//! this crate remembers goes through [`OtenStore`]: sessions, login attempts, tokens.
//!
//! | store | `session_store` | feature | outlives the process | shared by several processes |
//! |---|---|---|---|---|
//! | [`MemoryStore`] | `memory:` | | no | no |
//! | `SqliteStore` | `sqlite:PATH` | `sqlite` | yes | on one machine |
//! | `PostgresStore` | `postgres://…` | `postgres` | yes | yes |
//! | `RedisStore` | `redis://…`, `rediss://…` | `redis` | as the server is set up | yes |
//! | [`WrappedStore`], any other `SessionStore` | | | as that one does | no |
//!
//! [`open`] makes the one that the configuration names.
//!
//! ```
//! use axum_oten::store::{MemoryStore, OtenStore, RecordKey};
//! use time::{Duration, OffsetDateTime};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), axum_oten::store::StoreError> {
//! let store = MemoryStore::default();
//! let (key, soon) = (RecordKey::new("example", "1"), OffsetDateTime::now_utc() + Duration::HOUR);
//!
//! // The first one to come gets the place, the second one does not.
//! assert!(store.insert(&key, b"first", soon).await?);
//! assert!(!store.insert(&key, b"second", soon).await?);
//!
//! // A record is taken once, and what is gone cannot be replaced.
//! assert_eq!(store.take(&key).await?.as_deref(), Some(&b"first"[..]));
//! assert_eq!(store.take(&key).await?, None);
//! assert!(!store.replace(&key, None, b"third", soon).await?);
//! # Ok(()) }
//! ```

mod memory;
mod open;
mod outside;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod pool;
#[cfg(feature = "postgres")]
mod postgres;
mod probe;
mod record_key;
mod records;
#[cfg(feature = "redis")]
mod redis;
mod shared;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod sql;
#[cfg(feature = "sqlite")]
mod sqlite;
mod wrapped;

#[cfg(feature = "postgres")]
#[cfg_attr(docsrs, doc(cfg(feature = "postgres")))]
pub use self::postgres::PostgresStore;
#[cfg(feature = "check")]
pub(crate) use self::probe::{ProbeError, Sealed};
pub(crate) use self::records::{Found, RecordKind, Records};
#[cfg(feature = "redis")]
#[cfg_attr(docsrs, doc(cfg(feature = "redis")))]
pub use self::redis::RedisStore;
#[cfg(feature = "sqlite")]
#[cfg_attr(docsrs, doc(cfg(feature = "sqlite")))]
pub use self::sqlite::SqliteStore;

pub use self::{memory::MemoryStore, open::open, record_key::RecordKey, wrapped::WrappedStore};

use std::fmt::Debug;

use async_trait::async_trait;
use time::OffsetDateTime;

/// A store of small records.
///
/// Every operation acts on one record at once: of two that race, one comes first and the other
/// sees what it did. A record past its end of life does not exist; the store removes it at some time.
/// The crate gives each operation 2 seconds. Values are of some hundred bytes to a few KiB, and as
/// large as what the app puts into its session.
#[async_trait]
pub trait OtenStore: Debug + Send + Sync + 'static {
    /// Puts a record where none is. Answers `false`, and changes nothing, where one is.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the store cannot be asked; whether the record is there is then unknown.
    async fn insert(
        &self,
        key: &RecordKey,
        value: &[u8],
        expires_at: OffsetDateTime,
    ) -> Result<bool, StoreError>;

    /// The record, if there is one.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the store cannot be asked.
    async fn load(&self, key: &RecordKey) -> Result<Option<StoredRecord>, StoreError>;

    /// Replaces a record that is there: any version of it, or only `version`. Answers `false`, and
    /// changes nothing, where there is none or another version. It never makes a record.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the store cannot be asked; which value is there is then unknown.
    async fn replace(
        &self,
        key: &RecordKey,
        version: Option<u64>,
        value: &[u8],
        expires_at: OffsetDateTime,
    ) -> Result<bool, StoreError>;

    /// Moves a record's end of life and leaves value and version alone. Answers `false` where
    /// there is none.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the store cannot be asked.
    async fn touch(&self, key: &RecordKey, expires_at: OffsetDateTime) -> Result<bool, StoreError>;

    /// Removes a record and hands it out, to one caller only.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the store cannot be asked; whether the record is there is then unknown.
    async fn take(&self, key: &RecordKey) -> Result<Option<Vec<u8>>, StoreError>;

    /// Removes a record that still has this value: who put it there takes it back, and leaves alone
    /// what somebody else has put there since. Answers `false`, and changes nothing, where there is
    /// none or another value.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the store cannot be asked; whether the record is there is then unknown.
    async fn remove_if(&self, key: &RecordKey, value: &[u8]) -> Result<bool, StoreError>;

    /// Puts a member into a set, until `expires_at`; one that is there already gets this end of
    /// life. A set is there as long as it has members, and has nothing to do with a record under the
    /// same key. Of two adds that race, none is lost.
    ///
    /// A member is a short text, at most 1 KiB.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the store cannot be asked; whether the member is there is then unknown.
    async fn add_member(
        &self,
        set: &RecordKey,
        member: &str,
        expires_at: OffsetDateTime,
    ) -> Result<(), StoreError>;

    /// The members of a set, in no particular order; none where there is no set.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the store cannot be asked.
    async fn members(&self, set: &RecordKey) -> Result<Vec<String>, StoreError>;

    /// Removes a member from a set, if it is there.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the store cannot be asked; whether the member is there is then unknown.
    async fn remove_member(&self, set: &RecordKey, member: &str) -> Result<(), StoreError>;

    /// Whether the records leave this process, for a file or a server that others may read. A store
    /// that does not say so counts as one whose records do.
    fn is_external(&self) -> bool {
        true
    }
}

/// A record as a store holds it.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredRecord {
    /// What was put in.
    pub value: Vec<u8>,
    /// Differs from the version of every earlier value under this key.
    pub version: u64,
    /// The end of the record's life.
    pub expires_at: OffsetDateTime,
}

impl Debug for StoredRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredRecord")
            .field("version", &self.version)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// Why a store could not be asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The store did not answer in time.
    #[error("the session store did not answer in time")]
    TimedOut,
    /// A record is already under a new random id: the store does not do what it says.
    #[error("the session store says that a new random id is taken")]
    Occupied,
    /// The store's address cannot be used.
    #[error("the session store's address cannot be used: correct `session_store`")]
    Address(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// This build has no store of that kind.
    #[error(
        "this build has no store for `{scheme}:`: switch on the feature `{feature}` of the crate \
         `axum-oten`"
    )]
    FeatureOff {
        /// What the address begins with.
        scheme: &'static str,
        /// The feature of this crate that has the store.
        feature: &'static str,
    },
    /// The store failed.
    #[error("the session store failed")]
    Backend(#[source] Box<dyn std::error::Error + Send + Sync>),
}
