//! Errors of requests, and the page that each one is shown as.

use std::{sync::Arc, time::Duration};

use axum::BoxError;
use http::StatusCode;

use crate::{
    audit::Reason,
    config::{Denied, InvalidLoginOption},
    http::ForwardError,
    jose::JoseError,
    protocol::{CallbackError, ErrorCode, IdTokenError, LogoutTokenError, TokenError},
    provider::{BudgetExhausted, ProviderError},
    session::{GrantError, NoForm, User},
    store::StoreError,
    text::{self, Text},
};

/// Time limit of a route for all its calls to the provider and the store together.
pub(super) const DEADLINE: Duration = Duration::from_secs(11);

/// Default `Retry-After` of an error page.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(
        "no layer of this `Oten` was applied: add `.layer(oten.layer())` outside the route, after \
         `.merge(oten.routes())`, and use one `Oten` for both"
    )]
    MissingLayer,
    #[error("no user is signed in")]
    NotSignedIn,
    #[error("the access token has expired and cannot be refreshed")]
    AccessTokenExpired,
    #[error("{}", match denied {
        Some(denied) => denied.to_string(),
        None => "the function of `RequireLogin::authorize` denies the user access".to_owned(),
    })]
    Forbidden { user: User, denied: Option<Denied> },
    #[error(
        "the user authenticated more than {max_age} seconds ago, or the provider does not say when"
    )]
    LoginTooOld { max_age: u64 },
    #[error(
        "the provider does not confirm with `auth_time` that the user has just authenticated, although the \
         request has `prompt=login` and `max_age={max_age}`"
    )]
    FreshLogin { max_age: u64 },
    #[error("the function of `RequireLogin::authorize_async` failed")]
    AccessCheck(#[source] BoxError),
    #[error("the sign-out request does not come from a page of this site")]
    CrossSite,
    #[error(
        "the request changes state or opens a WebSocket, and does not come from a page of this site"
    )]
    ForeignOrigin,
    #[error("the route does not support the request's method")]
    MethodNotAllowed,
    #[error(
        "the request to end sessions is malformed: send a form with `end` and, if it is `one`, `session`"
    )]
    SessionRequest,
    #[error("the request is not forwarded to the API: {0}")]
    ApiRequest(&'static str),
    #[error("the `{0}` of a native app's request is missing, repeated or not allowed")]
    NativeRequest(&'static str),
    #[error("the `grant_type` of a native app's request is not `authorization_code`")]
    NativeGrantType,
    #[error(
        "the sign-in of a native app was completed before, has expired or is another browser's"
    )]
    NativeSignInUsed,
    #[error("the code of a native app is rejected: {0}")]
    NativeGrant(GrantError),
    #[error("the `Authorization` header is rejected: {0}")]
    Credential(&'static str),
    #[error("the API gave no response")]
    Api(#[source] ForwardError),
    #[error(transparent)]
    KeptForm(#[from] NoForm),
    #[error("the session store failed")]
    Store(#[source] Arc<StoreError>),
    #[error("the provider is not usable")]
    Provider(#[from] ProviderError),
    #[error("the request object cannot be signed")]
    RequestObject(#[source] JoseError),
    #[error("the login request has an `iss` that is not the configured issuer")]
    ForeignLoginRequest,
    #[error("the form that starts a sign-in is rejected: {0}")]
    LoginForm(&'static str),
    #[error(transparent)]
    LoginOptions(#[from] InvalidLoginOption),
    #[error("the callback is rejected")]
    Callback(#[from] CallbackError),
    #[error(
        "the callback matches no login attempt of this browser; {}",
        if *.has_cookie {
            "the sign-in was restarted less than a minute ago: the user opened an old callback again, \
             or the provider or a proxy changes `state` or removes cookies"
        } else {
            "the browser did not keep the cookie of the restarted sign-in: it blocks cookies, or a \
             proxy or layer rewrites `Set-Cookie` to `SameSite=Strict`, which browsers withhold on \
             the redirect from the provider; keep `SameSite=Lax`"
        }
    )]
    UnknownAttempt { has_cookie: bool },
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
    #[error(
        "the user's tokens could not be refreshed, and the access token or the grace period has \
         expired"
    )]
    NotRefreshed { retry_after: Option<Duration> },
    #[error(transparent)]
    Budget(#[from] BudgetExhausted),
    #[error("the code exchange failed")]
    Token(#[from] TokenError),
    #[error("the ID token is rejected")]
    IdToken(#[source] IdTokenError),
    #[error("the user was signed out, by the provider or here, while the user signed in")]
    SignedOutMeanwhile,
    #[error("the sign-in took more than {} seconds", DEADLINE.as_secs())]
    TooSlow,
    #[error("the logout request is malformed: {0}")]
    LogoutRequest(&'static str),
    #[error(transparent)]
    LogoutToken(LogoutTokenError),
    #[error("the logout took more than {} seconds", DEADLINE.as_secs())]
    LogoutTooSlow,
}

/// Description of an error for the user.
#[derive(Debug)]
pub(super) struct ErrorPage {
    pub(super) status: StatusCode,
    pub(super) title: Text,
    pub(super) text: Text,
    pub(super) next_steps: &'static [NextStep],
    pub(super) retry_after: Option<Duration>,
}

/// An action that a response offers to the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NextStep {
    /// A link with this text to the login route.
    SignIn(Text),
    /// A link to the requested page.
    TryAgain,
    /// A link to the login route, to sign in with another account.
    SwitchAccount,
    /// A button that signs the user out.
    SignOut,
    /// A link to the home page, which every page has.
    GoBack,
}

/// Returns what the user can do next, the most useful first. Reasons of back-channel logout and of
/// bearer tokens are not considered: the provider and programs get those responses.
fn next_steps(reason: Reason) -> &'static [NextStep] {
    use Reason as R;
    match reason {
        R::NotSignedIn
        | R::LoginTooOld
        | R::AccessTokenEnded
        | R::UnknownSignIn
        | R::LoginRequest
        | R::SeveralSessionCookies
        | R::SignedOutMeanwhile => &[NextStep::SignIn(text::SIGN_IN)],
        R::NotRefreshed => &[NextStep::TryAgain, NextStep::SignIn(text::SIGN_IN_AGAIN)],
        R::StoreDown | R::ApiDown | R::ApiSlow | R::AccessCheck => &[NextStep::TryAgain],
        R::Forbidden => &[NextStep::SwitchAccount, NextStep::SignOut],
        R::CrossSite => &[NextStep::SignOut],
        R::Setup
        | R::AccessTokenUseless
        | R::ForeignOrigin
        | R::MethodNotAllowed
        | R::ApiRequest
        | R::NativeRequest
        | R::NativeSignInUsed
        | R::NativeCode
        | R::NativeCodeReused
        | R::SessionRequest
        | R::KeptForm => &[NextStep::GoBack],
        // A sign-in failed.
        _ => &[NextStep::SignIn(text::TRY_AGAIN)],
    }
}

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
            error => Self::LogoutToken(error),
        }
    }
}

impl Error {
    pub(super) fn reason(&self) -> Reason {
        match self {
            Self::MissingLayer | Self::RequestObject(_) => Reason::Setup,
            Self::NotSignedIn => Reason::NotSignedIn,
            Self::AccessTokenExpired => Reason::AccessTokenEnded,
            Self::AccessTokenUseless => Reason::AccessTokenUseless,
            Self::Forbidden { .. } => Reason::Forbidden,
            Self::AccessCheck(_) => Reason::AccessCheck,
            Self::LoginTooOld { .. } => Reason::LoginTooOld,
            Self::FreshLogin { .. } => Reason::FreshLogin,
            Self::CrossSite => Reason::CrossSite,
            Self::ForeignOrigin => Reason::ForeignOrigin,
            Self::MethodNotAllowed => Reason::MethodNotAllowed,
            Self::SessionRequest => Reason::SessionRequest,
            Self::ApiRequest(_) => Reason::ApiRequest,
            Self::NativeRequest(_) | Self::NativeGrantType => Reason::NativeRequest,
            Self::NativeSignInUsed => Reason::NativeSignInUsed,
            Self::NativeGrant(GrantError::Reused) => Reason::NativeCodeReused,
            Self::NativeGrant(GrantError::SignedOut) | Self::SignedOutMeanwhile => {
                Reason::SignedOutMeanwhile
            }
            Self::NativeGrant(_) => Reason::NativeCode,
            Self::Credential(_) => Reason::BearerRequest,
            Self::KeptForm(_) => Reason::KeptForm,
            Self::Api(ForwardError::Stalled) => Reason::ApiSlow,
            Self::Api(_) => Reason::ApiDown,
            Self::Store(_) => Reason::StoreDown,
            Self::NotRefreshed { .. } => Reason::NotRefreshed,
            Self::UnknownAttempt { .. } => Reason::UnknownSignIn,
            Self::ForeignLoginRequest | Self::LoginForm(_) | Self::LoginOptions(_) => {
                Reason::LoginRequest
            }
            Self::SeveralSessionCookies => Reason::SeveralSessionCookies,
            Self::Budget(_) => Reason::TokenEndpointBusy,
            Self::Provider(error) => error.reason(),
            Self::Callback(error) => error.reason(),
            Self::Token(error) => error.reason(),
            Self::IdToken(error) => error.reason(),
            Self::TooSlow => Reason::ProviderSlow,
            Self::LogoutRequest(_) => Reason::LogoutRequest,
            Self::LogoutToken(error) => error.reason(),
            Self::LogoutTooSlow => Reason::LogoutSlow,
        }
    }

    /// Whether the user only has to sign in for the request.
    pub(super) fn requires_sign_in(&self) -> bool {
        matches!(
            self,
            Self::NotSignedIn | Self::AccessTokenExpired | Self::LoginTooOld { .. }
        )
    }

    /// How long ago the user may have authenticated, in seconds, if the user must sign in again for that.
    pub(super) fn fresh_max_age(&self) -> Option<u64> {
        match *self {
            Self::LoginTooOld { max_age } | Self::FreshLogin { max_age } => Some(max_age),
            _ => None,
        }
    }

    /// The signed-in user, if the error is about what the user may do.
    pub(super) fn user(&self) -> Option<&User> {
        match self {
            Self::Forbidden { user, .. } => Some(user),
            _ => None,
        }
    }

    pub(super) fn page(&self) -> ErrorPage {
        let (status, title, text) = self.texts();
        let retry_after = || self.retry_after().unwrap_or(DEFAULT_RETRY_AFTER);
        ErrorPage {
            status,
            title,
            text,
            next_steps: next_steps(self.reason()),
            retry_after: (status == StatusCode::SERVICE_UNAVAILABLE).then(retry_after),
        }
    }

    // A table with a row for each page.
    #[allow(clippy::too_many_lines)]
    fn texts(&self) -> (StatusCode, Text, Text) {
        match self {
            Self::MissingLayer | Self::RequestObject(_) => (
                StatusCode::INTERNAL_SERVER_ERROR,
                text::NOT_SET_UP,
                text::SITE_NOT_SET_UP,
            ),
            Self::NotSignedIn => (
                StatusCode::UNAUTHORIZED,
                text::PLEASE_SIGN_IN,
                text::SIGN_IN_TO_CONTINUE,
            ),
            Self::AccessTokenExpired => (
                StatusCode::UNAUTHORIZED,
                text::PLEASE_SIGN_IN_AGAIN,
                text::ACCESS_EXPIRED,
            ),
            Self::AccessTokenUseless => (
                StatusCode::BAD_GATEWAY,
                text::ACCESS_EXPIRED_TOO_SOON,
                text::ACCESS_TOKEN_USELESS,
            ),
            Self::LoginTooOld { .. } => (
                StatusCode::UNAUTHORIZED,
                text::PLEASE_SIGN_IN_AGAIN,
                text::LOGIN_TOO_OLD,
            ),
            Self::FreshLogin { .. } => (
                StatusCode::BAD_GATEWAY,
                text::SIGN_IN_NOT_CONFIRMED,
                text::LOGIN_NOT_FRESH,
            ),
            Self::Forbidden { .. } => (StatusCode::FORBIDDEN, text::NOT_ALLOWED, text::FORBIDDEN),
            Self::AccessCheck(_) => (
                StatusCode::SERVICE_UNAVAILABLE,
                text::TRY_AGAIN_SOON,
                text::ACCESS_NOT_CHECKED,
            ),
            Self::CrossSite => (
                StatusCode::FORBIDDEN,
                text::SIGN_OUT_QUESTION,
                text::CROSS_SITE,
            ),
            Self::ForeignOrigin => (
                StatusCode::FORBIDDEN,
                text::NOT_ALLOWED,
                text::FOREIGN_ORIGIN,
            ),
            Self::MethodNotAllowed => (
                StatusCode::METHOD_NOT_ALLOWED,
                text::PAGE_NOT_AVAILABLE,
                text::CANNOT_BE_OPENED,
            ),
            Self::ApiRequest(_) | Self::SessionRequest => (
                StatusCode::BAD_REQUEST,
                text::PAGE_NOT_AVAILABLE,
                text::CANNOT_BE_OPENED,
            ),
            Self::NativeRequest(_) | Self::NativeGrantType => (
                StatusCode::BAD_REQUEST,
                text::SIGN_IN_FAILED,
                text::NATIVE_REQUEST_INVALID,
            ),
            Self::NativeSignInUsed => (
                StatusCode::BAD_REQUEST,
                text::PLEASE_SIGN_IN_AGAIN,
                text::NATIVE_SIGN_IN_USED,
            ),
            Self::NativeGrant(_) => (
                StatusCode::BAD_REQUEST,
                text::SIGN_IN_FAILED,
                text::NATIVE_CODE_INVALID,
            ),
            Self::Credential(_) => (
                StatusCode::BAD_REQUEST,
                text::PAGE_NOT_AVAILABLE,
                text::CREDENTIAL_MALFORMED,
            ),
            Self::KeptForm(NoForm::OtherUser) => (
                StatusCode::FORBIDDEN,
                text::ANOTHER_ACCOUNT,
                text::OTHER_USER,
            ),
            Self::KeptForm(NoForm::Sent) => (
                StatusCode::GONE,
                text::FORM_ALREADY_SENT,
                text::FORM_WAS_SENT,
            ),
            Self::KeptForm(NoForm::Discarded) => (
                StatusCode::GONE,
                text::FORM_DISCARDED,
                text::FORM_WAS_DISCARDED,
            ),
            Self::KeptForm(NoForm::Unknown) => (
                StatusCode::GONE,
                text::FORM_NO_LONGER_KEPT,
                text::FORM_IS_UNKNOWN,
            ),
            Self::Api(error) => (
                match error {
                    ForwardError::Stalled => StatusCode::GATEWAY_TIMEOUT,
                    _ => StatusCode::BAD_GATEWAY,
                },
                text::TRY_AGAIN_SOON,
                text::API_DOWN,
            ),
            Self::Store(_) => (
                StatusCode::SERVICE_UNAVAILABLE,
                text::TRY_AGAIN_SOON,
                text::STORE_DOWN,
            ),
            Self::NotRefreshed { .. } => (
                StatusCode::SERVICE_UNAVAILABLE,
                text::TRY_AGAIN_SOON,
                text::NOT_REFRESHED,
            ),
            Self::UnknownAttempt { has_cookie: true } => (
                StatusCode::BAD_REQUEST,
                text::PLEASE_SIGN_IN_AGAIN,
                text::ATTEMPT_OVER,
            ),
            Self::UnknownAttempt { has_cookie: false } => (
                StatusCode::BAD_REQUEST,
                text::PLEASE_SIGN_IN_AGAIN,
                text::COOKIES_BLOCKED,
            ),
            Self::SeveralSessionCookies => (
                StatusCode::BAD_REQUEST,
                text::SIGN_IN_FAILED,
                text::CONFLICTING_COOKIE,
            ),
            Self::SignedOutMeanwhile => (
                StatusCode::FORBIDDEN,
                text::PLEASE_SIGN_IN_AGAIN,
                text::SIGNED_OUT_MEANWHILE,
            ),
            Self::TooSlow => (
                StatusCode::SERVICE_UNAVAILABLE,
                text::OTEN_NOT_RESPONDING,
                text::OTEN_TOO_SLOW,
            ),
            Self::Provider(error) if error.is_transient() => (
                StatusCode::SERVICE_UNAVAILABLE,
                text::OTEN_NOT_RESPONDING,
                text::OTEN_DOWN,
            ),
            Self::Token(TokenError::Unreachable(_)) => (
                StatusCode::SERVICE_UNAVAILABLE,
                text::OTEN_NOT_RESPONDING,
                text::OTEN_UNREACHABLE,
            ),
            Self::Budget(_) | Self::Token(TokenError::RateLimited { .. }) => (
                StatusCode::SERVICE_UNAVAILABLE,
                text::OTEN_BUSY,
                text::OTEN_ACCEPTS_NO_MORE,
            ),
            Self::Callback(CallbackError::ErrorResponse(code))
            | Self::Token(TokenError::ErrorResponse(code, _)) => error_code_texts(code),
            // The code is not proven, so it does not decide on the status.
            Self::Callback(CallbackError::MissingState(Some(code))) => {
                (StatusCode::BAD_REQUEST, text::SIGN_IN_FAILED, code.text())
            }
            Self::ForeignLoginRequest | Self::LoginForm(_) | Self::LoginOptions(_) => (
                StatusCode::BAD_REQUEST,
                text::SIGN_IN_FAILED,
                text::LOGIN_REQUEST_INVALID,
            ),
            Self::Callback(CallbackError::Iss) => (
                StatusCode::BAD_REQUEST,
                text::SIGN_IN_FAILED,
                text::NOT_FROM_OTEN,
            ),
            Self::Callback(_) => (
                StatusCode::BAD_REQUEST,
                text::SIGN_IN_FAILED,
                text::RESPONSE_INCOMPLETE,
            ),
            Self::Provider(_) | Self::Token(_) | Self::IdToken(_) => (
                StatusCode::BAD_GATEWAY,
                text::SIGN_IN_FAILED,
                text::RESPONSE_UNTRUSTED,
            ),
            Self::LogoutRequest(_) => (
                StatusCode::BAD_REQUEST,
                text::NOT_SIGNED_OUT,
                text::LOGOUT_REQUEST_MALFORMED,
            ),
            Self::LogoutToken(_) => (
                StatusCode::BAD_REQUEST,
                text::NOT_SIGNED_OUT,
                text::LOGOUT_TOKEN_REJECTED,
            ),
            Self::LogoutTooSlow => (
                StatusCode::SERVICE_UNAVAILABLE,
                text::NOT_SIGNED_OUT,
                text::LOGOUT_TOO_SLOW,
            ),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::NotRefreshed { retry_after }
            | Self::Token(TokenError::RateLimited { retry_after }) => *retry_after,
            Self::Budget(exhausted) => Some(exhausted.retry_after()),
            Self::Provider(error) => error.retry_after(),
            _ => None,
        }
    }
}

/// The texts for an error code of the provider, from the callback or the token endpoint.
fn error_code_texts(code: &ErrorCode) -> (StatusCode, Text, Text) {
    let (status, title) = match code {
        // The user cancelled the sign-in, which is not an error.
        ErrorCode::AccessDenied => (StatusCode::OK, text::SIGN_IN_CANCELLED),
        code if code.reason() == Reason::InteractionRequired => {
            (StatusCode::FORBIDDEN, text::PLEASE_SIGN_IN)
        }
        ErrorCode::InvalidGrant => (StatusCode::BAD_REQUEST, text::PLEASE_SIGN_IN_AGAIN),
        code if code.is_retryable() => (StatusCode::SERVICE_UNAVAILABLE, text::OTEN_NOT_RESPONDING),
        ErrorCode::Other(_) => (StatusCode::BAD_GATEWAY, text::SIGN_IN_FAILED),
        _ => (StatusCode::INTERNAL_SERVER_ERROR, text::SIGN_IN_FAILED),
    };
    (status, title, code.text())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// The guide's table of pages: the reasons of each row and its next steps.
    #[test]
    fn b1_the_guide_names_the_next_steps_of_every_reason() {
        let guide = include_str!("../guide/errors.md");
        let rows: Vec<Vec<_>> = guide
            .lines()
            .skip_while(|line| !line.starts_with("| page |"))
            .skip(2)
            .take_while(|line| line.starts_with('|'))
            .map(|line| line.split('|').map(str::trim).collect())
            .collect();
        let mut listed = HashSet::new();
        for row in &rows {
            let title = format!("{:?}", row[1]);
            assert!(
                include_str!("../text.rs").contains(&title),
                "no page {title}"
            );
            for code in row[2].split(", ") {
                assert!(listed.insert((row[1], code)), "{title} lists {code} twice");
            }
        }
        let of_users = |reason: &&Reason| {
            let code = reason.code();
            !code.starts_with("logout_") && !code.starts_with("bearer_")
        };
        for reason in Reason::all().iter().filter(of_users) {
            let steps = next_steps(*reason).iter().map(|step| match step {
                NextStep::SignIn(text) => text.english(),
                NextStep::TryAgain => "Try again",
                NextStep::SwitchAccount => "Use another account",
                NextStep::SignOut => "Sign out",
                NextStep::GoBack => "Back to the site",
            });
            let steps = steps.collect::<Vec<_>>().join(", ");
            assert!(!steps.is_empty());
            let code = format!("`{reason}`");
            let is_listed = |row: &&Vec<&str>| row[2].split(", ").any(|listed| listed == code);
            let row = rows.iter().find(is_listed).expect(&code);
            assert_eq!(row[3], steps, "{code}");
        }
    }
}
