use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::secret::{Secret, exposed};

/// A PKCE code verifier (RFC 7636 section 4.1). The method is always `S256`; `plain` would tell the
/// verifier to everyone who sees the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct CodeVerifier(#[serde(with = "exposed")] Secret);

impl CodeVerifier {
    /// A new verifier of 256 random bits.
    pub(crate) fn random() -> Self {
        Self(Secret::random())
    }

    /// The verifier itself, for the token endpoint only.
    pub(crate) fn expose(&self) -> &str {
        self.0.expose()
    }

    /// `BASE64URL(SHA256(verifier))` (RFC 7636 section 4.2).
    pub(crate) fn challenge(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(self.expose()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc7636_appendix_b() {
        let verifier = CodeVerifier("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".into());
        assert_eq!(
            verifier.challenge(),
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        );
    }

    #[test]
    fn a_verifier_has_the_alphabet_and_length_of_the_rfc() {
        let verifier = CodeVerifier::random();
        assert!((43..=128).contains(&verifier.expose().len()));
        let unreserved = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
        assert!(verifier.expose().chars().all(unreserved));
    }
}
