use std::{net::SocketAddr, time::Duration};

use axum::{body::Body, extract::ConnectInfo};
use http::{Request, StatusCode, header};

use super::support::*;
use crate::emulator::{EmulatorBuilder, RateLimits};

#[tokio::test]
async fn exchanges_a_code_for_tokens() {
    let provider = provider();
    let answer = provider.tokens().await;
    assert_eq!(answer["token_type"], "Bearer");
    assert_eq!(answer["expires_in"], 3600);
    assert_eq!(answer["scope"], "openid profile email");
    assert_eq!(answer["refresh_token"].as_str().unwrap().len(), 43);

    let now = provider.clock.unix_now();
    let id = verified(&provider, answer["id_token"].as_str().unwrap(), "JWT").await;
    assert_eq!(id["iss"], provider.emulator.issuer());
    assert_eq!(id["aud"], "shop");
    assert_eq!(id["sub"], "alice");
    assert_eq!(id["nonce"], "the-nonce");
    assert_eq!(id["name"], "Alice Adams");
    assert_eq!(id["email"], "alice@example.com");
    assert_eq!(id["auth_time"], now);
    assert_eq!(id["exp"], now + 3600);
    assert_eq!(id["at_hash"].as_str().unwrap().len(), 43);

    let token = answer["access_token"].as_str().unwrap();
    let access = verified(&provider, token, "at+jwt").await;
    assert_eq!(access["client_id"], "shop");
    assert_eq!(access["exp"], now + 3600);

    let userinfo = json_body(provider.userinfo(token).await).await;
    assert_eq!(userinfo["name"], "Alice Adams");
}

#[tokio::test]
async fn limits_claims_to_the_scope() {
    let provider = provider();
    let mut claims = provider.claims("shop");
    claims["scope"] = "openid email".into();
    let url = provider.signed_url("shop", &claims);
    let callback = provider.emulator.approve(url, "bob").unwrap();
    let code = query_value(&callback, "code").unwrap();
    let (_, answer) = provider.token(&TestProvider::code_form(&code)).await;
    let id = verified(&provider, answer["id_token"].as_str().unwrap(), "JWT").await;
    assert_eq!(
        (id.get("name"), &id["email"]),
        (None, &"bob@example.com".into())
    );
}

#[tokio::test]
async fn rejects_an_invalid_token_request() {
    let provider = provider();
    for (name, value, expected) in [
        ("grant_type", "", (400, "invalid_request")),
        ("grant_type", "password", (400, "unsupported_grant_type")),
        ("code", "", (400, "invalid_request")),
        ("code", "unknown", (400, "invalid_grant")),
        ("redirect_uri", "", (400, "invalid_grant")),
        (
            "redirect_uri",
            "https://evil.example",
            (400, "invalid_grant"),
        ),
        ("code_verifier", "", (400, "invalid_grant")),
        ("code_verifier", CHALLENGE, (400, "invalid_grant")),
        ("client_id", "", (401, "invalid_client")),
        ("client_id", "unregistered", (401, "invalid_client")),
        ("client_id", "other", (400, "invalid_grant")),
        ("client_secret", "", (401, "invalid_client")),
        ("client_secret", "wrong", (401, "invalid_client")),
    ] {
        let code = provider.code();
        let answer = provider
            .token(&with(TestProvider::code_form(&code), name, value))
            .await;
        assert_eq!(error(&answer), expected, "{name}={value}");
    }
}

#[tokio::test]
async fn rejects_a_repeated_parameter() {
    let provider = provider();
    let code = provider.code();
    let mut parameters = TestProvider::code_form(&code);
    parameters.push(("code", &code));
    assert_eq!(
        error(&provider.token(&parameters).await),
        (400, "invalid_request")
    );
}

