use std::{collections::HashMap, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::OffsetDateTime;
use tower_sessions::session::Id;

use super::{Lifetimes, Revoker, Tokens, User, run_to_completion::run_to_completion};
use crate::{
    secret::{Secret, exposed},
    store::{Found, RecordKind, Records, StoreError},
};

/// The key of a stored session's data that is ours; all others are the app's.
pub(super) const OURS: &str = "axum_oten";

/// A session record: the app's data and, under [`OURS`], what we keep.
pub(super) type Data = HashMap<String, Value>;

/// What we keep in a session. Who it is does not change under one session id: signing in makes a new
/// one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct SessionData {
    #[serde(with = "time::serde::timestamp")]
    pub(super) created_at: OffsetDateTime,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) user: Option<User>,
    /// Where the tokens are. They lie beside the session, because this record is written whole by
    /// whoever ends a request last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) tokens: Option<TokensPointer>,
    /// When to think of renewing the tokens, as far as this record knows: a request that is slow to
    /// write may bring an old time back, which heals at the next look.
    #[serde(default, with = "time::serde::timestamp::option")]
    pub(super) refresh_due_at: Option<OffsetDateTime>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct TokensPointer(#[serde(with = "exposed")] pub(super) Secret);

impl SessionData {
    /// A guest's.
    pub(super) fn new(created_at: OffsetDateTime) -> Self {
        Self {
            created_at,
            user: None,
            tokens: None,
            refresh_due_at: None,
        }
    }

    /// Takes our part out of a record's data.
    pub(super) fn take_from(data: &mut Data) -> Option<Self> {
        serde_json::from_value(data.remove(OURS)?).ok()
    }

    /// Puts our part into a record's data, whatever was in its place.
    pub(super) fn put_into(&self, data: &mut Data) -> Result<(), StoreError> {
        let ours = serde_json::to_value(self).map_err(|error| StoreError::Backend(error.into()))?;
        data.insert(OURS.to_owned(), ours);
        Ok(())
    }
}

/// What a verified ID token says about who signs in.
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
    /// Whose sessions they are: a store may serve several clients.
    pub(super) client_id: Arc<str>,
}

/// What was in a session that was ended.
#[derive(Debug)]
pub(crate) struct EndedSession {
    pub(crate) tokens: Option<Tokens>,
}

impl Sessions {
    pub(crate) fn new(records: Records, lifetimes: Lifetimes, client_id: &str) -> Self {
        Self {
            records,
            lifetimes,
            client_id: client_id.into(),
        }
    }

    /// Makes a new session for who signed in and ends the one before. The app's own data comes
    /// along from a guest and from the same user, not from another user. Goes on to its end even if
    /// nobody waits for it any more.
    pub(crate) async fn sign_in(
        &self,
        before: Option<Id>,
        identity: Identity,
        tokens: Tokens,
    ) -> Result<(Id, User), StoreError> {
        let this = self.clone();
        run_to_completion(async move { this.sign_in_now(before, identity, &tokens).await }).await
    }

