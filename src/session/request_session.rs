use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::Value;
use time::OffsetDateTime;
use tower_sessions::{
    Expiry, Session, SessionStore,
    session::{Id, Record},
    session_store,
};

use super::{
    SessionHandle, SessionWatch, Sessions, Tokens, User,
    native::session_id,
    record::{SessionData, SessionRecord},
    refresh::RefreshRequest,
    sessions::{AppChanges, StoredSession},
    tokens::MAX_SKEW,
};
use crate::{
    audit::{EventOrigin, TARGET},
    error::with_causes,
    secret::Secret,
    store::StoreError,
};

/// A key in the data of the app's [`Session`] while a session exists, so that tower-sessions does not
/// treat the session of a user without app data as empty. It is not stored.
const MARKER: &str = "axum_oten";

/// The session of a request. The app uses a tower-sessions [`Session`] with its own data, and this
/// crate reads the user from the same record, which is loaded once.
///
/// The app's `insert`, `remove` and `clear` change only the app's data. Its `flush` and `delete` end
/// the session and sign the user out. Its `cycle_id` gives the session a new ID and keeps the user.
/// Its `set_expiry` shortens the session's lifetime.
pub(crate) struct RequestSession {
    app_session: Session,
    store: Arc<RequestStore>,
}

/// The data of a session with a user.
#[derive(Clone, Debug)]
pub(crate) struct SignedIn(Arc<SessionData>);

impl SignedIn {
    pub(crate) fn user(&self) -> &User {
        let user = self.0.user.as_ref();
        user.expect("`RequestSession::signed_in` requires a user")
    }

    /// Returns when a token refresh is due, according to the session record.
    pub(crate) fn refresh_due_at(&self) -> Option<OffsetDateTime> {
        OffsetDateTime::from_unix_timestamp(self.0.refresh_due_at?).ok()
    }

    /// Returns whether a token refresh is due, or may be because a clock was ahead. `now` is in seconds since
    /// the Unix epoch.
    pub(crate) fn is_refresh_due(&self, now: i64) -> bool {
        let is_ahead = self.0.used_at > now + MAX_SKEW.as_secs().cast_signed();
        let due_at = self.0.refresh_due_at;
        due_at.is_some_and(|due_at| due_at <= now || is_ahead)
    }
}

/// The change to the browser's session cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CookieChange {
    /// The cookie stays. This includes a session that ended elsewhere: the response to an old request
    /// must not remove the cookie that a newer response has set.
    None,
    /// The session has a new ID, or the app has set its expiry.
    Set(Id, Option<Expiry>),
    /// This request ended the session.
    Removed,
}

impl Sessions {
    /// Returns the session of a request with this cookie. It is loaded when it is used.
    pub(crate) fn for_request(&self, cookie: Option<Id>, origin: EventOrigin) -> RequestSession {
        self.request_session(cookie, false, origin)
    }

    /// Returns the session of a request with the credential of a native app.
    pub(crate) fn for_native_request(
        &self,
        credential: Option<&str>,
        origin: EventOrigin,
    ) -> RequestSession {
        self.request_session(credential.map(session_id), true, origin)
    }

    fn request_session(
        &self,
        cookie: Option<Id>,
        is_native: bool,
        origin: EventOrigin,
    ) -> RequestSession {
        let store = Arc::new(RequestStore {
            sessions: self.clone(),
            cookie,
            is_native,
            origin,
            keeps_expiry: AtomicBool::new(false),
            state: Mutex::default(),
            app_session: Mutex::default(),
        });
        let app_session = Session::new(cookie, Arc::clone(&store), None);
        *store.app_session() = Some(app_session.clone());
        RequestSession { app_session, store }
    }
}

impl RequestSession {
    /// Returns the session for the app.
    pub(crate) fn app_session(&self) -> &Session {
        &self.app_session
    }

    /// Returns the request as events name it.
    pub(crate) fn origin(&self) -> &EventOrigin {
        &self.store.origin
    }

