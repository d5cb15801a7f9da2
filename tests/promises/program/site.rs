use reqwest::{Client, Method, Response, StatusCode, redirect::Policy};

use super::{
    process::{Running, command},
    test_site::{emulator, serve, sign_in},
};

async fn demo() -> Running {
    Running::start(&mut command(&["demo", "--listen", "127.0.0.1:0"])).await
}

/// A client that follows no redirect.
pub(super) fn client() -> Client {
    Client::builder()
        .no_proxy()
        .redirect(Policy::none())
        .build()
        .unwrap()
}

pub(crate) fn header_of<'a>(response: &'a Response, name: &str) -> &'a str {
    response
        .headers()
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}

/// Covers every route and every kind of rejection.
#[tokio::test]
async fn every_response_has_the_security_headers() {
    let (demo, client) = (demo().await, client());
    for (method, path, status) in [
        ("GET", "/", 200),
        ("GET", "/profile", 401),
        ("GET", "/api/me", 401),
        ("GET", "/healthz", 200),
        ("GET", "/readyz", 200),
        ("GET", "/dashboard", 401),
        ("GET", "/audit", 401),
        ("GET", "/feed", 401),
        ("GET", "/feed/events", 401),
        ("GET", "/users", 401),
        ("GET", "/settings", 401),
        ("GET", "/settings/clear", 401),
        ("GET", "/sessions", 401),
        ("GET", "/account/sessions", 401),
        ("POST", "/settings/clear", 401),
        ("GET", "/oten/control", 200),
        ("GET", "/oten/control/clear", 405),
        ("GET", "/site.css", 200),
        ("GET", "/icon.svg", 200),
        ("GET", "/login", 303),
        ("PUT", "/login", 405),
        ("GET", "/logout", 200),
        ("POST", "/logout", 403),
        ("DELETE", "/logout", 405),
        ("GET", "/callback", 400),
        ("GET", "/callback?state=x&code=y", 303),
        ("HEAD", "/callback", 405),
        ("POST", "/backchannel-logout", 400),
        ("GET", "/backchannel-logout", 405),
        ("GET", "/nowhere", 404),
        ("POST", "/", 405),
        ("GET", "/oten/.well-known/openid-configuration", 200),
        ("GET", "/oten/.well-known/jwks.json", 200),
        ("GET", "/oten/nowhere", 404),
    ] {
        let method: Method = method.parse().unwrap();
        let request = client.request(method, demo.at(path));
        assert_protected(&request.send().await.unwrap(), path, status);
    }
    let page = client
        .get(demo.at("/profile"))
        .header("accept", "text/html");
    assert_protected(&page.send().await.unwrap(), "a page", 303);
    let long = client.post(demo.at("/")).body(vec![b'x'; 65 * 1024]);
    assert_protected(&long.send().await.unwrap(), "a long body", 413);
}

#[track_caller]
fn assert_protected(response: &Response, name: &str, status: u16) {
    assert_eq!(response.status().as_u16(), status, "{name}");
    let header = |name| header_of(response, name);
    assert_eq!(header("x-content-type-options"), "nosniff", "{name}");
    assert_eq!(header("referrer-policy"), "same-origin", "{name}");
    let opener = header("cross-origin-opener-policy");
    assert_eq!(opener, "same-origin", "{name}");
    let policy = header("content-security-policy");
    assert!(policy.contains("default-src 'none'"), "{name}: {policy}");
    assert!(
        policy.contains("frame-ancestors 'none'"),
        "{name}: {policy}"
    );
    assert!(!policy.contains("unsafe"), "{name}: {policy}");
    // Over http on this machine: browsers would apply it to every port.
    assert_eq!(header("strict-transport-security"), "", "{name}");
}

#[tokio::test]
async fn a_site_on_https_sends_strict_transport_security() {
    let mut serve = command(&["serve", "--listen", "127.0.0.1:0"]);
    serve.envs([
        ("OTEN_ENVIRONMENT", "sandbox"),
        ("OTEN_CLIENT_ID", "my-site"),
        (
            "OTEN_CLIENT_SECRET",
            "a secret of the test, of more than 32 bytes",
        ),
        ("OTEN_REDIRECT_URI", "https://app.example.com/callback"),
    ]);
    let (site, client) = (Running::start(&mut serve).await, client());
    for path in ["/", "/logout", "/nowhere", "/healthz"] {
        let response = client.get(site.at(path)).send().await.unwrap();
        let transport = header_of(&response, "strict-transport-security");
        assert_eq!(transport, "max-age=31536000", "{path}");
    }
}

