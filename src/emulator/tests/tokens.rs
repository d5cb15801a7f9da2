use std::time::Duration;

use http::{StatusCode, header};

use super::kit::*;
use crate::emulator::EmulatorBuilder;

#[tokio::test]
async fn a_code_brings_tokens() {
    let kit = kit();
    let answer = kit.tokens().await;
    assert_eq!(answer["token_type"], "Bearer");
    assert_eq!(answer["expires_in"], 3600);
    assert_eq!(answer["scope"], "openid profile email");
    assert_eq!(answer["refresh_token"].as_str().unwrap().len(), 43);

    let now = kit.clock.unix_now();
    let id = verified(&kit, answer["id_token"].as_str().unwrap(), "JWT").await;
    assert_eq!(id["iss"], kit.emulator.issuer());
    assert_eq!(id["aud"], "shop");
    assert_eq!(id["sub"], "alice");
    assert_eq!(id["nonce"], "the-nonce");
    assert_eq!(id["name"], "Alice Adams");
    assert_eq!(id["email"], "alice@example.com");
    assert_eq!(id["auth_time"], now);
    assert_eq!(id["exp"], now + 3600);
    assert_eq!(id["at_hash"].as_str().unwrap().len(), 43);

    let token = answer["access_token"].as_str().unwrap();
    let access = verified(&kit, token, "at+jwt").await;
    assert_eq!(access["client_id"], "shop");
    assert_eq!(access["exp"], now + 3600);

    let person = json_body(kit.userinfo(token).await).await;
    assert_eq!(person["name"], "Alice Adams");
}

#[tokio::test]
async fn claims_follow_the_scope() {
    let kit = kit();
    let mut claims = kit.claims("shop");
    claims["scope"] = "openid email".into();
    let url = kit.signed_url("shop", &claims);
    let callback = kit.emulator.approve(url, "bob").unwrap();
    let code = query_value(&callback, "code").unwrap();
    let (_, answer) = kit.token(&Kit::redeem(&code)).await;
    let id = verified(&kit, answer["id_token"].as_str().unwrap(), "JWT").await;
    assert_eq!(
        (id.get("name"), &id["email"]),
        (None, &"bob@example.com".into())
    );
}

#[tokio::test]
async fn a_bad_token_request_is_refused() {
    let kit = kit();
    for (name, value, refusal) in [
        ("grant_type", "", (400, "invalid_request")),
        ("grant_type", "password", (400, "unsupported_grant_type")),
        (
            "grant_type",
            "client_credentials",
            (400, "unsupported_grant_type"),
        ),
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
        ("client_id", "nobody", (401, "invalid_client")),
        ("client_id", "other", (400, "invalid_grant")),
        ("client_secret", "", (401, "invalid_client")),
        ("client_secret", "wrong", (401, "invalid_client")),
    ] {
        let code = kit.code();
        let answer = kit.token(&with(Kit::redeem(&code), name, value)).await;
        assert_eq!(error(&answer), refusal, "{name}={value}");
    }
}

#[tokio::test]
async fn a_repeated_parameter_is_refused() {
    let kit = kit();
    let code = kit.code();
    let mut parameters = Kit::redeem(&code);
    parameters.push(("code", &code));
    assert_eq!(
        error(&kit.token(&parameters).await),
        (400, "invalid_request")
    );
}

