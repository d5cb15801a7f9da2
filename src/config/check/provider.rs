use url::Url;

use super::{checker::Checker, count::among, url::endpoint};
use crate::config::{Issuer, keys};

/// What the operator knows about the provider beyond its issuer.
pub(super) struct Provider {
    pub(super) end_session_endpoint: Option<Url>,
    pub(super) revocation_endpoint: Option<Url>,
    pub(super) token_requests_per_minute: Option<u32>,
    pub(super) instances: u32,
}

pub(super) fn check(checker: &mut Checker<'_>, issuer: Option<&Issuer>) -> Option<Provider> {
    let production = checker.production;
    let endpoint = |text: &str| endpoint(text, production);
    let end_session_endpoint = checker.optional(&keys::END_SESSION_ENDPOINT, endpoint);
    let revocation_endpoint = checker.optional(&keys::REVOCATION_ENDPOINT, endpoint);
    let limit = checker.optional(&keys::TOKEN_REQUESTS_PER_MINUTE, among(1..=1_000_000));
    let documented = match issuer {
        Some(Issuer::Environment(environment)) => Some(environment.token_requests_per_minute()),
        _ => None,
    };
    let limit = limit.or(documented);
    let instances = checker.required(&keys::INSTANCES, among(1..=1_000))?;
    if limit.is_some_and(|limit| instances > limit) {
        checker.warn(
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
    })
}
