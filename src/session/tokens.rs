use std::{fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::OffsetDateTime;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use super::{record::Family, userinfo::AddedClaims};
use crate::{
    audit::{AuditTrail, EventKind, EventOrigin},
    config::Client,
    error::with_causes,
    http::MAX_RETRY_AFTER,
    protocol::{TokenResponse, revoke_refresh_token, user_claims},
    provider::Provider,
    secret::{Secret, exposed, random_bytes},
    store::{LoadedRecord, RecordId, RecordKind, Records, StoreError},
};

/// A refresh is due this long before the access token expires.
const MARGIN: Duration = Duration::from_secs(60);

/// The maximum random time by which refreshes are spread before [`MARGIN`].
const MAX_SPREAD: Duration = Duration::from_secs(300);

/// How far the clocks of two processes may differ.
pub(super) const MAX_SKEW: Duration = Duration::from_secs(60);

/// A token that expires earlier may not survive the call it is for.
pub(crate) const MIN_TOKEN_LIFETIME: time::Duration = time::Duration::seconds(10);

/// If an API rejects a token that is newer, another one would not help.
pub(crate) const MIN_REPLACEABLE_AGE: time::Duration = time::Duration::minutes(1);

/// The tokens of a session, in a versioned record beside the session that only a refresh writes. Every
/// request that changes the session replaces the whole session record.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Tokens {
    #[serde(with = "exposed")]
    pub(crate) access_token: Secret,
    #[serde(with = "time::serde::timestamp")]
    pub(crate) access_token_expires_at: OffsetDateTime,
    #[serde(with = "time::serde::timestamp")]
    pub(super) issued_at: OffsetDateTime,
    pub(crate) refresh_token: Option<StoredSecret>,
    /// The last ID token: the hint for the provider's end-session endpoint.
    pub(crate) id_token: Option<StoredSecret>,
    pub(crate) scope: Option<String>,
    /// The time from which a refresh is due.
    #[serde(with = "time::serde::timestamp")]
    pub(crate) refresh_at: OffsetDateTime,
    /// The time of the next attempt after a refresh that failed.
    #[serde(with = "time::serde::timestamp::option")]
    pub(crate) retry_at: Option<OffsetDateTime>,
    /// Whether the last refresh failed with an answer that the client cannot use, which may not pass.
    #[serde(default)]
    pub(crate) is_answer_unusable: bool,
    /// The `nonce` of the sign-in, which the ID tokens of refreshes repeat.
    pub(crate) nonce: StoredSecret,
    /// The claims of the userinfo endpoint that are added to those of the ID token.
    pub(crate) added_claims: AddedClaims,
    /// The number of refreshes, and of changes of the added claims.
    pub(crate) refreshes: u32,
    /// The latest expiry of the session according to a refreshed ID token, in seconds since the Unix
    /// epoch.
    pub(crate) session_expiry: Option<i64>,
}

/// A secret in a record.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct StoredSecret(#[serde(with = "exposed")] pub(crate) Secret);

/// Whether a time in the past is ahead of `now`: one of the clocks is wrong.
fn is_ahead(past: OffsetDateTime, now: OffsetDateTime) -> bool {
    past > now + MAX_SKEW
}

impl Tokens {
    /// Creates the tokens of a sign-in whose response was received at `now`.
    pub(crate) fn new(response: TokenResponse, nonce: Secret, now: OffsetDateTime) -> Self {
        let lifetime = response.lifetime;
        Self {
            access_token: response.access_token,
            access_token_expires_at: now + lifetime,
            issued_at: now,
            refresh_token: response.refresh_token.map(StoredSecret),
            id_token: response.id_token.map(StoredSecret),
            scope: response.scope,
            refresh_at: now + refresh_after(lifetime),
            retry_at: None,
            is_answer_unusable: false,
            nonce: StoredSecret(nonce),
            added_claims: AddedClaims::default(),
            refreshes: 0,
            session_expiry: None,
        }
    }

    /// Returns the tokens after a refresh. Values that the response omits are kept.
    pub(super) fn refreshed(
        &self,
        response: TokenResponse,
        session_expiry: Option<i64>,
        now: OffsetDateTime,
    ) -> Self {
        let new = Self::new(response, self.nonce.0.clone(), now);
        Self {
            refreshes: self.refreshes.saturating_add(1),
            refresh_token: new.refresh_token.or_else(|| self.refresh_token.clone()),
            id_token: new.id_token.or_else(|| self.id_token.clone()),
            scope: new.scope.or_else(|| self.scope.clone()),
            session_expiry: session_expiry.or(self.session_expiry),
            added_claims: self.added_claims.clone(),
            ..new
        }
    }

