//! What is remembered between requests: login attempts, who is signed in, their tokens.

mod attempt;
mod lifetimes;
mod records;
mod return_to;
mod sessions;
mod tokens;
mod user;

pub use self::user::User;

pub(crate) use self::{
    attempt::{
        AttemptState, LIFETIME as ATTEMPT_LIFETIME, LoginAttempt, LoginAttempts, is_fresh_start,
    },
    lifetimes::Lifetimes,
    records::Records,
    return_to::ReturnTo,
    sessions::{Identity, Left, RequestSession, Sessions, SignedIn},
    tokens::Tokens,
};
