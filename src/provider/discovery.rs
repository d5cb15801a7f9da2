use std::sync::Arc;

use arc_swap::ArcSwapOption;
use time::{Duration, OffsetDateTime};
use tokio::sync::Mutex;
use url::Url;

use super::{ProviderError, ProviderMetadata};
use crate::{
    clock::Clock,
    config::Issuer,
    http::{Call, HttpClient},
};

/// Discovered metadata is fetched anew, in the background, when it is older.
const FRESH_FOR: Duration = Duration::hours(1);

/// After a failure the provider is left in peace for this long.
const RETRY_AFTER_FAILURE: Duration = Duration::seconds(5);

const DOCUMENT: &str = "the discovery document";

/// The discovery document's cache. One fetch at a time; nobody waits for a revalidation.
#[derive(Debug)]
pub(super) struct Discovery {
    issuer: Issuer,
    http: HttpClient,
    clock: Clock,
    cached: ArcSwapOption<Cached>,
    /// Held during a fetch; remembers the last failure.
    last_failure: Mutex<Option<(OffsetDateTime, ProviderError)>>,
}

#[derive(Debug)]
struct Cached {
    metadata: Arc<ProviderMetadata>,
    fresh_until: OffsetDateTime,
}

impl Discovery {
    pub(super) fn new(issuer: Issuer, http: HttpClient, clock: Clock) -> Self {
        Self {
            issuer,
            http,
            clock,
            cached: ArcSwapOption::empty(),
            last_failure: Mutex::new(None),
        }
    }

    /// The metadata: cached where possible, stale while it is fetched anew, fetched at first, and
    /// the environment's table while the provider is away.
    pub(super) async fn metadata(this: &Arc<Self>) -> Result<Arc<ProviderMetadata>, ProviderError> {
        let Some(cached) = this.cached.load_full() else {
            return this.first_metadata().await;
        };
        if cached.fresh_until <= this.clock.now() {
            let this = Arc::clone(this);
            tokio::spawn(async move { this.revalidate().await });
        }
        Ok(Arc::clone(&cached.metadata))
    }

    async fn first_metadata(&self) -> Result<Arc<ProviderMetadata>, ProviderError> {
        let mut last_failure = self.last_failure.lock().await;
        if let Some(cached) = &*self.cached.load() {
            return Ok(Arc::clone(&cached.metadata));
        }
        let recent = last_failure
            .as_ref()
            .filter(|(at, _)| self.clock.now() - *at < RETRY_AFTER_FAILURE);
        if let Some((_, error)) = recent {
            return Err(error.clone());
        }
        match self.fetch().await {
            Ok(metadata) => {
                *last_failure = None;
                Ok(self.keep(metadata, FRESH_FOR))
            }
            Err(error) => {
                tracing::warn!(%error, "discovery failed");
                *last_failure = Some((self.clock.now(), error.clone()));
                self.fall_back(error)
            }
        }
    }

    /// While the provider is away its documented endpoints stand in, and discovery is tried again
    /// soon. A document that is a lie is not answered with the table.
    fn fall_back(&self, error: ProviderError) -> Result<Arc<ProviderMetadata>, ProviderError> {
        match self.issuer {
            Issuer::Environment(environment) if error.may_pass() => Ok(self.keep(
                ProviderMetadata::from_environment(environment),
                RETRY_AFTER_FAILURE,
            )),
            _ => Err(error),
        }
    }

    async fn revalidate(&self) {
        let Ok(mut last_failure) = self.last_failure.try_lock() else {
            return; // somebody is at it
        };
        let still_stale = self
            .cached
            .load()
            .as_ref()
            .is_none_or(|cached| cached.fresh_until <= self.clock.now());
        let resting = last_failure
            .as_ref()
            .is_some_and(|(at, _)| self.clock.now() - *at < RETRY_AFTER_FAILURE);
        if !still_stale || resting {
            return;
        }
        match self.fetch().await {
            Ok(metadata) => {
                *last_failure = None;
                self.keep(metadata, FRESH_FOR);
            }
            Err(error) => {
                tracing::warn!(%error, "discovery failed; the known metadata goes on");
                *last_failure = Some((self.clock.now(), error));
            }
        }
    }

    fn keep(&self, metadata: ProviderMetadata, fresh_for: Duration) -> Arc<ProviderMetadata> {
        let metadata = Arc::new(metadata);
        self.cached.store(Some(Arc::new(Cached {
            metadata: Arc::clone(&metadata),
            fresh_until: self.clock.now() + fresh_for,
        })));
        metadata
    }

    async fn fetch(&self) -> Result<ProviderMetadata, ProviderError> {
        let (issuer, environment) = match &self.issuer {
            Issuer::Environment(environment) => (environment.issuer(), Some(*environment)),
            Issuer::Custom(url) => (url.as_str(), None),
        };
        let url = discovery_url(issuer)?;
        let answer = self
            .http
            .send(&Call::get(&url))
            .await
            .map_err(|error| ProviderError::unreachable(DOCUMENT, &error))?;
        if !answer.status.is_success() {
            return Err(ProviderError::status(DOCUMENT, answer.status));
        }
        ProviderMetadata::from_discovery(answer.body(), issuer, environment)
    }
}

/// The issuer with `/.well-known/openid-configuration` at its end (OpenID Connect Discovery
/// section 4).
fn discovery_url(issuer: &str) -> Result<Url, ProviderError> {
    let issuer = issuer.strip_suffix('/').unwrap_or(issuer);
    Url::parse(&format!("{issuer}/.well-known/openid-configuration"))
        .map_err(|_| ProviderError::Discovery("the issuer is not a URL"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_well_known_path_follows_the_issuers_path() {
        for (issuer, url) in [
            (
                "https://id.example",
                "https://id.example/.well-known/openid-configuration",
            ),
            (
                "https://id.example/",
                "https://id.example/.well-known/openid-configuration",
            ),
            (
                "http://127.0.0.1:3000/oten",
                "http://127.0.0.1:3000/oten/.well-known/openid-configuration",
            ),
        ] {
            assert_eq!(discovery_url(issuer).unwrap().as_str(), url);
        }
    }
}
