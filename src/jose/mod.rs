//! Signed JSON: a closed list of algorithms, keys, compact JWS, JWK sets (RFC 7515, 7517, 7518,
//! 8037).
//!
//! Two algorithms exist here and no others: `HS256` for request objects signed with the client
//! secret, and `EdDSA` over Ed25519 (also written `Ed25519`, RFC 9864) for everything Oten signs.
//! Claims leave this module only as [`Verified`], and only
//! [`CompactJws::verify`] makes one.
//!
//! ```
//! use axum_oten::jose::{Algorithm, CompactJws, Ed25519KeyPair, Header, SigningKey};
//! use serde_json::{Value, json};
//!
//! let pair = Ed25519KeyPair::generate();
//! let key = SigningKey::from(pair.clone());
//! let token = key.sign(&Header::new("JWT"), &json!({"sub": "alice"}))?;
//!
//! // The right key and an allowed algorithm: the claims come out.
//! let allowed = [Algorithm::EdDsa];
//! let verified = CompactJws::parse(&token)?.verify::<Value>(&pair.verifying_key(), &allowed)?;
//! assert_eq!(verified.claims()["sub"], "alice");
//!
//! // Another key: nothing comes out.
//! let other = Ed25519KeyPair::generate().verifying_key();
//! assert!(CompactJws::parse(&token)?.verify::<Value>(&other, &allowed).is_err());
//! # Ok::<_, axum_oten::jose::JoseError>(())
//! ```

mod algorithm;
mod error;
mod header;
mod jwk;
mod key;
mod key_pair;
mod pem;
mod public_key;
mod verify;

pub use self::{
    algorithm::Algorithm,
    error::JoseError,
    header::Header,
    jwk::{Jwk, JwkSet},
    key::{SigningKey, VerifyingKey},
    key_pair::Ed25519KeyPair,
    pem::PemError,
    public_key::Ed25519PublicKey,
    verify::{CompactJws, Verified},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

/// `BASE64URL(octets)` of RFC 7515 section 2.
fn base64url(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// The inverse of [`base64url`]; padding and stray bits are refused.
fn from_base64url(text: &str) -> Option<Vec<u8>> {
    BASE64_URL_SAFE_NO_PAD.decode(text).ok()
}