    /// Returns whether the request has read or written the session, so that the response depends on
    /// it.
    pub(crate) fn is_used(&self) -> bool {
        self.store.state().is_used
    }

    /// Returns the session data if a user is signed in.
    pub(crate) async fn signed_in(&self) -> Result<Option<SignedIn>, StoreError> {
        let data = self.store.data().await?;
        Ok(data.filter(|data| data.user.is_some()).map(SignedIn))
    }

    /// Returns the name of a signed-in user's session.
    pub(crate) fn handle(&self, signed_in: &SignedIn) -> SessionHandle {
        self.store.sessions.handle(signed_in.0.family)
    }

    /// Reads the session again after its tokens were refreshed, with the user's new claims, also if
    /// another request has changed its ID meanwhile.
    pub(crate) async fn reload(&self) -> Result<(), StoreError> {
        let Some((id, current)) = self.store.state().current.clone() else {
            return Ok(());
        };
        let found = self.store.sessions.find(current.id).await;
        let mut state = self.store.state();
        match found {
            Ok(Some(session)) => state.current = Some((id, session)),
            Ok(None) => state.set_ended(EndedBy::AnotherRequest),
            Err(error) => {
                state.progress = Progress::NotLoaded;
                return Err(error);
            }
        }
        Ok(())
    }

    /// Returns how long the session of a signed-in user lasts without further requests.
    pub(crate) fn expires_in(&self) -> Option<Duration> {
        let state = self.store.state();
        let (_, current) = state.current.as_ref()?;
        Some(current.ttl.min(self.store.sessions.ttl(&current.data)))
    }

    /// Does not count this request as activity: its end does not extend the expiry of the session.
    pub(crate) fn keep_expiry(&self) {
        self.store.keeps_expiry.store(true, Ordering::Relaxed);
    }

    /// Signs the user out. The session of a guest stays.
    pub(crate) async fn sign_out(&self) -> Result<(), StoreError> {
        let data = self.store.data().await?;
        if data.is_some_and(|data| data.user.is_none()) {
            return Ok(());
        }
        let current = self.store.state().current.as_ref().map(|(id, _)| *id);
        // A cookie that is outdated may lead to a session, too.
        if let Some(id) = current.or(self.store.cookie) {
            self.store.end(id).await?;
            let flushed = self.app_session.flush().await;
            flushed.map_err(StoreError::backend)?;
        }
        Ok(())
    }

    pub(crate) async fn tokens(&self, signed_in: &SignedIn) -> Result<Option<Tokens>, StoreError> {
        let loaded = Tokens::load(&self.store.sessions.records, signed_in.0.family).await?;
        Ok(loaded.map(|loaded| loaded.value))
    }

    /// Returns a request to refresh the tokens.
    pub(crate) fn refresh_request(
        &self,
        signed_in: &SignedIn,
        rejected: Option<&Secret>,
    ) -> Option<RefreshRequest> {
        let state = self.store.state();
        let (_, current) = state.current.as_ref()?;
        Some(RefreshRequest {
            session: current.id,
            family: signed_in.0.family,
            user: signed_in.user().clone(),
            rejected: rejected.cloned(),
            origin: self.store.origin.clone(),
        })
    }

    /// Returns a value that waits for the end of the session of a signed-in user.
    pub(crate) async fn watch(&self) -> Result<Option<SessionWatch>, StoreError> {
        self.signed_in().await?;
        let state = self.store.state();
        let current = state.current.as_ref().map(|(_, session)| session);
        let signed_in = current.filter(|session| session.data.user.is_some());
        Ok(signed_in.map(|session| SessionWatch::new(&self.store.sessions, session)))
    }

    /// Returns whether [`finish`](Self::finish) has something to do.
    pub(crate) fn is_finish_due(&self) -> bool {
        self.app_session.is_modified()
            || self.store.state().ended_by.is_some()
            || self.store.extension().is_some()
    }

