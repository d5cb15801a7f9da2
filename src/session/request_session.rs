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
    refresh::RefreshRequest,
    sessions::{DATA_KEY, SessionData, SessionRecord, TokensId},
};
use crate::{
    audit::TARGET,
    error::with_causes,
    store::{LoadedRecord, StoreError},
};

/// The session of a request. The app uses a tower-sessions [`Session`] with its own data, and this
/// crate reads the user from the same record, which is loaded once.
///
/// The app's `insert`, `remove` and `clear` change only the app's data. Its `flush` and `delete` end
/// the session and sign the user out. Its `cycle_id` gives the session a new ID and keeps the user.
pub(crate) struct RequestSession {
    session: Session,
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
        self.0.refresh_due_at
    }

    pub(crate) fn is_refresh_due(&self, now: OffsetDateTime) -> bool {
        self.refresh_due_at().is_some_and(|due_at| due_at <= now)
    }
}

/// The result of [`RequestSession::finish`].
#[derive(Debug)]
pub(crate) struct FinishedSession {
    pub(crate) cookie: CookieChange,
    /// The user that the app signed out by ending the session.
    pub(crate) signed_out: Option<SignedIn>,
    /// The tokens of the session that the app ended.
    pub(crate) tokens: Option<Tokens>,
}

/// The change to the browser's session cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CookieChange {
    /// The cookie stays. This includes a session that ended elsewhere: the response to an old request
    /// must not remove the cookie that a newer response has set.
    None,
    /// The session has a new ID.
    NewId(Id),
    /// This request ended the session.
    Removed,
}

impl Sessions {
    /// Returns the session of a request. It is loaded when it is used.
    pub(crate) fn for_request(&self, id: Option<Id>) -> RequestSession {
        let store = Arc::new(RequestStore {
            sessions: self.clone(),
            state: Mutex::default(),
            app_session: Mutex::default(),
        });
        let session = Session::new(id, Arc::clone(&store), None);
        *store.app_session() = Some(session.clone());
        RequestSession { session, store }
    }
}

impl RequestSession {
    /// Returns the session for the app.
    pub(crate) fn app_session(&self) -> &Session {
        &self.session
    }

    /// Returns whether the request has read or written the session, so that the response depends on
    /// it.
    pub(crate) fn is_used(&self) -> bool {
        self.store.state().is_used
    }

    /// Returns the session data if a user is signed in.
    pub(crate) async fn signed_in(&self) -> Result<Option<SignedIn>, StoreError> {
        let data = self.data().await?;
        Ok(data.filter(|data| data.user.is_some()).map(SignedIn))
    }

    pub(crate) async fn tokens(&self, signed_in: &SignedIn) -> Result<Option<Tokens>, StoreError> {
        let Some(TokensId(id)) = &signed_in.0.tokens else {
            return Ok(None);
        };
        let loaded = Tokens::load(&self.store.sessions.records, id).await?;
        Ok(loaded.map(|loaded| loaded.value))
    }

    /// Returns a request to refresh the tokens, or `None` if the session has no tokens.
    pub(crate) fn refresh_request(
        &self,
        signed_in: &SignedIn,
        correlation_id: &str,
        client_address: Option<IpAddr>,
    ) -> Option<RefreshRequest> {
        let TokensId(tokens) = signed_in.0.tokens.as_ref()?;
        Some(RefreshRequest {
            session: self.store.state().id?,
            tokens: tokens.clone(),
            user: signed_in.user().clone(),
            correlation_id: correlation_id.to_owned(),
            client_address,
        })
    }

    /// Notes when the next refresh is due, for a later write of this request.
    pub(crate) fn set_refresh_due_at(&self, tokens: &Tokens) {
        let mut state = self.store.state();
        if let Some(data) = &mut state.data {
            Arc::make_mut(data).refresh_due_at = tokens.refresh_due_at();
        }
    }

    /// Returns this crate's part of the record, and loads the record if necessary.
    async fn data(&self) -> Result<Option<Arc<SessionData>>, StoreError> {
        if self.session.id().is_some() {
            // Loads the record through tower-sessions, which loads it once. The value of an absent
            // key is not copied.
            self.session
                .get_value("")
                .await
                .map_err(StoreError::backend)?;
        }
        match self.session.id() {
            // `RequestStore` has no data yet if the app cleared the session without loading it.
            Some(id) => self.store.data(id).await,
            None => Ok(self.store.state().data.clone()),
        }
    }

