use std::fmt;

use url::Url;

/// A request of the browser that was refused: an authorization request (RFC 6749 section 4.1.2.1)
/// or a logout request.
#[derive(Clone, PartialEq, Eq)]
pub struct Rejection {
    pub(super) error: String,
    pub(super) description: String,
    pub(super) redirect: Option<Box<Url>>,
}

impl Rejection {
    /// A refusal that the person sees.
    pub(super) fn page(error: &str, description: impl Into<String>) -> Self {
        Self {
            error: error.to_owned(),
            description: description.into(),
            redirect: None,
        }
    }

    /// The error code, such as `invalid_request_object`.
    #[must_use]
    pub fn error(&self) -> &str {
        &self.error
    }

    /// Which rule was broken, in words.
    #[must_use]
    pub fn description(&self) -> &str {
        &self.description
    }

    /// Where the browser is sent with the error. `None` when nothing proves that the address is
    /// the client's: then the person sees a page instead.
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
    // The redirect carries the state.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rejection")
            .field("error", &self.error)
            .field("description", &self.description)
            .finish_non_exhaustive()
    }
}
