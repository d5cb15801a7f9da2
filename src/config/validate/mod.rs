//! The way from what was given to a [`Config`]: every rule, every problem at once.

mod ca_file;
mod client;
mod count;
mod duration;
mod inline_secrets;
mod issuer;
mod jar_keys;
mod listen;
#[cfg(feature = "check")]
mod partial;
mod path;
mod private_file;
mod protocol;
mod provider;
mod proxies;
mod proxy;
mod refusal;
mod session;
mod session_keys;
mod site;
mod store;
mod store_connection;
mod url;
mod validator;
mod visible_ascii;

pub(super) use self::duration::human;
#[cfg(feature = "check")]
pub(crate) use self::partial::Partial;
pub(crate) use self::url::is_loopback;

use super::{Config, ConfigError, keys, raw::Raw};
use refusal::{Refusal, refuse};
use validator::Validator;

/// The configuration, or everything that is wrong with it.
pub(super) fn check(raw: &Raw) -> Result<Config, ConfigError> {
    let mut validator = Validator::new(raw);
    match whole(&mut validator) {
        Some(config) if validator.problems.is_empty() => Ok(Config {
            warnings: validator.warnings,
            ..config
        }),
        _ => Err(ConfigError::new(validator.problems)),
    }
}

/// Whether the rules of production hold.
pub(super) fn is_production(raw: &Raw) -> bool {
    let mut validator = Validator::new(raw);
    issuer::check(&mut validator);
    validator.production
}

/// Runs every rule before it gives up on any.
fn whole(validator: &mut Validator<'_>) -> Option<Config> {
    let issuer = issuer::check(validator);
    inline_secrets::check(validator);
    let client = client::check(validator);
    let provider = provider::check(validator, issuer.as_ref());
    let site = site::check(validator);
    let protocol = protocol::check(validator);
    let session = session::check(validator);
    let log_subjects = validator.required(&keys::LOG_SUBJECTS, flag);
    let trusted_proxies = validator.required(&keys::TRUSTED_PROXIES, proxies::proxies);
    let listen = listen::check(validator);
    let (provider, site, protocol, session) = (provider?, site?, protocol?, session?);
    Some(Config {
        issuer: issuer?,
        client: client?,
        end_session_endpoint: provider.end_session_endpoint,
        revocation_endpoint: provider.revocation_endpoint,
        token_requests_per_minute: provider.token_requests_per_minute,
        instances: provider.instances,
        ca_file: provider.ca_file,
        ca_certificates: provider.ca_certificates,
        proxy: provider.proxy,
        redirect_uri: site.redirect_uri,
        post_logout_redirect_uri: site.post_logout_redirect_uri,
        base_path: site.base_path,
        callback_path: site.callback_path,
        home: site.home,
        scopes: protocol.scopes,
        prompt: protocol.prompt,
        max_age: protocol.max_age,
        ui_locales: protocol.ui_locales,
        request_object_lifetime: protocol.request_object_lifetime,
        session_idle: session.idle,
        session_lifetime: session.lifetime,
        session_store: session.store,
        session_keys: session.keys,
        refresh: session.refresh,
        refresh_grace: session.refresh_grace,
        cookie_name: session.cookie_name,
        log_subjects: log_subjects?,
        trusted_proxies: trusted_proxies?,
        listen: listen?.site,
        metrics_listen: listen?.metrics,
        warnings: Vec::new(),
    })
}

fn flag(text: &str) -> Result<bool, Refusal> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => refuse("is neither true nor false", "Write `true` or `false`."),
    }
}
