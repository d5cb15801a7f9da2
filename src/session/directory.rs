//! Listing and ending sessions for their users and for operators.

use std::{
    cmp::Reverse, collections::HashSet, fmt, net::IpAddr, ops::Range, pin::pin, str::FromStr,
    time::Duration,
};

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::{Serialize, Serializer, ser::SerializeStruct};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    Sessions, User,
    back_channel::{EndedSessions, PARTS},
    device::{Device, device_name},
    record::Family,
    sessions::StoredSession,
};
use crate::{
    audit::{EventKind, EventOrigin},
    secret::{hex, unhex},
    store::{RecordId, RecordKind, StoreError},
};

/// The number of sessions that are loaded or ended at the same time. `interleavings` orders the operations
/// of requests that call the store once at a time.
const CONCURRENCY: usize = if cfg!(test) { 1 } else { 32 };

/// The number of parts of all sessions that are read at the same time. A small site has few sessions in
/// each.
const MAX_PARTS_AT_ONCE: u8 = 32;

/// The maximum number of sessions in a page.
const MAX_PAGE: usize = 1_000;

const HANDLE_BYTES: usize = 16;

/// A name of a session to list and end it, as 32 hexadecimal digits.
///
/// It stays the same when the ID of the session changes. It is a hash from which the ID cannot be derived,
/// and gives no access: only the user of the session and operators can end it.
///
/// ```
/// use axum_oten::session::SessionHandle;
///
/// let handle: SessionHandle = "000102030405060708090a0b0c0d0e0f".parse()?;
/// assert_eq!(handle.to_string(), "000102030405060708090a0b0c0d0e0f");
/// assert!("0001".parse::<SessionHandle>().is_err());
/// # Ok::<_, axum_oten::session::InvalidSessionHandle>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionHandle([u8; HANDLE_BYTES]);

impl fmt::Display for SessionHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for SessionHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionHandle({self})")
    }
}

impl FromStr for SessionHandle {
    type Err = InvalidSessionHandle;

    fn from_str(text: &str) -> Result<Self, InvalidSessionHandle> {
        unhex(text).map(Self).ok_or(InvalidSessionHandle)
    }
}

/// Error returned when a text is not a [`SessionHandle`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a session handle has 32 hexadecimal digits")]
pub struct InvalidSessionHandle;

/// A session of a user that has not ended, from
/// [`Oten::sessions_of`](crate::Oten::sessions_of), [`Oten::sessions_page`](crate::Oten::sessions_page) or
/// [`UserSession::list`](crate::UserSession::list).
#[derive(Clone, Debug)]
pub struct ActiveSession {
    handle: SessionHandle,
    user: User,
    device: Device,
    last_used_at: OffsetDateTime,
    expires_at: OffsetDateTime,
    is_current: bool,
}

impl ActiveSession {
    /// The name of the session.
    #[must_use]
    pub fn handle(&self) -> SessionHandle {
        self.handle
    }

    /// The user of the session.
    #[must_use]
    pub fn user(&self) -> &User {
        &self.user
    }

    /// The time of the sign-in.
    #[must_use]
    pub fn started_at(&self) -> OffsetDateTime {
        self.user.signed_in_at()
    }

    /// The last use of the session, to a twentieth of
    /// [`session_idle`](crate::config::ConfigBuilder::session_idle): by default, the session may have been
    /// used up to 36 minutes later.
    #[must_use]
    pub fn last_used_at(&self) -> OffsetDateTime {
        self.last_used_at
    }

    /// The time at which the session expires unless it is used.
    #[must_use]
    pub fn expires_at(&self) -> OffsetDateTime {
        self.expires_at
    }

    /// The families of the browser and the system, such as "Firefox (Windows)". `None` if the browser
    /// names neither that this crate knows.
    ///
    /// Any program can claim to be any browser.
    #[must_use]
    pub fn device(&self) -> Option<String> {
        device_name(self.user_agent())
    }

    /// The `User-Agent` of the sign-in: at most 256 bytes without control characters, otherwise as the
    /// browser sent it. Escape it in HTML.
    #[must_use]
    pub fn user_agent(&self) -> &str {
        &self.device.user_agent
    }

    /// The client's address at the sign-in. `None` unless
    /// [`session_addresses`](crate::config::ConfigBuilder::session_addresses) is set.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        self.device.address
    }

    /// Whether this is the session of the request that lists it.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.is_current
    }
}

