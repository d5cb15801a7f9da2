use std::{collections::HashSet, time::Duration};

use super::{
    validator::Validator,
    value::{choice, count, duration, flag},
};
use crate::{
    config::{
        RefreshPolicy, StoreUrl, keys,
        problem::{Invalid, invalid},
        settings::SessionSettings,
    },
    seal::SealingKey,
    secret::Secret,
};

const MIN_SESSION: Duration = Duration::from_secs(60);
const MAX_SESSION: Duration = Duration::from_secs(365 * 86_400);
const MAX_SESSIONS_PER_USER: u32 = 1_000;
const MAX_REFRESH_GRACE: Duration = Duration::from_secs(3_600);
const MAX_COOKIE_NAME_LENGTH: usize = 32;

const NEW_KEY: &str = "Create a key with `oten keygen session` or `openssl rand -base64 32`.";

pub(super) fn validate(validator: &mut Validator<'_>) -> Option<SessionSettings> {
    let idle = validator.required(&keys::SESSION_IDLE, duration(MIN_SESSION..=MAX_SESSION));
    let lifetime = validator.required(&keys::SESSION_LIFETIME, duration(MIN_SESSION..=MAX_SESSION));
    if let Some((idle, lifetime)) = idle.zip(lifetime)
        && idle > lifetime
    {
        validator.problem(
            &keys::SESSION_IDLE,
            "is longer than `session_lifetime`",
            "Shorten it, or lengthen `session_lifetime`.",
        );
    }
    let guest_idle = duration(MIN_SESSION..=MAX_SESSION);
    let guest_idle = validator.required(&keys::GUEST_SESSION_IDLE, guest_idle);
    let per_user = validator.required(&keys::SESSIONS_PER_USER, count(1..=MAX_SESSIONS_PER_USER));
    let addresses = validator.required(&keys::SESSION_ADDRESSES, flag);
    let store = validator.required(&keys::SESSION_STORE, StoreUrl::parse);
    validator.partial.session_store.clone_from(&store);
    let keys = sealing_keys(validator);
    validator.partial.session_keys.clone_from(&keys);
    if let Some(store) = &store {
        check_store(validator, store);
    }
    let refresh = validator.required(&keys::REFRESH, |text| {
        choice(
            text,
            RefreshPolicy::ALL.map(|policy| (policy.name(), policy)),
        )
    });
    let refresh_grace = validator.required(
        &keys::REFRESH_GRACE,
        duration(Duration::ZERO..=MAX_REFRESH_GRACE),
    );
    let cookie_name = validator.required(&keys::COOKIE_NAME, cookie_name);
    let persistent_cookie = validator.required(&keys::PERSISTENT_COOKIE, flag);
    let clear_cache = validator.required(&keys::CLEAR_CACHE, flag);
    Some(SessionSettings {
        idle: idle?,
        lifetime: lifetime?,
        guest_idle: guest_idle?,
        per_user: per_user?,
        addresses: addresses?,
        store: store?,
        keys,
        refresh: refresh?,
        refresh_grace: refresh_grace?,
        cookie_name: cookie_name?,
        persistent_cookie: persistent_cookie?,
        clear_cache: clear_cache?,
    })
}

/// Returns the valid keys, in order. Each invalid key is a problem of its own.
fn sealing_keys(validator: &mut Validator<'_>) -> Vec<SealingKey> {
    let Some(text) = validator.optional(&keys::SESSION_KEY, |text| Ok(Secret::from(text))) else {
        return Vec::new();
    };
    let (mut found, mut texts) = (Vec::new(), HashSet::new());
    for (index, text) in text.expose().split(',').map(str::trim).enumerate() {
        let position = index + 1;
        match SealingKey::from_base64(text) {
            Some(_) if !texts.insert(text) => validator.problem(
                &keys::SESSION_KEY,
                &format!("repeats an earlier key as key {position}"),
                "Remove the repetition.",
            ),
            Some(key) => found.push(key),
            None => validator.problem(
                &keys::SESSION_KEY,
                &format!("is invalid: key {position} is not 32 bytes in base64"),
                NEW_KEY,
            ),
        }
    }
    found
}

/// Checks a store that is set explicitly. The default one may be replaced by a store of the app,
/// and [`Oten::new`](crate::Oten::new) rejects it otherwise.
fn check_store(validator: &mut Validator<'_>, store: &StoreUrl) {
    if !validator.raw.is_set(&keys::SESSION_STORE) {
        return;
    }
    let is_memory = matches!(store, StoreUrl::Memory);
    if is_memory && validator.production {
        validator.problem(
            &keys::SESSION_STORE,
            "is `memory:`, which production forbids: a restart signs every user out, and \
             instances do not share sessions",
            "Write `sqlite:PATH`, `redis://HOST` or `postgres://USER@HOST/DATABASE`; remove it if \
             the app passes a store of its own.",
        );
    }
    if !is_memory && !validator.raw.is_set(&keys::SESSION_KEY) {
        validator.problem(
            &keys::SESSION_KEY,
            "is missing, but `session_store` is an external store: every reader of the store \
             could use the tokens in it",
            &format!("{NEW_KEY} Set OTEN_SESSION_KEY to it."),
        );
    }
    if validator.production && store.is_interceptable() {
        let (message, help) = match store {
            StoreUrl::Redis(_) => (
                "is a remote Redis server without TLS",
                "Write `rediss://` instead of `redis://`, or `rediss+` instead of `redis+`, and enable \
                 TLS on the server.",
            ),
            _ => (
                "is a remote PostgreSQL server that is not authenticated",
                "Add `?sslmode=verify-full`, with `&sslrootcert=FILE` for a private authority.",
            ),
        };
        let message = format!("{message}: records can be read and changed in transit");
        validator.warning(&keys::SESSION_STORE, &message, help);
    }
}

fn cookie_name(text: &str) -> Result<String, Invalid> {
    // `token` of RFC 9110 section 5.6.2, which RFC 6265 section 4.1.1 requires.
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if text.len() > MAX_COOKIE_NAME_LENGTH || !text.bytes().all(is_token) {
        return invalid(
            "is not a cookie name",
            format!("Use at most {MAX_COOKIE_NAME_LENGTH} letters, digits, `-` and `_`."),
        );
    }
    if text.starts_with("__") {
        return invalid(
            "begins with `__`",
            "Remove it: `__Host-` or `__Secure-` is added where browsers allow it.",
        );
    }
    Ok(text.to_owned())
}
