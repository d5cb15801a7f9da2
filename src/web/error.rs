//! Errors of requests, and the page that each one is shown as.

use std::{sync::Arc, time::Duration};

use http::StatusCode;

use crate::{
    audit::Reason,
    error::with_causes,
    jose::JoseError,
    protocol::{CallbackError, ErrorCode, IdTokenError, LogoutTokenError, TokenError},
    provider::ProviderError,
    store::StoreError,
};

/// Time limit of a route for all its calls to the provider and the store together.
pub(super) const DEADLINE: Duration = Duration::from_secs(11);

/// `Retry-After` of an error that names no time.
const RETRY_AFTER: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(
        "`oten.layer()` is missing: add `.layer(oten.layer())` to the router after the route and \
         after `.merge(oten.routes())`"
    )]
    MissingLayer,
    #[error("no user is signed in")]
    NotSignedIn,
    #[error("the access token has expired and cannot be refreshed")]
    AccessTokenExpired,
    #[error("the rule of `RequireLogin::authorize` denies the user access")]
    Forbidden,
    #[error("the sign-out request does not come from a page of this site")]
    CrossSite,
    #[error("the route does not support the request's method")]
    MethodNotAllowed,
    #[error("the session store failed")]
    Store(#[source] Arc<StoreError>),
    #[error("the provider is not usable")]
    Provider(#[from] ProviderError),
    #[error("the request object cannot be signed")]
    RequestObject(#[source] JoseError),
    #[error("the callback is rejected")]
    Callback(#[from] CallbackError),
    #[error(
        "the callback matches no login attempt of this browser, even after a restarted login; {}",
        if *.any_cookie {
            "the browser sent cookies, but not the login cookie: the sign-in took more than ten \
             minutes or started on another host than the redirect URI's"
        } else {
            "the browser sent no cookies: it blocks them, the sign-in started on another host than \
             the redirect URI's, or a proxy or layer rewrites `Set-Cookie` to `SameSite=Strict`, \
             which browsers withhold on the redirect from the provider; keep `SameSite=Lax`"
        }
    )]
    UnknownAttempt { any_cookie: bool },
    #[error(
        "the callback came with two session cookies: a site on a neighboring host or path sets a \
         cookie of the same name; serve this site at the root of its own host, where the `__Host-` \
         prefix prevents that, or change OTEN_COOKIE_NAME"
    )]
    SeveralSessionCookies,
    #[error(
        "the access token expired within a minute after the sign-in: the provider's access token \
         lifetime is too short"
    )]
    AccessTokenUseless,
    #[error("the user's tokens cannot be refreshed and the grace period is over")]
    NotRefreshed { retry_after: Option<Duration> },
    #[error("the code exchange failed")]
    Token(#[from] TokenError),
    #[error("the ID token is rejected")]
    IdToken(#[source] IdTokenError),
    #[error("the sign-in took more than {} seconds", DEADLINE.as_secs())]
    TooSlow,
    #[error(transparent)]
    BackChannel(#[from] BackChannelError),
}

#[derive(Debug, thiserror::Error)]
pub(super) enum BackChannelError {
    #[error("the logout request is malformed: {0}")]
    Request(&'static str),
    #[error(transparent)]
    Token(#[from] LogoutTokenError),
    #[error("the logout took more than {} seconds", DEADLINE.as_secs())]
    TooSlow,
}

/// Description of an error for users and programs.
#[derive(Debug)]
pub(super) struct ErrorPage {
    pub(super) status: StatusCode,
    pub(super) reason: Reason,
    pub(super) title: &'static str,
    pub(super) text: &'static str,
    pub(super) next_step: NextStep,
    pub(super) retry_after: Option<Duration>,
}

/// The action that a page offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NextStep {
    /// A link with this text to the login route.
    SignIn(&'static str),
    /// A button that signs the user out.
    SignOut,
    None,
}

const SIGN_IN: NextStep = NextStep::SignIn("Sign in");
const TRY_AGAIN: NextStep = NextStep::SignIn("Try again");

const UNTRUSTED: &str =
    "Oten's response could not be trusted, so you have not been signed in. Please try again.";

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        Self::Store(Arc::new(error))
    }
}

impl From<IdTokenError> for Error {
    fn from(error: IdTokenError) -> Self {
        match error {
            IdTokenError::Provider(error) => Self::Provider(error),
            error => Self::IdToken(error),
        }
    }
}

impl From<LogoutTokenError> for Error {
    fn from(error: LogoutTokenError) -> Self {
        match error {
            LogoutTokenError::Provider(error) => Self::Provider(error),
            error => Self::BackChannel(error.into()),
        }
    }
}

impl Error {
    /// The error with its causes, for the log. Contains no secrets.
    pub(super) fn cause(&self) -> String {
        with_causes(self)
    }

    // A table with a row for each error.
    #[allow(clippy::too_many_lines)]
    pub(super) fn page(&self) -> ErrorPage {
        match self {
            Self::MissingLayer | Self::RequestObject(_) => ErrorPage::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                Reason::Setup,
                "Not set up correctly",
                "This site is not set up correctly. Please contact the people who run it.",
            ),
            Self::NotSignedIn => ErrorPage::new(
                StatusCode::UNAUTHORIZED,
                Reason::NotSignedIn,
                "Please sign in",
                "You need to sign in to continue.",
            )
            .next_step(SIGN_IN),
            Self::AccessTokenExpired => ErrorPage::new(
                StatusCode::UNAUTHORIZED,
                Reason::AccessTokenEnded,
                "Please sign in again",
                "Your access has expired. Sign in again to continue.",
            )
            .next_step(SIGN_IN),
            Self::Forbidden => ErrorPage::new(
                StatusCode::FORBIDDEN,
                Reason::Forbidden,
                "Not allowed",
                "You are signed in, but your account does not have access. If you need it, please \
                 contact the people who run this site.",
            ),
            Self::CrossSite => ErrorPage::new(
                StatusCode::FORBIDDEN,
                Reason::CrossSite,
                "Sign out?",
                "The request to sign out did not come from this site, so you have not been signed \
                 out. Sign out here if you want to.",
            )
            .next_step(NextStep::SignOut),
            Self::MethodNotAllowed => ErrorPage::new(
                StatusCode::METHOD_NOT_ALLOWED,
                Reason::MethodNotAllowed,
                "This does not work",
                "This address does not support what you tried to do. Please go back to the site.",
            ),
            Self::Store(_) => ErrorPage::unavailable(
                Reason::StoreDown,
                "Please try again soon",
                "This site cannot check your sign-in right now. You have not been signed out; \
                 please try again in a moment.",
            ),
            Self::NotRefreshed { retry_after } => ErrorPage::unavailable(
                Reason::NotRefreshed,
                "Please try again soon",
                "Oten cannot confirm your sign-in right now. You have not been signed out; please \
                 try again in a moment.",
            )
            .retry_after(*retry_after),
            Self::AccessTokenUseless => ErrorPage::new(
                StatusCode::BAD_GATEWAY,
                Reason::AccessTokenUseless,
                "Access expired too soon",
                "Your access expired right after you signed in. Please contact the people who run \
                 this site.",
            ),
            Self::UnknownAttempt { .. } => ErrorPage::new(
                StatusCode::BAD_REQUEST,
                Reason::UnknownSignIn,
                "Please sign in again",
                "Your sign-in took too long, or your browser blocks cookies for this site. Allow \
                 cookies and sign in again.",
            )
            .next_step(SIGN_IN),
            Self::SeveralSessionCookies => ErrorPage::sign_in_failed(
                StatusCode::BAD_REQUEST,
                Reason::SeveralSessionCookies,
                "Another site has set a conflicting cookie. Delete this site's cookies in your \
                 browser and sign in again.",
            )
            .next_step(SIGN_IN),
            Self::TooSlow => ErrorPage::unavailable(
                Reason::ProviderSlow,
                "Oten is not responding",
                "Oten took too long to respond, so you have not been signed in. Please try again.",
            )
            .next_step(TRY_AGAIN),
            Self::Provider(error) if error.is_transient() => ErrorPage::unavailable(
                error.reason(),
                "Oten is not responding",
                "Signing in does not work right now. Please try again in a moment.",
            )
            .retry_after(error.retry_after())
            .next_step(TRY_AGAIN),
            Self::Provider(error) => {
                ErrorPage::sign_in_failed(StatusCode::BAD_GATEWAY, error.reason(), UNTRUSTED)
            }
            Self::IdToken(error) => {
                ErrorPage::sign_in_failed(StatusCode::BAD_GATEWAY, error.reason(), UNTRUSTED)
            }
            Self::Callback(CallbackError::ErrorResponse(code))
            | Self::Token(TokenError::ErrorResponse(code)) => error_code(code),
            Self::Callback(error @ CallbackError::Iss) => ErrorPage::sign_in_failed(
                StatusCode::BAD_REQUEST,
                error.reason(),
                "The response did not come from Oten, so you have not been signed in. Please try \
                 again.",
            ),
            Self::Callback(error) => ErrorPage::sign_in_failed(
                StatusCode::BAD_REQUEST,
                error.reason(),
                "Oten's response was incomplete or damaged. Please try again.",
            ),
            Self::Token(error @ TokenError::Unreachable(_)) => ErrorPage::unavailable(
                error.reason(),
                "Oten is not responding",
                "Oten could not be reached to complete the sign-in. Please try again in a moment.",
            )
            .next_step(TRY_AGAIN),
            Self::Token(error @ TokenError::RateLimited { retry_after }) => ErrorPage::unavailable(
                error.reason(),
                "Oten is busy",
                "Many people are signing in right now. Please try again in a moment.",
            )
            .retry_after(*retry_after)
            .next_step(TRY_AGAIN),
            Self::Token(error) => {
                ErrorPage::sign_in_failed(StatusCode::BAD_GATEWAY, error.reason(), UNTRUSTED)
            }
            Self::BackChannel(error) => back_channel(error),
        }
    }
}

impl ErrorPage {
    fn new(status: StatusCode, reason: Reason, title: &'static str, text: &'static str) -> Self {
        Self {
            status,
            reason,
            title,
            text,
            next_step: NextStep::None,
            retry_after: None,
        }
    }

    fn sign_in_failed(status: StatusCode, reason: Reason, text: &'static str) -> Self {
        Self::new(status, reason, "Sign-in failed", text).next_step(TRY_AGAIN)
    }

    fn unavailable(reason: Reason, title: &'static str, text: &'static str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, reason, title, text)
            .retry_after(Some(RETRY_AFTER))
    }

    fn next_step(self, next_step: NextStep) -> Self {
        Self { next_step, ..self }
    }

    fn retry_after(self, retry_after: Option<Duration>) -> Self {
        Self {
            retry_after: retry_after.or(self.retry_after),
            ..self
        }
    }
}

