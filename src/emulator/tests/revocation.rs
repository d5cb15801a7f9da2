use http::{StatusCode, header};

use super::support::*;
use crate::emulator::{EmulatorBuilder, Endpoint};

const PATH: &str = "/v1/oauth/revoke";

fn revoke(token: &str) -> Vec<(&str, &str)> {
    vec![
        ("token", token),
        ("client_id", "shop"),
        ("client_secret", SECRET),
    ]
}

async fn live(provider: &TestProvider, access_token: &str) -> bool {
    provider.userinfo(access_token).await.status() == StatusCode::OK
}

#[tokio::test]
async fn revokes_a_refresh_token_with_its_grant() {
    let provider = provider();
    let (first, other) = (provider.tokens().await, provider.tokens().await);
    let old = first["refresh_token"].as_str().unwrap();
    let (_, second) = provider.token(&TestProvider::refresh_form(old)).await;
    let new = second["refresh_token"].as_str().unwrap();
    let response = provider.post(PATH, &revoke(new)).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
    assert_eq!(text_body(response).await, "");

    let rejection = provider.token(&TestProvider::refresh_form(new)).await;
    assert_eq!(error(&rejection), (400, "invalid_grant"));
    for answer in [&first, &second] {
        assert!(!live(&provider, answer["access_token"].as_str().unwrap()).await);
    }
    assert!(live(&provider, other["access_token"].as_str().unwrap()).await);
    assert_eq!(provider.emulator.calls(Endpoint::Revocation), 1);
    assert_eq!(provider.emulator.reuse_detected(), 0);
}

#[tokio::test]
async fn revokes_the_grant_of_a_used_refresh_token() {
    let provider = provider();
    let first = provider.tokens().await;
    let old = first["refresh_token"].as_str().unwrap();
    let (_, second) = provider.token(&TestProvider::refresh_form(old)).await;
    assert_eq!(
        provider.post(PATH, &revoke(old)).await.status(),
        StatusCode::OK
    );
    assert!(!live(&provider, second["access_token"].as_str().unwrap()).await);
}

#[tokio::test]
async fn revokes_an_access_token_alone() {
    let provider = provider();
    let answer = provider.tokens().await;
    let access = answer["access_token"].as_str().unwrap();
    // The hint may be wrong or unknown (RFC 7009 section 2.1).
    for hint in ["refresh_token", "unknown"] {
        let parameters = with(revoke(access), "token_type_hint", hint);
        assert_eq!(
            provider.post(PATH, &parameters).await.status(),
            StatusCode::OK
        );
        assert!(!live(&provider, access).await);
    }
    let refresh = answer["refresh_token"].as_str().unwrap();
    assert_eq!(
        provider.token(&TestProvider::refresh_form(refresh)).await.0,
        StatusCode::OK
    );
}

#[tokio::test]
async fn accepts_an_unknown_token() {
    let response = provider().post(PATH, &revoke("unknown")).await;
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn rejects_a_token_of_another_client() {
    let provider = provider();
    let answer = provider.tokens().await;
    for name in ["refresh_token", "access_token"] {
        let parameters = with(revoke(answer[name].as_str().unwrap()), "client_id", "other");
        let response = provider.post(PATH, &parameters).await;
        let rejection = (response.status(), json_body(response).await);
        assert_eq!(error(&rejection), (400, "invalid_grant"), "{name}");
    }
    assert!(live(&provider, answer["access_token"].as_str().unwrap()).await);
    let refresh = answer["refresh_token"].as_str().unwrap();
    assert_eq!(
        provider.token(&TestProvider::refresh_form(refresh)).await.0,
        StatusCode::OK
    );
}

#[tokio::test]
async fn rejects_an_invalid_revocation_request() {
    let provider = provider();
    let answer = provider.tokens().await;
    let token = answer["refresh_token"].as_str().unwrap();
    for (name, value, expected) in [
        ("token", "", (400, "invalid_request")),
        ("client_id", "", (401, "invalid_client")),
        ("client_id", "unregistered", (401, "invalid_client")),
        ("client_id", "spa", (401, "invalid_client")),
        ("client_secret", "", (401, "invalid_client")),
        ("client_secret", "wrong", (401, "invalid_client")),
    ] {
        let response = provider.post(PATH, &with(revoke(token), name, value)).await;
        let rejection = (response.status(), json_body(response).await);
        assert_eq!(error(&rejection), expected, "{name}={value}");
    }
    let twice = [revoke(token), revoke(token)].concat();
    assert_eq!(provider.post(PATH, &twice).await.status(), 400);
    assert_eq!(
        provider.get(PATH).await.status(),
        StatusCode::METHOD_NOT_ALLOWED
    );
    assert!(live(&provider, answer["access_token"].as_str().unwrap()).await);
}

#[tokio::test]
async fn advertises_the_endpoint_only_if_configured() {
    let document = |provider: TestProvider| async move {
        json_body(provider.get("/.well-known/openid-configuration").await).await
    };
    let default = document(provider()).await;
    assert_eq!(default.get("revocation_endpoint"), None);
    let advertised = document(provider_with(EmulatorBuilder::advertise_revocation)).await;
    let endpoint = advertised["revocation_endpoint"].as_str().unwrap();
    assert!(endpoint.ends_with("/oten/v1/oauth/revoke"), "{endpoint}");
    let methods = &advertised["revocation_endpoint_auth_methods_supported"];
    assert_eq!(methods[0], "client_secret_post");
}