#[tokio::test]
async fn only_forms_and_no_basic_authentication() {
    let kit = kit();
    let ask = |name, value| {
        let request = http::Request::post("/v1/oauth/token").header(name, value);
        kit.send(request.body(form(&Kit::redeem("x")).into()).unwrap())
    };
    let json = ask(header::CONTENT_TYPE, "application/json").await;
    assert_eq!(json.status(), StatusCode::BAD_REQUEST);
    assert_eq!(json.headers()[header::CACHE_CONTROL], "no-store");

    let request = http::Request::post("/v1/oauth/token")
        .header(
            header::CONTENT_TYPE,
            "application/x-www-form-urlencoded; charset=utf-8",
        )
        .header(header::AUTHORIZATION, "Basic c2hvcDpzZWNyZXQ=");
    let basic = kit
        .send(request.body(form(&Kit::redeem("x")).into()).unwrap())
        .await;
    assert_eq!(basic.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn the_type_of_a_client_decides_before_its_credentials() {
    let kit = kit();
    let ask = [
        ("grant_type", "client_credentials"),
        ("client_id", "spa"),
        ("client_secret", "wrong"),
    ];
    assert_eq!(error(&kit.token(&ask).await), (400, "unauthorized_client"));
}

#[tokio::test]
async fn a_public_client_sends_its_id_only() {
    let kit = kit();
    let redeem = |secret| {
        let callback = kit
            .emulator
            .approve(kit.url(&Kit::plain("spa")), "alice")
            .unwrap();
        let code = query_value(&callback, "code").unwrap();
        let kit = &kit;
        async move {
            let parameters = with(Kit::redeem(&code), "client_id", "spa");
            kit.token(&with(parameters, "client_secret", secret)).await
        }
    };
    assert_eq!(error(&redeem(SECRET).await), (401, "invalid_client"));
    assert_eq!(redeem("").await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_verifier_without_a_challenge_is_refused() {
    let kit = kit();
    let parameters = with(Kit::plain("legacy"), "code_challenge", "");
    let url = kit.url(&with(parameters, "code_challenge_method", ""));
    let callback = kit.emulator.approve(url, "alice").unwrap();
    let code = query_value(&callback, "code").unwrap();
    let answer = kit
        .token(&with(Kit::redeem(&code), "client_id", "legacy"))
        .await;
    assert_eq!(error(&answer), (400, "invalid_grant"));
}

#[tokio::test]
async fn a_code_ends_after_ten_minutes() {
    let kit = kit();
    let (first, second) = (kit.code(), kit.code());
    kit.clock.advance(Duration::from_secs(599));
    assert_eq!(kit.token(&Kit::redeem(&first)).await.0, StatusCode::OK);
    kit.clock.advance(Duration::from_secs(1));
    assert_eq!(
        error(&kit.token(&Kit::redeem(&second)).await),
        (400, "invalid_grant")
    );
}

#[tokio::test]
async fn using_a_code_again_ends_its_tokens() {
    let kit = kit();
    let code = kit.code();
    let (_, answer) = kit.token(&Kit::redeem(&code)).await;
    let access = answer["access_token"].as_str().unwrap();
    assert_eq!(kit.userinfo(access).await.status(), StatusCode::OK);

    assert_eq!(
        error(&kit.token(&Kit::redeem(&code)).await),
        (400, "invalid_grant")
    );
    assert_eq!(
        kit.userinfo(access).await.status(),
        StatusCode::UNAUTHORIZED
    );
    let refresh = answer["refresh_token"].as_str().unwrap();
    assert_eq!(
        error(&kit.token(&Kit::refresh(refresh)).await),
        (400, "invalid_grant")
    );
}

#[tokio::test]
async fn refresh_tokens_rotate_and_reuse_ends_the_family() {
    let kit = kit();
    let first = kit.tokens().await;
    let old = first["refresh_token"].as_str().unwrap();
    kit.clock.advance(Duration::from_secs(60));
    let (status, second) = kit.token(&Kit::refresh(old)).await;
    assert_eq!(status, StatusCode::OK);
    let new = second["refresh_token"].as_str().unwrap();
    assert_ne!(old, new);
    let id = verified(&kit, second["id_token"].as_str().unwrap(), "JWT").await;
    assert_eq!(id["sub"], "alice");
    assert_eq!(id["auth_time"], kit.clock.unix_now() - 60);
    assert_eq!(id.get("nonce"), None);

    assert_eq!(
        error(&kit.token(&Kit::refresh(old)).await),
        (400, "invalid_grant")
    );
    assert_eq!(
        error(&kit.token(&Kit::refresh(new)).await),
        (400, "invalid_grant")
    );
    let access = second["access_token"].as_str().unwrap();
    assert_eq!(
        kit.userinfo(access).await.status(),
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn a_bad_refresh_is_refused() {
    let kit = kit();
    for (name, value, refusal) in [
        ("refresh_token", "", (400, "invalid_request")),
        ("refresh_token", "unknown", (400, "invalid_grant")),
        ("client_id", "other", (400, "invalid_grant")),
        ("scope", "openid workspace", (400, "invalid_scope")),
    ] {
        let tokens = kit.tokens().await;
        let token = tokens["refresh_token"].as_str().unwrap();
        let answer = kit.token(&with(Kit::refresh(token), name, value)).await;
        assert_eq!(error(&answer), refusal, "{name}={value}");
        // None of these used the token up.
        assert_eq!(kit.token(&Kit::refresh(token)).await.0, StatusCode::OK);
    }
}

#[tokio::test]
async fn tokens_end_on_time() {
    let kit = kit_with(|builder| {
        builder
            .access_token_lifetime(Duration::from_secs(30))
            .refresh_token_lifetime(Duration::from_secs(90))
    });
    let tokens = kit.tokens().await;
    assert_eq!(tokens["expires_in"], 30);
    let access = tokens["access_token"].as_str().unwrap();
    kit.clock.advance(Duration::from_secs(29));
    assert_eq!(kit.userinfo(access).await.status(), StatusCode::OK);
    kit.clock.advance(Duration::from_secs(1));
    assert_eq!(
        kit.userinfo(access).await.status(),
        StatusCode::UNAUTHORIZED
    );
    kit.clock.advance(Duration::from_secs(60));
    let refresh = tokens["refresh_token"].as_str().unwrap();
    assert_eq!(
        error(&kit.token(&Kit::refresh(refresh)).await),
        (400, "invalid_grant")
    );
}

#[tokio::test]
async fn refresh_tokens_can_be_switched_off() {
    let kit = kit_with(EmulatorBuilder::without_refresh_tokens);
    assert_eq!(kit.tokens().await.get("refresh_token"), None);
}

#[tokio::test]
async fn a_disabled_person_is_out() {
    let kit = kit();
    let tokens = kit.tokens().await;
    let access = tokens["access_token"].as_str().unwrap();
    let refresh = tokens["refresh_token"].as_str().unwrap();
    kit.emulator.disable_user("alice");
    assert_eq!(
        kit.userinfo(access).await.status(),
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        error(&kit.token(&Kit::refresh(refresh)).await),
        (400, "invalid_grant")
    );
    kit.emulator.enable_user("alice");
    assert_eq!(kit.token(&Kit::refresh(refresh)).await.0, StatusCode::OK);
}

#[tokio::test]
async fn userinfo_wants_a_live_bearer_token() {
    let kit = kit();
    let missing = kit.get("/v1/userinfo").await;
    assert_eq!(missing.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(
        missing.headers()[header::WWW_AUTHENTICATE],
        r#"Bearer realm="oten""#
    );
    let wrong = kit.userinfo("wrong").await;
    assert_eq!(
        wrong.headers()[header::WWW_AUTHENTICATE],
        r#"Bearer realm="oten", error="invalid_token""#
    );
}

#[tokio::test]
async fn validation_tells_live_tokens_from_others() {
    let kit = kit();
    let tokens = kit.tokens().await;
    let access = tokens["access_token"].as_str().unwrap();
    let ask = |token, secret| {
        let parameters = [
            ("token", token),
            ("client_id", "shop"),
            ("client_secret", secret),
        ];
        let kit = &kit;
        async move {
            let response = kit.post("/v1/token/validate", &parameters).await;
            (response.status(), json_body(response).await)
        }
    };
    let (status, live) = ask(access, SECRET).await;
    assert_eq!(
        (status, &live["active"], &live["sub"]),
        (StatusCode::OK, &true.into(), &"alice".into())
    );
    let (status, dead) = ask("dead", SECRET).await;
    assert_eq!(
        (status, &dead["active"]),
        (StatusCode::UNAUTHORIZED, &false.into())
    );
    assert_eq!(error(&ask(access, "wrong").await), (401, "invalid_client"));
}
