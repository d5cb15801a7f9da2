use std::fmt;

use serde::Deserialize;

use crate::{
    audit::Reason,
    http::HttpResponse,
    text::{self, Text},
};

/// Writes each code once, as a variant and as a row of the table: its name, a sentence for the
/// user's page, and a help text for the operator's log.
macro_rules! error_codes {
    ($($(#[$doc:meta])* $code:ident: $name:literal, $sentence:expr, $help:literal;)*) => {
        /// An error code of RFC 6749, RFC 9101 or OpenID Connect Core.
        ///
        /// ```
        /// use axum_oten::protocol::ErrorCode;
        ///
        /// let code = ErrorCode::from("access_denied");
        /// assert_eq!(code, ErrorCode::AccessDenied);
        /// assert!(code.help().contains("cancelled"));
        ///
        /// // A code of another specification is kept:
        /// let unknown = ErrorCode::from("teapot");
        /// assert_eq!(unknown, ErrorCode::Other("teapot".into()));
        /// ```
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ErrorCode {
            $($(#[$doc])* $code,)*
            /// A code that this version does not know, as it was received.
            Other(String),
        }

        impl ErrorCode {
            #[cfg(test)]
            const KNOWN: &[Self] = &[$(Self::$code),*];

            /// The code as it is sent, such as `access_denied`.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$code => $name,)*
                    Self::Other(code) => code,
                }
            }

            /// A sentence for the user's page. It never contains received text.
            pub(crate) fn text(&self) -> Text {
                match self {
                    $(Self::$code => $sentence,)*
                    Self::Other(_) => text::CODE_OTHER,
                }
            }

            /// A clause for the operator that says how to fix the problem.
            #[must_use]
            pub fn help(&self) -> &'static str {
                match self {
                    $(Self::$code => $help,)*
                    Self::Other(_) => {
                        "this version does not know the code; look it up in the provider's \
                         documentation"
                    }
                }
            }
        }

        impl From<&str> for ErrorCode {
            fn from(code: &str) -> Self {
                match code {
                    $($name => Self::$code,)*
                    other => Self::Other(other.to_owned()),
                }
            }
        }
    };
}

error_codes! {
    /// A parameter is missing, repeated or invalid, or the request object has expired (RFC 6749
    /// section 4.1.2.1).
    InvalidRequest: "invalid_request", text::CODE_MISCONFIGURED,
        "check that OTEN_CLIENT_TYPE matches the registration (a confidential client must send a \
         request object, a public one must not) and that this machine's clock is right: an expired \
         request object causes this code, too";
    /// Client authentication failed, or the request came from an address that is not allowed (RFC
    /// 6749 section 5.2). Oten also sends it to the callback, if the client secret does not verify
    /// the request object.
    InvalidClient: "invalid_client",
        text::CODE_INVALID_CLIENT,
        "check OTEN_CLIENT_ID and OTEN_CLIENT_SECRET, that they belong to the configured \
         environment, and the client's list of allowed addresses";
    /// The code or refresh token is invalid, used, expired or another client's (RFC 6749 section
    /// 5.2).
    InvalidGrant: "invalid_grant",
        text::CODE_INVALID_GRANT,
        "the code or refresh token has expired, was used before or belongs to another client; no \
         action needed if it is rare";
    /// The client may not use this flow (RFC 6749 section 4.1.2.1).
    UnauthorizedClient: "unauthorized_client", text::CODE_MISCONFIGURED,
        "allow the authorization code flow for this client in the developer portal and check \
         OTEN_CLIENT_TYPE";
    /// The provider does not support the response type (RFC 6749 section 4.1.2.1).
    UnsupportedResponseType: "unsupported_response_type", text::CODE_MISCONFIGURED,
        "the provider must support the response type `code`; check OTEN_ISSUER";
    /// The provider does not support the grant type (RFC 6749 section 5.2).
    UnsupportedGrantType: "unsupported_grant_type", text::CODE_MISCONFIGURED,
        "the provider must support the grant type `authorization_code`; check OTEN_ISSUER";
    /// A scope is unknown or not allowed (RFC 6749 section 4.1.2.1).
    InvalidScope: "invalid_scope", text::CODE_MISCONFIGURED,
        "allow the scopes of OTEN_SCOPES for this client in the developer portal";
    /// The user or the provider denied access (RFC 6749 section 4.1.2.1).
    AccessDenied: "access_denied",
        text::CODE_ACCESS_DENIED,
        "no action needed: the user cancelled, or a policy of the provider denied access";
    /// The provider failed (RFC 6749 section 4.1.2.1).
    ServerError: "server_error", text::CODE_TRANSIENT,
        "the provider failed; check its status page if it persists";
    /// The provider is overloaded or under maintenance (RFC 6749 section 4.1.2.1).
    TemporarilyUnavailable: "temporarily_unavailable", text::CODE_TRANSIENT,
        "the provider is overloaded or under maintenance; check its status page if it persists";
    /// The request object is malformed or its signature is invalid (RFC 9101 section 7).
    InvalidRequestObject: "invalid_request_object", text::CODE_MISCONFIGURED,
        "check that OTEN_JAR is the method registered for this client, and the client secret \
         (HS256) or the registered public key and its ID (EdDSA)";
    /// The provider accepts no request object from this client (OpenID Connect Core section
    /// 3.1.2.6).
    RequestNotSupported: "request_not_supported", text::CODE_MISCONFIGURED,
        "set `jar = \"off\"` (OTEN_JAR) if the provider has switched signed requests off for this \
         client; if the client is registered as public, correct OTEN_CLIENT_TYPE";
    /// The provider accepts no `request_uri` (OpenID Connect Core section 3.1.2.6).
    RequestUriNotSupported: "request_uri_not_supported", text::CODE_MISCONFIGURED,
        "axum-oten never sends a `request_uri`; look for a proxy that rewrites requests";
    /// The `request_uri` is invalid (RFC 9101 section 7).
    InvalidRequestUri: "invalid_request_uri", text::CODE_MISCONFIGURED,
        "axum-oten never sends a `request_uri`; look for a proxy that rewrites requests";
    /// The request had `prompt=none` and the user is not signed in (OpenID Connect Core section
    /// 3.1.2.6).
    LoginRequired: "login_required",
        text::CODE_LOGIN_REQUIRED,
        "expected with OTEN_PROMPT=none; unset it to let users sign in";
    /// The request had `prompt=none` and the user's consent is missing (OpenID Connect Core section
    /// 3.1.2.6).
    ConsentRequired: "consent_required", text::CODE_CONSENT_REQUIRED,
        "expected with OTEN_PROMPT=none; unset it to let users consent";
    /// The request had `prompt=none` and the user has to act (OpenID Connect Core section 3.1.2.6).
    InteractionRequired: "interaction_required",
        text::CODE_INTERACTION_REQUIRED,
        "expected with OTEN_PROMPT=none; unset it to let users act";
    /// The request had `prompt=none` and the user has to select an account (OpenID Connect Core section
    /// 3.1.2.6).
    AccountSelectionRequired: "account_selection_required",
        text::CODE_ACCOUNT_SELECTION_REQUIRED,
        "expected with OTEN_PROMPT=none; unset it to let users select an account";
}

impl ErrorCode {
    /// Reads the code of an error response (RFC 6749 section 5.2).
    pub(super) fn from_response(response: &HttpResponse) -> Option<Self> {
        #[derive(Deserialize)]
        struct Body {
            error: String,
        }
        let body: Body = response.json()?;
        (!body.error.is_empty()).then(|| Self::from(body.error.as_str()))
    }

    /// Whether the provider no longer lets the user stay signed in. At the token endpoint, the codes
    /// of OpenID Connect Core section 3.1.2.6 mean that the user has to sign in again.
    pub(crate) fn ends_sign_in(&self) -> bool {
        matches!(
            self,
            Self::InvalidGrant
                | Self::AccessDenied
                | Self::LoginRequired
                | Self::ConsentRequired
                | Self::InteractionRequired
        )
    }

    /// Whether a retry of the same request may succeed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::ServerError | Self::TemporarilyUnavailable)
    }

    /// Returns the reason that events and error responses name.
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::AccessDenied => Reason::Cancelled,
            Self::LoginRequired
            | Self::ConsentRequired
            | Self::InteractionRequired
            | Self::AccountSelectionRequired => Reason::InteractionRequired,
            Self::InvalidGrant => Reason::InvalidGrant,
            Self::ServerError | Self::TemporarilyUnavailable => Reason::ProviderError,
            Self::Other(_) => Reason::ProviderRefused,
            _ => Reason::ClientSetup,
        }
    }
}

