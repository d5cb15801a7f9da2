use std::{fmt, sync::Arc};

use aws_lc_rs::signature::Ed25519KeyPair as AwsKeyPair;
use ed25519_dalek::{
    SigningKey as DalekKey, VerifyingKey as DalekPublicKey,
    pkcs8::{EncodePrivateKey, EncodePublicKey, KeypairBytes, spki::der::pem::LineEnding},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::pem::{self, PemError};
use crate::secret::{base64url, random_bytes};

/// An Ed25519 private key, with the ID under which its public key is registered.
///
/// ```
/// use axum_oten::jose::Ed25519KeyPair;
///
/// let pair = Ed25519KeyPair::generate();
/// let read = Ed25519KeyPair::from_pem(&pair.to_pem())?;
/// assert_eq!(read.public_jwk(), pair.public_jwk());
///
/// // A public key is rejected in place of a private key:
/// assert!(Ed25519KeyPair::from_pem(&pair.public_pem()).is_err());
/// # Ok::<_, axum_oten::jose::PemError>(())
/// ```
#[derive(Clone)]
pub struct Ed25519KeyPair {
    key: Arc<DalekKey>,
    /// The same key for signatures, which aws-lc-rs makes in half of the time.
    signer: Arc<AwsKeyPair>,
    public: Ed25519PublicKey,
}

impl Ed25519KeyPair {
    /// Returns a new key from the operating system's random numbers. Its ID is the thumbprint of
    /// RFC 7638.
    ///
    /// # Panics
    ///
    /// Panics if the operating system provides no random numbers.
    #[must_use]
    pub fn generate() -> Self {
        Self::new(DalekKey::from_bytes(&random_bytes()))
    }

    /// Reads a PKCS#8 PEM, the format of `oten keygen ed25519` and `openssl genpkey -algorithm
    /// ed25519`. The ID is the thumbprint of RFC 7638.
    ///
    /// # Errors
    ///
    /// [`PemError`] when the text is not an Ed25519 private key.
    pub fn from_pem(pem: &str) -> Result<Self, PemError> {
        pem::private_key(pem).map(Self::new)
    }

    fn new(key: DalekKey) -> Self {
        let public = key.verifying_key();
        let signer = AwsKeyPair::from_seed_and_public_key(key.as_bytes(), public.as_bytes())
            .expect("both libraries derive the same public key");
        Self {
            key: Arc::new(key),
            signer: Arc::new(signer),
            public: Ed25519PublicKey::new(public),
        }
    }

    /// Replaces the ID, for a provider that assigns its own.
    #[must_use]
    pub fn with_key_id(mut self, key_id: impl Into<String>) -> Self {
        self.public = self.public.with_key_id(key_id);
        self
    }

    /// The `kid`. Defaults to the thumbprint of the public key (RFC 7638).
    #[must_use]
    pub fn key_id(&self) -> &str {
        self.public.key_id()
    }

    /// Returns the private key as PKCS#8 PEM.
    #[must_use]
    #[expect(
        clippy::missing_panics_doc,
        reason = "32 bytes always have a PKCS#8 form"
    )]
    pub fn to_pem(&self) -> Zeroizing<String> {
        // Version 1, without the public key, is the version that OpenSSL writes and all tools read.
        let bytes = KeypairBytes {
            secret_key: self.key.to_bytes(),
            public_key: None,
        };
        bytes
            .to_pkcs8_pem(LineEnding::LF)
            .expect("32 bytes always have a PKCS#8 form")
    }

    /// Returns the public key, with the same ID.
    #[must_use]
    pub fn public_key(&self) -> Ed25519PublicKey {
        self.public.clone()
    }

    /// Returns the public key as PEM, the format for Oten's developer portal.
    #[must_use]
    pub fn public_pem(&self) -> String {
        self.public.to_pem()
    }

    /// Returns the public key as a JWK (RFC 8037 section 2) with `kid`, `use` and `alg`.
    #[must_use]
    pub fn public_jwk(&self) -> Value {
        self.public.to_jwk()
    }

    pub(super) fn signer(&self) -> &AwsKeyPair {
        &self.signer
    }
}

impl fmt::Debug for Ed25519KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ed25519KeyPair")
            .field("key_id", &self.key_id())
            .finish_non_exhaustive()
    }
}

