use std::time::Duration;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Map, Value};
use sha2::{Digest, Sha512};

use super::claims::{
    ALLOWED, Claims, LEEWAY, Misshapen, required, take_audience, take_date, take_string,
};
use crate::{
    audit::Reason,
    jose::{CompactJws, JoseError, VerifyingKey},
    secret::{Secret, constant_time_eq},
};

/// OpenID Connect Core section 2: a `sub` has at most 255 ASCII characters.
const MAX_SUB_BYTES: usize = 255;

/// The claims of an ID token (OpenID Connect Core section 2), all of them checked.
#[derive(Clone, Debug)]
pub(crate) struct IdTokenClaims {
    iss: String,
    pub(crate) sub: String,
    aud: Vec<String>,
    azp: Option<String>,
    exp: i64,
    iat: i64,
    nbf: Option<i64>,
    auth_time: Option<i64>,
    nonce: Option<String>,
    at_hash: Option<String>,
    /// Everything else the provider says about the user.
    pub(crate) other: Map<String, Value>,
}

/// What an ID token must agree with.
#[derive(Debug)]
pub(crate) struct Expected<'a> {
    pub(crate) issuer: &'a str,
    pub(crate) client_id: &'a str,
    /// Of a renewed token: the one it is about (section 12.2).
    pub(crate) subject: Option<&'a str>,
    /// Of the request; a renewed token has none to agree with.
    pub(crate) nonce: Option<&'a Secret>,
    pub(crate) access_token: &'a Secret,
    /// The `max_age` of the request, if there was one.
    pub(crate) max_age: Option<Duration>,
    /// Seconds since the Unix epoch.
    pub(crate) now: i64,
}

/// The rule an ID token broke. The claim is named, its value is not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum IdTokenError {
    #[error("the token answer has no `id_token`; is `openid` among the scopes?")]
    Missing,
    #[error("the ID token's `kid` is of no key the provider publishes")]
    UnknownKey,
    #[error("the ID token is refused: {0}")]
    Jose(#[from] JoseError),
    #[error("the ID token's `{0}` is missing or of the wrong type")]
    Misshapen(&'static str),
    #[error("the ID token's `typ` is not `JWT`: another kind of token poses as an ID token")]
    Typ,
    #[error("the ID token's `iss` is not the provider's")]
    Iss,
    #[error("the ID token's `aud` is not this client and nobody else")]
    Aud,
    #[error("the ID token's `azp` is not this client")]
    Azp,
    #[error("the ID token has expired (`exp`); is this machine's clock right?")]
    Exp,
    #[error("the ID token was issued in the future (`iat`); is this machine's clock right?")]
    Iat,
    #[error("the ID token is not valid yet (`nbf`); is this machine's clock right?")]
    Nbf,
    #[error("the ID token's `nonce` is not the one that was sent: it belongs to another sign-in")]
    Nonce,
    #[error("the ID token's `sub` is empty or over-long")]
    Sub,
    #[error("the renewed ID token's `sub` is another user's")]
    AnotherSub,
    #[error("the ID token's `at_hash` does not fit the access token")]
    AtHash,
    #[error("the ID token's `auth_time` is missing, in the future or older than `max_age`")]
    AuthTime,
}

impl IdTokenError {
    /// Returns the reason that events and answers name.
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::Missing => Reason::IdTokenMissing,
            Self::UnknownKey => Reason::UnknownKey,
            Self::Jose(_) => Reason::IdTokenSignature,
            Self::Misshapen(_) => Reason::IdTokenMisshapen,
            Self::Typ => Reason::IdTokenTyp,
            Self::Iss => Reason::IdTokenIss,
            Self::Aud => Reason::IdTokenAud,
            Self::Azp => Reason::IdTokenAzp,
            Self::Exp => Reason::IdTokenExp,
            Self::Iat => Reason::IdTokenIat,
            Self::Nbf => Reason::IdTokenNbf,
            Self::Nonce => Reason::IdTokenNonce,
            Self::Sub | Self::AnotherSub => Reason::IdTokenSub,
            Self::AtHash => Reason::IdTokenAtHash,
            Self::AuthTime => Reason::IdTokenAuthTime,
        }
    }
}

impl From<Misshapen> for IdTokenError {
    fn from(Misshapen(claim): Misshapen) -> Self {
        Self::Misshapen(claim)
    }
}

/// Verifies an ID token of the token endpoint (OpenID Connect Core section 3.1.3.7).
pub(crate) fn verify_id_token(
    jws: CompactJws<'_>,
    key: &VerifyingKey,
    expected: &Expected<'_>,
) -> Result<IdTokenClaims, IdTokenError> {
    let verified = jws.verify::<Claims>(key, &ALLOWED)?;
    if verified
        .typ()
        .is_some_and(|typ| !typ.eq_ignore_ascii_case("JWT"))
    {
        return Err(IdTokenError::Typ);
    }
    let claims = IdTokenClaims::from_map(verified.into_claims())?;
    claims.check_parties(expected)?;
    claims.check_times(expected)?;
    claims.check_bindings(expected)?;
    Ok(claims)
}

impl IdTokenClaims {
    /// Takes the claims we check out of the map; the rest is about the user.
    fn from_map(mut claims: Claims) -> Result<Self, IdTokenError> {
        let map = &mut claims;
        Ok(Self {
            iss: required("iss", take_string(map, "iss")?)?,
            sub: required("sub", take_string(map, "sub")?)?,
            aud: take_audience(map)?,
            azp: take_string(map, "azp")?,
            exp: required("exp", take_date(map, "exp")?)?,
            iat: required("iat", take_date(map, "iat")?)?,
            nbf: take_date(map, "nbf")?,
            auth_time: take_date(map, "auth_time")?,
            nonce: take_string(map, "nonce")?,
            at_hash: take_string(map, "at_hash")?,
            other: claims,
        })
    }

