use aws_lc_rs::hmac;
use ed25519_dalek::{
    Signer, SigningKey,
    pkcs8::{EncodePublicKey, spki::der::pem::LineEnding},
};
use serde_json::{Map, Value, json};

use crate::{
    jose::VerifyingKey,
    secret::{base64url, random_bytes},
};

/// An Ed25519 key of the provider.
pub(super) struct ProviderKey {
    key: SigningKey,
    pub(super) key_id: String,
}

impl ProviderKey {
    pub(super) fn generate() -> Self {
        Self {
            key: SigningKey::from_bytes(&random_bytes()),
            key_id: base64url(*random_bytes::<12>()),
        }
    }

    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.key.sign(message).to_bytes().to_vec()
    }

    pub(super) fn public_jwk(&self, algorithm_name: &str) -> Value {
        json!({
            "kty": "OKP",
            "crv": "Ed25519",
            "x": base64url(self.key.verifying_key().as_bytes()),
            "kid": self.key_id,
            "use": "sig",
            "alg": algorithm_name,
        })
    }

    pub(super) fn verifying_key(&self) -> VerifyingKey {
        VerifyingKey::ed25519(self.key.verifying_key().as_bytes())
            .expect("a generated key is on the curve and not weak")
    }

    pub(super) fn public_pem(&self) -> String {
        self.key
            .verifying_key()
            .to_public_key_pem(LineEnding::LF)
            .expect("a public key always has a PEM form")
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
