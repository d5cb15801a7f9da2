use url::Url;

use super::validator::Validator;
use crate::config::{StoreUrl, keys, store_host::StoreHost};

/// In production, what a store is told passes through no network in the open. Sealing hides tokens
/// there, and neither when which session was used nor that a record was put in another's place.
pub(super) fn check(validator: &mut Validator<'_>, store: &StoreUrl) {
    if !validator.production || !validator.raw.is_set(&keys::SESSION_STORE) {
        return;
    }
    match store {
        StoreUrl::Redis(url) if is_open(url.expose(), redis_is_open) => validator.warn(
            &keys::SESSION_STORE,
            "is a Redis server elsewhere that is talked to without TLS: what is stored can be read \
             and changed on the way",
            "Write `rediss://` instead of `redis://`, and let the server speak TLS.",
        ),
        StoreUrl::Postgres(url) if is_open(url.expose(), postgres_is_open) => validator.warn(
            &keys::SESSION_STORE,
            "is a PostgreSQL server elsewhere that need not show who it is: what is stored can be \
             read and changed on the way",
            "Add `?sslmode=verify-full`, with `&sslrootcert=FILE` for an authority of your own.",
        ),
        _ => {}
    }
}

fn is_open(url: &str, is_open: fn(&Url) -> bool) -> bool {
    Url::parse(url).is_ok_and(|url| is_open(&url))
}

fn redis_is_open(url: &Url) -> bool {
    url.scheme() == "redis" && !StoreHost::of_redis(url).is_near()
}

/// Every mode before `verify-full` takes any server, or any with a certificate, for the right one.
fn postgres_is_open(url: &Url) -> bool {
    let mode = url
        .query_pairs()
        .filter(|(name, _)| name == "sslmode" || name == "ssl-mode")
        .last();
    let is_verified = mode.is_some_and(|(_, mode)| mode.eq_ignore_ascii_case("verify-full"));
    !is_verified && !StoreHost::of_postgres(url).is_near()
}
