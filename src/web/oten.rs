use std::{fmt, sync::Arc};

use super::{cookies::Cookies, subjects::Subjects};
use crate::{
    clock::Clock,
    config::{ClientType, Config, Jar},
    provider::{Provider, ProviderError, ProviderMetadata},
    session::{Lifetimes, LoginAttempts, Records, Sessions},
    store::OtenStore,
};

/// Sign in with Oten: the configuration, the store, and what is known about the provider.
///
/// One value serves the whole app; clones share their state. See the [crate's example](crate).
#[derive(Clone)]
pub struct Oten(Arc<Inner>);

pub(super) struct Inner {
    pub(super) config: Config,
    pub(super) clock: Clock,
    pub(super) provider: Provider,
    pub(super) sessions: Sessions,
    pub(super) attempts: LoginAttempts,
    pub(super) cookies: Cookies,
    pub(super) subjects: Subjects,
}

/// Why [`Oten`] cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// The HTTP client for calls to the provider cannot be made.
    #[error(
        "the client for calls to the provider cannot be set up; are the system's certificates readable?"
    )]
    HttpClient(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Oten {
    /// Sets up signing in. Nothing is fetched: the app starts while the provider is down.
    ///
    /// # Errors
    ///
    /// [`SetupError::HttpClient`] when the system's certificates cannot be read.
    pub fn new(config: Config, store: impl OtenStore) -> Result<Self, SetupError> {
        Self::builder(config, store).build()
    }

    /// Sets up signing in, with another clock if need be.
    pub fn builder(config: Config, store: impl OtenStore) -> OtenBuilder {
        OtenBuilder {
            config,
            store: Arc::new(store),
            clock: Clock::system(),
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
        format!("{}/login", self.0.config.base_path())
    }

    /// The path of the logout route as a browser sees it, `/logout` under the base path.
    #[must_use]
    pub fn logout_path(&self) -> String {
        format!("{}/logout", self.0.config.base_path())
    }

    /// The provider's endpoints and features, discovered if they are not known yet.
    ///
    /// # Errors
    ///
    /// [`ProviderError`] when they are not known and cannot be had now.
    pub async fn provider_metadata(&self) -> Result<Arc<ProviderMetadata>, ProviderError> {
        self.0.provider.metadata().await
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
#[derive(Debug)]
#[must_use]
pub struct OtenBuilder {
    config: Config,
    store: Arc<dyn OtenStore>,
    clock: Clock,
}

impl OtenBuilder {
    /// Takes the time from `clock`; by default from the system's.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Sets up signing in.
    ///
    /// # Errors
    ///
    /// [`SetupError::HttpClient`] when the system's certificates cannot be read.
    pub fn build(self) -> Result<Oten, SetupError> {
        let Self {
            config,
            store,
            clock,
        } = self;
        let provider = Provider::new(config.issuer().clone(), clock.clone())
            .map_err(|error| SetupError::HttpClient(error.into()))?;
        announce(&config);
        let records = Records::new(store, clock.clone());
        let lifetimes = Lifetimes {
            idle: config.session_idle(),
            absolute: config.session_lifetime(),
        };
        Ok(Oten(Arc::new(Inner {
            provider,
            sessions: Sessions::new(records.clone(), lifetimes),
            attempts: LoginAttempts::new(records),
            cookies: Cookies::new(&config),
            subjects: Subjects::new(config.log_subjects()),
            clock,
            config,
        })))
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
        target: "axum_oten",
        issuer = %config.issuer(),
        client_id = config.client().id(),
        client_type,
        jar,
        "signing in with Oten is set up"
    );
    for warning in config.warnings() {
        tracing::warn!(target: "axum_oten", "{warning}");
    }
}
