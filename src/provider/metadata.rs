use std::sync::Arc;

use serde::Deserialize;
use url::Url;

use super::{Provider, ProviderError, environment};
use crate::{
    clock::Clock,
    config::{Config, Environment, is_loopback},
};

/// The provider's endpoints and supported features (OpenID Connect Discovery section 3).
///
/// What discovery leaves out is completed from the environment's documented endpoints; a custom
/// issuer has only what its discovery says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderMetadata {
    issuer: String,
    authorization_endpoint: Url,
    token_endpoint: Url,
    jwks_uri: Url,
    userinfo_endpoint: Option<Url>,
    token_validation_endpoint: Option<Url>,
    end_session_endpoint: Option<Url>,
    revocation_endpoint: Option<Url>,
    authorization_response_iss_parameter_supported: bool,
    features: Features,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Features {
    scopes: Vec<String>,
    response_types: Vec<String>,
    grant_types: Vec<String>,
    code_challenge_methods: Vec<String>,
    token_endpoint_auth_methods: Vec<String>,
    claims: Vec<String>,
    id_token_signing_algs: Vec<String>,
}

#[derive(Deserialize)]
struct Document {
    issuer: String,
    authorization_endpoint: Option<Url>,
    token_endpoint: Option<Url>,
    jwks_uri: Option<Url>,
    userinfo_endpoint: Option<Url>,
    end_session_endpoint: Option<Url>,
    revocation_endpoint: Option<Url>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
    scopes_supported: Option<Vec<String>>,
    response_types_supported: Option<Vec<String>>,
    grant_types_supported: Option<Vec<String>>,
    code_challenge_methods_supported: Option<Vec<String>>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    claims_supported: Option<Vec<String>>,
    id_token_signing_alg_values_supported: Option<Vec<String>>,
}

impl ProviderMetadata {
    /// What the configured provider says about itself, asked anew; while one of Oten's environments
    /// is away, what Oten documents about it.
    ///
    /// An app with an [`Oten`](crate::Oten) asks
    /// [`Oten::provider_metadata`](crate::Oten::provider_metadata), which keeps the answer.
    ///
    /// # Errors
    ///
    /// [`ProviderError`] when the answer cannot be had or is refused.
    pub async fn discover(config: &Config) -> Result<Arc<Self>, ProviderError> {
        let provider = Provider::new(config, Clock::system())
            .map_err(|error| ProviderError::unreachable("the discovery document", &error))?;
        provider.metadata().await
    }

    /// What Oten documents about an environment.
    #[must_use]
    pub fn from_environment(environment: Environment) -> Self {
        Self {
            issuer: environment.issuer().to_owned(),
            authorization_endpoint: environment::authorization_endpoint(environment),
            token_endpoint: environment::token_endpoint(environment),
            jwks_uri: environment::jwks_uri(environment),
            userinfo_endpoint: Some(environment::userinfo_endpoint(environment)),
            token_validation_endpoint: Some(environment::token_validation_endpoint(environment)),
            end_session_endpoint: None,
            revocation_endpoint: None,
            authorization_response_iss_parameter_supported: false,
            features: Features::documented(),
        }
    }

    /// Reads a discovery document for `issuer`, completed from `environment` if there is one.
    ///
    /// One trailing slash makes no difference between the issuer that was configured and the one
    /// the document names; the document's spelling is the one used from then on.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Discovery`] when the document is not JSON or lacks an endpoint,
    /// [`ProviderError::IssuerMismatch`] when it names another issuer,
    /// [`ProviderError::InsecureEndpoint`] when an endpoint is not https although the issuer is
    /// not on loopback.
    pub fn from_discovery(
        document: &[u8],
        issuer: &str,
        environment: Option<Environment>,
    ) -> Result<Self, ProviderError> {
        let document: Document = serde_json::from_slice(document)
            .map_err(|_| ProviderError::Discovery("it is not the JSON of a discovery document"))?;
        if without_slash(&document.issuer) != without_slash(issuer) {
            return Err(ProviderError::IssuerMismatch);
        }
        let metadata = Self::complete(document, environment)?;
        metadata.require_https(issuer)?;
        Ok(metadata)
    }

