use std::path::PathBuf;

use url::Url;

use super::{
    validator::Validator,
    value::{count, distinct_words, one_of},
    web_url::endpoint,
};
use crate::{
    config::{
        Environment, Issuer, Proxy, keys,
        problem::{Invalid, invalid},
        raw::Given,
        settings::ProviderSettings,
    },
    http::{CaCertificateError, CaCertificates, HttpOptions},
    jose::Algorithm,
};

pub(super) fn validate(
    validator: &mut Validator<'_>,
    issuer: Option<&Issuer>,
) -> Option<ProviderSettings> {
    let algorithms = algorithms(validator);
    let production = validator.production;
    let endpoint = |text: &str| endpoint(text, production);
    let end_session_endpoint = validator.optional(&keys::END_SESSION_ENDPOINT, endpoint);
    let revocation_endpoint = validator.optional(&keys::REVOCATION_ENDPOINT, endpoint);
    let limit = token_limit(validator, issuer);
    let network_path = network_path(validator, issuer);
    let instances = validator.required(&keys::INSTANCES, count(1..=1_000));
    if instances
        .zip(limit)
        .is_some_and(|(instances, limit)| instances > limit)
    {
        validator.warning(
            &keys::INSTANCES,
            "is larger than the provider's limit on token requests per minute",
            "One request per instance already exceeds the limit: run fewer instances, or have the \
             limit raised and set `token_requests_per_minute`.",
        );
    }
    let (ca_file, http) = network_path?;
    Some(ProviderSettings {
        algorithms: algorithms?,
        end_session_endpoint,
        revocation_endpoint,
        token_requests_per_minute: limit,
        instances: instances?,
        ca_file,
        http,
    })
}

/// Returns the algorithms that the provider may sign tokens with.
pub(super) fn algorithms(validator: &mut Validator<'_>) -> Option<Vec<Algorithm>> {
    validator.only_for_other_providers(&keys::ID_TOKEN_ALGORITHMS);
    let algorithms = validator.required(&keys::ID_TOKEN_ALGORITHMS, |text| {
        let algorithms: Option<Vec<Algorithm>> = distinct_words(text)?
            .into_iter()
            .map(|name| Algorithm::from_name(name).filter(|known| SIGNED_WITH.contains(known)))
            .collect();
        match algorithms {
            Some(algorithms) if !algorithms.is_empty() => Ok(algorithms),
            _ => invalid(
                "contains a name that is none of the possible algorithms, or is empty",
                format!(
                    "Write {}, as the provider signs.",
                    one_of(&SIGNED_WITH.map(Algorithm::name))
                ),
            ),
        }
    });
    validator.partial.algorithms.clone_from(&algorithms);
    algorithms
}

/// The algorithms of tokens. `HS256` is not one of them: an attacker who learns or guesses the client's
/// secret could sign tokens for any user.
const SIGNED_WITH: [Algorithm; 4] = [
    Algorithm::EdDsa,
    Algorithm::Rs256,
    Algorithm::Ps256,
    Algorithm::Es256,
];

/// Returns the number of token requests per minute that the provider accepts from the client, if it is
/// known.
pub(super) fn token_limit(validator: &mut Validator<'_>, issuer: Option<&Issuer>) -> Option<u32> {
    let limit = validator.optional(&keys::TOKEN_REQUESTS_PER_MINUTE, count(1..=1_000_000));
    let environment = issuer.and_then(Issuer::environment);
    limit.or(environment.map(Environment::token_requests_per_minute))
}

/// Returns the file of certificates and the options for calls to the provider.
pub(super) fn network_path(
    validator: &mut Validator<'_>,
    issuer: Option<&Issuer>,
) -> Option<(Option<PathBuf>, HttpOptions)> {
    let ca_file = match validator.raw.given(&keys::CA_FILE) {
        Some(Given::File(path)) => Some(path.clone()),
        _ => None,
    };
    let ca_certificates = if validator.raw.is_set(&keys::CA_FILE) {
        validator.optional(&keys::CA_FILE, certificates)
    } else {
        Some(CaCertificates::default())
    };
    let proxy = validator.required(&keys::PROXY, |text| proxy(text, issuer));
    let http = issuer.zip(ca_certificates).zip(proxy);
    let http = http.map(|((issuer, ca_certificates), proxy)| HttpOptions {
        loopback: issuer.is_loopback(),
        ca_certificates,
        proxy,
    });
    validator.partial.http.clone_from(&http);
    Some((ca_file, http?))
}

fn certificates(pem: &str) -> Result<CaCertificates, Invalid> {
    CaCertificates::from_pem(pem).or_else(|error| {
        let (message, help) = match error {
            CaCertificateError::Empty => ("is empty".to_owned(), EXPORT),
            CaCertificateError::NotPem => (
                "is not PEM".to_owned(),
                "Convert it, such as with `openssl x509 -inform der -in FILE -out FILE.pem`.",
            ),
            CaCertificateError::PrivateKey => (
                "contains a private key".to_owned(),
                "Name a file that contains only certificates, and keep the key secret.",
            ),
            CaCertificateError::NoCertificate => ("contains no certificate".to_owned(), EXPORT),
            CaCertificateError::Malformed(position) => (
                format!("is invalid: certificate {position} is cut off or not a certificate"),
                EXPORT,
            ),
        };
        invalid(message, help)
    })
}

const EXPORT: &str = "Export it again: each certificate from `-----BEGIN CERTIFICATE-----` to \
                      `-----END CERTIFICATE-----`.";

fn proxy(text: &str, issuer: Option<&Issuer>) -> Result<Proxy, Invalid> {
    match text {
        "system" => return Ok(Proxy::System),
        "direct" => return Ok(Proxy::Direct),
        _ => {}
    }
    let is_proxy = |url: Url| {
        ["http", "https"].contains(&url.scheme())
            && url.has_host()
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
    };
    if !Url::parse(text).is_ok_and(is_proxy) {
        return invalid(
            "is not the URL of a proxy",
            "Write `http://HOST:PORT`, with `USER:PASSWORD@` before the host if it requires them, \
             or `direct`, or `system`.",
        );
    }
    if matches!(issuer, Some(Issuer::Custom(url)) if url.scheme() == "http") {
        return invalid(
            "is set, but the issuer uses plain http: the proxy could read every secret",
            "Remove it, or use an https issuer.",
        );
    }
    Ok(Proxy::Url(text.into()))
}
