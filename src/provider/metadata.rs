use url::Url;

use super::error::ProviderError;
use crate::{
    config::{Environment, is_loopback, without_slash},
    error::quoted,
    http::{Members, UnusableMember},
};

/// The provider's endpoints and supported features (OpenID Connect Discovery section 3).
///
/// For one of Oten's environments, members that discovery omits are completed from its documented
/// endpoints; a custom issuer has only what its discovery document contains.
///
/// ```
/// use axum_oten::provider::{ProviderError, ProviderMetadata};
///
/// let issuer = "https://id.example";
/// let document = br#"{
///     "issuer": "https://id.example",
///     "authorization_endpoint": "https://id.example/authorize",
///     "token_endpoint": "https://id.example/token",
///     "jwks_uri": "https://id.example/keys"
/// }"#;
/// let metadata = ProviderMetadata::from_discovery(document, issuer, None)?;
/// assert_eq!(metadata.token_endpoint().path(), "/token");
/// assert_eq!(metadata.end_session_endpoint(), None);
///
/// let incomplete = br#"{"issuer": "https://id.example"}"#;
/// let error = ProviderMetadata::from_discovery(incomplete, issuer, None).unwrap_err();
/// assert_eq!(error, ProviderError::MissingEndpoint("authorization_endpoint"));
/// # Ok::<_, ProviderError>(())
/// ```
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
    /// The optional members of the discovery document that cannot be used.
    ignored: Vec<&'static str>,
}

/// Members with a list of names. Those that discovery omits have Oten's documented values.
#[derive(Clone, Debug, PartialEq, Eq)]
// The names are those of the document.
#[allow(clippy::struct_field_names)]
struct Features {
    scopes_supported: Vec<String>,
    response_types_supported: Vec<String>,
    grant_types_supported: Vec<String>,
    code_challenge_methods_supported: Vec<String>,
    token_endpoint_auth_methods_supported: Vec<String>,
    claims_supported: Vec<String>,
    id_token_signing_alg_values_supported: Vec<String>,
}

impl Default for Features {
    fn default() -> Self {
        let list = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Self {
            scopes_supported: list(&["openid", "profile", "email"]),
            response_types_supported: list(&["code"]),
            grant_types_supported: list(&["authorization_code", "refresh_token"]),
            code_challenge_methods_supported: list(&["S256", "plain"]),
            token_endpoint_auth_methods_supported: list(&["client_secret_post"]),
            claims_supported: list(&["sub", "name", "email"]),
            id_token_signing_alg_values_supported: list(&["EdDSA"]),
        }
    }
}

impl Features {
    fn read(members: &mut Members<'_>) -> Self {
        let mut features = Self::default();
        let lists = [
            ("scopes_supported", &mut features.scopes_supported),
            (
                "response_types_supported",
                &mut features.response_types_supported,
            ),
            ("grant_types_supported", &mut features.grant_types_supported),
            (
                "code_challenge_methods_supported",
                &mut features.code_challenge_methods_supported,
            ),
            (
                "token_endpoint_auth_methods_supported",
                &mut features.token_endpoint_auth_methods_supported,
            ),
            ("claims_supported", &mut features.claims_supported),
            (
                "id_token_signing_alg_values_supported",
                &mut features.id_token_signing_alg_values_supported,
            ),
        ];
        let non_empty = |list: Vec<String>| Some(list).filter(|list| !list.is_empty());
        for (name, list) in lists {
            if let Some(named) = members.optional(name, non_empty) {
                *list = named;
            }
        }
        features
    }
}

