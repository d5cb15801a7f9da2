use std::{sync::Arc, time::Duration};

use time::OffsetDateTime;
use tokio::{
    join,
    sync::{Mutex, OwnedMutexGuard},
    time::timeout,
};

use crate::{audit::TARGET, error::with_causes, provider::Provider, store::Records};

/// Whether the app can serve requests, for a load balancer. Returned by
/// [`Oten::readiness`](crate::Oten::readiness).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Readiness {
    /// The session store: the check writes, reads and removes a record.
    pub store: DependencyStatus,
    /// The provider: the check fetches the discovery document if the cached one is at least 30 seconds
    /// old, unless it waits after a failed fetch.
    pub provider: DependencyStatus,
}

/// Status of a service that the app depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DependencyStatus {
    /// The service responds as expected.
    Ok,
    /// The service does not respond in time or not as expected; the log has the cause.
    Unreachable,
}

impl Readiness {
    /// Whether the load balancer should send requests to this process.
    ///
    /// The provider does not count. While it is down, signed-in users keep their sessions, and other
    /// processes of the app are affected as well.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.store == DependencyStatus::Ok
    }
}

impl DependencyStatus {
    /// `ok` or `unreachable`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unreachable => "unreachable",
        }
    }
}

/// How long a result is reused, so that frequent probes cause few checks.
const REUSE: Duration = Duration::from_secs(1);

/// Time limit for the provider. A check that takes longer continues in the background.
const PROVIDER_TIMEOUT: Duration = Duration::from_millis(500);

/// Checks the dependencies, one check at a time.
pub(super) struct ReadinessCheck {
    records: Records,
    /// Locked during a check.
    last: Arc<Mutex<Last>>,
}

type Last = Option<(OffsetDateTime, Readiness)>;

impl ReadinessCheck {
    pub(super) fn new(records: Records) -> Self {
        Self {
            records,
            last: Arc::default(),
        }
    }

    pub(super) async fn run(&self, provider: &Arc<Provider>) -> Readiness {
        let last = Arc::clone(&self.last).lock_owned().await;
        if let Some((checked_at, readiness)) = *last {
            let age = self.records.clock().now() - checked_at;
            // A negative age means that the clock was set back.
            if !age.is_negative() && age < REUSE {
                return readiness;
            }
        }
        // A task, so that the test record is removed even if the caller stops waiting.
        let check = check(self.records.clone(), Arc::clone(provider), last);
        tokio::spawn(check).await.unwrap_or(Readiness {
            store: DependencyStatus::Unreachable,
            provider: DependencyStatus::Unreachable,
        })
    }
}

async fn check(
    records: Records,
    provider: Arc<Provider>,
    mut last: OwnedMutexGuard<Last>,
) -> Readiness {
    let (store, provider) = join!(check_store(&records), check_provider(&provider));
    let readiness = Readiness { store, provider };
    *last = Some((records.clock().now(), readiness));
    readiness
}

async fn check_store(records: &Records) -> DependencyStatus {
    match records.probe().await {
        Ok(_) => DependencyStatus::Ok,
        Err(error) => {
            let cause = with_causes(&error);
            tracing::warn!(target: TARGET, cause, "the session store is not ready");
            DependencyStatus::Unreachable
        }
    }
}

async fn check_provider(provider: &Provider) -> DependencyStatus {
    match timeout(PROVIDER_TIMEOUT, provider.check_reachable()).await {
        Ok(Ok(())) => DependencyStatus::Ok,
        // The provider module logs the cause.
        Ok(Err(_)) | Err(_) => DependencyStatus::Unreachable,
    }
}
