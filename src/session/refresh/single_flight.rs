use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;
use tokio_util::task::TaskTracker;

/// Runs at most one task per key at a time. Callers with the same key share the task's outcome.
pub(super) struct SingleFlight<T>(Arc<Mutex<Tasks<T>>>);

type Tasks<T> = HashMap<String, watch::Receiver<Option<T>>>;

impl<T: Clone + Send + Sync + 'static> SingleFlight<T> {
    /// Waits for the task of a key, and spawns it if none is running. The task continues when its
    /// callers are cancelled. Returns `None` if it panics.
    pub(super) async fn run<F>(
        &self,
        key: &str,
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

    fn join<F>(
        &self,
        key: &str,
        tracker: &TaskTracker,
        task: impl FnOnce() -> F,
    ) -> watch::Receiver<Option<T>>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut tasks = self.tasks();
        if let Some(receiver) = tasks.get(key) {
            return receiver.clone();
        }
        let (sender, receiver) = watch::channel(None);
        tasks.insert(key.to_owned(), receiver.clone());
        let registration = Registration {
            flight: self.clone(),
            key: key.to_owned(),
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

impl<T> SingleFlight<T> {
    fn tasks(&self) -> MutexGuard<'_, Tasks<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes a task from the map when it ends, also by a panic.
struct Registration<T> {
    flight: SingleFlight<T>,
    key: String,
}

impl<T> Drop for Registration<T> {
    fn drop(&mut self) {
        self.flight.tasks().remove(&self.key);
    }
}

impl<T> Clone for SingleFlight<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Default for SingleFlight<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}
