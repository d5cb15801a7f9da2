use std::{ops::Deref, sync::Arc, time::Duration};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::OffsetDateTime;
use tower_sessions::{Expiry, session::Id};

use super::{
    Revoker, Tokens, User,
    device::Device,
    record::{Family, Left, SessionData, SessionRecord},
    user::UserData,
    waiting::Waiting,
};
use crate::{
    audit::{EventKind, EventOrigin, TARGET},
    error::with_causes,
    json::as_text,
    store::{RecordId, RecordKind, Records, StoreError},
};

/// The groups of records that the memory store bounds apart from the sessions of users.
const GUESTS: &str = "guest_session";
const MOVED: &str = "moved_session";

/// How long the record of a previous ID points to the next one: longer than a response takes to reach
/// the browser, or an operation to follow the pointer.
const MOVED_LIFETIME: Duration = Duration::from_secs(5 * 60);

/// How long the record of an ended session prevents that of a guest: longer than a request takes that was
/// sent with its cookie. If the browser does not receive the new cookie, the app can store nothing for a guest
/// meanwhile.
const ENDED_LIFETIME: Duration = Duration::from_secs(60);

/// The number of times that the ID of a session may change while another request looks for it.
const MAX_MOVES: usize = 1_000;

/// The number of times that a request tries to change a session that other requests change.
const MAX_ATTEMPTS: usize = 50;

/// The user that a verified ID token identifies.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) issuer: String,
    pub(crate) subject: String,
    pub(crate) sid: Option<String>,
    #[serde(with = "as_text")]
    pub(crate) claims: Map<String, Value>,
    pub(crate) auth_time: Option<i64>,
    /// The latest time at which the session may expire, in seconds since the Unix epoch.
    pub(crate) session_expiry: Option<i64>,
}

/// The sessions in the store. Clones share their state.
///
/// A session is one record under the hash of its ID. When the ID changes, the record of the previous
/// ID becomes a pointer to the next one in one atomic step, so an operation that ends a session either
/// precedes the change or follows the pointer.
#[derive(Clone, Debug)]
pub(crate) struct Sessions(Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(super) records: Records,
    pub(super) lifetimes: Lifetimes,
    /// The maximum number of sessions of a user.
    pub(super) max_per_user: usize,
    pub(super) revoker: Revoker,
    pub(super) waiting: Waiting,
}

impl Deref for Sessions {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

/// A session in the store.
#[derive(Clone, Debug)]
pub(super) struct StoredSession {
    pub(super) id: RecordId,
    pub(super) data: Arc<SessionData>,
    /// The version that was read. `None` if this process has written the session since.
    pub(super) version: Option<u64>,
    pub(super) ttl: Duration,
}

impl StoredSession {
    /// Returns whether the session belongs to a guest or to this user.
    fn is_open_to(&self, user: &User) -> bool {
        let owner = self.data.user.as_ref();
        owner.is_none_or(|owner| owner.is_same_person(user))
    }
}

/// What the app changes in a session.
#[derive(Debug)]
pub(super) struct AppChanges {
    /// The app's data: a JSON object, or nothing.
    pub(super) data: Bytes,
    pub(super) expiry: Option<Expiry>,
}

impl AppChanges {
    fn apply(&self, data: &SessionData) -> SessionData {
        let mut changed = SessionData {
            app_data: self.data.clone(),
            ..data.clone()
        };
        match self.expiry {
            Some(Expiry::OnInactivity(idle)) => {
                // Records store whole seconds.
                let part = i64::from(idle.subsec_nanoseconds() > 0);
                let seconds = idle.whole_seconds().saturating_add(part);
                changed.idle = Some(Duration::from_secs(seconds.try_into().unwrap_or(0)));
            }
            Some(Expiry::AtDateTime(at)) => {
                changed.ends_at = changed.ends_at.min(at.unix_timestamp()).max(0);
            }
            // The cookie ends with the browser.
            Some(Expiry::OnSessionEnd) | None => {}
        }
        changed
    }
}

/// A session that was removed, with its tokens.
#[derive(Debug)]
pub(crate) struct EndedSession {
    pub(super) data: SessionData,
    pub(crate) tokens: Option<Tokens>,
}

/// The state of the store when a sign-in starts.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SignInStart {
    #[serde(with = "time::serde::timestamp")]
    pub(super) at: OffsetDateTime,
    /// The time since the login route redirected the browser to the provider.
    pub(super) attempt_age: Duration,
    pub(super) logout_epoch: Option<u128>,
    device: Device,
}