    /// Saves the changes of the app and extends the expiry of the session.
    pub(crate) async fn finish(
        &self,
        cookie: Option<Id>,
        discard_changes: bool,
    ) -> Result<FinishedSession, StoreError> {
        if discard_changes || !self.session.is_modified() {
            self.store.extend_expiry().await;
        } else if self.session.is_empty().await {
            self.store.end_pending_cycle().await?;
        } else {
            self.session.save().await.map_err(StoreError::backend)?;
        }
        let (ended_by, ended) = {
            let mut state = self.store.state();
            (state.ended_by, state.ended.take())
        };
        let tokens = match &ended {
            Some((id, data)) => self.store.sessions.clean_up(*id, data).await,
            None => None,
        };
        let cookie = match (ended_by, self.session.id()) {
            (Some(EndedBy::AnotherRequest), _) => CookieChange::None,
            (_, Some(id)) if cookie != Some(id) => CookieChange::NewId(id),
            (Some(EndedBy::ThisRequest), None) if cookie.is_some() => CookieChange::Removed,
            _ => CookieChange::None,
        };
        let signed_out = ended
            .map(|(_, data)| data)
            .filter(|data| data.user.is_some())
            .map(|data| SignedIn(Arc::new(data)));
        Ok(FinishedSession {
            cookie,
            signed_out,
            tokens,
        })
    }
}

