use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use ed25519_dalek::{
    Signer, SigningKey as DalekKey,
    pkcs8::{EncodePublicKey, spki::der::pem::LineEnding},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{jose::VerifyingKey, secret::random_bytes};

/// The key the emulator signs with.
pub(super) struct ProviderKey {
    key: DalekKey,
    pub(super) key_id: String,
}

impl ProviderKey {
    pub(super) fn generate() -> Self {
        Self {
            key: DalekKey::from_bytes(&random_bytes()),
            key_id: base64url(*random_bytes::<12>()),
        }
    }

    /// A JWS over this header and these claims, whatever they say.
    pub(super) fn sign(&self, header: &Value, claims: &Value) -> String {
        signed_by(header, claims, |message| {
            self.key.sign(message).to_bytes().to_vec()
        })
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

    /// What checks this key's signatures.
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

/// A compact JWS (RFC 7515 section 7.1) with the signature that `sign` makes up.
pub(super) fn signed_by(
    header: &Value,
    claims: &Value,
    sign: impl FnOnce(&[u8]) -> Vec<u8>,
) -> String {
    let message = format!(
        "{}.{}",
        base64url(header.to_string()),
        base64url(claims.to_string())
    );
    let signature = sign(message.as_bytes());
    format!("{message}.{}", base64url(signature))
}

/// HMAC with SHA-256 (RFC 2104). Only lies need it: Oten signs no token this way.
pub(super) fn hmac_sha256(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut block = [0; 64];
    if key.len() > block.len() {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let pad = |byte: u8| block.map(|b| b ^ byte);
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(message);
    let outer = Sha256::new().chain_update(pad(0x5c));
    outer.chain_update(inner.finalize()).finalize().to_vec()
}

pub(super) fn base64url(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231 section 4.3 and 4.7: a short key and one longer than a block.
    #[test]
    fn rfc4231_hmac() {
        let hex = |bytes: Vec<u8>| {
            bytes.iter().fold(String::new(), |mut text, byte| {
                use std::fmt::Write;
                write!(text, "{byte:02x}").unwrap();
                text
            })
        };
        assert_eq!(
            hex(hmac_sha256(b"Jefe", b"what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_eq!(
            hex(hmac_sha256(
                &[0xaa; 131],
                b"Test Using Larger Than Block-Size Key - Hash Key First"
            )),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
    }
}