impl SignInStart {
    /// Sets the device that signs in.
    pub(crate) fn on(self, device: Device) -> Self {
        Self { device, ..self }
    }
}

/// A session to be created by a sign-in.
pub(super) struct NewSession {
    pub(super) id: RecordId,
    pub(super) is_native: bool,
    /// The session that ends.
    pub(super) previous: Option<RecordId>,
}

impl Sessions {
    pub(crate) fn new(
        records: Records,
        lifetimes: Lifetimes,
        max_per_user: usize,
        revoker: Revoker,
    ) -> Self {
        Self(Arc::new(Inner {
            records,
            lifetimes,
            max_per_user,
            revoker,
            waiting: Waiting::default(),
        }))
    }

    /// Starts a sign-in. Call it before the code exchange, so that a logout token that arrives during
    /// the exchange ends the new session.
    pub(crate) async fn start_sign_in(
        &self,
        attempt_age: Duration,
    ) -> Result<SignInStart, StoreError> {
        Ok(SignInStart {
            at: self.records.clock().now(),
            attempt_age,
            logout_epoch: self.logout_epoch().await?,
            device: Device::default(),
        })
    }

    /// Creates a session for a user and ends the previous session of the browser.
    ///
    /// The app's data is kept if the previous session belongs to a guest or the same user. Returns
    /// `None` if the user was signed out since `start`, here or by the provider. Completes even if the
    /// caller is cancelled.
    pub(crate) async fn sign_in(
        &self,
        start: SignInStart,
        previous: Option<Id>,
        identity: Identity,
        tokens: Tokens,
        origin: EventOrigin,
    ) -> Result<Option<Id>, StoreError> {
        let id = Id::default();
        let this = self.clone();
        self.run_to_completion(async move {
            let new = NewSession {
                id: this.record_id(id),
                is_native: false,
                previous: previous.map(|id| this.record_id(id)),
            };
            let is_signed_in = this.sign_in_to(new, &start, identity, &tokens, &origin);
            Ok(is_signed_in.await?.then_some(id))
        })
        .await
    }

    /// Creates a session like [`sign_in`](Self::sign_in), and returns whether it did.
    pub(super) async fn sign_in_to(
        &self,
        new: NewSession,
        start: &SignInStart,
        identity: Identity,
        tokens: &Tokens,
        origin: &EventOrigin,
    ) -> Result<bool, StoreError> {
        let id = new.id;
        let user = self.sign_in_now(new, start, identity, tokens, origin);
        let user = user.await;
        if user.is_err() {
            // The session may be stored, and no browser has its cookie. If it cannot be ended, it expires.
            let this = self.clone();
            let ended = async move { this.end_now(&id, None).await.map(drop) };
            self.revoker.tasks.spawn(ended);
        }
        let Ok(Some(user)) = &user else {
            self.revoke(tokens, origin);
            return user.map(|_| false);
        };
        self.record_event(EventKind::SignedIn, user, origin);
        Ok(true)
    }

    /// Revokes the refresh token of a sign-in that yields no session.
    pub(crate) fn revoke(&self, tokens: &Tokens, origin: &EventOrigin) {
        self.revoker.revoke(tokens, origin);
    }

