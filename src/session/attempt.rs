use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ReturnTo;
use crate::{
    protocol::CodeVerifier,
    secret::{Secret, exposed},
    store::{Found, RecordKind, Records, StoreError},
};

/// How long a person has to sign in at the provider; then, how long the page they wanted is known.
pub(crate) const LIFETIME: Duration = Duration::from_secs(600);

/// What is kept, on the server only, from the moment a browser is sent away to sign in until it
/// comes back.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct LoginAttempt {
    #[serde(with = "exposed")]
    pub(crate) state: Secret,
    #[serde(with = "exposed")]
    pub(crate) nonce: Secret,
    pub(crate) code_verifier: CodeVerifier,
    pub(crate) return_to: Option<ReturnTo>,
}

impl LoginAttempt {
    /// A new attempt. `fresh_start` marks the one that is made by itself after a callback that
    /// could not be used: its `state` says so, and it is not followed by another.
    pub(crate) fn new(return_to: Option<ReturnTo>, fresh_start: bool) -> Self {
        let marker = if fresh_start { FRESH_START } else { FIRST };
        Self {
            state: format!("{marker}{}", Secret::random().expose()).into(),
            nonce: Secret::random(),
            code_verifier: CodeVerifier::random(),
            return_to,
        }
    }
}

const FIRST: char = '1';
const FRESH_START: char = '2';

/// Whether a `state`, ours or not, is that of a fresh start.
pub(crate) fn is_fresh_start(state: &Secret) -> bool {
    state.expose().starts_with(FRESH_START)
}

/// The record: an attempt, and once it was used only the page it wanted.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Record {
    Open(LoginAttempt),
    Used { return_to: Option<ReturnTo> },
}

/// What became of an attempt a browser came back from.
#[derive(Debug)]
pub(crate) enum AttemptState {
    /// It was open, and now it is used: this caller and no other has it.
    Taken(Box<LoginAttempt>),
    /// It was used before.
    Used { return_to: Option<ReturnTo> },
    /// There is none: never was, not this browser's, or too long ago.
    Unknown,
}

/// The login attempts in the store, under ids that only the browser's cookie knows.
#[derive(Clone, Debug)]
pub(crate) struct LoginAttempts(Records);

impl LoginAttempts {
    pub(crate) fn new(records: Records) -> Self {
        Self(records)
    }

    /// Keeps a new attempt; the answer is its id.
    pub(crate) async fn open(&self, attempt: LoginAttempt) -> Result<Secret, StoreError> {
        let record = Record::Open(attempt);
        let expires_at = self.0.clock().now() + LIFETIME;
        let id = Secret::random();
        self.0
            .insert_new(RecordKind::LoginAttempt, id.expose(), &record, expires_at)
            .await?;
        Ok(id)
    }

    /// Takes an attempt, if it is open and its state is `state`. Of two who try, one gets it.
    pub(crate) async fn take(
        &self,
        id: &Secret,
        state: &Secret,
    ) -> Result<AttemptState, StoreError> {
        let Some(found) = self.load(id).await? else {
            return Ok(AttemptState::Unknown);
        };
        let attempt = match found.value {
            Record::Used { return_to } => return Ok(AttemptState::Used { return_to }),
            Record::Open(attempt) if attempt.state == *state => attempt,
            Record::Open(_) => return Ok(AttemptState::Unknown),
        };
        let return_to = attempt.return_to.clone();
        let used = Record::Used {
            return_to: return_to.clone(),
        };
        let expires_at = self.0.clock().now() + LIFETIME;
        let first = self
            .0
            .replace(
                RecordKind::LoginAttempt,
                id.expose(),
                Some(found.version),
                &used,
                expires_at,
            )
            .await?;
        Ok(if first {
            AttemptState::Taken(Box::new(attempt))
        } else {
            AttemptState::Used { return_to }
        })
    }

    /// Forgets an attempt, open or used.
    pub(crate) async fn forget(&self, id: &Secret) -> Result<(), StoreError> {
        self.0.remove(RecordKind::LoginAttempt, id.expose()).await
    }

    async fn load(&self, id: &Secret) -> Result<Option<Found<Record>>, StoreError> {
        self.0.load(RecordKind::LoginAttempt, id.expose()).await
    }
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
    async fn s1_an_attempt_is_taken_once() {
        let (attempts, _) = attempts();
        let attempt = LoginAttempt::new(ReturnTo::parse("/a"), false);
        let state = attempt.state.clone();
        let id = attempts.open(attempt).await.unwrap();
        let (a, b) = tokio::join!(attempts.take(&id, &state), attempts.take(&id, &state));
        let taken = [a.unwrap(), b.unwrap()]
            .iter()
            .filter(|taken| matches!(taken, AttemptState::Taken(_)))
            .count();
        assert_eq!(taken, 1);
        let again = attempts.take(&id, &state).await.unwrap();
        assert!(
            matches!(again, AttemptState::Used { return_to: Some(path) } if path.as_str() == "/a")
        );
    }

    #[tokio::test]
    async fn s1_another_state_takes_nothing() {
        let (attempts, _) = attempts();
        let attempt = LoginAttempt::new(None, false);
        let state = attempt.state.clone();
        let id = attempts.open(attempt).await.unwrap();
        let foreign = attempts.take(&id, &Secret::random()).await.unwrap();
        assert!(matches!(foreign, AttemptState::Unknown));
        assert!(matches!(
            attempts.take(&id, &state).await.unwrap(),
            AttemptState::Taken(_)
        ));
    }

    #[tokio::test]
    async fn s1_an_attempt_lives_ten_minutes() {
        let (attempts, clock) = attempts();
        let attempt = LoginAttempt::new(None, false);
        let state = attempt.state.clone();
        let id = attempts.open(attempt).await.unwrap();
        clock.advance(Duration::from_secs(600));
        assert!(matches!(
            attempts.take(&id, &state).await.unwrap(),
            AttemptState::Unknown
        ));
    }

    #[test]
    fn s5_only_a_fresh_start_is_marked() {
        assert!(is_fresh_start(&LoginAttempt::new(None, true).state));
        assert!(!is_fresh_start(&LoginAttempt::new(None, false).state));
    }
}
