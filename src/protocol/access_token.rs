use serde_json::{Map, Value};

use super::claims::{Claims, InvalidClaim, LEEWAY, verify_signature};
use crate::{
    audit::Reason,
    jose::{JoseError, Verified, comparable_typ},
    provider::{Provider, ProviderError, ProviderMetadata, TokenOrigin},
};

/// The claims that other kinds of tokens have and access tokens do not: ID tokens (OpenID Connect
/// Core sections 2 and 3.3.2.11) and logout tokens (OpenID Connect Back-Channel Logout section 2.4).
const CLAIMS_OF_OTHER_TOKENS: [&str; 5] = ["nonce", "at_hash", "c_hash", "s_hash", "events"];

/// The claims that mark an access token without its own `typ` (RFC 9068 sections 2.2 and 2.2.3). An
/// ID token has none of them.
const CLAIMS_OF_ACCESS_TOKENS: [&str; 3] = ["scope", "scp", "client_id"];

/// The verified claims of an access token (RFC 9068 section 2.2).
#[derive(Clone, Debug)]
pub(crate) struct AccessTokenClaims {
    pub(crate) subject: Option<String>,
    pub(crate) client_id: Option<String>,
    pub(crate) scopes: Vec<String>,
    /// In seconds since the Unix epoch.
    pub(crate) expires_at: i64,
    /// All claims.
    pub(crate) all: Map<String, Value>,
}

/// The values that an access token is checked against.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExpectedAccessToken<'a> {
    pub(crate) issuer: &'a str,
    /// The token must name one of them.
    pub(crate) audiences: &'a [String],
    /// Seconds since the Unix epoch.
    pub(crate) now: i64,
}

/// Error returned when an access token is rejected. It names the claim and never quotes its value.
///
/// Sections without a document are those of RFC 9068.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AccessTokenError {
    /// The provider is unreachable, or its keys cannot be read.
    #[error(transparent)]
    Provider(ProviderError),
    /// Section 4; RFC 8725 section 3.1.
    #[error("the access token is rejected")]
    Jose(#[from] JoseError),
    /// Section 4.
    #[error("the provider publishes no key for the access token's `kid` and `alg`")]
    UnknownKey,
    /// A claim is missing or has the wrong type (section 2.2).
    #[error("the access token's `{0}` is missing or has the wrong type")]
    InvalidClaim(&'static str),
    /// Section 4; RFC 8725 section 3.11.
    #[error("the token is not an access token: its `typ` or its claims are those of another kind")]
    Kind,
    /// Section 4.
    #[error("the access token's `iss` is not the provider's issuer; check `issuer`")]
    Iss,
    /// Section 4.
    #[error("the access token's `aud` names none of this API's audiences; check `audiences`")]
    Aud,
    /// Section 4.
    #[error("the access token has expired (`exp`)")]
    Exp,
    /// RFC 7519 section 4.1.5.
    #[error("the access token is not valid yet (`nbf`); check this machine's clock")]
    Nbf,
    /// RFC 7519 section 4.1.6.
    #[error("the access token was issued in the future (`iat`); check this machine's clock")]
    Iat,
    /// Opaque tokens need the provider to validate them.
    #[error(
        "the access token is not a JWT, and the provider is not asked: that takes `client_id`, \
         `client_secret` and the provider's token validation endpoint"
    )]
    NotJwt,
    /// The verdict of the provider (RFC 7662 section 2.2).
    #[error("the provider says that the access token is not valid")]
    Inactive,
}

impl AccessTokenError {
    /// Returns the reason that events and error responses name.
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::Provider(error) => error.reason(),
            Self::Jose(_) | Self::NotJwt => Reason::BearerSignature,
            Self::UnknownKey => Reason::BearerUnknownKey,
            Self::InvalidClaim(_) => Reason::BearerMisshapen,
            Self::Kind => Reason::BearerKind,
            Self::Iss => Reason::BearerIss,
            Self::Aud => Reason::BearerAud,
            Self::Exp => Reason::BearerExp,
            Self::Nbf => Reason::BearerNbf,
            Self::Iat => Reason::BearerIat,
            Self::Inactive => Reason::BearerInactive,
        }
    }
}

impl From<InvalidClaim> for AccessTokenError {
    fn from(InvalidClaim(name): InvalidClaim) -> Self {
        Self::InvalidClaim(name)
    }
}

impl From<ProviderError> for AccessTokenError {
    fn from(error: ProviderError) -> Self {
        match error {
            // An unknown key is a fault of the token, not of the provider.
            ProviderError::UnknownKey => Self::UnknownKey,
            error => Self::Provider(error),
        }
    }
}

/// Verifies an access token with the provider's keys (RFC 9068 section 4).
pub(crate) async fn verify_access_token(
    provider: &Provider,
    metadata: &ProviderMetadata,
    token: &str,
    expected: &ExpectedAccessToken<'_>,
) -> Result<AccessTokenClaims, AccessTokenError> {
    let verified =
        verify_signature::<AccessTokenError>(provider, metadata, token, TokenOrigin::Request)
            .await?;
    check(verified, expected)
}

