/// Error returned when a JWS cannot be signed or is rejected, or a key cannot be used.
///
/// No variant contains a value from the token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JoseError {
    /// The text is not a compact JWS (RFC 7515 section 7.1).
    #[error("the token is not a compact JWS: {0}")]
    Malformed(&'static str),
    /// The header's `alg` is `none` (RFC 7518 section 3.6).
    #[error("the token is not signed (`alg` is `none`)")]
    Unsigned,
    /// The header's `alg` is not one that the caller allows (RFC 8725 section 3.1).
    #[error("the token's `alg` is not allowed here")]
    AlgorithmNotAllowed,
    /// The header has a parameter by which the token would choose its own key (RFC 8725 section
    /// 3.10) or an unknown rule (`crit`, RFC 7515 section 4.1.11).
    #[error("the token's header must not have `{0}`")]
    HeaderNotAllowed(&'static str),
    /// The key is for another algorithm than the header's `alg` (RFC 8725 section 3.1).
    #[error("the key is for another algorithm than the token's `alg`")]
    KeyMismatch,
    /// The signature is not the key's (RFC 7515 section 5.2).
    #[error("the token's signature is invalid")]
    BadSignature,
    /// The claims cannot be read from or written as JSON (RFC 7519 section 4).
    #[error("the token's claims have the wrong type ({0})")]
    Claims(String),
    /// The key cannot be used (RFC 8037 section 2).
    #[error("the key cannot be used: {0}")]
    Key(&'static str),
    /// The document is not a JWK set (RFC 7517 section 5).
    #[error("the document is not a JWK set: a JSON object with a list `keys`")]
    KeySet,
}
