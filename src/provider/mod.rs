//! The provider's metadata: endpoints, supported features, and the errors of fetching them.
//!
//! ```
//! use axum_oten::{config::Environment, provider::ProviderMetadata};
//!
//! // The documented endpoints of an environment are used while discovery is unreachable:
//! let sandbox = ProviderMetadata::from_environment(Environment::Sandbox);
//! assert_eq!(sandbox.issuer(), "https://account.sbx.oten.dev");
//! assert!(sandbox.code_challenge_methods_supported().iter().any(|method| method == "S256"));
//!
//! // A discovery document of another issuer is rejected:
//! let document = br#"{"issuer": "https://account.example"}"#;
//! assert!(ProviderMetadata::from_discovery(document, "https://account.sbx.oten.dev", None).is_err());
//! ```

mod budget;
mod cache;
mod cooldown;
mod error;
mod metadata;

pub use self::{error::ProviderError, metadata::ProviderMetadata};

pub(crate) use self::{
    budget::{Budget, BudgetExhausted},
    metadata::{discovery_url, is_same_issuer},
};

use std::sync::Arc;

use time::Duration;
use url::Url;

use self::{cache::Cache, cooldown::Cooldown};
use crate::{
    clock::Clock,
    config::{Config, Issuer},
    http::{HttpClient, HttpError, HttpOptions, HttpRequest, HttpResponse},
    jose::{Algorithm, JwkSet, VerifyingKey},
    metric::{self, Endpoint, Fetch},
};

/// Metadata and keys that are older are fetched again in the background, so that a key the
/// provider has withdrawn expires.
const MAX_AGE: Duration = Duration::hours(1);

/// Keys that are older are fetched before they are used, unless that has just failed or takes seconds: this
/// process has verified no token for a while.
const MAX_UNUSED: Duration = Duration::hours(2);

/// A provider that responded within this time counts as reachable.
const REACHABLE_FOR: Duration = Duration::seconds(30);

/// The configured provider, with its metadata and keys cached in this process.
#[derive(Debug)]
pub(crate) struct Provider {
    issuer: Issuer,
    /// The algorithms that tokens may be signed with. Keys for others are not read.
    algorithms: Arc<[Algorithm]>,
    /// The configured endpoints, which replace those of the metadata.
    end_session_endpoint: Option<Url>,
    revocation_endpoint: Option<Url>,
    http: HttpClient,
    metadata: Arc<Cache<ProviderMetadata>>,
    keys: Arc<Cache<JwkSet>>,
    /// Of keys for tokens in responses of the provider.
    response_cooldown: Arc<Cooldown>,
    /// Of keys for tokens in requests, which any client can send: they never delay a sign-in.
    request_cooldown: Arc<Cooldown>,
}

/// Where a token with an unknown key was received.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TokenOrigin {
    /// In a response of the provider to a request of this process.
    ProviderResponse,
    /// In a request of an unknown client.
    Request,
}

impl Provider {
    /// Returns the provider without calling it, so that an app starts while the provider is down.
    pub(crate) fn new(config: &Config, clock: Clock) -> Result<Self, HttpError> {
        Ok(Self {
            end_session_endpoint: config.end_session_endpoint().cloned(),
            revocation_endpoint: config.revocation_endpoint().cloned(),
            ..Self::for_api(
                config.issuer(),
                config.id_token_algorithms(),
                config.http_options(),
                clock,
            )?
        })
    }

    /// Returns the provider of an API, which signs no user out.
    pub(crate) fn for_api(
        issuer: &Issuer,
        algorithms: &[Algorithm],
        http: &HttpOptions,
        clock: Clock,
    ) -> Result<Self, HttpError> {
        Ok(Self {
            issuer: issuer.clone(),
            algorithms: algorithms.into(),
            end_session_endpoint: None,
            revocation_endpoint: None,
            http: HttpClient::new(http)?,
            metadata: Arc::new(Cache::new(clock.clone())),
            keys: Arc::new(Cache::new(clock.clone())),
            response_cooldown: Arc::new(Cooldown::new(clock.clone())),
            request_cooldown: Arc::new(Cooldown::new(clock)),
        })
    }