/// Serializes to `session` (the handle), `subject`, `name` (of the user, if known), `started_at`,
/// `last_used_at` and `expires_at` (RFC 3339), `device`, `user_agent`, `address` and `current`. Unknown
/// values are `null`.
impl Serialize for ActiveSession {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let time = |at: OffsetDateTime| at.format(&Rfc3339).ok();
        let mut fields = serializer.serialize_struct("ActiveSession", 10)?;
        fields.serialize_field("session", &self.handle.to_string())?;
        fields.serialize_field("subject", self.user.subject())?;
        fields.serialize_field("name", &self.user.name())?;
        fields.serialize_field("started_at", &time(self.started_at()))?;
        fields.serialize_field("last_used_at", &time(self.last_used_at()))?;
        fields.serialize_field("expires_at", &time(self.expires_at()))?;
        fields.serialize_field("device", &self.device())?;
        fields.serialize_field("user_agent", self.user_agent())?;
        fields.serialize_field("address", &self.address())?;
        fields.serialize_field("current", &self.is_current)?;
        fields.end()
    }
}

/// A part of the sessions, returned by [`Oten::sessions_page`](crate::Oten::sessions_page).
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct SessionPage {
    /// The sessions, in no particular order.
    pub sessions: Vec<ActiveSession>,
    /// Where the next page starts. `None` if this is the last one.
    pub next: Option<String>,
}

/// The request that ends the sessions of others.
#[derive(Debug, Default)]
pub(crate) struct Operator {
    pub(crate) origin: EventOrigin,
    /// The signed-in user. `None` if the app or a command ends the sessions.
    pub(crate) user: Option<User>,
}

/// The position of a page: after this record of this part.
type Position = (u8, Option<RecordId>);

impl Sessions {
    /// Returns the sessions of a user, the most recently used first. `current` marks that of a request.
    pub(crate) async fn of_subject(
        &self,
        subject: &str,
        current: Option<SessionHandle>,
    ) -> Result<Vec<ActiveSession>, StoreError> {
        let found = self.find_of_subject(subject).await?;
        let mut listed = Vec::with_capacity(found.len());
        for session in found {
            listed.extend(self.listed(&session, current));
        }
        // A change of the ID that a failing store interrupted leaves two records.
        listed.sort_by_key(|session| (session.handle.0, Reverse(session.last_used_at)));
        listed.dedup_by_key(|session| session.handle);
        listed.sort_by_key(|session| Reverse(session.last_used_at));
        Ok(listed)
    }

