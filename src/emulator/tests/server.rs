use std::time::Duration;

use super::support::{REDIRECT, provider};
use crate::emulator::{EmulatedClient, Emulator, Endpoint, Fault};

async fn emulator() -> Emulator {
    Emulator::builder()
        .client(EmulatedClient::public("spa").redirect_uri(REDIRECT))
        .start()
        .await
        .unwrap()
}

fn keys(emulator: &Emulator) -> String {
    format!("{}/.well-known/jwks.json", emulator.issuer())
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

#[tokio::test]
async fn refuses_connections_while_stopped_and_resumes_on_its_port() {
    let (emulator, client) = (emulator().await, client());
    assert_eq!(
        client.get(keys(&emulator)).send().await.unwrap().status(),
        200
    );
    for _ in 0..3 {
        emulator.stop().await;
        emulator.stop().await;
        // The kept-alive connection is closed, too.
        let error = client.get(keys(&emulator)).send().await.unwrap_err();
        assert!(error.is_connect(), "{error:?}");
        emulator.resume().await.unwrap();
        emulator.resume().await.unwrap();
        assert_eq!(
            client.get(keys(&emulator)).send().await.unwrap().status(),
            200
        );
    }
    assert_eq!(emulator.calls(Endpoint::Jwks), 4);
}

#[tokio::test]
async fn ends_hanging_calls_when_stopped() {
    let (emulator, client) = (emulator().await, client());
    emulator.fault(Endpoint::Jwks, Fault::Hang);
    let url = keys(&emulator);
    let call = tokio::spawn(async move { client.get(url).send().await });
    while emulator.calls(Endpoint::Jwks) == 0 {
        tokio::task::yield_now().await;
    }
    assert!(!call.is_finished());
    emulator.stop().await;
    let response = tokio::time::timeout(Duration::from_secs(5), call)
        .await
        .unwrap();
    assert!(response.unwrap().is_err());
}

#[tokio::test]
async fn closes_a_connection_without_a_response() {
    let (emulator, client) = (emulator().await, client());
    emulator.fault(Endpoint::Jwks, Fault::Close.times(1));
    let error = client.get(keys(&emulator)).send().await.unwrap_err();
    assert!(error.is_request() && !error.is_connect(), "{error:?}");
    assert_eq!(
        client.get(keys(&emulator)).send().await.unwrap().status(),
        200
    );
}

#[tokio::test]
async fn stops_listening_with_the_last_clone() {
    let emulator = emulator().await;
    let (url, client) = (keys(&emulator), client());
    let clone = emulator.clone();
    drop(emulator);
    assert_eq!(client.get(&url).send().await.unwrap().status(), 200);
    drop(clone);
    let refused = async {
        while client.get(&url).send().await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), refused)
        .await
        .unwrap();
}

#[tokio::test]
async fn responds_with_503_while_stopped_if_mounted() {
    let provider = provider();
    provider.emulator.stop().await;
    assert_eq!(provider.get("/.well-known/jwks.json").await.status(), 503);
    assert_eq!(provider.emulator.calls(Endpoint::Jwks), 0);
    provider.emulator.resume().await.unwrap();
    assert_eq!(provider.get("/.well-known/jwks.json").await.status(), 200);
}
