use serde_json::Value;

use super::claims::{
    ALLOWED, Claims, LEEWAY, Misshapen, required, take_audience, take_date, take_string,
};
use crate::{
    audit::Reason,
    jose::{CompactJws, JoseError, VerifyingKey},
    provider::{Provider, ProviderError, ProviderMetadata},
};

/// The event a logout token tells of (OpenID Connect Back-Channel Logout 1.0 section 2.4).
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// An older logout token is not believed, whatever its own end, in seconds. Nothing said about the
/// present takes longer to arrive, and what arrived has to be remembered for as long.
const MAX_AGE: i64 = 10 * 60;

/// What a logout token says, all of it checked.
#[derive(Debug)]
pub(crate) struct LogoutClaims {
    pub(crate) sub: Option<String>,
    pub(crate) sid: Option<String>,
    /// Tells it from every other logout token of this issuer.
    pub(crate) jti: String,
    /// From then on it is not believed any more, in seconds since the Unix epoch.
    pub(crate) ends_at: i64,
}

/// What a logout token must agree with.
#[derive(Debug)]
pub(crate) struct ExpectedLogout<'a> {
    pub(crate) client_id: &'a str,
    /// Seconds since the Unix epoch.
    pub(crate) now: i64,
}

/// The rule a logout token broke. The claim is named, its value is not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LogoutTokenError {
    #[error("the logout token is refused: {0}")]
    Jose(#[from] JoseError),
    #[error("the provider publishes no key for the logout token's `kid` and `alg`")]
    UnknownKey,
    #[error("the logout token's `{0}` is missing or of the wrong type")]
    Misshapen(&'static str),
    #[error("the logout token's `typ` is neither `logout+jwt` nor `JWT`")]
    Typ,
    #[error("the logout token has a `nonce`: an ID token poses as a logout token")]
    Nonce,
    #[error("the logout token's `events` does not tell of a logout")]
    Events,
    #[error("the logout token's `iss` is not the provider's")]
    Iss,
    #[error("the logout token's `aud` is not this client and nobody else")]
    Aud,
    #[error("the logout token has expired (`exp`); is this machine's clock right?")]
    Exp,
    #[error("the logout token was issued in the future (`iat`); is this machine's clock right?")]
    Iat,
    #[error("the logout token was issued more than ten minutes ago (`iat`)")]
    TooOld,
    #[error("the logout token's `jti` is empty")]
    Jti,
    #[error("the logout token names neither a `sub` nor a `sid`")]
    NamesNobody,
    #[error("the logout token was used before (`jti`)")]
    Replayed,
}

impl LogoutTokenError {
    /// Returns the reason that events and answers name.
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::Jose(_) => Reason::LogoutTokenSignature,
            Self::UnknownKey => Reason::LogoutTokenUnknownKey,
            Self::Misshapen(_) => Reason::LogoutTokenMisshapen,
            Self::Typ => Reason::LogoutTokenTyp,
            Self::Nonce => Reason::LogoutTokenNonce,
            Self::Events => Reason::LogoutTokenEvents,
            Self::Iss => Reason::LogoutTokenIss,
            Self::Aud => Reason::LogoutTokenAud,
            Self::Exp => Reason::LogoutTokenExp,
            Self::Iat => Reason::LogoutTokenIat,
            Self::TooOld => Reason::LogoutTokenTooOld,
            Self::Jti => Reason::LogoutTokenJti,
            Self::NamesNobody => Reason::LogoutTokenNamesNobody,
            Self::Replayed => Reason::LogoutTokenReplayed,
        }
    }
}

impl From<Misshapen> for LogoutTokenError {
    fn from(Misshapen(claim): Misshapen) -> Self {
        Self::Misshapen(claim)
    }
}

/// Why a logout token is not acted on: it is a lie, or its key is not to be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogoutTokenCheckError {
    #[error(transparent)]
    Provider(ProviderError),
    #[error(transparent)]
    LogoutToken(#[from] LogoutTokenError),
}

impl From<ProviderError> for LogoutTokenCheckError {
    fn from(error: ProviderError) -> Self {
        match error {
            // It is the token that names a key nobody has.
            ProviderError::UnknownKey => Self::LogoutToken(LogoutTokenError::UnknownKey),
            error => Self::Provider(error),
        }
    }
}

