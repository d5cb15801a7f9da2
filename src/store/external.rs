//! Helpers for external stores.

use std::time::Duration;

use time::OffsetDateTime;
use tokio::time::timeout;

use super::StoreError;
use crate::secret::random_bytes;

/// The time limit of an operation. It is shorter than the caller's limit of 2 seconds, so the store
/// itself handles the end of an operation that takes too long.
const OPERATION_TIMEOUT: Duration = Duration::from_millis(1_800);

/// A connection that was used within this time is assumed to be alive; an older one is pinged.
pub(super) const ASSUMED_ALIVE: Duration = Duration::from_secs(1);

pub(super) const PING_TIMEOUT: Duration = Duration::from_millis(300);

pub(super) async fn with_timeout<T>(
    operation: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    timeout(OPERATION_TIMEOUT, operation)
        .await
        .unwrap_or(Err(StoreError::TimedOut))
}

/// Logs that a server does not answer when the store connects. The app starts nevertheless.
#[cfg(any(feature = "postgres", feature = "redis"))]
pub(super) fn warn_if_unreachable(answer: Result<(), StoreError>) {
    if let Err(error) = answer {
        let error = crate::error::with_causes(&error);
        tracing::warn!(
            error,
            "the session store does not answer yet; requests that need it fail until it does"
        );
    }
}

/// Returns a new version: 63 random bits, which fit the signed integers of every store.
pub(super) fn random_version() -> u64 {
    u64::from_be_bytes(*random_bytes()) >> 1
}

/// Converts a time to milliseconds since the Unix epoch, the precision in which expiries are stored.
pub(super) fn to_millis(at: OffsetDateTime) -> i64 {
    i64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}

pub(super) fn from_millis(millis: i64) -> Result<OffsetDateTime, StoreError> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000)
        .map_err(StoreError::backend)
}

#[cfg(test)]
mod tests {
    use time::Duration;

    use super::*;

    #[test]
    fn times_round_trip_in_milliseconds() {
        let now = OffsetDateTime::now_utc();
        let stored = from_millis(to_millis(now)).unwrap();
        assert!(stored <= now && now - stored < Duration::MILLISECOND);
        assert!(from_millis(i64::MAX).is_err());
    }

    #[test]
    fn versions_fit_signed_integers() {
        for _ in 0..100 {
            assert!(i64::try_from(random_version()).is_ok());
        }
    }
}
