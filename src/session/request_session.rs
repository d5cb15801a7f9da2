use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use serde_json::Value;
use time::OffsetDateTime;
use tower_sessions::{
    Session, SessionStore,
    session::{Id, Record},
    session_store,
};

use super::{
    Sessions, Tokens, User,
    records::{Found, Kind},
    sessions::{OURS, SessionData, TokensPointer},
};
use crate::{error::with_causes, store::StoreError};

/// A request's session: the app sees tower-sessions' [`Session`] with its own data, we see who is
/// signed in. Both are one record and one read.
///
/// The app's `insert`, `remove` and `clear` touch its own data only. Its `flush` and `delete` end
/// the session and sign out; its `cycle_id` moves the session, with who is signed in, to a new id.
#[derive(Clone)]
pub(crate) struct RequestSession {
    session: Session,
    store: Arc<RequestStore>,
}

/// A session with a user in it.
#[derive(Clone, Debug)]
pub(crate) struct SignedIn(Arc<SessionData>);

impl SignedIn {
    pub(crate) fn user(&self) -> &User {
        let user = self.0.user.as_ref();
        user.expect("`RequestSession::signed_in` makes these from data with a user")
    }
}

/// What a request leaves behind.
#[derive(Debug)]
pub(crate) struct Left {
    pub(crate) cookie: CookieChange,
    /// Whom the app signed out by ending the session.
    pub(crate) signed_out: Option<SignedIn>,
}

/// What the browser's cookie must say from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CookieChange {
    /// What it says already. Also when its session is gone: the answer to an old request must not
    /// remove the cookie that a newer one has just set.
    None,
    /// A session under a new id.
    NewId(Id),
    /// That there is none: this request ended it.
    Removed,
}

impl Sessions {
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

    /// The tokens of who is signed in.
    pub(crate) async fn tokens(&self) -> Result<Option<Tokens>, StoreError> {
        let data = self.data().await?;
        match data.as_ref().and_then(|data| data.tokens.as_ref()) {
            Some(TokensPointer(id)) => Tokens::load(&self.store.sessions.records, id).await,
            None => Ok(None),
        }
    }

    /// Our part of the record; reads it if nobody did yet.
    async fn data(&self) -> Result<Option<Arc<SessionData>>, StoreError> {
        if self.session.id().is_some() {
            // Any key will do, and one that is absent is not copied: the record is read once, here
            // or by the app, and the store below has seen it.
            self.session.get_value("").await.map_err(backend)?;
        }
        if let Some(id) = self.session.id() {
            // Of a session that the app cleared unread, the store below has seen nothing yet.
            return self.store.ours(id).await;
        }
        let taken = self.store.seen().taken.clone();
        if taken.is_none() {
            return Ok(None);
        }
        // Between `cycle_id` and the end of the request there is no id. After a `flush` there is
        // none either, but then the mark is gone.
        let moves = self.session.get_value(OURS).await.map_err(backend)?;
        Ok(moves.and(taken).map(Arc::new))
    }

    /// Saves what the app changed, notes activity, and tells what the browser must know.
    pub(crate) async fn finish(
        &self,
        cookie: Option<Id>,
        discard_changes: bool,
    ) -> Result<Left, StoreError> {
        if self.session.is_modified() && !discard_changes && !self.session.is_empty().await {
            self.session.save().await.map_err(backend)?;
        } else {
            self.store.note_activity().await;
        }
        let (fate, ended) = {
            let mut seen = self.store.seen();
            (seen.fate, seen.taken.take())
        };
        if let Some(tokens) = ended.as_ref().and_then(|data| data.tokens.as_ref()) {
            self.store.sessions.forget(tokens).await;
        }
        let cookie = match (fate, self.session.id()) {
            (Fate::EndedElsewhere, _) => CookieChange::None,
            (_, Some(id)) if cookie != Some(id) => CookieChange::NewId(id),
            (Fate::Deleted, None) if cookie.is_some() => CookieChange::Removed,
            _ => CookieChange::None,
        };
        let signed_out = ended
            .filter(|data| data.user.is_some())
            .map(|data| SignedIn(Arc::new(data)));
        Ok(Left { cookie, signed_out })
    }
}

/// tower-sessions' store of one request, on our records. Our part of a record never reaches the
/// app: it stays here and is put back when the app's data is written.
#[derive(Debug)]
struct RequestStore {
    sessions: Sessions,
    seen: Mutex<Seen>,
}

