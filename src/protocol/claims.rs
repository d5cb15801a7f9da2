//! Reading claims one by one, so that a refusal can name the one that is wrong.

use serde_json::{Map, Value};

use crate::jose::Algorithm;

/// The algorithms the provider's tokens may be signed with.
pub(super) const ALLOWED: [Algorithm; 1] = [Algorithm::EdDsa];

/// How far the provider's clock and ours may be apart, in seconds.
pub(super) const LEEWAY: i64 = 60;

/// A claim that is missing or of the wrong type.
#[derive(Debug)]
pub(super) struct Misshapen(pub(super) &'static str);

pub(super) type Claims = Map<String, Value>;

pub(super) fn required<T>(name: &'static str, claim: Option<T>) -> Result<T, Misshapen> {
    claim.ok_or(Misshapen(name))
}

pub(super) fn take_string(
    claims: &mut Claims,
    name: &'static str,
) -> Result<Option<String>, Misshapen> {
    match claims.remove(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Misshapen(name)),
    }
}

/// A `NumericDate` (RFC 7519 section 2), which may have a fraction.
pub(super) fn take_date(claims: &mut Claims, name: &'static str) -> Result<Option<i64>, Misshapen> {
    let Some(value) = claims.remove(name) else {
        return Ok(None);
    };
    // `as` saturates, and a fraction of a second is nothing.
    #[allow(clippy::cast_possible_truncation)]
    let seconds = value
        .as_i64()
        .or_else(|| value.as_f64().map(|seconds| seconds as i64));
    seconds.ok_or(Misshapen(name)).map(Some)
}

/// `aud`: one name, or a list of names (RFC 7519 section 4.1.3).
pub(super) fn take_audience(claims: &mut Claims) -> Result<Vec<String>, Misshapen> {
    match claims.remove("aud") {
        Some(Value::String(one)) => Ok(vec![one]),
        Some(many @ Value::Array(_)) => serde_json::from_value(many).map_err(|_| Misshapen("aud")),
        _ => Err(Misshapen("aud")),
    }
}
