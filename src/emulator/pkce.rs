use sha2::{Digest, Sha256};

use super::keys::base64url;
use crate::secret::constant_time_eq;

/// The `code_challenge` a code is bound to (RFC 7636).
#[derive(Clone)]
pub(super) enum Challenge {
    S256(String),
    Plain(String),
}

impl Challenge {
    /// The challenge of a request. The method must be named: its default, `plain`, is too weak to
    /// be had by forgetting a parameter.
    pub(super) fn new(challenge: &str, method: &str) -> Result<Self, &'static str> {
        match method {
            "S256" if challenge.len() == 43 && is_verifier(challenge) => {
                Ok(Self::S256(challenge.to_owned()))
            }
            "plain" if is_verifier(challenge) => Ok(Self::Plain(challenge.to_owned())),
            "S256" | "plain" => Err("code_challenge is malformed"),
            _ => Err("code_challenge_method must be S256 or plain"),
        }
    }

    pub(super) fn accepts(&self, verifier: &str) -> bool {
        is_verifier(verifier)
            && match self {
                Self::S256(challenge) => {
                    let hash = base64url(Sha256::digest(verifier));
                    constant_time_eq(hash.as_bytes(), challenge.as_bytes())
                }
                Self::Plain(challenge) => {
                    constant_time_eq(verifier.as_bytes(), challenge.as_bytes())
                }
            }
    }
}

/// The form of RFC 7636 section 4.1.
fn is_verifier(text: &str) -> bool {
    let is_unreserved = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    (43..=128).contains(&text.len()) && text.bytes().all(is_unreserved)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7636 appendix B.
    #[test]
    fn rfc7636_b() {
        let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
        let challenge = Challenge::new(challenge, "S256").unwrap_or_else(|e| panic!("{e}"));
        assert!(challenge.accepts("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"));
        assert!(!challenge.accepts("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXK"));
        assert!(!challenge.accepts("short"));
    }
}