    async fn sign_in_now(
        &self,
        new: NewSession,
        start: &SignInStart,
        identity: Identity,
        tokens: &Tokens,
        origin: &EventOrigin,
    ) -> Result<Option<User>, StoreError> {
        let now = self.records.clock().unix_now();
        let absolute = self.lifetimes.absolute_expiry(now);
        let ends_at = identity
            .session_expiry
            .map_or(absolute, |expiry| expiry.clamp(0, absolute));
        let user = User::new(UserData {
            issuer: identity.issuer.into(),
            subject: identity.subject.into(),
            sid: identity.sid,
            auth_time: identity.auth_time,
            signed_in_at: now,
            session_ends_at: ends_at,
            claims: tokens.complete(identity.claims).into(),
        });
        let record = new.id;
        let previous = match new.previous {
            Some(id) => self.find(id).await?,
            None => None,
        };
        // A cookie with the ID of a native session names no session.
        let previous = previous.filter(|session| session.data.is_native == new.is_native);
        let data = SessionData {
            family: Family::random(),
            is_native: new.is_native,
            created_at: now,
            used_at: now,
            ends_at,
            idle: None,
            refresh_due_at: tokens.refresh_due_at().map(OffsetDateTime::unix_timestamp),
            refreshes: 0,
            app_data: previous
                .as_ref()
                .filter(|previous| previous.is_open_to(&user))
                .map(|previous| previous.data.app_data.clone())
                .unwrap_or_default(),
            user: Some(user.clone()),
            device: start.device.clone(),
        };
        let ttl = self.ttl(&data);
        // The session that this one replaces does not count.
        let replaced = previous
            .as_ref()
            .filter(|previous| previous.data.user.is_some() && previous.is_open_to(&user))
            .map(|previous| previous.id);
        let limit = self.max_per_user + usize::from(replaced.is_some());
        let mut excess = self.add_to_index(&record, &data, ttl, limit).await?;
        excess.retain(|excess| Some(*excess) != replaced);
        tokens.insert(&self.records, data.family, ttl).await?;
        let new = self.insert(record, data).await?;
        self.end_excess(&user, excess, origin).await;
        let is_signed_out = self.is_logged_out_since(start, &user).await?
            || match previous {
                Some(previous) => !self.succeed(previous, &new, origin).await?,
                None => false,
            };
        if is_signed_out {
            self.end_now(&record, None).await?;
            return Ok(None);
        }
        Ok(Some(user))
    }

    /// Ends the session that a sign-in replaces. The record of the same user's previous session points
    /// to the new one, so that a sign-out with the previous cookie ends the new session. Returns `false`
    /// if that session has ended meanwhile.
    ///
    /// The session of a guest or of another user leaves no pointer: another site may have set its cookie.
    /// It leaves a mark, so that a request that still has this cookie does not start the session of a guest,
    /// whose cookie would replace the new one.
    async fn succeed(
        &self,
        previous: StoredSession,
        new: &StoredSession,
        origin: &EventOrigin,
    ) -> Result<bool, StoreError> {
        let mut current = previous;
        for _ in 0..MAX_ATTEMPTS {
            let user = new.data.user.as_ref();
            let is_open = user.is_some_and(|user| current.is_open_to(user));
            let is_same_user = is_open && current.data.user.is_some();
            let left = if is_same_user {
                Left::Moved(new.id)
            } else {
                Left::Ended(new.id)
            };
            if self.leave(&current, &left, new.ttl).await? {
                let data = SessionData::clone(&current.data);
                let ended = self.clean_up(&current.id, data).await;
                if !is_same_user {
                    self.record_sign_out(&ended, origin);
                }
                return Ok(true);
            }
            let Some(latest) = self.find(current.id).await? else {
                if !is_same_user {
                    // Another request has ended it, without a mark.
                    self.put_left(current.id, &left).await?;
                }
                return Ok(!is_same_user);
            };
            if is_open {
                self.take_over(&current, &latest.data, new).await?;
            }
            current = latest;
        }
        Err(changes_too_often())
    }

    /// Copies the app's data that was saved in a session after a sign-in had copied it.
    async fn take_over(
        &self,
        copied: &StoredSession,
        latest: &SessionData,
        new: &StoredSession,
    ) -> Result<(), StoreError> {
        if latest.app_data != copied.data.app_data {
            let data = SessionData {
                app_data: latest.app_data.clone(),
                ..SessionData::clone(&new.data)
            };
            self.records.replace(&new.id, None, &data, new.ttl).await?;
        }
        Ok(())
    }

    /// Ends the sessions that a user has beyond the limit. What cannot be ended is found again by the
    /// next sign-in.
    async fn end_excess(&self, user: &User, excess: Vec<RecordId>, origin: &EventOrigin) {
        for record in excess {
            match self.end_now(&record, Some(user.subject())).await {
                Ok(Some(ended)) => self.record_sign_out(&ended, origin),
                Ok(None) => {}
                Err(error) => tracing::warn!(
                    target: TARGET,
                    error = with_causes(&error),
                    "failed to end a session beyond the limit of its user"
                ),
            }
        }
    }

