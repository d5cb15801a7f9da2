use std::{sync::Arc, time::Duration};

use crate::{
    audit::Reason,
    error::with_causes,
    http::{HttpError, HttpResponse, UnusableMember},
    jose::JoseError,
};

/// Error returned when the provider's metadata or keys are unavailable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProviderError {
    /// A document could not be fetched.
    #[error("{document} could not be fetched: {cause}")]
    #[non_exhaustive]
    Unreachable {
        /// The document, such as "the key set".
        document: &'static str,
        /// The HTTP error with its sources, or the status of the response.
        cause: Arc<str>,
        /// How long the provider asks to wait, from the `Retry-After` of its response.
        retry_after: Option<Duration>,
    },
    /// The task that fetched the document was aborted or panicked.
    #[error("the task that fetched the provider's document was aborted")]
    Aborted,
    /// The issuer is not a URL, so it has no discovery document.
    #[error("the issuer is not a URL; write it like `https://account.oten.com`")]
    InvalidIssuer,
    /// The discovery document is not a JSON object (OpenID Connect Discovery section 4.2).
    #[error(
        "the provider's discovery document is not valid JSON metadata; check that `issuer` is \
         right and no proxy or captive portal responds in its place"
    )]
    InvalidDiscovery,
    /// A member of the discovery document that sign-in needs has an unusable value (OpenID Connect
    /// Discovery section 3).
    #[error("the `{0}` of the provider's discovery document is missing or has an unusable value")]
    InvalidMember(&'static str),
    /// The discovery document lacks a required endpoint (OpenID Connect Discovery section 3).
    #[error("the provider's discovery document has no `{0}`")]
    MissingEndpoint(&'static str),
    /// The discovery document is for another issuer (OpenID Connect Discovery section 4.3).
    #[error(
        "the discovery document's `issuer` is {discovered}, not `{configured}`; check the spelling \
         of `issuer`. If it is right, suspect interception"
    )]
    #[non_exhaustive]
    IssuerMismatch {
        /// The configured issuer.
        configured: Arc<str>,
        /// The document's issuer: quoted, shortened and without control characters.
        discovered: Arc<str>,
    },
    /// An endpoint of the discovery document is not https (OpenID Connect Discovery section 3).
    #[error("the provider's `{0}` must be https")]
    InsecureEndpoint(&'static str),
    /// The key set has no key for the token's `kid` and `alg` (RFC 7515 section 4.1.4).
    #[error("the provider publishes no key for the token's `kid` and `alg`")]
    UnknownKey,
    /// The key set has no key for the token's `kid` and `alg`, and was fetched less than a minute ago
    /// for another token whose key was missing.
    #[error(
        "the key for the token's `kid` and `alg` is unknown; the key set is fetched again soon"
    )]
    #[non_exhaustive]
    KeyPending {
        /// How long the key set is not fetched again.
        retry_after: Duration,
    },
    /// The key set is not a JWK set (RFC 7517 section 5).
    #[error(
        "the provider's key set cannot be read; check that no proxy or captive portal responds in \
         its place"
    )]
    KeySet(#[source] JoseError),
}

impl ProviderError {
    pub(super) fn unreachable(document: &'static str, error: &HttpError) -> Self {
        Self::Unreachable {
            document,
            cause: with_causes(error).into(),
            retry_after: None,
        }
    }

    pub(super) fn status(document: &'static str, response: &HttpResponse) -> Self {
        Self::Unreachable {
            document,
            cause: format!("the status of the response is {}", response.status).into(),
            retry_after: response.retry_after(),
        }
    }

    /// Returns the reason that events and error responses name.
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::Unreachable { .. } | Self::Aborted => Reason::ProviderDown,
            Self::IssuerMismatch { .. } => Reason::IssuerMismatch,
            Self::InsecureEndpoint(_) => Reason::InsecureEndpoint,
            Self::UnknownKey => Reason::UnknownKey,
            Self::KeyPending { .. } => Reason::KeyPending,
            Self::InvalidIssuer
            | Self::InvalidDiscovery
            | Self::InvalidMember(_)
            | Self::MissingEndpoint(_)
            | Self::KeySet(_) => Reason::ProviderDocument,
        }
    }

    /// Whether a retry may succeed: the provider did not respond, or not with a document, or the key
    /// set is not fetched again yet.
    pub(crate) fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. } | Self::Aborted | Self::KeyPending { .. }
        )
    }

    /// How long to wait before a retry.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unreachable { retry_after, .. } => *retry_after,
            Self::KeyPending { retry_after } => Some(*retry_after),
            _ => None,
        }
    }
}

impl From<UnusableMember> for ProviderError {
    fn from(UnusableMember(name): UnusableMember) -> Self {
        Self::InvalidMember(name)
    }
}
