use url::Url;

use super::refusal::{Refusal, refuse};
use crate::config::route::RESERVED;

/// The rule for the path under which browsers see the site.
pub(super) fn base_path(text: &str) -> Result<String, Refusal> {
    if !text.is_empty() && !is_plain(text) {
        return refuse(
            "is not a plain path",
            "Leave it out, or write it like `/app`: a slash at the beginning, none at the end, \
             and only letters, digits, `-`, `.`, `_` and `~` between slashes.",
        );
    }
    Ok(text.to_owned())
}

/// The part of the redirect URI's path that our router sees.
pub(super) fn callback_path(redirect_uri: &Url, base_path: &str) -> Result<String, Refusal> {
    let path = redirect_uri.path();
    let Some(callback) = path
        .strip_prefix(base_path)
        .filter(|path| path.starts_with('/'))
    else {
        return refuse(
            "has a path outside `base_path`",
            "Let its path begin with `base_path`, or correct `base_path`.",
        );
    };
    if RESERVED.contains(&callback) {
        return refuse(
            "has the path of another page of the site",
            format!("Choose another path, like `{base_path}/callback`, and register it."),
        );
    }
    // One slash at the end makes another route, which a site may have registered.
    if !is_plain(callback.strip_suffix('/').unwrap_or(callback)) {
        return refuse(
            "has a path the router would not take literally",
            "Use only letters, digits, `-`, `.`, `_` and `~` between slashes.",
        );
    }
    Ok(callback.to_owned())
}

/// The rule for a path of the site, as a browser sees it.
pub(super) fn home(
    text: &str,
    base_path: &str,
    callback_path: Option<&str>,
) -> Result<String, Refusal> {
    let path = text.split(['?', '#']).next().unwrap_or(text);
    let is_local = path.starts_with('/')
        && !path.contains("//")
        && !text.contains('\\')
        && text.bytes().all(|byte| byte.is_ascii_graphic())
        && !hides_a_separator(path);
    if !is_local {
        return refuse(
            "is not a path of this site",
            "Write it like `/welcome`: one slash at the beginning, no host, no backslash, other \
             characters percent-encoded.",
        );
    }
    let inner = path.strip_prefix(base_path).unwrap_or(path);
    if Some(inner) == callback_path || (inner != "/" && RESERVED.contains(&inner)) {
        return refuse(
            "is a page of the sign-in itself",
            "Choose a page of the site.",
        );
    }
    Ok(text.to_owned())
}

/// `/a/b`: segments of unreserved characters (RFC 3986 section 2.3), none of them a dot segment.
fn is_plain(path: &str) -> bool {
    let is_unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    path.strip_prefix('/').is_some_and(|path| {
        path.split('/').all(|segment| {
            !["", ".", ".."].contains(&segment) && segment.bytes().all(is_unreserved)
        })
    })
}

/// Whether a percent-encoding stands for a slash, a backslash or a control character, which a
/// server in between may decode.
fn hides_a_separator(path: &str) -> bool {
    path.split('%').skip(1).any(|rest| {
        let code = rest
            .get(..2)
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        code.is_none_or(|code| code == b'/' || code == b'\\' || code.is_ascii_control())
    })
}