    /// Ends sessions that their user signs out of, revokes their tokens and returns them. A session of a
    /// native app is ended by its credential only, as it is found by nothing else. Completes even if the
    /// caller is cancelled.
    pub(crate) async fn sign_out(
        &self,
        ids: Vec<Id>,
        is_native: bool,
        origin: EventOrigin,
    ) -> Result<Vec<EndedSession>, StoreError> {
        let this = self.clone();
        self.run_to_completion(async move {
            let mut all = Vec::new();
            for id in ids {
                let id = this.record_id(id);
                let ended = this.end_if(&id, |data| data.is_native == is_native);
                if let Some(ended) = ended.await? {
                    this.record_sign_out(&ended, &origin);
                    all.push(ended);
                }
            }
            Ok(all)
        })
        .await
    }

    /// Creates the session of a guest.
    pub(super) async fn create(
        &self,
        changes: &AppChanges,
    ) -> Result<(Id, StoredSession), StoreError> {
        let now = self.records.clock().unix_now();
        let data = changes.apply(&SessionData {
            family: Family::random(),
            is_native: false,
            created_at: now,
            used_at: now,
            ends_at: self.lifetimes.absolute_expiry(now),
            idle: None,
            user: None,
            refresh_due_at: None,
            refreshes: 0,
            app_data: Bytes::new(),
            device: Device::default(),
        });
        let id = Id::default();
        let stored = self.insert(self.record_id(id), data).await?;
        Ok((id, stored))
    }

    /// Applies the app's changes to a session, or to the one that it has moved to. Returns `None` if
    /// the session has ended: it is not restored.
    pub(super) async fn save(
        &self,
        session: StoredSession,
        changes: &AppChanges,
    ) -> Result<Option<StoredSession>, StoreError> {
        let mut current = Some(session);
        for _ in 0..MAX_ATTEMPTS {
            let Some(session) = current else {
                return Ok(None);
            };
            if let Some(version) = session.version {
                let mut data = changes.apply(&session.data);
                let ttl = match self.extended(&data, session.ttl) {
                    Some(ttl) => {
                        data.used_at = self.records.clock().unix_now();
                        self.extend_parts(&session.id, &data, ttl).await?
                    }
                    None => session.ttl.min(self.ttl(&data)),
                };
                let replaced = self.records.replace(&session.id, Some(version), &data, ttl);
                if replaced.await? {
                    return Ok(Some(StoredSession {
                        data: Arc::new(data),
                        version: None,
                        ttl,
                        ..session
                    }));
                }
            }
            // This crate's part of the data comes from the latest version.
            current = self.find(session.id).await?;
        }
        Err(changes_too_often())
    }

    /// Gives a session a new ID and applies the app's changes. Returns `None` if the session has ended
    /// or another request has changed its ID. Completes even if the caller is cancelled.
    pub(super) async fn change_id(
        &self,
        session: StoredSession,
        changes: AppChanges,
    ) -> Result<Option<(Id, StoredSession)>, StoreError> {
        let this = self.clone();
        self.run_to_completion(async move { this.change_id_now(session, &changes).await })
            .await
    }

    async fn change_id_now(
        &self,
        mut current: StoredSession,
        changes: &AppChanges,
    ) -> Result<Option<(Id, StoredSession)>, StoreError> {
        let id = Id::default();
        let used_at = self.records.clock().unix_now();
        let used = |data: &SessionData| SessionData {
            used_at,
            ..changes.apply(data)
        };
        let data = used(&current.data);
        let record = self.record_id(id);
        self.extend_parts(&record, &data, self.ttl(&data)).await?;
        let mut new = self.insert(record, data).await?;
        for _ in 0..MAX_ATTEMPTS {
            if self.leave(&current, &Left::Moved(new.id), new.ttl).await? {
                self.remove_from_index(&current.id, &new.data).await;
                return Ok(Some((id, new)));
            }
            let Some(latest) = self.load(current.id).await? else {
                self.records.remove(&new.id).await?;
                self.remove_from_index(&new.id, &new.data).await;
                return Ok(None);
            };
            // This crate's part of the data comes from the latest version.
            new.data = Arc::new(used(&latest.data));
            current = latest;
            self.records
                .replace(&new.id, None, &*new.data, new.ttl)
                .await?;
        }
        Err(changes_too_often())
    }

