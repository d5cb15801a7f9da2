//! Where the errors of all rooms meet: each gets a status, a sentence for the browser, and a line
//! in the log.

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

/// Everything that can keep a request from what it wanted.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(
        "the route needs to know who is signed in, but `oten.layer()` is missing: add \
         `.layer(oten.layer())` outside of it, after `.merge(oten.routes())`"
    )]
    MissingLayer,
    #[error("nobody is signed in")]
    NotSignedIn,
    #[error("the access token has ended and cannot be renewed")]
    AccessTokenEnded,
    #[error("the user is not allowed to do this")]
    Forbidden,
    #[error("the request to sign out does not come from a page of this site")]
    CrossSite,
    #[error("the method is not the route's")]
    MethodNotAllowed,
    #[error("the session store cannot be used")]
    Store(#[source] StoreError),
    #[error("the session store cannot be used")]
    StoreShared(#[source] Arc<StoreError>),
    #[error("the provider cannot be used")]
    Provider(#[source] ProviderError),
    #[error("the request object cannot be signed")]
    RequestObject(#[source] JoseError),
    #[error("the callback is refused")]
    Callback(#[from] CallbackError),
    #[error(
        "the callback belongs to no sign-in of this browser, also after a fresh start. The \
         cookie that ties them was {}",
        if *.any_cookie {
            "not among the cookies that came: the sign-in took more than ten minutes, or began \
             on another host than the redirect URI's"
        } else {
            "not sent, nor any other: cookies are blocked, the sign-in began on another host than \
             the redirect URI's, or something outside of this crate (a proxy, a layer) rewrites \
             `Set-Cookie` to `SameSite=Strict`, which browsers withhold on the way back from the \
             provider; it must stay `SameSite=Lax`"
        }
    )]
    UnknownAttempt { any_cookie: bool },
    #[error(
        "two session cookies came with the callback: a site on a neighbouring host or path sets a \
         cookie of the same name. Serve this site at the root of a host of its own, where the \
         `__Host-` prefix forbids that, or give it another OTEN_COOKIE_NAME"
    )]
    SeveralSessionCookies,
    #[error(
        "the access token ended within a minute of signing in: its lifetime at the provider is too \
         short to be used"
    )]
    AccessTokenUseless,
    #[error("the user's tokens cannot be renewed right now, and the grace is over")]
    NotRefreshed { retry_after: Option<Duration> },
    #[error("the code cannot be exchanged")]
    Token(#[source] TokenError),
    #[error("the provider's answer is not believed")]
    IdToken(#[source] IdTokenError),
    #[error("the provider took more than {} seconds to complete the sign-in", .0.as_secs())]
    TooSlow(Duration),
    #[error(transparent)]
    BackChannel(#[from] BackChannelError),
}

/// Why a back-channel logout does not come about.
#[derive(Debug, thiserror::Error)]
pub(super) enum BackChannelError {
    #[error("the logout request is refused: {0}")]
    Request(&'static str),
    #[error(transparent)]
    Token(#[from] LogoutTokenError),
    #[error("the logout took more than {} seconds", .0.as_secs())]
    TooSlow(Duration),
}

/// What an error means outside of this crate.
#[derive(Debug)]
pub(super) struct Description {
    pub(super) status: StatusCode,
    /// For logs and programs.
    pub(super) reason: Reason,
    pub(super) title: &'static str,
    pub(super) sentence: &'static str,
    pub(super) remedy: Remedy,
    pub(super) retry_after: Option<Duration>,
}

/// What a person can do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remedy {
    /// A link to sign in, with this text.
    SignIn(&'static str),
    /// A button to sign out.
    SignOut,
    Nothing,
}

/// When something that is down may be tried again.
const DOWN: Duration = Duration::from_secs(5);

const TRY_AGAIN: Remedy = Remedy::SignIn("Try again");

const UNTRUSTED: &str =
    "The answer that came from Oten could not be trusted, so you have not been signed in.";

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
    // A table: one row for each error.
    #[allow(clippy::too_many_lines)]
    pub(super) fn description(&self) -> Description {
        match self {
            Self::MissingLayer | Self::RequestObject(_) => Description::of(
                StatusCode::INTERNAL_SERVER_ERROR,
                Reason::Setup,
                "Not set up correctly",
                "This site is not set up correctly. The people who run it have to look at it.",
            ),
            Self::NotSignedIn => Description::of(
                StatusCode::UNAUTHORIZED,
                Reason::NotSignedIn,
                "Please sign in",
                "You have to sign in to do this.",
            )
            .remedy(Remedy::SignIn("Sign in")),
            Self::AccessTokenEnded => Description::of(
                StatusCode::UNAUTHORIZED,
                Reason::AccessTokenEnded,
                "Please sign in again",
                "Your permission to act at Oten has ended. Please sign in again.",
            )
            .remedy(Remedy::SignIn("Sign in")),
            Self::Forbidden => Description::of(
                StatusCode::FORBIDDEN,
                Reason::Forbidden,
                "Not allowed",
                "You are signed in, but this account may not do this.",
            ),
            Self::CrossSite => Description::of(
                StatusCode::FORBIDDEN,
                Reason::CrossSite,
                "Sign out?",
                "The request to sign out did not come from this site, so nothing was done.",
            )
            .remedy(Remedy::SignOut),
            Self::MethodNotAllowed => Description::of(
                StatusCode::METHOD_NOT_ALLOWED,
                Reason::MethodNotAllowed,
                "This does not work here",
                "The page was asked in a way it does not understand.",
            ),
            Self::Store(_) | Self::StoreShared(_) => Description::down(
                Reason::StoreDown,
                "Back in a moment",
                "This site cannot look up who is signed in right now. Nobody has been signed out; \
                 please try again in a moment.",
            ),
            Self::Provider(error) => provider(error),
            Self::Callback(error) => callback(error),
            Self::UnknownAttempt { .. } => Description::of(
                StatusCode::BAD_REQUEST,
                Reason::UnknownSignIn,
                "Please sign in again",
                "This browser does not remember starting to sign in here. It may have taken too \
                 long, or the browser keeps no cookies for this site.",
            )
            .remedy(Remedy::SignIn("Sign in")),
            Self::SeveralSessionCookies => Description::of(
                StatusCode::BAD_REQUEST,
                Reason::SeveralSessionCookies,
                "Sign-in failed",
                "Another site sets a cookie that only this site may set. Delete the cookies of \
                 this site in your browser, then sign in again.",
            )
            .remedy(Remedy::SignIn("Sign in")),
            Self::AccessTokenUseless => Description::of(
                StatusCode::BAD_GATEWAY,
                Reason::AccessTokenUseless,
                "Oten does not let this through",
                "Oten's permission to act for you ends as soon as it begins.",
            ),
            Self::NotRefreshed { retry_after } => Description::down(
                Reason::NotRefreshed,
                "Back in a moment",
                "Oten cannot confirm right now that you are signed in. You have not been signed \
                 out; please try again in a moment.",
            )
            .retry_after(*retry_after),
            Self::Token(error) => token(error),
            Self::IdToken(error) => Description::of(
                StatusCode::BAD_GATEWAY,
                error.reason(),
                "Sign-in failed",
                UNTRUSTED,
            )
            .remedy(TRY_AGAIN),
            Self::TooSlow(_) => Description::down(
                Reason::ProviderSlow,
                "Oten does not answer",
                "Oten took too long to answer, so you have not been signed in.",
            )
            .remedy(TRY_AGAIN),
            Self::BackChannel(error) => back_channel(error),
        }
    }

    /// The whole story, for the log. No variant holds a secret.
    pub(super) fn cause(&self) -> String {
        with_causes(self)
    }
}

impl Description {
    fn of(status: StatusCode, reason: Reason, title: &'static str, sentence: &'static str) -> Self {
        Self {
            status,
            reason,
            title,
            sentence,
            remedy: Remedy::Nothing,
            retry_after: None,
        }
    }

    fn down(reason: Reason, title: &'static str, sentence: &'static str) -> Self {
        Self {
            retry_after: Some(DOWN),
            ..Self::of(StatusCode::SERVICE_UNAVAILABLE, reason, title, sentence)
        }
    }

    fn remedy(self, remedy: Remedy) -> Self {
        Self { remedy, ..self }
    }

    fn retry_after(self, retry_after: Option<Duration>) -> Self {
        Self {
            retry_after: retry_after.or(self.retry_after),
            ..self
        }
    }
}

fn provider(error: &ProviderError) -> Description {
    if error.is_transient() {
        return Description::down(
            error.reason(),
            "Oten does not answer",
            "Oten cannot be reached right now, so nobody can sign in. Please try again in a moment.",
        )
        .retry_after(error.retry_after())
        .remedy(TRY_AGAIN);
    }
    Description::of(
        StatusCode::BAD_GATEWAY,
        error.reason(),
        "Sign-in failed",
        UNTRUSTED,
    )
    .remedy(TRY_AGAIN)
}

fn callback(error: &CallbackError) -> Description {
    match error {
        CallbackError::ErrorResponse(code) => refused(code),
        CallbackError::Iss => Description::of(
            StatusCode::BAD_REQUEST,
            error.reason(),
            "Sign-in failed",
            "The answer did not come from Oten, so you have not been signed in.",
        )
        .remedy(TRY_AGAIN),
        _ => Description::of(
            StatusCode::BAD_REQUEST,
            error.reason(),
            "Sign-in failed",
            "The answer that came back from Oten was incomplete or damaged.",
        )
        .remedy(TRY_AGAIN),
    }
}

/// An error the provider sent back through the browser.
fn refused(code: &ErrorCode) -> Description {
    let (status, title) = match code {
        // Changing one's mind is not an error.
        ErrorCode::AccessDenied => (StatusCode::OK, "Sign-in cancelled"),
        ErrorCode::LoginRequired | ErrorCode::ConsentRequired | ErrorCode::InteractionRequired => {
            (StatusCode::FORBIDDEN, "Please sign in")
        }
        ErrorCode::InvalidGrant => (StatusCode::BAD_REQUEST, "Please sign in again"),
        code if code.is_retryable() => {
            return Description::down(code.reason(), "Oten does not answer", code.sentence())
                .remedy(TRY_AGAIN);
        }
        ErrorCode::Other(_) => (StatusCode::BAD_GATEWAY, "Sign-in failed"),
        _ => (StatusCode::INTERNAL_SERVER_ERROR, "Sign-in failed"),
    };
    Description::of(status, code.reason(), title, code.sentence()).remedy(TRY_AGAIN)
}

fn token(error: &TokenError) -> Description {
    match error {
        TokenError::Unreachable(_) => Description::down(
            error.reason(),
            "Oten does not answer",
            "Oten could not be reached to complete the sign-in. Please try again in a moment.",
        )
        .remedy(TRY_AGAIN),
        TokenError::RateLimited { retry_after } => Description::down(
            error.reason(),
            "Oten is busy",
            "Many people are signing in right now. Please try again in a moment.",
        )
        .retry_after(*retry_after)
        .remedy(TRY_AGAIN),
        TokenError::ErrorResponse(code) => refused(code),
        TokenError::Status(_) | TokenError::Malformed | TokenError::NotBearer => Description::of(
            StatusCode::BAD_GATEWAY,
            error.reason(),
            "Sign-in failed",
            UNTRUSTED,
        )
        .remedy(TRY_AGAIN),
    }
}

fn back_channel(error: &BackChannelError) -> Description {
    let title = "Not signed out";
    let refused =
        |reason, sentence| Description::of(StatusCode::BAD_REQUEST, reason, title, sentence);
    match error {
        BackChannelError::Request(_) => {
            refused(Reason::LogoutRequest, "The logout request is malformed.")
        }
        BackChannelError::Token(error) => refused(error.reason(), "The logout token is refused."),
        BackChannelError::TooSlow(_) => Description::down(
            Reason::LogoutSlow,
            title,
            "The logout could not be completed in time.",
        ),
    }
}
