use serde_json::Value;

use super::claims::{Audience, Claims, InvalidClaim, LEEWAY, verify_signature};
use crate::{
    audit::Reason,
    config::Client,
    jose::{JoseError, Verified},
    provider::{Provider, ProviderError, ProviderMetadata, TokenOrigin},
};

/// The member of `events` that marks a logout token (OpenID Connect Back-Channel Logout section
/// 2.4).
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// The greatest accepted age in seconds, even if `exp` is later. Used tokens must be remembered for
/// this long.
const MAX_AGE: i64 = 10 * 60;

/// The verified claims of a logout token: `sub`, `sid` or both, and its identity.
#[derive(Debug)]
pub(crate) struct LogoutClaims {
    pub(crate) sub: Option<String>,
    pub(crate) sid: Option<String>,
    /// Unique among the logout tokens of the issuer.
    pub(crate) jti: String,
    /// When the token becomes unacceptable, in seconds since the Unix epoch.
    pub(crate) expires_at: i64,
}

/// The values that a logout token is checked against.
#[derive(Debug)]
pub(crate) struct ExpectedLogoutToken<'a> {
    pub(crate) client: &'a Client,
    /// Seconds since the Unix epoch.
    pub(crate) now: i64,
}

/// Error returned when a logout token is rejected. It names the claim and never quotes its value.
///
/// Sections without a document are those of OpenID Connect Back-Channel Logout.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LogoutTokenError {
    /// The provider is unreachable, or its keys cannot be read.
    #[error(transparent)]
    Provider(ProviderError),
    /// Section 2.6; RFC 8725 section 3.1.
    #[error("the logout token is rejected")]
    Jose(#[from] JoseError),
    /// OpenID Connect Core section 10.1.1.
    #[error("the provider publishes no key for the logout token's `kid` and `alg`")]
    UnknownKey,
    /// A claim is missing or has the wrong type (section 2.4).
    #[error("the logout token's `{0}` is missing or has the wrong type")]
    InvalidClaim(&'static str),
    /// Section 2.4; RFC 8725 section 3.11.
    #[error("the logout token's `typ` is neither `logout+jwt` nor `JWT`")]
    Typ,
    /// Section 2.6.
    #[error("the logout token has a `nonce`: it is an ID token")]
    Nonce,
    /// Section 2.6.
    #[error("the logout token's `events` has no back-channel logout event")]
    Events,
    /// Section 2.6.
    #[error("the logout token's `iss` is not the provider's issuer; check `issuer`")]
    Iss,
    /// Section 2.6.
    #[error("the logout token's `aud` is not exactly this client; check `client_id`")]
    Aud,
    /// Section 2.6.
    #[error("the logout token has expired (`exp`); check this machine's clock")]
    Exp,
    /// Section 2.6.
    #[error("the logout token was issued in the future (`iat`); check this machine's clock")]
    Iat,
    /// Stricter than section 2.6.
    #[error(
        "the logout token was issued more than {} minutes ago (`iat`); check this machine's clock",
        MAX_AGE / 60
    )]
    TooOld,
    /// Section 2.4.
    #[error("the logout token's `jti` is empty")]
    Jti,
    /// Section 2.6.
    #[error("the logout token has neither `sub` nor `sid`")]
    NoSubOrSid,
    /// Section 2.6.
    #[error("a logout token with this `jti` was used before")]
    Replayed,
}

impl LogoutTokenError {
    /// Returns the reason that events and error responses name.
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::Provider(error) => error.reason(),
            Self::Jose(_) => Reason::LogoutTokenSignature,
            Self::UnknownKey => Reason::LogoutTokenUnknownKey,
            Self::InvalidClaim(_) => Reason::LogoutTokenMisshapen,
            Self::Typ => Reason::LogoutTokenTyp,
            Self::Nonce => Reason::LogoutTokenNonce,
            Self::Events => Reason::LogoutTokenEvents,
            Self::Iss => Reason::LogoutTokenIss,
            Self::Aud => Reason::LogoutTokenAud,
            Self::Exp => Reason::LogoutTokenExp,
            Self::Iat => Reason::LogoutTokenIat,
            Self::TooOld => Reason::LogoutTokenTooOld,
            Self::Jti => Reason::LogoutTokenJti,
            Self::NoSubOrSid => Reason::LogoutTokenNamesNobody,
            Self::Replayed => Reason::LogoutTokenReplayed,
        }
    }
}

