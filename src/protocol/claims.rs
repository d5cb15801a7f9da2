//! The checks that ID tokens and logout tokens share: the signature, and claims by name and type.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    jose::{Algorithm, CompactJws, JoseError, Verified},
    provider::{Provider, ProviderError, ProviderMetadata},
};

/// The algorithms that the provider may sign tokens with.
pub(super) const ALLOWED: [Algorithm; 1] = [Algorithm::EdDsa];

/// The allowed difference between the provider's clock and this machine's, in seconds.
pub(super) const LEEWAY: i64 = 60;

/// Verifies a token's signature with the provider's key for its `kid` and `alg`.
pub(super) async fn verify_signature<E>(
    provider: &Provider,
    metadata: &ProviderMetadata,
    token: &str,
) -> Result<Verified<Claims>, E>
where
    E: From<JoseError> + From<ProviderError>,
{
    let jws = CompactJws::parse(token)?;
    let algorithm = jws.algorithm(&ALLOWED)?;
    let key = provider.key(metadata, jws.key_id(), algorithm).await?;
    Ok(jws.verify(&key, &ALLOWED)?)
}

/// Error returned when a claim is missing or has the wrong type.
#[derive(Debug)]
pub(super) struct InvalidClaim(pub(super) &'static str);

/// The claims of a token. They are taken out one by one, so that an error can name the claim.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Claims(Map<String, Value>);

impl Claims {
    /// Returns a claim and leaves it in place.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Returns the claims that were not taken out.
    pub(super) fn into_remaining(self) -> Map<String, Value> {
        self.0
    }

    pub(super) fn string(&mut self, name: &'static str) -> Result<Option<String>, InvalidClaim> {
        match self.0.remove(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(InvalidClaim(name)),
        }
    }

    pub(super) fn required_string(&mut self, name: &'static str) -> Result<String, InvalidClaim> {
        self.string(name)?.ok_or(InvalidClaim(name))
    }

    /// Takes out a `NumericDate` (RFC 7519 section 2) and drops its fraction.
    pub(super) fn date(&mut self, name: &'static str) -> Result<Option<i64>, InvalidClaim> {
        let Some(value) = self.0.remove(name) else {
            return Ok(None);
        };
        // `as` saturates.
        #[allow(clippy::cast_possible_truncation)]
        let seconds = value
            .as_i64()
            .or_else(|| value.as_f64().map(|seconds| seconds as i64));
        seconds.ok_or(InvalidClaim(name)).map(Some)
    }

    pub(super) fn required_date(&mut self, name: &'static str) -> Result<i64, InvalidClaim> {
        self.date(name)?.ok_or(InvalidClaim(name))
    }

    /// Takes out `aud`: one string or a list of strings (RFC 7519 section 4.1.3).
    pub(super) fn audience(&mut self) -> Result<Vec<String>, InvalidClaim> {
        match self.0.remove("aud") {
            Some(Value::String(one)) => Ok(vec![one]),
            Some(many @ Value::Array(_)) => {
                serde_json::from_value(many).map_err(|_| InvalidClaim("aud"))
            }
            _ => Err(InvalidClaim("aud")),
        }
    }
}
