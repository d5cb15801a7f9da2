use clap::ValueEnum;

/// The ways a client can be registered, each with a ready configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ClientKind {
    /// Confidential; signs its requests with its secret
    #[default]
    Hs256,
    /// Confidential; signs its requests with an Ed25519 key
    Eddsa,
    /// Public; has no secret and signs nothing
    Public,
}

impl ClientKind {
    /// The ready configuration.
    pub(crate) fn toml(self) -> &'static str {
        match self {
            Self::Hs256 => include_str!("../../../config/demo.toml"),
            Self::Eddsa => include_str!("../../../config/demo-eddsa.toml"),
            Self::Public => include_str!("../../../config/demo-public.toml"),
        }
    }

    /// In words, for the one who started the demo.
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::Hs256 => "confidential, requests signed with its secret (HS256)",
            Self::Eddsa => "confidential, requests signed with its Ed25519 key (EdDSA)",
            Self::Public => "public, with PKCE and without a secret",
        }
    }
}
