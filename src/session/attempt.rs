use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{ReturnTo, native::NativeRequest};
use crate::{
    protocol::CodeVerifier,
    secret::{Secret, exposed},
    store::{LoadedRecord, RecordId, RecordKind, Records, StoreError},
};

/// How long the user can take to sign in at the provider. The return path of a used attempt is kept
/// for the same time.
pub(crate) const ATTEMPT_LIFETIME: Duration = Duration::from_secs(600);

/// A login attempt, stored on the server from the redirect to the provider until the callback.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct LoginAttempt {
    #[serde(with = "exposed")]
    pub(crate) state: Secret,
    #[serde(with = "exposed")]
    pub(crate) nonce: Secret,
    pub(crate) code_verifier: CodeVerifier,
    pub(crate) return_to: Option<ReturnTo>,
    /// The maximum time from the user's authentication to the start of the attempt, in seconds.
    pub(crate) max_age: Option<u64>,
    /// Whether the provider was asked to show no page, for this sign-in alone.
    pub(crate) is_silent: bool,
    /// The app that signs its user in, if it is not this site.
    pub(crate) native: Option<NativeRequest>,
    /// Set if a page requires that the user signs in again.
    pub(crate) fresh: Option<FreshLogin>,
}

/// The requirement of a page for a recent sign-in.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct FreshLogin {
    /// The maximum time since the user's authentication, in seconds.
    pub(crate) max_age: u64,
    /// The user who requested the page. `None` for a guest.
    pub(crate) subject: Option<String>,
}

impl LoginAttempt {
    pub(crate) fn new(return_to: Option<ReturnTo>) -> Self {
        let [state, nonce, code_verifier] = Secret::random_array();
        Self {
            state,
            nonce,
            code_verifier: code_verifier.into(),
            return_to,
            max_age: None,
            is_silent: false,
            native: None,
            fresh: None,
        }
    }

    /// Returns what remains of the attempt once it is used.
    pub(crate) fn used(&self) -> UsedAttempt {
        UsedAttempt {
            return_to: self.return_to.clone(),
            is_silent: self.is_silent,
            native: self.native.clone(),
            subject: self.fresh.as_ref().and_then(|fresh| fresh.subject.clone()),
        }
    }
}

/// The record of an attempt. Once the attempt is used, only what its browser needs remains.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Record {
    Open(LoginAttempt),
    Used(UsedAttempt),
}

/// What remains of a used attempt.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct UsedAttempt {
    pub(crate) return_to: Option<ReturnTo>,
    pub(crate) is_silent: bool,
    pub(crate) native: Option<NativeRequest>,
    /// The user who requested the page, if the user had to sign in again.
    pub(crate) subject: Option<String>,
}

/// The state of a login attempt when its callback arrives.
#[derive(Debug)]
pub(crate) enum AttemptState {
    /// The attempt was open. Only this caller received it.
    Taken {
        attempt: Box<LoginAttempt>,
        /// The time since it was opened.
        age: Duration,
    },
    /// The attempt was used before.
    Used(UsedAttempt),
    /// The attempt never existed, has expired or belongs to another browser.
    Unknown,
}

/// The login attempts in the store. Only the browser's cookie contains their IDs.
#[derive(Clone, Debug)]
pub(crate) struct LoginAttempts(Records);

impl LoginAttempts {
    pub(crate) fn new(records: Records) -> Self {
        Self(records)
    }

    /// Stores a new attempt and returns its ID.
    pub(crate) async fn open(&self, attempt: LoginAttempt) -> Result<Secret, StoreError> {
        let id = Secret::random();
        let record = Record::Open(attempt);
        self.0
            .insert_new(&record_id(&self.0, &id), &record, ATTEMPT_LIFETIME)
            .await?;
        Ok(id)
    }

    /// Marks an open attempt with this `state` as used and returns it. Of concurrent calls, only one
    /// receives it.
    pub(crate) async fn take(
        &self,
        id: &Secret,
        state: &Secret,
    ) -> Result<AttemptState, StoreError> {
        let id = record_id(&self.0, id);
        let Some(LoadedRecord {
            value,
            version,
            ttl,
        }) = self.0.load(&id).await?
        else {
            return Ok(AttemptState::Unknown);
        };
        let attempt = match value {
            Record::Used(used) => return Ok(AttemptState::Used(used)),
            Record::Open(attempt) if attempt.state == *state => attempt,
            Record::Open(_) => return Ok(AttemptState::Unknown),
        };
        let used = attempt.used();
        let record = Record::Used(used.clone());
        let is_first = self
            .0
            .replace(&id, Some(version), &record, ATTEMPT_LIFETIME)
            .await?;
        Ok(if is_first {
            AttemptState::Taken {
                attempt: Box::new(attempt),
                age: ATTEMPT_LIFETIME.saturating_sub(ttl),
            }
        } else {
            AttemptState::Used(used)
        })
    }

    /// Removes an attempt, open or used.
    pub(crate) async fn remove(&self, id: &Secret) -> Result<(), StoreError> {
        self.0.remove(&record_id(&self.0, id)).await
    }
}

fn record_id(records: &Records, id: &Secret) -> RecordId {
    records.id(RecordKind::LoginAttempt, id.expose())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{clock::Clock, store::MemoryStore};

    fn attempts() -> (LoginAttempts, Clock) {
        let clock = Clock::manual();
        let store = MemoryStore::default().with_clock(clock.clone());
        let records = Records::new(Arc::new(store), clock.clone());
        (LoginAttempts::new(records), clock)
    }

    #[tokio::test]
    async fn s1_an_attempt_can_be_taken_once() {
        let (attempts, _) = attempts();
        let attempt = LoginAttempt::new(ReturnTo::parse("/a"));
        let state = attempt.state.clone();
        let id = attempts.open(attempt).await.unwrap();
        let (a, b) = tokio::join!(attempts.take(&id, &state), attempts.take(&id, &state));
        let taken = [a.unwrap(), b.unwrap()]
            .iter()
            .filter(|taken| matches!(taken, AttemptState::Taken { .. }))
            .count();
        assert_eq!(taken, 1);
        let again = attempts.take(&id, &state).await.unwrap();
        assert!(
            matches!(again, AttemptState::Used(UsedAttempt { return_to: Some(path), .. }) if path.as_str() == "/a")
        );
    }

    #[tokio::test]
    async fn s1_an_attempt_is_not_taken_with_another_state() {
        let (attempts, _) = attempts();
        let attempt = LoginAttempt::new(None);
        let state = attempt.state.clone();
        let id = attempts.open(attempt).await.unwrap();
        let foreign = attempts.take(&id, &Secret::random()).await.unwrap();
        assert!(matches!(foreign, AttemptState::Unknown));
        assert!(matches!(
            attempts.take(&id, &state).await.unwrap(),
            AttemptState::Taken { .. }
        ));
    }

    #[tokio::test]
    async fn s1_an_attempt_expires_after_ten_minutes() {
        let (attempts, clock) = attempts();
        let attempt = LoginAttempt::new(None);
        let state = attempt.state.clone();
        let id = attempts.open(attempt).await.unwrap();
        clock.advance(Duration::from_secs(600));
        assert!(matches!(
            attempts.take(&id, &state).await.unwrap(),
            AttemptState::Unknown
        ));
    }
}