    async fn sign_in_now(
        &self,
        before: Option<Id>,
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
            session_ends_at: self.lifetimes.ends_at(now),
        };
        let mut data = match before {
            Some(id) => self.data_for(&user, id).await?,
            None => Data::new(),
        };
        let id = Id::default();
        self.enter(id, &user, now).await?;
        let kept = tokens.keep(&self.records, user.session_ends_at).await?;
        let ours = SessionData {
            created_at: now,
            user: Some(user.clone()),
            tokens: Some(TokensPointer(kept)),
            refresh_due_at: tokens.refresh_due_at(),
        };
        ours.put_into(&mut data)?;
        self.insert(id, &data, now).await?;
        if !self.is_entered(id, &user).await? {
            // The provider ended this sign-in while it was under way.
            self.end_now(id).await?;
        }
        if let Some(before) = before {
            self.end_now(before).await?;
        }
        Ok((id, user))
    }

    /// Ends sessions because their user wants it: they and their tokens are gone, here and at the
    /// provider. Goes on to its end even if nobody waits for it any more.
    pub(crate) async fn sign_out(
        &self,
        ids: Vec<Id>,
        revoker: &Revoker,
        correlation_id: &str,
    ) -> Result<Vec<EndedSession>, StoreError> {
        let (this, revoker) = (self.clone(), revoker.clone());
        let correlation_id = correlation_id.to_owned();
        run_to_completion(async move {
            let mut ended = Vec::new();
            for id in ids {
                let session = this.end_now(id).await?;
                if let Some(tokens) = session.as_ref().and_then(|it| it.tokens.as_ref()) {
                    revoker.revoke(tokens, &correlation_id);
                }
                ended.extend(session);
            }
            Ok(ended)
        })
        .await
    }

    /// Ends a session that the provider knows no more. Goes on to its end even if nobody waits for
    /// it any more.
    pub(super) async fn end(&self, id: Id) -> Result<(), StoreError> {
        let this = self.clone();
        run_to_completion(async move { this.end_now(id).await.map(drop) }).await
    }

    async fn end_now(&self, id: Id) -> Result<Option<EndedSession>, StoreError> {
        let Some(data) = self.take(id).await? else {
            return Ok(None);
        };
        let tokens = self.clear_up(id, &data).await;
        Ok(Some(EndedSession { tokens }))
    }

    /// Removes what belonged to a session that is gone; the answer are its tokens.
    pub(super) async fn clear_up(&self, id: Id, data: &SessionData) -> Option<Tokens> {
        let tokens = match &data.tokens {
            Some(tokens) => self.take_tokens(tokens).await,
            None => None,
        };
        if let Some(user) = &data.user {
            self.leave(id, user).await;
        }
        tokens
    }

    /// Takes a session out of the store; the answer is our part of it.
    pub(super) async fn take(&self, id: Id) -> Result<Option<SessionData>, StoreError> {
        let taken: Option<Data> = self
            .records
            .take(RecordKind::Session, &id.to_string())
            .await?;
        Ok(taken.and_then(|mut data| SessionData::take_from(&mut data)))
    }

    /// Removes the tokens of a session that is gone. If that fails they end by themselves: the
    /// session does not come back for it.
    pub(super) async fn take_tokens(
        &self,
        TokensPointer(tokens): &TokensPointer,
    ) -> Option<Tokens> {
        let taken = Tokens::take(&self.records, tokens).await;
        taken.unwrap_or_else(|error| {
            tracing::warn!(%error, "the tokens of an ended session could not be removed");
            None
        })
    }

    pub(super) async fn load(&self, id: Id) -> Result<Option<Found<Data>>, StoreError> {
        self.records
            .load(RecordKind::Session, &id.to_string())
            .await
    }

    pub(super) async fn insert(
        &self,
        id: Id,
        data: &Data,
        created_at: OffsetDateTime,
    ) -> Result<(), StoreError> {
        let expires_at = self.expires_at(created_at);
        let id = id.to_string();
        self.records
            .insert_new(RecordKind::Session, &id, data, expires_at)
            .await
    }

    /// Writes down when to think of renewing a session's tokens, unless that is what it says, or
    /// somebody else writes.
    pub(super) async fn note_refresh(
        &self,
        id: Id,
        due_at: Option<OffsetDateTime>,
    ) -> Result<(), StoreError> {
        let Some(Found {
            mut value,
            version,
            expires_at,
        }) = self.load(id).await?
        else {
            return Ok(());
        };
        let Some(mut ours) = SessionData::take_from(&mut value) else {
            return Ok(());
        };
        // Records keep whole seconds.
        let seconds = |at: Option<OffsetDateTime>| at.map(OffsetDateTime::unix_timestamp);
        if seconds(ours.refresh_due_at) == seconds(due_at) {
            return Ok(());
        }
        ours.refresh_due_at = due_at;
        ours.put_into(&mut value)?;
        let id = id.to_string();
        self.records
            .replace(RecordKind::Session, &id, Some(version), &value, expires_at)
            .await
            .map(drop)
    }

    /// When a session ends that is used now and never again.
    pub(super) fn expires_at(&self, created_at: OffsetDateTime) -> OffsetDateTime {
        let now = self.records.clock().now();
        self.lifetimes.expires_at(created_at, now)
    }

    /// The app's data of the session before, as far as `user` may have it.
    async fn data_for(&self, user: &User, before: Id) -> Result<Data, StoreError> {
        let Some(Found { mut value, .. }) = self.load(before).await? else {
            return Ok(Data::new());
        };
        let another = SessionData::take_from(&mut value)
            .and_then(|ours| ours.user)
            .is_some_and(|before| !before.is_same_person(user));
        Ok(if another { Data::new() } else { value })
    }
}
