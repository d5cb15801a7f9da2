use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::store::{Found, RecordKind, Records};
use crate::{
    protocol::TokenResponse,
    secret::{Secret, exposed, random_bytes},
    store::StoreError,
};

/// An access token that ends within this time is due for outcome.
const MARGIN: Duration = Duration::from_secs(60);

/// Renewals that would be due at the same moment are spread over at most this time before it.
const MAX_SPREAD: Duration = Duration::from_secs(300);

/// The tokens of a session. They lie beside it, in a versioned record of their own that only a
/// renewal writes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Tokens {
    #[serde(with = "exposed")]
    pub(crate) access_token: Secret,
    #[serde(with = "time::serde::timestamp")]
    pub(crate) access_token_expires_at: OffsetDateTime,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) refresh_token: Option<StoredSecret>,
    /// For the provider's end-session endpoint, as a hint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) id_token: Option<StoredSecret>,
    pub(crate) scope: Option<String>,
    /// When a renewal is due.
    #[serde(with = "time::serde::timestamp")]
    pub(crate) refresh_at: OffsetDateTime,
    /// After a renewal that failed: not before then again.
    #[serde(default, with = "time::serde::timestamp::option")]
    pub(crate) rest_until: Option<OffsetDateTime>,
}

/// A secret in a record.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct StoredSecret(#[serde(with = "exposed")] pub(crate) Secret);

impl Tokens {
    /// The tokens of a token response that came just now.
    pub(crate) fn new(response: TokenResponse, now: OffsetDateTime) -> Self {
        let lifetime = response.lifetime();
        Self {
            access_token: response.access_token,
            access_token_expires_at: now + lifetime,
            refresh_token: response.refresh_token.map(StoredSecret),
            id_token: response.id_token.map(StoredSecret),
            scope: response.scope,
            refresh_at: now + refresh_after(lifetime),
            rest_until: None,
        }
    }

    /// The same after a outcome: what the provider did not send again stays as it was.
    pub(super) fn refreshed(&self, response: TokenResponse, now: OffsetDateTime) -> Self {
        let new = Self::new(response, now);
        Self {
            refresh_token: new.refresh_token.or_else(|| self.refresh_token.clone()),
            id_token: new.id_token.or_else(|| self.id_token.clone()),
            scope: new.scope.or_else(|| self.scope.clone()),
            ..new
        }
    }

    /// Whether they can be used for a while without a thought.
    pub(crate) fn are_fresh(&self, now: OffsetDateTime) -> bool {
        now < self.refresh_at
    }

    /// When a session with these tokens has to think of renewing them; never without a refresh
    /// token.
    pub(super) fn refresh_due_at(&self) -> Option<OffsetDateTime> {
        self.refresh_token.as_ref().map(|_| self.refresh_at)
    }

    /// Keeps new tokens until `expires_at`; the answer is the id they are found under.
    pub(super) async fn keep(
        &self,
        records: &Records,
        expires_at: OffsetDateTime,
    ) -> Result<Secret, StoreError> {
        let id = Secret::random();
        records
            .insert_new(RecordKind::Tokens, id.expose(), self, expires_at)
            .await?;
        Ok(id)
    }

    pub(super) async fn load(
        records: &Records,
        id: &Secret,
    ) -> Result<Option<Found<Self>>, StoreError> {
        records.load(RecordKind::Tokens, id.expose()).await
    }

    /// Takes tokens out of the store, whose session has ended.
    pub(super) async fn take(records: &Records, id: &Secret) -> Result<Option<Self>, StoreError> {
        records.take(RecordKind::Tokens, id.expose()).await
    }
}

/// How long after it was issued an access token is renewed: a minute before its end, spread over
/// some time before that, and not in the first half of its life.
fn refresh_after(lifetime: Duration) -> Duration {
    let [random] = *random_bytes::<1>();
    let spread = (lifetime / 10).min(MAX_SPREAD) * u32::from(random) / 255;
    lifetime
        .saturating_sub(MARGIN)
        .saturating_sub(spread)
        .max(lifetime / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l1_a_renewal_is_due_a_minute_before_the_end_or_earlier() {
        for _ in 0..200 {
            let after = refresh_after(Duration::from_secs(3600)).as_secs();
            assert!((3240..=3540).contains(&after), "{after}");
        }
        assert_eq!(refresh_after(Duration::from_secs(60)).as_secs(), 30);
        assert_eq!(refresh_after(Duration::ZERO), Duration::ZERO);
    }
}
