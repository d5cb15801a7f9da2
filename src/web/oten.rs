use std::{fmt, sync::Arc};

use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::{cookies::Cookies, readiness::Prober};
use crate::{
    audit::{AuditLog, AuditTrail, TARGET},
    clock::Clock,
    config::{ClientType, Config, Jar, route},
    metric,
    provider::{Budget, Provider, ProviderError, ProviderMetadata},
    seal::Sealer,
    session::{
        LEASE_LIFETIME, Lifetimes, LoginAttempts, Revoker, Sessions, TokenRefresher,
        TokenRefresherParts, UsedLogoutTokens,
    },
    store::{OtenStore, Records},
};

/// Sign in with Oten: the configuration, the store, and what is known about the provider.
///
/// One value serves the whole app; clones share their state. See the [crate's example](crate).
#[derive(Clone)]
pub struct Oten(Arc<Inner>);

pub(super) struct Inner {
    pub(super) config: Config,
    pub(super) clock: Clock,
    pub(super) provider: Arc<Provider>,
    pub(super) sessions: Sessions,
    pub(super) attempts: LoginAttempts,
    pub(super) cookies: Cookies,
    pub(super) budget: Option<Arc<Budget>>,
    pub(super) refresher: TokenRefresher,
    pub(super) revoker: Revoker,
    pub(super) prober: Prober,
    pub(super) trail: AuditTrail,
    pub(super) used_logout_tokens: UsedLogoutTokens,
    /// Work that nobody waits for, until the end.
    tasks: TaskTracker,
}

/// Why [`Oten`] cannot be set up.
///
/// ```
/// use axum_oten::{Config, MemoryStore, Oten, config::Environment};
/// # use axum_oten::{store::{OtenStore, RecordKey, StoreError, StoredRecord}, web::SetupError};
/// # #[derive(Debug)]
/// # struct SharedStore(MemoryStore);
/// # #[async_trait::async_trait]
/// # impl OtenStore for SharedStore {
/// #     async fn insert(&self, key: &RecordKey, value: &[u8], end: time::OffsetDateTime)
/// #         -> Result<bool, StoreError> { self.0.insert(key, value, end).await }
/// #     async fn load(&self, key: &RecordKey)
/// #         -> Result<Option<StoredRecord>, StoreError> { self.0.load(key).await }
/// #     async fn replace(&self, key: &RecordKey, version: Option<u64>, value: &[u8],
/// #         end: time::OffsetDateTime) -> Result<bool, StoreError>
/// #         { self.0.replace(key, version, value, end).await }
/// #     async fn touch(&self, key: &RecordKey, end: time::OffsetDateTime)
/// #         -> Result<bool, StoreError> { self.0.touch(key, end).await }
/// #     async fn take(&self, key: &RecordKey)
/// #         -> Result<Option<Vec<u8>>, StoreError> { self.0.take(key).await }
/// #     async fn remove_if(&self, key: &RecordKey, value: &[u8])
/// #         -> Result<bool, StoreError> { self.0.remove_if(key, value).await }
/// #     async fn add_member(&self, set: &RecordKey, member: &str, end: time::OffsetDateTime)
/// #         -> Result<(), StoreError> { self.0.add_member(set, member, end).await }
/// #     async fn members(&self, set: &RecordKey)
/// #         -> Result<Vec<String>, StoreError> { self.0.members(set).await }
/// #     async fn remove_member(&self, set: &RecordKey, member: &str)
/// #         -> Result<(), StoreError> { self.0.remove_member(set, member).await }
/// # }
/// # let shared_store = || SharedStore(MemoryStore::default());
///
/// let config = Config::builder()
///     .environment(Environment::Sandbox)
///     .client_id("my-site")
///     .client_secret("a-secret-of-at-least-32-bytes-as-Oten-makes-them")
///     .redirect_uri("http://localhost:3000/callback");
///
/// // Tokens may lie in this process as they are, and nowhere else.
/// assert!(Oten::new(config.clone().build()?, MemoryStore::default()).is_ok());
/// let refused = Oten::new(config.clone().build()?, shared_store());
/// assert!(matches!(refused, Err(SetupError::NoSessionKey)));
///
/// let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="; // from a file or the environment
/// assert!(Oten::new(config.session_key(key).build()?, shared_store()).is_ok());
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// The HTTP client for calls to the provider cannot be made.
    #[error(
        "the client for calls to the provider cannot be set up; are the system's certificates readable?"
    )]
    HttpClient(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The store keeps records outside this process, and no
    /// [`session_key`](crate::config::ConfigBuilder::session_key) seals the tokens in them.
    #[error(
        "the session store is outside of this process, and no key seals the tokens in it; make a \
         key with `oten keygen session` or `openssl rand -base64 32` and set OTEN_SESSION_KEY to it"
    )]
    NoSessionKey,
    /// In production the store keeps its records in this process
    /// ([`is_external`](OtenStore::is_external)).
    #[error(
        "the session store is in this process, so a restart signs everybody out and a second \
         process knows nobody; production demands one outside: open one with `store::open`, such \
         as `sqlite:PATH`, `postgres://…` or `redis://…`"
    )]
    StoreInProcess,
}

