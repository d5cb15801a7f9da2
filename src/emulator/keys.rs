use aws_lc_rs::{
    encoding::AsDer,
    hmac,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256,
        RsaKeyPair,
    },
};
use ed25519_dalek::{
    Signer, SigningKey,
    pkcs8::{
        EncodePublicKey,
        spki::der::pem::{LineEnding, encode_string},
    },
};
use serde_json::{Map, Value, json};

use crate::{
    jose::{Algorithm, VerifyingKey},
    secret::{base64url, random_bytes},
};

/// Where the DER form of an RSA public key of 2048 bits (RFC 8017 appendix A.1.1) has its modulus. The
/// exponent is 65537.
const MODULUS: std::ops::Range<usize> = 9..265;

/// A signing key of the provider.
pub(super) struct ProviderKey {
    key: PrivateKey,
    pub(super) key_id: String,
}

enum PrivateKey {
    Ed25519(SigningKey),
    /// For one of the two algorithms.
    Rsa(Algorithm, RsaKeyPair),
    P256(EcdsaKeyPair),
}

impl ProviderKey {
    pub(super) fn generate(algorithm: Algorithm) -> Self {
        const EXPECT: &str = "the operating system provides random numbers";
        let key = match algorithm {
            Algorithm::Rs256 | Algorithm::Ps256 => PrivateKey::Rsa(
                algorithm,
                RsaKeyPair::generate(KeySize::Rsa2048).expect(EXPECT),
            ),
            Algorithm::Es256 => PrivateKey::P256(
                EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect(EXPECT),
            ),
            _ => PrivateKey::Ed25519(SigningKey::from_bytes(&random_bytes())),
        };
        Self {
            key,
            key_id: base64url(*random_bytes::<12>()),
        }
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        match &self.key {
            PrivateKey::Ed25519(_) => Algorithm::EdDsa,
            PrivateKey::Rsa(algorithm, _) => *algorithm,
            PrivateKey::P256(_) => Algorithm::Es256,
        }
    }

    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        const EXPECT: &str = "a generated key signs";
        let random = SystemRandom::new();
        match &self.key {
            PrivateKey::Ed25519(key) => key.sign(message).to_bytes().to_vec(),
            PrivateKey::Rsa(algorithm, key) => {
                let padding = match algorithm {
                    Algorithm::Ps256 => &RSA_PSS_SHA256,
                    _ => &RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(padding, &random, message, &mut signature)
                    .expect(EXPECT);
                signature
            }
            PrivateKey::P256(key) => key.sign(&random, message).expect(EXPECT).as_ref().to_vec(),
        }
    }

    pub(super) fn public_jwk(&self, algorithm_name: &str) -> Value {
        let mut jwk = match &self.key {
            PrivateKey::Ed25519(key) => json!({
                "kty": "OKP",
                "crv": "Ed25519",
                "x": base64url(key.verifying_key().as_bytes()),
            }),
            PrivateKey::Rsa(_, key) => json!({
                "kty": "RSA",
                "n": base64url(&key.public_key().as_ref()[MODULUS]),
                "e": "AQAB",
            }),
            PrivateKey::P256(key) => {
                let (x, y) = key.public_key().as_ref()[1..].split_at(32);
                json!({ "kty": "EC", "crv": "P-256", "x": base64url(x), "y": base64url(y) })
            }
        };
        jwk["kid"] = json!(self.key_id);
        jwk["use"] = json!("sig");
        jwk["alg"] = json!(algorithm_name);
        jwk
    }

    pub(super) fn verifying_key(&self) -> VerifyingKey {
        let key = match &self.key {
            PrivateKey::Ed25519(key) => VerifyingKey::ed25519(key.verifying_key().as_bytes()),
            PrivateKey::Rsa(algorithm, key) => {
                VerifyingKey::rsa(*algorithm, &key.public_key().as_ref()[MODULUS], &[1, 0, 1])
            }
            PrivateKey::P256(key) => {
                let (x, y) = key.public_key().as_ref()[1..].split_at(32);
                let [x, y] = [x, y].map(|half| half.try_into().expect("half of 64 bytes"));
                VerifyingKey::es256(x, y)
            }
        };
        key.expect("a generated key is usable")
    }

    pub(super) fn public_pem(&self) -> String {
        const EXPECT: &str = "a public key always has a PEM form";
        let pem = |der: &[u8]| encode_string("PUBLIC KEY", LineEnding::LF, der).expect(EXPECT);
        match &self.key {
            PrivateKey::Ed25519(key) => {
                let public = key.verifying_key();
                public.to_public_key_pem(LineEnding::LF).expect(EXPECT)
            }
            PrivateKey::Rsa(_, key) => {
                let der: aws_lc_rs::encoding::PublicKeyX509Der<'_> =
                    key.public_key().as_der().expect(EXPECT);
                pem(der.as_ref())
            }
            PrivateKey::P256(key) => {
                let der: aws_lc_rs::encoding::PublicKeyX509Der<'_> =
                    key.public_key().as_der().expect(EXPECT);
                pem(der.as_ref())
            }
        }
    }
}

/// Builds a compact JWS (RFC 7515 section 7.1) whose signature is what `sign` returns.
pub(super) fn jws(
    header: &Map<String, Value>,
    claims: &Map<String, Value>,
    sign: impl FnOnce(&[u8]) -> Vec<u8>,
) -> String {
    let [header, claims] =
        [header, claims].map(|part| base64url(Value::Object(part.clone()).to_string()));
    let message = format!("{header}.{claims}");
    let signature = base64url(sign(message.as_bytes()));
    format!("{message}.{signature}")
}

/// HMAC with SHA-256 (RFC 2104), which Oten never signs with; only deviations need it.
pub(super) fn hmac_sha256(key: &[u8], message: &[u8]) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::sign(&key, message).as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::hex;

    /// RFC 4231 section 4.3 and 4.7: a short key and one longer than a block.
    #[test]
    fn rfc4231_hmac() {
        assert_eq!(
            hex(&hmac_sha256(b"Jefe", b"what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_eq!(
            hex(&hmac_sha256(
                &[0xaa; 131],
                b"Test Using Larger Than Block-Size Key - Hash Key First"
            )),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
        assert_eq!(hmac_sha256(b"", b"an empty key").len(), 32);
    }
}
