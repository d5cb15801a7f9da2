use url::Url;

use crate::config::{
    issuer::is_loopback,
    problem::{Invalid, invalid},
};

/// Accepts an issuer (OpenID Connect Discovery 1.0 section 3).
pub(super) fn issuer(text: &str) -> Result<Url, Invalid> {
    secure(without_query(web_url(text)?)?, false)
}

/// Accepts an endpoint of the provider, which may have a query (RFC 6749 section 3.1).
pub(super) fn endpoint(text: &str, production: bool) -> Result<Url, Invalid> {
    secure(web_url(text)?, production)
}

/// Accepts a redirect URI (RFC 6749 section 3.1.2, RFC 9700 section 2.1).
pub(super) fn redirect_uri(text: &str, production: bool) -> Result<Url, Invalid> {
    normalized(secure(without_query(web_url(text)?)?, production)?, text)
}

/// Accepts a post-logout redirect URI (OpenID Connect RP-Initiated Logout 1.0 section 3).
pub(super) fn post_logout_redirect_uri(text: &str, production: bool) -> Result<Url, Invalid> {
    normalized(secure(web_url(text)?, production)?, text)
}

fn web_url(text: &str) -> Result<Url, Invalid> {
    let Some(url) = Url::parse(text).ok().filter(Url::has_host) else {
        return invalid(
            "is not an absolute URL",
            "Write the whole URL, like `https://app.example.com/callback`.",
        );
    };
    if !["https", "http"].contains(&url.scheme()) {
        return invalid("is not an https URL", "Begin it with `https://`.");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return invalid(
            "contains a user name or a password",
            "Remove the `@` and everything between it and the scheme.",
        );
    }
    if url.fragment().is_some() {
        return invalid("has a fragment", "Remove the `#` and everything after it.");
    }
    Ok(url)
}

fn without_query(url: Url) -> Result<Url, Invalid> {
    match url.query() {
        Some(_) => invalid("has a query", "Remove the `?` and everything after it."),
        None => Ok(url),
    }
}

fn secure(url: Url, production: bool) -> Result<Url, Invalid> {
    match url.scheme() {
        "https" => Ok(url),
        _ if production => invalid(
            "is not an https URL, which production requires: an eavesdropper on http can sign in \
             as the user",
            "Begin it with `https://`.",
        ),
        _ if is_loopback(&url) => Ok(url),
        _ => invalid(
            "is not an https URL",
            "Begin it with `https://`; plain http is only for `localhost`, `127.0.0.1` and `[::1]`.",
        ),
    }
}

/// Oten compares these URLs character by character, and the normal form is sent.
fn normalized(url: Url, text: &str) -> Result<Url, Invalid> {
    if url.as_str() == text {
        return Ok(url);
    }
    invalid(
        "is not in its normal form",
        format!("Write `{url}`, and register exactly this URL: Oten compares every character."),
    )
}
