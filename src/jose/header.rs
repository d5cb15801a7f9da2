use serde::{Deserialize, Deserializer, Serialize, de::IgnoredAny};

use super::{Algorithm, JoseError};

/// The part of a JOSE header that the signer chooses; `alg` and `kid` come from the key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    typ: Option<String>,
}

impl Header {
    /// A header with this `typ` (RFC 7515 section 4.1.9).
    pub fn new(typ: impl Into<String>) -> Self {
        Self {
            typ: Some(typ.into()),
        }
    }

    /// The JSON form, with the key's algorithm and id.
    pub(super) fn to_json(&self, alg: Algorithm, kid: Option<&str>) -> String {
        let protected = Outgoing {
            typ: self.typ.as_deref(),
            alg: alg.name(),
            kid,
        };
        serde_json::to_string(&protected).expect("three strings are always JSON")
    }
}

#[derive(Serialize)]
struct Outgoing<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    typ: Option<&'a str>,
    alg: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<&'a str>,
}

/// A received header. A parameter that appears twice is refused by serde.
#[derive(Debug, Deserialize)]
pub(super) struct Received {
    pub(super) alg: String,
    pub(super) kid: Option<String>,
    pub(super) typ: Option<String>,
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

/// Whether a parameter is there, whatever it is: `null` is there.
#[derive(Debug, Default)]
struct Present(bool);

impl<'de> Deserialize<'de> for Present {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self(true))
    }
}

impl Received {
    /// Refuses every parameter that would let the token bring its own key (RFC 8725 section 3.10)
    /// or rules that we do not know (`crit`, RFC 7515 section 4.1.11).
    pub(super) fn refuse_foreign_rules(&self) -> Result<(), JoseError> {
        let present = [
            ("crit", &self.crit),
            ("b64", &self.b64),
            ("jku", &self.jku),
            ("jwk", &self.jwk),
            ("x5u", &self.x5u),
            ("x5c", &self.x5c),
        ];
        match present.iter().find(|(_, present)| present.0) {
            Some((name, _)) => Err(JoseError::HeaderNotAllowed(name)),
            None => Ok(()),
        }
    }

    /// The algorithm, if it is one of `allowed`.
    pub(super) fn algorithm(&self, allowed: &[Algorithm]) -> Result<Algorithm, JoseError> {
        if self.alg.eq_ignore_ascii_case("none") {
            return Err(JoseError::Unsigned);
        }
        Algorithm::from_name(&self.alg)
            .filter(|alg| allowed.contains(alg))
            .ok_or(JoseError::AlgorithmNotAllowed)
    }
}
