//! The claims of ID tokens with a valid signature, against the rules of OpenID Connect Core section
//! 3.1.3.7 in other words.

#![no_main]

use axum_oten::fuzz::id_token;
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

const NOW: i64 = 1_800_000_000;

fuzz_target!(|claims: &[u8]| {
    let Ok((sub, other)) = id_token(claims, NOW) else {
        return;
    };
    let claims: Value = serde_json::from_slice(claims).unwrap();
    assert_eq!(claims["sub"], sub);
    assert!((1..=255).contains(&sub.len()) && sub.is_ascii());
    assert_eq!(claims["iss"], "https://id.example");
    assert!(claims["aud"] == "client" || claims["aud"] == json!(["client"]));
    assert!(claims["azp"].is_null() || claims["azp"] == "client");
    assert_eq!(claims["nonce"], "nonce");
    let date = |name: &str| claims[name].as_f64();
    assert!(date("exp").unwrap() > (NOW - 60) as f64);
    for name in ["iat", "nbf", "auth_time"] {
        assert!(date(name).unwrap_or_default() < (NOW + 61) as f64, "{name}");
    }
    let at_hash = claims["at_hash"].as_str();
    // The left half of the SHA-256 of `token`, because the token is signed with HS256.
    let hash = "PEaenWxYddN6Q_NT1PiOYQ";
    assert!(at_hash.is_none_or(|it| it == hash), "{at_hash:?}");
    assert!(other.iter().all(|(name, value)| claims[name] == *value));
    assert!(
        ["iss", "aud", "nonce", "exp"]
            .iter()
            .all(|name| !other.contains_key(*name))
    );
});
