use std::sync::Arc;

use arc_swap::ArcSwapOption;
use time::{Duration, OffsetDateTime};
use tokio::sync::Mutex;
use url::Url;

use super::{ProviderError, last_failure::LastFailure};
use crate::{
    clock::Clock,
    http::{Call, HttpClient},
    jose::{Algorithm, JwkSet, VerifyingKey},
};

/// A set is fetched anew, in the background, when it is older: a key the provider withdrew is
/// forgotten even if nobody meets a new one.
const FRESH_FOR: Duration = Duration::hours(1);

/// A `kid` that is not in the set has it fetched again, but not more often than this.
const REFETCH_INTERVAL: Duration = Duration::minutes(1);

const DOCUMENT: &str = "the key set";

/// The JWK set's cache. One fetch at a time.
#[derive(Debug)]
pub(super) struct KeyCache {
    http: HttpClient,
    clock: Clock,
    cached: ArcSwapOption<Cached>,
    /// Held during a fetch.
    last_fetch: Mutex<LastFetch>,
}

#[derive(Debug, Default)]
struct LastFetch {
    began_at: Option<OffsetDateTime>,
    failure: LastFailure,
}

#[derive(Debug)]
struct Cached {
    keys: JwkSet,
    fetched_at: OffsetDateTime,
}

impl KeyCache {
    pub(super) fn new(http: HttpClient, clock: Clock) -> Self {
        Self {
            http,
            clock,
            cached: ArcSwapOption::empty(),
            last_fetch: Mutex::default(),
        }
    }

    /// The key for a token's `kid` and `alg`.
    pub(super) async fn find(
        this: &Arc<Self>,
        jwks_uri: &Url,
        key_id: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<VerifyingKey, ProviderError> {
        if let Some(key) = this.known(key_id, algorithm) {
            if this.age().is_none_or(|age| age >= FRESH_FOR) {
                let (this, jwks_uri) = (Arc::clone(this), jwks_uri.clone());
                tokio::spawn(async move { this.revalidate(&jwks_uri).await });
            }
            return Ok(key);
        }
        let mut last_fetch = this.last_fetch.lock().await;
        // Whoever waited finds what the one before fetched.
        if let Some(key) = this.known(key_id, algorithm) {
            return Ok(key);
        }
        if this.age().is_some_and(|age| age < REFETCH_INTERVAL) {
            return Err(ProviderError::UnknownKey);
        }
        if let Some(error) = last_fetch.failure.still_counts(this.clock.now()) {
            return Err(error.clone());
        }
        this.fetch(jwks_uri, &mut last_fetch).await?;
        this.known(key_id, algorithm)
            .ok_or(ProviderError::UnknownKey)
    }

    fn known(&self, key_id: Option<&str>, algorithm: Algorithm) -> Option<VerifyingKey> {
        let cached = self.cached.load();
        cached.as_ref()?.keys.find(key_id, algorithm).cloned()
    }

    fn age(&self) -> Option<Duration> {
        let fetched_at = self.cached.load().as_ref()?.fetched_at;
        Some(self.clock.now() - fetched_at)
    }

    async fn revalidate(&self, jwks_uri: &Url) {
        let Ok(mut last_fetch) = self.last_fetch.try_lock() else {
            return; // somebody is at it
        };
        let now = self.clock.now();
        let was_just_now = |at| now - at < REFETCH_INTERVAL;
        if last_fetch.began_at.is_some_and(was_just_now)
            || last_fetch.failure.still_counts(now).is_some()
        {
            return; // somebody was at it
        }
        if let Err(error) = self.fetch(jwks_uri, &mut last_fetch).await {
            tracing::warn!(%error, "the key set could not be renewed; the known keys go on");
        }
    }

    async fn fetch(&self, jwks_uri: &Url, last_fetch: &mut LastFetch) -> Result<(), ProviderError> {
        last_fetch.began_at = Some(self.clock.now());
        match self.fetch_keys(jwks_uri).await {
            Ok(keys) => {
                last_fetch.failure.forget();
                let fetched_at = self.clock.now();
                self.cached
                    .store(Some(Arc::new(Cached { keys, fetched_at })));
                Ok(())
            }
            Err(error) => {
                last_fetch.failure.remember(error.clone(), self.clock.now());
                Err(error)
            }
        }
    }

    async fn fetch_keys(&self, jwks_uri: &Url) -> Result<JwkSet, ProviderError> {
        let answer = self
            .http
            .send(&Call::get(jwks_uri))
            .await
            .map_err(|error| ProviderError::unreachable(DOCUMENT, &error))?;
        if !answer.status.is_success() {
            return Err(ProviderError::status(DOCUMENT, &answer));
        }
        JwkSet::from_json(answer.body()).map_err(ProviderError::Keys)
    }
}
