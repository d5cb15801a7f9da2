//! The probes of load balancers and supervisors.

use reqwest::{Response, StatusCode, header};
use serde_json::{Value, json};

use super::{
    process::Running,
    site::{client, header_of},
    test_site::{emulator, serve},
};

async fn json_of(response: Response) -> Value {
    assert_eq!(header_of(&response, "content-type"), "application/json");
    assert_eq!(header_of(&response, "cache-control"), "no-store");
    serde_json::from_str(&response.text().await.unwrap()).unwrap()
}

#[tokio::test]
async fn d1_the_site_is_ready_without_its_provider() {
    let emulator = emulator(|emulator| emulator).await;
    let (site, client) = (Running::start(&mut serve(&emulator)).await, client());

    let ready = client.get(site.at("/readyz")).send().await.unwrap();
    assert_eq!(ready.status(), StatusCode::OK);
    let ready = json_of(ready).await;
    let expected = json!({
        "status": "ready",
        "configuration": "ok",
        "store": "ok",
        "provider": "ok",
    });
    assert_eq!(ready, expected);
    let alive = client.get(site.at("/healthz")).send().await.unwrap();
    assert_eq!(alive.status(), StatusCode::OK);
    assert_eq!(header_of(&alive, "cache-control"), "no-store");
    assert_eq!(alive.text().await.unwrap(), "ok\n");
    for path in ["/healthz", "/readyz"] {
        let head = client.head(site.at(path)).send().await.unwrap();
        assert_eq!(head.status(), StatusCode::OK, "{path}");
        let post = client.post(site.at(path)).send().await.unwrap();
        assert_eq!(post.status(), StatusCode::METHOD_NOT_ALLOWED, "{path}");
    }

    // A site that starts while the provider is down.
    emulator.stop().await;
    let site = Running::start(&mut serve(&emulator)).await;
    let ready = client.get(site.at("/readyz")).send().await.unwrap();
    assert_eq!(ready.status(), StatusCode::OK);
    let ready = json_of(ready).await;
    assert_eq!(ready["status"], "ready");
    assert_eq!(ready["provider"], "unreachable");
}

#[tokio::test]
async fn l8_without_its_store_the_site_is_not_ready_but_healthy() {
    let emulator = emulator(|emulator| emulator).await;
    let mut serve = serve(&emulator);
    serve.env("OTEN_SESSION_STORE", "redis://:a-password@127.0.0.1:1/0");
    serve.env(
        "OTEN_SESSION_KEY",
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
    );
    let (site, client) = (Running::start(&mut serve).await, client());
    let ready = client.get(site.at("/readyz"));
    let ready = ready
        .header(header::ACCEPT, "text/html")
        .send()
        .await
        .unwrap();
    assert_eq!(ready.status(), StatusCode::SERVICE_UNAVAILABLE);
    let ready = json_of(ready).await;
    assert_eq!(ready["status"], "unready");
    assert_eq!(ready["store"], "unreachable");
    assert_eq!(ready.as_object().unwrap().len(), 4, "{ready}");
    assert!(!ready.to_string().contains("127.0.0.1"), "{ready}");
    let alive = client.get(site.at("/healthz")).send().await.unwrap();
    assert_eq!(alive.status(), StatusCode::OK);
}
