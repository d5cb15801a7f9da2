use std::{collections::HashMap, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::OffsetDateTime;
use tower_sessions::session::Id;

use super::{Revoker, Tokens, User};
use crate::{
    audit::TARGET,
    error::with_causes,
    secret::{Secret, exposed},
    store::{LoadedRecord, RecordId, RecordKind, Records, StoreError},
};

/// The key of [`SessionData`] in a session record. All other keys belong to the app.
pub(super) const DATA_KEY: &str = "axum_oten";

/// A session record: the app's data, and [`SessionData`] under [`DATA_KEY`].
pub(super) type SessionRecord = HashMap<String, Value>;

/// The part of a session record that belongs to this crate.
///
/// The user of a session ID never changes, because a sign-in creates a new session.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct SessionData {
    #[serde(with = "time::serde::timestamp")]
    pub(super) created_at: OffsetDateTime,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) user: Option<User>,
    /// The tokens have a record of their own, because every request that changes the session replaces
    /// the whole session record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) tokens: Option<TokensId>,
    /// The time from which a token refresh is due. A slow request may write back an outdated time,
    /// which the next refresh corrects.
    #[serde(default, with = "time::serde::timestamp::option")]
    pub(super) refresh_due_at: Option<OffsetDateTime>,
}

/// The ID of a [`Tokens`] record.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct TokensId(#[serde(with = "exposed")] pub(super) Secret);

impl SessionData {
    /// Creates the data of a guest's session.
    pub(super) fn new(created_at: OffsetDateTime) -> Self {
        Self {
            created_at,
            user: None,
            tokens: None,
            refresh_due_at: None,
        }
    }

    /// Removes the data from a session record.
    pub(super) fn take_from(record: &mut SessionRecord) -> Option<Self> {
        serde_json::from_value(record.remove(DATA_KEY)?).ok()
    }

    /// Writes the data to a session record.
    pub(super) fn put_into(&self, record: &mut SessionRecord) -> Result<(), StoreError> {
        let data = serde_json::to_value(self).map_err(StoreError::backend)?;
        record.insert(DATA_KEY.to_owned(), data);
        Ok(())
    }
}

/// The user that a verified ID token identifies.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) issuer: String,
    pub(crate) subject: String,
    pub(crate) claims: Map<String, Value>,
    pub(crate) auth_time: Option<i64>,
}

/// The sessions in the store.
#[derive(Clone, Debug)]
pub(crate) struct Sessions {
    pub(super) records: Records,
    pub(super) lifetimes: Lifetimes,
}

impl Sessions {
    pub(crate) fn new(records: Records, lifetimes: Lifetimes) -> Self {
        Self { records, lifetimes }
    }

    /// Creates a session for a user and ends the previous session of the browser.
    ///
    /// The app's data is kept if the previous session belongs to a guest or the same user. Completes
    /// even if the caller is cancelled.
    pub(crate) async fn sign_in(
        &self,
        previous: Option<Id>,
        identity: Identity,
        tokens: Tokens,
    ) -> Result<(Id, User), StoreError> {
        let this = self.clone();
        run_to_completion(async move { this.sign_in_now(previous, identity, &tokens).await }).await
    }

    async fn sign_in_now(
        &self,
        previous: Option<Id>,
        identity: Identity,
        tokens: &Tokens,
    ) -> Result<(Id, User), StoreError> {
        let now = self.records.clock().now();
        let user = User {
            issuer: identity.issuer,
            subject: identity.subject,
            claims: identity.claims,
            auth_time: identity.auth_time,
            signed_in_at: now,
            session_ends_at: self.lifetimes.absolute_expiry(now),
        };
        let mut record = match previous {
            Some(id) => self.app_data_for(&user, id).await?,
            None => SessionRecord::new(),
        };
        let id = Id::default();
        self.add_to_index(id, &user, now).await?;
        let tokens_id = tokens.insert(&self.records, user.session_ends_at).await?;
        let data = SessionData {
            created_at: now,
            user: Some(user.clone()),
            tokens: Some(TokensId(tokens_id)),
            refresh_due_at: tokens.refresh_due_at(),
        };
        data.put_into(&mut record)?;
        self.insert(id, &record, now).await?;
        if !self.is_indexed(id, &user).await? {
            // A back-channel logout of this user arrived meanwhile.
            self.end_now(id).await?;
        }
        if let Some(previous) = previous {
            self.end_now(previous).await?;
        }
        Ok((id, user))
    }