impl ProviderMetadata {
    /// Returns the endpoints and features that Oten documents for an environment.
    #[must_use]
    #[expect(
        clippy::missing_panics_doc,
        reason = "every documented endpoint is a URL"
    )]
    pub fn from_environment(environment: Environment) -> Self {
        let endpoint = |path| {
            let url = format!("{}{path}", environment.issuer());
            Url::parse(&url).expect("every documented endpoint is a URL")
        };
        Self {
            issuer: environment.issuer().to_owned(),
            authorization_endpoint: endpoint("/v1/oauth/authorize"),
            token_endpoint: endpoint("/v1/oauth/token"),
            jwks_uri: endpoint("/.well-known/jwks.json"),
            userinfo_endpoint: Some(endpoint("/v1/userinfo")),
            token_validation_endpoint: Some(endpoint("/v1/token/validate")),
            end_session_endpoint: None,
            revocation_endpoint: None,
            authorization_response_iss_parameter_supported: false,
            features: Features::default(),
            ignored: Vec::new(),
        }
    }

    /// Reads a discovery document for `issuer`, completed from `environment`.
    ///
    /// The configured issuer and the document's `issuer` must be equal as URLs in their normal form
    /// (RFC 3986 section 6.2), so that one may have capitals in its host or the default port, and may
    /// differ by one trailing slash. [`issuer`](Self::issuer) returns the document's spelling.
    ///
    /// Members that sign-in can do without are ignored if they are `null`, empty or of an unexpected
    /// type.
    ///
    /// # Errors
    ///
    /// - [`ProviderError::InvalidDiscovery`] when the document is not a JSON object;
    /// - [`ProviderError::InvalidMember`] when a member that sign-in needs has an unusable value, or
    ///   there is no `issuer`;
    /// - [`ProviderError::IssuerMismatch`] when the document is for another issuer;
    /// - [`ProviderError::MissingEndpoint`] when an endpoint is neither in the document nor
    ///   documented for the environment;
    /// - [`ProviderError::InsecureEndpoint`] when an endpoint is not https. If the issuer is on
    ///   loopback, http on loopback is allowed, too.
    pub fn from_discovery(
        document: &[u8],
        issuer: &str,
        environment: Option<Environment>,
    ) -> Result<Self, ProviderError> {
        let mut members = Members::parse(document).ok_or(ProviderError::InvalidDiscovery)?;
        let named = members.essential("issuer", Some::<String>)?;
        let named = named.ok_or(UnusableMember("issuer"))?;
        if !is_same_issuer(&named, issuer) {
            return Err(ProviderError::IssuerMismatch {
                configured: issuer.into(),
                discovered: quoted(&named).into(),
            });
        }
        let metadata = Self::complete(&mut members, named, environment)?;
        metadata.require_https(issuer)?;
        Ok(metadata)
    }

    fn complete(
        members: &mut Members<'_>,
        issuer: String,
        environment: Option<Environment>,
    ) -> Result<Self, ProviderError> {
        let documented = environment.map(Self::from_environment);
        let documented = documented.as_ref();
        let url = |text: String| Url::parse(&text).ok();
        let required = |name, fallback: Option<&Url>| {
            let named = members.essential(name, url)?;
            named
                .or_else(|| fallback.cloned())
                .ok_or(ProviderError::MissingEndpoint(name))
        };
        Ok(Self {
            issuer,
            authorization_endpoint: required(
                "authorization_endpoint",
                documented.map(Self::authorization_endpoint),
            )?,
            token_endpoint: required("token_endpoint", documented.map(Self::token_endpoint))?,
            jwks_uri: required("jwks_uri", documented.map(Self::jwks_uri))?,
            // Ignoring the announcement would disable a check of the callback.
            authorization_response_iss_parameter_supported: members
                .essential("authorization_response_iss_parameter_supported", Some)?
                .unwrap_or(false),
            userinfo_endpoint: members
                .optional("userinfo_endpoint", url)
                .or_else(|| documented?.userinfo_endpoint.clone()),
            token_validation_endpoint: documented
                .and_then(|documented| documented.token_validation_endpoint.clone()),
            end_session_endpoint: members.optional("end_session_endpoint", url),
            revocation_endpoint: members.optional("revocation_endpoint", url),
            features: Features::read(members),
            ignored: members.take_ignored(),
        })
    }

    fn require_https(&self, issuer: &str) -> Result<(), ProviderError> {
        let local = Url::parse(issuer).is_ok_and(|issuer| is_loopback(&issuer));
        let is_secure = |url: &Url| {
            url.scheme() == "https" || url.scheme() == "http" && local && is_loopback(url)
        };
        let endpoints = [
            ("authorization_endpoint", Some(&self.authorization_endpoint)),
            ("token_endpoint", Some(&self.token_endpoint)),
            ("jwks_uri", Some(&self.jwks_uri)),
            ("userinfo_endpoint", self.userinfo_endpoint.as_ref()),
            ("end_session_endpoint", self.end_session_endpoint.as_ref()),
            ("revocation_endpoint", self.revocation_endpoint.as_ref()),
        ];
        let insecure = endpoints
            .into_iter()
            .find(|(_, url)| url.is_some_and(|url| !is_secure(url)));
        match insecure {
            Some((name, _)) => Err(ProviderError::InsecureEndpoint(name)),
            None => Ok(()),
        }
    }

    /// The issuer in the spelling of the discovery document.
    ///
    /// Request objects have it as `aud`. The `iss` of an ID token, a logout token and a callback must
    /// be equal to it byte for byte (OpenID Connect Core section 3.1.3.7, RFC 9207 section 2.4).
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The endpoint that browsers are redirected to for a sign-in (RFC 6749 section 3.1).
    #[must_use]
    pub fn authorization_endpoint(&self) -> &Url {
        &self.authorization_endpoint
    }

    /// The endpoint that exchanges codes and refresh tokens (RFC 6749 section 3.2).
    #[must_use]
    pub fn token_endpoint(&self) -> &Url {
        &self.token_endpoint
    }

    /// The address of the provider's JWK set (RFC 7517 section 5).
    #[must_use]
    pub fn jwks_uri(&self) -> &Url {
        &self.jwks_uri
    }

    /// The endpoint that returns claims about the user for an access token (OpenID Connect Core
    /// section 5.3).
    #[must_use]
    pub fn userinfo_endpoint(&self) -> Option<&Url> {
        self.userinfo_endpoint.as_ref()
    }

    /// Oten's endpoint that validates an access token. Never part of discovery.
    #[must_use]
    pub fn token_validation_endpoint(&self) -> Option<&Url> {
        self.token_validation_endpoint.as_ref()
    }

    /// The endpoint that browsers are redirected to for a sign-out (OpenID Connect RP-Initiated
    /// Logout section 2.1).
    #[must_use]
    pub fn end_session_endpoint(&self) -> Option<&Url> {
        self.end_session_endpoint.as_ref()
    }

    /// The endpoint that revokes tokens (RFC 7009).
    #[must_use]
    pub fn revocation_endpoint(&self) -> Option<&Url> {
        self.revocation_endpoint.as_ref()
    }

    /// Whether every authorization response carries `iss` (RFC 9207 section 3).
    #[must_use]
    pub fn authorization_response_iss_parameter_supported(&self) -> bool {
        self.authorization_response_iss_parameter_supported
    }

    /// The scopes that the provider supports.
    #[must_use]
    pub fn scopes_supported(&self) -> &[String] {
        &self.features.scopes_supported
    }

    /// The response types that the provider supports; this crate uses `code`.
    #[must_use]
    pub fn response_types_supported(&self) -> &[String] {
        &self.features.response_types_supported
    }

    /// The grant types that the provider supports; this crate uses `authorization_code` and
    /// `refresh_token`.
    #[must_use]
    pub fn grant_types_supported(&self) -> &[String] {
        &self.features.grant_types_supported
    }

    /// The PKCE methods that the provider supports (RFC 7636 section 4.3); this crate uses `S256`.
    #[must_use]
    pub fn code_challenge_methods_supported(&self) -> &[String] {
        &self.features.code_challenge_methods_supported
    }

    /// The client authentication methods that the token endpoint supports; this crate uses
    /// `client_secret_post`.
    #[must_use]
    pub fn token_endpoint_auth_methods_supported(&self) -> &[String] {
        &self.features.token_endpoint_auth_methods_supported
    }

    /// The claims that the provider may return about a user.
    #[must_use]
    pub fn claims_supported(&self) -> &[String] {
        &self.features.claims_supported
    }

    /// The algorithms that the provider signs ID tokens with; this crate accepts `EdDSA` only.
    #[must_use]
    pub fn id_token_signing_alg_values_supported(&self) -> &[String] {
        &self.features.id_token_signing_alg_values_supported
    }

    /// The optional members of the discovery document that were ignored.
    pub(crate) fn ignored_members(&self) -> &[&'static str] {
        &self.ignored
    }
}

