//! Ending sessions by logout tokens (OpenID Connect Back-Channel Logout 1.0), and the index that finds
//! sessions.
//!
//! The session of a user is in the set of its user, in one of the sets with a part of all sessions and, if
//! the provider sends a `sid`, in the set of its session at the provider. Members are hashes of session IDs,
//! so the sets contain no cookie values. The part depends on what all IDs of a session have in common, so
//! that a session whose ID changes stays in its part.
//!
//! A session enters its sets before its record is written. A logout token is noted before its set is
//! read, and a sign-in looks for such notes after it has written its record. So either the logout finds
//! the session in the set, or the sign-in finds the note and ends the session itself. A session whose
//! ID changes enters its sets under the new ID before it leaves them under the previous one, and the
//! previous record points to the new one.

use std::time::Duration;

use time::OffsetDateTime;

use super::{
    Sessions, User,
    record::{Family, SessionData},
    sessions::SignInStart,
};
use crate::{
    audit::TARGET,
    error::with_causes,
    secret::random_bytes,
    store::{RecordId, RecordKind, StoreError},
};

/// How long a logout token is noted: longer than any sign-in takes after the provider authenticated the
/// user and sent the code, the user has confirmed it and a native app has fetched its session.
const NOTE_LIFETIME: Duration = Duration::from_secs(20 * 60);

/// How much longer than its lifetime a logout token counts as used: the clock of another process may be a minute
/// behind.
const USED_MARGIN: Duration = Duration::from_secs(2 * 60);

/// How much longer than a session it stays in its sets.
const INDEX_MARGIN: Duration = Duration::from_secs(60);

/// The number of sets with a part of all sessions. One part makes the orders of requests in
/// `interleavings` repeatable.
pub(super) const PARTS: u8 = if cfg!(test) { 1 } else { 128 };

/// Added to the time that a sign-in took, because stores round times.
pub(super) const ROUNDING: Duration = Duration::from_secs(1);

/// The sessions that a logout token names: those of a user, of a session at the provider, or of both.
/// At least one of `sub` and `sid` is set.
#[derive(Clone, Debug)]
pub(crate) struct LogoutTarget {
    pub(crate) sub: Option<String>,
    pub(crate) sid: Option<String>,
}

/// The result of [`Sessions::end_matching`].
#[derive(Debug, Default)]
pub(crate) struct EndedSessions {
    pub(crate) count: usize,
    /// The user of the sessions.
    pub(crate) user: Option<User>,
}

impl Sessions {
    /// Ends the sessions that match a logout token, and removes their tokens. Completes even if the
    /// caller is cancelled, and can be repeated if the store fails.
    pub(crate) async fn end_matching(
        &self,
        target: LogoutTarget,
    ) -> Result<EndedSessions, StoreError> {
        let this = self.clone();
        self.run_to_completion(async move { this.end_matching_now(&target).await })
            .await
    }

    async fn end_matching_now(&self, target: &LogoutTarget) -> Result<EndedSessions, StoreError> {
        let LogoutTarget { sub, sid } = target;
        let mut ended = EndedSessions::default();
        let (note, set) = match (sub, sid) {
            (_, Some(sid)) => (self.logged_out_sid(sid), self.sessions_of_sid(sid)),
            (Some(sub), None) => (self.logged_out_sub(sub), self.sessions_of_sub(sub)),
            (None, None) => return Ok(ended),
        };
        self.note(&note).await?;
        for member in self.records.members(&set, RecordKind::Session).await? {
            if let Some(session) = self.end_now(&member, sub.as_deref()).await? {
                ended.count += 1;
                ended.user = session.data.user;
            }
        }
        Ok(ended)
    }

    /// Notes that sessions are about to be ended, for the sign-ins in progress.
    pub(super) async fn note(&self, note: &RecordId) -> Result<(), StoreError> {
        self.records.put(note, &(), NOTE_LIFETIME).await?;
        let epoch = u128::from_be_bytes(*random_bytes());
        self.records
            .put(&self.logout_epoch_id(), &epoch, NOTE_LIFETIME)
            .await
    }

    /// Returns a value that differs from an earlier one if sessions were noted in between.
    pub(super) async fn logout_epoch(&self) -> Result<Option<u128>, StoreError> {
        let loaded = self.records.load(&self.logout_epoch_id()).await?;
        Ok(loaded.map(|loaded| loaded.value))
    }

    /// Returns whether a logout token for this user arrived after the callback did or an operator ended
    /// the sessions of this user or all sessions, or a logout token for this session at the provider
    /// arrived after the login attempt started.
    pub(super) async fn is_logged_out_since(
        &self,
        start: &SignInStart,
        user: &User,
    ) -> Result<bool, StoreError> {
        if let Some(sid) = user.sid() {
            let note = self.logged_out_sid(sid);
            if self.is_noted_since(start, start.attempt_age, &note).await? {
                return Ok(true);
            }
        }
        if self.logout_epoch().await? == start.logout_epoch {
            return Ok(false);
        }
        let of_user = self.logged_out_sub(user.subject());
        Ok(self.is_noted_since(start, Duration::ZERO, &of_user).await?
            || self
                .is_noted_since(start, Duration::ZERO, &self.logged_out_site())
                .await?)
    }

