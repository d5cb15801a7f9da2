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
mod error;
mod metadata;

pub use self::{error::ProviderError, metadata::ProviderMetadata};

#[cfg(feature = "check")]
pub(crate) use self::metadata::is_same_issuer;
pub(crate) use self::{budget::Budget, metadata::discovery_url};

use std::sync::Arc;

use time::Duration;
use url::Url;

use self::cache::Cache;
use crate::{
    clock::Clock,
    config::{Config, Issuer},
    http::{HttpClient, HttpError, HttpRequest, HttpResponse},
    jose::{Algorithm, JwkSet, VerifyingKey},
    metric::{self, Endpoint, Fetch},
};

/// Metadata and keys that are older are fetched again in the background, so that a key the
/// provider has withdrawn expires.
const MAX_AGE: Duration = Duration::hours(1);

/// A provider that responded within this time counts as reachable.
const REACHABLE_FOR: Duration = Duration::seconds(30);

/// How often an unknown `kid` may cause the keys to be fetched again.
const KEY_REFETCH_INTERVAL: Duration = Duration::minutes(1);

/// The configured provider, with its metadata and keys cached in this process.
#[derive(Debug)]
pub(crate) struct Provider {
    issuer: Issuer,
    /// The configured endpoints, which replace those of the metadata.
    end_session_endpoint: Option<Url>,
    revocation_endpoint: Option<Url>,
    http: HttpClient,
    metadata: Arc<Cache<ProviderMetadata>>,
    keys: Arc<Cache<JwkSet>>,
}

impl Provider {
    /// Returns the provider without calling it, so that an app starts while the provider is down.
    pub(crate) fn new(config: &Config, clock: Clock) -> Result<Self, HttpError> {
        let issuer = config.issuer().clone();
        let http = HttpClient::new(config.http_options())?;
        Ok(Self {
            issuer,
            end_session_endpoint: config.end_session_endpoint().cloned(),
            revocation_endpoint: config.revocation_endpoint().cloned(),
            http,
            metadata: Arc::new(Cache::new(clock.clone())),
            keys: Arc::new(Cache::new(clock)),
        })
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
        let is_fresh = |_: &_, age| age < MAX_AGE;
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
    pub(crate) async fn revocation_endpoint(&self) -> Option<Url> {
        if self.revocation_endpoint.is_some() {
            return self.revocation_endpoint.clone();
        }
        self.metadata().await.ok()?.revocation_endpoint().cloned()
    }

    /// Succeeds if the provider has responded within the last 30 seconds, or does so now.
    pub(crate) async fn check_reachable(&self) -> Result<(), ProviderError> {
        let is_recent = |_: &_, age| age < REACHABLE_FOR;
        let fetched = self.metadata.refresh(is_recent, self.fetch_metadata());
        fetched.await.map(drop)
    }

    /// Returns the key for a token's `kid` and `alg`. An unknown `kid` fetches the keys again, at
    /// most once a minute.
    pub(crate) async fn key(
        &self,
        metadata: &ProviderMetadata,
        key_id: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<VerifyingKey, ProviderError> {
        let fetch =
            |is_refetch| fetch_keys(self.http.clone(), metadata.jwks_uri().clone(), is_refetch);
        let cached = self.keys.get(MAX_AGE, fetch(true));
        let key = cached
            .as_ref()
            .and_then(|keys| keys.find(key_id, algorithm));
        if let Some(key) = key {
            return Ok(key.clone());
        }
        let wanted = key_id.map(str::to_owned);
        let is_known_or_recent = move |keys: &JwkSet, age| {
            keys.find(wanted.as_deref(), algorithm).is_some() || age < KEY_REFETCH_INTERVAL
        };
        let fetched = self
            .keys
            .refresh(is_known_or_recent, fetch(cached.is_some()));
        let keys = fetched.await?;
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
            ProviderMetadata::from_discovery(response.body(), &name, environment)
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
    is_refetch: bool,
) -> Result<JwkSet, ProviderError> {
    let response = fetch(&http, Endpoint::Jwks, &jwks_uri, "the key set").await;
    let keys = response
        .and_then(|response| JwkSet::from_json(response.body()).map_err(ProviderError::KeySet));
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
        assert!(documented(&issuer, ProviderError::IssuerMismatch).is_err());
    }
}
