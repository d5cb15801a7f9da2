use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use url::{Position, Url, form_urlencoded::Serializer};

use crate::{
    clock::Clock,
    config::{ClientType, Config, Jar, LoginOptions},
    jose::{Header, JoseError, SigningKey},
    provider::ProviderMetadata,
    secret::{Secret, base64url, exposed},
};

/// The prefix of a `state` that belongs to no sign-in, so that it is recognized in logs.
const THROWAWAY: &str = "throwaway-";

/// Returns an authorization URL like those of sign-ins, for support cases.
///
/// Its `state`, `nonce` and `code_verifier` are discarded, so no callback for it is accepted.
///
/// ```
/// use axum_oten::{Clock, Config, Secret, config::Environment, protocol, provider::ProviderMetadata};
///
/// let metadata = ProviderMetadata::from_environment(Environment::Sandbox);
/// let config = Config::builder()
///     .environment(Environment::Sandbox)
///     .client_id("my-site")
///     .redirect_uri("https://app.example.com/callback");
/// let names = |config: &Config| {
///     let url = protocol::sample_authorization_url(config, &metadata, &Clock::system())?;
///     let names = url.query_pairs().map(|(name, _)| name.into_owned());
///     Ok::<Vec<_>, axum_oten::jose::JoseError>(names.collect())
/// };
///
/// // The request of a confidential client is signed:
/// let confidential = config.clone().client_secret(Secret::random()).build()?;
/// assert_eq!(names(&confidential)?, ["client_id", "request"]);
/// // The request of a public client is not:
/// assert!(!names(&config.public_client().build()?)?.contains(&"request".to_owned()));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// [`JoseError`] when the request object cannot be signed.
#[doc(hidden)]
pub fn sample_authorization_url(
    config: &Config,
    metadata: &ProviderMetadata,
    clock: &Clock,
) -> Result<Url, JoseError> {
    let requests = AuthorizationRequests::new(config);
    let url = requests.url(&AuthorizationRequest {
        issuer: metadata.issuer(),
        endpoint: metadata.authorization_endpoint(),
        state: &format!("{THROWAWAY}{}", Secret::random().expose()).into(),
        nonce: &Secret::random(),
        code_verifier: &CodeVerifier::random(),
        options: config.login_defaults(),
        now: clock.unix_now(),
    })?;
    Ok(url.parse().expect("an endpoint with a query is a URL"))
}

/// The secrets of one sign-in, and the provider it takes place at.
#[derive(Debug)]
pub(crate) struct AuthorizationRequest<'a> {
    /// The issuer in the provider's spelling.
    pub(crate) issuer: &'a str,
    /// The provider's authorization endpoint, which may have a query.
    pub(crate) endpoint: &'a Url,
    pub(crate) state: &'a Secret,
    pub(crate) nonce: &'a Secret,
    pub(crate) code_verifier: &'a CodeVerifier,
    /// The options of this sign-in, completed with those of the configuration.
    pub(crate) options: &'a LoginOptions,
    /// Seconds since the Unix epoch.
    pub(crate) now: i64,
}

/// The authorization requests of a client. All that they have in common is prepared.
#[derive(Debug)]
pub(crate) struct AuthorizationRequests {
    /// The common parameters of the URL, in `application/x-www-form-urlencoded`.
    query: String,
    /// `None` for a public client or one with JAR switched off.
    request_objects: Option<RequestObjects>,
}

impl AuthorizationRequests {
    pub(crate) fn new(config: &Config) -> Self {
        let key = match config.client().client_type() {
            ClientType::Public | ClientType::Confidential { jar: Jar::Off, .. } => None,
            ClientType::Confidential {
                jar: Jar::Hs256,
                secret,
                ..
            } => Some(SigningKey::hs256(secret)),
            ClientType::Confidential {
                jar: Jar::EdDsa(pair),
                ..
            } => Some(SigningKey::from(pair.clone())),
        };
        let parameters = match key {
            Some(_) => vec![("client_id", config.client().id().to_owned())],
            None => common_parameters(config),
        };
        Self {
            query: Serializer::new(String::new())
                .extend_pairs(parameters)
                .finish(),
            request_objects: key.map(|key| RequestObjects::new(config, key)),
        }
    }

    /// Returns the URL to redirect the browser to.
    ///
    /// The URL of a confidential client carries exactly `client_id` and `request` (RFC 9101 section
    /// 5). The URL of a public client, or of one with JAR switched off, carries plain parameters.
    pub(crate) fn url(&self, request: &AuthorizationRequest<'_>) -> Result<String, JoseError> {
        let endpoint = &request.endpoint[..Position::AfterQuery];
        let mut url = String::with_capacity(endpoint.len() + self.query.len() + 256);
        url.push_str(endpoint);
        url.push_str(match request.endpoint.query() {
            None => "?",
            Some("") => "",
            Some(_) => "&",
        });
        url.push_str(&self.query);
        let code_challenge = &*request.code_verifier.challenge();
        let Some(request_objects) = &self.request_objects else {
            let parameters = [
                ("state", request.state.expose()),
                ("nonce", request.nonce.expose()),
                ("code_challenge", code_challenge),
            ];
            let mut query = Serializer::new(url);
            query.extend_pairs(parameters);
            query.extend_pairs(request.options.parameters());
            return Ok(query.finish());
        };
        url.push_str("&request=");
        request_objects.append(&mut url, request, code_challenge)?;
        Ok(url)
    }
}