    /// Writes what is left of a session that has ended.
    async fn put_left(&self, id: RecordId, left: &Left) -> Result<(), StoreError> {
        let id = id.in_group(MOVED);
        self.records.put(&id, left, lifetime_of(left)).await
    }

    /// Replaces the record of a session by what is left of it, unless the record has changed.
    async fn leave(
        &self,
        session: &StoredSession,
        left: &Left,
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        let Some(version) = session.version else {
            return Ok(false);
        };
        let (record, ttl) = (session.id.in_group(MOVED), ttl.min(lifetime_of(left)));
        let replaced = self.records.replace(&record, Some(version), left, ttl);
        match replaced.await {
            // The store may have replaced the record although it failed.
            Err(error) => match self.read(session.id).await {
                Ok(Some(SessionRecord::Left(now))) if now == *left => Ok(true),
                _ => Err(error),
            },
            replaced => replaced,
        }
    }

    /// Returns the new lifetime of a session that would expire after `ttl`, if it is worth a write.
    pub(super) fn extended(&self, data: &SessionData, ttl: Duration) -> Option<Duration> {
        let now = self.records.clock().unix_now();
        self.lifetimes.extended(data, ttl, now)
    }

    /// Extends the expiry of a session that is used.
    pub(super) async fn extend(
        &self,
        session: &StoredSession,
        ttl: Duration,
    ) -> Result<(), StoreError> {
        self.extend_parts(&session.id, &session.data, ttl).await?;
        let Some(version) = session.version else {
            return self.records.touch(&session.id, ttl).await.map(drop);
        };
        let data = SessionData {
            used_at: self.records.clock().unix_now(),
            ..SessionData::clone(&session.data)
        };
        // If another request has written the session meanwhile, the next one extends it.
        let replaced = self.records.replace(&session.id, Some(version), &data, ttl);
        replaced.await.map(drop)
    }

    /// Extends the expiry of a session's tokens and of its members in the index, which must not expire
    /// before the session's record is written.
    async fn extend_parts(
        &self,
        id: &RecordId,
        data: &SessionData,
        ttl: Duration,
    ) -> Result<Duration, StoreError> {
        if data.user.is_some() {
            self.add_to_index(id, data, ttl, usize::MAX).await?;
            Tokens::touch(&self.records, data.family, ttl).await?;
        }
        Ok(ttl)
    }

    /// Ends a session that the provider ended, but not one that has replaced it. Completes even if the
    /// caller is cancelled.
    pub(super) async fn end(&self, id: RecordId, family: Family) -> Result<(), StoreError> {
        let this = self.clone();
        self.run_to_completion(async move {
            let ended = this.end_if(&id, |data| data.family == family);
            ended.await.map(drop)
        })
        .await
    }

    /// Removes a session, or the one that it has moved to, with its tokens and index entries. Spares
    /// the session of a user with another subject than `only`.
    pub(super) async fn end_now(
        &self,
        id: &RecordId,
        only: Option<&str>,
    ) -> Result<Option<EndedSession>, StoreError> {
        self.end_if(id, |data| {
            let subject = data.user.as_ref().map(User::subject);
            only.is_none_or(|only| subject == Some(only))
        })
        .await
    }

    async fn end_if(
        &self,
        id: &RecordId,
        ends: impl Fn(&SessionData) -> bool,
    ) -> Result<Option<EndedSession>, StoreError> {
        let mut id = *id;
        for _ in 0..MAX_MOVES {
            let found = self.find(id).await?;
            let Some(found) = found.filter(|found| ends(&found.data)) else {
                return Ok(None);
            };
            id = match self
                .records
                .take_with(&found.id, SessionRecord::parse)
                .await?
            {
                Some(SessionRecord::Session(data)) => {
                    return Ok(Some(self.clean_up(&found.id, data).await));
                }
                // The session has left since it was found.
                Some(SessionRecord::Left(left)) => {
                    self.put_left(found.id, &left).await?;
                    found.id
                }
                None => return Ok(None),
            };
        }
        Err(changes_too_often())
    }

