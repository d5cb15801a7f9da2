use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, PoisonError},
};

use tokio::sync::watch;

use super::record::Family;

/// The sessions of this process whose end a task waits for.
#[derive(Default)]
pub(super) struct Waiting(Mutex<HashMap<Family, watch::Sender<()>>>);

impl Waiting {
    /// Wakes the tasks that wait for the end of a session.
    pub(super) fn wake(&self, family: Family) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Dropping the sender closes the channel.
        waiting.remove(&family);
    }

    pub(super) fn subscribe(&self, family: Family) -> watch::Receiver<()> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.entry(family).or_default().subscribe()
    }

    /// Forgets a session for which no task waits any more.
    pub(super) fn unsubscribe(&self, family: Family) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.get(&family).is_some_and(watch::Sender::is_closed) {
            waiting.remove(&family);
        }
    }
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting").finish_non_exhaustive()
    }
}
