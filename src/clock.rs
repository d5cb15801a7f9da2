//! The only "now" of the crate, so that a test can say what time it is.
//!
//! ```
//! use axum_oten::Clock;
//! use std::time::Duration;
//!
//! let clock = Clock::manual();
//! let issued = clock.now();
//! clock.advance(Duration::from_secs(60));
//! assert_eq!((clock.now() - issued).whole_seconds(), 60);
//!
//! // A copy is the same clock, the system's clock cannot be moved.
//! assert_eq!(clock.clone().now(), clock.now());
//! assert!(!Clock::system().advance(Duration::from_secs(60)));
//! ```

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use time::OffsetDateTime;

/// A source of the current time: the system's, or one that only moves when told to.
#[derive(Clone, Debug, Default)]
pub struct Clock(Source);

#[derive(Clone, Debug, Default)]
enum Source {
    #[default]
    System,
    /// Milliseconds since the Unix epoch, shared by all copies.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// The system's clock. This is the default everywhere.
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock for tests: it starts at the system's time and then stands still until
    /// [`advance`](Self::advance) is called on it or on any copy.
    #[must_use]
    pub fn manual() -> Self {
        let now = unix_millis(OffsetDateTime::now_utc());
        Self(Source::Manual(Arc::new(AtomicI64::new(now))))
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

    /// The current time in whole seconds since the Unix epoch, as JWTs count
    /// (`NumericDate`, RFC 7519 section 2).
    #[must_use]
    pub fn unix_now(&self) -> i64 {
        self.now().unix_timestamp()
    }

    /// Moves a manual clock and all its copies forward. Answers `false`, and does nothing, on the
    /// system's clock.
    // A test that only moves the clock has no use for the answer.
    #[allow(clippy::must_use_candidate)]
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

fn unix_millis(at: OffsetDateTime) -> i64 {
    i64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}
