use std::{fmt, sync::Arc};

use ed25519_dalek::{
    SigningKey as DalekKey,
    pkcs8::{EncodePrivateKey, KeypairBytes, spki::der::pem::LineEnding},
};
use serde_json::Value;
use zeroize::Zeroizing;

use super::{Ed25519PublicKey, PemError, VerifyingKey, pem};
use crate::secret::random_bytes;

/// An Ed25519 private key with the id under which its public half is registered.
///
/// ```
/// use axum_oten::jose::Ed25519KeyPair;
///
/// let pair = Ed25519KeyPair::generate();
/// let again = Ed25519KeyPair::from_pem(&pair.to_pem())?;
/// assert_eq!(again.public_jwk(), pair.public_jwk());
/// assert!(Ed25519KeyPair::from_pem("-----BEGIN NONSENSE-----").is_err());
/// # Ok::<_, axum_oten::jose::PemError>(())
/// ```
#[derive(Clone)]
pub struct Ed25519KeyPair {
    key: Arc<DalekKey>,
    key_id: String,
}

impl Ed25519KeyPair {
    /// A new key from the operating system's randomness; its id is the RFC 7638 thumbprint.
    #[must_use]
    pub fn generate() -> Self {
        Self::new(DalekKey::from_bytes(&random_bytes()))
    }

    /// Reads a PKCS#8 PEM, as `oten keygen ed25519` and `openssl genpkey -algorithm ed25519` write
    /// it. The id is the RFC 7638 thumbprint.
    ///
    /// # Errors
    ///
    /// [`PemError`] when the text is not such a key.
    pub fn from_pem(pem: &str) -> Result<Self, PemError> {
        pem::private_key(pem).map(Self::new)
    }

    fn new(key: DalekKey) -> Self {
        let public = Ed25519PublicKey::new(key.verifying_key());
        Self {
            key: Arc::new(key),
            key_id: public.key_id().to_owned(),
        }
    }

    /// Replaces the id, for a provider that assigned one of its own.
    #[must_use]
    pub fn with_key_id(mut self, key_id: impl Into<String>) -> Self {
        self.key_id = key_id.into();
        self
    }

    /// The `kid`: by default the RFC 7638 thumbprint of the public key.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// The private key as PKCS#8 PEM.
    ///
    /// # Panics
    ///
    /// Never: 32 bytes always have a PKCS#8 form.
    #[must_use]
    pub fn to_pem(&self) -> Zeroizing<String> {
        // Version 1, without the public half: what OpenSSL writes and every tool reads.
        let bytes = KeypairBytes {
            secret_key: self.key.to_bytes(),
            public_key: None,
        };
        bytes
            .to_pkcs8_pem(LineEnding::LF)
            .expect("32 bytes always have a PKCS#8 form")
    }

    /// The public half, under the same id.
    #[must_use]
    pub fn public_key(&self) -> Ed25519PublicKey {
        Ed25519PublicKey::new(self.key.verifying_key()).with_key_id(&*self.key_id)
    }

    /// The public key as PEM, the form the developer portal asks for.
    #[must_use]
    pub fn public_pem(&self) -> String {
        self.public_key().to_pem()
    }

    /// The public key as a JWK (RFC 8037 section 2) with `kid`, `use` and `alg`.
    #[must_use]
    pub fn public_jwk(&self) -> Value {
        self.public_key().to_jwk()
    }

    /// The public half, to check signatures with.
    #[must_use]
    pub fn verifying_key(&self) -> VerifyingKey {
        self.public_key().verifying_key()
    }

    pub(super) fn dalek(&self) -> &DalekKey {
        &self.key
    }
}

impl fmt::Debug for Ed25519KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ed25519KeyPair")
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::jose::{CompactJws, Header, SigningKey, Verified, base64url};

    /// RFC 8037 appendix A.1: the private key `d`.
    const RFC8037_D: &str = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";

    fn rfc8037() -> Ed25519KeyPair {
        let d = crate::jose::from_base64url(RFC8037_D).unwrap();
        Ed25519KeyPair::new(DalekKey::from_bytes(&d.try_into().unwrap()))
    }

    #[test]
    fn rfc8037_a2_public_key() {
        assert_eq!(
            rfc8037().public_jwk()["x"],
            "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
        );
    }

    #[test]
    fn rfc8037_a3_thumbprint() {
        assert_eq!(
            rfc8037().key_id(),
            "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
        );
    }

    #[test]
    fn rfc8037_a4_signature() {
        let message = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
        let signature = SigningKey::from(rfc8037())
            .sign_bytes(message.as_bytes())
            .unwrap();
        assert_eq!(
            base64url(&signature),
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
        );
        rfc8037()
            .verifying_key()
            .verify_bytes(message.as_bytes(), &signature)
            .unwrap();
    }

    #[test]
    fn openssl_pkcs8_pem_is_read_and_written_back() {
        // RFC 8410 section 10.3, the version 1 example.
        let pem = "-----BEGIN PRIVATE KEY-----\n\
                   MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
                   -----END PRIVATE KEY-----\n";
        let pair = Ed25519KeyPair::from_pem(pem).unwrap();
        assert_eq!(pair.to_pem().as_str(), pem);
        assert_eq!(
            pair.public_pem(),
            "-----BEGIN PUBLIC KEY-----\n\
             MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n\
             -----END PUBLIC KEY-----\n"
        );
    }

    #[test]
    fn the_header_carries_the_key_id() {
        let pair = rfc8037().with_key_id("first");
        let token = SigningKey::from(pair.clone())
            .sign(&Header::new("JWT"), &json!({}))
            .unwrap();
        let jws = CompactJws::parse(&token).unwrap();
        assert_eq!(jws.key_id(), Some("first"));
        assert_eq!(jws.typ(), Some("JWT"));
        let _: Verified<Value> = jws
            .verify(&pair.verifying_key(), &[crate::jose::Algorithm::EdDsa])
            .unwrap();
    }
}