/// The request objects of a client (RFC 9101 section 4): the parameters as claims, with the provider
/// as the audience, for one use.
#[derive(Debug)]
struct RequestObjects {
    key: SigningKey,
    /// The header of all request objects in base64url.
    header: String,
    /// The common claims as members of a JSON object: without the opening brace.
    claims: String,
    /// In seconds.
    lifetime: i64,
}

impl RequestObjects {
    fn new(config: &Config, key: SigningKey) -> Self {
        let parameters = common_parameters(config).into_iter();
        let mut claims: Map<String, Value> = parameters
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect();
        claims.insert("iss".to_owned(), config.client().id().into());
        let lifetime = config.request_object_lifetime().as_secs();
        Self {
            header: key.protected_header(&Header::new("JWT")),
            claims: Value::Object(claims).to_string().split_off(1),
            lifetime: i64::try_from(lifetime).unwrap_or_default(),
            key,
        }
    }

    fn append(
        &self,
        url: &mut String,
        request: &AuthorizationRequest<'_>,
        code_challenge: &str,
    ) -> Result<(), JoseError> {
        #[derive(Serialize)]
        struct Claims<'a> {
            aud: &'a str,
            iat: i64,
            nbf: i64,
            exp: i64,
            jti: &'a str,
            state: &'a str,
            nonce: &'a str,
            code_challenge: &'a str,
            // None of them has the name of another claim.
            #[serde(flatten)]
            options: Map<String, Value>,
        }
        let jti = Secret::random();
        let claims = Claims {
            aud: request.issuer,
            iat: request.now,
            nbf: request.now,
            exp: request.now.saturating_add(self.lifetime),
            jti: jti.expose(),
            state: request.state.expose(),
            nonce: request.nonce.expose(),
            code_challenge,
            options: request.options.claims(),
        };
        let mut json = Vec::with_capacity(self.claims.len() + 512);
        serde_json::to_writer(&mut json, &claims)
            .map_err(|error| JoseError::Claims(error.to_string()))?;
        // The closing brace.
        json.pop();
        json.push(b',');
        json.extend_from_slice(self.claims.as_bytes());
        self.key.append_jws(url, &self.header, &json)
    }
}

/// Returns the parameters that all requests of a client have in common, of RFC 6749 section 4.1.1,
/// RFC 7636 section 4.3 and OpenID Connect Core section 3.1.2.1.
fn common_parameters(config: &Config) -> Vec<(&'static str, String)> {
    vec![
        ("client_id", config.client().id().to_owned()),
        ("redirect_uri", config.redirect_uri().to_string()),
        ("response_type", "code".to_owned()),
        ("scope", config.scopes().join(" ")),
        ("code_challenge_method", "S256".to_owned()),
    ]
}

/// A PKCE code verifier (RFC 7636 section 4.1). The method is always `S256`, because `plain` would
/// reveal the verifier in the authorization request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct CodeVerifier(#[serde(with = "exposed")] Secret);

impl CodeVerifier {
    /// Returns a new verifier of 256 random bits.
    pub(crate) fn random() -> Self {
        Self(Secret::random())
    }

    /// Returns the verifier, which only the token endpoint may receive.
    pub(crate) fn expose(&self) -> &str {
        self.0.expose()
    }

    /// Returns `BASE64URL(SHA256(verifier))` (RFC 7636 section 4.2).
    pub(crate) fn challenge(&self) -> String {
        base64url(Sha256::digest(self.expose()))
    }
}

