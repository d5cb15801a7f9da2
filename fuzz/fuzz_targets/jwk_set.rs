//! JWK sets, against a second reading.

#![no_main]

use axum_oten::jose::{Algorithm, JwkSet};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use ed25519_dalek::VerifyingKey;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|document: &[u8]| {
    let set = JwkSet::from_json(document);
    if let Ok(set) = &set {
        for key_id in set.keys().iter().map(|key| key.key_id()).chain([None]) {
            let _ = set.find(key_id, Algorithm::EdDsa);
            assert!(set.find(key_id, Algorithm::Hs256).is_none());
        }
    }
    let Ok(value) = serde_json::from_slice::<Value>(document) else {
        return;
    };
    let Some(keys) = value.get("keys").and_then(Value::as_array) else {
        assert!(set.is_err());
        return;
    };
    // Written again, so that no member is repeated.
    let set = JwkSet::from_json(value.to_string().as_bytes()).unwrap();
    let found: Vec<_> = set.keys().iter().map(|key| key.key_id()).collect();
    let expected = keys.iter().filter(|key| is_usable(key).is_some());
    assert_eq!(
        found,
        expected.map(|key| key["kid"].as_str()).collect::<Vec<_>>()
    );
});

/// `Some` for an Ed25519 signature key (RFC 8037 section 2).
fn is_usable(key: &Value) -> Option<()> {
    let one_of = |name: &str, allowed: &[&str]| {
        let value = &key[name];
        value.is_null() || value.as_str().is_some_and(|value| allowed.contains(&value))
    };
    let is_signature = one_of("use", &["sig"]) && one_of("alg", &["EdDSA", "Ed25519"]);
    let is_text = |name: &str| key[name].is_null() || key[name].is_string();
    let is_text = ["kid", "y", "n", "e"].into_iter().all(is_text);
    let verifies = match key["key_ops"].as_array() {
        None => key["key_ops"].is_null(),
        Some(names) => {
            names.iter().all(Value::is_string) && names.iter().any(|name| name == "verify")
        }
    };
    let is_ed25519 = key.is_object() && key["kty"] == "OKP" && key["crv"] == "Ed25519";
    let x = BASE64_URL_SAFE_NO_PAD.decode(key["x"].as_str()?).ok()?;
    let point = VerifyingKey::from_bytes(&x.try_into().ok()?).ok()?;
    (is_signature && is_text && verifies && is_ed25519 && !point.is_weak()).then_some(())
}
