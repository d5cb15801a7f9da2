use axum::{body::Body, response::Response};
use http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;
use url::{Url, form_urlencoded};

use crate::{
    clock::Clock,
    emulator::{EmulatedClient, Emulator, EmulatorBuilder, Rejection},
    jose::{Algorithm, CompactJws, Ed25519KeyPair, Header, JwkSet, SigningKey},
    secret::Secret,
};

pub(super) const SECRET: &str = "a client secret of 32 bytes or more";
pub(super) const REDIRECT: &str = "http://127.0.0.1:3000/callback";
pub(super) const POST_LOGOUT: &str = "http://127.0.0.1:3000/bye?from=oten";
/// RFC 7636 appendix B.
pub(super) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub(super) const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// A provider mounted under `/oten`, with a manual clock. Requests reach its router directly.
pub(super) struct TestProvider {
    pub(super) emulator: Emulator,
    pub(super) clock: Clock,
    pub(super) key_pair: Ed25519KeyPair,
}

pub(super) fn provider() -> TestProvider {
    provider_with(|builder| builder)
}

pub(super) fn provider_with(more: impl FnOnce(EmulatorBuilder) -> EmulatorBuilder) -> TestProvider {
    let clock = Clock::manual();
    let key_pair = Ed25519KeyPair::generate().with_key_id("client-key");
    let builder = Emulator::builder()
        .client(
            EmulatedClient::confidential("shop", SECRET)
                .redirect_uri(REDIRECT)
                .post_logout_redirect_uri(POST_LOGOUT)
                .back_channel_logout_uri("http://127.0.0.1:3000/back-channel-logout"),
        )
        .client(EmulatedClient::confidential("other", SECRET).redirect_uri(REDIRECT))
        .client(
            EmulatedClient::confidential("eddsa", SECRET)
                .redirect_uri(REDIRECT)
                .request_object_key(&key_pair.public_jwk()),
        )
        .client(
            EmulatedClient::confidential("legacy", SECRET)
                .redirect_uri(REDIRECT)
                .insecure_without_request_object(),
        )
        .client(EmulatedClient::public("spa").redirect_uri(REDIRECT))
        .client(
            EmulatedClient::confidential("two", SECRET)
                .redirect_uri(REDIRECT)
                .redirect_uri("https://two.example/callback"),
        )
        .clock(clock.clone());
    let issuer = "http://127.0.0.1:3000/oten".parse().unwrap();
    TestProvider {
        emulator: more(builder).mount(issuer).unwrap(),
        clock,
        key_pair,
    }
}

impl TestProvider {
    /// Returns the claims of a valid request object.
    pub(super) fn claims(&self, client_id: &str) -> Value {
        let now = self.clock.unix_now();
        json!({
            "iss": client_id,
            "aud": self.emulator.issuer(),
            "iat": now,
            "exp": now + 120,
            "jti": Secret::random().expose(),
            "client_id": client_id,
            "redirect_uri": REDIRECT,
            "response_type": "code",
            "scope": "openid profile email",
            "state": "the-state",
            "nonce": "the-nonce",
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
        })
    }

    /// Returns an authorization URL with these parameters.
    pub(super) fn url(&self, parameters: &[(&str, &str)]) -> String {
        let query = form(parameters);
        format!("{}/v1/oauth/authorize?{query}", self.emulator.issuer())
    }

    pub(super) fn signed_url(&self, client_id: &str, claims: &Value) -> String {
        self.url(&[("client_id", client_id), ("request", &sign(claims))])
    }

    /// Returns a valid authorization URL of the client `shop`.
    pub(super) fn valid_url(&self) -> String {
        self.signed_url("shop", &self.claims("shop"))
    }

