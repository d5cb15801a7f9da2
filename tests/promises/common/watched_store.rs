use std::{
    future,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use axum_oten::{
    MemoryStore,
    store::{Bytes, OtenStore, RecordKey, StoreError, StoredRecord},
};
use tokio::sync::Notify;

/// A memory store that records its calls and can fail.
#[derive(Clone, Debug)]
pub struct WatchedStore {
    memory: MemoryStore,
    state: Arc<Mutex<State>>,
}

/// An operation of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Insert,
    Load,
    Replace,
    Touch,
    Take,
    RemoveIf,
    AddMember,
    Members,
    RemoveMember,
}

#[derive(Debug, Default)]
struct State {
    calls: Vec<Operation>,
    trouble: Option<(Trouble, Vec<Operation>)>,
    /// The number of calls that pass before one waits.
    pause: Option<(usize, Pause)>,
}

#[derive(Clone, Copy, Debug)]
enum Trouble {
    Fails,
    Hangs,
    /// The operation takes effect and fails nevertheless.
    LosesAnswers,
}

/// A call that waits before it runs.
#[derive(Clone, Debug, Default)]
pub struct Pause {
    reached: Arc<Notify>,
    over: Arc<Notify>,
}

impl Pause {
    /// Completes when the call waits.
    pub async fn reached(&self) {
        self.reached.notified().await;
    }

    pub fn go_on(self) {
        self.over.notify_one();
    }
}

impl Operation {
    pub const ALL: [Self; 9] = [
        Self::Insert,
        Self::Load,
        Self::Replace,
        Self::Touch,
        Self::Take,
        Self::RemoveIf,
        Self::AddMember,
        Self::Members,
        Self::RemoveMember,
    ];
}

impl WatchedStore {
    pub fn new(memory: MemoryStore) -> Self {
        Self {
            memory,
            state: Arc::default(),
        }
    }

    /// The calls since this function was last called.
    pub fn take_calls(&self) -> Vec<Operation> {
        std::mem::take(&mut self.state.lock().unwrap().calls)
    }

    /// The number of these calls since [`take_calls`](Self::take_calls).
    pub fn count(&self, operation: Operation) -> usize {
        let calls = &self.state.lock().unwrap().calls;
        calls.iter().filter(|call| **call == operation).count()
    }

    /// Makes these operations fail.
    pub fn fails(&self, operations: &[Operation]) {
        self.state.lock().unwrap().trouble = Some((Trouble::Fails, operations.to_vec()));
    }

    /// Makes these operations hang.
    pub fn hangs(&self, operations: &[Operation]) {
        self.state.lock().unwrap().trouble = Some((Trouble::Hangs, operations.to_vec()));
    }

    /// Makes these operations, `Insert` or `Replace`, fail after they have taken effect.
    pub fn loses_answers(&self, operations: &[Operation]) {
        self.state.lock().unwrap().trouble = Some((Trouble::LosesAnswers, operations.to_vec()));
    }

    fn loses_answer(&self, operation: Operation) -> bool {
        let trouble = &self.state.lock().unwrap().trouble;
        matches!(trouble, Some((Trouble::LosesAnswers, lost)) if lost.contains(&operation))
    }

    /// Makes all operations work again.
    pub fn recover(&self) {
        self.state.lock().unwrap().trouble = None;
    }

    /// Lets this number of calls pass; the next one waits.
    pub fn pause_after(&self, calls: usize) -> Pause {
        let pause = Pause::default();
        self.state.lock().unwrap().pause = Some((calls, pause.clone()));
        pause
    }

    fn pause(&self) -> Option<Pause> {
        let mut state = self.state.lock().unwrap();
        let (calls, pause) = state.pause.take()?;
        if calls == 0 {
            return Some(pause);
        }
        state.pause = Some((calls - 1, pause));
        None
    }

    async fn note(&self, operation: Operation) -> Result<(), StoreError> {
        if let Some(pause) = self.pause() {
            pause.reached.notify_one();
            pause.over.notified().await;
        }
        let trouble = {
            let mut state = self.state.lock().unwrap();
            state.calls.push(operation);
            match &state.trouble {
                Some((trouble, operations)) if operations.contains(&operation) => Some(*trouble),
                _ => None,
            }
        };
        match trouble {
            None | Some(Trouble::LosesAnswers) => Ok(()),
            Some(Trouble::Fails) => Err(StoreError::Backend("simulated failure".into())),
            Some(Trouble::Hangs) => future::pending().await,
        }
    }
}

#[async_trait]
impl OtenStore for WatchedStore {
    async fn insert(
        &self,
        key: &RecordKey,
        value: &[u8],
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        self.note(Operation::Insert).await?;
        let inserted = self.memory.insert(key, value, ttl).await;
        if self.loses_answer(Operation::Insert) {
            return Err(StoreError::TimedOut);
        }
        inserted
    }

    async fn load(&self, key: &RecordKey) -> Result<Option<StoredRecord>, StoreError> {
        self.note(Operation::Load).await?;
        self.memory.load(key).await
    }

    async fn replace(
        &self,
        key: &RecordKey,
        version: Option<u64>,
        value: &[u8],
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        self.note(Operation::Replace).await?;
        let replaced = self.memory.replace(key, version, value, ttl).await;
        if self.loses_answer(Operation::Replace) {
            return Err(StoreError::TimedOut);
        }
        replaced
    }

    async fn touch(&self, key: &RecordKey, ttl: Duration) -> Result<bool, StoreError> {
        self.note(Operation::Touch).await?;
        self.memory.touch(key, ttl).await
    }

    async fn take(&self, key: &RecordKey) -> Result<Option<Bytes>, StoreError> {
        self.note(Operation::Take).await?;
        self.memory.take(key).await
    }

    async fn remove_if(&self, key: &RecordKey, value: &[u8]) -> Result<bool, StoreError> {
        self.note(Operation::RemoveIf).await?;
        self.memory.remove_if(key, value).await
    }

    async fn add_member(
        &self,
        set: &RecordKey,
        member: &str,
        ttl: Duration,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        self.note(Operation::AddMember).await?;
        self.memory.add_member(set, member, ttl, limit).await
    }

    async fn members(&self, set: &RecordKey) -> Result<Vec<String>, StoreError> {
        self.note(Operation::Members).await?;
        self.memory.members(set).await
    }

    async fn remove_member(&self, set: &RecordKey, member: &str) -> Result<(), StoreError> {
        self.note(Operation::RemoveMember).await?;
        self.memory.remove_member(set, member).await
    }

    fn is_external(&self) -> bool {
        self.memory.is_external()
    }
}