    /// Loads the session of an ID, but not one that has moved.
    pub(super) async fn load(&self, id: RecordId) -> Result<Option<StoredSession>, StoreError> {
        Ok(match self.read(id).await? {
            Some(SessionRecord::Session(session)) => Some(session),
            Some(SessionRecord::Left(_)) | None => None,
        })
    }

    /// Loads a session, or the one that it has moved to.
    pub(super) async fn find(&self, id: RecordId) -> Result<Option<StoredSession>, StoreError> {
        let mut id = id;
        for _ in 0..MAX_MOVES {
            id = match self.read(id).await? {
                Some(SessionRecord::Session(session)) => return Ok(Some(session)),
                Some(SessionRecord::Left(Left::Moved(next))) => next,
                Some(SessionRecord::Left(Left::Ended(_))) | None => return Ok(None),
            };
        }
        Err(changes_too_often())
    }

    pub(super) async fn read(
        &self,
        id: RecordId,
    ) -> Result<Option<SessionRecord<StoredSession>>, StoreError> {
        let loaded = self.records.load_with(&id, SessionRecord::parse).await?;
        Ok(loaded.map(|loaded| match loaded.value {
            SessionRecord::Left(left) => SessionRecord::Left(left),
            SessionRecord::Session(data) => SessionRecord::Session(StoredSession {
                id: in_group_of(id, &data),
                data: Arc::new(data),
                version: Some(loaded.version),
                ttl: loaded.ttl,
            }),
        }))
    }

    /// Removes the tokens and index entries of a session that was removed.
    async fn clean_up(&self, id: &RecordId, data: SessionData) -> EndedSession {
        // Tokens that cannot be removed expire.
        let tokens = Tokens::take(&self.records, data.family).await;
        let tokens = tokens.unwrap_or_else(|error| {
            tracing::warn!(
                target: TARGET,
                error = with_causes(&error),
                "failed to remove the tokens of an ended session; they expire"
            );
            None
        });
        self.remove_from_index(id, &data).await;
        self.waiting.wake(data.family);
        EndedSession { data, tokens }
    }

    /// Revokes the tokens of an ended session and records that its user signed out.
    pub(super) fn record_sign_out(&self, ended: &EndedSession, origin: &EventOrigin) {
        if let Some(tokens) = &ended.tokens {
            self.revoker.revoke(tokens, origin);
        }
        if let Some(user) = &ended.data.user {
            self.record_event(EventKind::SignedOut, user, origin);
        }
    }

    fn record_event(&self, kind: EventKind, user: &User, origin: &EventOrigin) {
        let trail = &self.revoker.trail;
        let subject = trail.pseudonym(user.issuer(), user.subject());
        let event = trail.event(kind).with_origin(origin);
        trail.record(&event.with_subject(subject));
    }

    async fn insert(&self, id: RecordId, data: SessionData) -> Result<StoredSession, StoreError> {
        let id = in_group_of(id, &data);
        let ttl = self.ttl(&data);
        self.records.insert_new(&id, &data, ttl).await?;
        Ok(StoredSession {
            id,
            data: Arc::new(data),
            version: None,
            ttl,
        })
    }

    /// Takes over the result of a token refresh: when the next one is due, and new claims. Does nothing
    /// if a later refresh did, or if the session has ended or a sign-in has replaced it.
    pub(super) async fn store_refresh(
        &self,
        id: RecordId,
        family: Family,
        tokens: &Tokens,
    ) -> Result<(), StoreError> {
        for _ in 0..MAX_ATTEMPTS {
            let found = self.find(id).await?;
            let Some(found) = found.filter(|found| found.data.family == family) else {
                return Ok(());
            };
            let due_at = tokens.refresh_due_at().map(OffsetDateTime::unix_timestamp);
            let mut data = SessionData::clone(&found.data);
            let is_newer = tokens.refreshes > data.refreshes;
            if !is_newer && (tokens.refreshes < data.refreshes || data.refresh_due_at == due_at) {
                return Ok(());
            }
            data.refresh_due_at = due_at;
            data.refreshes = tokens.refreshes;
            if let Some(expiry) = tokens.session_expiry {
                data.ends_at = data.ends_at.min(expiry).max(0);
            }
            if is_newer {
                let claims = tokens.claims();
                data.user = match (data.user, claims) {
                    (Some(user), Some(claims)) => Some(user.with_claims(claims)),
                    (user, _) => user,
                };
            }
            let replaced = self.records.replace(
                &found.id,
                found.version,
                &data,
                found.ttl.min(self.ttl(&data)),
            );
            if replaced.await? {
                return Ok(());
            }
        }
        Err(changes_too_often())
    }

