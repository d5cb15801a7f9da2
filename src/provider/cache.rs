use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use time::OffsetDateTime;
use tokio::sync::Mutex;

use super::ProviderError;
use crate::{audit::TARGET, clock::Clock};

/// After a failure the provider is left in peace for this long, or for longer if it said so.
const REST: Duration = Duration::from_secs(5);

/// A document of the provider's. It is fetched by one task at a time, which goes on to its end even
/// if everybody who waits for it goes away.
#[derive(Debug)]
pub(super) struct Cache<T> {
    clock: Clock,
    current: ArcSwapOption<Cached<T>>,
    /// Held during a fetch.
    last_failure: Mutex<Option<(OffsetDateTime, ProviderError)>>,
}

#[derive(Debug)]
pub(super) struct Cached<T> {
    pub(super) document: Arc<T>,
    fetched_at: OffsetDateTime,
}

impl<T: Send + Sync + 'static> Cache<T> {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            current: ArcSwapOption::empty(),
            last_failure: Mutex::new(None),
        }
    }

    /// What is known, if anything.
    pub(super) fn current(&self) -> Option<Arc<Cached<T>>> {
        self.current.load_full()
    }

    /// How old something known is.
    pub(super) fn age(&self, cached: &Cached<T>) -> time::Duration {
        self.clock.now() - cached.fetched_at
    }

    /// Fetches, unless what is there when it is our turn will do, or the last failure is recent.
    pub(super) async fn renew(
        self: &Arc<Self>,
        will_do: impl Fn(&Cached<T>) -> bool + Send + 'static,
        fetch: impl Future<Output = Result<T, ProviderError>> + Send + 'static,
    ) -> Result<Arc<Cached<T>>, ProviderError> {
        let this = Arc::clone(self);
        tokio::spawn(async move { this.renew_now(will_do, fetch).await })
            .await
            .unwrap_or(Err(ProviderError::Aborted))
    }

    /// The same while nobody waits. What is known goes on until it has succeeded.
    pub(super) fn renew_in_background(
        self: &Arc<Self>,
        will_do: impl Fn(&Cached<T>) -> bool + Send + 'static,
        fetch: impl Future<Output = Result<T, ProviderError>> + Send + 'static,
    ) {
        let this = Arc::clone(self);
        tokio::spawn(async move { this.renew_now(will_do, fetch).await });
    }

    async fn renew_now(
        &self,
        will_do: impl Fn(&Cached<T>) -> bool + Send,
        fetch: impl Future<Output = Result<T, ProviderError>> + Send,
    ) -> Result<Arc<Cached<T>>, ProviderError> {
        let mut last_failure = self.last_failure.lock().await;
        if let Some(current) = self.current().filter(|current| will_do(current)) {
            return Ok(current);
        }
        if let Some((at, error)) = &*last_failure {
            let rest = error.retry_after().unwrap_or_default().max(REST);
            if self.clock.now() - *at < rest {
                return Err(error.clone());
            }
        }
        match fetch.await {
            Ok(document) => {
                let cached = Arc::new(Cached {
                    document: Arc::new(document),
                    fetched_at: self.clock.now(),
                });
                *last_failure = None;
                self.current.store(Some(Arc::clone(&cached)));
                Ok(cached)
            }
            Err(error) => {
                let goes_on = if self.current().is_some() {
                    "what is known goes on"
                } else {
                    "nothing is known yet"
                };
                tracing::warn!(target: TARGET, %error, "the provider could not be asked; {goes_on}");
                *last_failure = Some((self.clock.now(), error.clone()));
                Err(error)
            }
        }
    }
}
