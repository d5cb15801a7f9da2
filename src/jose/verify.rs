use std::fmt;

use serde::de::DeserializeOwned;

use super::{Algorithm, JoseError, VerifyingKey, from_base64url, header::Received};

/// Longer tokens are refused unread. Real ones have about 1 KiB.
const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// A compact JWS that has been taken apart but not believed: its claims are still out of reach.
pub struct CompactJws<'a> {
    header: Received,
    payload: Vec<u8>,
    signature: Vec<u8>,
    signed: &'a str,
}

impl<'a> CompactJws<'a> {
    /// Takes a compact JWS apart (RFC 7515 section 5.2, steps 1 to 7).
    ///
    /// # Errors
    ///
    /// [`JoseError::Malformed`] when the text is not three parts of base64url with a JSON header,
    /// or longer than 16 KiB; [`JoseError::HeaderNotAllowed`] for `crit`, `b64`, `jku`, `jwk`,
    /// `x5u` and `x5c`.
    pub fn parse(token: &'a str) -> Result<Self, JoseError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(JoseError::Malformed("longer than 16 KiB"));
        }
        let parts = token
            .rsplit_once('.')
            .and_then(|(signed, signature)| Some((signed, signed.split_once('.')?, signature)));
        let Some((signed, (header, payload), signature)) = parts else {
            return Err(JoseError::Malformed("not three parts"));
        };
        let decode = |part| from_base64url(part).ok_or(JoseError::Malformed("not base64url"));
        let header: Received = serde_json::from_slice(&decode(header)?)
            .map_err(|_| JoseError::Malformed("the header is not a JOSE header"))?;
        header.refuse_foreign_rules()?;
        Ok(Self {
            header,
            payload: decode(payload)?,
            signature: decode(signature)?,
            signed,
        })
    }

    /// The header's `kid`: a hint for finding the key, not to be believed otherwise.
    #[must_use]
    pub fn key_id(&self) -> Option<&str> {
        self.header.kid.as_deref()
    }

    /// The header's `typ`, not yet believed.
    #[must_use]
    pub fn typ(&self) -> Option<&str> {
        self.header.typ.as_deref()
    }

    /// The header's algorithm, if it is one of `allowed`.
    ///
    /// # Errors
    ///
    /// [`JoseError::Unsigned`] for `none`, [`JoseError::AlgorithmNotAllowed`] for everything else
    /// that is not on the list.
    pub fn algorithm(&self, allowed: &[Algorithm]) -> Result<Algorithm, JoseError> {
        self.header.algorithm(allowed)
    }

    /// Checks the signature and hands out the claims.
    ///
    /// # Errors
    ///
    /// As [`algorithm`](Self::algorithm); [`JoseError::KeyMismatch`] when the key is for another
    /// algorithm, [`JoseError::BadSignature`], and [`JoseError::Claims`] when the claims do not
    /// fit `T`.
    pub fn verify<T: DeserializeOwned>(
        self,
        key: &VerifyingKey,
        allowed: &[Algorithm],
    ) -> Result<Verified<T>, JoseError> {
        if key.algorithm() != self.algorithm(allowed)? {
            return Err(JoseError::KeyMismatch);
        }
        key.verify_bytes(self.signed.as_bytes(), &self.signature)?;
        let claims = serde_json::from_slice(&self.payload).map_err(|error| {
            // serde's text quotes values of the token: only the position is told.
            JoseError::Claims(format!("column {}", error.column()))
        })?;
        Ok(Verified {
            claims,
            typ: self.header.typ,
        })
    }
}

impl fmt::Debug for CompactJws<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CompactJws")
            .field("alg", &self.header.alg)
            .field("kid", &self.header.kid)
            .finish_non_exhaustive()
    }
}

/// Claims whose signature was checked. There is no other way to make one.
#[derive(Clone)]
pub struct Verified<T> {
    claims: T,
    typ: Option<String>,
}

impl<T> Verified<T> {
    /// The signed claims.
    pub fn claims(&self) -> &T {
        &self.claims
    }

    /// The signed claims, by value.
    pub fn into_claims(self) -> T {
        self.claims
    }

    /// The signed header's `typ`.
    pub fn typ(&self) -> Option<&str> {
        self.typ.as_deref()
    }
}