/// The store of a request's [`Session`]. The app never receives this crate's part of the record,
/// which stays here and is added again when the record is written.
struct RequestStore {
    sessions: Sessions,
    state: Mutex<RequestState>,
    /// The app's session, which shows whether a deletion ends the session or cycles its ID. The two
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
    /// The ID of the record that was loaded or created.
    id: Option<Id>,
    data: Option<Arc<SessionData>>,
    expires_at: Option<OffsetDateTime>,
    /// The previous ID after `cycle_id`. The record is moved when it is written.
    pending_cycle: Option<Id>,
    /// The session that the app ended.
    ended: Option<(Id, SessionData)>,
    ended_by: Option<EndedBy>,
    /// The store failed, and is not called again for this session.
    store_failed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EndedBy {
    ThisRequest,
    /// The session ended during this request, which must not restore it.
    AnotherRequest,
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

    /// Extends the expiry of the session if it is due. A failure does not fail the request.
    async fn extend_expiry(&self) {
        let extended = {
            let state = self.state();
            let now = self.sessions.records.clock().now();
            match (state.id, &state.data, state.expires_at) {
                (Some(id), Some(data), Some(expires_at)) => self
                    .sessions
                    .lifetimes
                    .extended_expiry(data.created_at, expires_at, now)
                    .map(|extended| (id, extended)),
                _ => None,
            }
        };
        if let Some((id, expires_at)) = extended {
            let id = self.sessions.record_id(id);
            if let Err(error) = self.sessions.records.touch(&id, expires_at).await {
                tracing::warn!(
                    target: TARGET,
                    error = with_causes(&error),
                    "failed to extend the expiry of a session"
                );
            }
        }
    }

    /// Loads a record and splits off this crate's part. Ignores a session that exceeds the absolute
    /// lifetime, which may have been shortened since.
    async fn read(
        &self,
        id: Id,
    ) -> Result<Option<(LoadedRecord<SessionRecord>, SessionData)>, StoreError> {
        {
            let mut state = self.state();
            state.is_used = true;
            if state.store_failed {
                return Err(StoreError::TimedOut);
            }
        }
        let loaded = self.sessions.load(id).await;
        self.state().store_failed = loaded.is_err();
        let Some(mut loaded) = loaded? else {
            return Ok(None);
        };
        let now = self.sessions.records.clock().now();
        let data = SessionData::take_from(&mut loaded.value)
            .filter(|data| self.sessions.lifetimes.absolute_expiry(data.created_at) > now);
        Ok(data.map(|data| (loaded, data)))
    }

    /// Returns this crate's part of a session, and loads it if the app has not.
    async fn data(&self, id: Id) -> Result<Option<Arc<SessionData>>, StoreError> {
        {
            let state = self.state();
            if state.id == Some(id) {
                return Ok(state.data.clone());
            }
        }
        let read = self.read(id).await?;
        Ok(read.map(|(_, data)| Arc::new(data)))
    }

    /// Stores a session under a new ID: a new session of a guest, or one whose ID is cycled.
    async fn create_or_cycle(&self, record: &mut Record) -> Result<(), StoreError> {
        let (previous, data) = {
            let mut state = self.state();
            state.is_used = true;
            if state.ended_by == Some(EndedBy::AnotherRequest) {
                return Ok(());
            }
            let previous = state.pending_cycle.take();
            (previous, previous.and_then(|_| state.data.clone()))
        };
        let now = self.sessions.records.clock().now();
        let data = data.unwrap_or_else(|| Arc::new(SessionData::new(now)));
        data.put_into(&mut record.data)?;
        // After a flush, the record has the ID of the session that ended.
        record.id = Id::default();
        if let Some(user) = &data.user {
            self.sessions
                .add_to_index(record.id, user, data.created_at)
                .await?;
        }
        let inserted = self
            .sessions
            .insert(record.id, &record.data, data.created_at)
            .await;
        hide_data(&mut record.data);
        inserted?;
        // The previous record is removed last. If it is gone, the session was ended meanwhile, and
        // its new record is removed as well.
        if let Some(previous) = previous {
            let is_ended = self
                .sessions
                .take(&self.sessions.record_id(previous))
                .await?
                .is_none();
            if is_ended {
                self.sessions
                    .take(&self.sessions.record_id(record.id))
                    .await?;
            }
            if let Some(user) = &data.user {
                let removed = if is_ended { record.id } else { previous };
                self.sessions.remove_from_index(removed, user).await;
            }
            if is_ended {
                let mut state = self.state();
                state.ended_by = Some(EndedBy::AnotherRequest);
                state.data = None;
                return Ok(());
            }
        }
        let mut state = self.state();
        state.id = Some(record.id);
        state.data = Some(data);
        state.expires_at = None;
        Ok(())
    }

    /// Only replaces an existing record, so that a session that has ended in the meantime is not
    /// restored.
    async fn update(&self, record: &Record) -> Result<(), StoreError> {
        let Some(data) = self.data(record.id).await? else {
            return Ok(());
        };
        let mut value = record.data.clone();
        data.put_into(&mut value)?;
        let expires_at = self.sessions.expires_at(data.created_at);
        let records = &self.sessions.records;
        records
            .replace(
                &self.sessions.record_id(record.id),
                None,
                &value,
                expires_at,
            )
            .await
            .map(drop)
    }

    async fn read_for_app(&self, id: Id) -> Result<Option<Record>, StoreError> {
        let Some((loaded, data)) = self.read(id).await? else {
            return Ok(None);
        };
        let mut state = self.state();
        state.id = Some(id);
        state.data = Some(Arc::new(data));
        state.expires_at = Some(loaded.expires_at);
        let mut data = loaded.value;
        hide_data(&mut data);
        Ok(Some(Record {
            id,
            data,
            expiry_date: loaded.expires_at,
        }))
    }

    /// Ends a session, or prepares to cycle its ID. tower-sessions deletes a session in both cases;
    /// `cycle_id` has removed the ID from the app's session before.
    async fn end_or_cycle(&self, id: Id) -> Result<(), StoreError> {
        let is_cycled = self
            .app_session()
            .as_ref()
            .is_some_and(|session| session.id().is_none());
        if !is_cycled {
            return self.end(id).await;
        }
        let mut state = self.state();
        if state.id == Some(id) {
            state.pending_cycle = Some(id);
        }
        Ok(())
    }

    /// Ends a session that the app flushed after `cycle_id`.
    async fn end_pending_cycle(&self) -> Result<(), StoreError> {
        let previous = self.state().pending_cycle.take();
        match previous {
            Some(id) => self.end(id).await,
            None => Ok(()),
        }
    }

    async fn end(&self, id: Id) -> Result<(), StoreError> {
        let ended = self.sessions.take(&self.sessions.record_id(id)).await?;
        let mut state = self.state();
        if let Some(data) = ended {
            state.ended_by = Some(EndedBy::ThisRequest);
            state.ended = Some((id, data));
        } else if state.id == Some(id) {
            state.ended_by = Some(EndedBy::AnotherRequest);
        }
        state.data = None;
        Ok(())
    }
}

#[async_trait]
impl SessionStore for RequestStore {
    async fn create(&self, record: &mut Record) -> session_store::Result<()> {
        self.create_or_cycle(record).await.map_err(app_error)
    }

    async fn save(&self, record: &Record) -> session_store::Result<()> {
        self.update(record).await.map_err(app_error)
    }

    async fn load(&self, id: &Id) -> session_store::Result<Option<Record>> {
        self.read_for_app(*id).await.map_err(app_error)
    }

    async fn delete(&self, id: &Id) -> session_store::Result<()> {
        self.end_or_cycle(*id).await.map_err(app_error)
    }
}

/// Replaces this crate's part of a record with `null`, so that tower-sessions does not treat the
/// session of a user without app data as empty.
fn hide_data(record: &mut SessionRecord) {
    record.insert(DATA_KEY.to_owned(), Value::Null);
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
