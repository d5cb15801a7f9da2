use std::time::Duration;

use crate::store::{RecordKind, Records};
use crate::{http::CALL_TIMEOUT, secret::Secret, store::StoreError};

/// How long a lease lives: longer than the call it is for and the store calls around it. A process
/// that dies with a lease holds the others up for this long and no longer.
pub(crate) const LEASE_LIFETIME: Duration = Duration::from_secs(CALL_TIMEOUT.as_secs() + 5);

/// The right to renew some tokens, among all processes that share the store.
#[derive(Debug)]
pub(super) struct Lease {
    id: String,
    owner: Secret,
}

impl Lease {
    /// The lease, unless somebody has it.
    pub(super) async fn take(
        records: &Records,
        tokens: &Secret,
    ) -> Result<Option<Self>, StoreError> {
        let lease = Self {
            id: tokens.expose().to_owned(),
            owner: Secret::random(),
        };
        let expires_at = records.clock().now() + LEASE_LIFETIME;
        let taken = records
            .insert_raw(
                RecordKind::Lease,
                &lease.id,
                lease.owner.expose().as_bytes(),
                expires_at,
            )
            .await?;
        Ok(taken.then_some(lease))
    }

    /// Lets the next one have it. One that has run out meanwhile may be somebody else's by now, and
    /// is left alone.
    pub(super) async fn release(self, records: &Records) {
        let owner = self.owner.expose().as_bytes();
        if let Err(error) = records.remove_if(RecordKind::Lease, &self.id, owner).await {
            tracing::warn!(%error, "a lease could not be released; it runs out by itself");
        }
    }
}
