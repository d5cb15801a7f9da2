use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime},
};

use time::OffsetDateTime;

/// The source of the current time. Defaults to the system's clock; tests can use a manual one.
///
/// ```
/// use axum_oten::Clock;
/// use std::time::Duration;
///
/// let clock = Clock::manual();
/// let start = clock.now();
/// assert!(clock.advance(Duration::from_secs(60)));
/// assert_eq!((clock.now() - start).whole_seconds(), 60);
///
/// // Clones share their time:
/// assert_eq!(clock.clone().now(), clock.now());
/// // The system's clock cannot be advanced:
/// assert!(!Clock::system().advance(Duration::from_secs(60)));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Clock(Source);

#[derive(Clone, Debug, Default)]
enum Source {
    #[default]
    System,
    /// Milliseconds since the Unix epoch, shared by all clones.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// Returns the system's clock.
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// Returns a clock that starts at the system's time and then stands still until
    /// [`advance`](Self::advance) is called on it or on a clone.
    #[must_use]
    pub fn manual() -> Self {
        let millis = OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000;
        let millis = i64::try_from(millis).unwrap_or(i64::MAX);
        Self(Source::Manual(Arc::new(AtomicI64::new(millis))))
    }

    /// The current time in UTC.
    #[must_use]
    pub fn now(&self) -> OffsetDateTime {
        match &self.0 {
            Source::System => OffsetDateTime::now_utc(),
            Source::Manual(millis) => {
                let nanos = i128::from(millis.load(Ordering::SeqCst)) * 1_000_000;
                OffsetDateTime::from_unix_timestamp_nanos(nanos)
                    .unwrap_or(OffsetDateTime::UNIX_EPOCH)
            }
        }
    }

    /// The current time in whole seconds since the Unix epoch, as in JWTs (`NumericDate`, RFC 7519
    /// section 2).
    #[must_use]
    pub fn unix_now(&self) -> i64 {
        self.unix_millis().div_euclid(1_000)
    }

    /// The current time in milliseconds since the Unix epoch, the precision of the stores.
    pub(crate) fn unix_millis(&self) -> i64 {
        self.manual_millis().unwrap_or_else(|| {
            let since_epoch = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
            i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
        })
    }

    /// The time of a manual clock. Returns `None` for the system's clock.
    pub(crate) fn manual_millis(&self) -> Option<i64> {
        match &self.0 {
            Source::System => None,
            Source::Manual(millis) => Some(millis.load(Ordering::SeqCst)),
        }
    }

    /// Moves a manual clock and all its clones forward and returns `true`. Returns `false` for the
    /// system's clock.
    #[expect(
        clippy::must_use_candidate,
        reason = "a test that uses a manual clock knows it"
    )]
    pub fn advance(&self, by: Duration) -> bool {
        match &self.0 {
            Source::System => false,
            Source::Manual(millis) => {
                let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
                millis.fetch_add(by, Ordering::SeqCst);
                true
            }
        }
    }
}
