use std::{fmt, sync::Arc};

use super::{api::Api, layer::RequireBearer, verifier::Verifier};
use crate::{
    audit::{AuditLog, AuditTrail},
    clock::Clock,
    config::ApiConfig,
    metric,
    web::shared::SetupError,
};

/// An API that accepts Oten's access tokens and signs no user in (RFC 6749 section 1.1).
///
/// It needs no redirect URI, no store and, if the access tokens are JWTs, no client secret. An app
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
pub struct ResourceServer(Arc<Api>);

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
        RequireBearer::new(Arc::clone(&self.0))
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
        let verifier = Verifier::of_api(&config, clock.clone())
            .map_err(|error| SetupError::HttpClient(error.into()))?;
        metric::describe();
        let trail = AuditTrail::new(clock, metric::count_event).with_audit_log(audit);
        let trusted_proxies = config.trusted_proxies;
        Ok(ResourceServer(Arc::new(Api {
            verifier,
            trail,
            trusted_proxies,
        })))
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
