use std::time::Duration;

use serde_json::{Map, Value};
use sha2::{Digest, Sha512};

use super::claims::{Claims, InvalidClaim, LEEWAY, verify_signature};
use crate::{
    audit::Reason,
    jose::{JoseError, Verified},
    provider::{Provider, ProviderError, ProviderMetadata},
    secret::{Secret, base64url, constant_time_eq},
};

/// The longest `sub` in ASCII characters (OpenID Connect Core section 2).
const MAX_SUB_LEN: usize = 255;

/// The verified claims of an ID token (OpenID Connect Core section 2).
#[derive(Clone, Debug)]
pub(crate) struct IdTokenClaims {
    pub(crate) sub: String,
    /// When the user authenticated at the provider, in seconds since the Unix epoch.
    pub(crate) auth_time: Option<i64>,
    /// The claims about the user.
    pub(crate) other: Map<String, Value>,
}

/// The values that an ID token is checked against.
#[derive(Debug)]
pub(crate) struct ExpectedIdToken<'a> {
    pub(crate) issuer: &'a str,
    pub(crate) client_id: &'a str,
    /// The user of the session, for the ID token of a refresh (section 12.2).
    pub(crate) subject: Option<&'a str>,
    /// The `nonce` of the authorization request; `None` for the ID token of a refresh.
    pub(crate) nonce: Option<&'a Secret>,
    pub(crate) access_token: &'a Secret,
    /// The `max_age` of the authorization request.
    pub(crate) max_age: Option<Duration>,
    /// Seconds since the Unix epoch.
    pub(crate) now: i64,
}

/// Error returned when an ID token is rejected. It names the claim and never quotes its value.
///
/// Sections without a document are those of OpenID Connect Core.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum IdTokenError {
    /// The provider has no key for the token, or is unreachable (section 10.1.1).
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// Section 3.1.3.3.
    #[error("the token response has no `id_token`; add `openid` to `scopes`")]
    Missing,
    /// Section 3.1.3.7, numbers 6 to 8; RFC 8725 section 3.1.
    #[error("the ID token is rejected: {0}")]
    Jose(#[from] JoseError),
    /// A claim is missing or has the wrong type (section 2).
    #[error("the ID token's `{0}` is missing or has the wrong type")]
    InvalidClaim(&'static str),
    /// RFC 8725 section 3.11.
    #[error("the ID token's `typ` is not `JWT`: it is a token of another kind")]
    Typ,
    /// Section 3.1.3.7, number 2.
    #[error("the ID token's `iss` is not the provider's issuer; check `issuer`")]
    Iss,
    /// Section 3.1.3.7, number 3.
    #[error("the ID token's `aud` is not exactly this client; check `client_id`")]
    Aud,
    /// Section 3.1.3.7, number 5.
    #[error("the ID token's `azp` is not this client; check `client_id`")]
    Azp,
    /// Section 3.1.3.7, number 9.
    #[error("the ID token has expired (`exp`); check this machine's clock")]
    Exp,
    /// Section 3.1.3.7, number 10.
    #[error("the ID token was issued in the future (`iat`); check this machine's clock")]
    Iat,
    /// RFC 7519 section 4.1.5.
    #[error("the ID token is not valid yet (`nbf`); check this machine's clock")]
    Nbf,
    /// Section 3.1.3.7, number 11.
    #[error("the ID token's `nonce` is not the request's: it belongs to another sign-in")]
    Nonce,
    /// Section 2.
    #[error("the ID token's `sub` is empty, longer than {MAX_SUB_LEN} characters or not ASCII")]
    Sub,
    /// Section 12.2.
    #[error("the `sub` of the refreshed ID token is another user's")]
    SubChanged,
    /// Section 3.1.3.8.
    #[error("the ID token's `at_hash` does not match the access token")]
    AtHash,
    /// Section 3.1.3.7, number 13.
    #[error("the ID token's `auth_time` is missing, in the future or older than `max_age`")]
    AuthTime,
}

impl IdTokenError {
    /// Returns the reason that events and error responses name.
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::Provider(error) => error.reason(),
            Self::Missing => Reason::IdTokenMissing,
            Self::Jose(_) => Reason::IdTokenSignature,
            Self::InvalidClaim(_) => Reason::IdTokenMisshapen,
            Self::Typ => Reason::IdTokenTyp,
            Self::Iss => Reason::IdTokenIss,
            Self::Aud => Reason::IdTokenAud,
            Self::Azp => Reason::IdTokenAzp,
            Self::Exp => Reason::IdTokenExp,
            Self::Iat => Reason::IdTokenIat,
            Self::Nbf => Reason::IdTokenNbf,
            Self::Nonce => Reason::IdTokenNonce,
            Self::Sub | Self::SubChanged => Reason::IdTokenSub,
            Self::AtHash => Reason::IdTokenAtHash,
            Self::AuthTime => Reason::IdTokenAuthTime,
        }
    }
}

