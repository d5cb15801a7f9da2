//! The checks that ID tokens and logout tokens share: the signature, and claims by name and type.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    jose::{CompactJws, JoseError, Verified},
    provider::{Provider, ProviderError, ProviderMetadata, TokenOrigin},
    secret::from_base64url,
};

/// The allowed difference between the provider's clock and this machine's, in seconds.
pub(super) const LEEWAY: i64 = 60;

/// Verifies a token's signature with the provider's key for its `kid` and `alg`.
pub(super) async fn verify_signature<E>(
    provider: &Provider,
    metadata: &ProviderMetadata,
    token: &str,
    origin: TokenOrigin,
) -> Result<Verified<Claims>, E>
where
    E: From<JoseError> + From<ProviderError>,
{
    let jws = CompactJws::parse(token)?;
    let algorithm = jws.algorithm(provider.algorithms())?;
    let key = provider
        .key(metadata, jws.key_id(), algorithm, origin)
        .await?;
    Ok(jws.verify(&key, provider.algorithms())?)
}

/// Error returned when a claim is missing or has the wrong type.
#[derive(Debug)]
pub(super) struct InvalidClaim(pub(super) &'static str);

/// The audience of a token, as its client sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Audience {
    /// This client and no other.
    Client,
    /// This client and others, all of which it trusts.
    ClientAndTrusted,
    /// Not this client, or others that it does not trust, too.
    Other,
}

/// The claims of a token, read one by one, so that an error can name the claim. A claim that is `null`
/// is absent.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Claims(Map<String, Value>);

impl Claims {
    /// Reads the claims of a JWT without verifying it.
    pub(super) fn unverified(token: &str) -> Option<Self> {
        Self::unverified_part(token, 1)
    }

    /// Reads the header of a JWT without checking it.
    pub(super) fn unverified_header(token: &str) -> Option<Self> {
        Self::unverified_part(token, 0)
    }

    fn unverified_part(token: &str, index: usize) -> Option<Self> {
        let part = from_base64url(token.split('.').nth(index)?)?;
        serde_json::from_slice(&part).ok()
    }

    /// Returns the claims except those of this list.
    pub(super) fn into_all_but(mut self, names: &[&str]) -> Map<String, Value> {
        for name in names {
            self.0.remove(*name);
        }
        self.0
    }

    /// Returns whether the claim is present, also as `null`.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    pub(super) fn string(&self, name: &'static str) -> Result<Option<&str>, InvalidClaim> {
        let value = self.get(name);
        let text = value.map(|value| value.as_str().ok_or(InvalidClaim(name)));
        text.transpose()
    }

    pub(super) fn required_string(&self, name: &'static str) -> Result<&str, InvalidClaim> {
        self.string(name)?.ok_or(InvalidClaim(name))
    }

    /// Returns a `NumericDate` (RFC 7519 section 2) without its fraction.
    pub(super) fn date(&self, name: &'static str) -> Result<Option<i64>, InvalidClaim> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        // `as` saturates.
        #[allow(clippy::cast_possible_truncation)]
        let seconds = value
            .as_i64()
            .or_else(|| value.as_f64().map(|seconds| seconds as i64));
        seconds.ok_or(InvalidClaim(name)).map(Some)
    }

    pub(super) fn required_date(&self, name: &'static str) -> Result<i64, InvalidClaim> {
        self.date(name)?.ok_or(InvalidClaim(name))
    }

    /// Returns whether `aud`, one string or a list of strings, names one of these audiences.
    pub(super) fn is_for_any(&self, audiences: &[String]) -> Result<bool, InvalidClaim> {
        let named = self.strings("aud")?.ok_or(InvalidClaim("aud"))?;
        Ok(named
            .iter()
            .any(|named| audiences.iter().any(|it| it == named)))
    }

    /// Returns the scopes: words in `scope` (RFC 9068 section 2.2.3), or a list in `scope` or `scp`.
    pub(super) fn scopes(&self) -> Result<Vec<String>, InvalidClaim> {
        let name = if self.get("scope").is_some() {
            "scope"
        } else {
            "scp"
        };
        let given = self.strings(name)?.unwrap_or_default();
        let words = given.iter().flat_map(|words| words.split(' '));
        Ok(words
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect())
    }

    /// Returns a claim that is one string or a list of strings.
    fn strings(&self, name: &'static str) -> Result<Option<Vec<&str>>, InvalidClaim> {
        let strings = self.get(name).map(|value| match value {
            Value::Array(many) => many.iter().map(Value::as_str).collect::<Option<_>>(),
            one => one.as_str().map(|one| vec![one]),
        });
        strings
            .map(|strings| strings.ok_or(InvalidClaim(name)))
            .transpose()
    }

    /// Reads `aud`, one string or a list of strings (RFC 7519 section 4.1.3), for a client that trusts
    /// further audiences.
    pub(super) fn audience(
        &self,
        client_id: &str,
        trusted: &[String],
    ) -> Result<Audience, InvalidClaim> {
        let named = self.strings("aud")?.ok_or(InvalidClaim("aud"))?;
        Ok(match named[..] {
            [one] if one == client_id => Audience::Client,
            _ if named.contains(&client_id) && !trusted.is_empty() => {
                let mut others = named.iter().filter(|named| **named != client_id);
                let are_trusted = others.all(|other| trusted.iter().any(|one| one == other));
                if are_trusted {
                    Audience::ClientAndTrusted
                } else {
                    Audience::Other
                }
            }
            _ => Audience::Other,
        })
    }
}
