use std::time::Duration;

use async_trait::async_trait;
use axum_oten::store::{Bytes, MemoryStore, OtenStore, RecordKey, StoreError, StoredRecord};
use tokio::task::yield_now;

/// A store that yields at each call, as a networked store does, so that requests interleave as they
/// would in production.
#[derive(Clone, Debug)]
pub struct YieldingStore(pub MemoryStore);

#[async_trait]
impl OtenStore for YieldingStore {
    async fn insert(
        &self,
        key: &RecordKey,
        value: &[u8],
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        yield_now().await;
        self.0.insert(key, value, ttl).await
    }

    async fn load(&self, key: &RecordKey) -> Result<Option<StoredRecord>, StoreError> {
        yield_now().await;
        self.0.load(key).await
    }

    async fn replace(
        &self,
        key: &RecordKey,
        version: Option<u64>,
        value: &[u8],
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        yield_now().await;
        self.0.replace(key, version, value, ttl).await
    }

    async fn touch(&self, key: &RecordKey, ttl: Duration) -> Result<bool, StoreError> {
        yield_now().await;
        self.0.touch(key, ttl).await
    }

    async fn take(&self, key: &RecordKey) -> Result<Option<Bytes>, StoreError> {
        yield_now().await;
        self.0.take(key).await
    }

    async fn remove_if(&self, key: &RecordKey, value: &[u8]) -> Result<bool, StoreError> {
        yield_now().await;
        self.0.remove_if(key, value).await
    }

    async fn add_member(
        &self,
        set: &RecordKey,
        member: &str,
        ttl: Duration,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        yield_now().await;
        self.0.add_member(set, member, ttl, limit).await
    }

    async fn members(&self, set: &RecordKey) -> Result<Vec<String>, StoreError> {
        yield_now().await;
        self.0.members(set).await
    }

    async fn remove_member(&self, set: &RecordKey, member: &str) -> Result<(), StoreError> {
        yield_now().await;
        self.0.remove_member(set, member).await
    }

    fn is_external(&self) -> bool {
        self.0.is_external()
    }
}
