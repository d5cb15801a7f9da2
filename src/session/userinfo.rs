use std::{collections::BTreeMap, convert::Infallible, fmt, sync::Arc, time::Duration};

use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use tokio::time::{Instant, timeout_at};

use crate::{
    audit::{EventOrigin, TARGET},
    clock::Clock,
    error::with_causes,
    protocol::{UserInfoError, fetch_userinfo},
    provider::Provider,
    secret::Secret,
};

/// How long an answer is reused.
const VALID_FOR: Duration = Duration::from_secs(60);

/// How long a failure is reused, at least.
const RETRY_DELAY: Duration = Duration::from_secs(30);

/// The number of answers that are kept.
const MAX_ANSWERS: usize = 10_000;

/// How long a sign-in or a token refresh waits for an answer.
const CLAIMS_TIMEOUT: Duration = Duration::from_secs(2);

/// The claims that are added to those of an ID token, with `email_verified`. Claims on which an app bases
/// decisions, such as roles, come from ID tokens only: userinfo is no proof of the sign-in.
const ADDED: [&str; 6] = [
    "name",
    "given_name",
    "family_name",
    "picture",
    "locale",
    "email",
];

/// A longer text is not added: each request of the session loads it.
const MAX_TEXT_BYTES: usize = 2048;

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
            answers: Cache::new(MAX_ANSWERS),
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
        let key: [u8; 32] = Sha256::digest(format!("{}\n{subject}", token.expose())).into();
        let now = self.clock.now();
        // A time before the question means that the clock was set back.
        let is_outdated = |answer: &Answer| now >= answer.reusable_until || now < answer.asked_at;
        self.answers.remove_if(&key, is_outdated);
        let ask = async { Ok::<_, Infallible>(self.ask(token, subject).await) };
        let Ok(answer) = self.answers.get_or_insert_async(&key, ask).await;
        answer.result
    }

    /// Returns the claims that the user's ID token may lack. `None` if there is no answer in time: a
    /// sign-in or a refresh continues without.
    pub(crate) async fn added_claims(
        &self,
        token: &Secret,
        subject: &str,
        origin: &EventOrigin,
        deadline: Instant,
    ) -> Option<AddedClaims> {
        let deadline = deadline.min(Instant::now() + CLAIMS_TIMEOUT);
        let cause = match timeout_at(deadline, self.get(token, subject)).await {
            Ok(Ok(claims)) => return Some(AddedClaims::new(&claims)),
            Ok(Err(error)) => with_causes(&error),
            Err(_) => "the userinfo endpoint did not respond in time".to_owned(),
        };
        tracing::warn!(
            target: TARGET,
            correlation_id = origin.correlation_id(),
            error = cause,
            "no claims from the userinfo endpoint; continuing with those that are known"
        );
        None
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

/// Claims of the userinfo endpoint that are added to those of the ID token.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AddedClaims {
    texts: BTreeMap<String, String>,
    email_verified: Option<bool>,
}

impl AddedClaims {
    fn new(claims: &Map<String, Value>) -> Self {
        let text = |name: &str| {
            let text = claims.get(name)?.as_str()?;
            let is_usable = !text.is_empty() && text.len() <= MAX_TEXT_BYTES;
            is_usable.then(|| (name.to_owned(), text.to_owned()))
        };
        Self {
            texts: ADDED.into_iter().filter_map(text).collect(),
            email_verified: claims.get("email_verified").and_then(Value::as_bool),
        }
    }

    /// Adds what the claims of an ID token lack. `email_verified` and the address that it is about have
    /// the same origin.
    pub(super) fn add_to(&self, claims: &mut Map<String, Value>) {
        let lacks =
            |claims: &Map<String, Value>, name: &str| claims.get(name).is_none_or(Value::is_null);
        let is_verdict_open = lacks(claims, "email_verified");
        for (name, text) in &self.texts {
            if lacks(claims, name) && (name != "email" || is_verdict_open) {
                claims.insert(name.clone(), text.clone().into());
            }
        }
        let email = claims.get("email").and_then(Value::as_str);
        let is_about_email =
            email.is_some() && email == self.texts.get("email").map(String::as_str);
        if let Some(verified) = self
            .email_verified
            .filter(|_| is_verdict_open && is_about_email)
        {
            claims.insert("email_verified".to_owned(), verified.into());
        }
    }
}

/// Prints nothing: the claims are private.
impl fmt::Debug for AddedClaims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AddedClaims").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn added(userinfo: &Value, id_token: &Value) -> Value {
        let mut claims = id_token.as_object().unwrap().clone();
        AddedClaims::new(userinfo.as_object().unwrap()).add_to(&mut claims);
        claims.into()
    }

    #[test]
    fn a8_userinfo_adds_what_the_id_token_lacks_and_nothing_else() {
        let userinfo = json!({
            "name": "Alice Adams", "given_name": "Alice", "family_name": "", "picture": 5,
            "locale": "x".repeat(MAX_TEXT_BYTES + 1), "email": null,
            "sub": "mallory", "sid": "s", "auth_time": 1, "roles": ["admin"], "workspace": "staff",
        });
        let expected = json!({"name": "Alice", "given_name": "Alice", "workspace": "guests"});
        let id_token = json!({"name": "Alice", "given_name": null, "workspace": "guests"});
        assert_eq!(added(&userinfo, &id_token), expected);
    }

    #[test]
    fn a8_an_address_is_verified_only_if_the_same_token_or_answer_says_so() {
        let userinfo = json!({"email": "a@example.com", "email_verified": true});
        for (id_token, expected) in [
            (json!({}), userinfo.clone()),
            (json!({"email": "a@example.com"}), userinfo.clone()),
            (
                json!({"email": "b@example.com"}),
                json!({"email": "b@example.com"}),
            ),
            (json!({"email": ""}), json!({"email": ""})),
            (json!({"email": 5}), json!({"email": 5})),
            (
                json!({"email_verified": true}),
                json!({"email_verified": true}),
            ),
            (
                json!({"email": "a@example.com", "email_verified": false}),
                json!({"email": "a@example.com", "email_verified": false}),
            ),
        ] {
            assert_eq!(added(&userinfo, &id_token), expected, "{id_token}");
        }
        let without_address = json!({"email_verified": true});
        assert_eq!(added(&without_address, &json!({})), json!({}));
        let unverified = json!({"email": "a@example.com", "email_verified": "true"});
        let expected = json!({"email": "a@example.com"});
        assert_eq!(added(&unverified, &json!({})), expected);
    }
}
