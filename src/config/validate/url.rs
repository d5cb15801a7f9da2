use url::{Host, Url};

use super::refusal::{Refusal, refuse};

/// Whether a URL's host is this machine: `localhost`, 127.0.0.0/8 or `::1`.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// The rule for an issuer (OpenID Connect Discovery 1.0 section 3).
pub(super) fn provider_url(text: &str) -> Result<Url, Refusal> {
    let url = web_url(text)?;
    refuse_query(&url)?;
    refuse_http(&url, false)?;
    Ok(url)
}

/// The rule for an endpoint of the provider, which may have a query (RFC 6749 section 3.1).
pub(super) fn endpoint(text: &str, production: bool) -> Result<Url, Refusal> {
    let url = web_url(text)?;
    refuse_http(&url, production)?;
    Ok(url)
}

/// The rule for a redirect URI (RFC 6749 section 3.1.2, RFC 9700 section 2.1).
pub(super) fn redirect_uri(text: &str, production: bool) -> Result<Url, Refusal> {
    let url = web_url(text)?;
    refuse_query(&url)?;
    refuse_http(&url, production)?;
    refuse_other_spelling(&url, text)?;
    Ok(url)
}

/// The rule for the page after sign-out (OpenID Connect RP-Initiated Logout 1.0 section 3).
pub(super) fn post_logout_redirect_uri(text: &str, production: bool) -> Result<Url, Refusal> {
    let url = web_url(text)?;
    refuse_http(&url, production)?;
    refuse_other_spelling(&url, text)?;
    Ok(url)
}

fn web_url(text: &str) -> Result<Url, Refusal> {
    let Some(url) = Url::parse(text).ok().filter(Url::has_host) else {
        return refuse(
            "is not an absolute URL",
            "Write it in full, like `https://app.example.com/callback`.",
        );
    };
    if !["https", "http"].contains(&url.scheme()) {
        return refuse("is not an https URL", "Let it begin with `https://`.");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return refuse(
            "carries a user name or a password",
            "Remove everything before the `@`, and the `@`.",
        );
    }
    if url.fragment().is_some() {
        return refuse("has a fragment", "Remove the `#` and what follows it.");
    }
    Ok(url)
}

fn refuse_query(url: &Url) -> Result<(), Refusal> {
    match url.query() {
        Some(_) => refuse("has a query", "Remove the `?` and what follows it."),
        None => Ok(()),
    }
}

fn refuse_http(url: &Url, production: bool) -> Result<(), Refusal> {
    match url.scheme() {
        "https" => Ok(()),
        _ if production => refuse(
            "is not an https URL, which production demands: over http, others read along and sign \
             in as the user",
            "Let it begin with `https://`.",
        ),
        _ if is_loopback(url) => Ok(()),
        _ => refuse(
            "is not an https URL",
            "Let it begin with `https://`; plain http is for `localhost`, `127.0.0.1` and `[::1]`.",
        ),
    }
}

/// Oten compares these URLs character by character, and we send the normal form.
fn refuse_other_spelling(url: &Url, text: &str) -> Result<(), Refusal> {
    if url.as_str() == text {
        return Ok(());
    }
    refuse(
        "is not spelled in its normal form",
        format!("Write `{url}`, and register it so: Oten compares every character."),
    )
}
