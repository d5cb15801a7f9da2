use url::Url;

use super::{
    validator::Validator,
    web_url::{post_logout_redirect_uri, redirect_uri},
};
use crate::config::{
    keys,
    problem::{Invalid, invalid},
    route::RESERVED,
    settings::SiteSettings,
};

pub(super) fn validate(validator: &mut Validator<'_>) -> Option<SiteSettings> {
    let production = validator.production;
    let base = validator.required(&keys::BASE_PATH, base_path);
    validator.partial.base_path.clone_from(&base);
    let callback = validator.required(&keys::REDIRECT_URI, |text| {
        let uri = redirect_uri(text, production)?;
        // Without a valid base path, which is a problem already, the path cannot be compared.
        let path = base.as_deref().map(|base| callback_route(&uri, base));
        Ok((uri, path.transpose()?))
    });
    let post_logout_redirect_uri = validator.optional(&keys::POST_LOGOUT_REDIRECT_URI, |text| {
        post_logout_redirect_uri(text, production)
    });
    let path = callback.as_ref().and_then(|(_, path)| path.as_deref());
    let home = validator.optional(&keys::HOME, |text| {
        home(text, base.as_deref().unwrap_or_default(), path)
    });
    let (redirect_uri, callback_route) = callback?;
    let base_path = base?;
    let callback_route = callback_route?;
    validator.partial.redirect_uri = Some(redirect_uri.clone());
    Some(SiteSettings {
        redirect_uri,
        post_logout_redirect_uri,
        callback_route,
        // A router nested at `/app` answers `/app` and not `/app/`, and a proxy that wants the slash
        // redirects to it.
        home: home.unwrap_or_else(|| match base_path.as_str() {
            "" => "/".to_owned(),
            base_path => base_path.to_owned(),
        }),
        base_path,
    })
}

/// Returns the path without a trailing slash, which makes no difference.
fn base_path(text: &str) -> Result<String, Invalid> {
    let path = text.strip_suffix('/').unwrap_or(text);
    if !path.is_empty() && !is_plain(path) {
        return invalid(
            "is not a plain path",
            "Remove it, or write it like `/app`: with a slash at the beginning, and only letters, \
             digits, `-`, `.`, `_` and `~` between slashes.",
        );
    }
    Ok(path.to_owned())
}

/// Returns the path of the callback route as the app's router sees it.
fn callback_route(redirect_uri: &Url, base_path: &str) -> Result<String, Invalid> {
    let path = redirect_uri.path();
    let Some(callback) = path
        .strip_prefix(base_path)
        .filter(|path| path.starts_with('/'))
    else {
        return invalid(
            "has a path outside of `base_path`",
            "Begin its path with `base_path`, or correct `base_path`.",
        );
    };
    if RESERVED.contains(&callback) {
        return invalid(
            "has the path of another route",
            format!("Choose another path, like `{base_path}/callback`, and register it."),
        );
    }
    // A trailing slash makes a different route, which may be the registered one.
    if !is_plain(callback.strip_suffix('/').unwrap_or(callback)) {
        return invalid(
            "has a path that a router does not match literally",
            "Use only letters, digits, `-`, `.`, `_` and `~` between slashes.",
        );
    }
    Ok(callback.to_owned())
}

fn home(text: &str, base_path: &str, callback_route: Option<&str>) -> Result<String, Invalid> {
    let path = text.split(['?', '#']).next().unwrap_or(text);
    let is_local = path.starts_with('/')
        && !path.contains("//")
        && !text.contains('\\')
        && text.bytes().all(|byte| byte.is_ascii_graphic())
        && !hides_a_separator(path);
    if !is_local {
        return invalid(
            "is not a local path",
            "Write it like `/welcome`: with one slash at the beginning, no host and no backslash, \
             and all special characters percent-encoded.",
        );
    }
    let inner = path.strip_prefix(base_path).unwrap_or(path);
    if Some(inner) == callback_route || (inner != "/" && RESERVED.contains(&inner)) {
        return invalid("is one of the sign-in routes", "Choose a page of the app.");
    }
    Ok(text.to_owned())
}

/// Whether a path consists of segments of unreserved characters (RFC 3986 section 2.3), none of them
/// a dot segment.
fn is_plain(path: &str) -> bool {
    let is_unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    path.strip_prefix('/').is_some_and(|path| {
        path.split('/').all(|segment| {
            !["", ".", ".."].contains(&segment) && segment.bytes().all(is_unreserved)
        })
    })
}

/// Whether a percent-encoding is malformed or stands for a slash, a backslash or a control
/// character, which an intermediary may decode.
fn hides_a_separator(path: &str) -> bool {
    path.split('%').skip(1).any(|rest| {
        let code = rest
            .get(..2)
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        code.is_none_or(|code| code == b'/' || code == b'\\' || code.is_ascii_control())
    })
}