    fn complete(
        document: Document,
        environment: Option<Environment>,
    ) -> Result<Self, ProviderError> {
        let known = environment.map(Self::from_environment);
        let known = known.as_ref();
        let required = |said: Option<Url>, known: Option<&Url>, missing| {
            said.or_else(|| known.cloned())
                .ok_or(ProviderError::Discovery(missing))
        };
        let documented = Features::documented();
        Ok(Self {
            issuer: document.issuer,
            authorization_endpoint: required(
                document.authorization_endpoint,
                known.map(Self::authorization_endpoint),
                "`authorization_endpoint` is missing",
            )?,
            token_endpoint: required(
                document.token_endpoint,
                known.map(Self::token_endpoint),
                "`token_endpoint` is missing",
            )?,
            jwks_uri: required(
                document.jwks_uri,
                known.map(Self::jwks_uri),
                "`jwks_uri` is missing",
            )?,
            userinfo_endpoint: document
                .userinfo_endpoint
                .or_else(|| known?.userinfo_endpoint.clone()),
            token_validation_endpoint: known.and_then(|k| k.token_validation_endpoint.clone()),
            end_session_endpoint: document.end_session_endpoint,
            revocation_endpoint: document.revocation_endpoint,
            authorization_response_iss_parameter_supported: document
                .authorization_response_iss_parameter_supported,
            features: Features {
                scopes: document.scopes_supported.unwrap_or(documented.scopes),
                response_types: document
                    .response_types_supported
                    .unwrap_or(documented.response_types),
                grant_types: document
                    .grant_types_supported
                    .unwrap_or(documented.grant_types),
                code_challenge_methods: document
                    .code_challenge_methods_supported
                    .unwrap_or(documented.code_challenge_methods),
                token_endpoint_auth_methods: document
                    .token_endpoint_auth_methods_supported
                    .unwrap_or(documented.token_endpoint_auth_methods),
                claims: document.claims_supported.unwrap_or(documented.claims),
                id_token_signing_algs: document
                    .id_token_signing_alg_values_supported
                    .unwrap_or(documented.id_token_signing_algs),
            },
        })
    }

    /// Every endpoint must be https; that of an issuer on loopback may also be http on loopback.
    fn require_https(&self, issuer: &str) -> Result<(), ProviderError> {
        let local = Url::parse(issuer).is_ok_and(|issuer| is_loopback(&issuer));
        let is_safe = |url: &Url| match url.scheme() {
            "https" => true,
            "http" => local && is_loopback(url),
            _ => false,
        };
        let endpoints = [
            ("authorization_endpoint", Some(&self.authorization_endpoint)),
            ("token_endpoint", Some(&self.token_endpoint)),
            ("jwks_uri", Some(&self.jwks_uri)),
            ("userinfo_endpoint", self.userinfo_endpoint.as_ref()),
            ("end_session_endpoint", self.end_session_endpoint.as_ref()),
            ("revocation_endpoint", self.revocation_endpoint.as_ref()),
        ];
        let unsafe_one = endpoints
            .into_iter()
            .find(|(_, url)| url.is_some_and(|url| !is_safe(url)));
        match unsafe_one {
            Some((name, _)) => Err(ProviderError::InsecureEndpoint(name)),
            None => Ok(()),
        }
    }

    /// The issuer as the provider spells it: the `aud` of request objects, the `iss` of tokens.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Where browsers are sent to sign in.
    #[must_use]
    pub fn authorization_endpoint(&self) -> &Url {
        &self.authorization_endpoint
    }

    /// Where codes and refresh tokens are exchanged.
    #[must_use]
    pub fn token_endpoint(&self) -> &Url {
        &self.token_endpoint
    }

    /// Where the provider's public keys are.
    #[must_use]
    pub fn jwks_uri(&self) -> &Url {
        &self.jwks_uri
    }

    /// Where claims about a user can be asked for with an access token.
    #[must_use]
    pub fn userinfo_endpoint(&self) -> Option<&Url> {
        self.userinfo_endpoint.as_ref()
    }

    /// Where Oten tells whether an access token is still good. Never part of discovery.
    #[must_use]
    pub fn token_validation_endpoint(&self) -> Option<&Url> {
        self.token_validation_endpoint.as_ref()
    }

    /// Where a browser is sent to sign out (OpenID Connect RP-Initiated Logout).
    #[must_use]
    pub fn end_session_endpoint(&self) -> Option<&Url> {
        self.end_session_endpoint.as_ref()
    }

    /// Where tokens are revoked (RFC 7009).
    #[must_use]
    pub fn revocation_endpoint(&self) -> Option<&Url> {
        self.revocation_endpoint.as_ref()
    }

    /// Whether every authorization response carries `iss` (RFC 9207).
    #[must_use]
    pub fn authorization_response_iss_parameter_supported(&self) -> bool {
        self.authorization_response_iss_parameter_supported
    }

    /// The scopes the provider knows.
    #[must_use]
    pub fn scopes_supported(&self) -> &[String] {
        &self.features.scopes
    }