    /// The algorithms that the provider may sign tokens with.
    pub(crate) fn algorithms(&self) -> &[Algorithm] {
        &self.algorithms
    }

    /// The client for this provider's endpoints.
    pub(crate) fn http(&self) -> &HttpClient {
        &self.http
    }

    /// Returns the metadata from the cache, or else from the provider.
    ///
    /// Metadata that is too old is fetched again in the background. While one of Oten's environments
    /// is unreachable and nothing is cached, its documented endpoints are used.
    pub(crate) async fn metadata(&self) -> Result<Arc<ProviderMetadata>, ProviderError> {
        if let Some(cached) = self.metadata.get(MAX_AGE, self.fetch_metadata()) {
            return Ok(cached);
        }
        let is_fresh = |_: &_, age| Ok(age < MAX_AGE);
        let fetched = self.metadata.refresh(is_fresh, self.fetch_metadata()).await;
        fetched.or_else(|error| documented(&self.issuer, error))
    }

    /// Returns the configured end-session endpoint, or else the one in the metadata.
    pub(crate) async fn end_session_endpoint(&self) -> Option<Url> {
        if self.end_session_endpoint.is_some() {
            return self.end_session_endpoint.clone();
        }
        self.metadata().await.ok()?.end_session_endpoint().cloned()
    }

    /// Returns the configured revocation endpoint, or else the one in the metadata.
    pub(crate) async fn revocation_endpoint(&self) -> Result<Option<Url>, ProviderError> {
        if self.revocation_endpoint.is_some() {
            return Ok(self.revocation_endpoint.clone());
        }
        Ok(self.metadata().await?.revocation_endpoint().cloned())
    }

    /// Succeeds if the provider has responded within the last 30 seconds, or does so now.
    pub(crate) async fn check_reachable(&self) -> Result<(), ProviderError> {
        let is_recent = |_: &_, age| Ok(age < REACHABLE_FOR);
        let fetched = self.metadata.refresh(is_recent, self.fetch_metadata());
        fetched.await.map(drop)
    }

    /// Returns the key for a token's `kid` and `alg`. If it is unknown, the keys are fetched again,
    /// unless a fetch for a token of the same origin found no key within the last minute.
    ///
    /// [`ProviderError::UnknownKey`] means that the keys were fetched for this token; during the
    /// cooldown the error is transient.
    pub(crate) async fn key(
        &self,
        metadata: &ProviderMetadata,
        key_id: Option<&str>,
        algorithm: Algorithm,
        origin: TokenOrigin,
    ) -> Result<VerifyingKey, ProviderError> {
        let fetch = |is_refetch| {
            let (http, algorithms) = (self.http.clone(), Arc::clone(&self.algorithms));
            fetch_keys(http, metadata.jwks_uri().clone(), algorithms, is_refetch)
        };
        let cached = if self.keys.is_worth_waiting(MAX_UNUSED) {
            self.keys.get_newer(MAX_AGE, fetch(true)).await
        } else {
            self.keys.get(MAX_AGE, fetch(true))
        };
        let key = cached
            .as_ref()
            .and_then(|keys| keys.find(key_id, algorithm));
        if let Some(key) = key {
            return Ok(key.clone());
        }
        let wanted: Option<Arc<str>> = key_id.map(Arc::from);
        let has_key = move |keys: &JwkSet| keys.find(wanted.as_deref(), algorithm).is_some();
        let cooldown = Arc::clone(match origin {
            TokenOrigin::ProviderResponse => &self.response_cooldown,
            TokenOrigin::Request => &self.request_cooldown,
        });
        let fetch = {
            let (fetch, has_key) = (fetch(cached.is_some()), has_key.clone());
            let cooldown = Arc::clone(&cooldown);
            async move {
                let keys = fetch.await?;
                if !has_key(&keys) {
                    cooldown.start();
                }
                Ok(keys)
            }
        };
        let accept = move |keys: &JwkSet, _| {
            let is_known = has_key(keys);
            if !is_known {
                cooldown.check()?;
            }
            Ok(is_known)
        };
        let keys = self.keys.refresh(accept, fetch).await?;
        let key = keys.find(key_id, algorithm);
        key.cloned().ok_or(ProviderError::UnknownKey)
    }

