//! State between requests: login attempts, sessions and their tokens.

mod attempt;
mod back_channel;
mod device;
mod directory;
#[cfg(fuzzing)]
pub(crate) mod fuzz;
#[cfg(test)]
mod interleavings;
mod kept_form;
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

pub use self::{
    directory::{ActiveSession, InvalidSessionHandle, SessionHandle, SessionPage},
    user::User,
};

pub(crate) use self::{
    attempt::{
        ATTEMPT_LIFETIME, AttemptState, FreshLogin, LoginAttempt, LoginAttempts, UsedAttempt,
    },
    back_channel::LogoutTarget,
    device::Device,
    directory::Operator,
    kept_form::{FORM_LIFETIME, FormName, KeptForm, KeptForms, NoForm, TakenForm},
    native::{GrantError, NATIVE_PREFIX, NativeRequest, NativeSignIn, TokenRequest},
    refresh::{REFRESH_LIMIT, RefreshOutcome, TokenRefresher},
    request_session::{CookieChange, RequestSession, SignedIn},
    return_to::ReturnTo,
    session_watch::SessionWatch,
    sessions::{EndedSession, Identity, Lifetimes, Sessions},
    tokens::{
        MAX_REVOCATIONS, MIN_REPLACEABLE_AGE, MIN_TOKEN_LIFETIME, Revoker, Tokens, refresh_after,
    },
    userinfo::UserInfos,
};
