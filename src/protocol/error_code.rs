use std::fmt;

use serde::Deserialize;

use crate::audit::Reason;
use crate::http::Answer;

/// An error code of RFC 6749, RFC 9101 or OpenID Connect Core, as Oten answers it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorCode {
    /// A parameter is missing, repeated or wrong; also an expired request object.
    InvalidRequest,
    /// Client authentication failed, or the request came from an address that is not allowed.
    InvalidClient,
    /// The code or refresh token is wrong, used, expired or another client's.
    InvalidGrant,
    /// The client may not use this flow.
    UnauthorizedClient,
    /// Only `code` is supported.
    UnsupportedResponseType,
    /// The grant type is not supported.
    UnsupportedGrantType,
    /// A scope is unknown or not allowed.
    InvalidScope,
    /// The person or the provider said no.
    AccessDenied,
    /// Something broke at the provider.
    ServerError,
    /// The provider is busy or being maintained.
    TemporarilyUnavailable,
    /// The request object is malformed or its signature does not hold (RFC 9101 section 7).
    InvalidRequestObject,
    /// The provider takes no request object from this client.
    RequestNotSupported,
    /// The provider takes no `request_uri`.
    RequestUriNotSupported,
    /// The `request_uri` could not be used.
    InvalidRequestUri,
    /// `prompt=none` was asked and nobody is signed in.
    LoginRequired,
    /// `prompt=none` was asked and consent is missing.
    ConsentRequired,
    /// `prompt=none` was asked and the person has to do something.
    InteractionRequired,
    /// A code this version does not know, kept as it came.
    Other(String),
}

impl ErrorCode {
    /// Returns the reason that events and answers name.
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::AccessDenied => Reason::Cancelled,
            Self::LoginRequired | Self::ConsentRequired | Self::InteractionRequired => {
                Reason::InteractionRequired
            }
            Self::InvalidGrant => Reason::InvalidGrant,
            code if code.is_retryable() => Reason::ProviderError,
            Self::Other(_) => Reason::ProviderRefused,
            _ => Reason::ClientSetup,
        }
    }
}

/// The body of an error answer (RFC 6749 section 5.2).
#[derive(Deserialize)]
struct ErrorBody {
    error: String,
}

/// What a code means, to whom.
struct Description {
    /// To programs.
    name: &'static str,
    /// To the person at the browser.
    sentence: &'static str,
    /// To the operator of the site.
    help: &'static str,
}

const MISCONFIGURED: &str =
    "Signing in is not set up correctly on this site. The people who run it have to look at it.";
const PASSING: &str = "Oten cannot sign you in right now. Please try again in a moment.";

const OTHER: Description = Description {
    name: "",
    sentence: "Oten could not sign you in. Please try again.",
    help: "the provider answered an error code this version does not know; look it up in \
             the provider's documentation",
};

const fn description(
    name: &'static str,
    sentence: &'static str,
    help: &'static str,
) -> Description {
    Description {
        name,
        sentence,
        help,
    }
}

