use serde_json::{Map, Value};
use sha2::{Digest, Sha256, Sha512};

use super::claims::{Audience, Claims, InvalidClaim, LEEWAY, verify_signature};
use crate::{
    audit::Reason,
    config::Client,
    jose::{Algorithm, JoseError, Verified},
    provider::{Provider, ProviderError, ProviderMetadata, TokenOrigin},
    secret::{Secret, base64url, constant_time_eq},
};

/// The claims that concern the token and the session, in the order of the checks. All others are
/// about the user. `sid` is among the others because apps may need it.
const PROTOCOL_CLAIMS: [&str; 11] = [
    "iss",
    "aud",
    "azp",
    "sub",
    "exp",
    "iat",
    "nbf",
    "auth_time",
    "session_expiry",
    "nonce",
    "at_hash",
];

/// The longest `sub` in ASCII characters (OpenID Connect Core section 2).
const MAX_SUB_LEN: usize = 255;

/// The verified claims of an ID token (OpenID Connect Core section 2).
#[derive(Clone, Debug)]
pub(crate) struct IdTokenClaims {
    pub(crate) sub: String,
    /// When the user authenticated at the provider, in seconds since the Unix epoch.
    pub(crate) auth_time: Option<i64>,
    /// When the session must end, in seconds since the Unix epoch (IPSIE SL1 OpenID Connect Profile
    /// section 3.2.2).
    pub(crate) session_expiry: Option<i64>,
    /// The session at the provider (OpenID Connect Back-Channel Logout section 2.1).
    pub(crate) sid: Option<String>,
    /// The claims about the user.
    pub(crate) other: Map<String, Value>,
}

/// The values that an ID token is checked against.
#[derive(Debug)]
pub(crate) struct ExpectedIdToken<'a> {
    pub(crate) issuer: &'a str,
    pub(crate) client: &'a Client,
    /// The user of the session, for the ID token of a refresh (section 12.2).
    pub(crate) subject: Option<&'a str>,
    pub(crate) nonce: ExpectedNonce<'a>,
    /// The `auth_time` of the sign-in, for the ID token of a refresh (section 12.2).
    pub(crate) auth_time: Option<i64>,
    pub(crate) access_token: &'a Secret,
    /// The earliest `auth_time`, which is then required, in seconds since the Unix epoch.
    pub(crate) authenticated_since: Option<i64>,
    /// Seconds since the Unix epoch.
    pub(crate) now: i64,
}

/// The `nonce` that an ID token is checked against.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ExpectedNonce<'a> {
    /// The one of the authorization request.
    Required(&'a Secret),
    /// The one of the sign-in, if it is known, for the ID token of a refresh, which may omit it
    /// (section 12.2).
    IfPresent(Option<&'a Secret>),
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
    #[error("the ID token is rejected")]
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
    #[error(
        "the ID token's `aud` is not exactly this client; check `client_id`, and \
         `trusted_audiences` if the provider is not Oten"
    )]
    Aud,
    /// Section 3.1.3.7, numbers 4 and 5.
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
    /// Section 12.2.
    #[error("the `nonce` of the refreshed ID token is not that of the sign-in")]
    NonceChanged,
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
    #[error("the ID token's `auth_time` is missing, in the future or older than requested")]
    AuthTime,
    /// Section 12.2.
    #[error("the `auth_time` of the refreshed ID token is not that of the sign-in")]
    AuthTimeChanged,
    /// IPSIE SL1 OpenID Connect Profile section 3.2.2.
    #[error("the ID token's `session_expiry` has passed; check this machine's clock")]
    SessionExpiry,
}

