use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use time::{Duration, OffsetDateTime};
use tokio::{
    sync::{Mutex, watch},
    task::JoinHandle,
    time::timeout,
};

use super::error::ProviderError;
use crate::{audit::TARGET, clock::Clock, error::with_causes};

/// The pause after a failed fetch, unless the provider asks for a longer one.
const RETRY_INTERVAL: std::time::Duration = std::time::Duration::from_secs(5);

/// How long a caller that has an old document waits for a newer one.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(2);

/// A document of the provider. One task at a time fetches it, and completes even if the callers
/// waiting for it are cancelled.
#[derive(Debug)]
pub(super) struct Cache<T> {
    clock: Clock,
    current: watch::Sender<Option<Arc<Cached<T>>>>,
    /// Whether the last fetch has failed.
    is_failing: AtomicBool,
    /// Locked during a fetch.
    last_failure: Mutex<Option<(OffsetDateTime, ProviderError)>>,
}

#[derive(Debug)]
struct Cached<T> {
    document: Arc<T>,
    fetched_at: OffsetDateTime,
}

impl<T: Send + Sync + 'static> Cache<T> {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            current: watch::Sender::new(None),
            is_failing: AtomicBool::new(false),
            last_failure: Mutex::new(None),
        }
    }

    /// Returns the cached document. Starts `fetch` in the background if the document is older than
    /// `max_age`.
    pub(super) fn get(
        self: &Arc<Self>,
        max_age: Duration,
        fetch: impl Future<Output = Result<T, ProviderError>> + Send + 'static,
    ) -> Option<Arc<T>> {
        let cached = self.current.borrow().clone()?;
        // A task waits until the one before it has ended: no others are started meanwhile.
        if self.age_of(&cached) >= max_age && self.last_failure.try_lock().is_ok() {
            self.spawn(move |_, age| Ok(age < max_age), fetch);
        }
        Some(Arc::clone(&cached.document))
    }

    /// Whether the cached document is this old, and a newer one may be expected soon.
    pub(super) fn is_worth_waiting(&self, age: Duration) -> bool {
        let cached = self.current.borrow();
        let is_old = cached
            .as_ref()
            .is_some_and(|cached| self.age_of(cached) >= age);
        is_old && !self.is_failing.load(Ordering::Relaxed)
    }

    /// Returns the document that `fetch` returns if the cached one is older than `max_age`, or the cached one
    /// if that fails or takes longer than [`PATIENCE`].
    pub(super) async fn get_newer(
        self: &Arc<Self>,
        max_age: Duration,
        fetch: impl Future<Output = Result<T, ProviderError>> + Send + 'static,
    ) -> Option<Arc<T>> {
        let fetched = self.spawn(move |_, age| Ok(age < max_age), fetch);
        if let Ok(Ok(Ok(document))) = timeout(PATIENCE, fetched).await {
            return Some(document);
        }
        let cached = self.current.borrow().clone();
        cached.map(|cached| Arc::clone(&cached.document))
    }

    /// Waits for the lock, then returns the cached document if `accept` approves it and its age,
    /// or else the result of `fetch`. Returns the error of `accept`, and the last error while that is
    /// recent.
    pub(super) async fn refresh(
        self: &Arc<Self>,
        accept: impl Fn(&T, Duration) -> Result<bool, ProviderError> + Send + 'static,
        fetch: impl Future<Output = Result<T, ProviderError>> + Send + 'static,
    ) -> Result<Arc<T>, ProviderError> {
        self.spawn(accept, fetch)
            .await
            .unwrap_or(Err(ProviderError::Aborted))
    }

    fn spawn(
        self: &Arc<Self>,
        accept: impl Fn(&T, Duration) -> Result<bool, ProviderError> + Send + 'static,
        fetch: impl Future<Output = Result<T, ProviderError>> + Send + 'static,
    ) -> JoinHandle<Result<Arc<T>, ProviderError>> {
        let this = Arc::clone(self);
        tokio::spawn(async move {
            let mut last_failure = this.last_failure.lock().await;
            let current = this.current.borrow().clone();
            if let Some(cached) = &current
                && accept(&cached.document, this.age_of(cached))?
            {
                return Ok(Arc::clone(&cached.document));
            }
            if let Some((at, error)) = &*last_failure {
                let pause = error.retry_after().unwrap_or_default().max(RETRY_INTERVAL);
                let elapsed = this.clock.now() - *at;
                // A negative time means that the clock was set back.
                if !elapsed.is_negative() && elapsed < pause {
                    return Err(error.clone());
                }
            }
            let fetched = fetch.await;
            this.is_failing.store(fetched.is_err(), Ordering::Relaxed);
            let now = this.clock.now();
            match fetched {
                Ok(document) => {
                    let document = Arc::new(document);
                    *last_failure = None;
                    this.current.send_replace(Some(Arc::new(Cached {
                        document: Arc::clone(&document),
                        fetched_at: now,
                    })));
                    Ok(document)
                }
                Err(error) => {
                    let fallback = match current {
                        Some(_) => "the cached document stays in use",
                        None => "no document is cached",
                    };
                    tracing::warn!(
                        target: TARGET,
                        error = with_causes(&error),
                        "fetching a document failed; {fallback}"
                    );
                    *last_failure = Some((now, error.clone()));
                    Err(error)
                }
            }
        })
    }

    /// After the clock was set back, the age is unknown and the document counts as old.
    fn age_of(&self, cached: &Cached<T>) -> Duration {
        let age = self.clock.now() - cached.fetched_at;
        if age.is_negative() {
            Duration::MAX
        } else {
            age
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_clock_that_was_set_back_does_not_prolong_the_pause_after_a_failure() {
        let clock = Clock::manual();
        let cache = Arc::new(Cache::new(clock.clone()));
        let failed_at = clock.now() + Duration::DAY;
        *cache.last_failure.lock().await = Some((failed_at, ProviderError::UnknownKey));
        let fetched = cache.refresh(|_, _| Ok(false), async { Ok(1) }).await;
        assert_eq!(fetched, Ok(Arc::new(1)));
    }

    #[tokio::test]
    async fn a_document_is_old_after_the_clock_was_set_back() {
        let clock = Clock::manual();
        let cache = Arc::new(Cache::new(clock.clone()));
        cache.current.send_replace(Some(Arc::new(Cached {
            document: Arc::new(1),
            fetched_at: clock.now() + Duration::DAY,
        })));
        let is_recent = |_: &_, age| Ok(age < Duration::HOUR);
        let fetched = cache.refresh(is_recent, async { Ok(2) }).await;
        assert_eq!(fetched, Ok(Arc::new(2)));
    }

    #[tokio::test]
    async fn one_task_waits_for_a_document_that_is_old() {
        let cache = Arc::new(Cache::new(Clock::manual()));
        let first = cache.refresh(|_, _| Ok(false), async { Ok(1) });
        assert!(first.await.is_ok());
        for _ in 0..100 {
            let document = cache.get(Duration::ZERO, std::future::pending());
            assert_eq!(document, Some(Arc::new(1)));
            tokio::task::yield_now().await;
        }
        assert_eq!(Arc::strong_count(&cache), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_fetch_that_hangs_delays_a_caller_with_an_old_document_by_two_seconds() {
        let clock = Clock::manual();
        let cache = Arc::new(Cache::new(clock.clone()));
        let first = cache.refresh(|_, _| Ok(false), async { Ok(1) });
        assert!(first.await.is_ok());
        clock.advance(2 * PATIENCE);
        let asked_at = tokio::time::Instant::now();
        let document = cache.get_newer(Duration::SECOND, std::future::pending());
        assert_eq!(document.await, Some(Arc::new(1)));
        assert_eq!(asked_at.elapsed().as_secs(), 2);
    }
}