    fn fetch_metadata(
        &self,
    ) -> impl Future<Output = Result<ProviderMetadata, ProviderError>> + use<> {
        let (http, issuer) = (self.http.clone(), self.issuer.clone());
        async move {
            let (name, environment) = (issuer.to_string(), issuer.environment());
            let url = discovery_url(&name)?;
            let response =
                fetch(&http, Endpoint::Discovery, &url, "the discovery document").await?;
            let metadata = ProviderMetadata::from_discovery(response.body(), &name, environment)?;
            http.warn_ignored("the discovery document", metadata.ignored_members());
            Ok(metadata)
        }
    }
}

impl ProviderMetadata {
    /// Fetches the metadata of the configured provider.
    ///
    /// While one of Oten's environments is unreachable, its documented endpoints are used. An app
    /// with an [`Oten`](crate::Oten) calls
    /// [`Oten::provider_metadata`](crate::Oten::provider_metadata), which caches.
    ///
    /// # Errors
    ///
    /// [`ProviderError`] when the provider is unreachable or its discovery document is rejected.
    pub async fn discover(config: &Config) -> Result<Arc<Self>, ProviderError> {
        let provider = Provider::new(config, Clock::system())
            .map_err(|error| ProviderError::unreachable("the discovery document", &error))?;
        provider.metadata().await
    }
}

/// Returns the environment's documented endpoints if `error` is transient. A document that is
/// wrong is not replaced.
fn documented(
    issuer: &Issuer,
    error: ProviderError,
) -> Result<Arc<ProviderMetadata>, ProviderError> {
    match issuer.environment() {
        Some(environment) if error.is_transient() => {
            Ok(Arc::new(ProviderMetadata::from_environment(environment)))
        }
        _ => Err(error),
    }
}

async fn fetch_keys(
    http: HttpClient,
    jwks_uri: Url,
    algorithms: Arc<[Algorithm]>,
    is_refetch: bool,
) -> Result<JwkSet, ProviderError> {
    let response = fetch(&http, Endpoint::Jwks, &jwks_uri, "the key set").await;
    let keys = response.and_then(|response| {
        JwkSet::for_algorithms(response.body(), &algorithms).map_err(ProviderError::KeySet)
    });
    if is_refetch {
        metric::jwks_refetched(match keys {
            Ok(_) => Fetch::Success,
            Err(_) => Fetch::Failed,
        });
    }
    keys
}

async fn fetch(
    http: &HttpClient,
    endpoint: Endpoint,
    url: &Url,
    document: &'static str,
) -> Result<HttpResponse, ProviderError> {
    let response = http
        .send(&HttpRequest::get(endpoint, url))
        .await
        .map_err(|error| ProviderError::unreachable(document, &error))?;
    if response.status.is_success() {
        Ok(response)
    } else {
        Err(ProviderError::status(document, &response))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;

    #[test]
    fn d2_documented_endpoints_are_used_only_for_an_unreachable_provider() {
        let issuer = Issuer::Environment(Environment::Sandbox);
        let unreachable = ProviderError::unreachable("x", &HttpError::TimedOut);
        assert!(documented(&issuer, unreachable).is_ok());
        assert!(documented(&issuer, ProviderError::InvalidDiscovery).is_err());
    }
}
