//! Where Oten's endpoints and keys are: static tables, discovery, JWK sets.
//!
//! ```
//! use axum_oten::{config::Environment, provider::ProviderMetadata};
//!
//! // What is known about an environment while discovery cannot be reached:
//! let sandbox = ProviderMetadata::from_environment(Environment::Sandbox);
//! assert_eq!(sandbox.issuer(), "https://account.sbx.oten.dev");
//! assert!(sandbox.code_challenge_methods_supported().iter().any(|method| method == "S256"));
//!
//! // Discovery is believed only if it speaks for the issuer that was asked:
//! let document = br#"{"issuer": "https://account.example"}"#;
//! assert!(ProviderMetadata::from_discovery(document, "https://account.sbx.oten.dev", None).is_err());
//! ```

mod budget;
mod cache;
mod discovery;
mod environment;
mod error;
mod jwks;
mod metadata;

pub use self::{error::ProviderError, metadata::ProviderMetadata};

pub(crate) use self::budget::Budget;
#[cfg(feature = "check")]
pub(crate) use self::discovery::discovery_url;

use std::sync::Arc;

use url::Url;

use self::{discovery::Discovery, jwks::KeyCache};
use crate::{
    clock::Clock,
    config::Config,
    http::{Answer, Call, HttpClient, HttpError, HttpOptions},
    jose::{Algorithm, VerifyingKey},
    metric::Endpoint,
};

/// The provider as this process knows it: cached metadata and cached keys.
#[derive(Debug)]
pub(crate) struct Provider {
    http: HttpClient,
    discovery: Discovery,
    keys: KeyCache,
}

impl Provider {
    /// Nothing is fetched here: an app starts while the provider is down.
    pub(crate) fn new(config: &Config, clock: Clock) -> Result<Self, HttpError> {
        let issuer = config.issuer().clone();
        let http = HttpClient::new(&HttpOptions {
            loopback: issuer.is_loopback(),
            ca_certificates: config.ca_certificates.clone(),
            proxy: config.proxy().clone(),
        })?;
        Ok(Self {
            discovery: Discovery::new(issuer, http.clone(), clock.clone()),
            keys: KeyCache::new(http.clone(), clock),
            http,
        })
    }

    /// The client for this provider's endpoints.
    pub(crate) fn http(&self) -> &HttpClient {
        &self.http
    }

    /// The endpoints and features; from the cache where there is one.
    pub(crate) async fn metadata(&self) -> Result<Arc<ProviderMetadata>, ProviderError> {
        self.discovery.metadata().await
    }

    /// Whether the provider answers: it did less than 30 seconds ago, or does now.
    pub(crate) async fn reach(&self) -> Result<(), ProviderError> {
        self.discovery.reach().await
    }

    /// The key for a token's header.
    pub(crate) async fn key(
        &self,
        metadata: &ProviderMetadata,
        key_id: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<VerifyingKey, ProviderError> {
        self.keys.find(metadata.jwks_uri(), key_id, algorithm).await
    }
}

/// Reads a document of the provider's.
async fn fetch(
    http: &HttpClient,
    endpoint: Endpoint,
    url: &Url,
    document: &'static str,
) -> Result<Answer, ProviderError> {
    let answer = http
        .send(&Call::get(endpoint, url))
        .await
        .map_err(|error| ProviderError::unreachable(document, &error))?;
    if answer.status.is_success() {
        Ok(answer)
    } else {
        Err(ProviderError::status(document, &answer))
    }
}
