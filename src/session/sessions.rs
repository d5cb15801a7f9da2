use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::OffsetDateTime;
use tower_sessions::{
    Session, SessionStore,
    session::{Id, Record},
    session_store,
};

use super::{
    Lifetimes, Records, Tokens, User,
    records::{Found, Kind},
};
use crate::{
    error::with_causes,
    secret::{Secret, exposed},
    store::StoreError,
};

/// The key of a session's data that is ours; all others are the app's.
const OURS: &str = "axum_oten";

/// A session record: the app's data and, under [`OURS`], what we keep.
type Data = HashMap<String, Value>;

/// What we keep in a session. It does not change under one session id: signing in makes a new one.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct SessionData {
    #[serde(with = "time::serde::timestamp")]
    created_at: OffsetDateTime,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user: Option<User>,
    /// Where the tokens are. They lie beside the session, because this record is written whole by
    /// whoever ends a request last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tokens: Option<TokensPointer>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
struct TokensPointer(#[serde(with = "exposed")] Secret);

/// A session with a user in it.
#[derive(Clone, Debug)]
pub(crate) struct SignedIn(Arc<SessionData>);

impl SignedIn {
    pub(crate) fn user(&self) -> &User {
        let user = self.0.user.as_ref();
        user.expect("`RequestSession::signed_in` makes these from data with a user")
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
    records: Records,
    lifetimes: Lifetimes,
}

impl Sessions {
    pub(crate) fn new(records: Records, lifetimes: Lifetimes) -> Self {
        Self { records, lifetimes }
    }

    /// The session of a request, not read until somebody asks.
    pub(crate) fn of_request(&self, id: Option<Id>) -> RequestSession {
        let store = Arc::new(RequestStore {
            sessions: self.clone(),
            seen: Mutex::default(),
        });
        RequestSession {
            session: Session::new(id, Arc::clone(&store), None),
            store,
        }
    }

    /// Makes a new session for who signed in and ends the old one. The app's own data comes along
    /// from a guest and from the same user, not from another user.
    pub(crate) async fn sign_in(
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
        let tokens = tokens.keep(&self.records, user.session_ends_at).await?;
        let ours = SessionData {
            created_at: now,
            user: Some(user.clone()),
            tokens: Some(TokensPointer(tokens)),
        };
        data.insert(OURS.to_owned(), to_value(&ours)?);
        let id = self.insert(&data, now).await?;
        if let Some(before) = before {
            self.end(before).await?;
        }
        Ok((id, user))
    }

    /// Ends a session on the server: it and its tokens are gone.
    pub(crate) async fn end(&self, id: Id) -> Result<(), StoreError> {
        let ended: Option<Data> = self.records.take(Kind::Session, &id.to_string()).await?;
        match ended.as_ref().and_then(ours).and_then(|ours| ours.tokens) {
            Some(TokensPointer(tokens)) => Tokens::forget(&self.records, &tokens).await,
            None => Ok(()),
        }
    }

    /// The app's data of the session before, as far as `user` may have it.
    async fn data_for(&self, user: &User, before: Id) -> Result<Data, StoreError> {
        let Some(found) = self.load(before).await? else {
            return Ok(Data::new());
        };
        let another = ours(&found.value)
            .and_then(|ours| ours.user)
            .is_some_and(|before| !before.is_same_person(user));
        Ok(if another { Data::new() } else { found.value })
    }

    async fn load(&self, id: Id) -> Result<Option<Found<Data>>, StoreError> {
        self.records.load(Kind::Session, &id.to_string()).await
    }

    /// Puts a session under a new id.
    async fn insert(&self, data: &Data, created_at: OffsetDateTime) -> Result<Id, StoreError> {
        let now = self.records.clock().now();
        let expires_at = self.lifetimes.expires_at(created_at, now);
        loop {
            let id = Id::default();
            if self
                .records
                .insert(Kind::Session, &id.to_string(), data, expires_at)
                .await?
            {
                return Ok(id);
            }
        }
    }
}

/// A request's session: the app sees tower-sessions' [`Session`], we see who is signed in. Both are
/// one record and one read.
#[derive(Clone, Debug)]
pub(crate) struct RequestSession {
    session: Session,
    store: Arc<RequestStore>,
}

/// What a request leaves behind, for the browser's cookie.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// Nothing that the cookie does not say already.
    Unchanged,
    /// A session under a new id.
    NewId(Id),
    /// No session, although the browser thinks so.
    NoSession,
}

impl RequestSession {
    /// The session as the app may have it.
    pub(crate) fn for_app(&self) -> &Session {
        &self.session
    }

    /// Who is signed in.
    pub(crate) async fn signed_in(&self) -> Result<Option<SignedIn>, StoreError> {
        let data = self.data().await?;
        Ok(data.filter(|data| data.user.is_some()).map(SignedIn))
    }

    /// Our part of the record; reads it if nobody did yet.
    async fn data(&self) -> Result<Option<Arc<SessionData>>, StoreError> {
        if self.session.is_modified() {
            // The app may have cleared it, or be about to put it under another id.
            let value = self.session.get_value(OURS).await.map_err(backend)?;
            let value = value.filter(|_| !self.store.seen().gone);
            let data = value.and_then(|value| SessionData::deserialize(value).ok());
            return Ok(data.map(Arc::new));
        }
        if self.session.id().is_none() {
            return Ok(None);
        }
        // Any key will do, and one that is absent is not copied: the record is read once, here or
        // by the app, and the store below has seen it.
        self.session.get_value("").await.map_err(backend)?;
        Ok(self.store.seen().data.clone())
    }

    /// The tokens of who is signed in.
    pub(crate) async fn tokens(&self) -> Result<Option<Tokens>, StoreError> {
        let data = self.data().await?;
        match data.as_ref().and_then(|data| data.tokens.as_ref()) {
            Some(TokensPointer(id)) => Tokens::load(&self.store.sessions.records, id).await,
            None => Ok(None),
        }
    }

    /// Saves what the app changed, notes activity, and tells what the cookie must say.
    pub(crate) async fn finish(
        &self,
        cookie: Option<Id>,
        discard_changes: bool,
    ) -> Result<Left, StoreError> {
        if self.session.is_modified() && !discard_changes && !self.session.is_empty().await {
            self.start_over_if_cleared().await?;
            self.session.save().await.map_err(backend)?;
        } else {
            self.store.note_activity().await;
        }
        self.store.forget_orphaned_tokens().await;
        match (cookie, self.session.id()) {
            (Some(_), None) if !discard_changes => Ok(Left::NoSession),
            (before, Some(id)) if before != Some(id) && !self.store.seen().gone => {
                Ok(Left::NewId(id))
            }
            _ => Ok(Left::Unchanged),
        }
    }

    /// A session that the app cleared goes on under another id, so that a slower request that read
    /// it before cannot write the user back.
    async fn start_over_if_cleared(&self) -> Result<(), StoreError> {
        let is_cleared = self.session.id().is_some()
            && self
                .session
                .get_value(OURS)
                .await
                .map_err(backend)?
                .is_none();
        if is_cleared {
            self.session.cycle_id().await.map_err(backend)?;
        }
        Ok(())
    }
}

/// tower-sessions' store of one request, on our records: it saves only what still exists, and
/// remembers what was read.
#[derive(Debug)]
struct RequestStore {
    sessions: Sessions,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// The record that was found.
    id: Option<Id>,
    data: Option<Arc<SessionData>>,
    expires_at: Option<OffsetDateTime>,
    /// This request has taken the session out of the store, to end it or to move it.
    taken: bool,
    /// Another request ended the session before this one could move it.
    gone: bool,
    /// The tokens of a session that the app deleted, unless it comes back under another id.
    orphaned: Option<Secret>,
}

impl RequestStore {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request that otherwise went well does not fail because this could not be written down.
    async fn note_activity(&self) {
        let due = {
            let seen = self.seen();
            let now = self.sessions.records.clock().now();
            match (seen.id, &seen.data, seen.expires_at) {
                (Some(id), Some(data), Some(expires_at)) => self
                    .sessions
                    .lifetimes
                    .due_touch(data.created_at, expires_at, now)
                    .map(|renewed| (id, renewed)),
                _ => None,
            }
        };
        if let Some((id, renewed)) = due {
            let id = id.to_string();
            let records = &self.sessions.records;
            if let Err(error) = records.touch(Kind::Session, &id, renewed).await {
                tracing::warn!(%error, "activity could not be noted");
            }
        }
    }

    /// Tokens that no session points to end by themselves if they cannot be removed now.
    async fn forget_orphaned_tokens(&self) {
        let orphaned = self.seen().orphaned.take();
        if let Some(tokens) = orphaned
            && let Err(error) = Tokens::forget(&self.sessions.records, &tokens).await
        {
            tracing::warn!(%error, "the tokens of a deleted session could not be removed");
        }
    }

    /// Our part of what is about to be written. Where the app cleared it away, the session's age
    /// stays and its tokens are orphaned.
    fn ours_to_write(&self, data: &mut Data) -> Result<SessionData, StoreError> {
        if let Some(ours) = ours(data) {
            return Ok(ours);
        }
        let mut seen = self.seen();
        let created_at = match &seen.data {
            Some(before) => before.created_at,
            None => self.sessions.records.clock().now(),
        };
        let ours = SessionData {
            created_at,
            user: None,
            tokens: None,
        };
        if let Some(TokensPointer(tokens)) = seen.data.as_ref().and_then(|d| d.tokens.clone()) {
            seen.orphaned = Some(tokens);
        }
        data.insert(OURS.to_owned(), to_value(&ours)?);
        Ok(ours)
    }
}

#[async_trait]
impl SessionStore for RequestStore {
    /// Always under a new id, never under that of a session that ended: a slower request may still
    /// write there.
    async fn create(&self, record: &mut Record) -> session_store::Result<()> {
        if self.seen().gone && (record.data.is_empty() || ours(&record.data).is_some()) {
            // What was ended meanwhile does not come back under another id.
            return Ok(());
        }
        let ours = self.ours_to_write(&mut record.data).map_err(for_app)?;
        record.id = self
            .sessions
            .insert(&record.data, ours.created_at)
            .await
            .map_err(for_app)?;
        let mut seen = self.seen();
        seen.gone = false;
        if ours.tokens.is_some() {
            seen.orphaned = None;
        }
        Ok(())
    }

    /// Update only: what was ended meanwhile stays ended.
    async fn save(&self, record: &Record) -> session_store::Result<()> {
        let mut data = record.data.clone();
        if ours(&data).is_none() && self.seen().id.is_none() {
            // The app cleared it unread: what it throws away has to be known.
            self.load(&record.id).await?;
        }
        let ours = self.ours_to_write(&mut data).map_err(for_app)?;
        let Sessions { records, lifetimes } = &self.sessions;
        let expires_at = lifetimes.expires_at(ours.created_at, records.clock().now());
        records
            .replace(
                Kind::Session,
                &record.id.to_string(),
                None,
                &data,
                expires_at,
            )
            .await
            .map_err(for_app)?;
        Ok(())
    }

    async fn load(&self, id: &Id) -> session_store::Result<Option<Record>> {
        let found = self.sessions.load(*id).await.map_err(for_app)?;
        let mut seen = self.seen();
        *seen = Seen {
            id: found.as_ref().map(|_| *id),
            data: found.as_ref().and_then(|f| ours(&f.value)).map(Arc::new),
            expires_at: found.as_ref().map(|found| found.expires_at),
            orphaned: seen.orphaned.take(),
            ..*seen
        };
        Ok(found.map(|found| Record {
            id: *id,
            data: found.value,
            expiry_date: found.expires_at,
        }))
    }

    /// The app flushed the session, which signs out, or wants another id for it.
    async fn delete(&self, id: &Id) -> session_store::Result<()> {
        let ended: Option<Data> = self
            .sessions
            .records
            .take(Kind::Session, &id.to_string())
            .await
            .map_err(for_app)?;
        let tokens = ended.as_ref().and_then(ours).and_then(|ours| ours.tokens);
        let mut seen = self.seen();
        if let Some(TokensPointer(tokens)) = tokens {
            seen.orphaned = Some(tokens);
        }
        seen.taken |= ended.is_some();
        seen.gone = !seen.taken;
        seen.data = None;
        Ok(())
    }
}

/// Our part of a session's data.
fn ours(data: &Data) -> Option<SessionData> {
    SessionData::deserialize(data.get(OURS)?).ok()
}

fn to_value(ours: &SessionData) -> Result<Value, StoreError> {
    serde_json::to_value(ours).map_err(|error| StoreError::Backend(error.into()))
}

fn backend(error: tower_sessions::session::Error) -> StoreError {
    StoreError::Backend(error.into())
}

/// tower-sessions carries no causes: the text tells them.
// By value, as `map_err` hands it over.
#[allow(clippy::needless_pass_by_value)]
fn for_app(error: StoreError) -> session_store::Error {
    session_store::Error::Backend(with_causes(&error))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{clock::Clock, store::MemoryStore};

    const HOUR: Duration = Duration::from_secs(3600);

    async fn signed_in() -> (Sessions, Id) {
        let clock = Clock::system();
        let records = Records::new(Arc::new(MemoryStore::default()), clock.clone());
        let lifetimes = Lifetimes {
            idle: HOUR,
            absolute: 24 * HOUR,
        };
        let sessions = Sessions::new(records, lifetimes);
        let identity = Identity {
            issuer: "https://id.example".to_owned(),
            subject: "alice".to_owned(),
            claims: Map::new(),
            auth_time: None,
        };
        let tokens = Tokens {
            access_token: Secret::random(),
            access_token_expires_at: clock.now() + HOUR,
            scope: None,
        };
        let (id, _) = sessions.sign_in(None, identity, &tokens).await.unwrap();
        (sessions, id)
    }

    #[tokio::test]
    async fn o2_another_id_does_not_bring_back_a_session_that_was_ended() {
        let (sessions, id) = signed_in().await;
        let slow = sessions.of_request(Some(id));
        assert!(slow.signed_in().await.unwrap().is_some());
        sessions.end(id).await.unwrap();
        slow.for_app().cycle_id().await.unwrap();
        let left = slow.finish(Some(id), false).await.unwrap();
        assert_eq!(left, Left::Unchanged);
    }

    #[tokio::test]
    async fn another_id_keeps_the_user_and_the_tokens() {
        let (sessions, id) = signed_in().await;
        let request = sessions.of_request(Some(id));
        request.for_app().cycle_id().await.unwrap();
        let Left::NewId(new) = request.finish(Some(id), false).await.unwrap() else {
            panic!("the app asked for another id");
        };
        let next = sessions.of_request(Some(new));
        assert!(next.signed_in().await.unwrap().is_some());
        assert!(next.tokens().await.unwrap().is_some());
        let old = sessions.of_request(Some(id));
        assert!(old.signed_in().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_guests_data_survives_another_id() {
        let (sessions, _) = signed_in().await;
        let request = sessions.of_request(None);
        request.for_app().insert("note", "kept").await.unwrap();
        request.for_app().cycle_id().await.unwrap();
        let Left::NewId(id) = request.finish(None, false).await.unwrap() else {
            panic!("there is something to keep");
        };
        let next = sessions.of_request(Some(id));
        let note: Option<String> = next.for_app().get("note").await.unwrap();
        assert_eq!(note.as_deref(), Some("kept"));
    }
}
