use url::Url;

use super::value::distinct_words;
use crate::config::{
    problem::{Invalid, invalid},
    settings::{LOOPBACK, NativeLinks},
};

const FORMS: &str = "Write `https://HOST/PATH`, a scheme of your own as in `com.example.app:/PATH`, or \
                     `http://127.0.0.1/PATH` for an app that listens on the user's device.";

/// Accepts the redirect URIs of native apps (RFC 8252 section 7).
pub(super) fn validate(text: &str) -> Result<NativeLinks, Invalid> {
    let links = distinct_words(text)?;
    for (position, link) in links.iter().enumerate() {
        check(link, position + 1)?;
    }
    Ok(NativeLinks(links.into_iter().map(str::to_owned).collect()))
}

fn check(link: &str, position: usize) -> Result<(), Invalid> {
    // The text is not quoted: it may be a secret that belongs elsewhere.
    let wrong = |what, help| invalid(format!("has a link (number {position}) that {what}"), help);
    for (mark, what) in [
        ('#', "has a fragment"),
        ('?', "has a query"),
        ('@', "contains a user name"),
    ] {
        if link.contains(mark) {
            return wrong(what, FORMS);
        }
    }
    let (Some((scheme, path)), Ok(url)) = (link.split_once(':'), Url::parse(link)) else {
        return wrong("is not an absolute link", FORMS);
    };
    match scheme {
        "https" => {
            // Platforms verify links of domains, at the default port.
            let is_owned = |domain: &&str| {
                let (_, top) = domain.rsplit_once('.').unwrap_or_default();
                !["", "local", "localhost"].contains(&top)
            };
            let domain = url.domain().filter(is_owned);
            if domain.is_none() || url.port().is_some() {
                return wrong(
                    "has an IP address, a local name or a port, so no app can own it",
                    FORMS,
                );
            }
        }
        "http" => {
            let is_at = |host: &str| {
                let path = link.strip_prefix(host);
                path.is_some_and(|path| path.starts_with('/'))
            };
            if !LOOPBACK.into_iter().any(is_at) {
                return wrong(
                    "is an http link, but not `http://127.0.0.1/PATH` or `http://[::1]/PATH`",
                    "Name one of the two addresses, without a port: the app may use any. `localhost` can \
                     lead to another machine. Other hosts need https.",
                );
            }
        }
        // Section 7.1. Schemes without a dot, such as `javascript` and `file`, are no app's own.
        _ if !scheme.contains('.') || scheme.split('.').any(str::is_empty) => {
            return wrong(
                "has a scheme that is not the app's own",
                "Use a domain of yours in reverse order as the scheme, as in `com.example.app:/PATH`.",
            );
        }
        _ if !path.starts_with('/') => {
            return wrong("has no path", FORMS);
        }
        _ => {}
    }
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    let is_dots = |segment: &str| [".", ".."].contains(&segment);
    if !url.path().bytes().all(is_plain) || path.split('/').any(is_dots) {
        return wrong(
            "has a path with special characters",
            "Use only letters, digits, `-`, `.`, `_` and `~` between slashes.",
        );
    }
    if url.as_str() != link {
        return wrong(
            "is not in its normal form",
            "Write scheme and host in lower case, a host of other alphabets with `xn--`, and a slash after \
             the host: links are compared character by character.",
        );
    }
    Ok(())
}