/// Every code with a name of its own.
static KNOWN: [(ErrorCode, Description); 17] = [
    (
        ErrorCode::InvalidRequest,
        description(
            "invalid_request",
            MISCONFIGURED,
            "check that the client type matches the registration (a confidential client must \
             send a request object, a public one must not) and that this machine's clock is \
             right: an expired request object is answered with this code",
        ),
    ),
    (
        ErrorCode::InvalidClient,
        description(
            "invalid_client",
            MISCONFIGURED,
            "check OTEN_CLIENT_ID and OTEN_CLIENT_SECRET, that they belong to the configured \
             environment, and the client's list of allowed addresses",
        ),
    ),
    (
        ErrorCode::InvalidGrant,
        description(
            "invalid_grant",
            "The sign-in took too long or was already used. Please sign in again.",
            "the code or refresh token was expired, used or issued to another client; nothing \
             to do if it is rare",
        ),
    ),
    (
        ErrorCode::UnauthorizedClient,
        description(
            "unauthorized_client",
            MISCONFIGURED,
            "allow the authorization code flow for this client in the developer portal and \
             check OTEN_CLIENT_TYPE",
        ),
    ),
    (
        ErrorCode::UnsupportedResponseType,
        description(
            "unsupported_response_type",
            MISCONFIGURED,
            "the provider must support the response type `code`; check OTEN_ISSUER",
        ),
    ),
    (
        ErrorCode::UnsupportedGrantType,
        description(
            "unsupported_grant_type",
            MISCONFIGURED,
            "the provider must support the grant `authorization_code`; check OTEN_ISSUER",
        ),
    ),
    (
        ErrorCode::InvalidScope,
        description(
            "invalid_scope",
            MISCONFIGURED,
            "allow the scopes of OTEN_SCOPES for this client in the developer portal",
        ),
    ),
    (
        ErrorCode::AccessDenied,
        description(
            "access_denied",
            "You cancelled the sign-in, or this account may not use this site.",
            "nothing to do: the person or a policy at the provider said no",
        ),
    ),
    (
        ErrorCode::ServerError,
        description(
            "server_error",
            PASSING,
            "the provider failed; look at its status page if it goes on",
        ),
    ),
    (
        ErrorCode::TemporarilyUnavailable,
        description(
            "temporarily_unavailable",
            PASSING,
            "the provider is busy or being maintained; look at its status page if it goes on",
        ),
    ),
    (
        ErrorCode::InvalidRequestObject,
        description(
            "invalid_request_object",
            MISCONFIGURED,
            "check that OTEN_JAR is the method registered for this client, and the client \
             secret (HS256) or the registered public key and its id (EdDSA)",
        ),
    ),
    (
        ErrorCode::RequestNotSupported,
        description(
            "request_not_supported",
            MISCONFIGURED,
            "the provider takes no request object from this client: a public client is set up \
             as confidential; check OTEN_CLIENT_TYPE",
        ),
    ),
    (
        ErrorCode::RequestUriNotSupported,
        description(
            "request_uri_not_supported",
            MISCONFIGURED,
            "no `request_uri` is ever sent from here: look for a proxy that rewrites requests",
        ),
    ),
    (
        ErrorCode::InvalidRequestUri,
        description(
            "invalid_request_uri",
            MISCONFIGURED,
            "no `request_uri` is ever sent from here: look for a proxy that rewrites requests",
        ),
    ),
    (
        ErrorCode::LoginRequired,
        description(
            "login_required",
            "You are not signed in at Oten. Please sign in.",
            "expected with OTEN_PROMPT=none; leave it out to let people sign in",
        ),
    ),
    (
        ErrorCode::ConsentRequired,
        description(
            "consent_required",
            "Oten needs your consent. Please sign in.",
            "expected with OTEN_PROMPT=none; leave it out to let people consent",
        ),
    ),
    (
        ErrorCode::InteractionRequired,
        description(
            "interaction_required",
            "Oten needs something from you. Please sign in.",
            "expected with OTEN_PROMPT=none; leave it out to let people act",
        ),
    ),
];

impl ErrorCode {
    /// The code of an error answer, if that is what it is.
    pub(super) fn of(answer: &Answer) -> Option<Self> {
        let body: ErrorBody = answer.json()?;
        Some(Self::from(body.error.as_str()))
    }

    /// Whether the same request may succeed a moment later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::ServerError | Self::TemporarilyUnavailable)
    }

    /// The code as it is written in messages.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Other(code) => code,
            known => known.description().name,
        }
    }

    /// A sentence for the person at the browser. It never contains anything that was received.
    #[must_use]
    pub fn sentence(&self) -> &'static str {
        self.description().sentence
    }

    /// What the operator of the site can do about it.
    #[must_use]
    pub fn help(&self) -> &'static str {
        self.description().help
    }

    fn description(&self) -> &'static Description {
        let known = KNOWN.iter().find(|(code, _)| code == self);
        known.map_or(&OTHER, |(_, description)| description)
    }
}

impl From<&str> for ErrorCode {
    fn from(code: &str) -> Self {
        let known = KNOWN
            .iter()
            .find(|(_, description)| description.name == code);
        known.map_or_else(|| Self::Other(code.to_owned()), |(code, _)| code.clone())
    }
}

/// The code as text. One that is not known is cut to 64 characters of RFC 6749's alphabet, so that
/// a log line stays a line.
impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let printable = |c: &char| matches!(c, ' '..='~') && !matches!(c, '"' | '\\');
        let text: String = self.as_str().chars().filter(printable).take(64).collect();
        f.write_str(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_recognised_by_its_own_name() {
        for (code, _) in &KNOWN {
            assert_eq!(ErrorCode::from(code.as_str()), *code);
            assert!(!code.sentence().is_empty() && !code.help().is_empty());
        }
    }

    #[test]
    fn an_unknown_code_is_kept_and_printed_harmlessly() {
        let code = ErrorCode::from("new_code");
        assert_eq!(code, ErrorCode::Other("new_code".into()));
        let hostile = ErrorCode::from(format!("x\n\u{1b}[31m{}", "y".repeat(100)).as_str());
        assert!(hostile.to_string().len() <= 64);
        assert!(!hostile.to_string().contains(['\n', '\u{1b}']));
    }
}
