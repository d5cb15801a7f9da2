//! The `typ` and the claims of access tokens with a valid signature, against the rules of RFC 9068 in other
//! words: a token is accepted if they allow it, and rejected otherwise.

#![no_main]

use axum_oten::fuzz::access_token;
use axum_oten_fuzz::is_date;
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value};

const NOW: i64 = 1_800_000_000;

// The first line is the `typ`.
fuzz_target!(|text: &str| {
    let (typ, claims) = text.split_once('\n').unwrap_or_default();
    let accepted = access_token(typ, claims.as_bytes(), NOW);
    let expected = expected(typ, claims);
    assert_eq!(accepted.as_ref().ok(), expected.as_ref(), "{accepted:?}");
});

/// Returns the scopes and the expiry if the rules allow the token. A claim that is `null` is absent, except those of
/// other kinds of tokens.
fn expected(typ: &str, claims: &str) -> Option<(Vec<String>, i64)> {
    let claims: Map<String, Value> = serde_json::from_str(claims).ok()?;
    let others = ["nonce", "at_hash", "c_hash", "s_hash", "events"];
    let is_other = others.iter().any(|name| claims.contains_key(*name));
    let claims = Value::Object(claims);
    let typ = typ.to_ascii_lowercase();
    let is_access_token = match typ.strip_prefix("application/").unwrap_or(&typ) {
        "at+jwt" => true,
        // Another claim marks it.
        "jwt" => ["scope", "scp", "client_id"]
            .iter()
            .any(|name| !claims[name].is_null()),
        _ => false,
    };
    let audiences = texts(&claims["aud"])?;
    let scope = [&claims["scope"], &claims["scp"]]
        .into_iter()
        .find(|it| !it.is_null());
    let scopes = scope.map_or(Some(Vec::new()), texts)?.join(" ");
    let scopes = scopes.split(' ').filter(|word| !word.is_empty());
    // Clocks may differ by a minute.
    let is_past = |claim: &Value| is_date(claim, |at| at <= (NOW + 60) as f64);
    let is_valid = is_access_token
        && !is_other
        && claims["iss"] == "https://id.example"
        && audiences.iter().any(|it| ["api", "orders"].contains(it))
        && is_date(&claims["exp"], |exp| exp > (NOW - 60) as f64)
        && ["nbf", "iat"]
            .iter()
            .all(|name| claims[name].is_null() || is_past(&claims[name]))
        && ["sub", "client_id"]
            .iter()
            .all(|name| claims[name].is_null() || claims[name].is_string());
    let exp = claims["exp"]
        .as_i64()
        .or(claims["exp"].as_f64().map(|exp| exp as i64));
    is_valid.then_some((scopes.map(str::to_owned).collect(), exp?))
}

/// Returns the texts of a claim that is a text or a list of texts.
fn texts(claim: &Value) -> Option<Vec<&str>> {
    match claim {
        Value::Array(many) => many.iter().map(Value::as_str).collect(),
        one => Some(vec![one.as_str()?]),
    }
}
