use std::{fmt, sync::Arc, time::Duration};

use moka::future::Cache;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use crate::{
    clock::Clock,
    protocol::{UserInfoError, fetch_userinfo},
    provider::Provider,
    secret::Secret,
};

/// How long an answer is reused.
const VALID_FOR: Duration = Duration::from_secs(60);

/// How long a failure is reused, at least.
const RETRY_DELAY: Duration = Duration::from_secs(30);

/// An answer is forgotten after this time: the longest `Retry-After`.
const LONGEST: Duration = Duration::from_secs(3600);

/// The number of answers that are kept.
const MAX_ANSWERS: u64 = 10_000;

/// The answers of the userinfo endpoint. Each belongs to one access token, and so to one session.
pub(crate) struct UserInfos {
    provider: Arc<Provider>,
    client_id: String,
    clock: Clock,
    answers: Cache<[u8; 32], Answer>,
}

#[derive(Clone)]
struct Answer {
    result: Result<Arc<Map<String, Value>>, UserInfoError>,
    asked_at: OffsetDateTime,
    reusable_until: OffsetDateTime,
}

impl UserInfos {
    pub(crate) fn new(provider: Arc<Provider>, client_id: &str, clock: Clock) -> Self {
        Self {
            provider,
            client_id: client_id.to_owned(),
            clock,
            answers: Cache::builder()
                .max_capacity(MAX_ANSWERS)
                .time_to_live(LONGEST)
                .build(),
        }
    }

    /// Returns the claims about the user `subject`, to whom the access token belongs. Simultaneous
    /// questions with a token are one call.
    pub(crate) async fn get(
        &self,
        token: &Secret,
        subject: &str,
    ) -> Result<Arc<Map<String, Value>>, UserInfoError> {
        // A token has no line breaks.
        let key = Sha256::digest(format!("{}\n{subject}", token.expose()));
        let now = self.clock.now();
        // A time before the question means that the clock was set back.
        let is_outdated = |answer: &Answer| now >= answer.reusable_until || now < answer.asked_at;
        let entry = self.answers.entry(key.into());
        let answer = entry.or_insert_with_if(self.ask(token, subject), is_outdated);
        answer.await.into_value().result
    }

    async fn ask(&self, token: &Secret, subject: &str) -> Answer {
        let now = self.clock.unix_now();
        let claims = fetch_userinfo(&self.provider, &self.client_id, token, subject, now);
        let result = claims.await.map(Arc::new);
        let reusable_for = match &result {
            Ok(_) => VALID_FOR,
            Err(error) => error.retry_after().unwrap_or_default().max(RETRY_DELAY),
        };
        let asked_at = self.clock.now();
        Answer {
            result,
            asked_at,
            reusable_until: asked_at + reusable_for,
        }
    }
}

impl fmt::Debug for UserInfos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserInfos").finish_non_exhaustive()
    }
}