    /// Saves the changes of the app and extends the expiry of the session.
    pub(crate) async fn finish(&self, discard_changes: bool) -> Result<CookieChange, StoreError> {
        let (session, cookie) = (&self.app_session, self.store.cookie);
        let has_changes = session.is_modified() && !discard_changes;
        if !has_changes {
            self.store.extend_expiry().await;
        } else if session.is_empty().await {
            self.store.end_pending_move().await?;
        } else {
            session.save().await.map_err(StoreError::backend)?;
        }
        if self.store.is_native {
            return Ok(CookieChange::None);
        }
        let expiry = session.expiry().filter(|_| has_changes);
        let state = self.store.state();
        let id = state.current.as_ref().map(|(id, _)| *id);
        Ok(match (state.ended_by, id) {
            (_, Some(id)) if cookie != Some(id) || expiry.is_some() => {
                CookieChange::Set(id, expiry)
            }
            (Some(EndedBy::ThisRequest), None) if cookie.is_some() => CookieChange::Removed,
            _ => CookieChange::None,
        })
    }
}

/// The store of a request's [`Session`]. The app never receives this crate's part of the record,
/// which stays here and is added again when the record is written.
struct RequestStore {
    sessions: Sessions,
    /// The ID that the request names, by its cookie or the credential of a native app.
    cookie: Option<Id>,
    /// Whether it is a native app's: its session is never created, replaced or moved by a request.
    is_native: bool,
    origin: EventOrigin,
    keeps_expiry: AtomicBool,
    state: Mutex<RequestState>,
    /// The app's session, which shows whether a deletion ends the session or changes its ID. The two
    /// refer to each other until [`RequestSession`] is dropped.
    app_session: Mutex<Option<Session>>,
}

impl Drop for RequestSession {
    fn drop(&mut self) {
        self.store.app_session().take();
    }
}

