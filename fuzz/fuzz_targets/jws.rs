//! Compact JWS, against jsonwebtoken and, for Ed25519, against ed25519-dalek.

#![no_main]

use std::{fmt, str, sync::LazyLock};

use axum_oten::{
    Secret,
    jose::{Algorithm, CompactJws, JoseError, VerifyingKey},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use ed25519_dalek::{Signature, Signer};
use jsonwebtoken::{DecodingKey, Validation};
use libfuzzer_sys::fuzz_target;
use serde::{
    Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::Value;

const SECRET: &str = "a secret of at least thirty-two bytes";

static DALEK: LazyLock<ed25519_dalek::SigningKey> =
    LazyLock::new(|| ed25519_dalek::SigningKey::from_bytes(&[7; 32]));

// The first byte selects a token as it is, or a header in the first line and claims after it, to be signed
// with one of the keys.
fuzz_target!(|data: &[u8]| {
    let Some((mode, rest)) = data.split_first() else {
        return;
    };
    let token = match mode % 4 {
        0 => str::from_utf8(rest).unwrap_or_default().to_owned(),
        mode => {
            let line = rest
                .iter()
                .position(|byte| *byte == b'\n')
                .unwrap_or(rest.len());
            let (header, claims) = rest.split_at(line);
            let claims = claims.get(1..).unwrap_or_default();
            let encode = |bytes| BASE64_URL_SAFE_NO_PAD.encode(bytes);
            let signed = format!("{}.{}", encode(header), encode(claims));
            let signature = match mode {
                1 => encode(&DALEK.sign(signed.as_bytes()).to_bytes()),
                2 => hmac(signed.as_bytes()),
                // The claims are the signature, too.
                _ => encode(claims),
            };
            format!("{signed}.{signature}")
        }
    };
    let public = DALEK.verifying_key();
    let ed25519 = VerifyingKey::ed25519(public.as_bytes()).unwrap();
    let other = DecodingKey::from_ed_der(public.as_bytes());
    if compare(&token, &ed25519, &other, jsonwebtoken::Algorithm::EdDSA) {
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap();
        let signature = Signature::from_slice(&signature).unwrap();
        public.verify_strict(signed.as_bytes(), &signature).unwrap();
    }
    let hs256 = VerifyingKey::hs256(&Secret::from(SECRET));
    let other = DecodingKey::from_secret(SECRET.as_bytes());
    compare(&token, &hs256, &other, jsonwebtoken::Algorithm::HS256);
});

/// Returns whether the token is accepted. Then the oracle accepts it, too, with the same claims.
fn compare(
    token: &str,
    key: &VerifyingKey,
    other: &DecodingKey,
    algorithm: jsonwebtoken::Algorithm,
) -> bool {
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    let expected = jsonwebtoken::decode::<Value>(token, other, &validation);
    let allowed = [Algorithm::EdDsa, Algorithm::Hs256];
    let verified = CompactJws::parse(token).and_then(|jws| jws.verify::<Value>(key, &allowed));
    match (verified, expected) {
        (Ok(verified), Ok(expected)) => assert_eq!(*verified.claims(), expected.claims),
        (Ok(_), Err(error)) => {
            // The oracle knows only one name of Ed25519, and wants the registered types of parameters
            // that this crate does not read.
            let header = BASE64_URL_SAFE_NO_PAD
                .decode(token.split('.').next().unwrap())
                .unwrap();
            // `Value` has no lone surrogates, which an unread parameter may have.
            let Ok(header) = serde_json::from_slice::<Value>(&header) else {
                return true;
            };
            let plain = header
                .as_object()
                .unwrap()
                .keys()
                .all(|name| ["alg", "kid", "typ"].contains(&&**name));
            // Of claims with the same name, the last counts here (RFC 7519 section 4 allows both).
            let repeated = error.to_string().contains("duplicate field");
            // It stops in a registered claim that is an array or an object instead of text or a date, also if
            // the claim comes again.
            let is_syntax = matches!(error.kind(), jsonwebtoken::errors::ErrorKind::Json(_));
            let nested = |(name, value): &(String, Value)| {
                let is_registered = ["iss", "sub", "aud", "exp", "nbf"].contains(&&**name);
                is_registered && (value.is_array() || value.is_object())
            };
            let nested = is_syntax && members(token).iter().any(nested);
            let excused = !plain || repeated || nested || header["alg"] == "Ed25519";
            assert!(excused, "{error}: {header}");
        }
        (Err(error), Ok(_)) => assert!(
            matches!(error, JoseError::HeaderNotAllowed(_)) || token.len() > 64 * 1024,
            "{error}"
        ),
        (Err(_), Err(_)) => return false,
    }
    true
}

/// Returns the claims of a token, all of those with the same name.
fn members(token: &str) -> Vec<(String, Value)> {
    struct Members;
    impl<'de> Visitor<'de> for Members {
        type Value = Vec<(String, Value)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            std::iter::from_fn(|| map.next_entry().transpose()).collect()
        }
    }
    let claims = token.split('.').nth(1).unwrap();
    let claims = BASE64_URL_SAFE_NO_PAD.decode(claims).unwrap();
    let mut reader = serde_json::Deserializer::from_slice(&claims);
    reader.deserialize_map(Members).unwrap_or_default()
}

fn hmac(signed: &[u8]) -> String {
    let key = jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes());
    jsonwebtoken::crypto::sign(signed, &key, jsonwebtoken::Algorithm::HS256).unwrap()
}
