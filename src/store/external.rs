//! Helpers for external stores.

#[cfg(any(feature = "postgres", feature = "redis"))]
use std::error::Error;
use std::time::Duration;

use tokio::time::timeout;

use super::{StoreError, to_millis};
use crate::secret::random_bytes;
#[cfg(any(feature = "postgres", feature = "redis"))]
use crate::{
    config::redis_url::query,
    http::{CaCertificateError, CaCertificates, TlsError},
};

/// The time limit of an operation. It is shorter than the caller's limit of 2 seconds, so the store
/// itself handles the end of an operation that takes too long.
pub(super) const OPERATION_TIMEOUT: Duration = Duration::from_millis(1_800);

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

/// Error returned when the file of `sslrootcert` cannot be used.
#[cfg(any(feature = "postgres", feature = "redis"))]
#[derive(Debug, thiserror::Error)]
enum RootCertificateError {
    #[error("the file `{0}` of `sslrootcert` cannot be read")]
    Unreadable(String, #[source] std::io::Error),
    #[error("the file `{0}` of `sslrootcert` is not a list of certificates in PEM ({1:?})")]
    Malformed(String, CaCertificateError),
}

/// Reads the file that one of these parameters of a URL names: certificate authorities in PEM.
#[cfg(any(feature = "postgres", feature = "redis"))]
pub(super) fn root_certificates(
    url: &url::Url,
    parameters: &[&str],
) -> Result<Option<Vec<u8>>, StoreError> {
    let Some(file) = query(url, parameters) else {
        return Ok(None);
    };
    let invalid = |error: RootCertificateError| StoreError::Address(error.into());
    let pem = match std::fs::read_to_string(&file) {
        Ok(pem) => pem,
        Err(error) => return Err(invalid(RootCertificateError::Unreadable(file, error))),
    };
    match CaCertificates::from_pem(&pem) {
        Ok(_) => Ok(Some(pem.into_bytes())),
        Err(error) => Err(invalid(RootCertificateError::Malformed(file, error))),
    }
}

/// Returns the error of a server, with help if it is about TLS.
#[cfg(any(feature = "postgres", feature = "redis"))]
pub(super) fn backend(error: impl Error + Send + Sync + 'static) -> StoreError {
    match TlsError::find(&error) {
        Some(tls) => tls_error(tls, error),
        None => StoreError::backend(error),
    }
}

#[cfg(any(feature = "postgres", feature = "redis"))]
pub(super) fn tls_error(error: TlsError, source: impl Error + Send + Sync + 'static) -> StoreError {
    let (problem, help) = match error {
        TlsError::UnknownIssuer => (
            "the certificate of the session store's server is from an authority that is not trusted",
            "for a private authority, add `sslrootcert=FILE` to the query of `session_store`, with \
             the PEM file of the authority's certificate",
        ),
        TlsError::Expired => (
            "the certificate of the session store's server has expired",
            "replace it on the server, and check that this machine's clock is right",
        ),
        TlsError::NotValidYet => (
            "the certificate of the session store's server is not valid yet",
            "check that this machine's clock is right",
        ),
        TlsError::WrongName => (
            "the certificate of the session store's server is for another host name",
            "write a host in `session_store` that the certificate names; in a cluster and behind \
             sentinels, it must name the addresses that the servers announce \
             (`cluster-announce-hostname`, `sentinel announce-hostnames`). If they are right, suspect \
             interception",
        ),
        TlsError::Revoked => (
            "the certificate of the session store's server has been revoked",
            "replace it on the server",
        ),
        TlsError::Unacceptable => (
            "the certificate of the session store's server is not acceptable",
            "it must be a server certificate signed by a certificate authority, not the \
             authority's own certificate",
        ),
        TlsError::ClientCertificate => (
            "the session store's server requires a client certificate",
            "set `tls-auth-clients no` in Redis, or add `sslcert` and `sslkey` to the URL of \
             PostgreSQL",
        ),
        TlsError::NotTls => (
            "the session store's server does not speak TLS",
            "check the port in `session_store`, and enable TLS on the server",
        ),
    };
    StoreError::Misconfigured {
        problem,
        help,
        source: source.into(),
    }
}

/// Returns a new version: 63 random bits, which fit the signed integers of every store.
pub(super) fn random_version() -> u64 {
    u64::from_be_bytes(*random_bytes()) >> 1
}

/// The last millisecond of the year 9999, as a literal for statements and scripts. A record with a
/// later expiry is malformed.
macro_rules! max_expiry {
    () => {
        253_402_300_799_999_i64
    };
}
pub(super) use max_expiry;

/// Converts a lifetime to milliseconds, at most 1,000 years, so that its end stays below
/// [`max_expiry`].
pub(super) fn stored_millis(ttl: Duration) -> i64 {
    const MAX_TTL: Duration = Duration::from_secs(1_000 * 365 * 86_400);
    to_millis(ttl.min(MAX_TTL))
}

/// Converts the text of members and omits those that are no text, which another program has written.
pub(super) fn texts(members: impl IntoIterator<Item = Vec<u8>>) -> Vec<String> {
    let texts = members.into_iter().map(String::from_utf8);
    texts.filter_map(Result::ok).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lifetime_can_be_stored() {
        let now = crate::clock::Clock::system().unix_millis();
        assert_eq!(stored_millis(Duration::ZERO), 0);
        assert_eq!(stored_millis(Duration::from_micros(1_999)), 1);
        assert!(now + stored_millis(Duration::MAX) < max_expiry!());
    }

    #[test]
    fn versions_fit_signed_integers() {
        for _ in 0..100 {
            assert!(i64::try_from(random_version()).is_ok());
        }
    }
}
