use std::time::Duration;

use http::StatusCode;

use super::support::*;
use crate::emulator::{EmulatedClient, Emulator, EmulatorBuilder, Endpoint, Fault};

#[tokio::test]
async fn counts_refreshes_and_reuse() {
    let provider = provider();
    let first = provider.tokens().await;
    let old = first["refresh_token"].as_str().unwrap();
    assert_eq!(
        provider.emulator.refreshes(),
        0,
        "a code exchange is not a refresh"
    );
    let (_, second) = provider.token(&TestProvider::refresh_form(old)).await;
    assert_eq!(
        (
            provider.emulator.refreshes(),
            provider.emulator.reuse_detected()
        ),
        (1, 0)
    );
    // Rejected refreshes count; those of unauthenticated clients and faults do not.
    provider.token(&TestProvider::refresh_form("unknown")).await;
    provider
        .token(&with(
            TestProvider::refresh_form(old),
            "client_secret",
            "wrong",
        ))
        .await;
    let unavailable = Fault::OAuthError("temporarily_unavailable");
    provider
        .emulator
        .fault(Endpoint::Token, unavailable.times(1));
    provider
        .token(&TestProvider::refresh_form(
            second["refresh_token"].as_str().unwrap(),
        ))
        .await;
    assert_eq!(
        (
            provider.emulator.refreshes(),
            provider.emulator.reuse_detected()
        ),
        (2, 0)
    );
    provider.token(&TestProvider::refresh_form(old)).await;
    assert_eq!(
        (
            provider.emulator.refreshes(),
            provider.emulator.reuse_detected()
        ),
        (3, 1)
    );
}

#[tokio::test]
async fn keeps_the_refresh_token_without_rotation() {
    let provider = provider_with(EmulatorBuilder::without_rotation);
    let first = provider.tokens().await;
    let token = first["refresh_token"].as_str().unwrap();
    for _ in 0..2 {
        let (status, answer) = provider.token(&TestProvider::refresh_form(token)).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        assert_eq!(answer.get("refresh_token"), None);
        assert!(answer.get("id_token").is_some());
    }
    assert_eq!(provider.emulator.reuse_detected(), 0);
}

#[tokio::test]
async fn omits_the_id_token_of_a_refresh_if_configured() {
    let provider = provider_with(EmulatorBuilder::without_id_token_on_refresh);
    let first = provider.tokens().await;
    assert!(first.get("id_token").is_some());
    let token = first["refresh_token"].as_str().unwrap();
    let (status, answer) = provider.token(&TestProvider::refresh_form(token)).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(answer.get("id_token"), None);
    assert!(answer.get("refresh_token").is_some());
}

#[tokio::test]
async fn refreshes_before_a_late_response() {
    let provider = provider();
    let first = provider.tokens().await;
    let old = first["refresh_token"].as_str().unwrap();
    let late = Fault::DelayAfter(Duration::from_millis(1));
    provider.emulator.fault(Endpoint::Token, late.times(1));
    assert_eq!(
        provider.token(&TestProvider::refresh_form(old)).await.0,
        StatusCode::OK
    );

    // A client that does not wait for the response loses the tokens.
    let second = provider.tokens().await;
    let old = second["refresh_token"].as_str().unwrap();
    let late = Fault::DelayAfter(Duration::from_secs(3600));
    provider.emulator.fault(Endpoint::Token, late.times(1));
    let form = TestProvider::refresh_form(old);
    tokio::select! {
        biased;
        _ = provider.token(&form) => panic!("the response was not delayed"),
        () = std::future::ready(()) => {}
    }
    assert_eq!(
        error(&provider.token(&form).await),
        (400, "invalid_grant"),
        "the refresh token is used"
    );
    assert_eq!(provider.emulator.reuse_detected(), 1);
}

#[tokio::test]
async fn refreshes_before_a_lost_response() {
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
        form(&TestProvider::plain_parameters("spa"))
    );
    let callback = emulator.approve(authorize, "alice").unwrap();
    let code = query_value(&callback, "code").unwrap();
    let redeem = with(TestProvider::code_form(&code), "client_id", "spa");
    let answer = post(&with(redeem, "client_secret", "")).await.unwrap();
    let answer: serde_json::Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    let token = answer["refresh_token"].as_str().unwrap();

    emulator.fault(Endpoint::Token, Fault::CloseAfter.times(1));
    let refresh = with(TestProvider::refresh_form(token), "client_id", "spa");
    let refresh = with(refresh, "client_secret", "");
    let error = post(&refresh).await.unwrap_err();
    assert!(error.is_request() && !error.is_connect(), "{error:?}");
    assert_eq!((emulator.refreshes(), emulator.reuse_detected()), (1, 0));
    assert_eq!(post(&refresh).await.unwrap().status(), 400);
    assert_eq!((emulator.refreshes(), emulator.reuse_detected()), (2, 1));
}
