use http::{StatusCode, header};

use super::kit::*;
use crate::emulator::{EmulatorBuilder, Endpoint};

const PATH: &str = "/v1/oauth/revoke";

fn revoke(token: &str) -> Vec<(&str, &str)> {
    vec![
        ("token", token),
        ("client_id", "shop"),
        ("client_secret", SECRET),
    ]
}

async fn live(kit: &Kit, access_token: &str) -> bool {
    kit.userinfo(access_token).await.status() == StatusCode::OK
}

#[tokio::test]
async fn a_refresh_token_goes_with_its_whole_family() {
    let kit = kit();
    let (first, stranger) = (kit.tokens().await, kit.tokens().await);
    let old = first["refresh_token"].as_str().unwrap();
    let (_, second) = kit.token(&Kit::refresh(old)).await;
    let new = second["refresh_token"].as_str().unwrap();
    let response = kit.post(PATH, &revoke(new)).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
    assert_eq!(text_body(response).await, "");

    let refused = kit.token(&Kit::refresh(new)).await;
    assert_eq!(error(&refused), (400, "invalid_grant"));
    for answer in [&first, &second] {
        assert!(!live(&kit, answer["access_token"].as_str().unwrap()).await);
    }
    assert!(live(&kit, stranger["access_token"].as_str().unwrap()).await);
    assert_eq!(kit.emulator.calls(Endpoint::Revocation), 1);
    assert_eq!(kit.emulator.reuse_detected(), 0);
}

#[tokio::test]
async fn a_used_refresh_token_still_revokes_its_family() {
    let kit = kit();
    let first = kit.tokens().await;
    let old = first["refresh_token"].as_str().unwrap();
    let (_, second) = kit.token(&Kit::refresh(old)).await;
    assert_eq!(kit.post(PATH, &revoke(old)).await.status(), StatusCode::OK);
    assert!(!live(&kit, second["access_token"].as_str().unwrap()).await);
}

#[tokio::test]
async fn an_access_token_goes_alone() {
    let kit = kit();
    let answer = kit.tokens().await;
    let access = answer["access_token"].as_str().unwrap();
    // A hint may be wrong or unknown (RFC 7009 section 2.1).
    for hint in ["refresh_token", "of_my_own"] {
        let parameters = with(revoke(access), "token_type_hint", hint);
        assert_eq!(kit.post(PATH, &parameters).await.status(), StatusCode::OK);
        assert!(!live(&kit, access).await);
    }
    let refresh = answer["refresh_token"].as_str().unwrap();
    assert_eq!(kit.token(&Kit::refresh(refresh)).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_token_nobody_knows_is_as_good_as_revoked() {
    let response = kit().post(PATH, &revoke("unknown")).await;
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_token_of_another_client_is_not_revoked() {
    let kit = kit();
    let answer = kit.tokens().await;
    for name in ["refresh_token", "access_token"] {
        let parameters = with(revoke(answer[name].as_str().unwrap()), "client_id", "other");
        let response = kit.post(PATH, &parameters).await;
        let refused = (response.status(), json_body(response).await);
        assert_eq!(error(&refused), (400, "invalid_grant"), "{name}");
    }
    assert!(live(&kit, answer["access_token"].as_str().unwrap()).await);
    let refresh = answer["refresh_token"].as_str().unwrap();
    assert_eq!(kit.token(&Kit::refresh(refresh)).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_bad_revocation_request_is_refused() {
    let kit = kit();
    let answer = kit.tokens().await;
    let token = answer["refresh_token"].as_str().unwrap();
    for (name, value, refusal) in [
        ("token", "", (400, "invalid_request")),
        ("client_id", "", (401, "invalid_client")),
        ("client_id", "nobody", (401, "invalid_client")),
        ("client_id", "spa", (401, "invalid_client")),
        ("client_secret", "", (401, "invalid_client")),
        ("client_secret", "wrong", (401, "invalid_client")),
    ] {
        let response = kit.post(PATH, &with(revoke(token), name, value)).await;
        let refused = (response.status(), json_body(response).await);
        assert_eq!(error(&refused), refusal, "{name}={value}");
    }
    let twice = [revoke(token), revoke(token)].concat();
    assert_eq!(kit.post(PATH, &twice).await.status(), 400);
    assert_eq!(kit.get(PATH).await.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert!(live(&kit, answer["access_token"].as_str().unwrap()).await);
}

#[tokio::test]
async fn the_endpoint_is_announced_only_when_told() {
    let document = |kit: Kit| async move {
        json_body(kit.get("/.well-known/openid-configuration").await).await
    };
    let silent = document(kit()).await;
    assert_eq!(silent.get("revocation_endpoint"), None);
    let told = document(kit_with(EmulatorBuilder::advertise_revocation)).await;
    let endpoint = told["revocation_endpoint"].as_str().unwrap();
    assert!(endpoint.ends_with("/oten/v1/oauth/revoke"), "{endpoint}");
    let methods = &told["revocation_endpoint_auth_methods_supported"];
    assert_eq!(methods[0], "client_secret_post");
}