pub(super) fn check(
    verified: Verified<Claims>,
    expected: &ExpectedAccessToken<'_>,
) -> Result<AccessTokenClaims, AccessTokenError> {
    check_kind(&verified)?;
    let claims = verified.into_claims();
    claims.required_string("iss")?;
    claims.required_date("exp")?;
    check_claims(claims, expected)
}

/// Checks that the token is none of the provider's other JWTs, with a `typ` or without.
fn check_kind(verified: &Verified<Claims>) -> Result<(), AccessTokenError> {
    let claims = verified.claims();
    require_access_token(verified.typ().as_deref(), claims)
}

/// Rejects a JWT that is of another kind. The provider validates the others, and might call its ID tokens and
/// refresh tokens valid, too. Nothing is verified here.
pub(crate) fn reject_other_kinds(token: &str) -> Result<(), AccessTokenError> {
    let Some(claims) = Claims::unverified(token) else {
        return Ok(());
    };
    let header = Claims::unverified_header(token);
    let typ = header
        .as_ref()
        .and_then(|header| header.get("typ")?.as_str());
    require_access_token(typ.map(comparable_typ).as_deref(), &claims)
}

fn require_access_token(typ: Option<&str>, claims: &Claims) -> Result<(), AccessTokenError> {
    let is_other = CLAIMS_OF_OTHER_TOKENS.iter().any(|name| claims.has(name));
    let is_access_token = match typ {
        Some("at+jwt") => true,
        None | Some("jwt") => {
            let mut marks = CLAIMS_OF_ACCESS_TOKENS.iter();
            marks.any(|name| claims.get(name).is_some())
        }
        Some(_) => false,
    };
    (is_access_token && !is_other)
        .then_some(())
        .ok_or(AccessTokenError::Kind)
}

