use std::net::SocketAddr;

use url::Url;

use super::{Client, Issuer, Problem, TrustedProxies};
use crate::{http::HttpOptions, jose::Algorithm};

/// How the access tokens of incoming requests are validated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenValidation {
    /// A JWT is verified with the provider's keys. Any other token is validated by the provider.
    #[default]
    Auto,
    /// With the provider's keys. A token that is not a JWT is rejected.
    Local,
    /// By the provider, which also knows revoked tokens. Costs a call for each new token.
    Remote,
}

impl TokenValidation {
    pub(super) const ALL: [Self; 3] = [Self::Auto, Self::Local, Self::Remote];

    /// The name in configuration files.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Local => "local",
            Self::Remote => "remote",
        }
    }
}

/// The settings for access tokens of incoming requests.
#[derive(Clone, Debug)]
pub(crate) struct ApiSettings {
    /// At least one.
    pub(crate) audiences: Vec<String>,
    pub(crate) validation: TokenValidation,
    pub(crate) validation_endpoint: Option<Url>,
    /// The share of this process in the client's limit; `None` if no limit is known.
    pub(crate) validations_per_minute: Option<u32>,
}

/// A valid configuration of an API or a service that signs no user in.
///
/// It uses the settings `environment` or `issuer`, `id_token_algorithms`, `audiences`, `token_validation`,
/// `token_validation_endpoint`, `client_id`, `client_type`, `client_secret`,
/// `token_endpoint_auth_method`, `token_requests_per_minute`, `instances`, `trusted_proxies`, `listen`,
/// `ca_file` and `proxy`, and ignores all others.
///
/// ```
/// use axum_oten::config::{ApiConfig, Config, Environment};
///
/// let config = Config::builder()
///     .environment(Environment::Sandbox)
///     .audiences(["https://orders.example"])
///     .build_api()?;
/// assert_eq!(config.audiences(), ["https://orders.example"]);
///
/// // An API must know which tokens are meant for it.
/// let error = Config::builder().environment(Environment::Sandbox).build_api().unwrap_err();
/// assert_eq!(error.problems()[0].key(), "audiences");
/// # Ok::<_, axum_oten::config::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct ApiConfig {
    pub(crate) issuer: Issuer,
    /// The algorithms that access tokens may be signed with.
    pub(crate) algorithms: Vec<Algorithm>,
    /// The client that has tokens of its own and asks the provider to validate others.
    pub(crate) client: Option<Client>,
    pub(crate) http: HttpOptions,
    /// The token requests per minute of this process; `None` if no limit is known.
    pub(crate) token_budget: Option<u32>,
    pub(crate) settings: ApiSettings,
    pub(crate) trusted_proxies: TrustedProxies,
    pub(super) listen: SocketAddr,
    pub(super) warnings: Vec<Problem>,
}

impl ApiConfig {
    /// The provider whose access tokens are accepted.
    #[must_use]
    pub fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// The audiences that are this API: an access token must name one of them.
    #[must_use]
    pub fn audiences(&self) -> &[String] {
        &self.settings.audiences
    }

    /// How access tokens are validated.
    #[must_use]
    pub fn token_validation(&self) -> TokenValidation {
        self.settings.validation
    }

    /// The address and port to listen on. The layer itself does not listen.
    #[must_use]
    pub fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// The settings that work but should be changed, to be logged at start.
    #[must_use]
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }
}
