use serde::{Serialize, Serializer};

/// One thing the doctor looks at: its name, which does not change, and what it asks.
///
/// ```
/// use axum_oten::check::Check;
///
/// let names: Vec<_> = Check::all().iter().map(|check| check.name()).collect();
/// assert!(names.contains(&"client_authentication"));
/// assert!(!names.contains(&"weather"));
/// ```
#[derive(Debug, PartialEq, Eq)]
pub struct Check {
    name: &'static str,
    description: &'static str,
}

impl Check {
    /// Every check, in the order of their findings.
    #[must_use]
    pub fn all() -> &'static [&'static Check] {
        CHECKS
    }

    /// The name in reports.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What is looked at, in one sentence.
    #[must_use]
    pub fn description(&self) -> &'static str {
        self.description
    }
}

/// The name.
impl Serialize for Check {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name)
    }
}

/// Writes each check once, as a static and as a line of the table.
macro_rules! checks {
    ($($ident:ident: $name:literal, $description:literal;)*) => {
        $(pub(super) static $ident: Check = Check { name: $name, description: $description };)*

        static CHECKS: &[&Check] = &[$(&$ident),*];
    };
}

checks! {
    CONFIGURATION: "configuration",
        "Every setting is known and right; each that is not has a finding of its own.";
    ENVIRONMENT: "environment",
        "Which provider users sign in with, and whether the rules of production hold.";
    REDIRECT_URI: "redirect_uri",
        "The redirect URI is https, or http on this machine only.";
    COOKIES: "cookies",
        "What the cookies are called and how they are protected.";
    TLS: "tls",
        "The provider's certificate is trusted, in date, and for its host name.";
    DISCOVERY: "discovery",
        "The discovery document can be fetched.";
    ISSUER: "issuer",
        "The document speaks for the configured issuer.";
    REQUIRED_FIELDS: "required_fields",
        "The document has all fields that Oten documents as required.";
    ENDPOINTS: "endpoints",
        "Every endpoint is https, or http on this machine with an issuer that is, too.";
    CODE_FLOW: "code_flow",
        "The provider supports the authorization code flow.";
    PKCE: "pkce",
        "The provider supports PKCE with S256.";
    SCOPES: "scopes",
        "The provider offers `openid` and every configured scope.";
    AUTHENTICATION_METHOD: "authentication_method",
        "The provider takes a confidential client's secret with `client_secret_post`.";
    ID_TOKEN_ALGORITHM: "id_token_algorithm",
        "The provider signs ID tokens with EdDSA.";
    REFRESH: "refresh",
        "The provider renews tokens, which sessions live on.";
    SIGN_OUT: "sign_out",
        "What the provider offers for signing out; nothing of it is required.";
    CLOCK: "clock",
        "This machine's clock agrees with the provider's.";
    KEY_SET: "key_set",
        "The provider's key set can be fetched and has an Ed25519 key with a `kid`.";
    CLIENT_AUTHENTICATION: "client_authentication",
        "The provider accepts the client's id and secret; costs one token request.";
    REQUEST_OBJECT: "request_object",
        "A request object can be signed with the configured key and holds against it.";
    STORE: "store",
        "A record can be written to the session store, read and removed, within 2 seconds each.";
    SEALING: "sealing",
        "What lies in a store outside the process is sealed.";
    SEPARATION: "separation",
        "Another environment's configuration shares no secret and no store with this one; \
         only if one is named.";
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_unique_and_meanings_are_sentences() {
        let names: HashSet<_> = CHECKS.iter().map(|check| check.name).collect();
        assert_eq!(names.len(), CHECKS.len());
        for check in CHECKS {
            let is_snake = |c: char| c.is_ascii_lowercase() || c == '_';
            assert!(check.name.chars().all(is_snake), "{}", check.name);
            assert!(check.description.ends_with('.'), "{}", check.name);
        }
    }
}
