use std::{fmt, ops::RangeInclusive, sync::Arc};

use aws_lc_rs::{
    hmac,
    signature::{ECDSA_P256_SHA256_FIXED, ParsedPublicKey},
};
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

/// The lengths of RSA moduli in bits. The minimum is that of RFC 7518 section 3.3; the maximum limits the
/// time of a verification.
const RSA_BITS: RangeInclusive<usize> = 2048..=8192;

/// The lengths of RSA exponents in bits: an odd one of 17 bits is at least 65537.
const RSA_EXPONENT_BITS: RangeInclusive<usize> = 17..=32;

/// The first byte of a point with both of its coordinates (SEC 1 section 2.3.3).
const UNCOMPRESSED: u8 = 4;

/// The supported signature algorithms. The list is closed, and `none` is not on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// HMAC with SHA-256 (RFC 7518 section 3.2).
    Hs256,
    /// Ed25519, named `EdDSA` by RFC 8037 and `Ed25519` by RFC 9864.
    EdDsa,
    /// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 7518 section 3.3). Verified, never signed with.
    Rs256,
    /// RSASSA-PSS with SHA-256 (RFC 7518 section 3.5). Verified, never signed with.
    Ps256,
    /// ECDSA over P-256 with SHA-256 (RFC 7518 section 3.4). Verified, never signed with.
    Es256,
}

impl Algorithm {
    /// Returns the algorithm of a header's `alg`, under any of its names.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "HS256" => Some(Self::Hs256),
            "EdDSA" | "Ed25519" => Some(Self::EdDsa),
            "RS256" => Some(Self::Rs256),
            "PS256" => Some(Self::Ps256),
            "ES256" => Some(Self::Es256),
            _ => None,
        }
    }

    /// The name in the headers of this crate's signatures, and in settings.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::EdDsa => "EdDSA",
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
            Self::Es256 => "ES256",
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

    /// Returns the key of an RSA public key, the `n` and `e` of RFC 7518 section 6.3.1, for `RS256` or
    /// `PS256`.
    ///
    /// Leading zeros are ignored, because some programs add one.
    ///
    /// # Errors
    ///
    /// [`JoseError::Key`] when the modulus has less than 2048 bits (RFC 7518 section 3.3) or more than
    /// 8192, the exponent is not from 65537 to 2^32 (FIPS 186-5 section 5.1 has this minimum), one of them
    /// is even, or the algorithm is another one.
    pub fn rsa(algorithm: Algorithm, n: &[u8], e: &[u8]) -> Result<Self, JoseError> {
        if !matches!(algorithm, Algorithm::Rs256 | Algorithm::Ps256) {
            return Err(JoseError::KeyMismatch);
        }
        let [n, e] = [n, e].map(without_leading_zeros);
        if !RSA_BITS.contains(&bits(n)) || n.last().is_none_or(|byte| byte % 2 == 0) {
            return Err(JoseError::Key("its RSA modulus is too small or too large"));
        }
        if !RSA_EXPONENT_BITS.contains(&bits(e)) || e.last().is_none_or(|byte| byte % 2 == 0) {
            return Err(JoseError::Key("its RSA exponent is too small or too large"));
        }
        Ok(Self {
            algorithm,
            key: DecodingKey::from_rsa_raw_components(n, e),
        })
    }

    /// Returns the key of a public key on P-256, the `x` and `y` of RFC 7518 section 6.2.1.
    ///
    /// # Errors
    ///
    /// [`JoseError::Key`] when they are not the coordinates of a point on the curve.
    pub fn es256(x: &[u8; 32], y: &[u8; 32]) -> Result<Self, JoseError> {
        let point = [&[UNCOMPRESSED], &x[..], &y[..]].concat();
        ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &point)
            .map_err(|_| JoseError::Key("it is not a public key on P-256"))?;
        Ok(Self {
            algorithm: Algorithm::Es256,
            key: DecodingKey::from_ec_der(&point),
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
            Algorithm::Rs256 => jsonwebtoken::Algorithm::RS256,
            Algorithm::Ps256 => jsonwebtoken::Algorithm::PS256,
            Algorithm::Es256 => jsonwebtoken::Algorithm::ES256,
        };
        let verifier =
            (PROVIDER.verifier_factory)(&alg, &self.key).map_err(|_| JoseError::KeyMismatch)?;
        verifier
            .verify(message, &signature.to_vec())
            .map_err(|_| JoseError::BadSignature)
    }
}

/// Ignores the zeros at the start of a big-endian number.
pub(super) fn without_leading_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

/// Returns the length of a big-endian number without leading zeros, in bits.
fn bits(number: &[u8]) -> usize {
    let unused = number.first().map_or(0, |byte| byte.leading_zeros());
    number.len() * 8 - usize::try_from(unused).unwrap_or_default()
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
