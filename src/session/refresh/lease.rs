use std::time::Duration;

use crate::{
    audit::TARGET,
    error::with_causes,
    http::CALL_TIMEOUT,
    secret::Secret,
    store::{RecordId, RecordKind, Records, StoreError},
};

/// The lifetime of a lease: longer than one call to the provider and the store operations around it.
/// A process that exits with a lease delays other processes for at most this time.
pub(crate) const LEASE_LIFETIME: Duration = Duration::from_secs(CALL_TIMEOUT.as_secs() + 5);

/// The exclusive right to refresh one session's tokens, among all processes that share the store.
pub(super) struct RefreshLease {
    id: RecordId,
    owner: Secret,
}

impl RefreshLease {
    /// Acquires the lease. Returns `None` if another task holds it.
    pub(super) async fn acquire(
        records: &Records,
        tokens: &Secret,
    ) -> Result<Option<Self>, StoreError> {
        let lease = Self {
            id: records.id(RecordKind::Lease, tokens.expose()),
            owner: Secret::random(),
        };
        let owner = lease.owner.expose().as_bytes();
        let expires_at = records.clock().now() + LEASE_LIFETIME;
        let acquired = records.insert_raw(&lease.id, owner, expires_at).await?;
        Ok(acquired.then_some(lease))
    }

    /// Releases the lease, unless it has expired and has another owner now.
    pub(super) async fn release(self, records: &Records) {
        let owner = self.owner.expose().as_bytes();
        if let Err(error) = records.remove_if(&self.id, owner).await {
            tracing::warn!(
                target: TARGET,
                error = with_causes(&error),
                "failed to release a refresh lease; it expires within 15 seconds"
            );
        }
    }
}
