use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use postcard::ser_flavors::Size;
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::{OtenStore, Realm, RecordKey, StoreError};
use crate::{
    audit::{AuditTrail, EventKind, TARGET},
    clock::Clock,
    metric::{self, StoreFailure},
    seal::{Sealer, wipe},
    secret::Secret,
};

/// The time limit of each operation.
const STORE_TIMEOUT: Duration = Duration::from_secs(2);

/// The lifetime of a probe record, which is removed earlier unless the process exits.
const PROBE_LIFETIME: Duration = Duration::from_secs(60);

/// The number of times that [`Records::put`] tries to insert and to replace a record.
const PUT_ATTEMPTS: usize = 3;

/// The kinds of records. The kind of a record is part of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecordKind {
    Session,
    LoginAttempt,
    /// The sign-in of a native app that its user has not confirmed.
    NativeSignIn,
    /// The code of a native app.
    NativeCode,
    /// A form that a sign-in interrupts.
    KeptForm,
    /// A set with the kept forms of a user.
    FormsOfSub,
    Tokens,
    /// A lease on the refresh of tokens.
    Lease,
    /// A set with the sessions of a user.
    SessionsOfSub,
    /// A set with the sessions that belong to one session at the provider.
    SessionsOfSid,
    /// A set with a part of the sessions of all users.
    SessionsOfSite,
    /// Not a record: the hash by which a session is named.
    SessionHandle,
    /// A logout token that was used.
    LogoutToken,
    /// A user for whom a logout token arrived recently.
    LoggedOutSub,
    /// A session at the provider for which a logout token arrived recently.
    LoggedOutSid,
    /// All sessions were ended recently.
    LoggedOutSite,
    /// A random value that changes when a logout token or an operator ends sessions.
    LogoutEpoch,
    /// A record of [`Records::probe`].
    Probe,
}

impl RecordKind {
    fn name(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::LoginAttempt => "login_attempt",
            Self::NativeSignIn => "native_sign_in",
            Self::NativeCode => "native_code",
            Self::KeptForm => "kept_form",
            Self::FormsOfSub => "forms_of_sub",
            Self::Tokens => "tokens",
            Self::Lease => "lease",
            Self::SessionsOfSub => "sessions_of_sub",
            Self::SessionsOfSid => "sessions_of_sid",
            Self::SessionsOfSite => "sessions_of_site",
            Self::SessionHandle => "session_handle",
            Self::LogoutToken => "logout_token",
            Self::LoggedOutSub => "logged_out_sub",
            Self::LoggedOutSid => "logged_out_sid",
            Self::LoggedOutSite => "logged_out_site",
            Self::LogoutEpoch => "logout_epoch",
            Self::Probe => "probe",
        }
    }
}

/// The address of a record or a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RecordId(RecordKey);

impl RecordId {
    /// Returns the ID of the record that [`as_bytes`](Self::as_bytes) identifies.
    pub(crate) fn from_bytes(kind: RecordKind, bytes: [u8; 32]) -> Self {
        Self(RecordKey::from_hash(kind.name(), bytes))
    }

    /// Returns a hash that does not reveal the ID.
    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// Counts the record towards the bound of a group, see [`RecordKey::group`].
    pub(crate) fn in_group(self, group: &'static str) -> Self {
        Self(self.0.in_group(group))
    }
}

/// The store as this crate uses it: records in postcard, sealed in an external store. Every operation
/// is limited in time.
#[derive(Clone, Debug)]
pub(crate) struct Records(Arc<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    store: Arc<dyn OtenStore>,
    clock: Clock,
    realm: Realm,
    sealer: Option<Sealer>,
    trail: AuditTrail,
}

/// A record that was loaded.
#[derive(Debug)]
pub(crate) struct LoadedRecord<T> {
    pub(crate) value: T,
    pub(crate) version: u64,
    /// The remaining lifetime.
    pub(crate) ttl: Duration,
}

