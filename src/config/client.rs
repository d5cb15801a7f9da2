use std::fmt;

use crate::{
    jose::{Ed25519KeyPair, Ed25519PublicKey},
    secret::Secret,
};

/// The client as registered with Oten.
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) id: String,
    pub(crate) kind: ClientType,
    pub(crate) published_keys: Vec<Ed25519PublicKey>,
    pub(crate) trusted_audiences: Vec<String>,
}

impl Client {
    /// The `client_id`.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether the client has a secret, and how it signs its requests.
    #[must_use]
    pub fn client_type(&self) -> &ClientType {
        &self.kind
    }

    /// The audiences that an ID token may name beside the client. Empty for Oten.
    #[must_use]
    pub fn trusted_audiences(&self) -> &[String] {
        &self.trusted_audiences
    }

    /// The public keys that verify the client's signatures: first that of the signing key, then
    /// those of earlier and later signing keys. Empty unless requests are signed with an Ed25519
    /// key.
    ///
    /// [`Oten::jwks_route`](crate::Oten::jwks_route) publishes them.
    #[must_use]
    pub fn published_keys(&self) -> &[Ed25519PublicKey] {
        &self.published_keys
    }
}

/// A client type (RFC 6749 section 2.1).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ClientType {
    /// Authenticates with a secret, and signs its authorization requests unless `jar` is [`Jar::Off`].
    #[non_exhaustive]
    Confidential {
        /// The `client_secret`.
        secret: Secret,
        /// How the secret is sent.
        auth_method: AuthMethod,
        /// How authorization requests are signed.
        jar: Jar,
    },
    /// Has no secret and sends plain authorization requests with PKCE.
    Public,
}

/// How a confidential client sends its secret to the provider (RFC 6749 section 2.3.1, OpenID Connect Core
/// section 9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuthMethod {
    /// In the form, as Oten requires.
    #[default]
    ClientSecretPost,
    /// In the header `Authorization`.
    ClientSecretBasic,
}

impl AuthMethod {
    pub(super) const ALL: [Self; 2] = [Self::ClientSecretPost, Self::ClientSecretBasic];

    /// The name in the provider's metadata and in settings.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ClientSecretPost => "client_secret_post",
            Self::ClientSecretBasic => "client_secret_basic",
        }
    }
}

/// How a confidential client signs its authorization requests (RFC 9101).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Jar {
    /// With the client secret.
    Hs256,
    /// With an Ed25519 key whose public half is registered with Oten.
    EdDsa(Ed25519KeyPair),
    /// Unsigned, for another provider or for a legacy client that Oten's support exempted from signing.
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