impl From<InvalidClaim> for LogoutTokenError {
    fn from(InvalidClaim(name): InvalidClaim) -> Self {
        Self::InvalidClaim(name)
    }
}

impl From<ProviderError> for LogoutTokenError {
    fn from(error: ProviderError) -> Self {
        match error {
            // An unknown key is a fault of the token, not of the provider.
            ProviderError::UnknownKey => Self::UnknownKey,
            error => Self::Provider(error),
        }
    }
}

/// Verifies a logout token (OpenID Connect Back-Channel Logout section 2.6).
pub(crate) async fn verify_logout_token(
    provider: &Provider,
    metadata: &ProviderMetadata,
    token: &str,
    expected: &ExpectedLogoutToken<'_>,
) -> Result<LogoutClaims, LogoutTokenError> {
    let origin = TokenOrigin::Request;
    let verified = verify_signature::<LogoutTokenError>(provider, metadata, token, origin).await?;
    check(verified, metadata.issuer(), expected)
}

pub(super) fn check(
    verified: Verified<Claims>,
    issuer: &str,
    expected: &ExpectedLogoutToken<'_>,
) -> Result<LogoutClaims, LogoutTokenError> {
    // Section 2.4 only recommends `logout+jwt`. The checks of `nonce` and `events` reject other
    // kinds of token.
    if !matches!(verified.typ().as_deref(), None | Some("logout+jwt" | "jwt")) {
        return Err(LogoutTokenError::Typ);
    }
    let claims = verified.into_claims();
    if claims.has("nonce") {
        return Err(LogoutTokenError::Nonce);
    }
    // Other events may stand beside the logout (RFC 8417 section 2.2).
    let event = claims.get("events").and_then(|events| events.get(EVENT));
    if !event.is_some_and(Value::is_object) {
        return Err(LogoutTokenError::Events);
    }
    if claims.required_string("iss")? != issuer {
        return Err(LogoutTokenError::Iss);
    }
    let client = expected.client;
    if claims.audience(client.id(), client.trusted_audiences())? == Audience::Other {
        return Err(LogoutTokenError::Aud);
    }
    let expires_at = check_times(&claims, expected.now)?;
    let jti = claims.required_string("jti")?;
    if jti.is_empty() {
        return Err(LogoutTokenError::Jti);
    }
    let sub = non_empty(&claims, "sub")?;
    let sid = non_empty(&claims, "sid")?;
    if sub.is_none() && sid.is_none() {
        return Err(LogoutTokenError::NoSubOrSid);
    }
    Ok(LogoutClaims {
        sub,
        sid,
        jti: jti.to_owned(),
        expires_at,
    })
}

/// Checks the dates; returns when the token becomes unacceptable.
fn check_times(claims: &Claims, now: i64) -> Result<i64, LogoutTokenError> {
    // Drafts before the final specification had no `exp`; then the age alone decides.
    let exp = claims.date("exp")?.unwrap_or(i64::MAX);
    let iat = claims.required_date("iat")?;
    if exp <= now.saturating_sub(LEEWAY) {
        return Err(LogoutTokenError::Exp);
    }
    if iat > now.saturating_add(LEEWAY) {
        return Err(LogoutTokenError::Iat);
    }
    let acceptable_until = iat.saturating_add(MAX_AGE);
    if acceptable_until < now {
        return Err(LogoutTokenError::TooOld);
    }
    Ok(exp
        .saturating_add(LEEWAY)
        .min(acceptable_until.saturating_add(1)))
}

