//! A request object, signed and checked as the provider does.

use std::time::Duration;

use serde_json::{Map, Value};
use url::Url;

use super::{Finding, checks::REQUEST_OBJECT, text::SEE_CONFIGURATION};
use crate::{
    clock::Clock,
    config::{ClientType, Config, Jar, Partial},
    jose::{Algorithm, CompactJws, VerifyingKey},
    protocol::{AuthorizationRequest, CodeVerifier},
    secret::Secret,
};

/// Oten refuses one that lives longer.
const LONGEST_LIFE: i64 = 300;

const HELP: &str = "Configure the key anew: `client_secret` for HS256, `jar_key_file` for EdDSA.";

/// `issuer` is the provider's own spelling, if that is known.
pub(super) fn check(settings: &Partial, issuer: Option<&str>, clock: &Clock) -> Finding {
    let Some(config) = &settings.config else {
        return REQUEST_OBJECT.skipped(SEE_CONFIGURATION);
    };
    let (key, with) = match config.client().kind() {
        ClientType::Public => {
            return REQUEST_OBJECT.passed("a public client sends none");
        }
        ClientType::Confidential { jar: Jar::Off, .. } => {
            return REQUEST_OBJECT.skipped("`jar` is off: requests are not signed");
        }
        ClientType::Confidential {
            jar: Jar::Hs256,
            secret,
        } => (VerifyingKey::hs256(secret), "HS256".to_owned()),
        ClientType::Confidential {
            jar: Jar::EdDsa(pair),
            ..
        } => (
            pair.verifying_key(),
            format!("EdDSA, key id `{}`", pair.key_id()),
        ),
    };
    let issuer = issuer.map_or_else(|| config.issuer().to_string(), str::to_owned);
    let request = match sign(config, &issuer, clock) {
        Ok(request) => request,
        Err(reason) => return REQUEST_OBJECT.failed(reason, HELP),
    };
    match verify(&request, &key, config, &issuer) {
        Ok(life) => {
            let life = life.as_secs();
            REQUEST_OBJECT.passed(format!("signed and verified with {with}; lives {life} s"))
        }
        Err(reason) => REQUEST_OBJECT.failed(reason, HELP),
    }
}

/// The request object of an authorization URL as any sign-in makes it.
fn sign(config: &Config, issuer: &str, clock: &Clock) -> Result<String, String> {
    let request = AuthorizationRequest {
        config,
        issuer,
        state: &Secret::random(),
        nonce: &Secret::random(),
        code_verifier: &CodeVerifier::random(),
        now: clock.unix_now(),
    };
    // It goes nowhere: any endpoint will do.
    let endpoint = Url::parse("https://localhost/").map_err(|error| error.to_string())?;
    let url = request
        .url(&endpoint)
        .map_err(|error| format!("it cannot be signed: {error}"))?;
    let mut pairs = url.query_pairs();
    let request = pairs.find(|(name, _)| name == "request");
    request.map_or_else(
        || Err("the authorization URL carries none".to_owned()),
        |(_, request)| Ok(request.into_owned()),
    )
}

/// As the provider does: the signature, who it is from and for, and how long it lives.
fn verify(
    request: &str,
    key: &VerifyingKey,
    config: &Config,
    issuer: &str,
) -> Result<Duration, String> {
    let jws = CompactJws::parse(request).map_err(|error| error.to_string())?;
    let verified = jws
        .verify::<Map<String, Value>>(key, &[Algorithm::Hs256, Algorithm::EdDsa])
        .map_err(|error| format!("it does not hold against its own key: {error}"))?;
    let claims = verified.into_claims();
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let number = |name: &str| claims.get(name).and_then(Value::as_i64);
    let id = Some(config.client().id());
    if text("iss") != id || text("client_id") != id || text("aud") != Some(issuer) {
        return Err("it is not from this client for this issuer".to_owned());
    }
    let life = number("exp")
        .zip(number("iat"))
        .map(|(end, start)| end - start);
    let life = life.filter(|life| (1..=LONGEST_LIFE).contains(life));
    let life = life.and_then(|life| u64::try_from(life).ok());
    life.map(Duration::from_secs)
        .ok_or_else(|| format!("it does not live for 1 to {LONGEST_LIFE} s"))
}
