use std::{sync::Arc, time::Duration};

use time::OffsetDateTime;
use tokio::{
    join,
    sync::{Mutex, OwnedMutexGuard},
    time::timeout,
};

use super::Oten;
use crate::{audit::TARGET, clock::Clock, error::with_causes, provider::Provider, store::Records};

/// An answer serves everybody who asks within this time: a storm of probes is one probe.
const KEPT_FOR: Duration = Duration::from_secs(1);

/// A provider that answers later is asked on in the background: nobody is kept waiting for what is
/// not fatal.
const PROVIDER_PATIENCE: Duration = Duration::from_millis(500);

/// Whether the site can do its work: what a load balancer wants to know.
///
/// [`Oten::readiness`] finds it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Readiness {
    /// The session store: a record was written, read and removed.
    pub store: Health,
    /// The provider: its discovery document was read less than 30 seconds ago, or now.
    pub provider: Health,
}

/// How something is that the site depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Health {
    /// It answers as it should.
    Ok,
    /// It does not answer in time, or not as it should; the log says why.
    Unreachable,
}

impl Readiness {
    /// Whether requests should be sent here. The provider does not decide it: while it is away,
    /// whoever is signed in goes on, and every other process of the site is no better off.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.store == Health::Ok
    }
}

impl Health {
    /// `ok` or `unreachable`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unreachable => "unreachable",
        }
    }
}

impl Oten {
    /// Whether the site can do its work. It takes 2 seconds at most, and asks once a second at
    /// most, however often it is called.
    ///
    /// ```
    /// use axum_oten::web::Health;
    /// # use axum_oten::{Config, MemoryStore, Oten};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let config = Config::builder()
    /// #     .issuer("http://127.0.0.1:1") // nobody listens there
    /// #     .client_id("my-site")
    /// #     .client_secret("a-secret-of-at-least-32-bytes-as-Oten-makes-them")
    /// #     .redirect_uri("http://localhost:3000/callback");
    /// let oten = Oten::new(config.build()?, MemoryStore::default())?;
    /// let readiness = oten.readiness().await;
    /// assert!(readiness.is_ready());
    /// // Here the provider is away: nobody can sign in, and that is no reason to leave.
    /// assert_eq!(readiness.provider, Health::Unreachable);
    /// # Ok(()) }
    /// ```
    pub async fn readiness(&self) -> Readiness {
        let inner = self.inner();
        inner.prober.readiness(&inner.provider).await
    }
}

/// Finds out, one at a time.
pub(super) struct Prober {
    records: Records,
    /// Held while one finds out.
    last: Arc<Mutex<Last>>,
}

type Last = Option<(OffsetDateTime, Readiness)>;

impl Prober {
    pub(super) fn new(records: Records) -> Self {
        Self {
            records,
            last: Arc::default(),
        }
    }

    async fn readiness(&self, provider: &Arc<Provider>) -> Readiness {
        let last = Arc::clone(&self.last).lock_owned().await;
        if let Some((at, readiness)) = *last
            && is_recent(self.records.clock(), at)
        {
            return readiness;
        }
        // Whoever asked may hang up: what lies in the store is still removed, and the next one has
        // the answer.
        let found = find_out(self.records.clone(), Arc::clone(provider), last);
        tokio::spawn(found).await.unwrap_or(Readiness {
            store: Health::Unreachable,
            provider: Health::Unreachable,
        })
    }
}

async fn find_out(
    records: Records,
    provider: Arc<Provider>,
    mut last: OwnedMutexGuard<Last>,
) -> Readiness {
    let (store, provider) = join!(probe(&records), reach(&provider));
    let readiness = Readiness { store, provider };
    *last = Some((records.clock().now(), readiness));
    readiness
}

/// A clock that was set back makes nothing recent.
fn is_recent(clock: &Clock, at: OffsetDateTime) -> bool {
    let age = clock.now() - at;
    !age.is_negative() && age < KEPT_FOR
}

async fn probe(records: &Records) -> Health {
    match records.probe().await {
        Ok(_) => Health::Ok,
        Err(error) => {
            let cause = with_causes(&error);
            tracing::warn!(target: TARGET, cause, "the session store is not ready");
            Health::Unreachable
        }
    }
}

async fn reach(provider: &Provider) -> Health {
    match timeout(PROVIDER_PATIENCE, provider.check_reachable()).await {
        Ok(Ok(())) => Health::Ok,
        // Why is in the log already.
        Ok(Err(_)) | Err(_) => Health::Unreachable,
    }
}
