use std::{fmt, sync::Arc};

use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use url::form_urlencoded;

use super::{
    bearer::{Api, Verifier},
    cookies::Cookies,
    outgoing::Outgoing,
    page::Pages,
    readiness::ReadinessCheck,
};
use crate::{
    audit::{AuditLog, AuditTrail, TARGET},
    clock::Clock,
    config::{ClientType, Config, Rule, route},
    metric,
    protocol::AuthorizationRequests,
    provider::{Budget, Provider},
    seal::Sealer,
    session::{
        KeptForms, Lifetimes, LoginAttempts, MAX_REVOCATIONS, ReturnTo, Revoker, Sessions,
        TokenRefresher, UserInfos,
    },
    store::{OtenStore, Realm, Records},
};

/// State shared by the layers, routes and extractors of one [`Oten`](super::Oten).
pub(super) struct Shared {
    pub(super) config: Config,
    pub(super) clock: Clock,
    pub(super) provider: Arc<Provider>,
    pub(super) sessions: Sessions,
    pub(super) authorization_requests: AuthorizationRequests,
    pub(super) attempts: LoginAttempts,
    pub(super) forms: KeptForms,
    pub(super) cookies: Cookies,
    pub(super) budget: Option<Arc<Budget>>,
    pub(super) outgoing: Outgoing,
    pub(super) userinfo: Arc<UserInfos>,
    pub(super) refresher: TokenRefresher,
    pub(super) readiness: ReadinessCheck,
    pub(super) trail: AuditTrail,
    pub(super) api: Arc<Api>,
    /// `None`: the pages have the layout of this crate.
    pub(super) pages: Option<Arc<dyn Pages>>,
    /// Token refreshes and revocations in the background.
    pub(super) tasks: TaskTracker,
}

/// Error returned when [`Oten`](crate::Oten), [`ResourceServer`](super::ResourceServer) or what they
/// create cannot be set up.
///
/// ```
/// use axum_oten::{Config, MemoryStore, Oten, config::Environment};
/// # use std::time::Duration;
/// # use axum_oten::{store::{Bytes, OtenStore, RecordKey, StoreError, StoredRecord}, web::SetupError};
/// # #[derive(Debug)]
/// # struct SharedStore(MemoryStore);
/// # #[async_trait::async_trait]
/// # impl OtenStore for SharedStore {
/// #     async fn insert(&self, key: &RecordKey, value: &[u8], ttl: Duration)
/// #         -> Result<bool, StoreError> { self.0.insert(key, value, ttl).await }
/// #     async fn load(&self, key: &RecordKey)
/// #         -> Result<Option<StoredRecord>, StoreError> { self.0.load(key).await }
/// #     async fn replace(&self, key: &RecordKey, version: Option<u64>, value: &[u8],
/// #         ttl: Duration) -> Result<bool, StoreError>
/// #         { self.0.replace(key, version, value, ttl).await }
/// #     async fn touch(&self, key: &RecordKey, ttl: Duration)
/// #         -> Result<bool, StoreError> { self.0.touch(key, ttl).await }
/// #     async fn take(&self, key: &RecordKey)
/// #         -> Result<Option<Bytes>, StoreError> { self.0.take(key).await }
/// #     async fn remove_if(&self, key: &RecordKey, value: &[u8])
/// #         -> Result<bool, StoreError> { self.0.remove_if(key, value).await }
/// #     async fn add_member(&self, set: &RecordKey, member: &str, ttl: Duration, limit: usize)
/// #         -> Result<Vec<String>, StoreError>
/// #         { self.0.add_member(set, member, ttl, limit).await }
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
/// // An in-process store needs no key, an external store does: it holds tokens.
/// assert!(Oten::new(config.clone().build()?, MemoryStore::default()).is_ok());
/// let error = Oten::new(config.clone().build()?, shared_store());
/// assert!(matches!(error, Err(SetupError::NoSessionKey)));
///
/// let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="; // from a file or the environment
/// assert!(Oten::new(config.session_key(key).build()?, shared_store()).is_ok());
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// The HTTP client for calls to the provider cannot be set up.
    #[error(
        "the HTTP client for calls to the provider cannot be set up; check that the system's CA \
         certificates are readable"
    )]
    HttpClient(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The URL of [`Oten::api_proxy`](crate::Oten::api_proxy) is not usable.
    #[error(
        "the URL of the API must be an absolute https URL without user name, query and fragment; \
         plain http is only for `localhost`, `127.0.0.1` and `[::1]`"
    )]
    ApiUrl,
    /// A header of [`Oten::api_proxy_with_headers`](crate::Oten::api_proxy_with_headers) is not a name, or cannot
    /// be forwarded.
    #[error(
        "the header `{0}` cannot be forwarded to the API: it is not a name, the proxy sets it, or it is for \
         this site or one connection"
    )]
    ApiHeader(String),
    /// The store is external and no
    /// [`session_key`](crate::config::ConfigBuilder::session_key) encrypts the tokens in it.
    #[error(
        "the session store is external, and no key encrypts the tokens in it; create a key with \
         `oten keygen session` or `openssl rand -base64 32` and set OTEN_SESSION_KEY to it"
    )]
    NoSessionKey,
    /// The environment is production and the store keeps its records in this process
    /// ([`is_external`](OtenStore::is_external)).
    #[error(
        "the session store is in-process, so a restart signs every user out and a second process \
         does not know the sessions; production requires an external store: open one with \
         `store::open`, such as `sqlite:PATH`, `postgres://…` or `redis://…`"
    )]
    StoreInProcess,
    /// The client is public or has no secret, so it has no tokens of its own (RFC 6749 section 4.4).
    #[error(
        "tokens of the client itself require a confidential client; set `client_id` and \
         `client_secret`, and do not set `client_type` to `public`"
    )]
    NoClientSecret,
    /// The text is not an origin to which access tokens may be sent.
    #[error(
        "`{0}` is not an origin for access tokens; write `https://HOST`, without a path, or \
         `http://` with a loopback host"
    )]
    ApiOrigin(String),
    /// The configuration has no access rule with this name.
    #[error("there is no access rule `{0}`; write it into the configuration as `[access.{0}]`")]
    UnknownRule(String),
}