impl<T> fmt::Debug for Verified<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        jose::{Ed25519KeyPair, Header, SigningKey, base64url},
        secret::Secret,
    };

    fn token_with_header(header: &Value) -> String {
        format!(
            "{}.{}.{}",
            base64url(header.to_string()),
            base64url("{}"),
            base64url("signature")
        )
    }

    /// RFC 7515 appendix A.1. Its key is not UTF-8 text, so the raw primitive is asked.
    #[test]
    fn rfc7515_a1_hmac() {
        let token = concat!(
            "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9",
            ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt",
            "cGxlLmNvbS9pc19yb290Ijp0cnVlfQ",
            ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
        );
        let secret = from_base64url(
            "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
        )
        .unwrap();
        let key = VerifyingKey::hs256_bytes(&secret);
        let verified = CompactJws::parse(token)
            .unwrap()
            .verify::<Value>(&key, &[Algorithm::Hs256])
            .unwrap();
        assert_eq!(verified.claims()["iss"], "joe");
        assert_eq!(verified.typ(), Some("JWT"));
    }

    #[test]
    fn none_is_refused_in_every_spelling() {
        for alg in ["none", "None", "NONE", "nOnE"] {
            let token = token_with_header(&json!({ "alg": alg }));
            let refusal = CompactJws::parse(&token)
                .unwrap()
                .algorithm(&[Algorithm::EdDsa, Algorithm::Hs256]);
            assert_eq!(refusal, Err(JoseError::Unsigned), "{alg}");
        }
    }

    #[test]
    fn headers_that_bring_their_own_key_or_rules_are_refused() {
        for name in ["crit", "b64", "jku", "jwk", "x5u", "x5c"] {
            for value in [json!(["exp"]), json!(null), json!({})] {
                let token = token_with_header(&json!({ "alg": "EdDSA", name: value }));
                assert_eq!(
                    CompactJws::parse(&token).unwrap_err(),
                    JoseError::HeaderNotAllowed(name)
                );
            }
        }
    }

    #[test]
    fn a_repeated_header_parameter_is_refused() {
        let header = base64url(r#"{"alg":"EdDSA","alg":"none"}"#);
        let token = format!("{header}.e30.AA");
        assert!(matches!(
            CompactJws::parse(&token),
            Err(JoseError::Malformed(_))
        ));
    }

    #[test]
    fn both_names_of_ed25519_are_accepted() {
        for alg in ["EdDSA", "Ed25519"] {
            let token = token_with_header(&json!({ "alg": alg }));
            let jws = CompactJws::parse(&token).unwrap();
            assert_eq!(jws.algorithm(&[Algorithm::EdDsa]), Ok(Algorithm::EdDsa));
            assert_eq!(
                jws.algorithm(&[Algorithm::Hs256]),
                Err(JoseError::AlgorithmNotAllowed)
            );
        }
    }

    #[test]
    fn a_public_key_is_never_an_hmac_secret() {
        let pair = Ed25519KeyPair::generate();
        let x = pair.public_jwk()["x"].as_str().unwrap().to_owned();
        let forged = SigningKey::hs256(&Secret::from(x))
            .sign(&Header::new("JWT"), &json!({}))
            .unwrap();
        let refusal = CompactJws::parse(&forged)
            .unwrap()
            .verify::<Value>(&pair.verifying_key(), &[Algorithm::Hs256, Algorithm::EdDsa]);
        assert_eq!(refusal.unwrap_err(), JoseError::KeyMismatch);
    }

    #[test]
    fn every_flipped_character_breaks_the_token() {
        let pair = Ed25519KeyPair::generate();
        let token = SigningKey::from(pair.clone())
            .sign(&Header::new("JWT"), &json!({"sub": "alice"}))
            .unwrap();
        for at in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let forged = String::from_utf8(bytes).unwrap();
            let believed = CompactJws::parse(&forged)
                .and_then(|jws| jws.verify::<Value>(&pair.verifying_key(), &[Algorithm::EdDsa]));
            assert!(believed.is_err(), "character {at}");
        }
    }

    #[test]
    fn malformed_tokens_are_refused() {
        let long = format!("{}.e30.AA", "A".repeat(MAX_TOKEN_BYTES));
        for token in [
            "",
            ".",
            "..",
            "a.b",
            "e30.e30.AA",
            "e30.e30.A=",
            "e30..",
            "ä.ö.ü",
            &long,
        ] {
            assert!(
                matches!(CompactJws::parse(token), Err(JoseError::Malformed(_))),
                "{token}"
            );
        }
    }
}