impl From<InvalidClaim> for IdTokenError {
    fn from(InvalidClaim(name): InvalidClaim) -> Self {
        Self::InvalidClaim(name)
    }
}

/// Verifies the ID token of a token response (OpenID Connect Core section 3.1.3.7).
pub(crate) async fn verify_id_token(
    provider: &Provider,
    metadata: &ProviderMetadata,
    id_token: Option<&Secret>,
    expected: &ExpectedIdToken<'_>,
) -> Result<IdTokenClaims, IdTokenError> {
    let id_token = id_token.ok_or(IdTokenError::Missing)?.expose();
    let verified = verify_signature::<IdTokenError>(provider, metadata, id_token).await?;
    check(verified, expected)
}

fn check(
    verified: Verified<Claims>,
    expected: &ExpectedIdToken<'_>,
) -> Result<IdTokenClaims, IdTokenError> {
    let typ = verified.typ();
    if typ.is_some_and(|typ| !typ.eq_ignore_ascii_case("JWT")) {
        return Err(IdTokenError::Typ);
    }
    let mut claims = verified.into_claims();
    let sub = check_parties(&mut claims, expected)?;
    let auth_time = check_times(&mut claims, expected)?;
    check_bindings(&mut claims, expected)?;
    Ok(IdTokenClaims {
        sub,
        auth_time,
        other: claims.into_remaining(),
    })
}

/// Checks issuer, audience and subject; returns the subject.
fn check_parties(
    claims: &mut Claims,
    expected: &ExpectedIdToken<'_>,
) -> Result<String, IdTokenError> {
    if claims.required_string("iss")? != expected.issuer {
        return Err(IdTokenError::Iss);
    }
    // No other audience is trusted.
    if claims.audience()? != [expected.client_id] {
        return Err(IdTokenError::Aud);
    }
    let azp = claims.string("azp")?;
    if azp.is_some_and(|azp| azp != expected.client_id) {
        return Err(IdTokenError::Azp);
    }
    let sub = claims.required_string("sub")?;
    if sub.is_empty() || sub.len() > MAX_SUB_LEN || !sub.is_ascii() {
        return Err(IdTokenError::Sub);
    }
    if expected.subject.is_some_and(|subject| subject != sub) {
        return Err(IdTokenError::SubChanged);
    }
    Ok(sub)
}

/// Checks the dates; returns `auth_time`.
fn check_times(
    claims: &mut Claims,
    expected: &ExpectedIdToken<'_>,
) -> Result<Option<i64>, IdTokenError> {
    let earliest = expected.now.saturating_sub(LEEWAY);
    let latest = expected.now.saturating_add(LEEWAY);
    if claims.required_date("exp")? <= earliest {
        return Err(IdTokenError::Exp);
    }
    if claims.required_date("iat")? > latest {
        return Err(IdTokenError::Iat);
    }
    if claims.date("nbf")?.is_some_and(|nbf| nbf > latest) {
        return Err(IdTokenError::Nbf);
    }
    let auth_time = claims.date("auth_time")?;
    let max_age = expected.max_age.map(|max_age| max_age.as_secs());
    let max_age = max_age.map(|seconds| i64::try_from(seconds).unwrap_or(i64::MAX));
    let is_good = match (auth_time, max_age) {
        (None, max_age) => max_age.is_none(),
        (Some(at), None) => at <= latest,
        (Some(at), Some(max_age)) => at <= latest && at.saturating_add(max_age) >= earliest,
    };
    is_good.then_some(auth_time).ok_or(IdTokenError::AuthTime)
}

/// Checks that the token belongs to this sign-in and to the access token of the same response.
fn check_bindings(claims: &mut Claims, expected: &ExpectedIdToken<'_>) -> Result<(), IdTokenError> {
    let nonce = claims.string("nonce")?.unwrap_or_default();
    if let Some(sent) = expected.nonce
        && !constant_time_eq(nonce.as_bytes(), sent.expose().as_bytes())
    {
        return Err(IdTokenError::Nonce);
    }
    if let Some(at_hash) = claims.string("at_hash")?
        && !constant_time_eq(at_hash.as_bytes(), hash(expected.access_token).as_bytes())
    {
        return Err(IdTokenError::AtHash);
    }
    Ok(())
}