    /// Returns the app's data of a session, unless the session belongs to another user.
    async fn app_data_for(&self, user: &User, id: Id) -> Result<SessionRecord, StoreError> {
        let Some(LoadedRecord { mut value, .. }) = self.load(id).await? else {
            return Ok(SessionRecord::new());
        };
        let is_of_another = SessionData::take_from(&mut value)
            .and_then(|data| data.user)
            .is_some_and(|previous| !previous.is_same_person(user));
        Ok(if is_of_another {
            SessionRecord::new()
        } else {
            value
        })
    }

    /// Ends sessions that their user signs out of, revokes their tokens and returns them. Completes
    /// even if the caller is cancelled.
    pub(crate) async fn sign_out(
        &self,
        ids: Vec<Id>,
        revoker: &Revoker,
        correlation_id: &str,
    ) -> Result<Vec<Tokens>, StoreError> {
        let (this, revoker) = (self.clone(), revoker.clone());
        let correlation_id = correlation_id.to_owned();
        run_to_completion(async move {
            let mut ended = Vec::new();
            for id in ids {
                if let Some(tokens) = this.end_now(id).await? {
                    revoker.revoke(&tokens, &correlation_id);
                    ended.push(tokens);
                }
            }
            Ok(ended)
        })
        .await
    }

    /// Ends a session that the provider ended. Completes even if the caller is cancelled.
    pub(super) async fn end(&self, id: Id) -> Result<(), StoreError> {
        let this = self.clone();
        run_to_completion(async move { this.end_now(id).await.map(drop) }).await
    }

    async fn end_now(&self, id: Id) -> Result<Option<Tokens>, StoreError> {
        match self.take(&self.record_id(id)).await? {
            Some(data) => Ok(self.clean_up(id, &data).await),
            None => Ok(None),
        }
    }

    /// Removes the tokens and index entries of a session that was removed, and returns the tokens.
    pub(super) async fn clean_up(&self, id: Id, data: &SessionData) -> Option<Tokens> {
        let tokens = match &data.tokens {
            Some(tokens) => self.take_tokens(tokens).await,
            None => None,
        };
        if let Some(user) = &data.user {
            self.remove_from_index(id, user).await;
        }
        tokens
    }

    /// Removes a session and returns the part of this crate.
    pub(super) async fn take(&self, id: &RecordId) -> Result<Option<SessionData>, StoreError> {
        let taken: Option<SessionRecord> = self.records.take(id).await?;
        Ok(taken.and_then(|mut record| SessionData::take_from(&mut record)))
    }

    /// Removes the tokens of a session that was removed. Tokens that cannot be removed expire.
    pub(super) async fn take_tokens(&self, TokensId(id): &TokensId) -> Option<Tokens> {
        let taken = Tokens::take(&self.records, id).await;
        taken.unwrap_or_else(|error| {
            tracing::warn!(
                target: TARGET,
                error = with_causes(&error),
                "failed to remove the tokens of an ended session; they expire"
            );
            None
        })
    }

    pub(super) async fn load(
        &self,
        id: Id,
    ) -> Result<Option<LoadedRecord<SessionRecord>>, StoreError> {
        self.records.load(&self.record_id(id)).await
    }

    pub(super) async fn insert(
        &self,
        id: Id,
        record: &SessionRecord,
        created_at: OffsetDateTime,
    ) -> Result<(), StoreError> {
        let expires_at = self.expires_at(created_at);
        self.records
            .insert_new(&self.record_id(id), record, expires_at)
            .await
    }