#[tokio::test]
async fn accepts_only_forms_without_basic_authentication() {
    let provider = provider();
    let post = |name, value| {
        let request = Request::post("/v1/oauth/token").header(name, value);
        provider.send(
            request
                .body(form(&TestProvider::code_form("x")).into())
                .unwrap(),
        )
    };
    let json = post(header::CONTENT_TYPE, "application/json").await;
    assert_eq!(json.status(), StatusCode::BAD_REQUEST);
    assert_eq!(json.headers()[header::CACHE_CONTROL], "no-store");

    let request = Request::post("/v1/oauth/token")
        .header(
            header::CONTENT_TYPE,
            "application/x-www-form-urlencoded; charset=utf-8",
        )
        .header(header::AUTHORIZATION, "Basic c2hvcDpzZWNyZXQ=");
    let basic = provider
        .send(
            request
                .body(form(&TestProvider::code_form("x")).into())
                .unwrap(),
        )
        .await;
    assert_eq!(basic.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn issues_a_token_to_a_confidential_client_itself() {
    let provider = provider();
    let form = [
        ("grant_type", "client_credentials"),
        ("scope", "orders"),
        ("client_id", "shop"),
        ("client_secret", SECRET),
    ];
    let (status, answer) = provider.token(&form).await;
    assert_eq!(
        (status, &answer["scope"]),
        (StatusCode::OK, &"orders".into())
    );
    assert_eq!(
        (answer.get("id_token"), answer.get("refresh_token")),
        (None, None)
    );
    let token = answer["access_token"].as_str().unwrap();
    let access = verified(&provider, token, "at+jwt").await;
    assert_eq!(
        (&access["sub"], &access["client_id"]),
        (&"shop".into(), &"shop".into())
    );
    let userinfo = provider.userinfo(token).await;
    assert_eq!(
        userinfo.status(),
        StatusCode::UNAUTHORIZED,
        "it has no user"
    );
}

#[tokio::test]
async fn limits_the_calls_of_a_minute() {
    for (limits, allowed) in [(RateLimits::Production, 60), (RateLimits::Sandbox, 120)] {
        let provider = provider_with(|emulator| emulator.rate_limits(limits));
        let form = |client| [("grant_type", "x"), ("client_id", client)];
        for _ in 0..allowed {
            let answer = provider.token(&form("shop")).await;
            assert_eq!(error(&answer), (400, "unsupported_grant_type"));
        }
        provider.clock.advance(Duration::from_secs(20));
        let request = async || provider.post("/v1/oauth/token", &form("shop")).await;
        let limited = request().await;
        assert_eq!(limited.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(limited.headers()[header::RETRY_AFTER], "40");
        assert_eq!(
            provider.token(&form("other")).await.0,
            StatusCode::BAD_REQUEST
        );
        provider.clock.advance(Duration::from_secs(40));
        assert_eq!(request().await.status(), StatusCode::BAD_REQUEST);
    }
}

#[tokio::test]
async fn limits_authorization_requests_of_an_address() {
    for (limits, allowed) in [(RateLimits::Production, 10), (RateLimits::Sandbox, 20)] {
        let provider = provider_with(|emulator| emulator.rate_limits(limits));
        let request = async |address: [u8; 4]| {
            let mut request = Request::get("/v1/oauth/authorize");
            let peer = SocketAddr::from((address, 1024));
            let extensions = request.extensions_mut().unwrap();
            extensions.insert(ConnectInfo(peer));
            provider.send(request.body(Body::empty()).unwrap()).await
        };
        for _ in 0..allowed {
            assert_eq!(
                request([203, 0, 113, 1]).await.status(),
                StatusCode::BAD_REQUEST
            );
        }
        provider.clock.advance(Duration::from_secs(20));
        let limited = request([203, 0, 113, 1]).await;
        assert_eq!(limited.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(limited.headers()[header::RETRY_AFTER], "40");
        assert_eq!(
            request([203, 0, 113, 2]).await.status(),
            StatusCode::BAD_REQUEST
        );
        provider.clock.advance(Duration::from_secs(40));
        assert_eq!(
            request([203, 0, 113, 1]).await.status(),
            StatusCode::BAD_REQUEST
        );
    }
}

#[tokio::test]
async fn limits_validations_of_a_client() {
    for (limits, allowed) in [(RateLimits::Production, 1000), (RateLimits::Sandbox, 2000)] {
        let provider = provider_with(|emulator| emulator.rate_limits(limits));
        let form = |client, secret| {
            [
                ("token", "x"),
                ("client_id", client),
                ("client_secret", secret),
            ]
        };
        let request = async || {
            provider
                .post("/v1/token/validate", &form("shop", SECRET))
                .await
        };
        for _ in 0..allowed {
            assert_eq!(request().await.status(), StatusCode::UNAUTHORIZED);
        }
        provider.clock.advance(Duration::from_secs(20));
        let limited = request().await;
        assert_eq!(limited.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(limited.headers()[header::RETRY_AFTER], "40");
        let other = provider
            .post("/v1/token/validate", &form("other", SECRET))
            .await;
        assert_ne!(other.status(), StatusCode::TOO_MANY_REQUESTS);
        provider.clock.advance(Duration::from_secs(40));
        assert_eq!(request().await.status(), StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn checks_the_client_type_before_its_credentials() {
    let provider = provider();
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", "spa"),
        ("client_secret", "wrong"),
    ];
    assert_eq!(
        error(&provider.token(&form).await),
        (400, "unauthorized_client")
    );
}

#[tokio::test]
async fn rejects_the_secret_of_a_public_client() {
    let provider = provider();
    let redeem = |secret| {
        let callback = provider
            .emulator
            .approve(
                provider.url(&TestProvider::plain_parameters("spa")),
                "alice",
            )
            .unwrap();
        let code = query_value(&callback, "code").unwrap();
        let provider = &provider;
        async move {
            let parameters = with(TestProvider::code_form(&code), "client_id", "spa");
            provider
                .token(&with(parameters, "client_secret", secret))
                .await
        }
    };
    assert_eq!(error(&redeem(SECRET).await), (401, "invalid_client"));
    assert_eq!(redeem("").await.0, StatusCode::OK);
}

#[tokio::test]
async fn rejects_a_verifier_without_a_challenge() {
    let provider = provider();
    let parameters = with(
        TestProvider::plain_parameters("legacy"),
        "code_challenge",
        "",
    );
    let url = provider.url(&with(parameters, "code_challenge_method", ""));
    let callback = provider.emulator.approve(url, "alice").unwrap();
    let code = query_value(&callback, "code").unwrap();
    let answer = provider
        .token(&with(TestProvider::code_form(&code), "client_id", "legacy"))
        .await;
    assert_eq!(error(&answer), (400, "invalid_grant"));
}

#[tokio::test]
async fn expires_a_code_after_ten_minutes() {
    let provider = provider();
    let (first, second) = (provider.code(), provider.code());
    provider.clock.advance(Duration::from_secs(599));
    assert_eq!(
        provider.token(&TestProvider::code_form(&first)).await.0,
        StatusCode::OK
    );
    provider.clock.advance(Duration::from_secs(1));
    assert_eq!(
        error(&provider.token(&TestProvider::code_form(&second)).await),
        (400, "invalid_grant")
    );
}

#[tokio::test]
async fn revokes_the_tokens_of_a_reused_code() {
    let provider = provider();
    let code = provider.code();
    let (_, answer) = provider.token(&TestProvider::code_form(&code)).await;
    let access = answer["access_token"].as_str().unwrap();
    assert_eq!(provider.userinfo(access).await.status(), StatusCode::OK);

    assert_eq!(
        error(&provider.token(&TestProvider::code_form(&code)).await),
        (400, "invalid_grant")
    );
    assert_eq!(
        provider.userinfo(access).await.status(),
        StatusCode::UNAUTHORIZED
    );
    let refresh = answer["refresh_token"].as_str().unwrap();
    assert_eq!(
        error(&provider.token(&TestProvider::refresh_form(refresh)).await),
        (400, "invalid_grant")
    );
}

#[tokio::test]
async fn rotates_refresh_tokens_and_revokes_the_grant_on_reuse() {
    let provider = provider();
    let first = provider.tokens().await;
    let old = first["refresh_token"].as_str().unwrap();
    provider.clock.advance(Duration::from_secs(60));
    let (status, second) = provider.token(&TestProvider::refresh_form(old)).await;
    assert_eq!(status, StatusCode::OK);
    let new = second["refresh_token"].as_str().unwrap();
    assert_ne!(old, new);
    let id = verified(&provider, second["id_token"].as_str().unwrap(), "JWT").await;
    assert_eq!(id["sub"], "alice");
    assert_eq!(id["auth_time"], provider.clock.unix_now() - 60);
    assert_eq!(id.get("nonce"), None);

    assert_eq!(
        error(&provider.token(&TestProvider::refresh_form(old)).await),
        (400, "invalid_grant")
    );
    assert_eq!(
        error(&provider.token(&TestProvider::refresh_form(new)).await),
        (400, "invalid_grant")
    );
    let access = second["access_token"].as_str().unwrap();
    assert_eq!(
        provider.userinfo(access).await.status(),
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn rejects_an_invalid_refresh() {
    let provider = provider();
    for (name, value, expected) in [
        ("refresh_token", "", (400, "invalid_request")),
        ("refresh_token", "unknown", (400, "invalid_grant")),
        ("client_id", "other", (400, "invalid_grant")),
        ("scope", "openid workspace", (400, "invalid_scope")),
    ] {
        let tokens = provider.tokens().await;
        let token = tokens["refresh_token"].as_str().unwrap();
        let answer = provider
            .token(&with(TestProvider::refresh_form(token), name, value))
            .await;
        assert_eq!(error(&answer), expected, "{name}={value}");
        // The rejected refresh leaves the token usable.
        assert_eq!(
            provider.token(&TestProvider::refresh_form(token)).await.0,
            StatusCode::OK
        );
    }
}

#[tokio::test]
async fn expires_tokens_on_time() {
    let provider = provider_with(|builder| {
        builder
            .access_token_lifetime(Duration::from_secs(30))
            .refresh_token_lifetime(Duration::from_secs(90))
    });
    let tokens = provider.tokens().await;
    assert_eq!(tokens["expires_in"], 30);
    let access = tokens["access_token"].as_str().unwrap();
    provider.clock.advance(Duration::from_secs(29));
    assert_eq!(provider.userinfo(access).await.status(), StatusCode::OK);
    provider.clock.advance(Duration::from_secs(1));
    assert_eq!(
        provider.userinfo(access).await.status(),
        StatusCode::UNAUTHORIZED
    );
    provider.clock.advance(Duration::from_secs(60));
    let refresh = tokens["refresh_token"].as_str().unwrap();
    assert_eq!(
        error(&provider.token(&TestProvider::refresh_form(refresh)).await),
        (400, "invalid_grant")
    );
}

#[tokio::test]
async fn issues_no_refresh_tokens_if_disabled() {
    let provider = provider_with(EmulatorBuilder::without_refresh_tokens);
    assert_eq!(provider.tokens().await.get("refresh_token"), None);
}

#[tokio::test]
async fn rejects_the_tokens_of_a_disabled_user() {
    let provider = provider();
    let tokens = provider.tokens().await;
    let access = tokens["access_token"].as_str().unwrap();
    let refresh = tokens["refresh_token"].as_str().unwrap();
    provider.emulator.disable_user("alice");
    assert_eq!(
        provider.userinfo(access).await.status(),
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        error(&provider.token(&TestProvider::refresh_form(refresh)).await),
        (400, "invalid_grant")
    );
    provider.emulator.enable_user("alice");
    assert_eq!(
        provider.token(&TestProvider::refresh_form(refresh)).await.0,
        StatusCode::OK
    );
}

#[tokio::test]
async fn requires_a_valid_bearer_token_for_userinfo() {
    let provider = provider();
    let missing = provider.get("/v1/userinfo").await;
    assert_eq!(missing.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(
        missing.headers()[header::WWW_AUTHENTICATE],
        r#"Bearer realm="oten""#
    );
    let wrong = provider.userinfo("wrong").await;
    assert_eq!(
        wrong.headers()[header::WWW_AUTHENTICATE],
        r#"Bearer realm="oten", error="invalid_token""#
    );
}

#[tokio::test]
async fn distinguishes_live_tokens_in_validation() {
    let provider = provider();
    let tokens = provider.tokens().await;
    let access = tokens["access_token"].as_str().unwrap();
    let validate = |token, secret| {
        let parameters = [
            ("token", token),
            ("client_id", "shop"),
            ("client_secret", secret),
        ];
        let provider = &provider;
        async move {
            let response = provider.post("/v1/token/validate", &parameters).await;
            (response.status(), json_body(response).await)
        }
    };
    let (status, live) = validate(access, SECRET).await;
    assert_eq!(
        (status, &live["active"], &live["sub"]),
        (StatusCode::OK, &true.into(), &"alice".into())
    );
    let (status, dead) = validate("dead", SECRET).await;
    assert_eq!(
        (status, &dead["active"]),
        (StatusCode::UNAUTHORIZED, &false.into())
    );
    assert_eq!(
        error(&validate(access, "wrong").await),
        (401, "invalid_client")
    );
}