/// The parts of the session that this request has loaded or changed.
#[derive(Default)]
struct RequestState {
    /// The store was read or written.
    is_used: bool,
    progress: Progress,
    /// What the store holds, as far as this request knows.
    current: Option<(Id, StoredSession)>,
    /// The app has called `cycle_id`. The session gets its new ID when it is written.
    is_move_pending: bool,
    ended_by: Option<EndedBy>,
    /// The store failed, and is not called again for this session.
    store_failed: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Progress {
    #[default]
    NotLoaded,
    Loaded,
    /// The app has received the data.
    Served,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EndedBy {
    ThisRequest,
    /// The session ended during this request, which must not restore it.
    AnotherRequest,
}

impl RequestState {
    /// Returns the session that gets a new ID when it is written.
    fn pending_move(&self) -> Option<&(Id, StoredSession)> {
        self.current.as_ref().filter(|_| self.is_move_pending)
    }

    fn set_current(&mut self, current: Option<(Id, StoredSession)>) {
        self.is_used = true;
        self.progress = Progress::Loaded;
        self.current = current;
    }

    fn set_ended(&mut self, by: EndedBy) {
        self.set_current(None);
        self.is_move_pending = false;
        self.ended_by = Some(by);
    }
}

impl RequestStore {
    fn state(&self) -> MutexGuard<'_, RequestState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn app_session(&self) -> MutexGuard<'_, Option<Session>> {
        self.app_session
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the session data, and loads it if necessary.
    async fn data(&self) -> Result<Option<Arc<SessionData>>, StoreError> {
        if self.state().progress == Progress::NotLoaded {
            self.load(self.cookie).await?;
        }
        let state = self.state();
        let current = state.current.as_ref();
        Ok(current.map(|(_, current)| Arc::clone(&current.data)))
    }

    /// Reads the session with an ID. A session that has moved counts as absent, and so does one that
    /// exceeds the lifetime, which may have been shortened since.
    async fn load(&self, id: Option<Id>) -> Result<(), StoreError> {
        let Some(id) = id else {
            self.state().progress = Progress::Loaded;
            return Ok(());
        };
        if self.state().store_failed {
            return Err(StoreError::TimedOut);
        }
        let found = self.sessions.read(self.sessions.record_id(id)).await;
        let mut state = self.state();
        state.is_used = true;
        state.store_failed = found.is_err();
        match found? {
            Some(SessionRecord::Session(session))
                if !self.sessions.ttl(&session.data).is_zero()
                    && session.data.is_native == self.is_native =>
            {
                state.set_current(Some((id, session)));
            }
            // The browser has a newer cookie, which the session of a guest must not replace.
            Some(SessionRecord::Left(_)) => state.set_ended(EndedBy::AnotherRequest),
            _ if self.is_native => state.set_ended(EndedBy::AnotherRequest),
            _ => state.set_current(None),
        }
        Ok(())
    }

    /// Extends the expiry of the session if it is due. A failure does not fail the request.
    async fn extend_expiry(&self) {
        if let Some((session, ttl)) = self.extension()
            && let Err(error) = self.sessions.extend(&session, ttl).await
        {
            tracing::warn!(
                target: TARGET,
                error = with_causes(&error),
                "failed to extend the expiry of a session"
            );
        }
    }

    /// Returns the session's new lifetime if it is due to be extended.
    fn extension(&self) -> Option<(StoredSession, Duration)> {
        if self.keeps_expiry.load(Ordering::Relaxed) {
            return None;
        }
        let state = self.state();
        let (_, current) = state.current.as_ref()?;
        let ttl = self.sessions.extended(&current.data, current.ttl)?;
        Some((current.clone(), ttl))
    }

    async fn load_for_app(&self, id: Id) -> Result<Option<Record>, StoreError> {
        let is_new = {
            let state = self.state();
            let loaded = state
                .current
                .as_ref()
                .map_or(self.cookie, |(id, _)| Some(*id));
            state.progress == Progress::Loaded && loaded == Some(id)
        };
        if !is_new {
            self.load(Some(id)).await?;
        }
        let mut state = self.state();
        state.progress = Progress::Served;
        let Some((_, current)) = &state.current else {
            return Ok(None);
        };
        let mut data: HashMap<_, _> =
            serde_json::from_slice(&current.data.app_data).unwrap_or_default();
        data.insert(MARKER.to_owned(), Value::Null);
        let ttl = current.ttl.try_into().unwrap_or(time::Duration::MAX);
        Ok(Some(Record {
            id,
            data,
            expiry_date: self.sessions.records.clock().now().saturating_add(ttl),
        }))
    }

    /// Stores a session under a new ID: a new session of a guest, or one whose ID changes.
    async fn create_or_move(&self, record: &mut Record) -> Result<(), StoreError> {
        if !record.data.contains_key(MARKER) {
            // After `cycle_id`, tower-sessions does not tell the store of a flush.
            self.end_pending_move().await?;
        }
        let moved = {
            let mut state = self.state();
            if state.ended_by == Some(EndedBy::AnotherRequest) {
                return Ok(());
            }
            let pending = state.pending_move();
            if pending.is_some_and(|(id, current)| current.id != self.sessions.record_id(*id)) {
                // Another request has changed the ID, and the browser keeps the cookie of that one.
                state.set_ended(EndedBy::AnotherRequest);
                return Ok(());
            }
            pending.cloned()
        };
        let changes = self.changes(record)?;
        let stored = match moved {
            // The ID is that of the credential.
            Some((id, current)) if self.is_native => {
                let saved = self.sessions.save(current, &changes).await?;
                saved.map(|session| (id, session))
            }
            None if self.is_native => return Ok(()),
            Some((_, current)) => self.sessions.change_id(current, changes).await?,
            None => Some(self.sessions.create(&changes).await?),
        };
        let mut state = self.state();
        match stored {
            Some((id, session)) => {
                // After a flush, the record has the ID of the session that ended.
                record.id = id;
                record.data.insert(MARKER.to_owned(), Value::Null);
                state.set_current(Some((id, session)));
                state.is_move_pending = false;
                state.progress = Progress::Served;
            }
            None => state.set_ended(EndedBy::AnotherRequest),
        }
        Ok(())
    }

    /// Changes an existing session. One that has ended in the meantime is not restored.
    async fn update(&self, record: &Record) -> Result<(), StoreError> {
        self.data().await?;
        let current = {
            let state = self.state();
            let current = state.current.as_ref().filter(|(id, _)| *id == record.id);
            current.map(|(_, current)| current.clone())
        };
        let changes = self.changes(record)?;
        let Some(current) = current else {
            if self.state().ended_by.is_none() {
                // The app has replaced the data of an unknown session without reading it.
                let created = self.sessions.create(&changes).await?;
                self.state().set_current(Some(created));
            }
            return Ok(());
        };
        let saved = self.sessions.save(current, &changes).await?;
        let mut state = self.state();
        match saved {
            Some(session) => {
                state.set_current(Some((record.id, session)));
                state.progress = Progress::Served;
            }
            None => state.set_ended(EndedBy::AnotherRequest),
        }
        Ok(())
    }

    /// Returns what the app has changed.
    fn changes(&self, record: &Record) -> Result<AppChanges, StoreError> {
        let data: HashMap<_, _> = record
            .data
            .iter()
            .filter(|(key, _)| *key != MARKER)
            .collect();
        let data = if data.is_empty() {
            Bytes::new()
        } else {
            serde_json::to_vec(&data)
                .map_err(StoreError::backend)?
                .into()
        };
        let expiry = self.app_session().as_ref().and_then(Session::expiry);
        Ok(AppChanges { data, expiry })
    }

    /// Ends a session, or prepares to change its ID. tower-sessions deletes a session in both cases;
    /// `cycle_id` has removed the ID from the app's session before.
    async fn end_or_move(&self, id: Id) -> Result<(), StoreError> {
        let is_moved = self
            .app_session()
            .as_ref()
            .is_some_and(|session| session.id().is_none());
        if !is_moved {
            return self.end(id).await;
        }
        let mut state = self.state();
        if state.current.as_ref().is_some_and(|(now, _)| *now == id) {
            state.is_move_pending = true;
        }
        Ok(())
    }

    /// Ends a session that the app flushed after `cycle_id`.
    async fn end_pending_move(&self) -> Result<(), StoreError> {
        let pending = self.state().pending_move().map(|(id, _)| *id);
        match pending {
            Some(id) => self.end(id).await,
            None => Ok(()),
        }
    }

    async fn end(&self, id: Id) -> Result<(), StoreError> {
        let ended = self
            .sessions
            .sign_out(vec![id], self.is_native, self.origin.clone())
            .await?;
        let mut state = self.state();
        let was_current = state.current.as_ref().is_some_and(|(now, _)| *now == id);
        if !ended.is_empty() {
            state.set_ended(EndedBy::ThisRequest);
        } else if was_current {
            state.set_ended(EndedBy::AnotherRequest);
        } else {
            state.set_current(None);
        }
        Ok(())
    }
}

#[async_trait]
impl SessionStore for RequestStore {
    async fn create(&self, record: &mut Record) -> session_store::Result<()> {
        self.create_or_move(record).await.map_err(app_error)
    }

    async fn save(&self, record: &Record) -> session_store::Result<()> {
        self.update(record).await.map_err(app_error)
    }

    async fn load(&self, id: &Id) -> session_store::Result<Option<Record>> {
        self.load_for_app(*id).await.map_err(app_error)
    }

    async fn delete(&self, id: &Id) -> session_store::Result<()> {
        self.end_or_move(*id).await.map_err(app_error)
    }
}

/// Converts an error for tower-sessions, whose errors have no source.
// By value for `map_err`.
#[allow(clippy::needless_pass_by_value)]
fn app_error(error: StoreError) -> session_store::Error {
    session_store::Error::Backend(with_causes(&error))
}

/// Omits the ID, which is the value of the cookie, and the data.
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
