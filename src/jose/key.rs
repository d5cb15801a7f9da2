use std::{fmt, sync::Arc};

use aws_lc_rs::hmac;
use jsonwebtoken::{
    DecodingKey,
    crypto::{CryptoProvider, aws_lc},
};

use super::{
    ed25519::{Ed25519KeyPair, Ed25519PublicKey},
    error::JoseError,
};
use crate::secret::{Secret, base64url};

/// Named instead of installed as the default: jsonwebtoken's default panics if another crate of the
/// app enables its second backend.
const PROVIDER: &CryptoProvider = &aws_lc::DEFAULT_PROVIDER;

/// The supported signature algorithms. The list is closed, and `none` is not on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// HMAC with SHA-256 (RFC 7518 section 3.2).
    Hs256,
    /// Ed25519, named `EdDSA` by RFC 8037 and `Ed25519` by RFC 9864.
    EdDsa,
}

impl Algorithm {
    /// Returns the algorithm of a header's `alg`, under any of its names.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "HS256" => Some(Self::Hs256),
            "EdDSA" | "Ed25519" => Some(Self::EdDsa),
            _ => None,
        }
    }

    /// The name in the headers of this crate's signatures.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::EdDsa => "EdDSA",
        }
    }
}

/// A key that signs: the client secret or an Ed25519 key pair.
#[derive(Clone)]
pub struct SigningKey(Signing);

#[derive(Clone)]
enum Signing {
    Hs256(Arc<hmac::Key>),
    EdDsa(Ed25519KeyPair),
}

impl SigningKey {
    /// Returns the `HS256` key of a client secret: its UTF-8 bytes.
    #[must_use]
    pub fn hs256(secret: &Secret) -> Self {
        Self(Signing::Hs256(hmac_key(secret.expose().as_bytes())))
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        match self.0 {
            Signing::Hs256(_) => Algorithm::Hs256,
            Signing::EdDsa(_) => Algorithm::EdDsa,
        }
    }

    /// The `kid` in headers; a client secret has none.
    pub(super) fn key_id(&self) -> Option<&str> {
        match &self.0 {
            Signing::Hs256(_) => None,
            Signing::EdDsa(pair) => Some(pair.key_id()),
        }
    }

    /// Returns the signature of `message` in base64url.
    pub(super) fn signature(&self, message: &[u8]) -> Result<String, JoseError> {
        match &self.0 {
            Signing::Hs256(key) => Ok(base64url(hmac::sign(key, message))),
            Signing::EdDsa(pair) => {
                let signature = pair.signer().try_sign(message);
                let failed = |_| JoseError::Key("Ed25519 signing failed");
                signature.map(base64url).map_err(failed)
            }
        }
    }
}

fn hmac_key(secret: &[u8]) -> Arc<hmac::Key> {
    Arc::new(hmac::Key::new(hmac::HMAC_SHA256, secret))
}

impl From<Ed25519KeyPair> for SigningKey {
    fn from(pair: Ed25519KeyPair) -> Self {
        Self(Signing::EdDsa(pair))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("algorithm", &self.algorithm())
            .field("key_id", &self.key_id())
            .finish_non_exhaustive()
    }
}

/// A key that verifies signatures of exactly one algorithm.
#[derive(Clone)]
pub struct VerifyingKey {
    algorithm: Algorithm,
    key: DecodingKey,
}

impl VerifyingKey {
    /// Returns the `HS256` key of a client secret: its UTF-8 bytes.
    #[must_use]
    pub fn hs256(secret: &Secret) -> Self {
        Self {
            algorithm: Algorithm::Hs256,
            key: DecodingKey::from_secret(secret.expose().as_bytes()),
        }
    }

    /// Returns the key of an Ed25519 public key, the `x` of RFC 8037 section 2.
    ///
    /// # Errors
    ///
    /// [`JoseError::Key`] when the bytes are not a point on the curve, or one of the few weak points
    /// for which signatures can be forged.
    pub fn ed25519(x: &[u8; 32]) -> Result<Self, JoseError> {
        let key = ed25519_dalek::VerifyingKey::from_bytes(x)
            .map_err(|_| JoseError::Key("it is not an Ed25519 public key"))?;
        if key.is_weak() {
            return Err(JoseError::Key("it is a weak Ed25519 public key"));
        }
        Ok(Self {
            algorithm: Algorithm::EdDsa,
            key: DecodingKey::from_ed_der(x),
        })
    }

    /// The algorithm of this key.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub(super) fn verify_bytes(&self, message: &[u8], signature: &[u8]) -> Result<(), JoseError> {
        let alg = match self.algorithm {
            Algorithm::Hs256 => jsonwebtoken::Algorithm::HS256,
            Algorithm::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        };
        let verifier =
            (PROVIDER.verifier_factory)(&alg, &self.key).map_err(|_| JoseError::KeyMismatch)?;
        verifier
            .verify(message, &signature.to_vec())
            .map_err(|_| JoseError::BadSignature)
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyingKey")
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

impl Ed25519PublicKey {
    /// Returns the key that verifies signatures.
    #[doc(hidden)]
    #[must_use]
    pub fn verifying_key(&self) -> VerifyingKey {
        VerifyingKey::ed25519(self.as_bytes()).expect("a weak key is rejected when it is read")
    }
}

impl Ed25519KeyPair {
    /// Returns the key that verifies this pair's signatures.
    #[doc(hidden)]
    #[must_use]
    pub fn verifying_key(&self) -> VerifyingKey {
        self.public_key().verifying_key()
    }
}

#[cfg(test)]
mod vectors;
