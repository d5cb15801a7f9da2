use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use axum_oten::store::{Bytes, MemoryStore, OtenStore, RecordKey, StoreError, StoredRecord};
use tokio::sync::{OwnedRwLockWriteGuard, RwLock};

/// An external store that records every value it is given.
#[derive(Clone, Debug)]
pub struct ExternalStore<S = MemoryStore> {
    pub memory: S,
    is_external: bool,
    written: Arc<Mutex<Vec<Written>>>,
    doors: Arc<Mutex<BTreeMap<&'static str, Door>>>,
}

type Door = Arc<RwLock<()>>;

type Written = (RecordKey, Vec<u8>);

impl<S: OtenStore> ExternalStore<S> {
    pub fn new(memory: S) -> Self {
        Self {
            memory,
            is_external: true,
            written: Arc::default(),
            doors: Arc::default(),
        }
    }

    /// Pretends that the records stay in the process, so that they are not sealed.
    pub fn in_process(mut self) -> Self {
        self.is_external = false;
        self
    }

    /// Every value of this kind that was stored, oldest first.
    pub fn written(&self, kind: &str) -> Vec<Written> {
        let mut written = self.all_written();
        written.retain(|(key, _)| key.kind() == kind);
        written
    }

    /// Every value that was stored, oldest first.
    pub fn all_written(&self) -> Vec<Written> {
        self.written.lock().unwrap().clone()
    }

    /// Replaces the latest value of this kind.
    pub async fn tamper(&self, kind: &str, change: impl FnOnce(Vec<u8>) -> Vec<u8>) {
        let (key, value) = self.written(kind).pop().unwrap();
        let found = self.memory.load(&key).await.unwrap().unwrap();
        let value = change(value);
        let replaced = self.memory.replace(&key, None, &value, found.ttl);
        assert!(replaced.await.unwrap());
    }

    /// The records of these kinds that still exist.
    pub async fn left(&self, kinds: &[&str]) -> Vec<RecordKey> {
        let mut left = Vec::new();
        for kind in kinds {
            for (key, _) in self.written(kind) {
                if self.memory.load(&key).await.unwrap().is_some() {
                    left.push(key);
                }
            }
        }
        left
    }

    /// Makes writes of records of this kind wait until the guard is dropped.
    pub async fn hold(&self, kind: &'static str) -> OwnedRwLockWriteGuard<()> {
        self.door(kind).write_owned().await
    }

    fn door(&self, kind: &'static str) -> Door {
        Arc::clone(self.doors.lock().unwrap().entry(kind).or_default())
    }

    async fn note(&self, key: &RecordKey, value: &[u8]) {
        self.written.lock().unwrap().push((*key, value.to_vec()));
        let _ = self.door(key.kind()).read().await;
    }
}

#[async_trait]
impl<S: OtenStore> OtenStore for ExternalStore<S> {
    async fn insert(
        &self,
        key: &RecordKey,
        value: &[u8],
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        self.note(key, value).await;
        self.memory.insert(key, value, ttl).await
    }

    async fn load(&self, key: &RecordKey) -> Result<Option<StoredRecord>, StoreError> {
        self.memory.load(key).await
    }

    async fn replace(
        &self,
        key: &RecordKey,
        version: Option<u64>,
        value: &[u8],
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        self.note(key, value).await;
        self.memory.replace(key, version, value, ttl).await
    }

    async fn touch(&self, key: &RecordKey, ttl: Duration) -> Result<bool, StoreError> {
        self.memory.touch(key, ttl).await
    }

    async fn take(&self, key: &RecordKey) -> Result<Option<Bytes>, StoreError> {
        self.memory.take(key).await
    }

    async fn remove_if(&self, key: &RecordKey, value: &[u8]) -> Result<bool, StoreError> {
        self.memory.remove_if(key, value).await
    }

    async fn add_member(
        &self,
        set: &RecordKey,
        member: &str,
        ttl: Duration,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        self.memory.add_member(set, member, ttl, limit).await
    }

    async fn members(&self, set: &RecordKey) -> Result<Vec<String>, StoreError> {
        self.memory.members(set).await
    }

    async fn remove_member(&self, set: &RecordKey, member: &str) -> Result<(), StoreError> {
        self.memory.remove_member(set, member).await
    }

    fn is_external(&self) -> bool {
        self.is_external
    }
}
