use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use super::{Bytes, MemoryStore, OtenStore, RecordKey, StoreError, StoredRecord};
use crate::config::StoreUrl;

/// Opens the store that the configuration names.
///
/// A server that does not answer yet is not an error: a warning is logged, and operations return
/// an error within 2 seconds until the server answers.
///
/// ```
/// use axum_oten::{config::StoreUrl, store};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), store::StoreError> {
/// let store = store::open(&StoreUrl::Memory).await?;
/// assert!(!store.is_external());
/// # Ok(()) }
/// ```
///
/// # Errors
///
/// - [`StoreError::FeatureOff`] if this build does not include the store.
/// - [`StoreError::Address`] if the URL is invalid.
/// - [`StoreError::Backend`] if a SQLite file cannot be opened.
pub async fn open(url: &StoreUrl) -> Result<Arc<dyn OtenStore>, StoreError> {
    match url {
        StoreUrl::Memory => Ok(Arc::new(MemoryStore::default())),
        #[cfg(feature = "sqlite")]
        StoreUrl::Sqlite(path) => Ok(Arc::new(super::SqliteStore::open(path).await?)),
        #[cfg(not(feature = "sqlite"))]
        StoreUrl::Sqlite(_) => Err(feature_off("sqlite")),
        #[cfg(feature = "postgres")]
        StoreUrl::Postgres(url) => Ok(Arc::new(super::PostgresStore::connect(url.expose()).await?)),
        #[cfg(not(feature = "postgres"))]
        StoreUrl::Postgres(_) => Err(feature_off("postgres")),
        #[cfg(feature = "redis")]
        StoreUrl::Redis(url) => Ok(Arc::new(super::RedisStore::connect(url.expose()).await?)),
        #[cfg(not(feature = "redis"))]
        StoreUrl::Redis(_) => Err(feature_off("redis")),
    }
}

#[cfg(not(all(feature = "postgres", feature = "redis", feature = "sqlite")))]
fn feature_off(name: &'static str) -> StoreError {
    StoreError::FeatureOff {
        scheme: name,
        feature: name,
    }
}

/// Forwards to the shared store, so an app can keep a handle to the store that it passes on.
#[async_trait]
impl<S: OtenStore + ?Sized> OtenStore for Arc<S> {
    async fn insert(
        &self,
        key: &RecordKey,
        value: &[u8],
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        (**self).insert(key, value, ttl).await
    }

    async fn load(&self, key: &RecordKey) -> Result<Option<StoredRecord>, StoreError> {
        (**self).load(key).await
    }

    async fn replace(
        &self,
        key: &RecordKey,
        version: Option<u64>,
        value: &[u8],
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        (**self).replace(key, version, value, ttl).await
    }

    async fn touch(&self, key: &RecordKey, ttl: Duration) -> Result<bool, StoreError> {
        (**self).touch(key, ttl).await
    }

    async fn take(&self, key: &RecordKey) -> Result<Option<Bytes>, StoreError> {
        (**self).take(key).await
    }

    async fn remove_if(&self, key: &RecordKey, value: &[u8]) -> Result<bool, StoreError> {
        (**self).remove_if(key, value).await
    }

    async fn add_member(
        &self,
        set: &RecordKey,
        member: &str,
        ttl: Duration,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        (**self).add_member(set, member, ttl, limit).await
    }

    async fn members(&self, set: &RecordKey) -> Result<Vec<String>, StoreError> {
        (**self).members(set).await
    }

    async fn remove_member(&self, set: &RecordKey, member: &str) -> Result<(), StoreError> {
        (**self).remove_member(set, member).await
    }

    fn is_external(&self) -> bool {
        (**self).is_external()
    }
}