    /// Runs a sequence of store operations to completion, even if the caller is cancelled because the
    /// browser closed the connection. A shutdown waits for it.
    pub(super) async fn run_to_completion<T: Send + 'static>(
        &self,
        operations: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let task = self.revoker.tasks.spawn(operations);
        task.await
            .unwrap_or_else(|error| Err(StoreError::backend(error)))
    }

    pub(super) fn record_id(&self, id: Id) -> RecordId {
        self.records.id(RecordKind::Session, id.0.to_le_bytes())
    }

    /// Returns the lifetime of a session that is used now.
    pub(super) fn ttl(&self, data: &SessionData) -> Duration {
        self.lifetimes.ttl(data, self.records.clock().unix_now())
    }
}

fn in_group_of(id: RecordId, data: &SessionData) -> RecordId {
    match data.user {
        Some(_) => id,
        None => id.in_group(GUESTS),
    }
}

fn lifetime_of(left: &Left) -> Duration {
    match left {
        Left::Moved(_) => MOVED_LIFETIME,
        Left::Ended(_) => ENDED_LIFETIME,
    }
}

fn changes_too_often() -> StoreError {
    StoreError::backend("a session changes faster than it can be followed")
}

/// A session's expiry is extended when this part of the idle lifetime has passed, rather than at
/// each request.
const TOUCHES_PER_IDLE_LIFETIME: u32 = 20;

/// The lifetimes of sessions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lifetimes {
    /// The lifetime after the last request.
    pub(crate) idle: Duration,
    /// The same for guests.
    pub(crate) guest_idle: Duration,
    /// The lifetime after the sign-in.
    pub(crate) absolute: Duration,
}

impl Lifetimes {
    /// Returns the latest possible expiry of a session.
    pub(super) fn absolute_expiry(self, created_at: i64) -> i64 {
        let absolute = i64::try_from(self.absolute.as_secs()).unwrap_or(i64::MAX);
        created_at.saturating_add(absolute)
    }

    /// Returns when the session expires even if it is used. The configured lifetime may have been
    /// shortened since the session was created.
    pub(super) fn ends_at(self, data: &SessionData) -> i64 {
        data.ends_at.min(self.absolute_expiry(data.created_at))
    }

    /// Returns the time until [`ends_at`](Self::ends_at).
    pub(super) fn rest(self, data: &SessionData, now: i64) -> Duration {
        let rest = self.ends_at(data).saturating_sub(now);
        Duration::from_secs(rest.try_into().unwrap_or(0))
    }

    /// Returns the lifetime of a session that is used at `now`.
    fn ttl(self, data: &SessionData, now: i64) -> Duration {
        self.idle(data).min(self.rest(data, now))
    }

    fn idle(self, data: &SessionData) -> Duration {
        let idle = match data.user {
            Some(_) => self.idle,
            None => self.guest_idle,
        };
        data.idle.map_or(idle, |shorter| shorter.min(idle))
    }

    /// Returns the new lifetime of a session that is used at `now` and would expire after `ttl`, if it
    /// is worth a write.
    pub(super) fn extended(self, data: &SessionData, ttl: Duration, now: i64) -> Option<Duration> {
        let extended = self.ttl(data, now);
        // The last use also tells the activity in the last idle lifetime, which is not extended.
        let unused = now.abs_diff(data.used_at);
        let step = self.idle(data) / TOUCHES_PER_IDLE_LIFETIME;
        (extended.saturating_sub(ttl) >= step || Duration::from_secs(unused) > step)
            .then_some(extended)
    }
}