/// Returns the `at_hash` of an access token: the left half of its hash (OpenID Connect Core section
/// 3.1.3.6). The hash of `EdDSA` is the one inside Ed25519, SHA-512 (RFC 8032 section 5.1).
fn hash(access_token: &Secret) -> String {
    base64url(&Sha512::digest(access_token.expose())[..32])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        jose::{CompactJws, Ed25519KeyPair, Header, SigningKey},
        protocol::claims::ALLOWED,
    };

    const NOW: i64 = 1_800_000_000;

    fn valid_claims() -> Value {
        json!({
            "iss": "https://account.oten.com", "sub": "alice", "aud": "client",
            "exp": NOW + 3600, "iat": NOW, "nbf": NOW, "auth_time": NOW - 10,
            "nonce": "the-nonce", "at_hash": hash(&"the-access-token".into()),
            "name": "Alice",
        })
    }

    fn check_token(header: &Header, claims: &Value) -> Result<IdTokenClaims, IdTokenError> {
        let pair = Ed25519KeyPair::generate();
        let token = SigningKey::from(pair.clone()).sign(header, claims).unwrap();
        let expected = ExpectedIdToken {
            issuer: "https://account.oten.com",
            client_id: "client",
            subject: None,
            nonce: Some(&"the-nonce".into()),
            access_token: &"the-access-token".into(),
            max_age: Some(Duration::from_secs(300)),
            now: NOW,
        };
        let jws = CompactJws::parse(&token)?;
        check(jws.verify(&pair.verifying_key(), &ALLOWED)?, &expected)
    }

    /// Checks the valid token with one claim replaced, or removed if the value is null.
    fn with(name: &str, value: Value) -> Result<IdTokenClaims, IdTokenError> {
        let mut claims = valid_claims();
        match value {
            Value::Null => claims.as_object_mut().unwrap().remove(name),
            value => claims.as_object_mut().unwrap().insert(name.into(), value),
        };
        check_token(&Header::new("JWT"), &claims)
    }

    #[test]
    fn s6_a_valid_token_is_accepted() {
        let claims = check_token(&Header::new("JWT"), &valid_claims()).unwrap();
        assert_eq!(claims.sub, "alice");
        assert_eq!(claims.other["name"], "Alice");
        for (name, value) in [
            ("nbf", Value::Null),
            ("at_hash", Value::Null),
            ("aud", json!(["client"])),
            ("azp", json!("client")),
            ("exp", json!(NOW - 59)),
            ("exp", json!(f64::from(2_000_000_000))),
            ("iat", json!(NOW + 60)),
            ("nbf", json!(NOW + 60)),
            ("auth_time", json!(NOW - 360)),
        ] {
            assert!(with(name, value.clone()).is_ok(), "{name}: {value}");
        }
        assert!(check_token(&Header::default(), &valid_claims()).is_ok());
    }

    #[test]
    fn s6_each_wrong_claim_is_rejected_with_its_own_error() {
        use IdTokenError as E;
        for (name, value, error) in [
            ("iss", json!("https://account.oten.com/"), E::Iss),
            ("iss", json!("https://evil.example"), E::Iss),
            ("aud", json!("another"), E::Aud),
            ("aud", json!([]), E::Aud),
            ("aud", json!(["client", "another"]), E::Aud),
            ("azp", json!("another"), E::Azp),
            ("sub", json!(""), E::Sub),
            ("sub", json!("x".repeat(256)), E::Sub),
            ("sub", json!("älice"), E::Sub),
            ("exp", json!(NOW - 60), E::Exp),
            ("exp", json!(0), E::Exp),
            ("exp", json!(-1e300), E::Exp),
            ("iat", json!(NOW + 61), E::Iat),
            ("nbf", json!(NOW + 61), E::Nbf),
            ("nonce", json!("another"), E::Nonce),
            ("nonce", Value::Null, E::Nonce),
            ("nonce", json!(""), E::Nonce),
            ("at_hash", json!("another"), E::AtHash),
            ("auth_time", Value::Null, E::AuthTime),
            ("auth_time", json!(NOW - 361), E::AuthTime),
            ("auth_time", json!(NOW + 61), E::AuthTime),
        ] {
            assert_eq!(
                with(name, value.clone()).unwrap_err(),
                error,
                "{name}: {value}"
            );
        }
    }

    #[test]
    fn s6_a_missing_or_mistyped_claim_is_rejected() {
        for name in ["iss", "sub", "aud", "exp", "iat"] {
            for value in [Value::Null, json!({}), json!(true)] {
                let rejected = with(name, value).unwrap_err();
                assert_eq!(rejected, IdTokenError::InvalidClaim(name));
            }
        }
    }

    #[test]
    fn s6_an_access_token_is_not_an_id_token() {
        for typ in ["at+jwt", "application/at+jwt", "logout+jwt"] {
            let rejected = check_token(&Header::new(typ), &valid_claims());
            assert_eq!(rejected.unwrap_err(), IdTokenError::Typ);
        }
    }
}
