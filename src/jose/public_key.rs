use std::fmt;

use ed25519_dalek::{
    VerifyingKey as DalekPublicKey,
    pkcs8::{EncodePublicKey, spki::der::pem::LineEnding},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{PemError, VerifyingKey, base64url, pem};

/// An Ed25519 public key with the id it is published under.
///
/// ```
/// use axum_oten::jose::{Ed25519KeyPair, Ed25519PublicKey, PemError};
///
/// let pair = Ed25519KeyPair::generate();
/// let public = Ed25519PublicKey::from_pem(&pair.public_pem())?;
/// assert_eq!(public.to_jwk(), pair.public_jwk());
///
/// // A private key is not taken where a public one will be shown around.
/// assert_eq!(Ed25519PublicKey::from_pem(&pair.to_pem()).unwrap_err(), PemError::PrivateKey);
/// # Ok::<_, PemError>(())
/// ```
#[derive(Clone)]
pub struct Ed25519PublicKey {
    key: DalekPublicKey,
    key_id: String,
}

impl Ed25519PublicKey {
    /// Reads a `SubjectPublicKeyInfo` PEM, as `oten keygen ed25519` prints it. The id is the
    /// RFC 7638 thumbprint.
    ///
    /// # Errors
    ///
    /// [`PemError`] when the text is not such a key.
    pub fn from_pem(pem: &str) -> Result<Self, PemError> {
        pem::public_key(pem).map(Self::new)
    }

    pub(super) fn new(key: DalekPublicKey) -> Self {
        Self {
            key_id: thumbprint(key.as_bytes()),
            key,
        }
    }

    /// Replaces the id, for a provider that assigned one of its own.
    #[must_use]
    pub fn with_key_id(mut self, key_id: impl Into<String>) -> Self {
        self.key_id = key_id.into();
        self
    }

    /// The `kid`: by default the RFC 7638 thumbprint.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// The key as PEM, the form the developer portal asks for.
    ///
    /// # Panics
    ///
    /// Never: a public key always has a PEM form.
    #[must_use]
    pub fn to_pem(&self) -> String {
        self.key
            .to_public_key_pem(LineEnding::LF)
            .expect("a public key always has a PEM form")
    }

    /// The key as a JWK (RFC 8037 section 2) with `kid`, `use` and `alg`.
    #[must_use]
    pub fn to_jwk(&self) -> Value {
        json!({
            "kty": "OKP",
            "crv": "Ed25519",
            "x": base64url(self.key.as_bytes()),
            "kid": self.key_id,
            "use": "sig",
            "alg": "EdDSA",
        })
    }

    /// The key to check signatures with.
    ///
    /// # Panics
    ///
    /// Never: a weak point was refused before.
    #[must_use]
    pub fn verifying_key(&self) -> VerifyingKey {
        VerifyingKey::ed25519(self.key.as_bytes()).expect("a weak point was refused before")
    }

    /// Whether it is the same key, under whatever id.
    pub(crate) fn is_same_key(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

/// The RFC 7638 thumbprint of an Ed25519 public key (RFC 8037 appendix A.3).
fn thumbprint(x: &[u8; 32]) -> String {
    let canonical = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, base64url(x));
    base64url(Sha256::digest(canonical))
}

impl fmt::Debug for Ed25519PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ed25519PublicKey")
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}
