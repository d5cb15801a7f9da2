use url::Url;

use super::{
    path,
    url::{post_logout_redirect_uri, redirect_uri},
    validator::Validator,
};
use crate::config::keys;

/// Where the site is.
pub(super) struct Site {
    pub(super) redirect_uri: Url,
    pub(super) post_logout_redirect_uri: Option<Url>,
    pub(super) base_path: String,
    pub(super) callback_path: String,
    pub(super) home: String,
}

pub(super) fn check(validator: &mut Validator<'_>) -> Option<Site> {
    let production = validator.production;
    let base_path = validator.required(&keys::BASE_PATH, path::base_path);
    let placed = validator.required(&keys::REDIRECT_URI, |text| {
        let uri = redirect_uri(text, production)?;
        // Without a base path there is a problem already, and no path to compare with.
        let callback = base_path
            .as_deref()
            .map(|base| path::callback_path(&uri, base));
        Ok((uri, callback.transpose()?))
    });
    let post_logout_redirect_uri = validator.optional(&keys::POST_LOGOUT_REDIRECT_URI, |text| {
        post_logout_redirect_uri(text, production)
    });
    let callback = placed
        .as_ref()
        .and_then(|(_, callback)| callback.as_deref());
    let home = validator.optional(&keys::HOME, |text| {
        path::home(text, base_path.as_deref().unwrap_or_default(), callback)
    });
    let (redirect_uri, callback_path) = placed?;
    let base_path = base_path?;
    Some(Site {
        redirect_uri,
        post_logout_redirect_uri,
        callback_path: callback_path?,
        home: home.unwrap_or_else(|| root(&base_path)),
        base_path,
    })
}

/// The site's root. A router nested at `/app` answers `/app` and not `/app/`, and a proxy that
/// wants the slash redirects to it.
fn root(base_path: &str) -> String {
    if base_path.is_empty() { "/" } else { base_path }.to_owned()
}
