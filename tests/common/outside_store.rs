use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum_oten::store::{MemoryStore, OtenStore, RecordKey, StoreError, StoredRecord};
use time::OffsetDateTime;

/// A store that others can read and write: what was ever put into it is known.
#[derive(Clone, Debug)]
pub struct OutsideStore {
    pub memory: MemoryStore,
    written: Arc<Mutex<Vec<Written>>>,
}

type Written = (RecordKey, Vec<u8>);

impl OutsideStore {
    pub fn new(memory: MemoryStore) -> Self {
        Self {
            memory,
            written: Arc::default(),
        }
    }

    /// Every value of this kind that was put in, oldest first.
    pub fn written(&self, kind: &str) -> Vec<Written> {
        let written = self.written.lock().unwrap();
        let of_kind = written.iter().filter(|(key, _)| key.kind() == kind);
        of_kind.cloned().collect()
    }

    /// Puts another value in the place of the latest of this kind.
    pub async fn tamper(&self, kind: &str, change: impl FnOnce(Vec<u8>) -> Vec<u8>) {
        let (key, value) = self.written(kind).pop().unwrap();
        let found = self.memory.load(&key).await.unwrap().unwrap();
        let value = change(value);
        let replaced = self.memory.replace(&key, None, &value, found.expires_at);
        assert!(replaced.await.unwrap());
    }

    fn note(&self, key: &RecordKey, value: &[u8]) {
        self.written.lock().unwrap().push((*key, value.to_vec()));
    }
}

#[async_trait]
impl OtenStore for OutsideStore {
    async fn insert(
        &self,
        key: &RecordKey,
        value: &[u8],
        expires_at: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        self.note(key, value);
        self.memory.insert(key, value, expires_at).await
    }

    async fn load(&self, key: &RecordKey) -> Result<Option<StoredRecord>, StoreError> {
        self.memory.load(key).await
    }

    async fn replace(
        &self,
        key: &RecordKey,
        version: Option<u64>,
        value: &[u8],
        expires_at: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        self.note(key, value);
        self.memory.replace(key, version, value, expires_at).await
    }

    async fn touch(&self, key: &RecordKey, expires_at: OffsetDateTime) -> Result<bool, StoreError> {
        self.memory.touch(key, expires_at).await
    }

    async fn take(&self, key: &RecordKey) -> Result<Option<Vec<u8>>, StoreError> {
        self.memory.take(key).await
    }

    async fn remove_if(&self, key: &RecordKey, value: &[u8]) -> Result<bool, StoreError> {
        self.memory.remove_if(key, value).await
    }

    async fn add_member(
        &self,
        set: &RecordKey,
        member: &str,
        expires_at: OffsetDateTime,
    ) -> Result<(), StoreError> {
        self.memory.add_member(set, member, expires_at).await
    }

    async fn members(&self, set: &RecordKey) -> Result<Vec<String>, StoreError> {
        self.memory.members(set).await
    }

    async fn remove_member(&self, set: &RecordKey, member: &str) -> Result<(), StoreError> {
        self.memory.remove_member(set, member).await
    }
}
