use serde_json::Value;

/// Something untrue that the emulator says until [`clear_deviations`](super::Emulator::clear_deviations).
///
/// Several lies can be told at once; where two contradict each other, the later one counts. The
/// first seven, about signatures and keys, are told of logout tokens too; for their claims and
/// headers there is [`logout_token_with`](super::Emulator::logout_token_with).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Deviation {
    /// ID tokens with a signature that does not hold.
    BadSignature,
    /// ID tokens with `alg: none` and no signature.
    AlgNone,
    /// ID tokens signed with `HS256` and the client secret; a public client's is empty.
    Hs256WithClientSecret,
    /// ID tokens signed with `HS256` and the PEM text of the provider's public key.
    Hs256WithPublicKey,
    /// ID tokens signed with a key that is never published, under a `kid` of its own.
    UnknownKey,
    /// ID tokens signed with a key that is never published but carried in the header's `jwk`.
    EmbeddedKey,
    /// ID tokens without `kid`, otherwise true.
    NoKeyId,
    /// A parameter set in the header of ID tokens: `crit`, `jku`, `x5u`, `typ`, and so on. The
    /// signature holds.
    Header(&'static str, Value),
    /// A claim set in ID tokens. The signature holds.
    Claim(&'static str, Value),
    /// A claim left out of ID tokens. The signature holds.
    WithoutClaim(&'static str),
    /// The access token in the place of the ID token.
    AccessTokenAsIdToken,
    /// No ID token in the token answer.
    NoIdToken,
    /// A field set in successful token answers: `token_type`, `expires_in`, and so on.
    TokenField(&'static str, Value),
    /// A field left out of successful token answers.
    WithoutTokenField(&'static str),
    /// A claim set in userinfo answers.
    UserinfoClaim(&'static str, Value),
    /// The discovery document of another issuer.
    IssuerMismatch,
    /// Endpoints in the discovery document that are `http` on a host elsewhere.
    InsecureEndpoints,
    /// A field set in the discovery document.
    DiscoveryField(&'static str, Value),
    /// A field left out of the discovery document.
    WithoutDiscoveryField(&'static str),
    /// A key set without keys.
    NoKeys,
}
