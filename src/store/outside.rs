//! What the stores outside this process have in common.

use time::OffsetDateTime;

use super::StoreError;
use crate::secret::random_bytes;

/// A version that no earlier value of any record has had: 63 random bits, which every store's
/// integers hold.
pub(super) fn random_version() -> u64 {
    u64::from_be_bytes(*random_bytes()) >> 1
}

/// Milliseconds since the Unix epoch: ends of life are kept to the millisecond.
pub(super) fn millis(at: OffsetDateTime) -> i64 {
    i64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}

pub(super) fn from_millis(millis: i64) -> Result<OffsetDateTime, StoreError> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000)
        .map_err(|error| StoreError::Backend(error.into()))
}

/// Bounds an operation in time. A caller waits two seconds for a store at most, and this is less:
/// the store itself sees the end of what it began.
#[cfg(any(feature = "postgres", feature = "redis", feature = "sqlite"))]
pub(super) async fn in_time<T>(
    operation: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    const LIMIT: std::time::Duration = std::time::Duration::from_millis(1_800);
    tokio::time::timeout(LIMIT, operation)
        .await
        .unwrap_or(Err(StoreError::TimedOut))
}

/// Says, when a store is connected, that it does not answer yet. The app starts nevertheless.
#[cfg(any(feature = "postgres", feature = "redis"))]
pub(super) fn note_absence(answer: Result<(), StoreError>) {
    if let Err(error) = answer {
        let error = crate::error::with_causes(&error);
        tracing::warn!(
            error,
            "the session store does not answer yet; requests that need it will fail until it does"
        );
    }
}

#[cfg(test)]
mod tests {
    use time::Duration;

    use super::*;

    #[test]
    fn times_survive_to_the_millisecond() {
        let now = OffsetDateTime::now_utc();
        let kept = from_millis(millis(now)).unwrap();
        assert!(kept <= now && now - kept < Duration::MILLISECOND);
        assert!(from_millis(i64::MAX).is_err());
    }

    #[test]
    fn a_version_fits_signed_integers() {
        for _ in 0..100 {
            assert!(i64::try_from(random_version()).is_ok());
        }
    }
}
