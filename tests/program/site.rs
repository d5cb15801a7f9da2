use reqwest::{Client, Method, Response, StatusCode, redirect::Policy};

use super::process::{Running, command};

async fn demo() -> Running {
    Running::start(&mut command(&["demo", "--listen", "127.0.0.1:0"])).await
}

/// A client that follows nothing, like the one that reads a redirect.
pub(super) fn client() -> Client {
    Client::builder()
        .no_proxy()
        .redirect(Policy::none())
        .build()
        .unwrap()
}

pub(super) fn header_of<'a>(response: &'a Response, name: &str) -> &'a str {
    response
        .headers()
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn every_answer_carries_the_security_headers() {
    let (demo, client) = (demo().await, client());
    for path in [
        "/",
        "/profile",
        "/api/me",
        "/healthz",
        "/site.css",
        "/icon.svg",
        "/login",
        "/logout",
        "/callback",
        "/nowhere",
        "/oten/.well-known/openid-configuration",
        "/oten/nowhere",
    ] {
        let response = client.get(demo.at(path)).send().await.unwrap();
        assert_eq!(
            header_of(&response, "x-content-type-options"),
            "nosniff",
            "{path}"
        );
        let policy = header_of(&response, "content-security-policy");
        assert!(policy.contains("default-src 'none'"), "{path}: {policy}");
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        assert!(response.headers().contains_key("referrer-policy"), "{path}");
        assert!(
            response
                .headers()
                .contains_key("cross-origin-opener-policy"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn guests_are_sent_to_login_or_told_so() {
    let (demo, client) = (demo().await, client());
    let page = client
        .get(demo.at("/profile?tab=x"))
        .header("accept", "text/html");
    let response = page.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    assert_eq!(
        header_of(&response, "location"),
        "/login?return_to=%2Fprofile%3Ftab%3Dx"
    );

    let api = client
        .get(demo.at("/api/me"))
        .header("accept", "application/json");
    let response = api.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(
        header_of(&response, "content-type"),
        "application/problem+json"
    );
}

#[tokio::test]
async fn b1_errors_without_words_get_a_page() {
    let (demo, client) = (demo().await, client());
    for (method, path, status) in [
        (Method::GET, "/nowhere", StatusCode::NOT_FOUND),
        (Method::GET, "/%00", StatusCode::NOT_FOUND),
        (Method::GET, "/oten/nowhere", StatusCode::NOT_FOUND),
        (Method::POST, "/", StatusCode::METHOD_NOT_ALLOWED),
        (Method::DELETE, "/healthz", StatusCode::METHOD_NOT_ALLOWED),
    ] {
        let response = client
            .request(method.clone(), demo.at(path))
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), status, "{method} {path}");
        if status == StatusCode::METHOD_NOT_ALLOWED {
            assert_eq!(header_of(&response, "allow"), "GET,HEAD", "{path}");
        }
        assert_eq!(
            header_of(&response, "content-type"),
            "text/html; charset=utf-8",
            "{path}"
        );
        let page = response.text().await.unwrap();
        assert!(page.contains("</html>"), "{method} {path}: {page}");
    }
}

#[tokio::test]
async fn b1_a_body_past_the_limit_is_refused() {
    let (demo, client) = (demo().await, client());
    let request = client.post(demo.at("/logout")).body(vec![b'x'; 65 * 1024]);
    assert_eq!(
        request.send().await.unwrap().status(),
        StatusCode::PAYLOAD_TOO_LARGE
    );
}

#[tokio::test]
async fn the_stylesheet_is_cached_under_its_fingerprint() {
    let (demo, client) = (demo().await, client());
    let home = client
        .get(demo.at("/"))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let (_, rest) = home.split_once("rel=\"stylesheet\" href=\"").unwrap();
    let (path, _) = rest.split_once('"').unwrap();
    assert!(path.starts_with("/site.css?v="), "{path}");
    let response = client.get(demo.at(path)).send().await.unwrap();
    assert!(header_of(&response, "cache-control").contains("immutable"));
    assert!(header_of(&response, "content-type").starts_with("text/css"));
}

#[tokio::test]
async fn healthz_answers() {
    let (demo, client) = (demo().await, client());
    let response = client.get(demo.at("/healthz")).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.text().await.unwrap(), "ok\n");
}

#[tokio::test]
async fn b2_the_log_shows_no_query_values() {
    let (demo, client) = (demo().await, client());
    let request = client.get(demo.at("/callback?code=a-secret-code&state=a-secret-state"));
    request.send().await.unwrap();
    let (_, log) = demo.end().await;
    assert!(log.contains("/callback"), "{log}");
    assert!(!log.contains("a-secret"), "{log}");
}

#[tokio::test]
async fn a_client_with_a_key_publishes_it_and_another_has_no_such_page() {
    let path = "/.well-known/jwks.json";
    let demo = ["demo", "--listen", "127.0.0.1:0"];
    let signing = Running::start(&mut command(&[&demo[..], &["--client", "eddsa"]].concat())).await;
    let answer = client().get(signing.at(path)).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(header_of(&answer, "set-cookie"), "");
    assert_eq!(header_of(&answer, "cache-control"), "public, max-age=300");
    let set: serde_json::Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert_eq!(set["keys"].as_array().unwrap().len(), 1);

    let without = Running::start(&mut command(&demo)).await;
    let answer = client().get(without.at(path)).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
}
