use std::{fmt, sync::Arc};

use tokio_util::task::AbortOnDropHandle;

use super::{
    client,
    finding::{SEALING, STORE},
    provider,
    report::{Progress, Report, Reporter},
    separation, settings,
    store::StoreCheck,
};
use crate::{
    clock::Clock,
    config::{ConfigBuilder, ConfigError, Partial},
    provider::ProviderMetadata,
    store::OtenStore,
};

/// Runs all checks.
///
/// [`run`](Self::run) fetches the provider's discovery document and key set. It sends a token request
/// with an invalid code, up to three times if the provider is busy; each counts against the client's
/// limit. It writes one record to the store and removes it. It does not create a missing SQLite file.
#[must_use = "a checker does nothing until `run` is called"]
pub struct Checker {
    settings: Partial,
    other: Option<Partial>,
    store: Option<Arc<dyn OtenStore>>,
    clock: Clock,
    offline: bool,
}

impl Checker {
    /// Creates a checker for these settings.
    ///
    /// Pass the result of [`ConfigBuilder::from_file`], or `Ok` with a builder. An error becomes a
    /// failed finding.
    pub fn new(settings: Result<ConfigBuilder, ConfigError>) -> Self {
        Self {
            settings: examine(settings),
            other: None,
            store: None,
            clock: Clock::system(),
            offline: false,
        }
    }

    /// Also checks that the settings of another environment share no secret and no store with these.
    ///
    /// Not set by default. Read the other settings with [`ConfigBuilder::from_toml`], because the
    /// environment variables belong to the first ones.
    pub fn against(mut self, other: Result<ConfigBuilder, ConfigError>) -> Self {
        self.other = Some(examine(other));
        self
    }

    /// Sets the store to check. Defaults to the store that `session_store` names.
    pub fn store(mut self, store: impl OtenStore) -> Self {
        self.store = Some(Arc::new(store));
        self
    }

    /// Sets the clock. Defaults to the system's clock.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Skips all checks that call the provider. By default they run.
    pub fn offline(mut self) -> Self {
        self.offline = true;
        self
    }

    /// Runs the checks, in less than a minute.
    ///
    /// Calls `observe` with each finding as it is made, in the order of
    /// [`Check::all`](super::Check::all), and before each wait.
    ///
    /// # Panics
    ///
    /// Panics outside of a Tokio runtime.
    pub async fn run(self, mut observe: impl FnMut(Progress<'_>) + Send) -> Report {
        let Self {
            settings,
            other,
            store,
            clock,
            offline,
        } = self;
        let mut report = Reporter::new(&mut observe);
        settings::check(&settings, &mut report);
        // The store is checked while the provider is, and reported afterwards.
        let store = StoreCheck::new(&settings, store, &clock).run();
        let store = AbortOnDropHandle::new(tokio::spawn(store));
        let metadata = if offline {
            provider::skip("not checked: offline", &mut report);
            None
        } else {
            // Boxed, because the futures of its checks are large.
            Box::pin(provider::check(&settings, &clock, &mut report)).await
        };
        let issuer = metadata.as_ref().map(ProviderMetadata::issuer);
        report.found(client::check_request_object(&settings, issuer, &clock));
        report.waiting_for("the session store");
        let store = store.await;
        for finding in store.unwrap_or_else(|_| {
            [&STORE, &SEALING].map(|check| check.skipped("the check was aborted"))
        }) {
            report.found(finding);
        }
        if let Some(other) = other {
            separation::check(&settings, &other, &mut report);
        }
        report.report
    }
}

fn examine(settings: Result<ConfigBuilder, ConfigError>) -> Partial {
    match settings {
        Ok(builder) => builder.examine(),
        Err(error) => Partial {
            problems: error.problems().to_vec(),
            ..Partial::default()
        },
    }
}

impl fmt::Debug for Checker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checker")
            .field("settings", &self.settings)
            .field("against", &self.other)
            .field("offline", &self.offline)
            .finish_non_exhaustive()
    }
}