    /// Stores when a token refresh is due, unless another request changes the session meanwhile.
    pub(super) async fn store_refresh_due_at(
        &self,
        id: Id,
        due_at: Option<OffsetDateTime>,
    ) -> Result<(), StoreError> {
        let Some(LoadedRecord {
            mut value,
            version,
            expires_at,
        }) = self.load(id).await?
        else {
            return Ok(());
        };
        let Some(mut data) = SessionData::take_from(&mut value) else {
            return Ok(());
        };
        // Records store whole seconds.
        let seconds = |at: Option<OffsetDateTime>| at.map(OffsetDateTime::unix_timestamp);
        if seconds(data.refresh_due_at) == seconds(due_at) {
            return Ok(());
        }
        data.refresh_due_at = due_at;
        data.put_into(&mut value)?;
        self.records
            .replace(&self.record_id(id), Some(version), &value, expires_at)
            .await
            .map(drop)
    }

    pub(super) fn record_id(&self, id: Id) -> RecordId {
        self.records.id(RecordKind::Session, &id.to_string())
    }

    /// Returns the expiry of a session that is used now.
    pub(super) fn expires_at(&self, created_at: OffsetDateTime) -> OffsetDateTime {
        let now = self.records.clock().now();
        self.lifetimes.expires_at(created_at, now)
    }
}

/// Runs a sequence of store operations to completion, even if the caller is cancelled because the
/// browser closed the connection.
pub(super) async fn run_to_completion<T: Send + 'static>(
    operations: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::spawn(operations)
        .await
        .unwrap_or_else(|error| Err(StoreError::backend(error)))
}

/// A session's expiry is extended when this part of the idle lifetime has passed, rather than at
/// each request.
const TOUCHES_PER_IDLE_LIFETIME: u32 = 20;

/// The lifetimes of sessions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lifetimes {
    /// The lifetime after the last request.
    pub(crate) idle: Duration,
    /// The lifetime after the sign-in.
    pub(crate) absolute: Duration,
}

impl Lifetimes {
    /// Returns the latest possible expiry of a session.
    pub(super) fn absolute_expiry(self, created_at: OffsetDateTime) -> OffsetDateTime {
        created_at + self.absolute
    }

    /// Returns the expiry of a session that is used at `now`.
    fn expires_at(self, created_at: OffsetDateTime, now: OffsetDateTime) -> OffsetDateTime {
        (now + self.idle).min(self.absolute_expiry(created_at))
    }

    /// Returns the new expiry of a session that is used at `now`, if it is worth a write.
    pub(super) fn extended_expiry(
        self,
        created_at: OffsetDateTime,
        expires_at: OffsetDateTime,
        now: OffsetDateTime,
    ) -> Option<OffsetDateTime> {
        let extended = self.expires_at(created_at, now);
        (extended - expires_at >= self.idle / TOUCHES_PER_IDLE_LIFETIME).then_some(extended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn l6_activity_extends_the_expiry_every_twentieth_of_the_idle_lifetime() {
        let lifetimes = Lifetimes {
            idle: 20 * HOUR,
            absolute: 100 * HOUR,
        };
        let created = OffsetDateTime::UNIX_EPOCH;
        let expires = lifetimes.expires_at(created, created);
        assert_eq!(expires, created + 20 * HOUR);
        let almost = created + HOUR - Duration::from_secs(1);
        assert_eq!(lifetimes.extended_expiry(created, expires, almost), None);
        assert_eq!(
            lifetimes.extended_expiry(created, expires, created + HOUR),
            Some(created + 21 * HOUR)
        );
    }

    #[test]
    fn l6_activity_does_not_extend_the_absolute_lifetime() {
        let lifetimes = Lifetimes {
            idle: 20 * HOUR,
            absolute: 30 * HOUR,
        };
        let created = OffsetDateTime::UNIX_EPOCH;
        let late = created + 29 * HOUR;
        assert_eq!(lifetimes.expires_at(created, late), created + 30 * HOUR);
        let expires = lifetimes.absolute_expiry(created);
        assert_eq!(lifetimes.extended_expiry(created, expires, late), None);
    }
}