/// An empty `sub` or `sid` would match every session that has none.
fn non_empty(claims: &Claims, name: &'static str) -> Result<Option<String>, LogoutTokenError> {
    match claims.string(name)? {
        Some("") => Err(LogoutTokenError::InvalidClaim(name)),
        text => Ok(text.map(str::to_owned)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        config::ClientType,
        jose::{Algorithm, CompactJws, Ed25519KeyPair, Header, SigningKey},
    };

    const NOW: i64 = 1_800_000_000;
    const ISSUER: &str = "https://account.oten.com";

    fn valid_claims() -> Value {
        json!({
            "iss": ISSUER, "aud": "client", "iat": NOW, "exp": NOW + 120, "jti": "one",
            "sub": "alice", "sid": "the-sid", "events": { EVENT: {} },
        })
    }

    fn check_token(header: &Header, claims: &Value) -> Result<LogoutClaims, LogoutTokenError> {
        let client = Client {
            id: "client".into(),
            kind: ClientType::Public,
            published_keys: Vec::new(),
            trusted_audiences: Vec::new(),
        };
        let pair = Ed25519KeyPair::generate();
        let token = SigningKey::from(pair.clone()).sign(header, claims).unwrap();
        let jws = CompactJws::parse(&token)?;
        let verified = jws.verify(&pair.verifying_key(), &[Algorithm::EdDsa])?;
        let expected = ExpectedLogoutToken {
            client: &client,
            now: NOW,
        };
        check(verified, ISSUER, &expected)
    }

    /// Checks the valid claims with one replaced.
    fn with(name: &str, value: Value) -> Result<LogoutClaims, LogoutTokenError> {
        let mut claims = valid_claims();
        claims[name] = value;
        check_token(&Header::new("logout+jwt"), &claims)
    }

    #[test]
    fn o4_a_valid_logout_token_is_accepted() {
        for header in [
            Header::default(),
            Header::new("JWT"),
            Header::new("logout+jwt"),
        ] {
            let claims = check_token(&header, &valid_claims()).unwrap();
            assert_eq!(claims.sub.as_deref(), Some("alice"));
            assert_eq!(claims.sid.as_deref(), Some("the-sid"));
            assert_eq!(claims.jti, "one");
        }
        for (name, value) in [
            ("aud", json!(["client"])),
            ("sub", Value::Null),
            ("sid", Value::Null),
            ("events", json!({ EVENT: {}, "another": {} })),
            ("exp", json!(NOW - LEEWAY + 1)),
            ("iat", json!(NOW + LEEWAY)),
            ("iat", json!(NOW - MAX_AGE)),
        ] {
            assert!(with(name, value.clone()).is_ok(), "{name}: {value}");
        }
    }

    #[test]
    fn o4_each_claim_of_a_logout_token_is_checked() {
        let rejected = |typ| check_token(&Header::new(typ), &valid_claims()).err();
        assert_eq!(rejected("at+jwt"), Some(LogoutTokenError::Typ));
        for (name, value, error) in [
            ("nonce", Value::Null, LogoutTokenError::Nonce),
            ("events", json!({}), LogoutTokenError::Events),
            ("events", json!({ EVENT: 1 }), LogoutTokenError::Events),
            ("iss", json!("https://evil.example"), LogoutTokenError::Iss),
            ("aud", json!("other"), LogoutTokenError::Aud),
            ("aud", json!(["client", "other"]), LogoutTokenError::Aud),
            ("exp", json!(NOW - LEEWAY), LogoutTokenError::Exp),
            ("iat", json!(NOW + LEEWAY + 1), LogoutTokenError::Iat),
            ("iat", json!(NOW - MAX_AGE - 1), LogoutTokenError::TooOld),
            ("iat", Value::Null, LogoutTokenError::InvalidClaim("iat")),
            ("jti", json!(""), LogoutTokenError::Jti),
            ("jti", Value::Null, LogoutTokenError::InvalidClaim("jti")),
            ("sub", json!(""), LogoutTokenError::InvalidClaim("sub")),
            ("sid", json!(""), LogoutTokenError::InvalidClaim("sid")),
        ] {
            assert_eq!(
                with(name, value.clone()).err(),
                Some(error),
                "{name}: {value}"
            );
        }
        let mut claims = valid_claims();
        claims["sub"] = Value::Null;
        claims["sid"] = Value::Null;
        let rejected = check_token(&Header::new("logout+jwt"), &claims);
        assert_eq!(rejected.err(), Some(LogoutTokenError::NoSubOrSid));
    }

    /// A `jti` must be remembered for this long.
    #[test]
    fn o4_a_logout_token_is_acceptable_until_it_expires_or_is_too_old() {
        let until = |claims: &Value| check_token(&Header::default(), claims).unwrap().expires_at;
        let mut claims = valid_claims();
        assert_eq!(until(&claims), NOW + 120 + LEEWAY);
        claims["exp"] = json!(NOW + 86_400);
        assert_eq!(until(&claims), NOW + MAX_AGE + 1);
        claims["exp"] = Value::Null;
        assert_eq!(until(&claims), NOW + MAX_AGE + 1);
    }
}
