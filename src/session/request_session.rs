use std::{
    fmt,
    net::IpAddr,
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
    refresh_outcome::RefreshRequest,
    sessions::{OURS, SessionData, TokensPointer},
};
use crate::{
    error::with_causes,
    store::{Found, RecordKind, StoreError},
};

/// A request's session: the app sees tower-sessions' [`Session`] with its own data, we see who is
/// signed in. Both are one record and one read.
///
/// The app's `insert`, `remove` and `clear` touch its own data only. Its `flush` and `delete` end
/// the session and sign out; its `cycle_id` moves the session, with who is signed in, to a new id.
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

    /// When to renew the tokens, as far as the session knows.
    pub(crate) fn refresh_due_at(&self) -> Option<OffsetDateTime> {
        self.0.refresh_due_at
    }

    /// Whether it is time to renew the tokens.
    pub(crate) fn is_refresh_due(&self, now: OffsetDateTime) -> bool {
        self.refresh_due_at().is_some_and(|due_at| due_at <= now)
    }
}

/// What a request leaves behind.
#[derive(Debug)]
pub(crate) struct Left {
    pub(crate) cookie: CookieChange,
    /// Whom the app signed out by ending the session.
    pub(crate) signed_out: Option<SignedIn>,
    /// The tokens of a session that the app ended.
    pub(crate) tokens: Option<Tokens>,
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
            for_app: Mutex::default(),
        });
        let session = Session::new(id, Arc::clone(&store), None);
        *store.for_app() = Some(session.clone());
        RequestSession { session, store }
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
    pub(crate) async fn tokens(&self, signed_in: &SignedIn) -> Result<Option<Tokens>, StoreError> {
        let Some(TokensPointer(id)) = &signed_in.0.tokens else {
            return Ok(None);
        };
        let found = Tokens::load(&self.store.sessions.records, id).await?;
        Ok(found.map(|found| found.value))
    }

    /// What it takes to renew the tokens of who is signed in; nothing where there are none.
    pub(crate) fn refresh_request(
        &self,
        signed_in: &SignedIn,
        correlation_id: &str,
        client_address: Option<IpAddr>,
    ) -> Option<RefreshRequest> {
        let TokensPointer(tokens) = signed_in.0.tokens.as_ref()?;
        Some(RefreshRequest {
            session: self.store.seen().id?,
            tokens: tokens.clone(),
            user: signed_in.user().clone(),
            correlation_id: correlation_id.to_owned(),
            client_address,
        })
    }

    /// The tokens were renewed: what this request writes later does not say otherwise.
    pub(crate) fn note_refresh(&self, tokens: &Tokens) {
        let mut seen = self.store.seen();
        if let Some(data) = &mut seen.data {
            Arc::make_mut(data).refresh_due_at = tokens.refresh_due_at();
        }
    }

    /// Our part of the record; reads it if nobody did yet.
    async fn data(&self) -> Result<Option<Arc<SessionData>>, StoreError> {
        if self.session.id().is_some() {
            // Any key will do, and one that is absent is not copied: the record is read once, here
            // or by the app, and the store below has seen it.
            self.session.get_value("").await.map_err(backend)?;
        }
        match self.session.id() {
            // Of a session that the app cleared unread, the store below has seen nothing yet.
            Some(id) => self.store.ours(id).await,
            None => Ok(self.store.seen().data.clone()),
        }
    }

    /// Saves what the app changed, notes activity, and tells what the browser must know.
    pub(crate) async fn finish(
        &self,
        cookie: Option<Id>,
        discard_changes: bool,
    ) -> Result<Left, StoreError> {
        if discard_changes || !self.session.is_modified() {
            self.store.note_activity().await;
        } else if self.session.is_empty().await {
            self.store.end_what_was_to_move().await?;
        } else {
            self.session.save().await.map_err(backend)?;
        }
        let (fate, ended) = {
            let mut seen = self.store.seen();
            (seen.fate, seen.taken.take())
        };
        let tokens = match &ended {
            Some((id, data)) => self.store.sessions.clear_up(*id, data).await,
            None => None,
        };
        let cookie = match (fate, self.session.id()) {
            (Fate::EndedElsewhere, _) => CookieChange::None,
            (_, Some(id)) if cookie != Some(id) => CookieChange::NewId(id),
            (Fate::Ended, None) if cookie.is_some() => CookieChange::Removed,
            _ => CookieChange::None,
        };
        let signed_out = ended
            .map(|(_, data)| data)
            .filter(|data| data.user.is_some())
            .map(|data| SignedIn(Arc::new(data)));
        Ok(Left {
            cookie,
            signed_out,
            tokens,
        })
    }
}