/// Whether the store contains records in plain text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecordEncoding {
    Sealed,
    Plain,
}

/// Error returned when a store does not work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProbeError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the store did not return the value that was written")]
    NotStored,
    #[error("the store returned a record that was removed")]
    NotRemoved,
}

impl Records {
    pub(crate) fn new(store: Arc<dyn OtenStore>, clock: Clock) -> Self {
        Self(Arc::new(Inner {
            trail: AuditTrail::new(clock.clone(), metric::count_event),
            store,
            clock,
            realm: Realm::default(),
            sealer: None,
        }))
    }

    /// Sets the realm that all records belong to.
    pub(crate) fn with_realm(mut self, realm: Realm) -> Self {
        Arc::make_mut(&mut self.0).realm = realm;
        self
    }

    /// Seals records, and rejects records that are not sealed.
    pub(crate) fn with_sealer(mut self, sealer: Option<Sealer>) -> Self {
        Arc::make_mut(&mut self.0).sealer = sealer;
        self
    }

    /// Records events about records that cannot be opened in `trail`.
    pub(crate) fn with_trail(mut self, trail: AuditTrail) -> Self {
        Arc::make_mut(&mut self.0).trail = trail;
        self
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// Returns where the record of a kind with this ID is stored.
    pub(crate) fn id(&self, kind: RecordKind, id: impl AsRef<[u8]>) -> RecordId {
        RecordId(RecordKey::in_realm(&self.0.realm, kind.name(), id.as_ref()))
    }

    /// Returns where a part of a large set is stored. The last byte of its key is the part, by which
    /// the memory store spreads keys evenly.
    pub(crate) fn part(&self, kind: RecordKind, part: u8) -> RecordId {
        let mut hash = *self.id(kind, [part]).as_bytes();
        hash[31] = part;
        RecordId::from_bytes(kind, hash)
    }

    /// Inserts a record. `id` must be new: at least 128 random bits.
    pub(crate) async fn insert_new(
        &self,
        id: &RecordId,
        value: &impl Serialize,
        ttl: Duration,
    ) -> Result<(), StoreError> {
        if self.insert(id, value, ttl).await? {
            Ok(())
        } else {
            Err(StoreError::Occupied)
        }
    }

    /// Inserts a record unless one exists, and returns whether it was inserted.
    pub(crate) async fn insert(
        &self,
        id: &RecordId,
        value: &impl Serialize,
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        let value = self.encode(id, value)?;
        self.insert_encoded(id, &value, ttl).await
    }

    /// Inserts what [`encode`](Self::encode) returned, unless a record exists.
    pub(crate) async fn insert_encoded(
        &self,
        id: &RecordId,
        value: &[u8],
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        bounded(self.0.store.insert(&id.0, value, ttl)).await
    }

    /// Inserts or replaces a record.
    pub(crate) async fn put(
        &self,
        id: &RecordId,
        value: &impl Serialize,
        ttl: Duration,
    ) -> Result<(), StoreError> {
        let value = self.encode(id, value)?;
        // The record may appear or expire between the two operations.
        for _ in 0..PUT_ATTEMPTS {
            if self.insert_encoded(id, &value, ttl).await?
                || bounded(self.0.store.replace(&id.0, None, &value, ttl)).await?
            {
                return Ok(());
            }
        }
        Err(StoreError::Occupied)
    }

    /// Removes a record that holds what [`encode`](Self::encode) returned.
    pub(crate) async fn remove_if(&self, id: &RecordId, value: &[u8]) -> Result<bool, StoreError> {
        bounded(self.0.store.remove_if(&id.0, value)).await
    }

    pub(crate) async fn load<T: DeserializeOwned>(
        &self,
        id: &RecordId,
    ) -> Result<Option<LoadedRecord<T>>, StoreError> {
        self.load_with(id, parse).await
    }

    /// Loads a record and parses its plain bytes with `parse`, which may keep parts of them.
    pub(crate) async fn load_with<T>(
        &self,
        id: &RecordId,
        parse: impl FnOnce(&Bytes) -> Option<T>,
    ) -> Result<Option<LoadedRecord<T>>, StoreError> {
        let Some(record) = bounded(self.0.store.load(&id.0)).await? else {
            return Ok(None);
        };
        let value = self.decode(id, record.value, parse);
        Ok(value.map(|value| LoadedRecord {
            value,
            version: record.version,
            ttl: record.ttl,
        }))
    }

    pub(crate) async fn replace(
        &self,
        id: &RecordId,
        version: Option<u64>,
        value: &impl Serialize,
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        let value = self.encode(id, value)?;
        bounded(self.0.store.replace(&id.0, version, &value, ttl)).await
    }

    pub(crate) async fn touch(&self, id: &RecordId, ttl: Duration) -> Result<bool, StoreError> {
        bounded(self.0.store.touch(&id.0, ttl)).await
    }

    /// Removes a record and returns it. Of concurrent calls, only one receives the record.
    pub(crate) async fn take<T: DeserializeOwned>(
        &self,
        id: &RecordId,
    ) -> Result<Option<T>, StoreError> {
        self.take_with(id, parse).await
    }

    /// Removes a record and parses it like [`load_with`](Self::load_with).
    pub(crate) async fn take_with<T>(
        &self,
        id: &RecordId,
        parse: impl FnOnce(&Bytes) -> Option<T>,
    ) -> Result<Option<T>, StoreError> {
        let taken = bounded(self.0.store.take(&id.0)).await?;
        Ok(taken.and_then(|value| self.decode(id, value, parse)))
    }

    /// Removes a record if it exists.
    pub(crate) async fn remove(&self, id: &RecordId) -> Result<(), StoreError> {
        bounded(self.0.store.take(&id.0)).await.map(drop)
    }

    /// Adds the ID of a record to a set. If the set has more than `limit` members then, returns some of
    /// those that expire first.
    pub(crate) async fn add_member(
        &self,
        set: &RecordId,
        member: &RecordId,
        ttl: Duration,
        limit: usize,
    ) -> Result<Vec<RecordId>, StoreError> {
        let text = member.0.to_string();
        let excess = bounded(self.0.store.add_member(&set.0, &text, ttl, limit)).await?;
        Ok(parse_members(member.0.kind(), &excess))
    }

    /// Returns the IDs of records of a kind in a set.
    pub(crate) async fn members(
        &self,
        set: &RecordId,
        kind: RecordKind,
    ) -> Result<Vec<RecordId>, StoreError> {
        let members = bounded(self.0.store.members(&set.0)).await?;
        Ok(parse_members(kind.name(), &members))
    }

    pub(crate) async fn remove_member(
        &self,
        set: &RecordId,
        member: &RecordId,
    ) -> Result<(), StoreError> {
        let member = member.0.to_string();
        bounded(self.0.store.remove_member(&set.0, &member)).await
    }

    /// Writes, reads and removes a record and a member of a set, within the time limit of one operation.
    pub(crate) async fn probe(&self) -> Result<RecordEncoding, ProbeError> {
        timeout(STORE_TIMEOUT, self.write_and_remove())
            .await
            .unwrap_or(Err(ProbeError::Store(StoreError::TimedOut)))
    }

    async fn write_and_remove(&self) -> Result<RecordEncoding, ProbeError> {
        let id = self.id(RecordKind::Probe, Secret::random().expose());
        let value = Secret::random();
        self.insert_new(&id, &value.expose(), PROBE_LIFETIME)
            .await?;
        let read = self.read_probe(&id, value.expose()).await;
        self.remove(&id).await?;
        let encoding = read?;
        self.remove_member(&id, &id).await?;
        match self.load_raw(&id).await? {
            None => Ok(encoding),
            Some(_) => Err(ProbeError::NotRemoved),
        }
    }

    async fn read_probe(&self, id: &RecordId, value: &str) -> Result<RecordEncoding, ProbeError> {
        let loaded = self.load::<String>(id).await?;
        if loaded.is_none_or(|loaded| loaded.value != value) {
            return Err(ProbeError::NotStored);
        }
        self.add_member(id, id, PROBE_LIFETIME, 1).await?;
        if self.members(id, RecordKind::Probe).await? != [*id] {
            return Err(ProbeError::NotStored);
        }
        let raw = self.load_raw(id).await?.ok_or(ProbeError::NotStored)?;
        let is_plain = raw
            .windows(value.len())
            .any(|part| part == value.as_bytes());
        Ok(if is_plain {
            RecordEncoding::Plain
        } else {
            RecordEncoding::Sealed
        })
    }

    async fn load_raw(&self, id: &RecordId) -> Result<Option<Bytes>, StoreError> {
        let loaded = bounded(self.0.store.load(&id.0)).await?;
        Ok(loaded.map(|record| record.value))
    }

    /// Returns the stored form of a value, which differs each time if it is sealed.
    pub(crate) fn encode(
        &self,
        id: &RecordId,
        value: &impl Serialize,
    ) -> Result<Vec<u8>, StoreError> {
        // A buffer that grows leaves copies of the plaintext in memory.
        let size = postcard::serialize_with_flavor(value, Size::default());
        let buffer = Vec::with_capacity(size.map_err(StoreError::backend)?);
        let plain = postcard::to_extend(value, buffer).map_err(StoreError::backend)?;
        Ok(match &self.0.sealer {
            Some(sealer) => sealer.seal(id.as_bytes(), &Zeroizing::new(plain)),
            None => plain,
        })
    }

    /// Returns `None` for a record that cannot be opened or parsed: another version of this crate
    /// wrote it, or it was modified.
    fn decode<T>(
        &self,
        id: &RecordId,
        value: Bytes,
        parse: impl FnOnce(&Bytes) -> Option<T>,
    ) -> Option<T> {
        let kind = id.0.kind();
        let plain = match &self.0.sealer {
            None => value,
            Some(sealer) => match sealer.open(id.as_bytes(), value) {
                Ok(plain) => plain,
                Err(cause) => {
                    let event = self.0.trail.event(EventKind::UnsealedRecord);
                    let event = event.with_record_kind(kind).with_cause(cause.to_string());
                    self.0.trail.record(&event);
                    return None;
                }
            },
        };
        let parsed = parse(&plain);
        // Keeps what the value refers to.
        wipe(plain);
        if parsed.is_none() {
            tracing::warn!(
                target: TARGET,
                kind,
                "ignored a record in the session store that cannot be parsed"
            );
        }
        parsed
    }
}

async fn bounded<T>(
    operation: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let outcome = timeout(STORE_TIMEOUT, operation)
        .await
        .unwrap_or(Err(StoreError::TimedOut));
    if let Err(error) = &outcome {
        metric::store_failed(match error {
            StoreError::TimedOut => StoreFailure::TimedOut,
            _ => StoreFailure::Error,
        });
    }
    outcome
}

fn parse<T: DeserializeOwned>(plain: &Bytes) -> Option<T> {
    postcard::from_bytes(plain).ok()
}

fn parse_members(kind: &'static str, members: &[String]) -> Vec<RecordId> {
    let parsed = members
        .iter()
        .filter_map(|member| RecordKey::from_hex(kind, member));
    parsed.map(RecordId).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;

    #[test]
    fn the_buffer_of_a_record_does_not_grow() {
        let records = Records::new(Arc::new(MemoryStore::default()), Clock::system());
        let id = records.id(RecordKind::Tokens, "id");
        for size in [0, 100, 100_000] {
            let value = vec![7_u8; size];
            let encoded = records.encode(&id, &(value, "text", Some(5))).unwrap();
            assert!(encoded.len() > size);
            assert_eq!(encoded.capacity(), encoded.len());
        }
    }
}
