//! APIs that are called with access tokens.

use axum::{
    Json, Router,
    body::Body,
    http::{Request, StatusCode, header},
    routing::get,
};
use axum_oten::{
    Clock, Config, User,
    config::{ConfigBuilder, TokenValidation},
    emulator::{
        Deviation, EmulatedClient, Emulator, EmulatorBuilder, Endpoint, Fault, LogoutTarget,
        RateLimits,
    },
    web::{BearerClaims, BearerToken, RequireBearer, ResourceServer, UserSession},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::task::JoinSet;

use crate::common::{Answer, Log, SECRET, TestSite, send};

const CLIENT: &str = "site";
const VALIDATION: &str = "/v1/token/validate";

/// An emulator and an API with its own audience, `orders-api`, or that of the client.
struct TestApi {
    emulator: Emulator,
    app: Router,
    clock: Clock,
}

type Change = Box<dyn FnOnce(&mut Map<String, Value>, &mut Map<String, Value>)>;

#[derive(Deserialize, Serialize)]
struct Claims {
    sub: String,
    scope: String,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "no token fits")]
struct TypedClaims {
    #[serde(default)]
    email: u32,
    #[serde(default)]
    role: Role,
    plan: String,
}

#[derive(Default, Deserialize)]
enum Role {
    #[default]
    #[serde(rename = "reader")]
    Reader,
}

impl TestApi {
    /// An API that verifies tokens of the client.
    async fn start() -> Self {
        Self::build(|config, _| config.audiences([CLIENT]), |emulator| emulator).await
    }

    /// An API that asks the emulator about tokens, which are opaque.
    async fn remote() -> Self {
        Self::with(
            |config| config.client_id(CLIENT).client_secret(SECRET),
            EmulatorBuilder::opaque_access_tokens,
        )
        .await
    }

    /// An API that asks the emulator about tokens, which are JWTs.
    async fn asking_about_jwts() -> Self {
        Self::with(
            |config| {
                let config = config.client_id(CLIENT).client_secret(SECRET);
                config.token_validation(TokenValidation::Remote)
            },
            |emulator| emulator,
        )
        .await
    }

    async fn with(
        configure: impl FnOnce(ConfigBuilder) -> ConfigBuilder,
        emulate: impl FnOnce(EmulatorBuilder) -> EmulatorBuilder,
    ) -> Self {
        let configure =
            |config: ConfigBuilder, endpoint| configure(config.token_validation_endpoint(endpoint));
        Self::build(configure, emulate).await
    }

    async fn build(
        configure: impl FnOnce(ConfigBuilder, String) -> ConfigBuilder,
        emulate: impl FnOnce(EmulatorBuilder) -> EmulatorBuilder,
    ) -> Self {
        let clock = Clock::manual();
        let client = EmulatedClient::confidential(CLIENT, SECRET);
        let client = client.redirect_uri("http://127.0.0.1:3000/callback");
        let emulator = Emulator::builder().client(client).clock(clock.clone());
        let emulator = emulate(emulator).start().await.unwrap();
        let endpoint = format!("{}{VALIDATION}", emulator.issuer());
        let config = Config::builder().issuer(emulator.issuer());
        let config = configure(config, endpoint);
        let api = ResourceServer::builder(config.build_api().unwrap()).clock(clock.clone());
        let api = api.build().unwrap();
        Self {
            app: routes(&api.bearer()),
            emulator,
            clock,
        }
    }

    fn token(&self) -> String {
        self.emulator
            .access_token(CLIENT, "alice", "openid orders")
            .unwrap()
    }

    fn token_with(
        &self,
        change: impl FnOnce(&mut Map<String, Value>, &mut Map<String, Value>),
    ) -> String {
        self.emulator
            .access_token_with(CLIENT, "alice", "openid orders", change)
            .unwrap()
    }

    async fn get(&self, path: &str, token: &str) -> Answer {
        self.send(path, &[&format!("Bearer {token}")]).await
    }

