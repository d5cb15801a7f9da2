use serde_json::{Map, Value};

use super::Form;
use crate::{
    emulator::client::RequestForm,
    jose::{Algorithm, CompactJws, Verified, VerifyingKey},
};

pub(crate) type Claims = Map<String, Value>;

/// How far a client's clock may be ahead, in seconds.
const LEEWAY: i64 = 60;
/// The longest lifetime of a request object, in seconds.
const MAX_LIFETIME: i64 = 300;

/// Verifies the signature and the `typ` of a request object (RFC 9101 section 6.2).
pub(crate) fn verify(form: &RequestForm, request: &str) -> Result<Claims, &'static str> {
    let jws = CompactJws::parse(request).map_err(|_| "The request object is not a signed JWT")?;
    if jws.typ() != Some("JWT") {
        return Err("The request object's typ must be JWT");
    }
    let (key, algorithm) = match form {
        RequestForm::Hs256(secret) => (VerifyingKey::hs256(secret), Algorithm::Hs256),
        RequestForm::EdDsa(keys) => {
            let key_id = jws
                .key_id()
                .ok_or("The request object has no kid: name the signing key")?;
            let key = keys.find(Some(key_id), Algorithm::EdDsa);
            let key = key.ok_or("The request object's kid is not a registered key")?;
            (key.clone(), Algorithm::EdDsa)
        }
        RequestForm::Plain => return Err("This client must not send request objects"),
    };
    jws.algorithm(&[algorithm])
        .map_err(|_| "The request object's alg is not the registered one")?;
    jws.verify(&key, &[algorithm])
        .map(Verified::into_claims)
        .map_err(|_| "The request object's signature is invalid: check the signing key")
}

/// Returns the authorization parameters among verified claims.
pub(crate) fn parameters(claims: &Claims) -> Result<Form, &'static str> {
    const PARAMETERS: [&str; 12] = [
        "client_id",
        "redirect_uri",
        "response_type",
        "response_mode",
        "scope",
        "state",
        "nonce",
        "code_challenge",
        "code_challenge_method",
        "max_age",
        "prompt",
        "ui_locales",
    ];
    PARAMETERS
        .into_iter()
        .filter_map(|name| Some((name, claims.get(name)?)))
        .map(|(name, value)| match value {
            Value::String(text) => Ok((name.to_owned(), text.clone())),
            Value::Number(number) if name == "max_age" => Ok((name.to_owned(), number.to_string())),
            _ => Err("The parameters in the request object must be strings"),
        })
        .collect::<Result<_, _>>()
        .map(Form)
}

/// Validates the claims that bind a request object to its client, the issuer and a time. Returns
/// its `jti` and `exp`, with which the caller detects replay.
pub(crate) fn validate<'a>(
    claims: &'a Claims,
    client_id: &str,
    issuer: &str,
    now: i64,
) -> Result<(&'a str, i64), (&'static str, &'static str)> {
    let invalid = |description| Err(("invalid_request_object", description));
    let text = |name| claims.get(name).and_then(Value::as_str);
    let seconds = |name| claims.get(name).and_then(Value::as_i64);

    if claims.contains_key("request") || claims.contains_key("request_uri") {
        return invalid("The request object must not contain request or request_uri");
    }
    if text("iss") != Some(client_id) {
        return invalid("The request object's iss must be the client_id");
    }
    if text("client_id") != Some(client_id) {
        return invalid("The request object's client_id must match the query's client_id");
    }
    if !has_audience(claims, issuer) {
        return invalid("The request object's aud must be the issuer");
    }
    let (Some(iat), Some(exp)) = (seconds("iat"), seconds("exp")) else {
        return invalid("The request object must contain iat and exp in seconds");
    };
    if iat > now + LEEWAY {
        return invalid("The request object's iat is in the future: check the client's clock");
    }
    if claims.contains_key("nbf") && seconds("nbf").is_none_or(|nbf| nbf > now + LEEWAY) {
        return invalid("The request object's nbf is in the future: check the client's clock");
    }
    if !(0..=MAX_LIFETIME).contains(&exp.saturating_sub(iat)) {
        return invalid("The request object's exp must be at most 300 seconds after its iat");
    }
    if exp <= now {
        return Err(("invalid_request", "The request object has expired"));
    }
    match text("jti").filter(|jti| !jti.is_empty()) {
        Some(jti) => Ok((jti, exp)),
        None => invalid("The request object must contain a jti"),
    }
}

/// Whether `aud` names `party` (RFC 7519 section 4.1.3).
pub(crate) fn has_audience(claims: &Claims, party: &str) -> bool {
    match claims.get("aud") {
        Some(Value::String(one)) => one == party,
        Some(Value::Array(many)) => many.iter().any(|one| one == party),
        _ => false,
    }
}
