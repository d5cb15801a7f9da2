//! State between requests: login attempts, sessions and their tokens.

mod attempt;
mod back_channel;
mod refresh;
mod request_session;
mod return_to;
mod sessions;
mod tokens;
mod user;

pub use self::user::User;

pub(crate) use self::{
    attempt::{ATTEMPT_LIFETIME, AttemptState, LoginAttempt, LoginAttempts},
    back_channel::LogoutTarget,
    refresh::{LEASE_LIFETIME, RefreshOutcome, TokenRefresher},
    request_session::{CookieChange, RequestSession, SignedIn},
    return_to::ReturnTo,
    sessions::{Identity, Lifetimes, Sessions},
    tokens::{Revoker, Tokens},
};