    /// Returns whether no refresh is due.
    pub(crate) fn are_fresh(&self, now: OffsetDateTime) -> bool {
        now < self.refresh_at && !is_ahead(self.issued_at, now)
    }

    /// Returns the time of the next attempt if the last refresh failed and that time has not come.
    pub(super) fn retry_at(&self, now: OffsetDateTime) -> Option<OffsetDateTime> {
        self.retry_at
            .filter(|retry_at| now < *retry_at && !is_ahead(*retry_at - MAX_RETRY_AFTER, now))
    }

    /// Returns whether the access token will survive a call.
    pub(crate) fn is_usable(&self, now: OffsetDateTime) -> bool {
        self.access_token_expires_at > now + MIN_TOKEN_LIFETIME
    }

    /// Returns whether an API has rejected the access token and another one may help.
    pub(super) fn are_rejected(&self, rejected: Option<&Secret>, now: OffsetDateTime) -> bool {
        rejected == Some(&self.access_token) && (now - self.issued_at).abs() >= MIN_REPLACEABLE_AGE
    }

    /// Returns when a refresh is due. Without a refresh token, none ever is.
    pub(super) fn refresh_due_at(&self) -> Option<OffsetDateTime> {
        self.refresh_token.as_ref().map(|_| self.refresh_at)
    }

    /// Returns the claims of the last ID token about the user and those that are added to them, or `None`
    /// if there is no ID token.
    pub(super) fn claims(&self) -> Option<Map<String, Value>> {
        user_claims(&self.id_token.as_ref()?.0).map(|claims| self.complete(claims))
    }

    /// Adds the claims that an ID token lacks.
    pub(super) fn complete(&self, mut claims: Map<String, Value>) -> Map<String, Value> {
        self.added_claims.add_to(&mut claims);
        claims
    }

    /// Inserts the tokens of a new session.
    pub(super) async fn insert(
        &self,
        records: &Records,
        family: Family,
        ttl: Duration,
    ) -> Result<(), StoreError> {
        records
            .insert_new(&record_id(records, family), self, ttl)
            .await
    }

    pub(super) async fn load(
        records: &Records,
        family: Family,
    ) -> Result<Option<LoadedRecord<Self>>, StoreError> {
        records.load(&record_id(records, family)).await
    }

    /// Replaces the version that was loaded. Keeps its expiry, unless the session expires earlier now.
    pub(super) async fn replace(
        &self,
        records: &Records,
        family: Family,
        loaded: &LoadedRecord<Self>,
    ) -> Result<bool, StoreError> {
        let id = record_id(records, family);
        let version = Some(loaded.version);
        let rest = self.session_expiry.map_or(loaded.ttl, |expiry| {
            let seconds = expiry.saturating_sub(records.clock().unix_now());
            Duration::from_secs(seconds.try_into().unwrap_or(0))
        });
        records
            .replace(&id, version, self, loaded.ttl.min(rest))
            .await
    }

    /// Sets the time until the tokens expire.
    pub(super) async fn touch(
        records: &Records,
        family: Family,
        ttl: Duration,
    ) -> Result<(), StoreError> {
        records
            .touch(&record_id(records, family), ttl)
            .await
            .map(drop)
    }

    /// Removes the tokens and returns them.
    pub(super) async fn take(
        records: &Records,
        family: Family,
    ) -> Result<Option<Self>, StoreError> {
        records.take(&record_id(records, family)).await
    }
}

/// The tokens have the ID of their session's family, so they cannot be moved to another session.
fn record_id(records: &Records, family: Family) -> RecordId {
    records.id(RecordKind::Tokens, family.as_bytes())
}

/// Returns the age at which an access token is due for a refresh: [`MARGIN`] before it expires or a
/// random time earlier, but not in the first half of its lifetime.
pub(crate) fn refresh_after(lifetime: Duration) -> Duration {
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
    pub(crate) slots: Arc<Semaphore>,
}

/// The number of revocations at a time: an operator can end all sessions at once.
pub(crate) const MAX_REVOCATIONS: usize = 32;

