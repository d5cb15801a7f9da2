use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;
use tokio_util::task::TaskTracker;

/// Runs at most one task per key at a time. Callers with the same key share the task's outcome.
pub(super) struct SingleFlight<K, T>(Arc<Mutex<Tasks<K, T>>>);

type Tasks<K, T> = HashMap<K, watch::Receiver<Option<T>>>;

impl<K, T> SingleFlight<K, T>
where
    K: Copy + Eq + Hash + Send + 'static,
    T: Clone + Send + Sync + 'static,
{
    /// Waits for the task of a key, and spawns it if none is running. The task continues when its
    /// callers are cancelled. Returns `None` if it panics.
    pub(super) async fn run<F>(
        &self,
        key: K,
        tracker: &TaskTracker,
        task: impl FnOnce() -> F,
    ) -> Option<T>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut receiver = self.join(key, tracker, task);
        let outcome = receiver.wait_for(Option::is_some).await.ok()?;
        outcome.clone()
    }

    /// Spawns the task of a key, unless one is running.
    pub(super) fn start<F>(&self, key: K, tracker: &TaskTracker, task: impl FnOnce() -> F)
    where
        F: Future<Output = T> + Send + 'static,
    {
        drop(self.join(key, tracker, task));
    }

    fn join<F>(
        &self,
        key: K,
        tracker: &TaskTracker,
        task: impl FnOnce() -> F,
    ) -> watch::Receiver<Option<T>>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut tasks = self.tasks();
        if let Some(receiver) = tasks.get(&key) {
            return receiver.clone();
        }
        let (sender, receiver) = watch::channel(None);
        tasks.insert(key, receiver.clone());
        let registration = Registration {
            flight: self.clone(),
            key,
        };
        let task = task();
        tracker.spawn(async move {
            let outcome = task.await;
            // A caller that arrives from now on starts a new task, which finds the result in the store.
            drop(registration);
            sender.send_replace(Some(outcome));
        });
        receiver
    }
}

impl<K: Eq + Hash, T> SingleFlight<K, T> {
    /// Returns whether the task of a key is running.
    pub(super) fn is_running(&self, key: &K) -> bool {
        self.tasks().contains_key(key)
    }
}

impl<K, T> SingleFlight<K, T> {
    fn tasks(&self) -> MutexGuard<'_, Tasks<K, T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes a task from the map when it ends, also by a panic.
struct Registration<K: Eq + Hash, T> {
    flight: SingleFlight<K, T>,
    key: K,
}

impl<K: Eq + Hash, T> Drop for Registration<K, T> {
    fn drop(&mut self) {
        self.flight.tasks().remove(&self.key);
    }
}

impl<K, T> Clone for SingleFlight<K, T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K, T> Default for SingleFlight<K, T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}
