use std::time::Duration;

use crate::{
    audit::TARGET,
    error::with_causes,
    http::CALL_TIMEOUT,
    secret::Secret,
    session::record::Family,
    store::{RecordId, RecordKind, Records, StoreError},
};

/// The lifetime of a lease: longer than one call to the provider and the store operations around it.
/// A process that exits with a lease delays other processes for at most this time.
pub(crate) const LEASE_LIFETIME: Duration = Duration::from_secs(CALL_TIMEOUT.as_secs() + 5);

/// The exclusive right to refresh one session's tokens, among all processes that share the store.
pub(super) struct RefreshLease {
    id: RecordId,
    /// A random value, as it is stored.
    owner: Vec<u8>,
}

impl RefreshLease {
    /// Acquires the lease. Returns `None` if another task holds it.
    pub(super) async fn acquire(
        records: &Records,
        family: Family,
    ) -> Result<Option<Self>, StoreError> {
        let id = records.id(RecordKind::Lease, family.as_bytes());
        let owner = records.encode(&id, &Secret::random().expose())?;
        let acquired = records.insert_encoded(&id, &owner, LEASE_LIFETIME).await?;
        Ok(acquired.then_some(Self { id, owner }))
    }

    /// Releases the lease, unless it has expired and has another owner now.
    pub(super) async fn release(self, records: &Records) {
        if let Err(error) = records.remove_if(&self.id, &self.owner).await {
            tracing::warn!(
                target: TARGET,
                error = with_causes(&error),
                "failed to release a refresh lease; it expires within 15 seconds"
            );
        }
    }
}
