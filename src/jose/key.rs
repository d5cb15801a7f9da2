use std::fmt;

use ed25519_dalek::Signer;
use jsonwebtoken::{
    DecodingKey, EncodingKey,
    crypto::{CryptoProvider, aws_lc},
    signature,
};
use serde::Serialize;

use super::{Algorithm, Ed25519KeyPair, Header, JoseError, base64url};
use crate::secret::Secret;

/// Named here so that another crate in the app that switches on jsonwebtoken's second backend
/// cannot make its default, and with it our first signature, panic.
const PROVIDER: &CryptoProvider = &aws_lc::DEFAULT_PROVIDER;

/// A key that signs.
#[derive(Clone)]
pub struct SigningKey(Signing);

#[derive(Clone)]
enum Signing {
    Hs256(EncodingKey),
    EdDsa(Ed25519KeyPair),
}

impl SigningKey {
    /// An `HS256` key: the UTF-8 bytes of the client secret.
    #[must_use]
    pub fn hs256(secret: &Secret) -> Self {
        Self(Signing::Hs256(EncodingKey::from_secret(
            secret.expose().as_bytes(),
        )))
    }

    /// The algorithm of the signatures this key makes.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        match self.0 {
            Signing::Hs256(_) => Algorithm::Hs256,
            Signing::EdDsa(_) => Algorithm::EdDsa,
        }
    }

    /// The `kid` written into headers; a shared secret has none.
    #[must_use]
    pub fn key_id(&self) -> Option<&str> {
        match &self.0 {
            Signing::Hs256(_) => None,
            Signing::EdDsa(pair) => Some(pair.key_id()),
        }
    }

    /// `claims` as a compact JWS (RFC 7515 section 7.1).
    ///
    /// # Errors
    ///
    /// [`JoseError::Claims`] when `claims` cannot be written as JSON.
    pub fn sign(&self, header: &Header, claims: &impl Serialize) -> Result<String, JoseError> {
        let claims =
            serde_json::to_vec(claims).map_err(|error| JoseError::Claims(error.to_string()))?;
        let header = header.to_json(self.algorithm(), self.key_id());
        let mut token = base64url(header);
        token.push('.');
        token.push_str(&base64url(claims));
        let signature = self.sign_bytes(token.as_bytes())?;
        token.push('.');
        token.push_str(&base64url(signature));
        Ok(token)
    }

    pub(super) fn sign_bytes(&self, message: &[u8]) -> Result<Vec<u8>, JoseError> {
        let unusable = |_| JoseError::Key("the HS256 key cannot be used to sign");
        match &self.0 {
            Signing::Hs256(key) => {
                let alg = jsonwebtoken::Algorithm::HS256;
                let signer = (PROVIDER.signer_factory)(&alg, key)
                    .map_err(|_| unusable(signature::Error::new()))?;
                signature::Signer::try_sign(&*signer, message).map_err(unusable)
            }
            // jsonwebtoken parses the key pair anew for every signature; ours stays parsed.
            Signing::EdDsa(pair) => Ok(pair.dalek().sign(message).to_bytes().to_vec()),
        }
    }
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

/// A key that checks signatures, of one algorithm and no other.
#[derive(Clone)]
pub struct VerifyingKey {
    algorithm: Algorithm,
    key: DecodingKey,
}

impl VerifyingKey {
    /// An `HS256` key: the UTF-8 bytes of the client secret.
    #[must_use]
    pub fn hs256(secret: &Secret) -> Self {
        Self {
            algorithm: Algorithm::Hs256,
            key: DecodingKey::from_secret(secret.expose().as_bytes()),
        }
    }

    /// An Ed25519 public key, the `x` of RFC 8037 section 2.
    ///
    /// # Errors
    ///
    /// [`JoseError::Key`] when the bytes are not a point on the curve, or one of the few weak
    /// points for which anybody can make a signature.
    pub fn ed25519(x: &[u8; 32]) -> Result<Self, JoseError> {
        let key = ed25519_dalek::VerifyingKey::from_bytes(x)
            .map_err(|_| JoseError::Key("not an Ed25519 public key"))?;
        if key.is_weak() {
            return Err(JoseError::Key("a weak Ed25519 public key"));
        }
        Ok(Self {
            algorithm: Algorithm::EdDsa,
            key: DecodingKey::from_ed_der(x),
        })
    }

    /// The one algorithm this key is for.
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
        signature::Verifier::verify(&*verifier, message, &signature.to_vec())
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

#[cfg(test)]
impl VerifyingKey {
    /// An `HS256` key of any bytes, for vectors whose key is not text.
    pub(super) fn hs256_bytes(secret: &[u8]) -> Self {
        Self {
            algorithm: Algorithm::Hs256,
            key: DecodingKey::from_secret(secret),
        }
    }
}