    async fn send(&self, path: &str, authorization: &[&str]) -> Answer {
        let mut request = Request::get(path);
        for value in authorization {
            request = request.header(header::AUTHORIZATION, *value);
        }
        send(&self.app, request.body(Body::empty()).unwrap()).await
    }
}

fn routes(bearer: &RequireBearer) -> Router {
    let required = Router::new()
        .route(
            "/orders",
            get(async |token: BearerToken| {
                Json(json!({
                    "sub": token.subject(),
                    "client": token.client_id(),
                    "scopes": token.scopes().collect::<Vec<_>>(),
                    "iss": token.claim("iss"),
                    "expires_at": token.expires_at().map(time::OffsetDateTime::unix_timestamp),
                }))
            }),
        )
        .route(
            "/claims",
            get(async |BearerClaims(claims): BearerClaims<Claims>| Json(claims)),
        )
        .route(
            "/misfit",
            get(async |_: BearerClaims<Vec<u8>>| "unreachable"),
        )
        .route(
            "/typed",
            get(async |_: BearerClaims<TypedClaims>| "unreachable"),
        )
        .route_layer(bearer.clone());
    let refunds = Router::new()
        .route("/refunds", get(async || "refunds"))
        .route_layer(
            bearer
                .clone()
                .require_scope("orders")
                .require_scope("refunds"),
        );
    let optional = Router::new()
        .route(
            "/prices",
            get(async |token: Option<BearerToken>| {
                token
                    .and_then(|token| token.subject().map(str::to_owned))
                    .unwrap_or_default()
            }),
        )
        .route_layer(bearer.clone().optional());
    Router::new()
        .merge(required)
        .merge(refunds)
        .merge(optional)
        .route("/without-layer", get(async |_: BearerToken| "unreachable"))
}

fn challenge(answer: &Answer) -> &str {
    answer.header(header::WWW_AUTHENTICATE).unwrap_or_default()
}

#[tokio::test]
async fn a2_a_valid_access_token_opens_the_api_without_a_store_or_a_secret() {
    let api = TestApi::start().await;
    let answer = api.get("/orders", &api.token()).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let expires_at = api.clock.unix_now() + 3600;
    let expected = json!({
        "sub": "alice", "client": CLIENT, "scopes": ["openid", "orders"],
        "iss": api.emulator.issuer(), "expires_at": expires_at,
    });
    assert_eq!(answer.json(), expected);
    let claims = api.get("/claims", &api.token()).await;
    assert_eq!(
        claims.json(),
        json!({"sub": "alice", "scope": "openid orders"})
    );
    assert_eq!(api.emulator.calls(Endpoint::Validation), 0);
}