/// What this request knows about its session.
#[derive(Default)]
struct Seen {
    /// The record that was found or made.
    id: Option<Id>,
    data: Option<Arc<SessionData>>,
    expires_at: Option<OffsetDateTime>,
    /// Our part of a session that the app deleted, until it comes back under another id.
    taken: Option<SessionData>,
    fate: Fate,
    /// The store failed once; it is not asked for this session again.
    failed: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Fate {
    #[default]
    Unknown,
    /// This request took it out of the store.
    Deleted,
    /// Somebody else did while this request was under way: it does not come back.
    EndedElsewhere,
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

    /// The record and our part of it, unless it has outlived the absolute lifetime: one that was
    /// shortened since holds for the sessions that are there, too.
    async fn read(&self, id: Id) -> Result<Option<(Found<super::Data>, SessionData)>, StoreError> {
        if self.seen().failed {
            return Err(StoreError::TimedOut);
        }
        let found = self.sessions.load(id).await;
        self.seen().failed = found.is_err();
        let Some(mut found) = found? else {
            return Ok(None);
        };
        let now = self.sessions.records.clock().now();
        let ours = SessionData::take_from(&mut found.value)
            .filter(|ours| self.sessions.lifetimes.ends_at(ours.created_at) > now);
        Ok(ours.map(|ours| (found, ours)))
    }

    /// Our part of the session that the app is about to write.
    async fn ours(&self, id: Id) -> Result<Option<Arc<SessionData>>, StoreError> {
        {
            let seen = self.seen();
            if seen.id == Some(id) {
                return Ok(seen.data.clone());
            }
        }
        // The app wrote without ever reading.
        let read = self.read(id).await?;
        Ok(read.map(|(_, ours)| Arc::new(ours)))
    }

    async fn move_or_make(&self, record: &mut Record) -> Result<(), StoreError> {
        // The mark says that the app did not clear its data away before: it moves the session.
        let moves = record.data.remove(OURS).is_some();
        let ours = {
            let mut seen = self.seen();
            if seen.fate == Fate::EndedElsewhere {
                return Ok(());
            }
            if moves { seen.taken.take() } else { None }
        };
        let records = &self.sessions.records;
        let ours = ours.unwrap_or_else(|| SessionData::new(records.clock().now()));
        ours.put_into(&mut record.data)?;
        // After a flush the record still has the id of the session that was ended.
        record.id = Id::default();
        let made = self
            .sessions
            .insert(record.id, &record.data, ours.created_at)
            .await;
        mark(&mut record.data);
        made?;
        let mut seen = self.seen();
        seen.id = Some(record.id);
        seen.data = Some(Arc::new(ours));
        seen.expires_at = None;
        Ok(())
    }

    /// Update only: what was ended meanwhile stays ended.
    async fn update(&self, record: &Record) -> Result<(), StoreError> {
        let Some(ours) = self.ours(record.id).await? else {
            return Ok(());
        };
        let mut data = record.data.clone();
        ours.put_into(&mut data)?;
        let id = record.id.to_string();
        let expires_at = self.sessions.expires_at(ours.created_at);
        let records = &self.sessions.records;
        records
            .replace(Kind::Session, &id, None, &data, expires_at)
            .await
            .map(drop)
    }

    async fn read_for_app(&self, id: Id) -> Result<Option<Record>, StoreError> {
        let Some((found, ours)) = self.read(id).await? else {
            return Ok(None);
        };
        let mut seen = self.seen();
        seen.id = Some(id);
        seen.data = Some(Arc::new(ours));
        seen.expires_at = Some(found.expires_at);
        let mut data = found.value;
        mark(&mut data);
        Ok(Some(Record {
            id,
            data,
            expiry_date: found.expires_at,
        }))
    }

    async fn end(&self, id: Id) -> Result<(), StoreError> {
        let taken = self.sessions.take(id).await?;
        let mut seen = self.seen();
        if taken.is_some() {
            seen.fate = Fate::Deleted;
            seen.taken = taken;
        } else if seen.id == Some(id) {
            seen.fate = Fate::EndedElsewhere;
        }
        seen.data = None;
        Ok(())
    }
}

#[async_trait]
impl SessionStore for RequestStore {
    async fn create(&self, record: &mut Record) -> session_store::Result<()> {
        self.move_or_make(record).await.map_err(for_app)
    }

    async fn save(&self, record: &Record) -> session_store::Result<()> {
        self.update(record).await.map_err(for_app)
    }

    async fn load(&self, id: &Id) -> session_store::Result<Option<Record>> {
        self.read_for_app(*id).await.map_err(for_app)
    }

    async fn delete(&self, id: &Id) -> session_store::Result<()> {
        self.end(*id).await.map_err(for_app)
    }
}

/// Leaves a mark where our part was. The app's `clear` and `flush` remove it.
fn mark(data: &mut super::Data) {
    data.insert(OURS.to_owned(), Value::Null);
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

/// No id, which is the cookie's value, and no data.
impl fmt::Debug for RequestSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestSession").finish_non_exhaustive()
    }
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seen")
            .field("fate", &self.fate)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
