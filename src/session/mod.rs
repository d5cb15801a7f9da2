//! What is remembered between requests: login attempts, who is signed in, their tokens.

mod attempt;
mod back_channel;
mod budget;
mod index;
mod lease;
mod lifetimes;
mod probe;
mod records;
mod refresh;
mod refresher;
mod renewal;
mod request_session;
mod return_to;
mod revoker;
mod sessions;
mod subjects;
mod tokens;
mod uncancelled;
mod used_logout_tokens;
mod user;

pub use self::user::User;

pub(crate) use self::{
    attempt::{
        AttemptState, LIFETIME as ATTEMPT_LIFETIME, LoginAttempt, LoginAttempts, is_fresh_start,
    },
    back_channel::LogoutTarget,
    budget::Budget,
    lease::LEASE_LIFETIME,
    lifetimes::Lifetimes,
    records::Records,
    refresher::{Parts as RefresherParts, Refresher},
    renewal::Renewal,
    request_session::{CookieChange, RequestSession, SignedIn},
    return_to::ReturnTo,
    revoker::Revoker,
    sessions::{EndedSession, Identity, Sessions},
    subjects::Subjects,
    tokens::Tokens,
    used_logout_tokens::UsedLogoutTokens,
};

#[cfg(feature = "check")]
pub(crate) use self::probe::{ProbeError, Sealed};

use self::sessions::Data;