/// An error code of the provider, from the callback or the token endpoint.
fn error_code(code: &ErrorCode) -> ErrorPage {
    let (status, title) = match code {
        // The user cancelled the sign-in, which is not an error.
        ErrorCode::AccessDenied => (StatusCode::OK, "Sign-in cancelled"),
        ErrorCode::LoginRequired | ErrorCode::ConsentRequired | ErrorCode::InteractionRequired => {
            (StatusCode::FORBIDDEN, "Please sign in")
        }
        ErrorCode::InvalidGrant => (StatusCode::BAD_REQUEST, "Please sign in again"),
        code if code.is_retryable() => {
            let title = "Oten is not responding";
            return ErrorPage::unavailable(code.reason(), title, code.sentence())
                .next_step(TRY_AGAIN);
        }
        ErrorCode::Other(_) => (StatusCode::BAD_GATEWAY, "Sign-in failed"),
        _ => (StatusCode::INTERNAL_SERVER_ERROR, "Sign-in failed"),
    };
    ErrorPage::new(status, code.reason(), title, code.sentence()).next_step(TRY_AGAIN)
}

fn back_channel(error: &BackChannelError) -> ErrorPage {
    let title = "Not signed out";
    let rejected = |reason, text| ErrorPage::new(StatusCode::BAD_REQUEST, reason, title, text);
    match error {
        BackChannelError::Request(_) => {
            rejected(Reason::LogoutRequest, "The logout request is malformed.")
        }
        BackChannelError::Token(error) => rejected(error.reason(), "The logout token is rejected."),
        BackChannelError::TooSlow => ErrorPage::unavailable(
            Reason::LogoutSlow,
            title,
            "The logout could not be completed in time.",
        ),
    }
}
