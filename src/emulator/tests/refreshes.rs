use std::time::Duration;

use http::StatusCode;

use super::kit::*;
use crate::emulator::{EmulatedClient, Emulator, EmulatorBuilder, Endpoint, Fault};

#[tokio::test]
async fn refreshes_and_reuse_are_counted() {
    let kit = kit();
    let first = kit.tokens().await;
    let old = first["refresh_token"].as_str().unwrap();
    assert_eq!(kit.emulator.refreshes(), 0, "a code is no refresh");
    let (_, second) = kit.token(&Kit::refresh(old)).await;
    assert_eq!(
        (kit.emulator.refreshes(), kit.emulator.reuse_detected()),
        (1, 0)
    );
    // Refused ones count, those of strangers and those that a fault answers do not.
    kit.token(&Kit::refresh("unknown")).await;
    kit.token(&with(Kit::refresh(old), "client_secret", "wrong"))
        .await;
    let busy = Fault::OAuthError("temporarily_unavailable");
    kit.emulator.fault(Endpoint::Token, busy.times(1));
    kit.token(&Kit::refresh(second["refresh_token"].as_str().unwrap()))
        .await;
    assert_eq!(
        (kit.emulator.refreshes(), kit.emulator.reuse_detected()),
        (2, 0)
    );
    kit.token(&Kit::refresh(old)).await;
    assert_eq!(
        (kit.emulator.refreshes(), kit.emulator.reuse_detected()),
        (3, 1)
    );
}

#[tokio::test]
async fn without_rotation_a_refresh_token_stays() {
    let kit = kit_with(EmulatorBuilder::without_rotation);
    let first = kit.tokens().await;
    let token = first["refresh_token"].as_str().unwrap();
    for _ in 0..2 {
        let (status, answer) = kit.token(&Kit::refresh(token)).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        assert_eq!(answer.get("refresh_token"), None);
        assert!(answer.get("id_token").is_some());
    }
    assert_eq!(kit.emulator.reuse_detected(), 0);
}

#[tokio::test]
async fn a_refresh_can_come_without_an_id_token() {
    let kit = kit_with(EmulatorBuilder::without_id_token_on_refresh);
    let first = kit.tokens().await;
    assert!(first.get("id_token").is_some());
    let token = first["refresh_token"].as_str().unwrap();
    let (status, answer) = kit.token(&Kit::refresh(token)).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(answer.get("id_token"), None);
    assert!(answer.get("refresh_token").is_some());
}

#[tokio::test]
async fn a_late_answer_comes_after_the_act() {
    let kit = kit();
    let first = kit.tokens().await;
    let old = first["refresh_token"].as_str().unwrap();
    let late = Fault::DelayAfter(Duration::from_millis(1));
    kit.emulator.fault(Endpoint::Token, late.times(1));
    assert_eq!(kit.token(&Kit::refresh(old)).await.0, StatusCode::OK);

    // Who does not wait for it has lost the tokens.
    let second = kit.tokens().await;
    let old = second["refresh_token"].as_str().unwrap();
    let late = Fault::DelayAfter(Duration::from_secs(3600));
    kit.emulator.fault(Endpoint::Token, late.times(1));
    let form = Kit::refresh(old);
    tokio::select! {
        biased;
        _ = kit.token(&form) => panic!("it came at once"),
        () = std::future::ready(()) => {}
    }
    assert_eq!(
        error(&kit.token(&form).await),
        (400, "invalid_grant"),
        "the token was used"
    );
    assert_eq!(kit.emulator.reuse_detected(), 1);
}

#[tokio::test]
async fn an_answer_can_be_lost_after_the_act() {
    let emulator = Emulator::builder()
        .client(EmulatedClient::public("spa").redirect_uri(REDIRECT))
        .start()
        .await
        .unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("{}/v1/oauth/token", emulator.issuer());
    let post = async |parameters: &[(&str, &str)]| {
        let body = form(parameters);
        let content_type = "application/x-www-form-urlencoded";
        let request = client.post(&url).header("content-type", content_type);
        request.body(body).send().await
    };
    let authorize = format!(
        "{}/v1/oauth/authorize?{}",
        emulator.issuer(),
        form(&Kit::plain("spa"))
    );
    let callback = emulator.approve(authorize, "alice").unwrap();
    let code = query_value(&callback, "code").unwrap();
    let redeem = with(Kit::redeem(&code), "client_id", "spa");
    let answer = post(&with(redeem, "client_secret", "")).await.unwrap();
    let answer: serde_json::Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    let token = answer["refresh_token"].as_str().unwrap();

    emulator.fault(Endpoint::Token, Fault::CloseAfter.times(1));
    let refresh = with(Kit::refresh(token), "client_id", "spa");
    let refresh = with(refresh, "client_secret", "");
    let lost = post(&refresh).await.unwrap_err();
    assert!(lost.is_request() && !lost.is_connect(), "{lost:?}");
    assert_eq!((emulator.refreshes(), emulator.reuse_detected()), (1, 0));
    assert_eq!(post(&refresh).await.unwrap().status(), 400);
    assert_eq!((emulator.refreshes(), emulator.reuse_detected()), (2, 1));
}
