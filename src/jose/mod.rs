//! Ed25519 keys for request objects, and signed JSON: a closed list of algorithms, compact JWS, JWK
//! sets (RFC 7515, 7517, 7518, 8037).
//!
//! The algorithms are `HS256`, for request objects signed with the client secret, and `EdDSA` over
//! Ed25519 (`Ed25519` in RFC 9864), for everything that Oten signs. Tokens of other providers may be
//! signed with `RS256`, `PS256` and `ES256`, if the configuration allows it.
//!
//! ```
//! use axum_oten::jose::{Ed25519KeyPair, Ed25519PublicKey, Header, PemError, SigningKey};
//!
//! let pair = Ed25519KeyPair::generate();
//! let token = SigningKey::from(pair.clone())
//!     .sign(&Header::new("JWT"), &serde_json::json!({ "sub": "alice" }))?;
//! assert_eq!(token.split('.').count(), 3);
//!
//! // The public key is registered with Oten, the private key is rejected in its place:
//! assert!(Ed25519PublicKey::from_pem(&pair.public_pem()).is_ok());
//! assert_eq!(Ed25519PublicKey::from_pem(&pair.to_pem()).unwrap_err(), PemError::PrivateKey);
//! # Ok::<_, axum_oten::jose::JoseError>(())
//! ```

mod ed25519;
mod error;
mod jwk;
mod jws;
mod key;
mod pem;

pub use self::{
    ed25519::{Ed25519KeyPair, Ed25519PublicKey},
    error::JoseError,
    jws::Header,
    key::SigningKey,
    pem::PemError,
};

pub(crate) use self::jws::comparable_typ;

// For the emulator, `oten check` and their tests; not part of the documented API.
#[doc(hidden)]
pub use self::{
    jwk::{Jwk, JwkSet},
    jws::{CompactJws, Verified},
    key::{Algorithm, VerifyingKey},
};