impl Oten {
    /// Sets up signing in. Nothing is fetched: the app starts while the provider is down.
    ///
    /// # Errors
    ///
    /// [`SetupError`] when the machine lacks something that is needed, or the store a key, and in
    /// production when the store is in this process.
    pub fn new(config: Config, store: impl OtenStore) -> Result<Self, SetupError> {
        Self::builder(config, store).build()
    }

    /// Sets up signing in, with another clock if need be.
    pub fn builder(config: Config, store: impl OtenStore) -> OtenBuilder {
        OtenBuilder {
            config,
            store: Arc::new(store),
            clock: Clock::system(),
            audit: None,
        }
    }

    /// The configuration in use.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// The path of the login route as a browser sees it, `/login` under the base path.
    #[must_use]
    pub fn login_path(&self) -> String {
        self.path(route::LOGIN)
    }

    /// The path of the logout route as a browser sees it, `/logout` under the base path.
    #[must_use]
    pub fn logout_path(&self) -> String {
        self.path(route::LOGOUT)
    }

    /// The provider's endpoints and features, discovered if they are not known yet.
    ///
    /// # Errors
    ///
    /// [`ProviderError`] when they are not known and cannot be had now.
    pub async fn provider_metadata(&self) -> Result<Arc<ProviderMetadata>, ProviderError> {
        self.0.provider.metadata().await
    }

    /// The path of the back-channel logout route, `/backchannel-logout` under the base path. With
    /// the site's origin before it, it is the `backchannel_logout_uri` to register with Oten (OpenID
    /// Connect Back-Channel Logout 1.0 section 2.2).
    #[must_use]
    pub fn back_channel_logout_path(&self) -> String {
        self.path(route::BACK_CHANNEL_LOGOUT)
    }

    /// The path of [`jwks_route`](Self::jwks_route) as a browser sees it, `/.well-known/jwks.json`
    /// under the base path. [`Config::jwks_uri`] is the whole URL, to be registered with Oten.
    #[must_use]
    pub fn jwks_path(&self) -> String {
        self.path(route::JWKS)
    }

    /// Waits until no tokens are being renewed or revoked, 15 seconds at most. Call it when the
    /// server has stopped and before the process ends: a renewal that is cut off costs its user a
    /// new sign-in.
    pub async fn shutdown(&self) {
        self.0.tasks.close();
        // What began before has ended by then, or another process may have taken it over.
        if timeout(LEASE_LIFETIME, self.0.tasks.wait()).await.is_err() {
            tracing::warn!(
                target: TARGET,
                tasks = self.0.tasks.len(),
                "tokens were still being renewed or revoked when there was no more time"
            );
        }
    }

    fn path(&self, route: &str) -> String {
        format!("{}{route}", self.0.config.base_path())
    }