#[tokio::test]
async fn a2_a_token_that_breaks_a_rule_is_rejected_by_its_reason() {
    let api = TestApi::start().await;
    let now = api.clock.unix_now();
    let claim = |name: &'static str, value: Value| -> Change {
        Box::new(move |_, claims| {
            claims.insert(name.into(), value);
        })
    };
    let header = |name: &'static str, value: &'static str| -> Change {
        Box::new(move |header, _| {
            header.insert(name.into(), value.into());
        })
    };
    let without = |name: &'static str| -> Change {
        Box::new(move |_, claims| {
            claims.remove(name);
        })
    };
    let rows: Vec<(&str, Change)> = vec![
        (
            "bearer_iss",
            claim("iss", json!("https://account.oten.com")),
        ),
        ("bearer_misshapen", without("iss")),
        ("bearer_aud", claim("aud", json!("another-client"))),
        (
            "bearer_aud",
            claim("aud", json!(["another-client", "site2"])),
        ),
        ("bearer_aud", claim("aud", json!([]))),
        ("bearer_misshapen", claim("aud", json!([CLIENT, 7]))),
        ("bearer_misshapen", without("aud")),
        ("bearer_exp", claim("exp", json!(now - 61))),
        ("bearer_misshapen", without("exp")),
        ("bearer_misshapen", claim("exp", json!("tomorrow"))),
        ("bearer_nbf", claim("nbf", json!(now + 61))),
        ("bearer_iat", claim("iat", json!(now + 61))),
        ("bearer_misshapen", claim("scope", json!({"orders": true}))),
        ("bearer_kind", header("typ", "logout+jwt")),
        ("bearer_kind", header("typ", "secevent+jwt")),
        ("bearer_kind", claim("nonce", json!("n"))),
        ("bearer_kind", claim("nonce", json!(null))),
        ("bearer_kind", claim("at_hash", json!("h"))),
        ("bearer_kind", claim("c_hash", json!("h"))),
        ("bearer_kind", claim("s_hash", json!("h"))),
        ("bearer_kind", claim("events", json!({}))),
        // The ID token of a refresh may look like this.
        (
            "bearer_kind",
            Box::new(|header, claims| {
                header.insert("typ".into(), "JWT".into());
                claims.insert("scope".into(), Value::Null);
                claims.remove("client_id");
            }),
        ),
        ("bearer_signature", header("alg", "none")),
        ("bearer_signature", header("alg", "HS256")),
        ("bearer_signature", header("alg", "RS256")),
        ("bearer_signature", header("crit", "exp")),
        ("bearer_unknown_key", header("kid", "another")),
    ];
    for (number, (reason, change)) in rows.into_iter().enumerate() {
        let answer = api.get("/orders", &api.token_with(change)).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{number} {reason}");
        assert_eq!(answer.json()["reason"], reason, "{number}");
        assert!(
            challenge(&answer).starts_with(r#"Bearer error="invalid_token""#),
            "{number}"
        );
    }
    // The borders of the same rules.
    for change in [
        claim("aud", json!(["another-client", CLIENT])),
        claim("exp", json!(now - 59)),
        claim("nbf", json!(now + 60)),
        claim("iat", json!(now + 60)),
        claim("scope", json!(["orders"])),
        header("typ", "application/AT+JWT"),
        Box::new(|header, _| {
            header.remove("typ");
        }),
    ] {
        assert_eq!(
            api.get("/orders", &api.token_with(change)).await.status,
            StatusCode::OK
        );
    }
}

#[tokio::test]
async fn a2_the_providers_other_tokens_and_forged_signatures_are_rejected() {
    let site = TestSite::builder()
        .app(|oten| {
            let api = Router::new().route("/api", get(async || "orders"));
            api.route_layer(oten.bearer())
                .merge(crate::common::app(oten))
        })
        .start()
        .await;
    let call = async |token: &str| {
        let request = Request::get("/api").header(header::AUTHORIZATION, format!("Bearer {token}"));
        send(&site.app, request.body(Body::empty()).unwrap()).await
    };
    let client = site.oten.config().client().id();
    let access_token = || {
        site.emulator
            .access_token(client, "alice", "openid")
            .unwrap()
    };
    assert_eq!(call(&access_token()).await.status, StatusCode::OK);

    let logout = site
        .emulator
        .logout_token(client, LogoutTarget::Subject("alice"));
    assert_eq!(call(&logout).await.json()["reason"], "bearer_kind");

    let mut browser = site.browser();
    let url = browser.start_login("/").await;
    let (_, request_object) = url
        .query_pairs()
        .find(|(name, _)| name == "request")
        .unwrap();
    assert_eq!(
        call(&request_object).await.json()["reason"],
        "bearer_signature"
    );

    for (deviation, reason) in [
        (Deviation::BadSignature, "bearer_signature"),
        (Deviation::AlgNone, "bearer_signature"),
        (Deviation::Hs256WithClientSecret, "bearer_signature"),
        (Deviation::Hs256WithPublicKey, "bearer_signature"),
        (Deviation::EmbeddedKey, "bearer_signature"),
        (Deviation::UnknownKey, "bearer_unknown_key"),
    ] {
        site.emulator.deviate(deviation.clone());
        let answer = call(&access_token()).await;
        site.emulator.clear_deviations();
        assert_eq!(answer.json()["reason"], reason, "{deviation:?}");
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{deviation:?}");
    }
}