impl IdTokenError {
    /// Returns whether the token is wrong in its dates only: it is valid at another time than that of this machine.
    pub(crate) fn is_of_clocks(&self) -> bool {
        matches!(self, Self::Exp | Self::Iat | Self::Nbf)
    }

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
            Self::Nonce | Self::NonceChanged => Reason::IdTokenNonce,
            Self::Sub | Self::SubChanged => Reason::IdTokenSub,
            Self::AtHash => Reason::IdTokenAtHash,
            Self::AuthTime | Self::AuthTimeChanged => Reason::IdTokenAuthTime,
            Self::SessionExpiry => Reason::IdTokenSessionExpiry,
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
    let origin = TokenOrigin::ProviderResponse;
    let verified = verify_signature::<IdTokenError>(provider, metadata, id_token, origin).await?;
    check(verified, expected)
}

pub(super) fn check(
    verified: Verified<Claims>,
    expected: &ExpectedIdToken<'_>,
) -> Result<IdTokenClaims, IdTokenError> {
    if verified.typ().is_some_and(|typ| typ != "jwt") {
        return Err(IdTokenError::Typ);
    }
    let algorithm = verified.algorithm();
    let claims = verified.into_claims();
    let sub = check_parties(&claims, expected)?.to_owned();
    let auth_time = check_auth_time(&claims, expected)?;
    let session_expiry = claims.date("session_expiry")?;
    if session_expiry.is_some_and(|expiry| expiry <= expected.now) {
        return Err(IdTokenError::SessionExpiry);
    }
    check_bindings(&claims, algorithm, expected)?;
    let sid = claims.string("sid")?.map(str::to_owned);
    // Last: a refresh ignores a token that is wrong in its dates only.
    check_dates(&claims, expected.now)?;
    Ok(IdTokenClaims {
        sub,
        auth_time,
        session_expiry,
        sid,
        other: claims.into_all_but(&PROTOCOL_CLAIMS),
    })
}

/// Returns the claims about the user in an ID token that was verified before.
pub(crate) fn user_claims(id_token: &Secret) -> Option<Map<String, Value>> {
    let claims = Claims::unverified(id_token.expose())?;
    Some(claims.into_all_but(&PROTOCOL_CLAIMS))
}

