use std::path::{Path, PathBuf};

use url::Url;

use super::{ca_file, count::among, proxy, url::endpoint, validator::Validator};
use crate::{
    config::{Issuer, Proxy, keys, raw::Given},
    http::CaCertificates,
};

/// What the operator knows about the provider beyond its issuer.
pub(super) struct Provider {
    pub(super) end_session_endpoint: Option<Url>,
    pub(super) revocation_endpoint: Option<Url>,
    pub(super) token_requests_per_minute: Option<u32>,
    pub(super) instances: u32,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) ca_certificates: CaCertificates,
    pub(super) proxy: Proxy,
}

pub(super) fn check(validator: &mut Validator<'_>, issuer: Option<&Issuer>) -> Option<Provider> {
    let production = validator.production;
    let endpoint = |text: &str| endpoint(text, production);
    let end_session_endpoint = validator.optional(&keys::END_SESSION_ENDPOINT, endpoint);
    let revocation_endpoint = validator.optional(&keys::REVOCATION_ENDPOINT, endpoint);
    let limit = validator.optional(&keys::TOKEN_REQUESTS_PER_MINUTE, among(1..=1_000_000));
    let documented = match issuer {
        Some(Issuer::Environment(environment)) => Some(environment.token_requests_per_minute()),
        _ => None,
    };
    let limit = limit.or(documented);
    let ca_file = match validator.raw.get(&keys::CA_FILE).map(|value| &value.given) {
        Some(Given::File(path)) => Some(path.clone()),
        _ => None,
    };
    let path = ca_file.as_deref().unwrap_or(Path::new(""));
    let ca_certificates =
        validator.optional(&keys::CA_FILE, |pem| ca_file::certificates(pem, path));
    let proxy = proxy::check(validator, issuer);
    let instances = validator.required(&keys::INSTANCES, among(1..=1_000))?;
    if limit.is_some_and(|limit| instances > limit) {
        validator.warn(
            &keys::INSTANCES,
            "is more than the token requests the provider takes in a minute",
            "One for each is too many together: run fewer, or have the limit raised and set \
             `token_requests_per_minute`.",
        );
    }
    Some(Provider {
        end_session_endpoint,
        revocation_endpoint,
        token_requests_per_minute: limit,
        instances,
        ca_file,
        ca_certificates: ca_certificates.unwrap_or_default(),
        proxy: proxy?,
    })
}