#[tokio::test]
async fn guests_are_redirected_to_login_or_rejected() {
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
async fn b1_errors_without_a_body_get_a_page() {
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
async fn b1_a_body_over_the_limit_is_rejected() {
    let (demo, client) = (demo().await, client());
    let request = client.post(demo.at("/logout")).body(vec![b'x'; 65 * 1024]);
    assert_eq!(
        request.send().await.unwrap().status(),
        StatusCode::PAYLOAD_TOO_LARGE
    );
}

#[tokio::test]
async fn only_pages_of_the_demo_control_its_provider() {
    let (demo, client) = (demo().await, client());
    let post = async |path: &str, from: &str, form: &'static str| {
        let request = client.post(demo.at(path)).header("sec-fetch-site", from);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        request.body(form).send().await.unwrap().status()
    };
    let keys = "/oten/.well-known/jwks.json";
    for (path, form) in [
        ("/oten/control/problem", "problem=down"),
        ("/oten/control/rotate", ""),
        ("/oten/control/end-sessions", "user=alice"),
        ("/oten/control/clear", ""),
    ] {
        for from in ["cross-site", "same-site"] {
            assert_eq!(
                post(path, from, form).await,
                StatusCode::FORBIDDEN,
                "{path}"
            );
        }
    }
    let works = client.get(demo.at(keys)).send().await.unwrap();
    assert_eq!(works.status(), StatusCode::OK);

    let down = post("/oten/control/problem", "same-origin", "problem=down").await;
    assert_eq!(down, StatusCode::SEE_OTHER);
    let down = client.get(demo.at(keys)).send().await.unwrap();
    assert_eq!(down.status(), StatusCode::SERVICE_UNAVAILABLE);
    // The page that repairs it responds.
    let control = client.get(demo.at("/oten/control")).send().await.unwrap();
    assert_eq!(control.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_site_with_a_real_provider_has_no_pages_of_the_demo() {
    let emulator = emulator(|builder| builder).await;
    let (site, client) = (Running::start(&mut serve(&emulator)).await, client());
    let session = sign_in(&site, "", &emulator, &client).await;
    for path in [
        "/dashboard",
        "/audit",
        "/feed",
        "/users",
        "/settings",
        "/sessions",
        "/oten/control",
    ] {
        let request = client.get(site.at(path)).header("cookie", &session);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
    }
    let home = client.get(site.at("/")).header("cookie", &session);
    let home = home.send().await.unwrap().text().await.unwrap();
    assert!(home.contains("href=\"/profile\""), "{home}");
    for path in ["/dashboard", "/users", "control"] {
        assert!(!home.contains(path), "{home}");
    }
}

#[tokio::test]
async fn x1_operators_of_a_site_are_those_of_its_configuration() {
    let emulator = emulator(|builder| builder).await;
    for (operator, status) in [("carol", 200), ("alice", 403)] {
        let mut serve = serve(&emulator);
        let rule = format!(r#"{{"operators": {{"subjects": ["{operator}"]}}}}"#);
        serve.env("OTEN_ACCESS", rule);
        let (site, client) = (Running::start(&mut serve).await, client());
        let session = sign_in(&site, "", &emulator, &client).await;
        for path in ["/dashboard", "/audit", "/feed", "/settings", "/sessions"] {
            let request = client.get(site.at(path)).header("cookie", &session);
            let response = request.send().await.unwrap();
            assert_eq!(response.status(), status, "{path}");
        }
        // The emulator is no part of this site.
        let users = client.get(site.at("/users")).header("cookie", &session);
        assert_eq!(users.send().await.unwrap().status(), 404);
        let clear = client.post(site.at("/settings/clear"));
        let clear = clear
            .header("cookie", &session)
            .header("sec-fetch-site", "same-site");
        assert_eq!(clear.send().await.unwrap().status(), 403);
    }
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
async fn b2_the_log_contains_no_query_values() {
    let (demo, client) = (demo().await, client());
    let request = client.get(demo.at("/callback?code=a-secret-code&state=a-secret-state"));
    request.send().await.unwrap();
    let (_, log) = demo.end().await;
    assert!(log.contains("/callback"), "{log}");
    assert!(!log.contains("a-secret"), "{log}");
}

#[tokio::test]
async fn a_client_with_a_key_publishes_it_and_another_has_no_key_set() {
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