/// Checks issuer, audience and subject; returns the subject.
fn check_parties<'a>(
    claims: &'a Claims,
    expected: &ExpectedIdToken<'_>,
) -> Result<&'a str, IdTokenError> {
    if claims.required_string("iss")? != expected.issuer {
        return Err(IdTokenError::Iss);
    }
    let client = expected.client;
    // Beside others, `azp` must say that the token was issued to this client.
    let is_azp_required = match claims.audience(client.id(), client.trusted_audiences())? {
        Audience::Client => false,
        Audience::ClientAndTrusted => true,
        Audience::Other => return Err(IdTokenError::Aud),
    };
    match claims.string("azp")? {
        None if !is_azp_required => {}
        Some(azp) if azp == client.id() => {}
        _ => return Err(IdTokenError::Azp),
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

/// Checks and returns `auth_time`.
fn check_auth_time(
    claims: &Claims,
    expected: &ExpectedIdToken<'_>,
) -> Result<Option<i64>, IdTokenError> {
    let latest = expected.now.saturating_add(LEEWAY);
    let auth_time = claims.date("auth_time")?;
    let is_good = match (auth_time, expected.authenticated_since) {
        (None, since) => since.is_none(),
        (Some(at), since) => {
            at <= latest && since.is_none_or(|since| at >= since.saturating_sub(LEEWAY))
        }
    };
    if !is_good {
        return Err(IdTokenError::AuthTime);
    }
    match (auth_time, expected.auth_time) {
        (Some(new), Some(original)) if new != original => Err(IdTokenError::AuthTimeChanged),
        _ => Ok(auth_time),
    }
}

/// Checks that the token belongs to this sign-in and to the access token of the same response.
fn check_bindings(
    claims: &Claims,
    algorithm: Algorithm,
    expected: &ExpectedIdToken<'_>,
) -> Result<(), IdTokenError> {
    let nonce = claims.string("nonce")?;
    let is =
        |nonce: &str, sent: &Secret| constant_time_eq(nonce.as_bytes(), sent.expose().as_bytes());
    match (expected.nonce, nonce) {
        (ExpectedNonce::Required(sent), nonce) if !is(nonce.unwrap_or_default(), sent) => {
            return Err(IdTokenError::Nonce);
        }
        (ExpectedNonce::IfPresent(Some(sent)), Some(nonce)) if !is(nonce, sent) => {
            return Err(IdTokenError::NonceChanged);
        }
        _ => {}
    }
    if let Some(at_hash) = claims.string("at_hash")?
        && !constant_time_eq(
            at_hash.as_bytes(),
            hash(expected.access_token, algorithm).as_bytes(),
        )
    {
        return Err(IdTokenError::AtHash);
    }
    Ok(())
}

/// Checks that the token is valid now.
fn check_dates(claims: &Claims, now: i64) -> Result<(), IdTokenError> {
    let latest = now.saturating_add(LEEWAY);
    if claims.required_date("exp")? <= now.saturating_sub(LEEWAY) {
        return Err(IdTokenError::Exp);
    }
    if claims.required_date("iat")? > latest {
        return Err(IdTokenError::Iat);
    }
    if claims.date("nbf")?.is_some_and(|nbf| nbf > latest) {
        return Err(IdTokenError::Nbf);
    }
    Ok(())
}

/// Returns the `at_hash` of an access token: the left half of its hash with the hash function of the ID
/// token's algorithm (OpenID Connect Core section 3.1.3.6). That of `EdDSA` is the one inside Ed25519,
/// SHA-512 (RFC 8032 section 5.1).
fn hash(access_token: &Secret, algorithm: Algorithm) -> String {
    let token = access_token.expose();
    match algorithm {
        Algorithm::EdDsa => base64url(&Sha512::digest(token)[..32]),
        _ => base64url(&Sha256::digest(token)[..16]),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use serde_json::json;

    use super::*;
    use crate::{
        config::ClientType,
        jose::{CompactJws, Ed25519KeyPair, Header, SigningKey},
    };

    const NOW: i64 = 1_800_000_000;

    static NONCE: LazyLock<Secret> = LazyLock::new(|| "the-nonce".into());
    static ACCESS_TOKEN: LazyLock<Secret> = LazyLock::new(|| "the-access-token".into());
    static CLIENT: LazyLock<Client> = LazyLock::new(|| client(&[]));

    fn client(trusted_audiences: &[&str]) -> Client {
        Client {
            id: "client".into(),
            kind: ClientType::Public,
            published_keys: Vec::new(),
            trusted_audiences: trusted_audiences.iter().map(|&one| one.into()).collect(),
        }
    }

    fn valid_claims() -> Value {
        json!({
            "iss": "https://account.oten.com", "sub": "alice", "aud": "client",
            "exp": NOW + 3600, "iat": NOW, "nbf": NOW, "auth_time": NOW - 10,
            "session_expiry": NOW + 7200, "azp": "client", "sid": "the-sid",
            "nonce": "the-nonce", "at_hash": hash(&ACCESS_TOKEN, Algorithm::EdDsa), "name": "Alice",
        })
    }

    fn at_sign_in() -> ExpectedIdToken<'static> {
        ExpectedIdToken {
            issuer: "https://account.oten.com",
            client: &CLIENT,
            subject: None,
            nonce: ExpectedNonce::Required(&NONCE),
            auth_time: None,
            access_token: &ACCESS_TOKEN,
            authenticated_since: Some(NOW - 300),
            now: NOW,
        }
    }

    fn at_refresh() -> ExpectedIdToken<'static> {
        ExpectedIdToken {
            subject: Some("alice"),
            nonce: ExpectedNonce::IfPresent(Some(&NONCE)),
            auth_time: Some(NOW - 10),
            authenticated_since: None,
            ..at_sign_in()
        }
    }

    fn sign(header: &Header, claims: &Value, pair: &Ed25519KeyPair) -> String {
        SigningKey::from(pair.clone()).sign(header, claims).unwrap()
    }

    fn check_token(
        header: &Header,
        claims: &Value,
        expected: &ExpectedIdToken<'_>,
    ) -> Result<IdTokenClaims, IdTokenError> {
        let pair = Ed25519KeyPair::generate();
        let token = sign(header, claims, &pair);
        let jws = CompactJws::parse(&token)?;
        check(
            jws.verify(&pair.verifying_key(), &[Algorithm::EdDsa])?,
            expected,
        )
    }

    /// Checks the valid token with one claim replaced, or removed if there is no value.
    fn with(
        name: &str,
        value: Option<Value>,
        expected: &ExpectedIdToken<'_>,
    ) -> Result<IdTokenClaims, IdTokenError> {
        let mut claims = valid_claims();
        let members = claims.as_object_mut().unwrap();
        match value {
            None => members.remove(name),
            Some(value) => members.insert(name.to_owned(), value),
        };
        check_token(&Header::new("JWT"), &claims, expected)
    }

    #[test]
    fn s6_a_valid_token_is_accepted() {
        let claims = check_token(&Header::new("JWT"), &valid_claims(), &at_sign_in()).unwrap();
        assert_eq!(claims.sub, "alice");
        assert_eq!(claims.auth_time, Some(NOW - 10));
        for (name, value) in [
            ("nbf", None),
            ("azp", None),
            ("at_hash", None),
            ("aud", Some(json!(["client"]))),
            ("exp", Some(json!(NOW - 59))),
            ("exp", Some(json!(f64::from(2_000_000_000)))),
            ("iat", Some(json!(NOW + 60))),
            ("nbf", Some(json!(NOW + 60))),
            ("sub", Some(json!("x".repeat(255)))),
            ("auth_time", Some(json!(NOW - 360))),
            ("auth_time", Some(json!(NOW + 60))),
        ] {
            let accepted = with(name, value.clone(), &at_sign_in());
            assert!(accepted.is_ok(), "{name}: {value:?}");
        }
        assert!(check_token(&Header::default(), &valid_claims(), &at_sign_in()).is_ok());
    }

    #[test]
    fn s6_each_wrong_claim_is_rejected_with_its_own_error() {
        use IdTokenError as E;
        for (name, value, error) in [
            ("iss", Some(json!("https://account.oten.com/")), E::Iss),
            ("iss", Some(json!("https://evil.example")), E::Iss),
            ("aud", Some(json!("another")), E::Aud),
            ("aud", Some(json!([])), E::Aud),
            ("aud", Some(json!(["client", "another"])), E::Aud),
            ("aud", Some(json!(["client", "client"])), E::Aud),
            ("azp", Some(json!("another")), E::Azp),
            ("sub", Some(json!("")), E::Sub),
            ("sub", Some(json!("x".repeat(256))), E::Sub),
            ("sub", Some(json!("älice")), E::Sub),
            ("exp", Some(json!(NOW - 60)), E::Exp),
            ("exp", Some(json!(0)), E::Exp),
            ("exp", Some(json!(-1e300)), E::Exp),
            ("iat", Some(json!(NOW + 61)), E::Iat),
            ("nbf", Some(json!(NOW + 61)), E::Nbf),
            ("nonce", Some(json!("another")), E::Nonce),
            ("nonce", None, E::Nonce),
            ("nonce", Some(Value::Null), E::Nonce),
            ("nonce", Some(json!("")), E::Nonce),
            ("at_hash", Some(json!("another")), E::AtHash),
            ("auth_time", None, E::AuthTime),
            ("auth_time", Some(json!(NOW - 361)), E::AuthTime),
            ("auth_time", Some(json!(NOW + 61)), E::AuthTime),
            ("session_expiry", Some(json!(NOW)), E::SessionExpiry),
            ("session_expiry", Some(json!(0)), E::SessionExpiry),
        ] {
            let rejected = with(name, value.clone(), &at_sign_in()).unwrap_err();
            assert_eq!(rejected, error, "{name}: {value:?}");
            let is_of_clocks = ["exp", "iat", "nbf"].contains(&name);
            assert_eq!(rejected.is_of_clocks(), is_of_clocks, "{name}");
        }
    }

    /// A refresh ignores tokens that are wrong in their dates only.
    #[test]
    fn l3_wrong_dates_hide_no_other_error() {
        for (name, value) in [
            ("iss", json!("https://evil.example")),
            ("aud", json!("another")),
            ("azp", json!("another")),
            ("sub", json!("mallory")),
            ("nonce", json!("another")),
            ("auth_time", json!(NOW - 9)),
            ("at_hash", json!("another")),
            ("session_expiry", json!(NOW)),
            ("sid", json!(5)),
        ] {
            let mut claims = valid_claims();
            claims["exp"] = json!(0);
            let check = |claims: &Value| check_token(&Header::new("JWT"), claims, &at_refresh());
            assert_eq!(check(&claims).unwrap_err(), IdTokenError::Exp);
            claims[name] = value;
            assert!(!check(&claims).unwrap_err().is_of_clocks(), "{name}");
        }
    }

    /// OpenID Connect Core section 3.1.3.7, numbers 3 to 5.
    #[test]
    fn s6_further_audiences_are_accepted_only_if_trusted_and_issued_to_this_client() {
        use IdTokenError as E;
        let client = client(&["project", "api"]);
        let accepts = |aud: Value, azp: Option<Value>| {
            let mut claims = valid_claims();
            claims["aud"] = aud;
            claims["azp"] = azp.unwrap_or_default();
            let expected = ExpectedIdToken {
                client: &client,
                ..at_sign_in()
            };
            check_token(&Header::new("JWT"), &claims, &expected).map(drop)
        };
        let azp = || Some(json!("client"));
        assert_eq!(accepts(json!("client"), None), Ok(()));
        assert_eq!(accepts(json!(["client"]), None), Ok(()));
        assert_eq!(accepts(json!(["client", "project"]), azp()), Ok(()));
        assert_eq!(accepts(json!(["api", "project", "client"]), azp()), Ok(()));
        for (aud, azp, error) in [
            (json!("project"), azp(), E::Aud),
            (json!(["project", "api"]), azp(), E::Aud),
            (json!(["client", "another"]), azp(), E::Aud),
            (json!(["client", "project", "another"]), azp(), E::Aud),
            (json!(["client", "Project"]), azp(), E::Aud),
            (json!([]), azp(), E::Aud),
            (json!(["client", 5]), azp(), E::InvalidClaim("aud")),
            (json!(["client", "project"]), None, E::Azp),
            (json!(["client", "project"]), Some(json!("project")), E::Azp),
            (json!(["client", "project"]), Some(json!("")), E::Azp),
            (json!("client"), Some(json!("project")), E::Azp),
        ] {
            assert_eq!(accepts(aud.clone(), azp), Err(error), "{aud}");
        }
    }

    /// The examples of OpenID Connect Core appendix A.3 and A.4: an access token and its `at_hash`.
    #[test]
    fn s6_the_hash_of_the_access_token_is_that_of_the_algorithm() {
        let token = Secret::from("jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y");
        for algorithm in [Algorithm::Rs256, Algorithm::Ps256, Algorithm::Es256] {
            assert_eq!(hash(&token, algorithm), "77QmUPtjPfzWtF2AnpK9RQ");
        }
        assert_eq!(hash(&token, Algorithm::EdDsa).len(), 43);
    }

    #[test]
    fn s6_a_missing_or_mistyped_claim_is_rejected() {
        for name in ["iss", "sub", "aud", "exp", "iat"] {
            for value in [None, Some(Value::Null), Some(json!({})), Some(json!(true))] {
                let rejected = with(name, value, &at_sign_in()).unwrap_err();
                assert_eq!(rejected, IdTokenError::InvalidClaim(name));
            }
        }
        for name in ["azp", "nbf", "auth_time", "session_expiry", "nonce", "sid"] {
            for value in [json!({}), json!(true)] {
                let rejected = with(name, Some(value), &at_sign_in()).unwrap_err();
                assert_eq!(rejected, IdTokenError::InvalidClaim(name));
            }
        }
    }

    #[test]
    fn p2_an_optional_claim_that_is_null_is_absent() {
        for name in [
            "azp",
            "nbf",
            "auth_time",
            "session_expiry",
            "at_hash",
            "sid",
        ] {
            let expected = ExpectedIdToken {
                authenticated_since: None,
                ..at_sign_in()
            };
            let claims = with(name, Some(Value::Null), &expected).unwrap();
            assert_eq!(claims.auth_time.is_none(), name == "auth_time");
            assert_eq!(claims.session_expiry.is_none(), name == "session_expiry");
            assert_eq!(claims.sid.is_none(), name == "sid");
        }
    }

    #[test]
    fn s6_an_access_token_is_not_an_id_token() {
        for typ in ["at+jwt", "application/at+jwt", "logout+jwt"] {
            let rejected = check_token(&Header::new(typ), &valid_claims(), &at_sign_in());
            assert_eq!(rejected.unwrap_err(), IdTokenError::Typ);
        }
    }

    #[test]
    fn l13_the_expiry_of_the_session_is_returned() {
        let claims = check_token(&Header::new("JWT"), &valid_claims(), &at_sign_in()).unwrap();
        assert_eq!(claims.session_expiry, Some(NOW + 7200));
        let claims = with("session_expiry", None, &at_sign_in()).unwrap();
        assert_eq!(claims.session_expiry, None);
        let claims = with("session_expiry", Some(json!(NOW + 1)), &at_sign_in()).unwrap();
        assert_eq!(claims.session_expiry, Some(NOW + 1));
    }

    #[test]
    fn l3_a_refreshed_token_keeps_user_nonce_and_auth_time() {
        use IdTokenError as E;
        for (name, value) in [
            ("nonce", Some(json!("the-nonce"))),
            ("nonce", None),
            ("nonce", Some(Value::Null)),
            ("auth_time", None),
            ("auth_time", Some(json!(NOW - 10))),
        ] {
            let accepted = with(name, value.clone(), &at_refresh());
            assert!(accepted.is_ok(), "{name}: {value:?}");
        }
        for (name, value, error) in [
            ("sub", json!("bob"), E::SubChanged),
            ("nonce", json!("another"), E::NonceChanged),
            ("nonce", json!(""), E::NonceChanged),
            ("auth_time", json!(NOW - 9), E::AuthTimeChanged),
            ("auth_time", json!(NOW - 11), E::AuthTimeChanged),
        ] {
            let rejected = with(name, Some(value.clone()), &at_refresh());
            assert_eq!(rejected.unwrap_err(), error, "{name}: {value}");
        }
    }

    #[test]
    fn l3_nonce_and_auth_time_are_accepted_if_those_of_the_sign_in_are_unknown() {
        let expected = ExpectedIdToken {
            nonce: ExpectedNonce::IfPresent(None),
            auth_time: None,
            ..at_refresh()
        };
        assert!(with("nonce", Some(json!("another")), &expected).is_ok());
        assert!(with("auth_time", Some(json!(NOW - 9)), &expected).is_ok());
    }

    #[test]
    fn l3_the_claims_about_the_user_are_those_of_the_verification() {
        let (header, claims) = (Header::new("JWT"), valid_claims());
        let verified = check_token(&header, &claims, &at_sign_in()).unwrap().other;
        let token = sign(&header, &claims, &Ed25519KeyPair::generate());
        assert_eq!(user_claims(&token.into()).as_ref(), Some(&verified));
        let expected = json!({ "name": "Alice", "sid": "the-sid" });
        assert_eq!(Value::Object(verified), expected);
        for text in ["", "a.b.c", "e30", "e30.W10.e30"] {
            assert!(user_claims(&text.into()).is_none(), "{text}");
        }
    }
}