/// The code in up to 64 characters of RFC 6749's alphabet, so that a log line stays one line.
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
    fn every_code_is_recognized_by_its_name() {
        for code in ErrorCode::KNOWN {
            assert_eq!(ErrorCode::from(code.as_str()), *code);
            assert!(!code.help().is_empty());
        }
    }

    #[test]
    fn l5_a_code_decides_whether_the_session_ends_or_a_retry_helps() {
        let named = |is: fn(&ErrorCode) -> bool| {
            let codes = ErrorCode::KNOWN.iter().filter(|code| is(code));
            codes.map(ErrorCode::as_str).collect::<Vec<_>>()
        };
        let ends_sign_in = [
            "invalid_grant",
            "access_denied",
            "login_required",
            "consent_required",
            "interaction_required",
        ];
        assert_eq!(named(ErrorCode::ends_sign_in), ends_sign_in);
        let is_retryable = ["server_error", "temporarily_unavailable"];
        assert_eq!(named(ErrorCode::is_retryable), is_retryable);
        let is_cancelled = named(|code| code.reason() == Reason::Cancelled);
        assert_eq!(is_cancelled, ["access_denied"]);
        let needs_user = named(|code| code.reason() == Reason::InteractionRequired);
        assert_eq!(needs_user.len(), 4);
        let fails = named(|code| code.reason() == Reason::ProviderError);
        assert_eq!(fails, is_retryable);
        let grant = named(|code| code.reason() == Reason::InvalidGrant);
        assert_eq!(grant, ["invalid_grant"]);
        let other = ErrorCode::from("new_code").reason();
        assert_eq!(other, Reason::ProviderRefused);
    }

    #[test]
    fn an_unknown_code_is_kept_and_displayed_safely() {
        let code = ErrorCode::from("new_code");
        assert_eq!(code, ErrorCode::Other("new_code".into()));
        let hostile = ErrorCode::from(format!("x\n\u{1b}[31m{}", "y".repeat(100)).as_str());
        assert!(hostile.to_string().len() <= 64);
        assert!(!hostile.to_string().contains(['\n', '\u{1b}']));
    }
}
