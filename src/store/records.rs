use std::{sync::Arc, time::Duration};

use serde::{Serialize, de::DeserializeOwned};
use time::OffsetDateTime;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::{Bytes, OtenStore, Realm, RecordKey, StoreError};
use crate::{
    audit::{AuditTrail, EventKind, TARGET},
    clock::Clock,
    metric::{self, StoreFailure},
    seal::{Sealer, wipe},
    secret::Secret,
};

/// The time limit of each operation.
const STORE_TIMEOUT: Duration = Duration::from_secs(2);

/// The expiry of a probe record, which is removed earlier unless the process exits.
const PROBE_LIFETIME: Duration = Duration::from_secs(60);

/// The kinds of records. The kind of a record is part of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecordKind {
    Session,
    LoginAttempt,
    Tokens,
    /// A lease on the refresh of tokens.
    Lease,
    /// A set with the sessions of a user.
    SessionsOfSub,
    /// A set with the sessions that belong to one session at the provider.
    SessionsOfSid,
    /// A logout token that was used.
    LogoutToken,
    /// A record of [`Records::probe`].
    Probe,
}

impl RecordKind {
    fn name(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::LoginAttempt => "login_attempt",
            Self::Tokens => "tokens",
            Self::Lease => "lease",
            Self::SessionsOfSub => "sessions_of_sub",
            Self::SessionsOfSid => "sessions_of_sid",
            Self::LogoutToken => "logout_token",
            Self::Probe => "probe",
        }
    }

    /// Returns whether records of this kind are sealed if there is a key. The others contain a random
    /// value, a constant, or keys of records.
    fn is_sealed(self) -> bool {
        match self {
            Self::Session | Self::LoginAttempt | Self::Tokens | Self::Probe => true,
            Self::Lease | Self::SessionsOfSub | Self::SessionsOfSid | Self::LogoutToken => false,
        }
    }
}

/// The kind and key of a record or a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordId {
    kind: RecordKind,
    key: RecordKey,
}

impl RecordId {
    /// Parses the text of [`address`](Self::address).
    pub(crate) fn from_address(kind: RecordKind, address: &str) -> Option<Self> {
        let key = RecordKey::from_hex(kind.name(), address)?;
        Some(Self { kind, key })
    }

    /// Returns the key as text, for a member of a set. It does not reveal the ID.
    pub(crate) fn address(&self) -> String {
        self.key.to_string()
    }
}

