use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    error::JoseError,
    key::{Algorithm, VerifyingKey},
};
use crate::{json, secret::from_base64url};

/// A public signature key of a JWK set.
#[derive(Clone, Debug)]
pub struct Jwk {
    key_id: Option<String>,
    /// The members that make up the public key, to compare it with others.
    parts: Vec<Vec<u8>>,
    key: VerifyingKey,
}

impl Jwk {
    /// The key's `kid`.
    #[must_use]
    pub fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    /// Reads a signature key, once for each of these algorithms that it may be used with: an RSA key that
    /// does not say so may be for several.
    fn from_json<'a>(
        key: &RawValue,
        algorithms: &'a [Algorithm],
    ) -> impl Iterator<Item = Self> + 'a {
        let members: Option<Members> = json::object(key.get().as_bytes()).ok();
        let members = members.filter(Members::is_for_signatures);
        algorithms
            .iter()
            .filter_map(move |algorithm| members.as_ref()?.key_for(*algorithm))
    }
}

/// The members of a public key (RFC 7517 section 4, RFC 7518 section 6, RFC 8037 section 2).
#[derive(Deserialize)]
struct Members {
    kty: String,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
    kid: Option<String>,
    r#use: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
}

impl Members {
    /// A key for encryption might be one that the provider decrypts any text with.
    fn is_for_signatures(&self) -> bool {
        let operations = self.key_ops.as_ref();
        self.r#use.as_ref().is_none_or(|usage| usage == "sig")
            && operations.is_none_or(|names| names.iter().any(|name| name == "verify"))
    }

    /// Returns the key if its type, its curve and its `alg`, if it has one, are those of the algorithm.
    fn key_for(&self, algorithm: Algorithm) -> Option<Jwk> {
        let named = self.alg.as_deref().map(Algorithm::from_name);
        if named.is_some_and(|named| named != Some(algorithm)) {
            return None;
        }
        let bytes = |member: &Option<String>| from_base64url(member.as_ref()?);
        let (parts, key) = match (algorithm, &*self.kty, self.crv.as_deref()) {
            (Algorithm::EdDsa, "OKP", Some("Ed25519")) => {
                let x = bytes(&self.x)?;
                let key = VerifyingKey::ed25519(x.as_slice().try_into().ok()?);
                (vec![x], key)
            }
            (Algorithm::Rs256 | Algorithm::Ps256, "RSA", _) => {
                let (n, e) = (bytes(&self.n)?, bytes(&self.e)?);
                let key = VerifyingKey::rsa(algorithm, &n, &e);
                (vec![n, e], key)
            }
            (Algorithm::Es256, "EC", Some("P-256")) => {
                let (x, y) = (bytes(&self.x)?, bytes(&self.y)?);
                let key = VerifyingKey::es256(
                    x.as_slice().try_into().ok()?,
                    y.as_slice().try_into().ok()?,
                );
                (vec![x, y], key)
            }
            _ => return None,
        };
        Some(Jwk {
            key_id: self.kid.clone(),
            parts,
            key: key.ok()?,
        })
    }
}

/// The signature keys that a provider publishes (RFC 7517 section 5).
#[derive(Clone, Debug, Default)]
pub struct JwkSet {
    keys: Vec<Jwk>,
}

impl JwkSet {
    /// Reads the Ed25519 keys of a JWK set, like [`for_algorithms`](Self::for_algorithms).
    ///
    /// # Errors
    ///
    /// [`JoseError::KeySet`] when the document is not a JWK set.
    pub fn from_json(document: &[u8]) -> Result<Self, JoseError> {
        Self::for_algorithms(document, &[Algorithm::EdDsa])
    }

