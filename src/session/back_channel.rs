//! Ending sessions by logout tokens (OpenID Connect Back-Channel Logout 1.0), and the index that
//! finds these sessions.
//!
//! A session is in the set of its user and, if the provider sends a `sid`, in the set of its session at
//! the provider. Members are addresses of records, so the sets contain no cookie values.

use std::collections::BTreeSet;

use time::OffsetDateTime;
use tower_sessions::session::Id;

use super::{
    Sessions, User,
    sessions::{SessionData, run_to_completion},
};
use crate::{
    audit::TARGET,
    error::with_causes,
    store::{RecordId, RecordKind, StoreError},
};

/// The number of searches for sessions that are created while the sessions of their user end.
const SEARCHES: usize = 10;

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
        run_to_completion(async move { this.end_matching_now(&target).await }).await
    }

    async fn end_matching_now(&self, target: &LogoutTarget) -> Result<EndedSessions, StoreError> {
        let sets = self.sets(target.sub.as_deref(), target.sid.as_deref());
        let mut ended = EndedSessions::default();
        let mut seen = BTreeSet::new();
        // Repeated until no new session appears: a session whose ID was cycled meanwhile was added to
        // the sets before its previous record was removed.
        for _ in 0..SEARCHES {
            let mut members = self.common_members(&sets).await?;
            members.retain(|member| seen.insert(member.clone()));
            if members.is_empty() {
                break;
            }
            for member in members {
                if let Some(user) = self.end_member(&sets, &member).await? {
                    ended.count += 1;
                    ended.user = Some(user);
                }
            }
        }
        Ok(ended)
    }

    /// A session that is being created has no record yet. Removing it from the sets makes the sign-in
    /// end it; if the sign-in has passed that check, the second attempt finds the record.
    async fn end_member(
        &self,
        sets: &[RecordId],
        member: &str,
    ) -> Result<Option<User>, StoreError> {
        let mut taken = self.take_member(member).await?;
        for set in sets {
            self.records.remove_member(set, member).await?;
        }
        if taken.is_none() {
            taken = self.take_member(member).await?;
        }
        let Some(SessionData {
            user: Some(user),
            tokens,
            ..
        }) = taken
        else {
            return Ok(None);
        };
        if let Some(tokens) = tokens {
            self.take_tokens(&tokens).await;
        }
        let mut others = self.sets_of(&user);
        others.retain(|set| !sets.contains(set));
        self.remove_from_sets(&others, member).await;
        Ok(Some(user))
    }

    async fn take_member(&self, member: &str) -> Result<Option<SessionData>, StoreError> {
        match RecordId::from_address(RecordKind::Session, member) {
            Some(id) => self.take(&id).await,
            None => Ok(None),
        }
    }

    /// Returns the members that all sets contain.
    ///
    /// The sets are read one after the other, and again if the first set changed meanwhile. Otherwise
    /// a session whose ID is cycled in between could be missing.
    async fn common_members(&self, sets: &[RecordId]) -> Result<BTreeSet<String>, StoreError> {
        let Some((first, others)) = sets.split_first() else {
            return Ok(BTreeSet::new());
        };
        let mut before = self.members(first).await?;
        if others.is_empty() {
            return Ok(before);
        }
        let mut common = BTreeSet::new();
        for _ in 0..SEARCHES {
            common.clone_from(&before);
            for set in others {
                let members = self.members(set).await?;
                common.retain(|member| members.contains(member));
            }
            let now = self.members(first).await?;
            if now == before {
                break;
            }
            before = now;
        }
        Ok(common)
    }

    /// Adds a session to its sets. It is called before the session is inserted, so every session in
    /// the store is in its sets.
    pub(super) async fn add_to_index(
        &self,
        id: Id,
        user: &User,
        created_at: OffsetDateTime,
    ) -> Result<(), StoreError> {
        let member = self.record_id(id).address();
        let expires_at = self.lifetimes.absolute_expiry(created_at);
        for set in self.sets_of(user) {
            self.records.add_member(&set, &member, expires_at).await?;
        }
        Ok(())
    }

    /// Returns whether a session is still in all of its sets.
    pub(super) async fn is_indexed(&self, id: Id, user: &User) -> Result<bool, StoreError> {
        let member = self.record_id(id).address();
        for set in self.sets_of(user) {
            if !self.members(&set).await?.contains(&member) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Removes an ended session from its sets. A member that cannot be removed expires.
    pub(super) async fn remove_from_index(&self, id: Id, user: &User) {
        let member = self.record_id(id).address();
        self.remove_from_sets(&self.sets_of(user), &member).await;
    }

    async fn remove_from_sets(&self, sets: &[RecordId], member: &str) {
        for set in sets {
            if let Err(error) = self.records.remove_member(set, member).await {
                tracing::warn!(
                    target: TARGET,
                    error = with_causes(&error),
                    "failed to remove an ended session from the index; it expires"
                );
                return;
            }
        }
    }

    async fn members(&self, set: &RecordId) -> Result<BTreeSet<String>, StoreError> {
        let members = self.records.members(set).await?;
        Ok(members.into_iter().collect())
    }

    fn sets_of(&self, user: &User) -> Vec<RecordId> {
        let sid = user.claim("sid").and_then(serde_json::Value::as_str);
        self.sets(Some(user.subject()), sid)
    }

    /// Returns the sets of a user and of a session at the provider.
    fn sets(&self, sub: Option<&str>, sid: Option<&str>) -> Vec<RecordId> {
        let sub = sub.map(|sub| (RecordKind::SessionsOfSub, sub));
        let sid = sid.map(|sid| (RecordKind::SessionsOfSid, sid));
        [sub, sid]
            .into_iter()
            .flatten()
            .map(|(kind, name)| self.records.id(kind, name))
            .collect()
    }

    /// Returns whether a logout token was used.
    pub(crate) async fn is_logout_token_used(&self, jti: &str) -> Result<bool, StoreError> {
        let id = self.logout_token_id(jti);
        Ok(self.records.load::<u8>(&id).await?.is_some())
    }

    /// Marks a logout token as used until it expires. Returns `false` if it was used before.
    pub(crate) async fn use_logout_token(
        &self,
        jti: &str,
        expires_at: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        let id = self.logout_token_id(jti);
        self.records.insert_raw(&id, b"1", expires_at).await
    }

    fn logout_token_id(&self, jti: &str) -> RecordId {
        self.records.id(RecordKind::LogoutToken, jti)
    }
}