    /// Returns at most `limit` of all sessions, from the `next` of an earlier page on. Any other text is
    /// the beginning.
    pub(crate) async fn page(
        &self,
        from: Option<&str>,
        limit: usize,
        current: Option<SessionHandle>,
    ) -> Result<SessionPage, StoreError> {
        let limit = limit.clamp(1, MAX_PAGE);
        let (mut part, mut after) = from.and_then(parse_position).unwrap_or_default();
        let (mut sessions, mut at_once) = (Vec::new(), 1);
        let mut next = None;
        'parts: while part < PARTS {
            let parts = part..part.saturating_add(at_once).min(PARTS);
            part = parts.end;
            at_once = (2 * at_once).min(MAX_PARTS_AT_ONCE);
            for (part, members) in self.members_of(parts).await? {
                let from = after.take();
                let mut rest = &members[members.partition_point(|member| Some(*member) <= from)..];
                while let Some((chunk, later)) =
                    rest.split_at_checked(rest.len().min(limit - sessions.len()))
                    && let Some(last) = chunk.last()
                {
                    for session in self.find_all(chunk.to_vec()).await? {
                        sessions.extend(self.listed(&session, current));
                    }
                    rest = later;
                    if sessions.len() == limit {
                        next = Some(format!("{part:02x}{}", hex(last.as_bytes())));
                        break 'parts;
                    }
                }
            }
        }
        // While the ID of a session changes, its part has both.
        sessions.sort_by_key(|session| session.handle.0);
        sessions.dedup_by_key(|session| session.handle);
        Ok(SessionPage { sessions, next })
    }

    /// Returns the members of parts of all sessions, each in a stable order.
    async fn members_of(&self, parts: Range<u8>) -> Result<Vec<(u8, Vec<RecordId>)>, StoreError> {
        let this = self.clone();
        let sets = stream::iter(parts).map(move |part| {
            let this = this.clone();
            async move {
                let set = this.part(part);
                let mut members = this.records.members(&set, RecordKind::Session).await?;
                members.sort_unstable();
                Ok((part, members))
            }
        });
        sets.buffered(CONCURRENCY).try_collect().await
    }

    async fn find_of_subject(&self, subject: &str) -> Result<Vec<StoredSession>, StoreError> {
        let set = self.sessions_of_sub(subject);
        let members = self.records.members(&set, RecordKind::Session).await?;
        let mut found = self.find_all(members).await?;
        found.retain(|session| {
            let user = session.data.user.as_ref();
            user.is_some_and(|user| user.subject() == subject)
        });
        Ok(found)
    }

    /// Loads the sessions that exist.
    async fn find_all(&self, ids: Vec<RecordId>) -> Result<Vec<StoredSession>, StoreError> {
        let this = self.clone();
        let found = stream::iter(ids).map(move |id| {
            let this = this.clone();
            async move { this.find(id).await }
        });
        let found: Vec<_> = found.buffered(CONCURRENCY).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }

    fn listed(
        &self,
        session: &StoredSession,
        current: Option<SessionHandle>,
    ) -> Option<ActiveSession> {
        let data = &session.data;
        let user = data.user.clone()?;
        let ttl = session.ttl.min(self.ttl(data));
        let handle = self.handle(data.family);
        let used_at = OffsetDateTime::from_unix_timestamp(data.used_at);
        (ttl > Duration::ZERO).then(|| ActiveSession {
            handle,
            user,
            device: data.device.clone(),
            last_used_at: used_at.unwrap_or(OffsetDateTime::UNIX_EPOCH),
            expires_at: self.records.clock().now() + ttl,
            is_current: current == Some(handle),
        })
    }

    /// Returns the name of a session, which depends on the issuer and the client.
    pub(super) fn handle(&self, family: Family) -> SessionHandle {
        let hash = self
            .records
            .id(RecordKind::SessionHandle, family.as_bytes());
        let mut handle = [0; HANDLE_BYTES];
        handle.copy_from_slice(&hash.as_bytes()[..HANDLE_BYTES]);
        SessionHandle(handle)
    }

    /// Ends a session of a user and revokes its tokens. Returns `false` if the user has no such session.
    /// Completes even if the caller is cancelled, as do the following operations.
    pub(crate) async fn end_one(
        &self,
        subject: &str,
        handle: SessionHandle,
        origin: EventOrigin,
    ) -> Result<bool, StoreError> {
        let (this, subject) = (self.clone(), subject.to_owned());
        self.run_to_completion(async move {
            let (ended, result) = this.end_one_now(&subject, handle, &origin).await?;
            result.map(|()| ended.count > 0)
        })
        .await
    }

    async fn end_one_now(
        &self,
        subject: &str,
        handle: SessionHandle,
        origin: &EventOrigin,
    ) -> Result<(EndedSessions, Result<(), StoreError>), StoreError> {
        let found = self.find_of_subject(subject).await?;
        let named = found
            .iter()
            .filter(|session| self.handle(session.data.family) == handle);
        let named = named.map(|session| session.id).collect();
        Ok(self.end_each(named, Some(subject), origin).await)
    }

    /// Ends a session like [`end_one`](Self::end_one) and records that an operator did.
    pub(crate) async fn end_one_as(
        &self,
        subject: &str,
        handle: SessionHandle,
        operator: Operator,
    ) -> Result<bool, StoreError> {
        let (this, subject) = (self.clone(), subject.to_owned());
        self.run_to_completion(async move {
            let ended = this.end_one_now(&subject, handle, &operator.origin);
            let (ended, result) = ended.await?;
            if ended.count > 0 {
                this.record_end(&operator, Some((&subject, ended.user)), ended.count);
            }
            result.map(|()| ended.count > 0)
        })
        .await
    }

    /// Ends the sessions of a user but `spared`, also those of sign-ins in progress, and revokes their
    /// tokens. Returns their number.
    pub(crate) async fn end_others(
        &self,
        subject: &str,
        spared: SessionHandle,
        origin: EventOrigin,
    ) -> Result<usize, StoreError> {
        let (this, subject) = (self.clone(), subject.to_owned());
        self.run_to_completion(async move {
            this.note(&this.logged_out_sub(&subject)).await?;
            let mut others = this.find_of_subject(&subject).await?;
            others.retain(|session| this.handle(session.data.family) != spared);
            let others = others.into_iter().map(|session| session.id).collect();
            let (ended, result) = this.end_each(others, Some(&subject), &origin).await;
            result.map(|()| ended.count)
        })
        .await
    }

    /// Ends the sessions of a user, also those of sign-ins in progress, and revokes their tokens. Returns
    /// their number.
    pub(crate) async fn end_subject(
        &self,
        subject: &str,
        operator: Operator,
    ) -> Result<usize, StoreError> {
        let (this, subject) = (self.clone(), subject.to_owned());
        self.run_to_completion(async move {
            this.note(&this.logged_out_sub(&subject)).await?;
            let set = this.sessions_of_sub(&subject);
            let members = this.records.members(&set, RecordKind::Session).await?;
            let end = this.end_each(members, Some(&subject), &operator.origin);
            let (ended, result) = end.await;
            this.record_end(&operator, Some((&subject, ended.user)), ended.count);
            result.map(|()| ended.count)
        })
        .await
    }

    /// Ends the sessions of all users, also those of sign-ins in progress, and revokes their tokens.
    /// Returns their number.
    ///
    /// A session enters its part before its record is written and is noted before its part is read, so
    /// that either this finds the session, or the sign-in finds the note.
    pub(crate) async fn end_site(&self, operator: Operator) -> Result<usize, StoreError> {
        let this = self.clone();
        self.run_to_completion(async move {
            this.note(&this.logged_out_site()).await?;
            let mut count = 0;
            let ended = async {
                for part in 0..PARTS {
                    let set = this.part(part);
                    let members = this.records.members(&set, RecordKind::Session).await?;
                    let end = this.end_each(members, None, &operator.origin);
                    let (ended, result) = end.await;
                    count += ended.count;
                    result?;
                }
                Ok(())
            };
            let result = ended.await;
            this.record_end(&operator, None, count);
            result.map(|()| count)
        })
        .await
    }

    /// Ends sessions and returns those that ended, and the last failure. A failure does not cut off others,
    /// which would leave their tokens.
    async fn end_each(
        &self,
        ids: Vec<RecordId>,
        only: Option<&str>,
        origin: &EventOrigin,
    ) -> (EndedSessions, Result<(), StoreError>) {
        let (this, only) = (self.clone(), only.map(str::to_owned));
        let ended = stream::iter(ids).map(move |id| {
            let (this, only) = (this.clone(), only.clone());
            async move { this.end_now(&id, only.as_deref()).await }
        });
        let mut ended = pin!(ended.buffer_unordered(CONCURRENCY));
        let (mut all, mut result) = (EndedSessions::default(), Ok(()));
        // A change of the ID that a failing store interrupted leaves two records of a session.
        let mut families = HashSet::new();
        while let Some(ended) = ended.next().await {
            match ended {
                Ok(Some(ended)) if families.insert(ended.data.family) => {
                    self.record_sign_out(&ended, origin);
                    all.count += 1;
                    all.user = ended.data.user;
                }
                Ok(_) => {}
                Err(error) => result = Err(error),
            }
        }
        (all, result)
    }

    fn record_end(&self, operator: &Operator, subject: Option<(&str, Option<User>)>, count: usize) {
        let trail = &self.revoker.trail;
        let pseudonym = |user: &User| trail.pseudonym(user.issuer(), user.subject());
        let subject = subject.map(|(subject, user)| match (user, &operator.user) {
            (Some(user), _) => pseudonym(&user),
            (None, Some(operator)) => trail.pseudonym(operator.issuer(), subject),
            (None, None) => trail.pseudonym("", subject),
        });
        let event = trail.event(EventKind::SessionsEnded);
        let event = event
            .with_origin(&operator.origin)
            .with_subject(subject)
            .with_operator(operator.user.as_ref().map(pseudonym))
            .with_sessions(count);
        trail.record(&event);
    }
}

fn parse_position(text: &str) -> Option<Position> {
    let (part, record) = text.split_at_checked(2)?;
    let [part] = unhex(part)?;
    let record = RecordId::from_bytes(RecordKind::Session, unhex(record)?);
    Some((part, Some(record)))
}
