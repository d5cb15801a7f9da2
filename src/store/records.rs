use std::{sync::Arc, time::Duration};

use serde::{Serialize, de::DeserializeOwned};
use time::OffsetDateTime;
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::{
    audit::{AuditTrail, EventKind},
    clock::Clock,
    metric::{self, StoreFailure},
    seal::{Place, Sealer},
    store::{OtenStore, RecordKey, StoreError},
};

/// A store that has not answered by then is down.
pub(super) const STORE_TIMEOUT: Duration = Duration::from_secs(2);

/// The kinds of records. A kind is part of a record's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecordKind {
    Session,
    LoginAttempt,
    Tokens,
    Lease,
    /// A set: where the sessions of a user are.
    SessionsOfSub,
    /// A set: where the sessions are that belong to one session at the provider.
    SessionsOfSid,
    /// That a logout token was used.
    LogoutToken,
    /// Put there and taken back, to see whether the store works.
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

    /// Whether records of this kind hold secrets and are sealed wherever there is a key.
    ///
    /// A session holds none: with what is in it nobody can sign in or act for the user, and where
    /// its tokens are is of no use without the key. **What the
    /// app puts into it and what the ID token says about the user lie there in plain**, so that a
    /// request of a signed-in user costs no decryption and a changed key signs nobody out.
    fn is_sealed(self) -> bool {
        match self {
            Self::Session
            | Self::Lease
            | Self::SessionsOfSub
            | Self::SessionsOfSid
            | Self::LogoutToken => false,
            Self::LoginAttempt | Self::Tokens | Self::Probe => true,
        }
    }
}

/// The store as this crate uses it: records of a kind, as JSON, each call bounded in time, each
/// record's end of life checked by our own clock. Each request has a clone: one count goes up and down.
#[derive(Clone, Debug)]
pub(crate) struct Records(Arc<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    store: Arc<dyn OtenStore>,
    clock: Clock,
    sealer: Option<Sealer>,
    trail: AuditTrail,
}

/// A record that was found.
#[derive(Debug)]
pub(crate) struct Found<T> {
    pub(crate) value: T,
    pub(crate) version: u64,
    pub(crate) expires_at: OffsetDateTime,
}

impl Records {
    pub(crate) fn new(store: Arc<dyn OtenStore>, clock: Clock) -> Self {
        Self(Arc::new(Inner {
            trail: AuditTrail::new(clock.clone(), metric::count_event),
            store,
            clock,
            sealer: None,
        }))
    }

    /// Seals from now on what holds secrets, and takes nothing unsealed for it.
    pub(crate) fn with_sealer(mut self, sealer: Option<Sealer>) -> Self {
        Arc::make_mut(&mut self.0).sealer = sealer;
        self
    }