    /// Returns whether a logout token was noted later than `before` the start of a sign-in.
    async fn is_noted_since(
        &self,
        start: &SignInStart,
        before: Duration,
        note: &RecordId,
    ) -> Result<bool, StoreError> {
        let Some(note) = self.records.load::<()>(note).await? else {
            return Ok(false);
        };
        let elapsed = self.records.clock().now() - start.at;
        let elapsed = Duration::try_from(elapsed).unwrap_or_default();
        Ok(NOTE_LIFETIME.saturating_sub(note.ttl) <= before + elapsed + ROUNDING)
    }

    /// Adds a session to its sets until `ttl` has elapsed, before it is inserted. Returns the sessions to
    /// end so that the user has at most `limit`.
    pub(super) async fn add_to_index(
        &self,
        id: &RecordId,
        data: &SessionData,
        ttl: Duration,
        limit: usize,
    ) -> Result<Vec<RecordId>, StoreError> {
        // A member must not expire before the record, which is written later.
        let ttl = ttl.saturating_add(INDEX_MARGIN);
        let mut excess = Vec::new();
        let Some(user) = &data.user else {
            return Ok(excess);
        };
        for set in self.sets_of(user) {
            excess.extend(self.records.add_member(&set, id, ttl, limit).await?);
        }
        let part = self.part_of(data.family);
        self.records.add_member(&part, id, ttl, usize::MAX).await?;
        Ok(excess)
    }

    /// Removes a session from its sets. A member that cannot be removed expires.
    pub(super) async fn remove_from_index(&self, id: &RecordId, data: &SessionData) {
        let sets = data.user.iter().flat_map(|user| self.sets_of(user));
        let part = data.user.as_ref().map(|_| self.part_of(data.family));
        for set in sets.chain(part) {
            if let Err(error) = self.records.remove_member(&set, id).await {
                tracing::warn!(
                    target: TARGET,
                    error = with_causes(&error),
                    "failed to remove an ended session from the index; it expires"
                );
                return;
            }
        }
    }

    /// Returns the sets of a user's sessions.
    pub(super) fn sets_of(&self, user: &User) -> impl Iterator<Item = RecordId> {
        let sid = user.sid().map(|sid| self.sessions_of_sid(sid));
        [self.sessions_of_sub(user.subject())]
            .into_iter()
            .chain(sid)
    }

    /// Returns the set with the part of all sessions in which a session is.
    pub(super) fn part_of(&self, family: Family) -> RecordId {
        let part = family.as_bytes()[0].checked_rem(PARTS);
        self.part(part.unwrap_or_default())
    }

    /// Returns the set with a part of all sessions.
    pub(super) fn part(&self, part: u8) -> RecordId {
        self.records.part(RecordKind::SessionsOfSite, part)
    }

    pub(super) fn sessions_of_sub(&self, sub: &str) -> RecordId {
        self.records.id(RecordKind::SessionsOfSub, sub)
    }

    fn sessions_of_sid(&self, sid: &str) -> RecordId {
        self.records.id(RecordKind::SessionsOfSid, sid)
    }

    pub(super) fn logged_out_sub(&self, sub: &str) -> RecordId {
        self.records.id(RecordKind::LoggedOutSub, sub)
    }

    fn logged_out_sid(&self, sid: &str) -> RecordId {
        self.records.id(RecordKind::LoggedOutSid, sid)
    }

    pub(super) fn logged_out_site(&self) -> RecordId {
        self.records.id(RecordKind::LoggedOutSite, "")
    }

    fn logout_epoch_id(&self) -> RecordId {
        self.records.id(RecordKind::LogoutEpoch, "")
    }

    /// Returns whether a logout token was used.
    pub(crate) async fn is_logout_token_used(&self, jti: &str) -> Result<bool, StoreError> {
        let id = self.logout_token_id(jti);
        Ok(self.records.load::<()>(&id).await?.is_some())
    }

    /// Marks a logout token as used until it expires. Returns `false` if it was used before.
    pub(crate) async fn use_logout_token(
        &self,
        jti: &str,
        expires_at: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        let ttl = expires_at - self.records.clock().now();
        let ttl = Duration::try_from(ttl).unwrap_or_default();
        self.records
            .insert(&self.logout_token_id(jti), &(), ttl + USED_MARGIN)
            .await
    }

    fn logout_token_id(&self, jti: &str) -> RecordId {
        self.records.id(RecordKind::LogoutToken, jti)
    }
}
