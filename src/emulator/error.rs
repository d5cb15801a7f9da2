use std::{fmt, io};

use url::Url;

/// Error returned by the methods of [`Emulator`](super::Emulator) and
/// [`EmulatorBuilder`](super::EmulatorBuilder).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmulatorError {
    /// The emulator cannot listen on 127.0.0.1.
    #[error("the emulator cannot listen on 127.0.0.1; check that its port is free")]
    Listen(#[source] io::Error),
    /// The URL passed to [`mount`](super::EmulatorBuilder::mount) cannot be an issuer.
    #[error("the issuer must be an http or https URL without query and fragment")]
    Issuer,
    /// A client's registration breaks a rule of Oten's developer portal.
    #[error("client `{client_id}`: {problem}")]
    #[non_exhaustive]
    Client {
        /// The client ID.
        client_id: String,
        /// The rule that the registration breaks.
        problem: &'static str,
    },
    /// Two clients have the same ID.
    #[error("client `{0}` is registered twice; give each client an ID of its own")]
    DuplicateClient(String),
    /// The user does not exist or is disabled.
    #[error("user `{0}` does not exist or is disabled; the users are alice, bob and carol")]
    UnknownUser(String),
    /// The URL does not point to this emulator's authorization endpoint.
    #[error("the URL does not point to this emulator's authorization endpoint")]
    NotAnAuthorizationUrl,
    /// The URL does not point to this emulator's end-session endpoint.
    #[error("the URL does not point to this emulator's end-session endpoint")]
    NotAnEndSessionUrl,
    /// The emulator rejects the request, as Oten would.
    #[error("the emulator rejects the request: {0}")]
    Rejected(Rejection),
}

/// The error response to an authorization request (RFC 6749 section 4.1.2.1) or a logout request.
#[derive(Clone, PartialEq, Eq)]
pub struct Rejection {
    pub(super) error: String,
    pub(super) description: String,
    pub(super) redirect: Option<Box<Url>>,
}

impl Rejection {
    /// A rejection that the user sees on a page of the emulator.
    pub(super) fn page(error: &str, description: impl Into<String>) -> Self {
        Self {
            error: error.to_owned(),
            description: description.into(),
            redirect: None,
        }
    }

    /// Returns the error code, such as `invalid_request_object`.
    #[must_use]
    pub fn error(&self) -> &str {
        &self.error
    }

    /// Returns the description: the rule that the request breaks.
    #[must_use]
    pub fn description(&self) -> &str {
        &self.description
    }

    /// Returns the callback URL that carries the error to the client.
    ///
    /// `None` if the request does not prove that the URL belongs to the client. The user then sees
    /// a page of the emulator instead.
    #[must_use]
    pub fn redirect(&self) -> Option<&Url> {
        self.redirect.as_deref()
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.error, self.description)
    }
}

impl fmt::Debug for Rejection {
    // Leaves out the redirect, which carries `state`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rejection")
            .field("error", &self.error)
            .field("description", &self.description)
            .finish_non_exhaustive()
    }
}
