use std::time::Duration;

use serde_json::{Map, Value};

use super::AuthorizationRequest;
use crate::{
    jose::{Header, JoseError, SigningKey},
    secret::Secret,
};

/// Oten refuses a request object that lives longer.
const MAX_LIFETIME: Duration = Duration::from_secs(300);

/// The request object (RFC 9101 section 4): the parameters as claims, addressed to the issuer, for
/// one use.
pub(super) fn sign(
    request: &AuthorizationRequest<'_>,
    key: &SigningKey,
) -> Result<String, JoseError> {
    let lifetime = request.lifetime.min(MAX_LIFETIME).as_secs();
    let expires = request
        .now
        .saturating_add(i64::try_from(lifetime).unwrap_or_default());
    let mut claims: Map<String, Value> = [
        ("iss", Value::from(request.client.id())),
        ("aud", Value::from(request.issuer)),
        ("iat", Value::from(request.now)),
        ("nbf", Value::from(request.now)),
        ("exp", Value::from(expires)),
        ("jti", Value::from(Secret::random().expose())),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into_iter()
    .collect();
    for (name, value) in request.parameters() {
        claims.insert(name.to_owned(), Value::from(value));
    }
    if let Some(max_age) = request.max_age {
        // The one parameter that is a number once it is a claim (RFC 9101 section 4).
        claims.insert("max_age".to_owned(), Value::from(max_age.as_secs()));
    }
    key.sign(&Header::new("JWT"), &claims)
}
