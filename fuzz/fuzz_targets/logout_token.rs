//! The claims of logout tokens with a valid signature, against the rules of OpenID Connect Back-Channel
//! Logout section 2.6 in other words.

#![no_main]

use axum_oten::fuzz::logout_token;
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

const NOW: i64 = 1_800_000_000;
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

fuzz_target!(|claims: &[u8]| {
    let Ok((sub, sid, jti, expires_at)) = logout_token(claims, NOW) else {
        return;
    };
    let claims: Value = serde_json::from_slice(claims).unwrap();
    assert_eq!(claims["iss"], "https://id.example");
    assert!(claims["aud"] == "client" || claims["aud"] == json!(["client"]));
    assert!(claims.get("nonce").is_none() && claims["events"][EVENT].is_object());
    assert!(claims["jti"] == *jti && !jti.is_empty());
    assert!(sub.is_some() || sid.is_some());
    for (name, value) in [("sub", sub), ("sid", sid)] {
        assert_eq!(claims[name].as_str(), value.as_deref());
        assert_ne!(value.as_deref(), Some(""));
    }
    // A used token is remembered until no check of the time would accept it.
    assert!((NOW..=NOW + 661).contains(&expires_at), "{expires_at}");
    let again = logout_token(claims.to_string().as_bytes(), expires_at);
    assert!(again.is_err());
});