    /// Reads a JWK set. Keys other than signature keys for these algorithms are ignored, as RFC 7517
    /// section 5 requires, and so is a byte order mark.
    ///
    /// # Errors
    ///
    /// [`JoseError::KeySet`] when the document is not a JWK set.
    pub fn for_algorithms(document: &[u8], algorithms: &[Algorithm]) -> Result<Self, JoseError> {
        // Keys of other kinds are not parsed into memory, because a set may have very many.
        #[derive(Deserialize)]
        struct Members<'a> {
            #[serde(borrow)]
            keys: Vec<&'a RawValue>,
        }
        let set: Members<'_> = json::parse(document).map_err(|_| JoseError::KeySet)?;
        Ok(Self {
            keys: set
                .keys
                .into_iter()
                .flat_map(|key| Jwk::from_json(key, algorithms))
                .collect(),
        })
    }

    /// The signature keys of the set: each once for each algorithm.
    #[must_use]
    pub fn keys(&self) -> &[Jwk] {
        &self.keys
    }

    /// Returns the only key with this `kid` and algorithm, or the only key of the algorithm for a
    /// token without `kid`. Returns `None` if there are several different keys.
    ///
    /// A set may repeat a key, for example once for each name of the algorithm.
    #[must_use]
    pub fn find(&self, key_id: Option<&str>, algorithm: Algorithm) -> Option<&VerifyingKey> {
        let mut candidates = self
            .keys
            .iter()
            .filter(|jwk| jwk.key.algorithm() == algorithm)
            .filter(|jwk| key_id.is_none() || jwk.key_id() == key_id);
        let first = candidates.next()?;
        candidates
            .all(|jwk| jwk.parts == first.parts)
            .then_some(&first.key)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

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
            "two candidates"
        );
    }

    #[test]
    fn a_token_without_kid_uses_the_only_key() {
        let keys = set(&[Ed25519KeyPair::generate().public_jwk()]);
        assert!(keys.find(None, Algorithm::EdDsa).is_some());
    }

    #[test]
    fn p3_a_repeated_key_is_found() {
        let pair = Ed25519KeyPair::generate().with_key_id("a");
        let with = |name: &str, value: Option<&str>| {
            let mut jwk = pair.public_jwk();
            match value {
                Some(value) => jwk[name] = json!(value),
                None => drop(jwk.as_object_mut().unwrap().remove(name)),
            }
            jwk
        };
        for repeated in [
            with("alg", Some("Ed25519")),
            with("alg", None),
            with("use", None),
            with("kid", Some("b")),
            with("kid", None),
        ] {
            let keys = set(&[with("alg", Some("EdDSA")), repeated.clone()]);
            for key_id in [Some("a"), None] {
                let found = keys.find(key_id, Algorithm::EdDsa);
                assert!(found.is_some(), "{key_id:?}: {repeated}");
            }
        }
    }

    #[test]
    fn p3_two_keys_with_one_kid_are_rejected() {
        let [first, second, other] = ["a", "a", "b"]
            .map(|key_id| Ed25519KeyPair::generate().with_key_id(key_id).public_jwk());
        let keys = set(&[first.clone(), first, other, second]);
        assert!(keys.find(Some("a"), Algorithm::EdDsa).is_none());
        assert!(keys.find(Some("b"), Algorithm::EdDsa).is_some());
        assert!(keys.find(None, Algorithm::EdDsa).is_none());
    }

    #[test]
    fn p3_keys_of_other_kinds_may_come_first() {
        let foreign = json!({"kty": "RSA", "kid": "a", "n": "AQAB".repeat(64), "e": "AQAB"});
        let mut keys = vec![foreign; 2_000];
        keys.extend([json!(null), json!([]), json!({}), json!({"kty": 7})]);
        keys.push(Ed25519KeyPair::generate().with_key_id("a").public_jwk());
        let keys = set(&keys);
        assert!(keys.find(Some("a"), Algorithm::EdDsa).is_some());
        assert_eq!(keys.keys().len(), 1);
    }

    #[test]
    fn p3_a_byte_order_mark_is_ignored() {
        assert!(JwkSet::from_json(b"\xef\xbb\xbf{\"keys\": []}").is_ok());
    }

    #[test]
    fn keys_of_other_kinds_are_ignored() {
        let with = |name, value| {
            let mut jwk = Ed25519KeyPair::generate().public_jwk();
            jwk[name] = value;
            jwk
        };
        let weak = "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        let keys = set(&[
            json!({"kty": "RSA", "n": "AQAB", "e": "AQAB"}),
            json!({"kty": "oct", "k": "AAAA"}),
            json!("not a key"),
            json!([
                "OKP",
                "Ed25519",
                with("kid", Value::Null)["x"],
                null,
                null,
                null
            ]),
            with("kty", json!("EC")),
            with("crv", json!("X25519")),
            with("crv", Value::Null),
            with("use", json!("enc")),
            with("alg", json!("HS256")),
            with("x", json!("AAAA")),
            with("x", json!(weak)),
            with("kid", json!("good")),
        ]);
        assert_eq!(keys.keys().len(), 1);
    }

    #[test]
    fn a_document_that_is_not_a_set_is_rejected() {
        for document in ["", "[]", "[[]]", "{}", r#"{"keys": {}}"#, "<html>"] {
            assert!(
                JwkSet::from_json(document.as_bytes()).is_err(),
                "{document}"
            );
        }
    }
}
