//! What is remembered between requests: login attempts, who is signed in, their tokens.

mod attempt;
mod back_channel;
mod index;
mod lease;
mod lifetimes;
mod refresh;
mod refresh_outcome;
mod refresher;
mod request_session;
mod return_to;
mod revoker;
mod run_to_completion;
mod sessions;
mod tokens;
mod used_logout_tokens;
mod user;

pub use self::user::User;

pub(crate) use self::{
    attempt::{
        AttemptState, LIFETIME as ATTEMPT_LIFETIME, LoginAttempt, LoginAttempts, is_fresh_start,
    },
    back_channel::LogoutTarget,
    lease::LEASE_LIFETIME,
    lifetimes::Lifetimes,
    refresh_outcome::RefreshOutcome,
    refresher::{Parts as TokenRefresherParts, TokenRefresher},
    request_session::{CookieChange, RequestSession, SignedIn},
    return_to::ReturnTo,
    revoker::Revoker,
    sessions::{EndedSession, Identity, Sessions},
    tokens::Tokens,
    used_logout_tokens::UsedLogoutTokens,
};

use self::sessions::Data;
