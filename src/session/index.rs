//! Where the sessions are that a logout token can name (OpenID Connect Back-Channel Logout 1.0).
//!
//! A session is in the set of its user and, where the provider tells a `sid`, in the set of that.
//! The members are addresses of records: who reads the sets finds no cookie's value. The ids of the
//! sets hold the client, for a store may serve several, and the issuer, whose names they are.

use std::collections::BTreeSet;

use time::OffsetDateTime;
use tower_sessions::session::Id;

use super::{Sessions, User};
use crate::store::{RecordKind, Records, StoreError};

/// A set of sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Set {
    kind: RecordKind,
    id: String,
}

impl Set {
    pub(super) fn of_sub(client_id: &str, issuer: &str, sub: &str) -> Self {
        Self::new(RecordKind::SessionsOfSub, client_id, issuer, sub)
    }

    pub(super) fn of_sid(client_id: &str, issuer: &str, sid: &str) -> Self {
        Self::new(RecordKind::SessionsOfSid, client_id, issuer, sid)
    }

    fn new(kind: RecordKind, client_id: &str, issuer: &str, name: &str) -> Self {
        // JSON keeps the three apart, whatever is in them.
        let id = serde_json::json!([client_id, issuer, name]).to_string();
        Self { kind, id }
    }

    pub(super) async fn members(&self, records: &Records) -> Result<BTreeSet<String>, StoreError> {
        let members = records.members(self.kind, &self.id).await?;
        Ok(members.into_iter().collect())
    }

    pub(super) async fn remove(&self, records: &Records, member: &str) -> Result<(), StoreError> {
        records.remove_member(self.kind, &self.id, member).await
    }
}

/// The member that stands for a session.
pub(super) fn member(id: Id) -> String {
    Records::address(RecordKind::Session, &id.to_string())
}

impl Sessions {
    /// The sets that a user's sessions are in.
    pub(super) fn sets_of(&self, user: &User) -> impl Iterator<Item = Set> + use<> {
        let (client_id, issuer) = (&self.client_id, user.issuer());
        let sid = user.claim("sid").and_then(serde_json::Value::as_str);
        [
            Some(Set::of_sub(client_id, issuer, user.subject())),
            sid.map(|sid| Set::of_sid(client_id, issuer, sid)),
        ]
        .into_iter()
        .flatten()
    }

    /// Puts a session into its sets, before it is made: one that exists is in them.
    pub(super) async fn enter(
        &self,
        id: Id,
        user: &User,
        created_at: OffsetDateTime,
    ) -> Result<(), StoreError> {
        let (member, ends_at) = (member(id), self.lifetimes.ends_at(created_at));
        for set in self.sets_of(user) {
            self.records
                .add_member(set.kind, &set.id, &member, ends_at)
                .await?;
        }
        Ok(())
    }

    /// Whether a session is still in all of its sets.
    pub(super) async fn is_entered(&self, id: Id, user: &User) -> Result<bool, StoreError> {
        let member = member(id);
        for set in self.sets_of(user) {
            if !set.members(&self.records).await?.contains(&member) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Takes a session that is gone out of its sets. If that fails the members end by themselves.
    pub(super) async fn leave(&self, id: Id, user: &User) {
        let member = member(id);
        for set in self.sets_of(user) {
            if let Err(error) = set.remove(&self.records, &member).await {
                tracing::warn!(%error, "an ended session could not be taken out of the index");
                return;
            }
        }
    }
}