    /// Returns the parameters of a valid request without a request object.
    pub(super) fn plain_parameters(client_id: &str) -> Vec<(&str, &str)> {
        vec![
            ("client_id", client_id),
            ("redirect_uri", REDIRECT),
            ("response_type", "code"),
            ("scope", "openid profile email"),
            ("state", "the-state"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ]
    }

    /// Returns the rejection of an invalid authorization request.
    pub(super) fn rejection(&self, url: &str) -> Rejection {
        match self.emulator.approve(url, "alice") {
            Err(crate::emulator::EmulatorError::Rejected(rejection)) => rejection,
            other => panic!("not rejected: {other:?}"),
        }
    }

    /// Returns a code of the client `shop`.
    pub(super) fn code(&self) -> String {
        let callback = self.emulator.approve(self.valid_url(), "alice").unwrap();
        query_value(&callback, "code").unwrap()
    }

    /// Returns the form that exchanges a code of the client `shop`.
    pub(super) fn code_form(code: &str) -> Vec<(&str, &str)> {
        vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", REDIRECT),
            ("code_verifier", VERIFIER),
            ("client_id", "shop"),
            ("client_secret", SECRET),
        ]
    }

    pub(super) fn refresh_form(token: &str) -> Vec<(&str, &str)> {
        vec![
            ("grant_type", "refresh_token"),
            ("refresh_token", token),
            ("client_id", "shop"),
            ("client_secret", SECRET),
        ]
    }

    /// Returns the token response of a new sign-in at the client `shop`.
    pub(super) async fn tokens(&self) -> Value {
        let code = self.code();
        let (status, answer) = self.token(&Self::code_form(&code)).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        answer
    }

    pub(super) async fn token(&self, parameters: &[(&str, &str)]) -> (StatusCode, Value) {
        let response = self.post("/v1/oauth/token", parameters).await;
        let status = response.status();
        (status, json_body(response).await)
    }

    pub(super) async fn userinfo(&self, token: &str) -> Response {
        let request =
            Request::get("/v1/userinfo").header(header::AUTHORIZATION, format!("Bearer {token}"));
        self.send(request.body(Body::empty()).unwrap()).await
    }

    pub(super) async fn post(&self, path: &str, parameters: &[(&str, &str)]) -> Response {
        let request = Request::post(path)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from(form(parameters)));
        self.send(request.unwrap()).await
    }

    pub(super) async fn get(&self, path: &str) -> Response {
        self.send(Request::get(path).body(Body::empty()).unwrap())
            .await
    }

    pub(super) async fn send(&self, request: Request<Body>) -> Response {
        self.emulator.router::<()>().oneshot(request).await.unwrap()
    }
}

/// Signs a request object with the client secret.
pub(super) fn sign(claims: &Value) -> String {
    SigningKey::hs256(&Secret::from(SECRET))
        .sign(&Header::new("JWT"), claims)
        .unwrap()
}

pub(super) fn form(parameters: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(parameters)
        .finish()
}

/// Returns `parameters` with one of them replaced or added, or removed if `value` is empty.
pub(super) fn with<'a>(
    mut parameters: Vec<(&'a str, &'a str)>,
    name: &'a str,
    value: &'a str,
) -> Vec<(&'a str, &'a str)> {
    parameters.retain(|(known, _)| *known != name);
    if !value.is_empty() {
        parameters.push((name, value));
    }
    parameters
}

pub(super) fn query_value(url: &Url, name: &str) -> Option<String> {
    let mut pairs = url.query_pairs();
    pairs
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}

pub(super) async fn text_body(response: Response) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

pub(super) async fn json_body(response: Response) -> Value {
    serde_json::from_str(&text_body(response).await).unwrap()
}

pub(super) fn location(response: &Response) -> String {
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    response.headers()[header::LOCATION]
        .to_str()
        .unwrap()
        .to_owned()
}

/// Returns the status and the error code of a token response.
pub(super) fn error(answer: &(StatusCode, Value)) -> (u16, &str) {
    (
        answer.0.as_u16(),
        answer.1["error"].as_str().unwrap_or("none"),
    )
}

/// Verifies a token with the published keys and returns its claims.
pub(super) async fn verified(provider: &TestProvider, token: &str, typ: &str) -> Value {
    let published = text_body(provider.get("/.well-known/jwks.json").await).await;
    let keys = JwkSet::from_json(published.as_bytes()).unwrap();
    let jws = CompactJws::parse(token).unwrap();
    assert_eq!(jws.typ(), Some(typ));
    let key = keys
        .find(jws.key_id(), Algorithm::EdDsa)
        .expect("the signing key is published");
    jws.verify::<Value>(key, &[Algorithm::EdDsa])
        .unwrap()
        .into_claims()
}
