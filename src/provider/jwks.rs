use std::sync::Arc;

use time::Duration;
use url::Url;

use super::{ProviderError, cache::Cache, fetch};
use crate::{
    clock::Clock,
    http::HttpClient,
    jose::{Algorithm, JwkSet, VerifyingKey},
    metric::{self, Endpoint, Fetch},
};

/// A set is fetched anew, in the background, when it is older: a key the provider withdrew is
/// forgotten even if nobody meets a new one.
const FRESH_FOR: Duration = Duration::hours(1);

/// A `kid` that is not in the set has it fetched again, but not more often than this.
const REFETCH_INTERVAL: Duration = Duration::minutes(1);

/// The provider's keys.
#[derive(Debug)]
pub(super) struct KeyCache {
    http: HttpClient,
    cache: Arc<Cache<JwkSet>>,
}

impl KeyCache {
    pub(super) fn new(http: HttpClient, clock: Clock) -> Self {
        Self {
            http,
            cache: Arc::new(Cache::new(clock)),
        }
    }

    /// The key for a token's `kid` and `alg`.
    pub(super) async fn find(
        &self,
        jwks_uri: &Url,
        key_id: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<VerifyingKey, ProviderError> {
        let are_known = self.cache.current().is_some();
        let fetch = read(self.http.clone(), jwks_uri.clone(), are_known);
        let cache = Arc::clone(&self.cache);
        if let Some(cached) = self.cache.current()
            && let Some(key) = cached.document.find(key_id, algorithm)
        {
            if cache.age(&cached) >= FRESH_FOR {
                let is_fresh = move |cached: &_| cache.age(cached) < FRESH_FOR;
                self.cache.renew_in_background(is_fresh, fetch);
            }
            return Ok(key.clone());
        }
        let wanted = key_id.map(str::to_owned);
        let is_known_or_recent = move |cached: &super::cache::Cached<JwkSet>| {
            cached.document.find(wanted.as_deref(), algorithm).is_some()
                || cache.age(cached) < REFETCH_INTERVAL
        };
        let cached = self.cache.renew(is_known_or_recent, fetch).await?;
        let key = cached.document.find(key_id, algorithm);
        key.cloned().ok_or(ProviderError::UnknownKey)
    }
}

/// Reads the keys, the first ones or others than those that are known.
async fn read(http: HttpClient, jwks_uri: Url, are_known: bool) -> Result<JwkSet, ProviderError> {
    let answer = fetch(&http, Endpoint::Jwks, &jwks_uri, "the key set").await;
    let keys =
        answer.and_then(|answer| JwkSet::from_json(answer.body()).map_err(ProviderError::Keys));
    if are_known {
        metric::jwks_refetched(match keys {
            Ok(_) => Fetch::Success,
            Err(_) => Fetch::Failed,
        });
    }
    keys
}
