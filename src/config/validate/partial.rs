use std::net::SocketAddr;

use url::Url;

use crate::{
    config::{Client, Config, Issuer, Problem, SealingKey, StoreUrl},
    http::HttpOptions,
    jose::{Algorithm, Ed25519PublicKey},
    secret::Secret,
};

/// The valid settings of a configuration that may be invalid, and its problems.
#[derive(Debug, Default)]
#[cfg_attr(not(feature = "check"), allow(dead_code))]
pub(crate) struct Partial {
    /// The configuration, if there is no problem.
    pub(crate) config: Option<Config>,
    pub(crate) problems: Vec<Problem>,
    pub(crate) warnings: Vec<Problem>,
    pub(crate) issuer: Option<Issuer>,
    /// The algorithms that the provider may sign tokens with.
    pub(crate) algorithms: Option<Vec<Algorithm>>,
    /// The options for calls to the issuer.
    pub(crate) http: Option<HttpOptions>,
    pub(crate) client: Option<Client>,
    pub(crate) client_id: Option<String>,
    pub(crate) client_secret: Option<Secret>,
    /// The keys of request objects: the signing key, then those that are only published.
    pub(crate) request_keys: Vec<Ed25519PublicKey>,
    pub(crate) redirect_uri: Option<Url>,
    pub(crate) base_path: Option<String>,
    pub(crate) scopes: Option<Vec<String>>,
    pub(crate) session_store: Option<StoreUrl>,
    pub(crate) session_keys: Vec<SealingKey>,
    pub(crate) listen: Option<SocketAddr>,
}

#[cfg(feature = "check")]
impl Partial {
    /// The error for a caller that depends on these settings only.
    pub(crate) fn error_in(&self, keys: &[&str]) -> crate::config::ConfigError {
        let problems = self.problems.iter();
        let relevant = problems.filter(|problem| keys.contains(&problem.key()));
        crate::config::ConfigError::new(relevant.cloned().collect())
    }
}
