use serde::Deserialize;
use serde_json::Value;

use super::{Algorithm, JoseError, VerifyingKey, from_base64url};

/// A key of a set is ignored past this many: no provider has as many, and a liar's set is bounded.
const MAX_KEYS: usize = 64;

/// A public signature key of a JWK set.
#[derive(Clone, Debug)]
pub struct Jwk {
    key_id: Option<String>,
    key: VerifyingKey,
}

impl Jwk {
    /// The key's `kid`.
    #[must_use]
    pub fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    /// The key itself.
    #[must_use]
    pub fn key(&self) -> &VerifyingKey {
        &self.key
    }

    fn from_json(value: Value) -> Result<Self, JoseError> {
        let raw: RawJwk =
            serde_json::from_value(value).map_err(|_| JoseError::Key("not a JSON Web Key"))?;
        if raw.kty != "OKP" || raw.crv.as_deref() != Some("Ed25519") {
            return Err(JoseError::Key("not an Ed25519 key"));
        }
        if raw.usage.is_some_and(|usage| usage != "sig") {
            return Err(JoseError::Key("not a signature key"));
        }
        if raw
            .alg
            .is_some_and(|alg| Algorithm::from_name(&alg) != Some(Algorithm::EdDsa))
        {
            return Err(JoseError::Key("an Ed25519 key for another algorithm"));
        }
        let x: [u8; 32] = raw
            .x
            .and_then(|x| from_base64url(&x)?.try_into().ok())
            .ok_or(JoseError::Key("an Ed25519 key needs 32 bytes of `x`"))?;
        Ok(Self {
            key_id: raw.kid,
            key: VerifyingKey::ed25519(&x)?,
        })
    }
}

#[derive(Deserialize)]
struct RawJwk {
    kty: String,
    crv: Option<String>,
    x: Option<String>,
    kid: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    alg: Option<String>,
}

/// The signature keys a provider publishes (RFC 7517 section 5).
#[derive(Clone, Debug, Default)]
pub struct JwkSet {
    keys: Vec<Jwk>,
}

impl JwkSet {
    /// Reads a JWK set. Keys of kinds we do not use are passed over, as RFC 7517 section 5 asks.
    ///
    /// # Errors
    ///
    /// [`JoseError::Key`] when the document is not a JWK set at all.
    pub fn from_json(document: &[u8]) -> Result<Self, JoseError> {
        #[derive(Deserialize)]
        struct RawSet {
            keys: Vec<Value>,
        }
        let set: RawSet = serde_json::from_slice(document)
            .map_err(|_| JoseError::Key("not a JSON Web Key Set"))?;
        let keys = set.keys.into_iter().take(MAX_KEYS);
        Ok(Self {
            keys: keys.filter_map(|key| Jwk::from_json(key).ok()).collect(),
        })
    }

    /// The keys of kinds we use.
    #[must_use]
    pub fn keys(&self) -> &[Jwk] {
        &self.keys
    }

    /// The key for a token: by `kid` and algorithm. A token without `kid` has a key only where
    /// the choice is not open, in a set with one key of that algorithm. Two keys under one `kid`
    /// leave the choice open too.
    #[must_use]
    pub fn find(&self, key_id: Option<&str>, algorithm: Algorithm) -> Option<&VerifyingKey> {
        let mut candidates = self
            .keys
            .iter()
            .filter(|jwk| jwk.key.algorithm() == algorithm)
            .filter(|jwk| key_id.is_none() || jwk.key_id() == key_id);
        let found = candidates.next()?;
        candidates.next().is_none().then_some(&found.key)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::jose::Ed25519KeyPair;

    fn set(keys: &[Value]) -> JwkSet {
        JwkSet::from_json(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
    }

    #[test]
    fn keys_are_found_by_kid_and_algorithm() {
        let jwk = Ed25519KeyPair::generate().with_key_id("a").public_jwk();
        let other = Ed25519KeyPair::generate().with_key_id("b").public_jwk();
        let keys = set(&[jwk, other]);
        assert!(keys.find(Some("a"), Algorithm::EdDsa).is_some());
        assert!(keys.find(Some("c"), Algorithm::EdDsa).is_none());
        assert!(keys.find(Some("a"), Algorithm::Hs256).is_none());
        assert!(
            keys.find(None, Algorithm::EdDsa).is_none(),
            "an open choice"
        );
    }

    #[test]
    fn a_token_without_kid_takes_the_only_key() {
        let keys = set(&[Ed25519KeyPair::generate().public_jwk()]);
        assert!(keys.find(None, Algorithm::EdDsa).is_some());
    }

    #[test]
    fn foreign_keys_are_passed_over() {
        let good = Ed25519KeyPair::generate().public_jwk();
        let mut encryption = Ed25519KeyPair::generate().public_jwk();
        encryption["use"] = json!("enc");
        let mut short = Ed25519KeyPair::generate().public_jwk();
        short["x"] = json!("AAAA");
        let mut weak = Ed25519KeyPair::generate().public_jwk();
        weak["x"] = json!("AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
        let keys = set(&[
            json!({"kty": "RSA", "n": "AQAB", "e": "AQAB"}),
            json!({"kty": "oct", "k": "AAAA"}),
            json!("not a key"),
            encryption,
            short,
            weak,
            good,
        ]);
        assert_eq!(keys.keys().len(), 1);
    }

    #[test]
    fn a_document_that_is_no_set_is_refused() {
        for document in ["", "[]", "{}", r#"{"keys": {}}"#, "<html>"] {
            assert!(
                JwkSet::from_json(document.as_bytes()).is_err(),
                "{document}"
            );
        }
    }
}