    /// Who speaks, about whom, to whom.
    fn check_parties(&self, expected: &Expected<'_>) -> Result<(), IdTokenError> {
        if self.iss != expected.issuer {
            return Err(IdTokenError::Iss);
        }
        // We trust no other audience, so there must be none (section 3.1.3.7, number 3).
        if self.aud != [expected.client_id] {
            return Err(IdTokenError::Aud);
        }
        if self
            .azp
            .as_ref()
            .is_some_and(|azp| azp != expected.client_id)
        {
            return Err(IdTokenError::Azp);
        }
        if self.sub.is_empty() || self.sub.len() > MAX_SUB_BYTES || !self.sub.is_ascii() {
            return Err(IdTokenError::Sub);
        }
        if expected.subject.is_some_and(|subject| subject != self.sub) {
            return Err(IdTokenError::AnotherSub);
        }
        Ok(())
    }

    fn check_times(&self, expected: &Expected<'_>) -> Result<(), IdTokenError> {
        let (earliest, latest) = (
            expected.now.saturating_sub(LEEWAY),
            expected.now.saturating_add(LEEWAY),
        );
        if self.exp <= earliest {
            return Err(IdTokenError::Exp);
        }
        if self.iat > latest {
            return Err(IdTokenError::Iat);
        }
        if self.nbf.is_some_and(|nbf| nbf > latest) {
            return Err(IdTokenError::Nbf);
        }
        match (self.auth_time, expected.max_age) {
            (None, Some(_)) => Err(IdTokenError::AuthTime),
            (Some(at), _) if at > latest => Err(IdTokenError::AuthTime),
            (Some(at), Some(max_age)) => {
                let max_age = i64::try_from(max_age.as_secs()).unwrap_or(i64::MAX);
                if at.saturating_add(max_age) < earliest {
                    return Err(IdTokenError::AuthTime);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// What ties the token to this sign-in and to the access token beside it.
    fn check_bindings(&self, expected: &Expected<'_>) -> Result<(), IdTokenError> {
        if let Some(sent) = expected.nonce {
            let nonce = self.nonce.as_deref().unwrap_or_default();
            if !constant_time_eq(nonce.as_bytes(), sent.expose().as_bytes()) {
                return Err(IdTokenError::Nonce);
            }
        }
        if let Some(at_hash) = &self.at_hash {
            let fits = at_hash_of(expected.access_token);
            if !constant_time_eq(at_hash.as_bytes(), fits.as_bytes()) {
                return Err(IdTokenError::AtHash);
            }
        }
        Ok(())
    }

    /// When the user authenticated at the provider, in seconds since the Unix epoch.
    pub(crate) fn auth_time(&self) -> Option<i64> {
        self.auth_time
    }
}

/// The left half of the access token's hash (OpenID Connect Core section 3.1.3.6). Ed25519 hashes
/// with SHA-512 inside (RFC 8032 section 5.1), so that is the hash of its `alg`.
fn at_hash_of(access_token: &Secret) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(&Sha512::digest(access_token.expose())[..32])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::jose::{Ed25519KeyPair, Header, SigningKey};

    const NOW: i64 = 1_800_000_000;

    fn honest() -> Value {
        json!({
            "iss": "https://account.oten.com", "sub": "alice", "aud": "client",
            "exp": NOW + 3600, "iat": NOW, "nbf": NOW, "auth_time": NOW - 10,
            "nonce": "the-nonce", "at_hash": at_hash_of(&"the-access-token".into()),
            "name": "Alice",
        })
    }

    fn check_with_header(header: &Header, claims: &Value) -> Result<IdTokenClaims, IdTokenError> {
        let pair = Ed25519KeyPair::generate();
        let token = SigningKey::from(pair.clone()).sign(header, claims).unwrap();
        let expected = Expected {
            issuer: "https://account.oten.com",
            client_id: "client",
            subject: None,
            nonce: Some(&"the-nonce".into()),
            access_token: &"the-access-token".into(),
            max_age: Some(Duration::from_secs(300)),
            now: NOW,
        };
        verify_id_token(CompactJws::parse(&token)?, &pair.verifying_key(), &expected)
    }

    /// The honest token with one claim set, or removed where the value is null.
    fn with(name: &str, value: Value) -> Result<IdTokenClaims, IdTokenError> {
        let mut claims = honest();
        match value {
            Value::Null => claims.as_object_mut().unwrap().remove(name),
            value => claims.as_object_mut().unwrap().insert(name.into(), value),
        };
        check_with_header(&Header::new("JWT"), &claims)
    }

    #[test]
    fn s6_an_honest_token_is_believed() {
        let claims = check_with_header(&Header::new("JWT"), &honest()).unwrap();
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
        assert!(check_with_header(&Header::default(), &honest()).is_ok());
    }

    #[test]
    fn s6_each_lie_is_refused_for_what_it_is() {
        use IdTokenError as E;
        for (name, value, refusal) in [
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
                refusal,
                "{name}: {value}"
            );
        }
    }

    #[test]
    fn s6_a_missing_or_misshapen_claim_is_refused() {
        for name in ["iss", "sub", "aud", "exp", "iat"] {
            for value in [Value::Null, json!({}), json!(true)] {
                let refusal = with(name, value).unwrap_err();
                assert_eq!(refusal, IdTokenError::Misshapen(name));
            }
        }
    }

    #[test]
    fn s6_an_access_token_is_no_id_token() {
        for typ in ["at+jwt", "application/at+jwt", "logout+jwt"] {
            let refusal = check_with_header(&Header::new(typ), &honest());
            assert_eq!(refusal.unwrap_err(), IdTokenError::Typ);
        }
    }
}
