use url::Url;

use super::keys::{self, Key};

/// Whether a text given for this setting, which may hold a secret, does. An address does if a
/// password is in it; for a proxy a user name alone may be a token.
pub(super) fn is_secret(key: &Key, text: &str) -> bool {
    let is = |other: &Key| key.name() == other.name();
    let url = || Url::parse(text).ok();
    if is(&keys::SESSION_STORE) {
        url().is_some_and(|url| has_password(&url))
    } else if is(&keys::PROXY) {
        url().is_some_and(|url| has_password(&url) || !url.username().is_empty())
    } else {
        true
    }
}

fn has_password(url: &Url) -> bool {
    let names_one = |name: &str| name.to_ascii_lowercase().contains("password");
    url.password().is_some() || url.query_pairs().any(|(name, _)| names_one(&name))
}
