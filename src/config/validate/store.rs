use url::Url;

use super::refusal::{Refusal, refuse};
use crate::config::StoreUrl;

/// The rule for `session_store`.
pub(super) fn store_url(text: &str) -> Result<StoreUrl, Refusal> {
    let (scheme, rest) = text.split_once(':').unwrap_or((text, ""));
    match scheme {
        "memory" if rest.is_empty() && text != scheme => Ok(StoreUrl::Memory),
        "sqlite" => sqlite(rest),
        "redis" | "rediss" => redis(text),
        "postgres" | "postgresql" => postgres(text),
        _ => refuse(
            "does not name a store",
            "Write `memory:`, `sqlite:PATH`, `redis://HOST` or `postgres://USER@HOST/DATABASE`.",
        ),
    }
}

fn sqlite(rest: &str) -> Result<StoreUrl, Refusal> {
    let path = rest.strip_prefix("//").unwrap_or(rest);
    if path.is_empty() || path.ends_with('/') {
        return refuse(
            "names no file",
            "Write `sqlite:` and the path of a file, like `sqlite:/var/lib/site/sessions.db`.",
        );
    }
    if path == ":memory:" {
        return refuse(
            "names a database that is gone when the process ends",
            "Write `memory:`, or `sqlite:` and the path of a file.",
        );
    }
    if path.contains(['?', '#', '\0']) {
        return refuse(
            "has more than a path after `sqlite:`",
            "Remove the `?` or `#` and what follows it.",
        );
    }
    Ok(StoreUrl::Sqlite(path.into()))
}

fn redis(text: &str) -> Result<StoreUrl, Refusal> {
    let Some(url) = Url::parse(text).ok().filter(Url::has_host) else {
        return refuse(
            "does not say where the Redis server is",
            "Write it in full, like `rediss://:PASSWORD@redis.example.com:6379/0`.",
        );
    };
    if url.fragment().is_some() {
        return refuse(
            "has a fragment",
            "Remove the `#` and what follows it; a certificate is always verified.",
        );
    }
    let database = url.path().trim_start_matches('/');
    if !database.bytes().all(|byte| byte.is_ascii_digit()) {
        return refuse(
            "names a database that is not a number",
            "Let it end with `/0`, or with nothing after the host and the port.",
        );
    }
    Ok(StoreUrl::Redis(text.into()))
}

fn postgres(text: &str) -> Result<StoreUrl, Refusal> {
    let says_where = |url: &Url| {
        url.has_host()
            || url
                .query_pairs()
                .any(|(name, _)| name == "host" || name == "hostaddr")
    };
    if !Url::parse(text).is_ok_and(|url| says_where(&url)) {
        return refuse(
            "does not say where the PostgreSQL server is",
            "Write it in full, like `postgres://USER:PASSWORD@db.example.com/DATABASE`.",
        );
    }
    Ok(StoreUrl::Postgres(text.into()))
}
