use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, IgnoredAny},
};

use super::{
    error::JoseError,
    key::{Algorithm, SigningKey, VerifyingKey},
};
use crate::{
    json,
    secret::{append_base64url, base64url, from_base64url},
};

/// A longer token is rejected unread. Oten's tokens are about 1 KiB long, but claims such as a list of
/// groups can be large.
const MAX_TOKEN_BYTES: usize = 64 * 1024;

/// The JOSE header of a new signature. `alg` and `kid` come from the key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    typ: Option<String>,
}

impl Header {
    /// Returns a header with this `typ` (RFC 7515 section 4.1.9).
    pub fn new(typ: impl Into<String>) -> Self {
        Self {
            typ: Some(typ.into()),
        }
    }
}

impl SigningKey {
    /// Signs `claims` as a compact JWS (RFC 7515 section 7.1).
    ///
    /// # Errors
    ///
    /// [`JoseError::Claims`] when `claims` cannot be written as JSON.
    pub fn sign(&self, header: &Header, claims: &impl Serialize) -> Result<String, JoseError> {
        let json = |error: serde_json::Error| JoseError::Claims(error.to_string());
        let mut token = String::new();
        let header = self.protected_header(header);
        self.append_jws(
            &mut token,
            &header,
            &serde_json::to_vec(claims).map_err(json)?,
        )?;
        Ok(token)
    }

    /// Returns the header of signatures by this key, for [`append_jws`](Self::append_jws).
    pub(crate) fn protected_header(&self, header: &Header) -> String {
        #[derive(Serialize)]
        struct Protected<'a> {
            #[serde(skip_serializing_if = "Option::is_none")]
            typ: Option<&'a str>,
            alg: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            kid: Option<&'a str>,
        }
        let protected = Protected {
            typ: header.typ.as_deref(),
            alg: self.algorithm().name(),
            kid: self.key_id(),
        };
        base64url(serde_json::to_vec(&protected).expect("strings can be written as JSON"))
    }

    /// Appends the compact JWS of `claims`, which are JSON, to `text`.
    pub(crate) fn append_jws(
        &self,
        text: &mut String,
        protected_header: &str,
        claims: &[u8],
    ) -> Result<(), JoseError> {
        // Three quarters of base64url are bytes, and an Ed25519 signature has 64.
        text.reserve(protected_header.len() + claims.len() * 4 / 3 + 96);
        let start = text.len();
        text.push_str(protected_header);
        text.push('.');
        append_base64url(text, claims);
        let signature = self.signature(&text.as_bytes()[start..])?;
        text.push('.');
        text.push_str(&signature);
        Ok(())
    }
}

/// A compact JWS in its parts. Its claims are inaccessible until [`verify`](Self::verify) has
/// checked the signature.
pub struct CompactJws<'a> {
    header: Received,
    payload: Vec<u8>,
    signature: Vec<u8>,
    signed: &'a str,
}

