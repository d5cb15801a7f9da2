use std::time::Duration;

use super::kit::{REDIRECT, kit};
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
async fn a_stopped_emulator_refuses_and_comes_back_on_its_port() {
    let (emulator, client) = (emulator().await, client());
    assert_eq!(
        client.get(keys(&emulator)).send().await.unwrap().status(),
        200
    );
    for _ in 0..3 {
        emulator.stop().await;
        emulator.stop().await;
        // Also on the connection that was kept alive.
        let refused = client.get(keys(&emulator)).send().await.unwrap_err();
        assert!(refused.is_connect(), "{refused:?}");
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
async fn a_call_that_hangs_ends_when_the_emulator_stops() {
    let (emulator, client) = (emulator().await, client());
    emulator.fault(Endpoint::Jwks, Fault::Hang);
    let url = keys(&emulator);
    let call = tokio::spawn(async move { client.get(url).send().await });
    while emulator.calls(Endpoint::Jwks) == 0 {
        tokio::task::yield_now().await;
    }
    assert!(!call.is_finished());
    emulator.stop().await;
    let ended = tokio::time::timeout(Duration::from_secs(5), call)
        .await
        .unwrap();
    assert!(ended.unwrap().is_err());
}

#[tokio::test]
async fn a_connection_can_close_without_an_answer() {
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
async fn the_listener_ends_with_the_last_copy() {
    let emulator = emulator().await;
    let (url, client) = (keys(&emulator), client());
    let copy = emulator.clone();
    drop(emulator);
    assert_eq!(client.get(&url).send().await.unwrap().status(), 200);
    drop(copy);
    let is_gone = async {
        while client.get(&url).send().await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), is_gone)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_carried_emulator_answers_503_while_stopped() {
    let kit = kit();
    kit.emulator.stop().await;
    assert_eq!(kit.get("/.well-known/jwks.json").await.status(), 503);
    assert_eq!(kit.emulator.calls(Endpoint::Jwks), 0);
    kit.emulator.resume().await.unwrap();
    assert_eq!(kit.get("/.well-known/jwks.json").await.status(), 200);
}