impl Revoker {
    /// Revokes the refresh token, if there is one.
    pub(crate) fn revoke(&self, tokens: &Tokens, origin: &EventOrigin) {
        let Some(StoredSecret(refresh_token)) = tokens.refresh_token.clone() else {
            return;
        };
        let (this, origin) = (self.clone(), origin.clone());
        self.tasks.spawn(async move {
            let _slot = this.slots.acquire().await;
            // Boxed to keep the tasks that wait small.
            Box::pin(this.revoke_now(&refresh_token, &origin)).await;
        });
    }

    async fn revoke_now(&self, refresh_token: &Secret, origin: &EventOrigin) {
        let revoked = match self.provider.revocation_endpoint().await {
            Ok(None) => return,
            Ok(Some(endpoint)) => {
                let http = self.provider.http();
                let revoked = revoke_refresh_token(http, &endpoint, &self.client, refresh_token);
                revoked.await.map_err(|error| with_causes(&error))
            }
            Err(error) => Err(with_causes(&error)),
        };
        if let Err(cause) = revoked {
            let event = self.trail.event(EventKind::RevocationFailed);
            let event = event.with_origin(origin).with_cause(cause);
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
    use serde_json::json;

    use super::*;
    use crate::{clock::Clock, session::testing, store::MemoryStore};

    fn response(value: &Value) -> TokenResponse {
        TokenResponse::parse(value.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn l3_values_that_the_response_to_a_refresh_omits_are_kept() {
        let now = OffsetDateTime::UNIX_EPOCH;
        let first = response(&json!({
            "token_type": "Bearer", "access_token": "first", "refresh_token": "refresh",
            "id_token": "id", "scope": "openid",
        }));
        let first = Tokens {
            session_expiry: Some(7),
            ..Tokens::new(first, "nonce".into(), now)
        };
        let second = response(&json!({ "token_type": "Bearer", "access_token": "second" }));
        let second = first.refreshed(second, None, now);
        let text = |secret: &Option<StoredSecret>| secret.as_ref().unwrap().0.expose().to_owned();
        assert_eq!(second.access_token.expose(), "second");
        assert_eq!(text(&second.refresh_token), "refresh");
        assert_eq!(text(&second.id_token), "id");
        assert_eq!(second.scope.as_deref(), Some("openid"));
        assert_eq!(second.nonce.0.expose(), "nonce");
        assert_eq!(second.session_expiry, Some(7));
        assert_eq!(second.refreshes, 1);
    }

    #[test]
    fn b1_the_lifetime_of_an_access_token_is_at_most_a_day() {
        for (seconds, expected) in [(3600, 3600), (u64::MAX, 86_400)] {
            let response = response(&json!({
                "token_type": "Bearer", "access_token": "token", "expires_in": seconds,
            }));
            let tokens = Tokens::new(response, "nonce".into(), OffsetDateTime::UNIX_EPOCH);
            assert_eq!(tokens.access_token_expires_at.unix_timestamp(), expected);
        }
    }

    #[test]
    fn l1_times_of_a_clock_that_was_ahead_are_not_trusted() {
        let at = OffsetDateTime::UNIX_EPOCH;
        let response = response(&json!({
            "token_type": "Bearer", "access_token": "token", "expires_in": 3600,
        }));
        let tokens = Tokens {
            retry_at: Some(at + MAX_RETRY_AFTER),
            ..Tokens::new(response, "nonce".into(), at)
        };
        for (seconds, is_trusted) in [(0, true), (60, true), (61, false)] {
            let now = at - Duration::from_secs(seconds);
            assert_eq!(tokens.are_fresh(now), is_trusted, "{seconds}");
            assert_eq!(tokens.retry_at(now).is_some(), is_trusted, "{seconds}");
        }
    }

    #[tokio::test]
    async fn l2_tokens_that_changed_since_they_were_loaded_are_not_replaced() {
        let records = Records::new(Arc::new(MemoryStore::default()), Clock::system());
        let (family, tokens) = (Family::random(), testing::tokens());
        let hour = Duration::from_secs(3600);
        tokens.insert(&records, family, hour).await.unwrap();
        let loaded = Tokens::load(&records, family).await.unwrap().unwrap();
        for is_first in [true, false] {
            let replaced = tokens.replace(&records, family, &loaded).await;
            assert_eq!(replaced.unwrap(), is_first);
        }
    }

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
