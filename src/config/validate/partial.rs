use std::net::SocketAddr;

use url::Url;

use super::{
    client, issuer, jar_keys, listen, protocol, provider, session_keys, site, store,
    validator::Validator,
};
use crate::{
    config::{Client, Config, ConfigError, Issuer, Problem, SealingKey, StoreUrl, keys, raw::Raw},
    http::HttpOptions,
    jose::Ed25519PublicKey,
    secret::Secret,
};

/// What is right in settings of which others may be wrong, and what is wrong.
#[derive(Debug, Default)]
pub(crate) struct Partial {
    /// All of it, if nothing is wrong.
    pub(crate) config: Option<Config>,
    pub(crate) problems: Vec<Problem>,
    pub(crate) warnings: Vec<Problem>,
    pub(crate) issuer: Option<Issuer>,
    /// The way to the issuer.
    pub(crate) http: Option<HttpOptions>,
    pub(crate) client: Option<Client>,
    pub(crate) client_id: Option<String>,
    pub(crate) client_secret: Option<Secret>,
    /// For request objects: the one that signs, and those before and after it.
    pub(crate) request_keys: Vec<Ed25519PublicKey>,
    pub(crate) redirect_uri: Option<Url>,
    pub(crate) base_path: Option<String>,
    pub(crate) scopes: Option<Vec<String>>,
    pub(crate) session_store: Option<StoreUrl>,
    /// Those that can be read.
    pub(crate) session_keys: Vec<SealingKey>,
    pub(crate) listen: Option<SocketAddr>,
}

impl Partial {
    pub(in crate::config) fn of(raw: &Raw) -> Self {
        let mut validator = Validator::new(raw);
        let config = super::whole(&mut validator);
        let Validator {
            problems, warnings, ..
        } = validator;
        // What these say is said already.
        let again = &mut Validator::new(raw);
        let issuer = issuer::check(again);
        let provider = provider::check(again, issuer.as_ref());
        let site = site::check(again);
        let client = client::check(again);
        let signs = raw.is_set(&keys::JAR_KEY_FILE) || raw.key_pair.is_some();
        Self {
            config: config.filter(|_| problems.is_empty()).map(|config| Config {
                warnings: warnings.clone(),
                ..config
            }),
            problems,
            warnings,
            http: issuer
                .as_ref()
                .zip(provider)
                .map(|(issuer, provider)| HttpOptions {
                    loopback: issuer.is_loopback(),
                    ca_certificates: provider.ca_certificates,
                    proxy: provider.proxy,
                }),
            issuer,
            client,
            client_id: again.optional(&keys::CLIENT_ID, |text| Ok(text.to_owned())),
            client_secret: again.optional(&keys::CLIENT_SECRET, |text| Ok(Secret::from(text))),
            request_keys: if signs {
                jar_keys::check(again).map_or_else(Vec::new, |keys| keys.published)
            } else {
                Vec::new()
            },
            redirect_uri: site.as_ref().map(|site| site.redirect_uri.clone()),
            base_path: again.required(&keys::BASE_PATH, super::path::base_path),
            scopes: protocol::check(again).map(|protocol| protocol.scopes),
            session_store: again.required(&keys::SESSION_STORE, store::store_url),
            session_keys: session_keys::check(again),
            listen: again.required(&keys::LISTEN, listen::address),
        }
    }

    /// What is wrong with these settings, for somebody who needs no others.
    pub(crate) fn refusal(&self, keys: &[&str]) -> ConfigError {
        let problems = self.problems.iter();
        let about = problems.filter(|problem| keys.contains(&problem.key()));
        ConfigError::new(about.cloned().collect())
    }
}
