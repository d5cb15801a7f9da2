use std::{fmt, sync::Arc};

use tokio_util::task::AbortOnDropHandle;

use super::{
    Finding, Report,
    checks::{SEALING, STORE},
    configuration, provider,
    report::Reporter,
    request_object, separation,
    store::Subject,
};
use crate::{
    clock::Clock,
    config::{ConfigBuilder, ConfigError, Partial},
    provider::ProviderMetadata,
    store::OtenStore,
};

/// Everything the doctor does in one visit. Nothing is asked before [`run`](Self::run).
///
/// The provider is asked for its discovery document and its keys, and gets one token request with a
/// made-up code, which counts against its limit. One record is written to the store and removed; a
/// SQLite file that is not there yet is not made.
#[must_use = "nothing is checked before `run`"]
pub struct Checkup {
    settings: Partial,
    other: Option<Partial>,
    store: Option<Arc<dyn OtenStore>>,
    clock: Clock,
    offline: bool,
}

/// What happens in a checkup, as it happens.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Progress<'a> {
    /// This is being waited for, up to some seconds.
    WaitsFor(&'static str),
    /// This was found.
    Found(&'a Finding),
}

impl Checkup {
    /// A checkup of these settings, or of what made them unreadable:
    /// [`ConfigBuilder::from_file`]'s answer as it is, or `Ok` of a builder.
    pub fn new(settings: Result<ConfigBuilder, ConfigError>) -> Self {
        Self {
            settings: examine(settings),
            other: None,
            store: None,
            clock: Clock::system(),
            offline: false,
        }
    }

    /// Also looks whether these settings of another environment share anything with the first ones
    /// that must not be shared. By default there is nothing to compare with.
    ///
    /// Read them with [`ConfigBuilder::from_toml`]: the environment variables belong to the first
    /// ones.
    pub fn against(mut self, other: Result<ConfigBuilder, ConfigError>) -> Self {
        self.other = Some(examine(other));
        self
    }

    /// Looks at this store. By default it is opened where `session_store` says.
    pub fn store(mut self, store: impl OtenStore) -> Self {
        self.store = Some(Arc::new(store));
        self
    }

    /// Takes the time from `clock`; by default from the system's.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Does not ask the provider, whose checks are skipped then. By default it is asked.
    pub fn offline(mut self) -> Self {
        self.offline = true;
        self
    }

    /// Looks at everything. `observe` hears of each finding at once, in the order of
    /// [`Check::all`](super::Check::all), and of what is being waited for.
    ///
    /// It ends within a minute, whoever does not answer. Must be called within a Tokio runtime.
    pub async fn run(self, mut observe: impl FnMut(Progress<'_>) + Send) -> Report {
        let Self {
            settings,
            other,
            store,
            clock,
            offline,
        } = self;
        let mut report = Reporter::new(&mut observe);
        configuration::check(&settings, &mut report);
        // The store need not wait for the provider; it is told when its turn comes.
        let store = Subject::new(&settings, store, &clock).check();
        let store = AbortOnDropHandle::new(tokio::spawn(store));
        let metadata = if offline {
            provider::skip("not asked: offline", &mut report);
            None
        } else {
            provider::check(&settings, &clock, &mut report).await
        };
        let issuer = metadata.as_ref().map(ProviderMetadata::issuer);
        report.found(request_object::check(&settings, issuer, &clock));
        report.waits_for("the session store");
        let store = store.await;
        for finding in store.unwrap_or_else(|_| {
            [&STORE, &SEALING].map(|check| check.skipped("the process is ending"))
        }) {
            report.found(finding);
        }
        if let Some(other) = other {
            separation::check(&settings, &other, &mut report);
        }
        report.into_report()
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

impl fmt::Debug for Checkup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checkup")
            .field("settings", &self.settings)
            .field("against", &self.other)
            .field("offline", &self.offline)
            .finish_non_exhaustive()
    }
}