/// Verifies a logout token with the provider's key for it.
pub(crate) async fn check_logout_token(
    provider: &Provider,
    metadata: &ProviderMetadata,
    token: &str,
    expected: &ExpectedLogout<'_>,
) -> Result<LogoutClaims, LogoutTokenCheckError> {
    let jws = CompactJws::parse(token).map_err(LogoutTokenError::from)?;
    let algorithm = jws.algorithm(&ALLOWED).map_err(LogoutTokenError::from)?;
    let key = provider.key(metadata, jws.key_id(), algorithm).await?;
    Ok(verify(jws, &key, metadata.issuer(), expected)?)
}

/// OpenID Connect Back-Channel Logout 1.0 section 2.6.
fn verify(
    jws: CompactJws<'_>,
    key: &VerifyingKey,
    issuer: &str,
    expected: &ExpectedLogout<'_>,
) -> Result<LogoutClaims, LogoutTokenError> {
    let verified = jws.verify::<Claims>(key, &ALLOWED)?;
    // `logout+jwt` is recommended only (section 2.4). What else keeps other tokens out are `nonce`
    // and `events`.
    let is_ours = |typ: &str| {
        ["logout+jwt", "JWT"]
            .iter()
            .any(|known| typ.eq_ignore_ascii_case(known))
    };
    if verified.typ().is_some_and(|typ| !is_ours(typ)) {
        return Err(LogoutTokenError::Typ);
    }
    let mut claims = verified.into_claims();
    if claims.contains_key("nonce") {
        return Err(LogoutTokenError::Nonce);
    }
    check_events(&claims)?;
    check_parties(&mut claims, issuer, expected)?;
    let ends_at = check_times(&mut claims, expected.now)?;
    let jti = required("jti", take_string(&mut claims, "jti")?)?;
    if jti.is_empty() {
        return Err(LogoutTokenError::Jti);
    }
    let (sub, sid) = whom(&mut claims)?;
    Ok(LogoutClaims {
        sub,
        sid,
        jti,
        ends_at,
    })
}

/// The logout must be among the events, as an object; it may be among others (RFC 8417 section 2.2).
fn check_events(claims: &Claims) -> Result<(), LogoutTokenError> {
    let event = claims.get("events").and_then(|events| events.get(EVENT));
    event
        .is_some_and(Value::is_object)
        .then_some(())
        .ok_or(LogoutTokenError::Events)
}

fn check_parties(
    claims: &mut Claims,
    issuer: &str,
    expected: &ExpectedLogout<'_>,
) -> Result<(), LogoutTokenError> {
    if required("iss", take_string(claims, "iss")?)? != issuer {
        return Err(LogoutTokenError::Iss);
    }
    if take_audience(claims)? != [expected.client_id] {
        return Err(LogoutTokenError::Aud);
    }
    Ok(())
}

/// The answer is when it ends. `exp` is required since the final specification; a provider that is
/// older than it sends none, and then the age alone decides.
fn check_times(claims: &mut Claims, now: i64) -> Result<i64, LogoutTokenError> {
    let exp = take_date(claims, "exp")?.unwrap_or(i64::MAX);
    let iat = required("iat", take_date(claims, "iat")?)?;
    if exp <= now.saturating_sub(LEEWAY) {
        return Err(LogoutTokenError::Exp);
    }
    if iat > now.saturating_add(LEEWAY) {
        return Err(LogoutTokenError::Iat);
    }
    let too_old_at = iat.saturating_add(MAX_AGE);
    if too_old_at < now {
        return Err(LogoutTokenError::TooOld);
    }
    Ok(exp.saturating_add(LEEWAY).min(too_old_at.saturating_add(1)))
}

/// The user, the session at the provider, or both.
fn whom(claims: &mut Claims) -> Result<(Option<String>, Option<String>), LogoutTokenError> {
    let mut take = |name| -> Result<Option<String>, LogoutTokenError> {
        match take_string(claims, name)? {
            // It would be taken for what somebody else without a name is filed under.
            Some(text) if text.is_empty() => Err(LogoutTokenError::Misshapen(name)),
            named => Ok(named),
        }
    };
    match (take("sub")?, take("sid")?) {
        (None, None) => Err(LogoutTokenError::NamesNobody),
        named => Ok(named),
    }
}