/// Checks the claims of an access token whose origin is proven: by its signature, or by the provider's
/// verdict.
pub(super) fn check_claims(
    claims: Claims,
    expected: &ExpectedAccessToken<'_>,
) -> Result<AccessTokenClaims, AccessTokenError> {
    let iss = claims.string("iss")?;
    if iss.is_some_and(|iss| iss != expected.issuer) {
        return Err(AccessTokenError::Iss);
    }
    if !claims.is_for_any(expected.audiences)? {
        return Err(AccessTokenError::Aud);
    }
    let earliest = expected.now.saturating_sub(LEEWAY);
    let latest = expected.now.saturating_add(LEEWAY);
    let expires_at = claims.date("exp")?.unwrap_or(i64::MAX);
    if expires_at <= earliest {
        return Err(AccessTokenError::Exp);
    }
    if claims.date("nbf")?.is_some_and(|nbf| nbf > latest) {
        return Err(AccessTokenError::Nbf);
    }
    if claims.date("iat")?.is_some_and(|iat| iat > latest) {
        return Err(AccessTokenError::Iat);
    }
    Ok(AccessTokenClaims {
        subject: claims.string("sub")?.map(str::to_owned),
        client_id: claims.string("client_id")?.map(str::to_owned),
        scopes: claims.scopes()?,
        expires_at,
        all: claims.into_all_but(&[]),
    })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;
    use crate::{
        jose::{Algorithm, CompactJws, Ed25519KeyPair, Header, SigningKey},
        secret::base64url,
    };

    const NOW: i64 = 1_800_000_000;
    const ISSUER: &str = "https://account.oten.com";

    fn valid_claims() -> Value {
        json!({
            "iss": ISSUER, "sub": "alice", "aud": ["other", "orders"], "client_id": "app",
            "exp": NOW + 3600, "iat": NOW, "nbf": NOW, "scope": "read  write",
        })
    }

    fn check(claims: &Value) -> Result<AccessTokenClaims, AccessTokenError> {
        let audiences = ["billing".to_owned(), "orders".to_owned()];
        let expected = ExpectedAccessToken {
            issuer: ISSUER,
            audiences: &audiences,
            now: NOW,
        };
        check_claims(Claims::deserialize(claims).unwrap(), &expected)
    }

    /// Checks the valid claims with one replaced.
    fn with(name: &str, value: Value) -> Result<AccessTokenClaims, AccessTokenError> {
        let mut claims = valid_claims();
        claims[name] = value;
        check(&claims)
    }

    #[test]
    fn a2_claims_within_the_limits_are_accepted() {
        let accepted = check(&valid_claims()).unwrap();
        assert_eq!(accepted.subject.as_deref(), Some("alice"));
        assert_eq!(accepted.client_id.as_deref(), Some("app"));
        assert_eq!(accepted.scopes, ["read", "write"]);
        assert_eq!(accepted.expires_at, NOW + 3600);
        for (name, value) in [
            ("exp", json!(NOW - LEEWAY + 1)),
            ("nbf", json!(NOW + LEEWAY)),
            ("iat", json!(NOW + LEEWAY)),
            ("aud", json!("billing")),
            ("iss", Value::Null),
        ] {
            assert!(with(name, value.clone()).is_ok(), "{name}: {value}");
        }
        let scopes = |name, value| with(name, value).unwrap().scopes;
        assert_eq!(scopes("scope", json!(["a", "b c"])), ["a", "b", "c"]);
        assert_eq!(scopes("scp", json!(["a"])), ["read", "write"]);
        let mut without = valid_claims();
        without.as_object_mut().unwrap().remove("scope");
        assert!(check(&without).unwrap().scopes.is_empty());
        without["scp"] = json!("a");
        assert_eq!(check(&without).unwrap().scopes, ["a"]);
    }

    #[test]
    fn a2_claims_beyond_the_limits_are_rejected() {
        for (name, value, error) in [
            ("iss", json!("https://evil.example"), AccessTokenError::Iss),
            ("iss", json!(1), AccessTokenError::InvalidClaim("iss")),
            ("aud", json!("shipping"), AccessTokenError::Aud),
            ("aud", json!([]), AccessTokenError::Aud),
            ("aud", Value::Null, AccessTokenError::InvalidClaim("aud")),
            ("exp", json!(NOW - LEEWAY), AccessTokenError::Exp),
            ("exp", json!("soon"), AccessTokenError::InvalidClaim("exp")),
            ("nbf", json!(NOW + LEEWAY + 1), AccessTokenError::Nbf),
            ("iat", json!(NOW + LEEWAY + 1), AccessTokenError::Iat),
            ("sub", json!(1), AccessTokenError::InvalidClaim("sub")),
            ("scope", json!(1), AccessTokenError::InvalidClaim("scope")),
        ] {
            assert_eq!(with(name, value.clone()).unwrap_err(), error, "{value}");
        }
    }

    const BY_TYP: [(Option<&str>, bool); 6] = [
        (None, true),
        (Some("JWT"), true),
        (Some("at+jwt"), true),
        (Some("application/at+JWT"), true),
        (Some("logout+jwt"), false),
        (Some("refresh+jwt"), false),
    ];

    #[test]
    fn a2_a_jwt_of_another_kind_is_no_access_token() {
        let pair = Ed25519KeyPair::generate();
        let kind = |typ: Option<&str>, claims: &Value| {
            let header = typ.map_or_else(Header::default, Header::new);
            let token = SigningKey::from(pair.clone()).sign(&header, claims);
            let token = token.unwrap();
            let jws = CompactJws::parse(&token).unwrap();
            let verified = jws.verify(&pair.verifying_key(), &[Algorithm::EdDsa]);
            check_kind(&verified.unwrap())
        };
        for (typ, is_access_token) in BY_TYP {
            assert_eq!(
                kind(typ, &valid_claims()).is_ok(),
                is_access_token,
                "{typ:?}"
            );
        }
        // Without its own `typ`, a claim marks it.
        let unmarked = json!({ "iss": ISSUER, "sub": "alice", "aud": "orders", "scp": null });
        assert_eq!(kind(Some("JWT"), &unmarked), Err(AccessTokenError::Kind));
        assert_eq!(kind(Some("at+jwt"), &unmarked), Ok(()));
        for mark in CLAIMS_OF_ACCESS_TOKENS {
            let mut claims = unmarked.clone();
            claims[mark] = json!("x");
            assert_eq!(kind(None, &claims), Ok(()), "{mark}");
        }
        for mark in CLAIMS_OF_OTHER_TOKENS {
            let mut claims = valid_claims();
            claims[mark] = Value::Null;
            let rejected = kind(Some("at+jwt"), &claims);
            assert_eq!(rejected, Err(AccessTokenError::Kind), "{mark}");
        }
    }

    #[test]
    fn a2_only_jwts_of_another_kind_are_not_sent_to_the_provider() {
        let token = |typ: Option<&str>, claims: &Value| {
            let header = json!({ "alg": "EdDSA", "typ": typ });
            let [header, claims] = [&header, claims].map(|part| base64url(part.to_string()));
            [&header, &claims, "c2ln"].join(".")
        };
        for (typ, is_sent) in BY_TYP.into_iter().skip(1) {
            let checked = reject_other_kinds(&token(typ, &valid_claims()));
            assert_eq!(checked.is_ok(), is_sent, "{typ:?}");
        }
        for mark in CLAIMS_OF_OTHER_TOKENS {
            let mut claims = valid_claims();
            claims[mark] = json!("x");
            let rejected = reject_other_kinds(&token(Some("at+jwt"), &claims));
            assert_eq!(rejected, Err(AccessTokenError::Kind), "{mark}");
        }
        assert_eq!(reject_other_kinds("opaque"), Ok(()));
    }
}