impl<'a> CompactJws<'a> {
    /// Splits and decodes a compact JWS (RFC 7515 section 5.2, steps 1 to 7).
    ///
    /// # Errors
    ///
    /// [`JoseError::Malformed`] when the text is not three parts of base64url with a JSON header,
    /// or longer than 64 KiB; [`JoseError::HeaderNotAllowed`] for `crit`, `b64`, `jku`, `jwk`,
    /// `x5u` and `x5c`.
    pub fn parse(token: &'a str) -> Result<Self, JoseError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(JoseError::Malformed("it is longer than 64 KiB"));
        }
        let parts = token
            .rsplit_once('.')
            .and_then(|(signed, signature)| Some((signed, signed.split_once('.')?, signature)));
        let Some((signed, (header, payload), signature)) = parts else {
            return Err(JoseError::Malformed("it does not have three parts"));
        };
        let decode = |part| from_base64url(part).ok_or(JoseError::Malformed("it is not base64url"));
        // An object in UTF-8, also in parameters that are not read.
        let header = String::from_utf8(decode(header)?).ok();
        let header = header.and_then(|header| json::object::<Received>(header.as_bytes()).ok());
        let header = header.ok_or(JoseError::Malformed("its header is not a JOSE header"))?;
        header.check_parameters()?;
        Ok(Self {
            header,
            payload: decode(payload)?,
            signature: decode(signature)?,
            signed,
        })
    }

    /// The header's `kid`, not verified yet.
    #[must_use]
    pub fn key_id(&self) -> Option<&str> {
        self.header.kid.as_deref()
    }

    /// The header's `typ`, not verified yet.
    #[must_use]
    pub fn typ(&self) -> Option<&str> {
        self.header.typ.as_deref()
    }

    /// Returns the header's algorithm, if it is one of `allowed`.
    ///
    /// # Errors
    ///
    /// [`JoseError::Unsigned`] for `none`, [`JoseError::AlgorithmNotAllowed`] for any other
    /// algorithm that is not allowed.
    pub fn algorithm(&self, allowed: &[Algorithm]) -> Result<Algorithm, JoseError> {
        if self.header.alg.eq_ignore_ascii_case("none") {
            return Err(JoseError::Unsigned);
        }
        Algorithm::from_name(&self.header.alg)
            .filter(|alg| allowed.contains(alg))
            .ok_or(JoseError::AlgorithmNotAllowed)
    }

    /// Verifies the signature and returns the claims.
    ///
    /// # Errors
    ///
    /// The errors of [`algorithm`](Self::algorithm); [`JoseError::KeyMismatch`] when the key is for
    /// another algorithm; [`JoseError::BadSignature`]; [`JoseError::Claims`] when the claims do not
    /// fit `T`.
    pub fn verify<T: DeserializeOwned>(
        self,
        key: &VerifyingKey,
        allowed: &[Algorithm],
    ) -> Result<Verified<T>, JoseError> {
        let algorithm = self.algorithm(allowed)?;
        if key.algorithm() != algorithm {
            return Err(JoseError::KeyMismatch);
        }
        key.verify_bytes(self.signed.as_bytes(), &self.signature)?;
        let claims = json::object(&self.payload).map_err(|error| {
            // Only the position, because serde's message quotes values of the token.
            JoseError::Claims(match error.column() {
                0 => "not an object".to_owned(),
                column => format!("column {column}"),
            })
        })?;
        Ok(Verified {
            claims,
            algorithm,
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

/// Claims with a valid signature. Only [`CompactJws::verify`] creates one.
#[derive(Clone)]
pub struct Verified<T> {
    claims: T,
    algorithm: Algorithm,
    typ: Option<String>,
}

impl<T> Verified<T> {
    /// The signed claims.
    pub fn claims(&self) -> &T {
        &self.claims
    }

    /// Returns the signed claims by value.
    pub fn into_claims(self) -> T {
        self.claims
    }

    /// The algorithm of the signature.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The `typ` of the signed header for comparison: in lower case and without `application/` (RFC
    /// 7515 section 4.1.9).
    pub fn typ(&self) -> Option<String> {
        self.typ.as_deref().map(comparable_typ)
    }
}

/// Returns a `typ` in lower case and without `application/` (RFC 7515 section 4.1.9).
pub(crate) fn comparable_typ(typ: &str) -> String {
    let typ = typ.to_ascii_lowercase();
    let short = typ.strip_prefix("application/").map(str::to_owned);
    short.unwrap_or(typ)
}

impl<T> fmt::Debug for Verified<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified").finish_non_exhaustive()
    }
}

/// A received header. Serde rejects a parameter that appears twice.
#[derive(Debug, Deserialize)]
struct Received {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    #[serde(default)]
    crit: Present,
    #[serde(default)]
    b64: Present,
    #[serde(default)]
    jku: Present,
    #[serde(default)]
    jwk: Present,
    #[serde(default)]
    x5u: Present,
    #[serde(default)]
    x5c: Present,
}

impl Received {
    /// Rejects parameters by which the token would choose its own key (RFC 8725 section 3.10) or
    /// unknown rules (`crit`, RFC 7515 section 4.1.11).
    fn check_parameters(&self) -> Result<(), JoseError> {
        let parameters = [
            ("crit", &self.crit),
            ("b64", &self.b64),
            ("jku", &self.jku),
            ("jwk", &self.jwk),
            ("x5u", &self.x5u),
            ("x5c", &self.x5c),
        ];
        match parameters.iter().find(|(_, present)| present.0) {
            Some((name, _)) => Err(JoseError::HeaderNotAllowed(name)),
            None => Ok(()),
        }
    }
}

/// Whether a parameter is present, with any value, including `null`.
#[derive(Debug, Default)]
struct Present(bool);

impl<'de> Deserialize<'de> for Present {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self(true))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{jose::Ed25519KeyPair, secret::Secret};

    fn token_with_header(header: &Value) -> String {
        format!(
            "{}.{}.{}",
            base64url(header.to_string()),
            base64url("{}"),
            base64url("signature")
        )
    }

    #[test]
    fn p2_the_typ_is_compared_without_application_and_case() {
        let pair = Ed25519KeyPair::generate();
        let typ_of = |header: &Header| {
            let token = SigningKey::from(pair.clone()).sign(header, &json!({}));
            let token = token.unwrap();
            let jws = CompactJws::parse(&token).unwrap();
            let verified = jws.verify::<Value>(&pair.verifying_key(), &[Algorithm::EdDsa]);
            verified.unwrap().typ()
        };
        assert_eq!(typ_of(&Header::default()), None);
        for (sent, typ) in [
            ("JWT", "jwt"),
            ("application/JWT", "jwt"),
            ("Application/Logout+JWT", "logout+jwt"),
            ("application/application/jwt", "application/jwt"),
            ("text/jwt", "text/jwt"),
            ("/jwt", "/jwt"),
            (" jwt", " jwt"),
            ("application/", ""),
            ("", ""),
        ] {
            assert_eq!(typ_of(&Header::new(sent)).as_deref(), Some(typ));
        }
    }

    /// RFC 7519 section 7.2, step 10. Serde would read a struct from an array.
    #[test]
    fn b1_claims_are_an_object() {
        #[derive(Debug, serde::Deserialize)]
        struct Claims {
            sub: String,
        }
        let key = Ed25519KeyPair::generate();
        let verified = |claims: &Value| {
            let token = SigningKey::from(key.clone()).sign(&Header::default(), claims);
            let token = token.unwrap();
            let jws = CompactJws::parse(&token).unwrap();
            jws.verify::<Claims>(&key.verifying_key(), &[Algorithm::EdDsa])
        };
        let claims = verified(&json!({ "sub": "alice" })).unwrap();
        assert_eq!(claims.into_claims().sub, "alice");
        for claims in [json!(["alice"]), json!("alice"), json!(2), json!(null)] {
            let rejected = verified(&claims).unwrap_err();
            assert!(matches!(rejected, JoseError::Claims(_)), "{claims}");
        }
    }

    #[test]
    fn none_is_rejected_in_every_spelling() {
        for alg in ["none", "None", "NONE", "nOnE"] {
            let token = token_with_header(&json!({ "alg": alg }));
            let rejected = CompactJws::parse(&token)
                .unwrap()
                .algorithm(&[Algorithm::EdDsa, Algorithm::Hs256]);
            assert_eq!(rejected, Err(JoseError::Unsigned), "{alg}");
        }
    }

    #[test]
    fn headers_with_their_own_key_or_rules_are_rejected() {
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
    fn a_repeated_header_parameter_is_rejected() {
        let header = base64url(r#"{"alg":"EdDSA","alg":"none"}"#);
        let token = format!("{header}.e30.AA");
        assert!(matches!(
            CompactJws::parse(&token),
            Err(JoseError::Malformed(_))
        ));
    }

    #[test]
    fn b1_a_header_is_an_object_in_utf_8() {
        for header in [
            &br#"["EdDSA",null,null]"#[..],
            br#""EdDSA""#,
            b"{\"alg\":\"EdDSA\",\"x\":\"\xff\"}",
            b"{\"alg\":\"EdDSA\"}\xff",
        ] {
            let token = format!("{}.e30.AA", base64url(header));
            let rejected = CompactJws::parse(&token);
            assert!(
                matches!(rejected, Err(JoseError::Malformed(_))),
                "{header:?}"
            );
        }
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
        let rejected = CompactJws::parse(&forged)
            .unwrap()
            .verify::<Value>(&pair.verifying_key(), &[Algorithm::Hs256, Algorithm::EdDsa]);
        assert_eq!(rejected.unwrap_err(), JoseError::KeyMismatch);
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
            let verified = CompactJws::parse(&forged)
                .and_then(|jws| jws.verify::<Value>(&pair.verifying_key(), &[Algorithm::EdDsa]));
            assert!(verified.is_err(), "character {at}");
        }
    }

    #[test]
    fn malformed_tokens_are_rejected() {
        let header = base64url(r#"{"alg":"EdDSA"}"#);
        let of_length = |length| {
            let payload = "A".repeat(length - header.len() - "..AA".len());
            format!("{header}.{payload}.AA")
        };
        assert!(CompactJws::parse(&of_length(MAX_TOKEN_BYTES)).is_ok());
        let long = of_length(MAX_TOKEN_BYTES + 2);
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