impl From<Secret> for CodeVerifier {
    fn from(secret: Secret) -> Self {
        Self(secret)
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use super::*;
    use crate::{
        config::{ConfigBuilder, Environment},
        jose::{Algorithm, CompactJws, Ed25519KeyPair, VerifyingKey},
    };

    const ISSUER: &str = "https://account.sbx.oten.dev";
    const CLIENT_SECRET: &str = "0123456789abcdef0123456789abcdef";
    const NOW: i64 = 1_800_000_000;

    fn client() -> ConfigBuilder {
        Config::builder()
            .environment(Environment::Sandbox)
            .client_id("client")
            .redirect_uri("https://app.example/callback")
            .scopes(["openid", "email"])
            .prompt("login")
            .max_age(Duration::from_secs(600))
            .ui_locales("de en")
    }

    fn confidential() -> ConfigBuilder {
        client().client_secret(CLIENT_SECRET)
    }

    fn url_for(config: ConfigBuilder) -> (Url, CodeVerifier) {
        let verifier = CodeVerifier::random();
        let endpoint = format!("{ISSUER}/v1/oauth/authorize").parse().unwrap();
        (url_at(&endpoint, config, &verifier), verifier)
    }

    fn url_at(endpoint: &Url, config: ConfigBuilder, code_verifier: &CodeVerifier) -> Url {
        let config = config.build().unwrap();
        let url = AuthorizationRequests::new(&config).url(&AuthorizationRequest {
            issuer: ISSUER,
            endpoint,
            state: &"the-state".into(),
            nonce: &"the-nonce".into(),
            code_verifier,
            options: config.login_defaults(),
            now: NOW,
        });
        url.unwrap().parse().unwrap()
    }

    fn query(url: &Url) -> BTreeMap<String, String> {
        url.query_pairs().into_owned().collect()
    }

    #[test]
    fn s2_the_url_of_a_confidential_client_carries_client_id_and_request_only() {
        let signed = confidential().jar_eddsa(Ed25519KeyPair::generate());
        for client in [confidential(), signed] {
            let (url, _) = url_for(client);
            let names: Vec<_> = query(&url).into_keys().collect();
            assert_eq!(names, ["client_id", "request"]);
        }
    }

    #[test]
    fn s2_the_request_object_has_the_claims_of_the_profile() {
        let pair = Ed25519KeyPair::generate().with_key_id("registered");
        let hs256 = VerifyingKey::hs256(&CLIENT_SECRET.into());
        let eddsa = pair.verifying_key();
        for (client, key, kid) in [
            (confidential(), hs256, None),
            (confidential().jar_eddsa(pair), eddsa, Some("registered")),
        ] {
            let (url, verifier) = url_for(client);
            let request = query(&url).remove("request").unwrap();
            let jws = CompactJws::parse(&request).unwrap();
            assert_eq!(jws.typ(), Some("JWT"));
            assert_eq!(jws.key_id(), kid);
            let claims = jws
                .verify::<Map<String, Value>>(&key, &[Algorithm::Hs256, Algorithm::EdDsa])
                .unwrap()
                .into_claims();
            assert!(claims["jti"].as_str().unwrap().len() >= 22);
            let expected = serde_json::json!({
                "iss": "client", "aud": ISSUER, "client_id": "client",
                "iat": NOW, "nbf": NOW, "exp": NOW + 120, "jti": claims["jti"],
                "redirect_uri": "https://app.example/callback", "response_type": "code",
                "scope": "openid email", "state": "the-state", "nonce": "the-nonce",
                "code_challenge": verifier.challenge(), "code_challenge_method": "S256",
                "prompt": "login", "max_age": 600, "ui_locales": "de en",
            });
            assert_eq!(Value::Object(claims), expected);
        }
    }

    #[test]
    fn s2_every_request_object_has_a_jti_of_its_own() {
        let endpoint = format!("{ISSUER}/v1/oauth/authorize").parse().unwrap();
        let verifier = CodeVerifier::random();
        let request = || query(&url_at(&endpoint, confidential(), &verifier))["request"].clone();
        assert_ne!(request(), request());
    }

    #[test]
    fn s3_a_public_client_sends_plain_parameters_with_pkce_and_no_secret() {
        let (url, verifier) = url_for(client().public_client());
        let query = query(&url);
        assert!(!query.contains_key("request") && !query.contains_key("client_secret"));
        assert_eq!(query["code_challenge"], verifier.challenge());
        assert_eq!(query["code_challenge_method"], "S256");
        assert_eq!(query["state"], "the-state");
        assert_eq!(query["nonce"], "the-nonce");
    }

    #[test]
    fn a_client_without_jar_sends_plain_parameters() {
        let (url, _) = url_for(confidential().jar_off());
        assert_eq!(query(&url)["response_type"], "code");
        assert!(!url.as_str().contains("0123456789abcdef"));
    }

    #[test]
    fn the_query_of_the_endpoint_is_kept() {
        for (endpoint, start) in [
            ("https://id.example/authorize", "?client_id="),
            ("https://id.example/authorize?", "?client_id="),
            ("https://id.example/authorize?a=b", "?a=b&client_id="),
            ("https://id.example/authorize?a#top", "?a&client_id="),
        ] {
            for config in [client().public_client(), confidential()] {
                let url = url_at(&endpoint.parse().unwrap(), config, &CodeVerifier::random());
                let rest = url.as_str().strip_prefix("https://id.example/authorize");
                assert!(rest.unwrap().starts_with(start), "{url}");
            }
        }
    }

    #[test]
    fn special_characters_are_encoded() {
        const ID: &str = r#"a&b="c"\%20+#"#;
        let (url, _) = url_for(client().client_id(ID).public_client());
        assert_eq!(query(&url)["client_id"], ID);
        let (url, _) = url_for(confidential().client_id(ID));
        let query = query(&url);
        assert_eq!(query["client_id"], ID);
        let key = VerifyingKey::hs256(&CLIENT_SECRET.into());
        let claims = CompactJws::parse(&query["request"])
            .unwrap()
            .verify::<Value>(&key, &[Algorithm::Hs256])
            .unwrap()
            .into_claims();
        assert_eq!(claims["iss"], ID);
        assert_eq!(claims["client_id"], ID);
    }

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
