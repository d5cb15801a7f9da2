use std::{fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use tokio_util::task::TaskTracker;

use crate::{
    audit::{AuditTrail, EventKind},
    config::Client,
    error::with_causes,
    protocol::{TokenResponse, revoke_refresh_token},
    provider::Provider,
    secret::{Secret, exposed, random_bytes},
    store::{LoadedRecord, RecordId, RecordKind, Records, StoreError},
};

/// A refresh is due this long before the access token expires.
const MARGIN: Duration = Duration::from_secs(60);

/// The maximum random time by which refreshes are spread before [`MARGIN`].
const MAX_SPREAD: Duration = Duration::from_secs(300);

/// The tokens of a session, in a versioned record beside the session that only a refresh writes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Tokens {
    #[serde(with = "exposed")]
    pub(crate) access_token: Secret,
    #[serde(with = "time::serde::timestamp")]
    pub(crate) access_token_expires_at: OffsetDateTime,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) refresh_token: Option<StoredSecret>,
    /// The hint for the provider's end-session endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) id_token: Option<StoredSecret>,
    pub(crate) scope: Option<String>,
    /// The time from which a refresh is due.
    #[serde(with = "time::serde::timestamp")]
    pub(crate) refresh_at: OffsetDateTime,
    /// The time of the next attempt after a refresh that failed.
    #[serde(default, with = "time::serde::timestamp::option")]
    pub(crate) retry_at: Option<OffsetDateTime>,
}

/// A secret in a record.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct StoredSecret(#[serde(with = "exposed")] pub(crate) Secret);

impl Tokens {
    /// Creates the tokens of a response that was received at `now`.
    pub(crate) fn new(response: TokenResponse, now: OffsetDateTime) -> Self {
        let lifetime = response.lifetime();
        Self {
            access_token: response.access_token,
            access_token_expires_at: now + lifetime,
            refresh_token: response.refresh_token.map(StoredSecret),
            id_token: response.id_token.map(StoredSecret),
            scope: response.scope,
            refresh_at: now + refresh_after(lifetime),
            retry_at: None,
        }
    }

    /// Returns the tokens after a refresh. Values that the response omits are kept.
    pub(super) fn refreshed(&self, response: TokenResponse, now: OffsetDateTime) -> Self {
        let new = Self::new(response, now);
        Self {
            refresh_token: new.refresh_token.or_else(|| self.refresh_token.clone()),
            id_token: new.id_token.or_else(|| self.id_token.clone()),
            scope: new.scope.or_else(|| self.scope.clone()),
            ..new
        }
    }

    /// Returns whether no refresh is due.
    pub(crate) fn are_fresh(&self, now: OffsetDateTime) -> bool {
        now < self.refresh_at
    }

    /// Returns when a refresh is due. Without a refresh token, none ever is.
    pub(super) fn refresh_due_at(&self) -> Option<OffsetDateTime> {
        self.refresh_token.as_ref().map(|_| self.refresh_at)
    }

    /// Inserts new tokens until `expires_at` and returns their ID.
    pub(super) async fn insert(
        &self,
        records: &Records,
        expires_at: OffsetDateTime,
    ) -> Result<Secret, StoreError> {
        let id = Secret::random();
        let record = record_id(records, &id);
        records.insert_new(&record, self, expires_at).await?;
        Ok(id)
    }

    pub(super) async fn load(
        records: &Records,
        id: &Secret,
    ) -> Result<Option<LoadedRecord<Self>>, StoreError> {
        records.load(&record_id(records, id)).await
    }

    /// Replaces the version that was loaded, with the same expiry.
    pub(super) async fn replace(
        &self,
        records: &Records,
        id: &Secret,
        loaded: &LoadedRecord<Self>,
    ) -> Result<bool, StoreError> {
        let (version, expires_at) = (Some(loaded.version), loaded.expires_at);
        let id = record_id(records, id);
        records.replace(&id, version, self, expires_at).await
    }

    pub(super) async fn take(records: &Records, id: &Secret) -> Result<Option<Self>, StoreError> {
        records.take(&record_id(records, id)).await
    }
}

fn record_id(records: &Records, id: &Secret) -> RecordId {
    records.id(RecordKind::Tokens, id.expose())
}

/// Returns the age at which an access token is due for a refresh: [`MARGIN`] before it expires or a
/// random time earlier, but not in the first half of its lifetime.
fn refresh_after(lifetime: Duration) -> Duration {
    let [random] = *random_bytes::<1>();
    let spread = (lifetime / 10).min(MAX_SPREAD) * u32::from(random) / 255;
    lifetime
        .saturating_sub(MARGIN)
        .saturating_sub(spread)
        .max(lifetime / 2)
}

/// Revokes tokens at the provider in the background (RFC 7009), if it has a revocation endpoint.
/// The session of the tokens has already ended.
#[derive(Clone)]
pub(crate) struct Revoker {
    pub(crate) provider: Arc<Provider>,
    pub(crate) client: Client,
    pub(crate) tasks: TaskTracker,
    pub(crate) trail: AuditTrail,
}

impl Revoker {
    /// Revokes the refresh token, if there is one.
    pub(crate) fn revoke(&self, tokens: &Tokens, correlation_id: &str) {
        let Some(StoredSecret(refresh_token)) = tokens.refresh_token.clone() else {
            return;
        };
        let (this, correlation_id) = (self.clone(), correlation_id.to_owned());
        self.tasks.spawn(async move {
            this.revoke_now(&refresh_token, &correlation_id).await;
        });
    }

    async fn revoke_now(&self, refresh_token: &Secret, correlation_id: &str) {
        let Some(endpoint) = self.provider.revocation_endpoint().await else {
            return;
        };
        let http = self.provider.http();
        let revoked = revoke_refresh_token(http, &endpoint, &self.client, refresh_token).await;
        if let Err(error) = revoked {
            let event = self.trail.event(EventKind::RevocationFailed);
            let event = event
                .with_correlation_id(correlation_id)
                .with_cause(with_causes(&error));
            self.trail.record(&event);
        }
    }
}

impl fmt::Debug for Revoker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Revoker").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l1_a_refresh_is_due_a_minute_before_expiry_or_earlier() {
        for _ in 0..200 {
            let after = refresh_after(Duration::from_secs(3600)).as_secs();
            assert!((3240..=3540).contains(&after), "{after}");
        }
        assert_eq!(refresh_after(Duration::from_secs(60)).as_secs(), 30);
        assert_eq!(refresh_after(Duration::ZERO), Duration::ZERO);
    }
}