    pub(super) fn inner(&self) -> &Inner {
        &self.0
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Oten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Oten")
            .field("config", &self.0.config)
            .finish_non_exhaustive()
    }
}

/// A builder of [`Oten`].
#[must_use]
pub struct OtenBuilder {
    config: Config,
    store: Arc<dyn OtenStore>,
    clock: Clock,
    audit: Option<Arc<dyn AuditLog>>,
}

impl OtenBuilder {
    /// Takes the time from `clock`; by default from the system's.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Hands every event to `log` as well. By default events are in the log of `tracing` only.
    ///
    /// See [`audit`](crate::audit) for an example. **It must not block.**
    pub fn audit(mut self, log: impl AuditLog) -> Self {
        self.audit = Some(Arc::new(log));
        self
    }

    /// Sets up signing in.
    ///
    /// # Errors
    ///
    /// [`SetupError`] when the machine lacks something that is needed, or the store a key, and in
    /// production when the store is in this process.
    pub fn build(self) -> Result<Oten, SetupError> {
        let Self {
            config,
            store,
            clock,
            audit,
        } = self;
        if config.issuer().is_production() && !store.is_external() {
            return Err(SetupError::StoreInProcess);
        }
        let sealer = Sealer::new(config.session_keys(), config.client().id());
        if sealer.is_none() && store.is_external() {
            return Err(SetupError::NoSessionKey);
        }
        let provider = Provider::new(&config, clock.clone())
            .map_err(|error| SetupError::HttpClient(error.into()))?;
        metric::describe();
        announce(&config);
        let trail = AuditTrail::new(clock.clone(), metric::count_event)
            .with_audit_log(audit)
            .with_plain_subjects(config.log_subjects());
        let records = Records::new(store, clock.clone())
            .with_sealer(sealer)
            .with_trail(trail.clone());
        let lifetimes = Lifetimes {
            idle: config.session_idle(),
            absolute: config.session_lifetime(),
        };
        let provider = Arc::new(provider);
        let client_id = config.client().id();
        let sessions = Sessions::new(records.clone(), lifetimes, client_id);
        let tasks = TaskTracker::new();
        let revoker = Revoker {
            provider: Arc::clone(&provider),
            client: config.client().clone(),
            endpoint: config.revocation_endpoint().cloned(),
            tasks: tasks.clone(),
            trail: trail.clone(),
        };
        let budget = config.token_budget().map(Budget::new).map(Arc::new);
        let refresher = TokenRefresher::new(TokenRefresherParts {
            sessions: sessions.clone(),
            provider: Arc::clone(&provider),
            client: config.client().clone(),
            budget: budget.clone(),
            revoker: revoker.clone(),
            tasks: tasks.clone(),
            trail: trail.clone(),
        });
        Ok(Oten(Arc::new(Inner {
            provider,
            sessions,
            used_logout_tokens: UsedLogoutTokens::new(records.clone(), client_id),
            prober: Prober::new(records.clone()),
            attempts: LoginAttempts::new(records),
            cookies: Cookies::new(&config),
            budget,
            refresher,
            revoker,
            trail,
            tasks,
            clock,
            config,
        })))
    }
}

impl fmt::Debug for OtenBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OtenBuilder")
            .field("config", &self.config)
            .field("store", &self.store)
            .field("clock", &self.clock)
            .finish_non_exhaustive()
    }
}

fn announce(config: &Config) {
    let (client_type, jar) = match config.client().kind() {
        ClientType::Public => ("public", "none"),
        ClientType::Confidential { jar, .. } => (
            "confidential",
            match jar {
                Jar::Hs256 => "HS256",
                Jar::EdDsa(_) => "EdDSA",
                Jar::Off => "off",
            },
        ),
    };
    tracing::info!(
        target: TARGET,
        issuer = %config.issuer(),
        client_id = config.client().id(),
        client_type,
        jar,
        "signing in with Oten is set up"
    );
    for warning in config.warnings() {
        tracing::warn!(target: TARGET, "{warning}");
    }
}
