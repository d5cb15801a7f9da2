use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, time::timeout};
use tokio_util::task::TaskTracker;

use super::{
    Revoker, Sessions,
    lease::LEASE_LIFETIME,
    refresh,
    refresh_outcome::{RefreshOutcome, RefreshRequest},
};
use crate::{
    audit::AuditTrail,
    config::Client,
    provider::{Budget, Provider},
};

/// Renews tokens. However many requests of a session request it, there is one call: in this process
/// they wait for one task, which goes on if they all leave; among processes a lease decides.
#[derive(Clone)]
pub(crate) struct TokenRefresher(Arc<Inner>);

struct Inner {
    parts: Parts,
    /// By the id of the tokens.
    under_way: Mutex<HashMap<String, watch::Receiver<Option<RefreshOutcome>>>>,
}

/// What a renewal needs.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) sessions: Sessions,
    pub(crate) provider: Arc<Provider>,
    pub(crate) client: Client,
    pub(crate) budget: Option<Arc<Budget>>,
    pub(crate) revoker: Revoker,
    /// Where work in the background is counted.
    pub(crate) tasks: TaskTracker,
    pub(crate) trail: AuditTrail,
}

impl TokenRefresher {
    pub(crate) fn new(parts: Parts) -> Self {
        Self(Arc::new(Inner {
            parts,
            under_way: Mutex::default(),
        }))
    }

    /// Renews, or waits for whoever is at it, no longer than a lease lives.
    pub(crate) async fn refresh(&self, request: RefreshRequest) -> RefreshOutcome {
        let mut receiver = self.join(request);
        let outcome = async {
            let outcome = receiver.wait_for(Option::is_some).await.ok()?;
            outcome.clone()
        };
        let outcome = timeout(LEASE_LIFETIME + Duration::from_secs(1), outcome).await;
        outcome.ok().flatten().unwrap_or(RefreshOutcome::TimedOut)
    }

    fn join(&self, request: RefreshRequest) -> watch::Receiver<Option<RefreshOutcome>> {
        let mut under_way = self.0.under_way();
        let id = request.tokens.expose().to_owned();
        if let Some(receiver) = under_way.get(&id) {
            return receiver.clone();
        }
        let (sender, receiver) = watch::channel(None);
        under_way.insert(id.clone(), receiver.clone());
        let place = Place {
            inner: Arc::clone(&self.0),
            id,
        };
        let parts = self.0.parts.clone();
        self.0.parts.tasks.spawn(async move {
            let outcome = refresh::run(&parts, &request).await;
            // Whoever comes now begins anew, and sees in the store what was done.
            drop(place);
            sender.send_replace(Some(outcome));
        });
        receiver
    }
}

impl Inner {
    fn under_way(
        &self,
    ) -> MutexGuard<'_, HashMap<String, watch::Receiver<Option<RefreshOutcome>>>> {
        self.under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A renewal's place among those under way; given back even by one that panics.
struct Place {
    inner: Arc<Inner>,
    id: String,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.inner.under_way().remove(&self.id);
    }
}

impl fmt::Debug for TokenRefresher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenRefresher").finish_non_exhaustive()
    }
}
