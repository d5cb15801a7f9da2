use std::sync::Arc;

use super::{MemoryStore, OtenStore, StoreError};
use crate::config::StoreUrl;

/// Opens the store that the configuration names.
///
/// A server that does not answer yet is no error: a warning is logged, operations fail within two
/// seconds, and they work as soon as it does.
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
/// [`StoreError::FeatureOff`] when this build has no such store, [`StoreError::Address`] when the
/// address makes no sense to the store, and [`StoreError::Backend`] when a file cannot be opened.
pub async fn open(url: &StoreUrl) -> Result<Arc<dyn OtenStore>, StoreError> {
    match url {
        StoreUrl::Memory => Ok(Arc::new(MemoryStore::default())),
        #[cfg(feature = "sqlite")]
        StoreUrl::Sqlite(path) => Ok(Arc::new(super::SqliteStore::open(path).await?)),
        #[cfg(not(feature = "sqlite"))]
        StoreUrl::Sqlite(_) => Err(feature_off("sqlite", "sqlite")),
        #[cfg(feature = "postgres")]
        StoreUrl::Postgres(url) => Ok(Arc::new(super::PostgresStore::connect(url.expose()).await?)),
        #[cfg(not(feature = "postgres"))]
        StoreUrl::Postgres(_) => Err(feature_off("postgres", "postgres")),
        #[cfg(feature = "redis")]
        StoreUrl::Redis(url) => Ok(Arc::new(super::RedisStore::connect(url.expose()).await?)),
        #[cfg(not(feature = "redis"))]
        StoreUrl::Redis(_) => Err(feature_off("redis", "redis")),
    }
}

#[cfg(not(all(feature = "postgres", feature = "redis", feature = "sqlite")))]
fn feature_off(scheme: &'static str, feature: &'static str) -> StoreError {
    StoreError::FeatureOff { scheme, feature }
}
