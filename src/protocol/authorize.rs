use std::time::Duration;

use url::Url;

use super::{CodeVerifier, request_object};
use crate::{
    clock::Clock,
    config::{Client, ClientType, Config, Jar},
    jose::{JoseError, SigningKey},
    provider::ProviderMetadata,
    secret::Secret,
};

/// What is asked of the provider for one sign-in, whatever the form it is sent in.
#[derive(Debug)]
pub(crate) struct AuthorizationRequest<'a> {
    pub(crate) client: &'a Client,
    pub(crate) issuer: &'a str,
    pub(crate) redirect_uri: &'a Url,
    pub(crate) scopes: &'a [String],
    pub(crate) state: &'a Secret,
    pub(crate) nonce: &'a Secret,
    pub(crate) code_verifier: &'a CodeVerifier,
    pub(crate) prompt: Option<&'a str>,
    pub(crate) max_age: Option<Duration>,
    pub(crate) ui_locales: Option<&'a str>,
    /// How long a request object lives.
    pub(crate) lifetime: Duration,
    /// Seconds since the Unix epoch.
    pub(crate) now: i64,
}

impl<'a> AuthorizationRequest<'a> {
    /// What the configuration asks for; what is new for each sign-in are the secrets and the time.
    pub(crate) fn new(
        config: &'a Config,
        issuer: &'a str,
        state: &'a Secret,
        nonce: &'a Secret,
        code_verifier: &'a CodeVerifier,
        now: i64,
    ) -> Self {
        Self {
            client: config.client(),
            issuer,
            redirect_uri: config.redirect_uri(),
            scopes: config.scopes(),
            state,
            nonce,
            code_verifier,
            prompt: config.prompt(),
            max_age: config.max_age(),
            ui_locales: config.ui_locales(),
            lifetime: config.request_object_lifetime(),
            now,
        }
    }

    /// The parameters of RFC 6749 section 4.1.1, RFC 7636 section 4.3 and OpenID Connect Core
    /// section 3.1.2.1, in the order and with the names they have in both forms.
    pub(super) fn parameters(&self) -> Vec<(&'static str, String)> {
        let mut parameters = vec![
            ("client_id", self.client.id().to_owned()),
            ("redirect_uri", self.redirect_uri.to_string()),
            ("response_type", "code".to_owned()),
            ("scope", self.scopes.join(" ")),
            ("state", self.state.expose().to_owned()),
            ("nonce", self.nonce.expose().to_owned()),
            ("code_challenge", self.code_verifier.challenge()),
            ("code_challenge_method", "S256".to_owned()),
        ];
        let optional = [
            ("prompt", self.prompt.map(str::to_owned)),
            ("max_age", self.max_age.map(|age| age.as_secs().to_string())),
            ("ui_locales", self.ui_locales.map(str::to_owned)),
        ];
        for (name, value) in optional {
            parameters.extend(value.map(|value| (name, value)));
        }
        parameters
    }
}

/// What the `state` of a request begins with that belongs to no sign-in, so that nobody looks for one
/// in vain.
const THROWAWAY: &str = "throwaway-";

/// An authorization URL like those that sign-ins use, for support cases: its `state`, `nonce` and
/// `code_verifier` are made for it and thrown away, so no callback that comes of it is accepted.
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
///     let url = protocol::throwaway_authorization_url(config, &metadata, &Clock::system())?;
///     let names = url.query_pairs().map(|(name, _)| name.into_owned());
///     Ok::<Vec<_>, axum_oten::jose::JoseError>(names.collect())
/// };
///
/// // A confidential client's request is signed:
/// let confidential = config.clone().client_secret(Secret::random()).build()?;
/// assert_eq!(names(&confidential)?, ["client_id", "request"]);
/// // A public client's is not:
/// assert!(!names(&config.public_client().build()?)?.contains(&"request".to_owned()));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// [`JoseError`] when the request cannot be signed.
pub fn throwaway_authorization_url(
    config: &Config,
    metadata: &ProviderMetadata,
    clock: &Clock,
) -> Result<Url, JoseError> {
    let random = Secret::random();
    let state = Secret::from(format!("{THROWAWAY}{}", random.expose()));
    let nonce = Secret::random();
    let code_verifier = CodeVerifier::random();
    let request = AuthorizationRequest::new(
        config,
        metadata.issuer(),
        &state,
        &nonce,
        &code_verifier,
        clock.unix_now(),
    );
    authorization_url(metadata.authorization_endpoint(), &request)
}

