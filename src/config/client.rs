use std::fmt;

use crate::{
    jose::{Ed25519KeyPair, Ed25519PublicKey},
    secret::Secret,
};

/// The client as it is registered with Oten.
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) id: String,
    pub(crate) kind: ClientType,
    /// Empty unless requests are signed with an Ed25519 key.
    pub(crate) published_keys: Vec<Ed25519PublicKey>,
}

impl Client {
    /// The `client_id`.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether the client can keep a secret, and how it signs its requests if so.
    #[must_use]
    pub fn kind(&self) -> &ClientType {
        &self.kind
    }

    /// The keys that the client's signatures may be checked with: first the public half of the one
    /// that signs, then those that will sign or have signed. Empty unless requests are signed with
    /// an Ed25519 key.
    ///
    /// [`Oten::jwks_route`](crate::Oten::jwks_route) publishes them.
    #[must_use]
    pub fn published_keys(&self) -> &[Ed25519PublicKey] {
        &self.published_keys
    }
}

/// The client types of RFC 6749 section 2.1.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ClientType {
    /// Has a secret, sends it with `client_secret_post`, and signs its authorization requests.
    #[non_exhaustive]
    Confidential {
        /// The `client_secret`.
        secret: Secret,
        /// How authorization requests are signed.
        jar: Jar,
    },
    /// Has no secret, sends plain parameters with PKCE.
    Public,
}

/// How a confidential client signs its authorization requests (RFC 9101).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Jar {
    /// With the client secret.
    Hs256,
    /// With an Ed25519 key whose public half is registered with Oten.
    EdDsa(Ed25519KeyPair),
    /// Not at all: for a legacy client for which Oten's support switched the requirement off.
    Off,
}

impl fmt::Display for Jar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hs256 => "HS256",
            Self::EdDsa(_) => "EdDSA",
            Self::Off => "off",
        })
    }
}
