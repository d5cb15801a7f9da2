use serde_json::{Map, Value};

use super::{
    client::RequestForm,
    core::{Client, Core},
    form::Form,
};
use crate::jose::{Algorithm, CompactJws, VerifyingKey};

type Claims = Map<String, Value>;

/// How far a client's clock may be ahead of ours, in seconds.
const LEEWAY: i64 = 60;
/// How long a request object may live, in seconds.
const MAX_LIFETIME: i64 = 300;

/// Checks the signature and the `typ` of a request object (RFC 9101 section 6.2).
pub(super) fn verify(core: &Core, client: &Client, request: &str) -> Result<Claims, &'static str> {
    let jws = CompactJws::parse(request).map_err(|_| "The request object is not a signed JWT")?;
    if jws.typ() != Some("JWT") {
        return Err("The request object's typ must be JWT");
    }
    let (key, algorithm): (VerifyingKey, _) = match &client.request_form {
        RequestForm::Hs256(secret) => (VerifyingKey::hs256(secret), Algorithm::Hs256),
        RequestForm::EdDsa(registered) => {
            let state = core.state();
            let replaced = state.replaced_keys.get(&client.registered.id);
            let keys = replaced.unwrap_or(registered);
            let kid = jws
                .key_id()
                .ok_or("The request object must name its key in kid")?;
            let key = keys.find(Some(kid), Algorithm::EdDsa);
            let key = key.ok_or("The request object's kid is not registered")?;
            (key.clone(), Algorithm::EdDsa)
        }
        RequestForm::Plain => return Err("This client must not send request objects"),
    };
    jws.algorithm(&[algorithm])
        .map_err(|_| "The request object's alg is not the registered one")?;
    jws.verify(&key, &[algorithm])
        .map(crate::jose::Verified::into_claims)
        .map_err(|_| "The request object's signature does not hold")
}

/// The authorization parameters among verified claims, in the form a query would have.
pub(super) fn parameters(claims: &Claims) -> Result<Form, &'static str> {
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
    let text = |(name, value): (&str, &Value)| match value {
        Value::String(text) => Ok((name.to_owned(), text.clone())),
        Value::Number(number) if name == "max_age" => Ok((name.to_owned(), number.to_string())),
        _ => Err("A parameter in the request object is not a string"),
    };
    PARAMETERS
        .into_iter()
        .filter_map(|name| Some((name, claims.get(name)?)))
        .map(text)
        .collect()
}

/// Checks the claims that make it a request object of this client, for us, now, and for the first
/// time.
pub(super) fn check(
    core: &Core,
    client: &Client,
    claims: &Claims,
) -> Result<(), (&'static str, &'static str)> {
    let invalid = |description| Err(("invalid_request_object", description));
    let id = client.registered.id.as_str();
    let now = core.now();
    let seconds = |name| claims.get(name).and_then(Value::as_i64);

    if ["request", "request_uri"]
        .iter()
        .any(|name| claims.contains_key(*name))
    {
        return invalid("A request object must not carry request or request_uri");
    }
    if claims.get("iss").and_then(Value::as_str) != Some(id) {
        return invalid("The request object's iss must be the client_id");
    }
    if claims.get("client_id").and_then(Value::as_str) != Some(id) {
        return invalid("The request object's client_id must repeat the outer one");
    }
    if !names(claims.get("aud"), &core.issuer) {
        return invalid("The request object's aud must be the issuer");
    }
    let (Some(issued), Some(expires)) = (seconds("iat"), seconds("exp")) else {
        return invalid("The request object needs iat and exp");
    };
    if issued > now + LEEWAY {
        return invalid("The request object's iat is in the future");
    }
    if claims.contains_key("nbf") && seconds("nbf").is_none_or(|nbf| nbf > now + LEEWAY) {
        return invalid("The request object is not valid yet");
    }
    if !(0..=MAX_LIFETIME).contains(&expires.saturating_sub(issued)) {
        return invalid("The request object must not live longer than 300 seconds");
    }
    if expires <= now {
        return Err(("invalid_request", "The request object has expired"));
    }
    let Some(jti) = claims
        .get("jti")
        .and_then(Value::as_str)
        .filter(|jti| !jti.is_empty())
    else {
        return invalid("The request object needs a jti");
    };
    let seen = &mut core.state().seen_request_objects;
    let key = format!("{id}\n{jti}");
    if seen.get(&key, now).is_some() {
        return invalid("The request object was used before");
    }
    seen.insert(key, (), expires, now);
    Ok(())
}

/// Whether an `aud` names this party (RFC 7519 section 4.1.3).
pub(super) fn names(audience: Option<&Value>, party: &str) -> bool {
    match audience {
        Some(Value::String(one)) => one == party,
        Some(Value::Array(many)) => many.iter().any(|one| one == party),
        _ => false,
    }
}