    /// The response types the provider knows; `code` is the one used here.
    #[must_use]
    pub fn response_types_supported(&self) -> &[String] {
        &self.features.response_types
    }

    /// The grant types the provider knows.
    #[must_use]
    pub fn grant_types_supported(&self) -> &[String] {
        &self.features.grant_types
    }

    /// The PKCE methods the provider knows; `S256` is the one used here.
    #[must_use]
    pub fn code_challenge_methods_supported(&self) -> &[String] {
        &self.features.code_challenge_methods
    }

    /// The client authentication methods the provider knows; `client_secret_post` is the one
    /// used here.
    #[must_use]
    pub fn token_endpoint_auth_methods_supported(&self) -> &[String] {
        &self.features.token_endpoint_auth_methods
    }

    /// The claims the provider can tell about a user.
    #[must_use]
    pub fn claims_supported(&self) -> &[String] {
        &self.features.claims
    }

    /// The algorithms the provider signs ID tokens with; `EdDSA` is the one believed here.
    #[must_use]
    pub fn id_token_signing_alg_values_supported(&self) -> &[String] {
        &self.features.id_token_signing_algs
    }
}

impl Features {
    fn documented() -> Self {
        let list = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Self {
            scopes: list(&["openid", "profile", "email"]),
            response_types: list(&["code"]),
            grant_types: list(&["authorization_code", "refresh_token"]),
            code_challenge_methods: list(&["S256", "plain"]),
            token_endpoint_auth_methods: list(&["client_secret_post"]),
            claims: list(&["sub", "name", "email"]),
            id_token_signing_algs: list(&["EdDSA"]),
        }
    }
}

/// An issuer without one trailing slash, which the samples write and discovery does not.
pub(super) fn without_slash(issuer: &str) -> &str {
    issuer.strip_suffix('/').unwrap_or(issuer)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const SANDBOX: &str = "https://account.sbx.oten.dev";

    fn discover(document: &Value) -> Result<ProviderMetadata, ProviderError> {
        let document = document.to_string();
        ProviderMetadata::from_discovery(document.as_bytes(), SANDBOX, Some(Environment::Sandbox))
    }

    #[test]
    fn what_discovery_leaves_out_comes_from_the_table() {
        let metadata = discover(&json!({
            "issuer": SANDBOX,
            "token_endpoint": "https://account.sbx.oten.dev/v2/token",
        }))
        .unwrap();
        let table = ProviderMetadata::from_environment(Environment::Sandbox);
        assert_eq!(metadata.token_endpoint().path(), "/v2/token");
        assert_eq!(metadata.jwks_uri(), table.jwks_uri());
        assert_eq!(metadata.userinfo_endpoint(), table.userinfo_endpoint());
        assert_eq!(metadata.end_session_endpoint(), None);
    }

    #[test]
    fn a_custom_issuer_has_no_table() {
        let document = json!({ "issuer": "https://id.example" }).to_string();
        let refusal =
            ProviderMetadata::from_discovery(document.as_bytes(), "https://id.example", None);
        assert!(matches!(refusal, Err(ProviderError::Discovery(_))));
    }

    #[test]
    fn one_trailing_slash_makes_no_difference_and_discovery_decides_the_spelling() {
        let with = json!({ "issuer": format!("{SANDBOX}/") });
        assert_eq!(discover(&with).unwrap().issuer(), format!("{SANDBOX}/"));
        let two = json!({ "issuer": format!("{SANDBOX}//") });
        assert!(matches!(discover(&two), Err(ProviderError::IssuerMismatch)));
    }

    #[test]
    fn d2_another_issuer_is_refused() {
        let document = json!({ "issuer": "https://account.oten.com" });
        assert!(matches!(
            discover(&document),
            Err(ProviderError::IssuerMismatch)
        ));
    }

    #[test]
    fn d2_a_plain_http_endpoint_is_refused() {
        for name in [
            "authorization_endpoint",
            "token_endpoint",
            "jwks_uri",
            "userinfo_endpoint",
            "end_session_endpoint",
            "revocation_endpoint",
        ] {
            let document = json!({ "issuer": SANDBOX, name: "http://account.sbx.oten.dev/x" });
            assert!(
                matches!(discover(&document), Err(ProviderError::InsecureEndpoint(n)) if n == name),
                "{name}"
            );
        }
    }

    #[test]
    fn a_document_that_is_no_metadata_is_refused() {
        for document in ["", "[]", "<html>", r#"{"issuer": 5}"#] {
            let refusal = ProviderMetadata::from_discovery(document.as_bytes(), SANDBOX, None);
            assert!(
                matches!(refusal, Err(ProviderError::Discovery(_))),
                "{document}"
            );
        }
    }
}
