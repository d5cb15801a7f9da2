use std::sync::Arc;

use async_trait::async_trait;
use time::OffsetDateTime;

use super::{OtenStore, RecordKey, StoreError, StoredRecord};

/// A shared store is the store: an app may keep one handle and hand over another.
#[async_trait]
impl<S: OtenStore + ?Sized> OtenStore for Arc<S> {
    async fn insert(
        &self,
        key: &RecordKey,
        value: &[u8],
        expires_at: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        (**self).insert(key, value, expires_at).await
    }

    async fn load(&self, key: &RecordKey) -> Result<Option<StoredRecord>, StoreError> {
        (**self).load(key).await
    }

    async fn replace(
        &self,
        key: &RecordKey,
        version: Option<u64>,
        value: &[u8],
        expires_at: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        (**self).replace(key, version, value, expires_at).await
    }

    async fn touch(&self, key: &RecordKey, expires_at: OffsetDateTime) -> Result<bool, StoreError> {
        (**self).touch(key, expires_at).await
    }

    async fn take(&self, key: &RecordKey) -> Result<Option<Vec<u8>>, StoreError> {
        (**self).take(key).await
    }

    async fn remove_if(&self, key: &RecordKey, value: &[u8]) -> Result<bool, StoreError> {
        (**self).remove_if(key, value).await
    }

    async fn add_member(
        &self,
        set: &RecordKey,
        member: &str,
        expires_at: OffsetDateTime,
    ) -> Result<(), StoreError> {
        (**self).add_member(set, member, expires_at).await
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
