//! The claims of ID tokens with a valid signature, against the rules of OpenID Connect Core section
//! 3.1.3.7 in other words: a token is accepted if they allow it, and rejected otherwise.

#![no_main]

use axum_oten::fuzz::id_token;
use axum_oten_fuzz::is_date;
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value, json};

const NOW: i64 = 1_800_000_000;

/// The left half of the SHA-256 of `token`, because the token is signed with HS256.
const AT_HASH: &str = "PEaenWxYddN6Q_NT1PiOYQ";

fuzz_target!(|claims: &[u8]| {
    let accepted = id_token(claims, NOW);
    assert_eq!(
        accepted.as_ref().ok(),
        expected(claims).as_ref(),
        "{accepted:?}"
    );
});

/// Returns `sub` and the claims about the user if the rules allow the token. A claim that is `null` is absent.
fn expected(claims: &[u8]) -> Option<(String, Map<String, Value>)> {
    let claims: Map<String, Value> = serde_json::from_slice(claims).ok()?;
    let mut user = claims.clone();
    let protocol = "iss aud azp sub exp iat nbf auth_time session_expiry nonce at_hash";
    for name in protocol.split(' ') {
        user.remove(name);
    }
    let claims = Value::Object(claims);
    let sub = claims["sub"].as_str()?;
    let absent_or = |name: &str, is_good: &dyn Fn(&Value) -> bool| {
        claims[name].is_null() || is_good(&claims[name])
    };
    // Clocks may differ by a minute.
    let is_past = |claim: &Value| is_date(claim, |at| at <= (NOW + 60) as f64);
    let is_valid = claims["iss"] == "https://id.example"
        && [json!("client"), json!(["client"])].contains(&claims["aud"])
        && absent_or("azp", &|azp| azp == "client")
        && (1..=255).contains(&sub.len())
        && sub.is_ascii()
        && claims["nonce"] == "nonce"
        && absent_or("at_hash", &|hash| hash == AT_HASH)
        && absent_or("sid", &Value::is_string)
        && is_date(&claims["exp"], |exp| exp > (NOW - 60) as f64)
        && is_past(&claims["iat"])
        && absent_or("nbf", &is_past)
        && absent_or("auth_time", &is_past)
        // The provider chooses the end of the session, and no clock has leeway.
        && absent_or("session_expiry", &|end| is_date(end, |at| at > NOW as f64));
    is_valid.then(|| (sub.to_owned(), user))
}