#[tokio::test]
async fn a2_a_malformed_authorization_header_is_rejected_and_other_places_are_not_read() {
    let api = TestApi::start().await;
    let token = api.token();
    let bearer = format!("Bearer {token}");
    for (values, status, text) in [
        (vec![], StatusCode::UNAUTHORIZED, "Bearer"),
        (
            vec!["Basic c2l0ZTpzZWNyZXQ="],
            StatusCode::UNAUTHORIZED,
            "Bearer",
        ),
        (vec!["DPoP abc"], StatusCode::UNAUTHORIZED, "Bearer"),
        (
            vec![&*bearer, &*bearer],
            StatusCode::BAD_REQUEST,
            "invalid_request",
        ),
        (
            vec![&*bearer, "Basic c2l0ZQ=="],
            StatusCode::BAD_REQUEST,
            "invalid_request",
        ),
        (vec!["Bearer"], StatusCode::BAD_REQUEST, "invalid_request"),
        (vec!["Bearer "], StatusCode::BAD_REQUEST, "invalid_request"),
        (
            vec!["Bearer ==="],
            StatusCode::BAD_REQUEST,
            "invalid_request",
        ),
        (
            vec!["Bearer a b"],
            StatusCode::BAD_REQUEST,
            "invalid_request",
        ),
        (
            vec!["Bearer a,b"],
            StatusCode::BAD_REQUEST,
            "invalid_request",
        ),
        (
            vec!["Bearer \"a\""],
            StatusCode::BAD_REQUEST,
            "invalid_request",
        ),
        (
            vec!["Bearer abc"],
            StatusCode::UNAUTHORIZED,
            "invalid_token",
        ),
    ] {
        let answer = api.send("/orders", &values).await;
        assert_eq!(answer.status, status, "{values:?}");
        assert!(
            challenge(&answer).contains(text),
            "{values:?}: {}",
            challenge(&answer)
        );
    }
    let long = format!("Bearer {}", "a".repeat(16 * 1024 + 1));
    assert_eq!(
        api.send("/orders", &[&long]).await.status,
        StatusCode::BAD_REQUEST
    );
    let lower = format!("bearer  {token}");
    assert_eq!(api.send("/orders", &[&lower]).await.status, StatusCode::OK);
    let query = format!("/orders?access_token={token}");
    assert_eq!(api.send(&query, &[]).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a2_a_missing_scope_is_403_and_named() {
    let api = TestApi::start().await;
    let answer = api.get("/refunds", &api.token()).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert_eq!(
        challenge(&answer),
        r#"Bearer error="insufficient_scope", scope="orders refunds""#
    );
    let token = api
        .emulator
        .access_token(CLIENT, "alice", "refunds orders")
        .unwrap();
    assert_eq!(api.get("/refunds", &token).await.status, StatusCode::OK);
    // A scope is a whole word.
    let token = api
        .emulator
        .access_token(CLIENT, "alice", "orders refunds2")
        .unwrap();
    assert_eq!(
        api.get("/refunds", &token).await.status,
        StatusCode::FORBIDDEN
    );
}

#[tokio::test]
async fn a2_an_optional_token_may_be_absent_but_not_invalid() {
    let api = TestApi::start().await;
    assert_eq!(api.send("/prices", &[]).await.body, "");
    assert_eq!(api.get("/prices", &api.token()).await.body, "alice");
    assert_eq!(
        api.get("/prices", "abc").await.status,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        api.get("/misfit", &api.token()).await.json()["reason"],
        "bearer_misshapen"
    );
    let answer = api.get("/without-layer", &api.token()).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn a2_session_and_access_token_protect_one_route() {
    let site = TestSite::builder()
        .app(|oten| {
            let who = async |token: Option<BearerToken>, user: Option<User>| {
                let subject = token.as_ref().and_then(BearerToken::subject);
                format!("{subject:?} {:?}", user.as_ref().map(User::subject))
            };
            let both = oten
                .bearer()
                .require_scope("orders")
                .or_session(oten.require_login());
            let leave = async |session: UserSession| session.sign_out().await;
            Router::new()
                .route("/api", get(who).post(leave))
                .route_layer(both)
                .merge(oten.routes())
                .layer(oten.layer())
        })
        .start()
        .await;
    let client = site.oten.config().client().id();
    let mut browser = site.signed_in("alice").await;
    assert_eq!(browser.get("/api").await.body, r#"None Some("alice")"#);
    assert_eq!(
        site.browser().get("/api").await.status,
        StatusCode::SEE_OTHER
    );

    // Programs learn of both ways.
    let request = Request::get("/api").body(Body::empty()).unwrap();
    let answer = send(&site.app, request).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    let challenges = answer.headers.get_all(header::WWW_AUTHENTICATE).iter();
    assert_eq!(challenges.collect::<Vec<_>>(), ["Cookie", "Bearer"]);

    // Beside a token, the session does not count: no rule was checked for its user. It does not save an
    // invalid token.
    for (token, expected) in [
        (
            site.emulator.access_token(client, "bob", "orders").unwrap(),
            StatusCode::OK,
        ),
        (
            site.emulator.access_token(client, "bob", "openid").unwrap(),
            StatusCode::FORBIDDEN,
        ),
        ("abc".to_owned(), StatusCode::UNAUTHORIZED),
    ] {
        let request = Request::get("/api").header(header::AUTHORIZATION, format!("Bearer {token}"));
        let answer = browser.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, expected);
        if expected == StatusCode::OK {
            assert_eq!(answer.body, r#"Some("bob") None"#);
        }
    }
    let token = site.emulator.access_token(client, "bob", "orders").unwrap();
    let leave = Request::post("/api").header(header::AUTHORIZATION, format!("Bearer {token}"));
    let answer = browser.send(leave.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(browser.get("/api").await.body, r#"None Some("alice")"#);
}

#[tokio::test]
async fn a2_opaque_tokens_are_validated_by_the_provider_and_verdicts_reused() {
    let api = TestApi::remote().await;
    let token = api.token();
    for _ in 0..3 {
        let answer = api.get("/orders", &token).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    }
    assert_eq!(api.emulator.calls(Endpoint::Validation), 1);
    for _ in 0..3 {
        assert_eq!(
            api.get("/orders", "forged").await.json()["reason"],
            "bearer_inactive"
        );
    }
    assert_eq!(api.emulator.calls(Endpoint::Validation), 2);

    api.emulator.disable_user("alice");
    api.clock.advance(std::time::Duration::from_secs(29));
    assert_eq!(api.get("/orders", &token).await.status, StatusCode::OK);
    assert_eq!(
        api.get("/orders", "forged").await.status,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        api.emulator.calls(Endpoint::Validation),
        3,
        "the invalid token again"
    );
    api.clock.advance(std::time::Duration::from_secs(1));
    assert_eq!(
        api.get("/orders", &token).await.status,
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn a2_a_verdict_is_not_reused_after_the_token_expires() {
    let api = TestApi::with(
        |config| config.client_id(CLIENT).client_secret(SECRET),
        |emulator| {
            emulator
                .opaque_access_tokens()
                .access_token_lifetime(std::time::Duration::from_secs(10))
        },
    )
    .await;
    let token = api.token();
    assert_eq!(api.get("/orders", &token).await.status, StatusCode::OK);
    api.clock.advance(std::time::Duration::from_secs(10));
    assert_eq!(
        api.get("/orders", &token).await.status,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(api.emulator.calls(Endpoint::Validation), 2);
}

#[tokio::test]
async fn a2_a_thousand_simultaneous_questions_about_one_token_are_one_call() {
    let api = TestApi::remote().await;
    let token = api.token();
    let held = api.emulator.hold(Endpoint::Validation);
    let mut answers = JoinSet::new();
    for _ in 0..1000 {
        let request =
            Request::get("/orders").header(header::AUTHORIZATION, format!("Bearer {token}"));
        let (app, request) = (api.app.clone(), request.body(Body::empty()).unwrap());
        answers.spawn(async move { send(&app, request).await.status });
    }
    held.wait_for(1).await;
    held.release();
    let answers = answers.join_all().await;
    assert!(answers.iter().all(|status| *status == StatusCode::OK));
    assert_eq!(api.emulator.calls(Endpoint::Validation), 1);
}

#[tokio::test]
async fn a2_a_jwt_that_is_rejected_locally_is_not_sent_to_the_provider() {
    let api = TestApi::with(
        |config| config.client_id(CLIENT).client_secret(SECRET),
        |emulator| emulator,
    )
    .await;
    api.emulator.deviate(Deviation::BadSignature);
    assert_eq!(
        api.get("/orders", &api.token()).await.status,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        api.get("/orders", "a.b.c").await.status,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(api.emulator.calls(Endpoint::Validation), 0);
    assert_eq!(
        api.get("/orders", "a.b.c.d.e").await.status,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(api.emulator.calls(Endpoint::Validation), 1);
}

#[tokio::test]
async fn a2_remote_validation_finds_revoked_jwts() {
    let api = TestApi::asking_about_jwts().await;
    let token = api.token();
    assert_eq!(api.get("/orders", &token).await.status, StatusCode::OK);
    api.emulator.disable_user("alice");
    api.clock.advance(std::time::Duration::from_secs(30));
    assert_eq!(
        api.get("/orders", &token).await.json()["reason"],
        "bearer_inactive"
    );
}

#[tokio::test]
async fn a2_a_provider_without_a_verdict_is_503_and_asked_again() {
    let api = TestApi::remote().await;
    let token = api.token();
    let json = |text: &'static str| Fault::Body {
        content_type: "application/json",
        bytes: text.into(),
    };
    for fault in [
        Fault::Html,
        Fault::OAuthError("invalid_client"),
        json("{}"),
        json(r#"{"active": "yes"}"#),
    ] {
        api.emulator.fault(Endpoint::Validation, fault.clone());
        let answer = api.get("/orders", &token).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{fault:?}");
        assert!(answer.header(header::RETRY_AFTER).is_some());
        assert_eq!(answer.json()["reason"], "bearer_validation_down");
        api.emulator.clear_faults();
    }
    assert_eq!(api.get("/orders", &token).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a2_invalid_token_is_a_verdict_with_any_status_but_5xx() {
    let api = TestApi::remote().await;
    for (number, status) in [200, 400, 401, 403].into_iter().enumerate() {
        let fault = Fault::OAuthErrorWithStatus("invalid_token", status);
        api.emulator.fault(Endpoint::Validation, fault);
        let answer = api.get("/orders", &format!("token-{number}")).await;
        assert_eq!(answer.json()["reason"], "bearer_inactive", "{status}");
        api.emulator.clear_faults();
    }
    let fault = Fault::OAuthErrorWithStatus("invalid_token", 503);
    api.emulator.fault(Endpoint::Validation, fault);
    let answer = api.get("/orders", "token").await;
    assert_eq!(answer.json()["reason"], "bearer_validation_down");
}

#[tokio::test]
async fn d3_a_withdrawn_key_is_not_used_after_hours_without_a_token() {
    let api = TestApi::start().await;
    let stolen = api.token_with(|_, claims| {
        claims.insert("exp".into(), json!(api.clock.unix_now() + 86_400));
    });
    assert_eq!(api.get("/orders", &stolen).await.status, StatusCode::OK);
    api.emulator.rotate_keys();
    api.clock.advance(std::time::Duration::from_secs(2 * 3600));
    let answer = api.get("/orders", &stolen).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{}", answer.body);
    assert_eq!(
        api.get("/orders", &api.token()).await.status,
        StatusCode::OK
    );
    // Without an answer, the known keys stay in use.
    api.clock.advance(std::time::Duration::from_secs(2 * 3600));
    api.emulator.fault(Endpoint::Jwks, Fault::Status(500));
    assert_eq!(
        api.get("/orders", &api.token()).await.status,
        StatusCode::OK
    );
}

/// Any client can send such tokens.
#[tokio::test]
async fn a_token_with_an_unknown_key_is_no_error_of_the_api_in_the_log() {
    let log = Log::start();
    let api = TestApi::start().await;
    let unknown = api.token_with(|header, _| {
        header.insert("kid".into(), json!("unknown"));
    });
    for reason in ["bearer_unknown_key", "key_pending"] {
        log.clear();
        api.get("/orders", &unknown).await;
        assert_eq!(log.refusal()["reason"], reason);
        assert!(!log.has_error(), "{}", log.text());
    }
}

#[tokio::test]
async fn d5_the_pause_that_the_validation_endpoint_asks_for_is_passed_on() {
    let api = TestApi::remote().await;
    let retry_after = Some(std::time::Duration::from_secs(30));
    let fault = Fault::TooManyRequests { retry_after };
    api.emulator.fault(Endpoint::Validation, fault);
    let answer = api.get("/orders", &api.token()).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.header(header::RETRY_AFTER), Some("30"));
}

#[tokio::test]
async fn d5_the_documented_limit_of_validations_is_passed_on_with_its_pause() {
    let api = TestApi::with(
        |config| config.client_id(CLIENT).client_secret(SECRET),
        |emulator| {
            emulator
                .opaque_access_tokens()
                .rate_limits(RateLimits::Production)
        },
    )
    .await;
    let known = api.token();
    assert_eq!(api.get("/orders", &known).await.status, StatusCode::OK);
    for number in 1..1000 {
        let answer = api.get("/orders", &format!("token-{number}")).await;
        assert_eq!(answer.json()["reason"], "bearer_inactive", "{number}");
    }
    api.clock.advance(std::time::Duration::from_secs(20));
    let answer = api.get("/orders", "one-more").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.header(header::RETRY_AFTER), Some("40"));
    // A verdict that is known needs no call.
    assert_eq!(api.get("/orders", &known).await.status, StatusCode::OK);
    api.clock.advance(std::time::Duration::from_secs(40));
    let answer = api.get("/orders", "one-more").await;
    assert_eq!(answer.json()["reason"], "bearer_inactive");
}

#[tokio::test]
async fn a2_the_claims_in_the_providers_verdict_are_checked() {
    let api = TestApi::remote().await;
    let now = api.clock.unix_now();
    for (number, (verdict, reason)) in [
        (json!({"active": true}), Some("bearer_misshapen")),
        (
            json!({"active": true, "aud": "another"}),
            Some("bearer_aud"),
        ),
        (
            json!({"active": true, "aud": CLIENT, "iss": "https://x.example"}),
            Some("bearer_iss"),
        ),
        (
            json!({"active": true, "aud": CLIENT, "exp": now - 61}),
            Some("bearer_exp"),
        ),
        (
            json!({"valid": false, "aud": CLIENT}),
            Some("bearer_inactive"),
        ),
        (
            json!({"active": true, "aud": CLIENT, "token_type": "refresh_token"}),
            Some("bearer_kind"),
        ),
        (
            json!({"active": true, "aud": CLIENT, "token_use": "ID"}),
            Some("bearer_kind"),
        ),
        (
            json!({"active": true, "aud": CLIENT, "typ": "Refresh"}),
            Some("bearer_kind"),
        ),
        (
            json!({"active": true, "aud": CLIENT, "token_type": "Bearer", "token_use": "access"}),
            None,
        ),
        (json!({"valid": true, "aud": [CLIENT]}), None),
    ]
    .into_iter()
    .enumerate()
    {
        api.emulator.fault(
            Endpoint::Validation,
            Fault::Body {
                content_type: "application/json",
                bytes: verdict.to_string().into(),
            },
        );
        let answer = api.get("/orders", &format!("token-{number}")).await;
        api.emulator.clear_faults();
        match reason {
            Some(reason) => assert_eq!(answer.json()["reason"], reason, "{verdict}"),
            None => assert_eq!(answer.status, StatusCode::OK, "{verdict}"),
        }
    }
}

#[tokio::test]
async fn d1_a_token_of_an_api_is_in_no_log_and_no_answer() {
    let log = Log::start();
    let api = TestApi::remote().await;
    let token = api.token();
    assert_eq!(api.get("/orders", &token).await.status, StatusCode::OK);
    for path in ["/refunds", "/misfit", "/without-layer"] {
        let answer = api.get(path, &token).await;
        assert!(!answer.body.contains(&token) && !challenge(&answer).contains(&token));
    }
    let forged = "a-forged-token-that-is-in-no-log";
    assert!(!api.get("/orders", forged).await.body.contains(forged));
    assert!(!log.contains(&token) && !log.contains(forged) && !log.contains(SECRET));
    assert!(log.contains("bearer_inactive"));
}

#[tokio::test]
async fn b2_claims_that_do_not_fit_a_type_are_in_no_log() {
    let log = Log::start();
    let api = TestApi::start().await;
    for (name, value, cause) in [
        ("email", json!("alice@private.example"), "expected u32"),
        ("email", json!("x, expected u32 private"), "expected u32"),
        ("role", json!("private\n"), "expected `reader`"),
        ("other", json!("private"), "missing field `plan`"),
    ] {
        let token = api.token_with(|_, claims| {
            claims.insert(name.into(), value.clone());
        });
        let answer = api.get("/typed", &token).await;
        assert_eq!(answer.json()["reason"], "bearer_misshapen", "{value}");
        assert!(log.contains(cause), "{value}: {}", log.text());
    }
    assert!(!log.contains("private"), "{}", log.text());
}

#[tokio::test]
async fn a2_a_jwt_of_another_kind_is_rejected_although_the_provider_calls_it_valid() {
    let api = TestApi::asking_about_jwts().await;
    let verdict = json!({"active": true, "aud": CLIENT});
    api.emulator.fault(
        Endpoint::Validation,
        Fault::Body {
            content_type: "application/json",
            bytes: verdict.to_string().into(),
        },
    );
    let id_token = api.token_with(|header, claims| {
        header.insert("typ".into(), "JWT".into());
        claims.insert("nonce".into(), json!("n"));
    });
    let refresh_token = api.token_with(|header, _| {
        header.insert("typ".into(), "application/rt+jwt".into());
        header.insert("jku".into(), json!("https://keys.example"));
    });
    // Refreshed ID tokens may omit the nonce.
    let unmarked = |header: &mut Map<String, Value>, claims: &mut Map<String, Value>| {
        header.insert("typ".into(), "JWT".into());
        for name in ["scope", "client_id"] {
            claims.remove(name);
        }
    };
    let refreshed_id_token = api.token_with(unmarked);
    let with_key_url = api.token_with(|header, claims| {
        unmarked(header, claims);
        header.insert("jku".into(), json!("https://keys.example"));
    });
    let logout = api
        .emulator
        .logout_token(CLIENT, LogoutTarget::Subject("alice"));
    let others = [
        id_token,
        refreshed_id_token,
        with_key_url,
        refresh_token,
        logout,
    ];
    for token in others {
        let answer = api.get("/orders", &token).await;
        assert_eq!(answer.json()["reason"], "bearer_kind", "{}", answer.body);
    }
    for token in [&*api.token(), "opaque", "a.b.c"] {
        assert_eq!(api.get("/orders", token).await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn a6_the_credential_of_a_native_app_is_not_sent_to_the_provider() {
    let api = TestApi::remote().await;
    let answer = api.get("/orders", "oten_native_AAAA").await;
    assert_eq!(answer.json()["reason"], "bearer_kind");
    assert_eq!(api.emulator.calls(Endpoint::Validation), 0);
}