impl Shared {
    pub(super) fn new(
        config: Config,
        store: Arc<dyn OtenStore>,
        clock: Clock,
        audit: Option<Arc<dyn AuditLog>>,
    ) -> Result<Self, SetupError> {
        if config.issuer().is_production() && !store.is_external() {
            return Err(SetupError::StoreInProcess);
        }
        // Records of an in-process store are as safe as the key itself.
        let sealer = if store.is_external() {
            let sealer = Sealer::new(config.session_keys());
            Some(sealer.ok_or(SetupError::NoSessionKey)?)
        } else {
            None
        };
        let provider = Provider::new(&config, clock.clone())
            .map(Arc::new)
            .map_err(|error| SetupError::HttpClient(error.into()))?;
        metric::describe();
        log_setup(&config);
        let trail = AuditTrail::new(clock.clone(), metric::count_event)
            .with_audit_log(audit)
            .with_plain_subjects(config.log_subjects());
        let realm = Realm::new(&config);
        let records = Records::new(store, clock.clone())
            .with_realm(realm)
            .with_sealer(sealer)
            .with_trail(trail.clone());
        let lifetimes = Lifetimes {
            idle: config.session_idle(),
            guest_idle: config.guest_session_idle(),
            absolute: config.session_lifetime(),
        };
        let tasks = TaskTracker::new();
        let revoker = Revoker {
            provider: Arc::clone(&provider),
            client: config.client().clone(),
            tasks: tasks.clone(),
            trail: trail.clone(),
            slots: Arc::new(Semaphore::new(MAX_REVOCATIONS)),
        };
        let per_user = config.sessions_per_user();
        let per_user = usize::try_from(per_user).unwrap_or(usize::MAX);
        let sessions = Sessions::new(records.clone(), lifetimes, per_user, revoker);
        let budget = config
            .token_budget()
            .map(|limit| Arc::new(Budget::new(limit, clock.clone())));
        let client_id = config.client().id();
        let userinfo = UserInfos::new(Arc::clone(&provider), client_id, clock.clone());
        let userinfo = Arc::new(userinfo);
        let adds_claims = config.claims_from_userinfo();
        let refresher = TokenRefresher::new(
            sessions.clone(),
            budget.clone(),
            adds_claims.then(|| Arc::clone(&userinfo)),
        );
        let outgoing = Outgoing {
            provider: Arc::clone(&provider),
            client: Some(config.client().clone()),
            budget: budget.clone(),
            clock: clock.clone(),
            http: config.http_options().clone(),
        };
        let verifier = Verifier::of_app(&config, Arc::clone(&provider), clock.clone());
        let api = Arc::new(Api {
            verifier,
            trail: trail.clone(),
            trusted_proxies: config.trusted_proxies().clone(),
        });
        Ok(Self {
            api,
            pages: None,
            outgoing,
            userinfo,
            provider,
            sessions,
            readiness: ReadinessCheck::new(records.clone()),
            forms: KeptForms::new(records.clone()),
            attempts: LoginAttempts::new(records),
            authorization_requests: AuthorizationRequests::new(&config),
            cookies: Cookies::new(&config),
            budget,
            refresher,
            trail,
            tasks,
            clock,
            config,
        })
    }

    /// Returns a rule with the setting about email addresses.
    pub(super) fn rule(&self, rule: Rule) -> Rule {
        if self.config.trust_emails() {
            rule.trust_emails()
        } else {
            rule
        }
    }

    /// Returns the path of a route as the browser sees it.
    pub(super) fn path(&self, route: &str) -> String {
        format!("{}{route}", self.config.base_path())
    }

    /// Whether a path leads to a route of this module, in any spelling.
    pub(super) fn is_own_page(&self, path: &ReturnTo) -> bool {
        [
            route::LOGIN,
            route::LOGOUT,
            route::BACK_CHANNEL_LOGOUT,
            route::NATIVE_START,
            route::NATIVE_CONFIRM,
            route::NATIVE_TOKEN,
        ]
        .iter()
        .any(|route| path.leads_to(&self.path(route)))
            || path.leads_to(self.config.redirect_uri().path())
    }

    /// Returns the URL of the login route that returns to `return_to` after the sign-in.
    pub(super) fn login_url(&self, return_to: Option<&ReturnTo>) -> String {
        self.login_url_with(None, return_to)
    }

    /// Returns the URL of the login route with a parameter.
    pub(super) fn login_url_with(
        &self,
        parameter: Option<(&str, &str)>,
        return_to: Option<&ReturnTo>,
    ) -> String {
        let return_to = return_to.map(|path| ("return_to", path.as_str()));
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(parameter.into_iter().chain(return_to))
            .finish();
        let separator = if query.is_empty() { "" } else { "?" };
        format!("{}{separator}{query}", self.path(route::LOGIN))
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

fn log_setup(config: &Config) {
    let (client_type, jar) = match config.client().client_type() {
        ClientType::Public => ("public", "none".to_owned()),
        ClientType::Confidential { jar, .. } => ("confidential", jar.to_string()),
    };
    tracing::info!(
        target: TARGET,
        issuer = %config.issuer(),
        client_id = config.client().id(),
        client_type,
        jar,
        "sign-in with Oten is configured"
    );
    for warning in config.warnings() {
        tracing::warn!(target: TARGET, "{warning}");
    }
}
