use std::{fmt, sync::Arc};

use super::{api::Api, layer::RequireBearer, verifier::Verifier};
use crate::{
    audit::{AuditLog, AuditTrail},
    clock::Clock,
    config::ApiConfig,
    metric,
    provider::{Budget, Provider},
    web::{
        outgoing::{ApiClient, ClientCredentials, Outgoing},
        shared::SetupError,
    },
};

/// An API that accepts Oten's access tokens, or a service that calls other APIs, in a program that signs
/// no user in (RFC 6749 section 1.1).
///
/// An API needs no redirect URI, no store and, if the access tokens are JWTs, no client secret. An app
/// that also signs users in calls [`Oten::bearer`](crate::Oten::bearer) instead.
///
/// ```
/// use axum::{Router, body::Body, http::{Request, StatusCode, header}, routing::get};
/// use axum_oten::{Config, config::Environment, web::{BearerToken, ResourceServer}};
/// use tower::ServiceExt;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let config = Config::builder()
///     .environment(Environment::Sandbox)
///     .audiences(["https://orders.example"])
///     .build_api()?;
/// let api = ResourceServer::new(config)?;
/// let app: Router = Router::new()
///     .route("/orders", get(async |token: BearerToken| format!("{:?}", token.subject())))
///     .route_layer(api.bearer().require_scope("orders"))
///     .route("/health", get(async || "ok"));
///
/// let allowed = Request::get("/health").body(Body::empty())?;
/// assert_eq!(app.clone().oneshot(allowed).await?.status(), StatusCode::OK);
/// let denied = app.oneshot(Request::get("/orders").body(Body::empty())?).await?;
/// assert_eq!(denied.status(), StatusCode::UNAUTHORIZED);
/// assert_eq!(denied.headers()[header::WWW_AUTHENTICATE], "Bearer");
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct ResourceServer {
    api: Arc<Api>,
    outgoing: Outgoing,
}

impl ResourceServer {
    /// Creates the HTTP client. Makes no calls to the provider, so the API starts even if the provider
    /// is down.
    ///
    /// # Errors
    ///
    /// Returns [`SetupError`] if the HTTP client cannot be set up.
    pub fn new(config: ApiConfig) -> Result<Self, SetupError> {
        Self::builder(config).build()
    }

    /// Returns a builder that also takes a clock and an audit log.
    pub fn builder(config: ApiConfig) -> ResourceServerBuilder {
        ResourceServerBuilder {
            config,
            clock: Clock::system(),
            audit: None,
        }
    }

    /// Returns the layer for routes that require an access token, for
    /// [`Router::route_layer`](axum::Router::route_layer).
    pub fn bearer(&self) -> RequireBearer {
        RequireBearer::new(Arc::clone(&self.api))
    }

    /// Returns the source of this client's own access tokens (RFC 6749 section 4.4), to call APIs in the
    /// app's own name. Without scopes, the provider grants the client's default ones.
    ///
    /// # Errors
    ///
    /// Returns [`SetupError::NoClientSecret`] if there is no client secret.
    pub fn client_credentials<S: Into<String>>(
        &self,
        scopes: impl IntoIterator<Item = S>,
    ) -> Result<ClientCredentials, SetupError> {
        ClientCredentials::new(&self.outgoing, scopes)
    }

    /// Returns a client for calls to the APIs at these origins, such as `https://orders.example`, with
    /// a token of the client itself.
    ///
    /// # Errors
    ///
    /// Returns [`SetupError::ApiOrigin`] if a text is not an https origin, or http on a loopback host, and
    /// [`SetupError::HttpClient`] if the HTTP client cannot be set up.
    pub fn api_client<S: AsRef<str>>(
        &self,
        origins: impl IntoIterator<Item = S>,
    ) -> Result<ApiClient, SetupError> {
        ApiClient::new(&self.outgoing.http, origins)
    }
}

/// Builder of [`ResourceServer`], returned by [`ResourceServer::builder`].
#[must_use]
pub struct ResourceServerBuilder {
    config: ApiConfig,
    clock: Clock,
    audit: Option<Arc<dyn AuditLog>>,
}

impl ResourceServerBuilder {
    /// Sets the clock. Defaults to the system clock.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Sets the audit log, which receives every event. Defaults to none: events are written to
    /// `tracing` only.
    ///
    /// The log must not block; see [`audit`](crate::audit) for an example.
    pub fn audit(mut self, log: impl AuditLog) -> Self {
        self.audit = Some(Arc::new(log));
        self
    }

    /// Creates the [`ResourceServer`].
    ///
    /// # Errors
    ///
    /// Returns the same error as [`ResourceServer::new`].
    pub fn build(self) -> Result<ResourceServer, SetupError> {
        let Self {
            config,
            clock,
            audit,
        } = self;
        let provider = Provider::for_api(
            &config.issuer,
            &config.algorithms,
            &config.http,
            clock.clone(),
        )
        .map(Arc::new)
        .map_err(|error| SetupError::HttpClient(error.into()))?;
        let verifier = Verifier::of_api(&config, Arc::clone(&provider), clock.clone());
        let budget = config.token_budget;
        let outgoing = Outgoing {
            provider,
            client: config.client,
            budget: budget.map(|limit| Arc::new(Budget::new(limit, clock.clone()))),
            clock: clock.clone(),
            http: config.http,
        };
        metric::describe();
        let trail = AuditTrail::new(clock, metric::count_event).with_audit_log(audit);
        let trusted_proxies = config.trusted_proxies;
        let api = Arc::new(Api {
            verifier,
            trail,
            trusted_proxies,
        });
        Ok(ResourceServer { api, outgoing })
    }
}

impl fmt::Debug for ResourceServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResourceServerBuilder")
            .field("config", &self.config)
            .field("clock", &self.clock)
            .finish_non_exhaustive()
    }
}
