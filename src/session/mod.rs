//! State between requests: login attempts, sessions and their tokens.

mod attempt;
mod back_channel;
#[cfg(test)]
mod interleavings;
mod native;
mod record;
mod refresh;
mod request_session;
mod return_to;
mod session_watch;
mod sessions;
#[cfg(test)]
mod testing;
mod tokens;
mod user;
mod userinfo;
mod waiting;

pub use self::user::User;

pub(crate) use self::{
    attempt::{ATTEMPT_LIFETIME, AttemptState, LoginAttempt, LoginAttempts, UsedAttempt},
    back_channel::LogoutTarget,
    native::{GrantError, NATIVE_PREFIX, NativeRequest, NativeSignIn, TokenRequest},
    refresh::{LEASE_LIFETIME, RefreshOutcome, TokenRefresher},
    request_session::{CookieChange, RequestSession, SignedIn},
    return_to::ReturnTo,
    session_watch::SessionWatch,
    sessions::{EndedSession, Identity, Lifetimes, Sessions},
    tokens::{MIN_REPLACEABLE_AGE, MIN_TOKEN_LIFETIME, Revoker, Tokens, refresh_after},
    userinfo::UserInfos,
};
