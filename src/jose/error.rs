/// Why a JWS was not made or not believed. No variant carries a value from the token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JoseError {
    /// The text is not a compact JWS (RFC 7515 section 3.1).
    #[error("not a compact JWS: {0}")]
    Malformed(&'static str),
    /// The header says `alg: none`.
    #[error("the token is not signed (`alg` is `none`)")]
    Unsigned,
    /// The header's `alg` is not on the caller's list, or nobody knows it.
    #[error("the token's `alg` is not allowed here")]
    AlgorithmNotAllowed,
    /// The header carries a parameter that would let the token choose its own key or rules.
    #[error("the token's header must not carry `{0}`")]
    HeaderNotAllowed(&'static str),
    /// The key is of another kind than the header's `alg`.
    #[error("the key does not fit the token's `alg`")]
    KeyMismatch,
    /// The signature does not hold.
    #[error("the token's signature does not hold")]
    BadSignature,
    /// The claims are signed but not of the expected shape.
    #[error("the token's claims have an unexpected shape: {0}")]
    Claims(String),
    /// The key cannot be read.
    #[error("{0}")]
    Key(&'static str),
}
