use std::{fmt, time::Duration};

use tokio::{sync::watch, time::timeout};

use super::{Sessions, record::Family, sessions::StoredSession};
use crate::store::RecordId;

/// How often a waiting task looks for its session in the store, which another process may have ended.
const POLL_INTERVAL: Duration = Duration::from_secs(20);

/// Waits for the end of a session.
pub(crate) struct SessionWatch {
    sessions: Sessions,
    family: Family,
    record: RecordId,
    /// When the session expires at the latest, in seconds since the Unix epoch.
    ends_at: i64,
    /// `None` only while this value is dropped.
    ended: Option<watch::Receiver<()>>,
}

impl SessionWatch {
    pub(super) fn new(sessions: &Sessions, session: &StoredSession) -> Self {
        let family = session.data.family;
        Self {
            ended: Some(sessions.waiting.subscribe(family)),
            sessions: sessions.clone(),
            family,
            record: session.id,
            ends_at: sessions.lifetimes.ends_at(&session.data),
        }
    }

    /// Returns when the session has ended: at once if this process ends it, otherwise when the store is
    /// read next. While the store fails, the session counts as alive until the end of its lifetime.
    pub(crate) async fn ended(mut self) {
        while self.is_alive().await {
            let Some(ended) = &mut self.ended else { return };
            // Nothing is ever sent, so this returns when the channel is closed.
            if timeout(POLL_INTERVAL, ended.changed()).await.is_ok() {
                return;
            }
        }
    }

    /// Looks for the session without extending its expiry, also under a new ID.
    async fn is_alive(&mut self) -> bool {
        match self.sessions.find(self.record).await {
            Ok(Some(found)) => {
                self.record = found.id;
                self.ends_at = self.sessions.lifetimes.ends_at(&found.data);
                found.data.family == self.family && !self.sessions.ttl(&found.data).is_zero()
            }
            Ok(None) => false,
            Err(_) => self.sessions.records.clock().unix_now() < self.ends_at,
        }
    }
}

impl Drop for SessionWatch {
    fn drop(&mut self) {
        self.ended.take();
        self.sessions.waiting.unsubscribe(self.family);
    }
}

impl fmt::Debug for SessionWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionWatch").finish_non_exhaustive()
    }
}