/// The store as this crate uses it: records are JSON, sealed in an external store. Every operation is
/// limited in time.
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
    pub(crate) expires_at: OffsetDateTime,
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
    pub(crate) fn id(&self, kind: RecordKind, id: &str) -> RecordId {
        let key = RecordKey::in_realm(&self.0.realm, kind.name(), id);
        RecordId { kind, key }
    }

    /// Inserts a record. `id` must be new: at least 128 random bits.
    pub(crate) async fn insert_new(
        &self,
        id: &RecordId,
        value: &impl Serialize,
        expires_at: OffsetDateTime,
    ) -> Result<(), StoreError> {
        let value = self.encode(id, value)?;
        if self.insert_raw(id, &value, expires_at).await? {
            Ok(())
        } else {
            Err(StoreError::Occupied)
        }
    }

    /// Inserts a value unless a record exists, and returns whether it was inserted.
    pub(crate) async fn insert_raw(
        &self,
        id: &RecordId,
        value: &[u8],
        expires_at: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        bounded(self.0.store.insert(&id.key, value, self.ttl(expires_at))).await
    }

    /// Removes a value that was inserted with [`insert_raw`](Self::insert_raw), if it is unchanged.
    pub(crate) async fn remove_if(&self, id: &RecordId, value: &[u8]) -> Result<bool, StoreError> {
        bounded(self.0.store.remove_if(&id.key, value)).await
    }

    pub(crate) async fn load<T: DeserializeOwned>(
        &self,
        id: &RecordId,
    ) -> Result<Option<LoadedRecord<T>>, StoreError> {
        let Some(record) = bounded(self.0.store.load(&id.key)).await? else {
            return Ok(None);
        };
        let ttl = time::Duration::try_from(record.ttl).unwrap_or(time::Duration::MAX);
        let expires_at = self.0.clock.now().saturating_add(ttl);
        Ok(self.decode(id, record.value).map(|value| LoadedRecord {
            value,
            version: record.version,
            expires_at,
        }))
    }

    pub(crate) async fn replace(
        &self,
        id: &RecordId,
        version: Option<u64>,
        value: &impl Serialize,
        expires_at: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        let value = self.encode(id, value)?;
        let ttl = self.ttl(expires_at);
        bounded(self.0.store.replace(&id.key, version, &value, ttl)).await
    }

    pub(crate) async fn touch(
        &self,
        id: &RecordId,
        expires_at: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        bounded(self.0.store.touch(&id.key, self.ttl(expires_at))).await
    }

    /// Removes a record and returns it. Of concurrent calls, only one receives the record.
    pub(crate) async fn take<T: DeserializeOwned>(
        &self,
        id: &RecordId,
    ) -> Result<Option<T>, StoreError> {
        let taken = bounded(self.0.store.take(&id.key)).await?;
        Ok(taken.and_then(|value| self.decode(id, value)))
    }

    /// Removes a record if it exists.
    pub(crate) async fn remove(&self, id: &RecordId) -> Result<(), StoreError> {
        bounded(self.0.store.take(&id.key)).await.map(drop)
    }

    pub(crate) async fn add_member(
        &self,
        set: &RecordId,
        member: &str,
        expires_at: OffsetDateTime,
    ) -> Result<(), StoreError> {
        let (ttl, limit) = (self.ttl(expires_at), usize::MAX);
        let added = self.0.store.add_member(&set.key, member, ttl, limit);
        bounded(added).await.map(drop)
    }

    pub(crate) async fn members(&self, set: &RecordId) -> Result<Vec<String>, StoreError> {
        bounded(self.0.store.members(&set.key)).await
    }

    pub(crate) async fn remove_member(
        &self,
        set: &RecordId,
        member: &str,
    ) -> Result<(), StoreError> {
        bounded(self.0.store.remove_member(&set.key, member)).await
    }

    /// Writes, reads and removes a record, within the time limit of one operation.
    pub(crate) async fn probe(&self) -> Result<RecordEncoding, ProbeError> {
        timeout(STORE_TIMEOUT, self.write_and_remove())
            .await
            .unwrap_or(Err(ProbeError::Store(StoreError::TimedOut)))
    }

    async fn write_and_remove(&self) -> Result<RecordEncoding, ProbeError> {
        let id = self.id(RecordKind::Probe, Secret::random().expose());
        let value = Secret::random();
        let expires_at = self.clock().now() + PROBE_LIFETIME;
        self.insert_new(&id, &value.expose(), expires_at).await?;
        let read = self.read_probe(&id, value.expose()).await;
        self.remove(&id).await?;
        let encoding = read?;
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
        let loaded = bounded(self.0.store.load(&id.key)).await?;
        Ok(loaded.map(|record| record.value))
    }

    fn encode(&self, id: &RecordId, value: &impl Serialize) -> Result<Vec<u8>, StoreError> {
        let plain = serde_json::to_vec(value).map_err(StoreError::backend)?;
        Ok(match self.sealer(id.kind) {
            Some(sealer) => sealer.seal(id.key.as_bytes(), &Zeroizing::new(plain)),
            None => plain,
        })
    }

    /// Returns `None` for a record that cannot be opened or parsed: another version of this crate
    /// wrote it, or it was tampered with.
    fn decode<T: DeserializeOwned>(&self, id: &RecordId, value: Bytes) -> Option<T> {
        let Some(sealer) = self.sealer(id.kind) else {
            return parse(id.kind, &value);
        };
        match sealer.open(id.key.as_bytes(), value) {
            Ok(plain) => {
                let parsed = parse(id.kind, &plain);
                wipe(plain);
                parsed
            }
            Err(cause) => {
                let event = self.0.trail.event(EventKind::UnsealedRecord);
                let event = event
                    .with_record_kind(id.kind.name())
                    .with_cause(cause.to_string());
                self.0.trail.record(&event);
                None
            }
        }
    }

    fn ttl(&self, expires_at: OffsetDateTime) -> Duration {
        let ttl = expires_at - self.0.clock.now();
        ttl.try_into().unwrap_or_default()
    }

    fn sealer(&self, kind: RecordKind) -> Option<&Sealer> {
        self.0.sealer.as_ref().filter(|_| kind.is_sealed())
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

fn parse<T: DeserializeOwned>(kind: RecordKind, value: &[u8]) -> Option<T> {
    let parsed = serde_json::from_slice(value).ok();
    if parsed.is_none() {
        tracing::warn!(
            target: TARGET,
            kind = kind.name(),
            "ignored a record in the session store that cannot be parsed"
        );
    }
    parsed
}
