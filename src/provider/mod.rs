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

mod discovery;
mod environment;
mod error;
mod jwks;
mod last_failure;
mod metadata;

pub use self::{error::ProviderError, metadata::ProviderMetadata};

use std::sync::Arc;

use self::{discovery::Discovery, jwks::KeyCache};
use crate::{
    clock::Clock,
    config::Issuer,
    http::{HttpClient, HttpError},
    jose::{Algorithm, VerifyingKey},
};

/// The provider as this process knows it: cached metadata and cached keys.
#[derive(Debug)]
pub(crate) struct Provider {
    http: HttpClient,
    discovery: Arc<Discovery>,
    keys: Arc<KeyCache>,
}

impl Provider {
    /// Nothing is fetched here: an app starts while the provider is down.
    pub(crate) fn new(issuer: Issuer, clock: Clock) -> Result<Self, HttpError> {
        let http = HttpClient::new(issuer.is_loopback())?;
        Ok(Self {
            discovery: Arc::new(Discovery::new(issuer, http.clone(), clock.clone())),
            keys: Arc::new(KeyCache::new(http.clone(), clock)),
            http,
        })
    }

    /// The client for this provider's endpoints.
    pub(crate) fn http(&self) -> &HttpClient {
        &self.http
    }

    /// The endpoints and features; from the cache where there is one.
    pub(crate) async fn metadata(&self) -> Result<Arc<ProviderMetadata>, ProviderError> {
        Discovery::metadata(&self.discovery).await
    }

    /// The key for a token's header.
    pub(crate) async fn key(
        &self,
        metadata: &ProviderMetadata,
        key_id: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<VerifyingKey, ProviderError> {
        KeyCache::find(&self.keys, metadata.jwks_uri(), key_id, algorithm).await
    }
}
