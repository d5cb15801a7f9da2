//! What can be asked of a store, and the stores.
//!
//! A store keeps small records under keys, each with a version and an end of life. Everything
//! this crate remembers goes through [`OtenStore`]: sessions, login attempts, tokens.
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
mod record_key;

pub use self::{memory::MemoryStore, record_key::RecordKey};

use std::fmt::Debug;

use async_trait::async_trait;
use time::OffsetDateTime;

/// A store of small records.
///
/// Every operation acts on one record at once: of two that race, one comes first and the other
/// sees what it did. A record past its end of life does not exist.
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

    /// Removes a record that still has this value. Answers `false` where there is none or another
    /// value.
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

    /// Whether the records leave this process, so that tokens in them must be sealed. An unknown store
    /// counts as outside.
    fn is_outside(&self) -> bool {
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
    /// The store failed.
    #[error("the session store failed")]
    Backend(#[source] Box<dyn std::error::Error + Send + Sync>),
}