/// An Ed25519 public key, with the ID under which it is published.
///
/// ```
/// use axum_oten::jose::{Ed25519KeyPair, Ed25519PublicKey, PemError};
///
/// let pair = Ed25519KeyPair::generate();
/// let public = Ed25519PublicKey::from_pem(&pair.public_pem())?;
/// assert_eq!(public.to_jwk(), pair.public_jwk());
///
/// // A private key is rejected in place of a key that will be published:
/// assert_eq!(Ed25519PublicKey::from_pem(&pair.to_pem()).unwrap_err(), PemError::PrivateKey);
/// # Ok::<_, PemError>(())
/// ```
#[derive(Clone)]
pub struct Ed25519PublicKey {
    key: Arc<DalekPublicKey>,
    key_id: String,
}

impl Ed25519PublicKey {
    /// Reads a `SubjectPublicKeyInfo` PEM, the format of `oten keygen ed25519`. The ID is the
    /// thumbprint of RFC 7638.
    ///
    /// # Errors
    ///
    /// [`PemError`] when the text is not an Ed25519 public key.
    pub fn from_pem(pem: &str) -> Result<Self, PemError> {
        pem::public_key(pem).map(Self::new)
    }

    fn new(key: DalekPublicKey) -> Self {
        // The thumbprint of RFC 7638, for Ed25519 as in RFC 8037 appendix A.3.
        let x = base64url(key.as_bytes());
        let canonical = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
        Self {
            key_id: base64url(Sha256::digest(canonical)),
            key: Arc::new(key),
        }
    }

    /// Replaces the ID, for a provider that assigns its own.
    #[must_use]
    pub fn with_key_id(mut self, key_id: impl Into<String>) -> Self {
        self.key_id = key_id.into();
        self
    }

    /// The `kid`. Defaults to the thumbprint of RFC 7638.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// Returns the key as PEM, the format for Oten's developer portal.
    #[must_use]
    #[expect(
        clippy::missing_panics_doc,
        reason = "a public key always has a PEM form"
    )]
    pub fn to_pem(&self) -> String {
        self.key
            .to_public_key_pem(LineEnding::LF)
            .expect("a public key always has a PEM form")
    }

    /// Returns the key as a JWK (RFC 8037 section 2) with `kid`, `use` and `alg`.
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

    pub(super) fn as_bytes(&self) -> &[u8; 32] {
        self.key.as_bytes()
    }

    /// Whether the keys are equal, whatever their IDs.
    pub(crate) fn is_same_key(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl fmt::Debug for Ed25519PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ed25519PublicKey")
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::Signer;
    use serde_json::json;

    use super::*;
    use crate::{
        jose::{Algorithm, CompactJws, Header, SigningKey, Verified},
        secret::{from_base64url, hex},
    };

    fn unhex(digits: &str) -> Vec<u8> {
        let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
        (0..digits.len()).step_by(2).map(byte).collect()
    }

    /// RFC 8037 appendix A.1: the private key `d`.
    const RFC8037_D: &str = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";

    fn rfc8037() -> Ed25519KeyPair {
        let d = from_base64url(RFC8037_D).unwrap();
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

    fn signature(pair: Ed25519KeyPair, message: &[u8]) -> Vec<u8> {
        let signature = SigningKey::from(pair).signature(message).unwrap();
        from_base64url(&signature).unwrap()
    }

    /// RFC 8032 section 7.1, tests 1 to 3 and SHA(abc).
    #[test]
    fn rfc8032_signatures() {
        for (seed, message, expected) in [
            (
                "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
                "",
                "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bac\
                 c61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
            ),
            (
                "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
                "72",
                "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e\
                 458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
            ),
            (
                "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
                "af82",
                "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290\
                 ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
            ),
            (
                "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
                "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a8\
                 36ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
                "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ec\
                 fdfbc7c66431e0303dca179c138ac17ad9bef1177331a704",
            ),
        ] {
            let pair = Ed25519KeyPair::new(DalekKey::from_bytes(&unhex(seed).try_into().unwrap()));
            assert_eq!(hex(&signature(pair, &unhex(message))), expected);
        }
    }

    #[test]
    fn both_libraries_make_the_same_signature() {
        for length in [0, 1, 64, 127, 128, 1000] {
            let (pair, message) = (Ed25519KeyPair::generate(), vec![b'x'; length]);
            let expected = pair.key.sign(&message).to_bytes();
            assert_eq!(signature(pair, &message), expected, "{length} bytes");
        }
    }

    #[test]
    fn rfc8037_a4_signature() {
        let message = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
        let signature = signature(rfc8037(), message.as_bytes());
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
    fn openssl_pkcs8_pem_survives_a_round_trip() {
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
            .verify(&pair.verifying_key(), &[Algorithm::EdDsa])
            .unwrap();
    }
}