/// The URL the browser is sent to.
///
/// A confidential client's carries exactly `client_id` and `request` (RFC 9101 section 5); a public
/// client's carries plain parameters, as does that of a client for which JAR was switched off.
pub(crate) fn authorization_url(
    endpoint: &Url,
    request: &AuthorizationRequest<'_>,
) -> Result<Url, JoseError> {
    let parameters = match request_object_key(request.client) {
        Some(key) => vec![
            ("client_id", request.client.id().to_owned()),
            ("request", request_object::sign(request, &key)?),
        ],
        None => request.parameters(),
    };
    let mut url = endpoint.clone();
    url.query_pairs_mut().extend_pairs(parameters);
    Ok(url)
}

fn request_object_key(client: &Client) -> Option<SigningKey> {
    match client.kind() {
        ClientType::Public | ClientType::Confidential { jar: Jar::Off, .. } => None,
        ClientType::Confidential {
            jar: Jar::Hs256,
            secret,
        } => Some(SigningKey::hs256(secret)),
        ClientType::Confidential {
            jar: Jar::EdDsa(pair),
            ..
        } => Some(SigningKey::from(pair.clone())),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Map, Value};

    use super::*;
    use crate::jose::{Algorithm, CompactJws, Ed25519KeyPair, VerifyingKey};

    const ISSUER: &str = "https://account.sbx.oten.dev";
    const NOW: i64 = 1_800_000_000;

    fn confidential(jar: Jar) -> Client {
        Client {
            id: "client".into(),
            kind: ClientType::Confidential {
                secret: "0123456789abcdef0123456789abcdef".into(),
                jar,
            },
            published_keys: Vec::new(),
        }
    }

    fn public() -> Client {
        Client {
            id: "client".into(),
            kind: ClientType::Public,
            published_keys: Vec::new(),
        }
    }

    fn url_for(client: &Client) -> (Url, CodeVerifier) {
        let verifier = CodeVerifier::random();
        let request = AuthorizationRequest {
            client,
            issuer: ISSUER,
            redirect_uri: &"https://app.example/callback".parse().unwrap(),
            scopes: &["openid".into(), "email".into()],
            state: &"the-state".into(),
            nonce: &"the-nonce".into(),
            code_verifier: &verifier,
            prompt: Some("login"),
            max_age: Some(Duration::from_secs(600)),
            ui_locales: Some("de en"),
            lifetime: Duration::from_secs(120),
            now: NOW,
        };
        let endpoint = format!("{ISSUER}/v1/oauth/authorize").parse().unwrap();
        (authorization_url(&endpoint, &request).unwrap(), verifier)
    }

    fn query(url: &Url) -> BTreeMap<String, String> {
        url.query_pairs().into_owned().collect()
    }

    #[test]
    fn s2_the_url_of_a_confidential_client_carries_client_id_and_request_only() {
        for jar in [Jar::Hs256, Jar::EdDsa(Ed25519KeyPair::generate())] {
            let (url, _) = url_for(&confidential(jar));
            let names: Vec<_> = query(&url).into_keys().collect();
            assert_eq!(names, ["client_id", "request"]);
        }
    }

    #[test]
    fn s2_the_request_object_is_as_in_the_profile() {
        let pair = Ed25519KeyPair::generate().with_key_id("registered");
        let hs256 = VerifyingKey::hs256(&"0123456789abcdef0123456789abcdef".into());
        for (jar, key, kid) in [
            (Jar::Hs256, hs256, None),
            (
                Jar::EdDsa(pair.clone()),
                pair.verifying_key(),
                Some("registered"),
            ),
        ] {
            let (url, verifier) = url_for(&confidential(jar));
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
        let client = confidential(Jar::Hs256);
        assert_ne!(query(&url_for(&client).0), query(&url_for(&client).0));
    }

    #[test]
    fn s3_a_public_client_sends_plain_parameters_with_pkce_and_no_secret() {
        let (url, verifier) = url_for(&public());
        let query = query(&url);
        assert!(!query.contains_key("request") && !query.contains_key("client_secret"));
        assert_eq!(query["code_challenge"], verifier.challenge());
        assert_eq!(query["code_challenge_method"], "S256");
        assert_eq!(query["state"], "the-state");
        assert_eq!(query["nonce"], "the-nonce");
    }

    #[test]
    fn a_client_without_jar_sends_plain_parameters() {
        let (url, _) = url_for(&confidential(Jar::Off));
        assert_eq!(query(&url)["response_type"], "code");
        assert!(!url.as_str().contains("0123456789abcdef"));
    }
}