/// Returns the address of the discovery document (OpenID Connect Discovery section 4).
pub(crate) fn discovery_url(issuer: &str) -> Result<Url, ProviderError> {
    let issuer = without_slash(issuer);
    Url::parse(&format!("{issuer}/.well-known/openid-configuration"))
        .map_err(|_| ProviderError::InvalidIssuer)
}

/// Whether two issuers are equal, as text or as URLs in their normal form, apart from one trailing
/// slash.
pub(crate) fn is_same_issuer(a: &str, b: &str) -> bool {
    // Characters that a URL parser drops or replaces are not normalized.
    let is_odd = |c: char| c.is_control() || c.is_whitespace() || matches!(c, '\\' | '@');
    let url = |issuer: &str| Url::parse(issuer).ok().filter(|_| !issuer.contains(is_odd));
    match (url(a), url(b)) {
        (Some(a), Some(b)) => without_slash(a.as_str()) == without_slash(b.as_str()),
        _ => without_slash(a) == without_slash(b),
    }
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
    fn omitted_endpoints_are_completed_from_the_documented_ones() {
        let metadata = discover(&json!({
            "issuer": SANDBOX,
            "token_endpoint": "https://account.sbx.oten.dev/v2/token",
        }))
        .unwrap();
        let documented = ProviderMetadata::from_environment(Environment::Sandbox);
        assert_eq!(metadata.token_endpoint().path(), "/v2/token");
        assert_eq!(metadata.jwks_uri(), documented.jwks_uri());
        assert_eq!(metadata.userinfo_endpoint(), documented.userinfo_endpoint());
        assert_eq!(metadata.end_session_endpoint(), None);
    }

    #[test]
    fn a_custom_issuer_has_no_documented_endpoints() {
        let document = json!({ "issuer": "https://id.example" }).to_string();
        let rejected =
            ProviderMetadata::from_discovery(document.as_bytes(), "https://id.example", None);
        let missing = ProviderError::MissingEndpoint("authorization_endpoint");
        assert_eq!(rejected, Err(missing));
    }

    #[test]
    fn one_trailing_slash_is_ignored_and_discovery_decides_the_spelling() {
        let with = json!({ "issuer": format!("{SANDBOX}/") });
        assert_eq!(discover(&with).unwrap().issuer(), format!("{SANDBOX}/"));
        let two = json!({ "issuer": format!("{SANDBOX}//") });
        assert!(matches!(
            discover(&two),
            Err(ProviderError::IssuerMismatch { .. })
        ));
    }

    #[test]
    fn p5_issuers_are_compared_as_text_or_in_their_normal_form() {
        for (configured, discovered, is_same) in [
            ("https://id.example", "https://id.example", true),
            ("https://id.example", "https://id.example/", true),
            ("https://id.example/", "HTTPS://Id.Example:443", true),
            (
                "https://id.example:8443/a",
                "https://ID.example:8443/a/",
                true,
            ),
            ("https://id.example/a", "https://id.example/A", false),
            ("https://id.example/a", "https://id.example/b", false),
            ("https://id.example", "https://id.example//", false),
            ("https://id.example", "https://id.example:444", false),
            ("https://id.example", "http://id.example", false),
            (
                "https://id.example",
                "https://id.example.evil.example",
                false,
            ),
            ("https://id.example", "https://id.example?", false),
            ("https://id.example", "https://id.example#", false),
            ("https://id.example", "https://user@id.example", false),
            ("https://id.example", "https://@id.example", false),
            ("https://id.example", " https://id.example", false),
            ("https://id.example", "https://id.ex\tample", false),
            ("https://id.example", "https:\\\\id.example", false),
            ("https://id.example", "id.example", false),
            ("https://id.example", "", false),
        ] {
            let both = format!("{configured} {discovered:?}");
            assert_eq!(is_same_issuer(configured, discovered), is_same, "{both}");
            assert_eq!(is_same_issuer(discovered, configured), is_same, "{both}");
        }
    }

    #[test]
    fn p5_the_error_names_both_issuers() {
        let hostile = format!("https://evil.example/\u{1b}\n{}", "x".repeat(10_000));
        let error = discover(&json!({ "issuer": hostile })).unwrap_err();
        let message = error.to_string();
        assert!(message.contains("`https://evil.example/\\u{1b}\\nxxx"));
        assert!(message.contains(&format!("not `{SANDBOX}`")), "{message}");
        assert!(message.len() < 400 && !message.contains(char::is_control));
    }

    #[test]
    fn d2_another_issuer_is_rejected() {
        let document = json!({ "issuer": "https://account.oten.com" });
        assert!(matches!(
            discover(&document),
            Err(ProviderError::IssuerMismatch { .. })
        ));
    }

    #[test]
    fn d2_a_plain_http_endpoint_is_rejected() {
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
    fn a_document_that_is_not_metadata_is_rejected() {
        for document in ["", "[]", "<html>", "null"] {
            let rejected = ProviderMetadata::from_discovery(document.as_bytes(), SANDBOX, None);
            assert_eq!(rejected, Err(ProviderError::InvalidDiscovery), "{document}");
        }
    }

    fn discover_with(name: &str, value: &Value) -> Result<ProviderMetadata, ProviderError> {
        let mut document = json!({
            "issuer": SANDBOX,
            "end_session_endpoint": "https://account.sbx.oten.dev/out",
        });
        document[name] = value.clone();
        discover(&document)
    }

    #[test]
    fn p1_an_unusable_optional_member_is_ignored_and_named() {
        let documented = ProviderMetadata::from_environment(Environment::Sandbox);
        for (names, values) in [
            (
                &[
                    "userinfo_endpoint",
                    "end_session_endpoint",
                    "revocation_endpoint",
                ][..],
                [
                    json!(null),
                    json!(""),
                    json!("/relative"),
                    json!(["https://a.example"]),
                    json!({}),
                ],
            ),
            (
                &[
                    "scopes_supported",
                    "response_types_supported",
                    "grant_types_supported",
                    "code_challenge_methods_supported",
                    "token_endpoint_auth_methods_supported",
                    "claims_supported",
                    "id_token_signing_alg_values_supported",
                ],
                [
                    json!(null),
                    json!([]),
                    json!("openid"),
                    json!(["openid", 5]),
                    json!(true),
                ],
            ),
        ] {
            for name in names {
                for value in &values {
                    let metadata = discover_with(name, value).unwrap();
                    assert_eq!(metadata.ignored_members(), [*name], "{value}");
                    assert_eq!(metadata.features, documented.features);
                    assert_eq!(metadata.userinfo_endpoint, documented.userinfo_endpoint);
                    let end_session = metadata.end_session_endpoint().is_none();
                    assert_eq!(end_session, *name == "end_session_endpoint");
                }
            }
        }
        let usable = discover_with("scopes_supported", &json!(["openid"])).unwrap();
        assert_eq!(usable.ignored_members(), [""; 0]);
    }

    #[test]
    fn p1_an_unusable_member_that_sign_in_needs_is_rejected_and_named() {
        for (names, values) in [
            (&["issuer"][..], [json!(5), json!([SANDBOX]), json!(null)]),
            (
                &["authorization_endpoint", "token_endpoint", "jwks_uri"],
                [json!(""), json!("/relative"), json!(["https://a.example"])],
            ),
            (
                &["authorization_response_iss_parameter_supported"],
                [json!("true"), json!(1), json!([])],
            ),
        ] {
            for name in names {
                for value in &values {
                    let rejected = discover_with(name, value);
                    assert_eq!(rejected, Err(ProviderError::InvalidMember(name)), "{value}");
                }
            }
        }
        for name in [
            "authorization_endpoint",
            "token_endpoint",
            "jwks_uri",
            "authorization_response_iss_parameter_supported",
        ] {
            let absent = discover_with(name, &Value::Null).unwrap();
            assert_eq!(absent.ignored_members(), [""; 0]);
            assert!(!absent.authorization_response_iss_parameter_supported());
        }
    }

    #[test]
    fn every_documented_endpoint_is_an_https_url() {
        for environment in Environment::ALL {
            let metadata = ProviderMetadata::from_environment(environment);
            for url in [
                metadata.authorization_endpoint(),
                metadata.token_endpoint(),
                metadata.jwks_uri(),
                metadata.userinfo_endpoint().unwrap(),
                metadata.token_validation_endpoint().unwrap(),
            ] {
                assert_eq!(url.scheme(), "https");
                assert!(url.as_str().starts_with(environment.issuer()));
            }
        }
    }

    #[test]
    fn the_well_known_path_follows_the_issuers_path() {
        for (issuer, url) in [
            (
                "https://id.example",
                "https://id.example/.well-known/openid-configuration",
            ),
            (
                "https://id.example/",
                "https://id.example/.well-known/openid-configuration",
            ),
            (
                "http://127.0.0.1:3000/oten",
                "http://127.0.0.1:3000/oten/.well-known/openid-configuration",
            ),
        ] {
            assert_eq!(discovery_url(issuer).unwrap().as_str(), url);
        }
    }
}
