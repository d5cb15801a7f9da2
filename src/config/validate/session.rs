use std::time::Duration;

use super::{
    duration::within,
    refusal::{Refusal, refuse},
    session_keys,
    store::store_url,
    store_connection,
    validator::{Validator, one_of},
};
use crate::config::{RefreshPolicy, SealingKey, StoreUrl, keys};

const SHORTEST_SESSION: Duration = Duration::from_secs(60);
const LONGEST_SESSION: Duration = Duration::from_secs(365 * 86_400);
const LONGEST_REFRESH_GRACE: Duration = Duration::from_secs(3_600);
const LONGEST_COOKIE_NAME: usize = 32;

/// What is remembered, where, and for how long.
pub(super) struct Session {
    pub(super) idle: Duration,
    pub(super) lifetime: Duration,
    pub(super) store: StoreUrl,
    pub(super) keys: Vec<SealingKey>,
    pub(super) refresh: RefreshPolicy,
    pub(super) refresh_grace: Duration,
    pub(super) cookie_name: String,
}

pub(super) fn check(validator: &mut Validator<'_>) -> Option<Session> {
    let bounds = || within(SHORTEST_SESSION, LONGEST_SESSION);
    let idle = validator.required(&keys::SESSION_IDLE, bounds());
    let lifetime = validator.required(&keys::SESSION_LIFETIME, bounds());
    if idle
        .zip(lifetime)
        .is_some_and(|(idle, lifetime)| idle > lifetime)
    {
        validator.refuse::<()>(
            &keys::SESSION_IDLE,
            "is longer than `session_lifetime`",
            "Shorten it, or lengthen `session_lifetime`.",
        );
    }
    let store = validator.required(&keys::SESSION_STORE, store_url);
    let keys = session_keys::check(validator);
    if let Some(store) = &store {
        refuse_unsafe(validator, store);
        store_connection::check(validator, store);
    }
    let refresh = validator.required(&keys::REFRESH, refresh);
    let refresh_grace = validator.required(
        &keys::REFRESH_GRACE,
        within(Duration::ZERO, LONGEST_REFRESH_GRACE),
    );
    let cookie_name = validator.required(&keys::COOKIE_NAME, cookie_name);
    Some(Session {
        idle: idle?,
        lifetime: lifetime?,
        store: store?,
        keys,
        refresh: refresh?,
        refresh_grace: refresh_grace?,
        cookie_name: cookie_name?,
    })
}

/// A default store is not refused: an app may hand in another one, and is refused itself if it does
/// not.
fn refuse_unsafe(validator: &mut Validator<'_>, store: &StoreUrl) {
    if !validator.raw.is_set(&keys::SESSION_STORE) {
        return;
    }
    let has_key = validator.raw.is_set(&keys::SESSION_KEY);
    match store {
        StoreUrl::Memory if validator.production => validator.refuse::<()>(
            &keys::SESSION_STORE,
            "is in memory, so a restart signs everybody out and a second process knows nobody, \
             which production does not allow",
            "Write `sqlite:PATH`, `redis://HOST` or `postgres://USER@HOST/DATABASE`; leave it out \
             where the app hands in a store of its own.",
        ),
        StoreUrl::Memory => None,
        _ if has_key => None,
        _ => validator.refuse(
            &keys::SESSION_KEY,
            "is missing, but `session_store` is outside of the process: whoever reads it could \
             use the tokens in it",
            format!("{} Set OTEN_SESSION_KEY to it.", session_keys::HELP),
        ),
    };
}

fn refresh(text: &str) -> Result<RefreshPolicy, Refusal> {
    let names = RefreshPolicy::ALL.map(RefreshPolicy::name);
    match RefreshPolicy::ALL
        .into_iter()
        .find(|policy| policy.name() == text)
    {
        Some(policy) => Ok(policy),
        None => refuse(
            "is no way to renew tokens",
            format!("Write {}.", one_of(&names)),
        ),
    }
}

fn cookie_name(text: &str) -> Result<String, Refusal> {
    // `token` of RFC 9110 section 5.6.2, which RFC 6265 section 4.1.1 asks for.
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if text.len() > LONGEST_COOKIE_NAME || !text.bytes().all(is_token) {
        return refuse(
            "is not a cookie name",
            format!("Use at most {LONGEST_COOKIE_NAME} letters, digits, `-` and `_`."),
        );
    }
    if text.starts_with("__") {
        return refuse(
            "begins with `__`",
            "Leave it out: `__Host-` or `__Secure-` is put in front where browsers allow it.",
        );
    }
    Ok(text.to_owned())
}