/// tower-sessions' store of one request, on our records. Our part of a record never reaches the
/// app: it stays here and is put back when the app's data is written.
struct RequestStore {
    sessions: Sessions,
    seen: Mutex<Seen>,
    /// The app's side of this, to tell a move from an end. Set until [`RequestSession`] is dropped:
    /// the two hold each other.
    for_app: Mutex<Option<Session>>,
}

impl Drop for RequestSession {
    fn drop(&mut self) {
        self.store.for_app().take();
    }
}

/// What this request knows about its session.
#[derive(Default)]
struct Seen {
    /// The record that was found or made.
    id: Option<Id>,
    data: Option<Arc<SessionData>>,
    expires_at: Option<OffsetDateTime>,
    /// The app wants another id for this session. It stays where it is until that is written.
    moving: Option<Id>,
    /// A session that the app ended, and our part of it.
    taken: Option<(Id, SessionData)>,
    fate: Fate,
    /// The store failed once; it is not asked for this session again.
    failed: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Fate {
    #[default]
    Unknown,
    /// This request ended it.
    Ended,
    /// Somebody else did while this request was under way: it does not come back.
    EndedElsewhere,
}

impl RequestStore {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn for_app(&self) -> MutexGuard<'_, Option<Session>> {
        self.for_app.lock().unwrap_or_else(PoisonError::into_inner)
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
            if let Err(error) = records.touch(RecordKind::Session, &id, renewed).await {
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

    /// Puts the session under a new id: the one that is to move, or a guest's.
    async fn move_or_make(&self, record: &mut Record) -> Result<(), StoreError> {
        let (moving, ours) = {
            let mut seen = self.seen();
            if seen.fate == Fate::EndedElsewhere {
                return Ok(());
            }
            let moving = seen.moving.take();
            (moving, moving.and_then(|_| seen.data.clone()))
        };
        let now = self.sessions.records.clock().now();
        let ours = ours.unwrap_or_else(|| Arc::new(SessionData::new(now)));
        ours.put_into(&mut record.data)?;
        // After a flush the record still has the id of the session that was ended.
        record.id = Id::default();
        if let Some(user) = &ours.user {
            self.sessions
                .enter(record.id, user, ours.created_at)
                .await?;
        }
        let made = self
            .sessions
            .insert(record.id, &record.data, ours.created_at)
            .await;
        mark(&mut record.data);
        made?;
        // The old one goes last, so that whoever ends it meanwhile finds it; then neither stays.
        if let Some(old) = moving {
            let is_ended = self.sessions.take(old).await?.is_none();
            if is_ended {
                self.sessions.take(record.id).await?;
            }
            if let Some(user) = &ours.user {
                let gone = if is_ended { record.id } else { old };
                self.sessions.leave(gone, user).await;
            }
            if is_ended {
                let mut seen = self.seen();
                seen.fate = Fate::EndedElsewhere;
                seen.data = None;
                return Ok(());
            }
        }
        let mut seen = self.seen();
        seen.id = Some(record.id);
        seen.data = Some(ours);
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
            .replace(RecordKind::Session, &id, None, &data, expires_at)
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

    /// tower-sessions deletes a session to end it, and also to give it another id; then it has
    /// forgotten the old id already.
    async fn end_or_move(&self, id: Id) -> Result<(), StoreError> {
        let moves = self
            .for_app()
            .as_ref()
            .is_some_and(|app| app.id().is_none());
        if !moves {
            return self.end(id).await;
        }
        let mut seen = self.seen();
        if seen.id == Some(id) {
            seen.moving = Some(id);
        }
        Ok(())
    }

    /// The app flushed a session that it had wanted to move.
    async fn end_what_was_to_move(&self) -> Result<(), StoreError> {
        let moving = self.seen().moving.take();
        match moving {
            Some(id) => self.end(id).await,
            None => Ok(()),
        }
    }

    async fn end(&self, id: Id) -> Result<(), StoreError> {
        let taken = self.sessions.take(id).await?;
        let mut seen = self.seen();
        if taken.is_some() {
            seen.fate = Fate::Ended;
            seen.taken = taken.map(|data| (id, data));
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
        self.end_or_move(*id).await.map_err(for_app)
    }
}

/// Leaves a mark where our part was, so that tower-sessions takes no session of a user for empty.
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

impl fmt::Debug for RequestStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestStore").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
