use std::{sync::Arc, time::Duration};

use crate::{
    audit::Reason,
    error::with_causes,
    http::{Answer, HttpError},
    jose::JoseError,
};

/// Why the provider's metadata or keys are not to be had.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProviderError {
    /// A document could not be fetched.
    #[error("{document} could not be fetched: {reason}")]
    #[non_exhaustive]
    Unreachable {
        /// What was asked for.
        document: &'static str,
        /// What happened, with its causes.
        reason: Arc<str>,
        /// How long the provider wants to be left in peace, if it said so.
        retry_after: Option<Duration>,
    },
    /// The process is ending.
    #[error("the provider was not asked to the end")]
    Aborted,
    /// A document was fetched and is not what it should be.
    #[error("the provider's discovery document is refused: {0}")]
    Discovery(&'static str),
    /// The discovery document speaks for another issuer (OpenID Connect Discovery section 4.3).
    #[error(
        "the discovery document names another `issuer` than the one configured: \
         check the issuer's spelling and that nothing stands between this machine and the provider"
    )]
    IssuerMismatch,
    /// An endpoint would be called over plain http.
    #[error("the provider's `{0}` must be https")]
    InsecureEndpoint(&'static str),
    /// The provider publishes no key under the token's `kid`.
    #[error("the provider publishes no key for the token's `kid` and `alg`")]
    UnknownKey,
    /// The key set cannot be read.
    #[error("the provider's key set is refused: {0}")]
    Keys(#[source] JoseError),
}

impl ProviderError {
    /// Returns the reason that events and answers name.
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::Unreachable { .. } | Self::Aborted => Reason::ProviderDown,
            Self::IssuerMismatch => Reason::IssuerMismatch,
            Self::InsecureEndpoint(_) => Reason::InsecureEndpoint,
            Self::UnknownKey => Reason::UnknownKey,
            Self::Discovery(_) | Self::Keys(_) => Reason::ProviderDocument,
        }
    }
}

impl ProviderError {
    pub(super) fn unreachable(document: &'static str, error: &HttpError) -> Self {
        Self::Unreachable {
            document,
            reason: with_causes(error).into(),
            retry_after: None,
        }
    }

    pub(super) fn status(document: &'static str, answer: &Answer) -> Self {
        Self::Unreachable {
            document,
            reason: format!("the answer's status is {}", answer.status).into(),
            retry_after: answer.retry_after,
        }
    }

    /// Whether the provider may be well again in a moment: nothing about it is wrong, it is away.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Aborted)
    }

    /// How long the provider wants to be left in peace, if it said so.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unreachable { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}
