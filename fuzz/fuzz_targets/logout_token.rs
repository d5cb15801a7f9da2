//! The claims of logout tokens with a valid signature, against the rules of OpenID Connect Back-Channel
//! Logout section 2.6 in other words: a token is accepted if they allow it, and rejected otherwise.

#![no_main]

use axum_oten::fuzz::logout_token;
use axum_oten_fuzz::is_date;
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value, json};

const NOW: i64 = 1_800_000_000;
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

fuzz_target!(|claims: &[u8]| {
    let accepted = logout_token(claims, NOW);
    let read = serde_json::from_slice::<Map<String, Value>>(claims);
    let allowed = read.is_ok_and(|claims| is_valid(&claims.into()));
    assert_eq!(accepted.is_ok(), allowed, "{accepted:?}");
    let Ok((sub, sid, jti, expires_at)) = accepted else {
        return;
    };
    // A used token is remembered until no check of the time would accept it, and no longer.
    assert!((NOW + 1..=NOW + 661).contains(&expires_at), "{expires_at}");
    assert!(logout_token(claims, expires_at - 1).is_ok());
    assert!(logout_token(claims, expires_at).is_err());
    let claims: Value = serde_json::from_slice(claims).unwrap();
    assert_eq!(claims["jti"], jti);
    assert_eq!(claims["sub"].as_str(), sub.as_deref());
    assert_eq!(claims["sid"].as_str(), sid.as_deref());
});

/// A claim that is `null` is absent, except `nonce`.
fn is_valid(claims: &Value) -> bool {
    let is_text = |name: &str| claims[name].as_str().is_some_and(|text| !text.is_empty());
    let absent_or_text = |name: &str| claims[name].is_null() || is_text(name);
    // Clocks may differ by a minute, and a token is too old after ten.
    let is_recent = |iat: f64| ((NOW - 600) as f64..=(NOW + 60) as f64).contains(&iat);
    let exp = &claims["exp"];
    claims.get("nonce").is_none()
        && claims["events"][EVENT].is_object()
        && claims["iss"] == "https://id.example"
        && [json!("client"), json!(["client"])].contains(&claims["aud"])
        // Drafts of the specification had no `exp`.
        && (exp.is_null() || is_date(exp, |exp| exp > (NOW - 60) as f64))
        && is_date(&claims["iat"], is_recent)
        && is_text("jti")
        && ["sub", "sid"].into_iter().all(absent_or_text)
        && ["sub", "sid"].into_iter().any(is_text)
}
