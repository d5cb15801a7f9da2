//! What is remembered between requests: login attempts, who is signed in, their tokens.

mod attempt;
mod lifetimes;
mod records;
mod request_session;
mod return_to;
mod sessions;
mod tokens;
mod uncancelled;
mod user;

pub use self::user::User;

pub(crate) use self::{
    attempt::{
        AttemptState, LIFETIME as ATTEMPT_LIFETIME, LoginAttempt, LoginAttempts, is_fresh_start,
    },
    lifetimes::Lifetimes,
    records::Records,
    request_session::{CookieChange, RequestSession, SignedIn},
    return_to::ReturnTo,
    sessions::{Identity, Sessions},
    tokens::Tokens,
};

use self::sessions::Data;