    /// Tells of what is wrong in the store where the app hears of it.
    pub(crate) fn with_trail(mut self, trail: AuditTrail) -> Self {
        Arc::make_mut(&mut self.0).trail = trail;
        self
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// Puts a record under an id that was made for it: of 128 random bits or more, it is free.
    pub(crate) async fn insert_new(
        &self,
        kind: RecordKind,
        id: &str,
        value: &impl Serialize,
        expires_at: OffsetDateTime,
    ) -> Result<(), StoreError> {
        let key = RecordKey::new(kind.name(), id);
        let value = self.encode(kind, &key, value)?;
        if bounded(self.0.store.insert(&key, &value, expires_at)).await? {
            Ok(())
        } else {
            Err(StoreError::Occupied)
        }
    }

    /// Puts a value under an id that others may want, too. Answers whether it is there now.
    pub(crate) async fn insert_raw(
        &self,
        kind: RecordKind,
        id: &str,
        value: &[u8],
        expires_at: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        let key = RecordKey::new(kind.name(), id);
        bounded(self.0.store.insert(&key, value, expires_at)).await
    }

    /// Removes a value that was put with [`insert_raw`](Self::insert_raw), if it is there still.
    pub(crate) async fn remove_if(
        &self,
        kind: RecordKind,
        id: &str,
        value: &[u8],
    ) -> Result<bool, StoreError> {
        let key = RecordKey::new(kind.name(), id);
        bounded(self.0.store.remove_if(&key, value)).await
    }

    pub(crate) async fn load<T: DeserializeOwned>(
        &self,
        kind: RecordKind,
        id: &str,
    ) -> Result<Option<Found<T>>, StoreError> {
        let key = RecordKey::new(kind.name(), id);
        let Some(record) = bounded(self.0.store.load(&key)).await? else {
            return Ok(None);
        };
        if record.expires_at <= self.0.clock.now() {
            return Ok(None);
        }
        Ok(self.decode(kind, &key, &record.value).map(|value| Found {
            value,
            version: record.version,
            expires_at: record.expires_at,
        }))
    }

    pub(crate) async fn replace(
        &self,
        kind: RecordKind,
        id: &str,
        version: Option<u64>,
        value: &impl Serialize,
        expires_at: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        let key = RecordKey::new(kind.name(), id);
        let value = self.encode(kind, &key, value)?;
        bounded(self.0.store.replace(&key, version, &value, expires_at)).await
    }

    pub(crate) async fn touch(
        &self,
        kind: RecordKind,
        id: &str,
        expires_at: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        let key = RecordKey::new(kind.name(), id);
        bounded(self.0.store.touch(&key, expires_at)).await
    }

    /// Removes a record and hands it out, to one caller only.
    pub(crate) async fn take<T: DeserializeOwned>(
        &self,
        kind: RecordKind,
        id: &str,
    ) -> Result<Option<T>, StoreError> {
        let key = RecordKey::new(kind.name(), id);
        let taken = bounded(self.0.store.take(&key)).await?;
        Ok(taken.and_then(|value| self.decode(kind, &key, &value)))
    }

    /// Where a record is, as text for a set: it says nothing about the id.
    pub(crate) fn address(kind: RecordKind, id: &str) -> String {
        RecordKey::new(kind.name(), id).to_string()
    }

    /// Removes the record at an address and hands it out, to one caller only.
    pub(crate) async fn take_at<T: DeserializeOwned>(
        &self,
        kind: RecordKind,
        address: &str,
    ) -> Result<Option<T>, StoreError> {
        let Some(key) = RecordKey::from_hex(kind.name(), address) else {
            return Ok(None);
        };
        let taken = bounded(self.0.store.take(&key)).await?;
        Ok(taken.and_then(|value| self.decode(kind, &key, &value)))
    }

    pub(crate) async fn add_member(
        &self,
        kind: RecordKind,
        id: &str,
        member: &str,
        expires_at: OffsetDateTime,
    ) -> Result<(), StoreError> {
        let set = RecordKey::new(kind.name(), id);
        bounded(self.0.store.add_member(&set, member, expires_at)).await
    }

    pub(crate) async fn members(
        &self,
        kind: RecordKind,
        id: &str,
    ) -> Result<Vec<String>, StoreError> {
        let set = RecordKey::new(kind.name(), id);
        bounded(self.0.store.members(&set)).await
    }

    pub(crate) async fn remove_member(
        &self,
        kind: RecordKind,
        id: &str,
        member: &str,
    ) -> Result<(), StoreError> {
        let set = RecordKey::new(kind.name(), id);
        bounded(self.0.store.remove_member(&set, member)).await
    }

    /// The record as it lies in the store.
    pub(super) async fn load_raw(
        &self,
        kind: RecordKind,
        id: &str,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let key = RecordKey::new(kind.name(), id);
        let found = bounded(self.0.store.load(&key)).await?;
        Ok(found.map(|record| record.value))
    }

    /// Removes a record, if there is one.
    pub(crate) async fn remove(&self, kind: RecordKind, id: &str) -> Result<(), StoreError> {
        let key = RecordKey::new(kind.name(), id);
        bounded(self.0.store.take(&key)).await.map(drop)
    }

    fn encode(
        &self,
        kind: RecordKind,
        key: &RecordKey,
        value: &impl Serialize,
    ) -> Result<Vec<u8>, StoreError> {
        let plain = serde_json::to_vec(value).map_err(|error| StoreError::Backend(error.into()))?;
        Ok(match self.sealer_of(kind) {
            Some(sealer) => sealer.seal(place(key), &Zeroizing::new(plain)),
            None => plain,
        })
    }

    /// A record that cannot be opened or read counts as none: it is of another version of this
    /// crate, or somebody wrote into the store.
    fn decode<T: DeserializeOwned>(
        &self,
        kind: RecordKind,
        key: &RecordKey,
        value: &[u8],
    ) -> Option<T> {
        let Some(sealer) = self.sealer_of(kind) else {
            return read(kind, value);
        };
        match sealer.open(place(key), value) {
            Ok(plain) => read(kind, &plain),
            Err(cause) => {
                let event = self.0.trail.event(EventKind::UnsealedRecord);
                let event = event
                    .with_record_kind(kind.name())
                    .with_cause(cause.to_string());
                self.0.trail.record(&event);
                None
            }
        }
    }

    fn sealer_of(&self, kind: RecordKind) -> Option<&Sealer> {
        self.0.sealer.as_ref().filter(|_| kind.is_sealed())
    }
}

fn place(key: &RecordKey) -> Place<'_> {
    Place {
        kind: key.kind(),
        id: key.as_bytes(),
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

fn read<T: DeserializeOwned>(kind: RecordKind, value: &[u8]) -> Option<T> {
    let decoded = serde_json::from_slice(value).ok();
    if decoded.is_none() {
        tracing::warn!(
            kind = kind.name(),
            "a record in the session store cannot be read; it counts as absent"
        );
    }
    decoded
}
