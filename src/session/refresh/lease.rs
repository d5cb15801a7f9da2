use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::{
    http::CALL_TIMEOUT,
    secret::Secret,
    session::record::Family,
    store::{RecordId, RecordKind, Records, StoreError},
};

/// The time limit of a refresh: one call to the provider and the store operations around it.
pub(crate) const REFRESH_LIMIT: Duration = Duration::from_secs(CALL_TIMEOUT.as_secs() + 5);

/// The lifetime of a lease. It is longer than a refresh takes, so that a process that stalls for a while, or
/// whose store is down for a while, still stores the new tokens before another process uses the previous
/// refresh token. A process that exits with a lease delays the refresh for this time.
pub(super) const LEASE_LIFETIME: Duration = Duration::from_secs(2 * REFRESH_LIMIT.as_secs());

/// How long a lease is held before requests to other processes continue without the refresh.
pub(super) const LEASE_WAIT: Duration = Duration::from_secs(5);

/// The pause between attempts to release a lease.
const RELEASE_PAUSE: Duration = Duration::from_millis(300);

/// The exclusive right to refresh one session's tokens, among all processes that share the store.
pub(super) struct RefreshLease {
    id: RecordId,
    /// A random value, as it is stored.
    owner: Vec<u8>,
}

impl RefreshLease {
    /// Creates a lease that is not acquired yet.
    pub(super) fn new(records: &Records, family: Family) -> Result<Self, StoreError> {
        let id = records.id(RecordKind::Lease, family.as_bytes());
        let owner = records.encode(&id, &Secret::random().expose())?;
        Ok(Self { id, owner })
    }

    /// Acquires the lease, or returns `false` if another task holds it.
    pub(super) async fn acquire(&self, records: &Records) -> Result<bool, StoreError> {
        records
            .insert_encoded(&self.id, &self.owner, LEASE_LIFETIME)
            .await
    }

    /// Returns how long the current owner of the lease has held it.
    pub(super) async fn held_for(&self, records: &Records) -> Result<Duration, StoreError> {
        let held = records.load::<String>(&self.id).await?;
        let left = held.map_or(LEASE_LIFETIME, |held| held.ttl);
        Ok(LEASE_LIFETIME.saturating_sub(left))
    }

    /// Releases the lease, unless it has expired and has another owner now.
    pub(super) async fn try_release(&self, records: &Records) -> Result<(), StoreError> {
        records.remove_if(&self.id, &self.owner).await.map(drop)
    }

    /// Releases the lease as soon as the store works, with at least one attempt.
    pub(super) async fn release_until(&self, records: &Records, limit: Instant) {
        while self.try_release(records).await.is_err() && Instant::now() < limit {
            sleep(RELEASE_PAUSE).await;
        }
    }
}
