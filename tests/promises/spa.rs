//! Promises A4 and A5: single-page apps, which call this site with the session cookie.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    http::{HeaderMap, Method, Request, Response, StatusCode, header},
    routing::any,
};
use axum_oten::{Oten, User, web::BearerToken};
use futures_util::stream;
use http_body_util::BodyExt;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::Instant,
};
use tower::ServiceExt;

use crate::common::{Browser, Operation, TestSite, send};

const OWN: &str = "http://127.0.0.1:3000";
const MINUTE: Duration = Duration::from_secs(60);

/// The app of all tests.
fn app(oten: &Oten) -> Router {
    let own = Router::new()
        .route("/own", any(async || "done"))
        .route_layer(oten.require_login().require_same_origin());
    let both = Router::new()
        .route(
            "/both",
            any(async |token: Option<BearerToken>, user: Option<User>| {
                format!("{} {}", token.is_some(), user.is_some())
            }),
        )
        .route_layer(oten.bearer().or_session(oten.require_login()));
    Router::new()
        .merge(own)
        .merge(both)
        .merge(oten.session_route(["sub", "name", "email", "aud", "at_hash", "unknown"]))
        .merge(crate::common::app(oten))
        .layer(oten.layer())
}

/// A request of a script, with the headers that show where it comes from.
fn request(method: &Method, path: &str, proof: &[(&str, &str)]) -> Request<Body> {
    let request = Request::builder().method(method).uri(path);
    let request = proof.iter().fold(request, |request, (name, value)| {
        request.header(*name, *value)
    });
    request.body(Body::empty()).unwrap()
}

async fn status(browser: &Browser, method: &Method, path: &str, proof: &[(&str, &str)]) -> u16 {
    let answer = browser.clone().send(request(method, path, proof)).await;
    answer.status.as_u16()
}

#[tokio::test]
async fn a5_the_session_route_lists_allowed_claims_and_no_token() {
    let site = TestSite::builder().app(app).start().await;
    let mut browser = site.signed_in("alice").await;
    let token = browser.get("/token").await.body;
    let answer = browser.fetch(Method::GET, "/session", "").await;
    assert_eq!(answer.status, StatusCode::OK);
    let lifetime = site.oten.config().session_idle().as_secs();
    let expected = json!({
        "user": {"sub": "alice", "name": "Alice Adams", "email": "alice@example.com"},
        "expires_in": lifetime,
        "login_url": "/login",
        "logout_url": "/logout",
    });
    assert_eq!(answer.json(), expected);
    assert!(!answer.body.contains(&token) && !answer.body.contains("eyJ"));
    for (name, value) in [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
        (header::VARY, "cookie"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        assert_eq!(answer.header(name), Some(value));
    }
    for method in [Method::POST, Method::HEAD, Method::DELETE] {
        let answer = browser.fetch(method, "/session", "").await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    }
}

#[tokio::test]
async fn a5_a_guest_learns_the_login_url_from_the_session_route() {
    let site = TestSite::builder().app(app).start().await;
    let mut guest = site.browser();
    let answer = guest.fetch(Method::GET, "/session", "").await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert_eq!(answer.json()["login_url"], "/login");
    assert_eq!(answer.header(header::CACHE_CONTROL), Some("no-store"));
    assert_eq!(answer.json()["user"], json!(null));
}

#[tokio::test]
async fn a5_polling_the_session_route_is_no_activity() {
    let (site, store) = TestSite::builder()
        .config(|config| config.session_idle(60 * MINUTE))
        .app(app)
        .start_watched()
        .await;
    let mut browser = site.signed_in("alice").await;
    store.take_calls();
    for minutes in 1..60 {
        site.clock.advance(MINUTE);
        let answer = browser.fetch(Method::GET, "/session", "").await;
        assert_eq!(answer.json()["expires_in"], (60 - minutes) * 60);
    }
    assert_eq!(store.count(Operation::Touch), 0);
    assert_eq!(store.count(Operation::Replace), 0, "no token refresh");
    // Another request is activity.
    browser.get("/").await;
    let answer = browser.fetch(Method::GET, "/session", "").await;
    assert_eq!(answer.json()["expires_in"], 3600);
    site.clock.advance(60 * MINUTE);
    let answer = browser.fetch(Method::GET, "/session", "").await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a5_a_request_that_changes_state_must_come_from_a_page_of_this_site() {
    let site = TestSite::builder().app(app).start().await;
    let browser = site.signed_in("alice").await;
    let methods = [
        "POST", "PUT", "PATCH", "DELETE", "TRACE", "UNKNOWN", "GET", "HEAD", "OPTIONS",
    ];
    for (proof, is_proven) in [
        (&[("sec-fetch-site", "same-origin")][..], true),
        (&[("origin", OWN)], true),
        (
            &[("sec-fetch-site", "same-origin"), ("origin", "null")],
            true,
        ),
        (&[("sec-fetch-site", "same-site")], false),
        (&[("sec-fetch-site", "cross-site")], false),
        (&[("sec-fetch-site", "none")], false),
        (&[("sec-fetch-site", "cross-site"), ("origin", OWN)], false),
        (&[("origin", "https://evil.example")], false),
        (&[("origin", "http://127.0.0.1:3000.evil.example")], false),
        (&[("origin", "null")], false),
        (&[("referer", "http://127.0.0.1:3000/")], false),
        (&[], false),
    ] {
        for method in methods {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let is_safe = [Method::GET, Method::HEAD, Method::OPTIONS].contains(&method);
            let expected = if is_safe || is_proven { 200 } else { 403 };
            for path in ["/own", "/both"] {
                let status = status(&browser, &method, path, proof).await;
                assert_eq!(status, expected, "{method} {path} {proof:?}");
            }
        }
    }
    let foreign = request(&Method::POST, "/own", &[("sec-fetch-site", "cross-site")]);
    let answer = browser.clone().send(foreign).await;
    assert_eq!(answer.json()["reason"], "foreign_origin");
    // A guest has nothing to protect, and is told to sign in.
    assert_eq!(
        status(&site.browser(), &Method::POST, "/own", &[]).await,
        401
    );
    // A form shows a page.
    let mut form = browser.navigation(Method::POST, "/own");
    let site = "cross-site".parse().unwrap();
    form.headers_mut().insert("sec-fetch-site", site);
    let page = browser.clone().send(form).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    assert!(page.body.contains("Not allowed"), "{}", page.body);
}

#[tokio::test]
async fn a5_a_request_with_an_access_token_needs_no_proof_of_its_origin() {
    let site = TestSite::builder().app(app).start().await;
    let browser = site.signed_in("alice").await;
    let issuer = &site.emulator;
    let token = issuer.access_token("test-site", "alice", "openid").unwrap();
    let token = format!("Bearer {token}");
    let bearer = |proof| request(&Method::POST, "/both", &[("authorization", proof)]);
    assert_eq!(send(&site.app, bearer(&token)).await.body, "true false");
    assert_eq!(
        browser.clone().send(bearer(&token)).await.body,
        "true false"
    );
    // The session does not save an invalid one.
    let answer = browser.clone().send(bearer("Bearer forged")).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
}

/// What the API has received: method, path and query, headers and body.
type Received = (Method, String, HeaderMap, String);

/// An API that keeps what it receives, and responds by path.
async fn api() -> (String, Arc<Mutex<Vec<Received>>>) {
    let received = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&received);
    let respond = async move |request: Request<Body>| {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let target = parts.uri.to_string();
        let response = Response::builder();
        let response = match parts.uri.path() {
            "/v1/redirect" => response
                .status(302)
                .header("location", "https://evil.example/"),
            "/v1/teapot" => response.status(418),
            _ => response,
        };
        let body_text = String::from_utf8(body.to_vec()).unwrap();
        let kept_request = (parts.method, target, parts.headers, body_text);
        kept.lock().unwrap().push(kept_request);
        let response = [
            ("set-cookie", "oten_session=forged"),
            ("clear-site-data", "\"cookies\""),
            ("access-control-allow-origin", "https://evil.example"),
            ("access-control-allow-credentials", "true"),
            ("cache-control", "public, max-age=60"),
            ("strict-transport-security", "max-age=1"),
            ("x-accel-redirect", "/etc/passwd"),
            ("content-security-policy", "default-src *"),
            ("content-security-policy-report-only", "default-src *"),
            ("cdn-cache-control", "public"),
            ("nel", "{}"),
            ("report-to", "{}"),
            ("reporting-endpoints", "a=\"https://evil.example\""),
            ("accept-ch", "sec-ch-ua-model"),
            ("set-login", "logged-in"),
            ("refresh", "0; https://evil.example"),
            ("secure-session-registration", "(ES256);path=\"/\""),
            ("timing-allow-origin", "*"),
            ("x-sendfile", "/etc/passwd"),
            ("x-archive-files", "zip"),
            ("x-envoy-immediate-health-check-fail", "true"),
            ("x-litespeed-location", "/etc/passwd"),
            ("www-authenticate", "Basic realm=\"a\""),
            ("www-authenticate", "Bearer"),
            ("x-total-count", "7"),
            ("connection", "x-hop"),
            ("x-hop", "1"),
            ("etag", "\"1\""),
            ("content-type", "text/html"),
        ]
        .into_iter()
        .fold(response, |response, (name, value)| {
            response.header(name, value)
        });
        response.body(Body::from(body)).unwrap()
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let app = Router::new().fallback(respond);
    tokio::spawn(axum::serve(listener, app).into_future());
    (url, received)
}

/// A server that answers each connection with these bytes, and closes it if `closes`.
async fn raw_api(response: &'static [u8], closes: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut open = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).await;
            let _ = stream.write_all(response).await;
            if !closes {
                open.push(stream);
            }
        }
    });
    url
}

/// A proxy that forwards one header more than the usual ones.
fn proxy(oten: &Oten, url: &str) -> Router {
    let proxy = oten.api_proxy_with_headers("/api", url, ["X-Listed"]);
    proxy.unwrap()
}

async fn proxy_to(url: String) -> (TestSite, Browser) {
    let site = TestSite::builder().app(move |oten| {
        Router::new()
            .merge(proxy(oten, &url))
            .merge(crate::common::app(oten))
            .layer(oten.layer())
    });
    let site = site.start().await;
    let browser = site.signed_in("alice").await;
    (site, browser)
}

#[tokio::test]
async fn a4_a_request_is_forwarded_with_the_users_token_and_without_the_cookie() {
    let (url, received) = api().await;
    let (_site, mut browser) = proxy_to(url.clone()).await;
    let token = browser.get("/token").await.body;
    let spoofed = [
        ("sec-fetch-site", "same-origin"),
        ("authorization", "Bearer stolen"),
        ("forwarded", "for=1.1.1.1"),
        ("x-forwarded-for", "1.1.1.1"),
        ("x_forwarded_host", "evil.example"),
        ("x-original-url", "/admin"),
        ("x-original-uri", "/admin"),
        ("x-rewrite-url", "/admin"),
        ("x-http-method-override", "DELETE"),
        ("x-real-ip", "1.1.1.1"),
        ("x-client-ip", "1.1.1.1"),
        ("true-client-ip", "1.1.1.1"),
        ("cf-connecting-ip", "1.1.1.1"),
        ("remote-user", "admin"),
        ("remote_user", "admin"),
        ("x-remote-user", "admin"),
        ("x-auth-request-email", "admin@example.com"),
        ("x-amzn-oidc-data", "a"),
        ("x-goog-authenticated-user-email", "admin@example.com"),
        ("x-ms-client-principal", "a"),
        ("x-ssl-client-cert", "a"),
        ("origin", OWN),
        ("x-listed", "1"),
        ("host", "evil.example"),
        ("connection", "x-secret, close"),
        ("x-secret", "1"),
        ("te", "trailers"),
        ("expect", "100-continue"),
        ("accept-encoding", "br"),
        ("content-type", "text/plain"),
        ("if-match", "\"1\""),
        ("last-event-id", "7"),
        ("traceparent", "00-1-1-01"),
    ];
    let mut post = request(&Method::POST, "/api/a%2Fb/%E2%82%AC?x=%2F..&y", &spoofed);
    *post.body_mut() = Body::from("order");
    let answer = browser.send(post).await;
    assert_eq!((answer.status, &*answer.body), (StatusCode::OK, "order"));

    let (method, target, headers, body) = received.lock().unwrap().pop().unwrap();
    assert_eq!((method, &*body), (Method::POST, "order"));
    assert_eq!(target, "/v1/a%2Fb/%E2%82%AC?x=%2F..&y");
    let host = url
        .strip_prefix("http://")
        .unwrap()
        .strip_suffix("/v1")
        .unwrap();
    let expected = [
        ("accept-encoding", "br"),
        ("authorization", &*format!("Bearer {token}")),
        ("content-length", "5"),
        ("content-type", "text/plain"),
        ("host", host),
        ("if-match", "\"1\""),
        ("last-event-id", "7"),
        ("traceparent", "00-1-1-01"),
        ("via", "1.1 axum-oten"),
        ("x-listed", "1"),
    ];
    let mut headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
        .filter(|(name, _)| !["accept", "user-agent"].contains(name))
        .collect();
    headers.sort_unstable();
    assert_eq!(headers, expected);
}

#[tokio::test]
async fn a4_a_response_of_the_api_keeps_status_and_body_and_cannot_act_on_the_site() {
    let (url, _) = api().await;
    let (_site, mut browser) = proxy_to(url).await;
    let session = browser.session_cookie().unwrap().to_owned();
    for (path, status) in [("/api/teapot", 418), ("/api/redirect", 302), ("/api", 200)] {
        let answer = browser.fetch(Method::PUT, path, "body").await;
        assert_eq!((answer.status.as_u16(), &*answer.body), (status, "body"));
        for removed in [
            "set-cookie",
            "clear-site-data",
            "access-control-allow-origin",
            "access-control-allow-credentials",
            "strict-transport-security",
            "x-accel-redirect",
            "content-security-policy-report-only",
            "cdn-cache-control",
            "nel",
            "report-to",
            "reporting-endpoints",
            "accept-ch",
            "set-login",
            "refresh",
            "secure-session-registration",
            "timing-allow-origin",
            "x-sendfile",
            "x-archive-files",
            "x-envoy-immediate-health-check-fail",
            "x-litespeed-location",
            "www-authenticate",
            "connection",
            "x-hop",
        ] {
            assert!(!answer.headers.contains_key(removed), "{path} {removed}");
        }
        assert_eq!(answer.header(header::CACHE_CONTROL), Some("no-store"));
        assert_eq!(answer.header(header::ETAG), Some("\"1\""));
        assert_eq!(answer.headers["x-total-count"], "7");
        let policy = answer.header(header::CONTENT_SECURITY_POLICY).unwrap();
        assert!(policy.starts_with("default-src 'none'"), "{policy}");
        assert!(policy.contains("form-action 'none'"), "{policy}");
        assert_eq!(
            answer.headers["cross-origin-resource-policy"],
            "same-origin"
        );
    }
    assert_eq!(browser.session_cookie(), Some(&*session));
}

#[tokio::test]
async fn a4_only_a_user_on_a_page_of_this_site_reaches_the_api() {
    let (url, received) = api().await;
    let (site, browser) = proxy_to(url).await;
    let own = ("sec-fetch-site", "same-origin");
    let foreign = ("sec-fetch-site", "cross-site");
    assert_eq!(
        status(&browser, &Method::POST, "/api/a", &[foreign]).await,
        403
    );
    assert_eq!(status(&browser, &Method::DELETE, "/api/a", &[]).await, 403);
    assert_eq!(
        status(&site.browser(), &Method::GET, "/api/a", &[own]).await,
        401
    );
    for path in [
        "/api/../a",
        "/api/%2e%2e/a",
        "/api/a%2f..%2f..%2fb",
        "/api/..%5ca",
    ] {
        assert_eq!(
            status(&browser, &Method::GET, path, &[own]).await,
            400,
            "{path}"
        );
    }
    // The API would return the token in the response to `TRACE`.
    let trace = status(&browser, &Method::TRACE, "/api/a", &[own]).await;
    assert_eq!(trace, 400);
    let upgrade = [own, ("upgrade", "websocket"), ("connection", "upgrade")];
    assert_eq!(
        status(&browser, &Method::GET, "/api/a", &upgrade).await,
        400
    );
    assert_eq!(
        status(&browser, &Method::GET, "/%61pi/a", &[own]).await,
        404
    );
    assert!(received.lock().unwrap().is_empty());
    // After the sign-out the token goes nowhere.
    let mut signed_out = browser.clone();
    signed_out.post("/logout").await;
    assert_eq!(status(&browser, &Method::GET, "/api/a", &[own]).await, 401);
    assert!(received.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a4_the_proxy_refreshes_the_token() {
    let (url, received) = api().await;
    let (site, mut browser) = proxy_to(url).await;
    let mut authorization = async || {
        assert_eq!(browser.fetch(Method::GET, "/api/a", "").await.status, 200);
        let (_, _, headers, _) = received.lock().unwrap().pop().unwrap();
        headers[header::AUTHORIZATION].clone()
    };
    let first = authorization().await;
    assert_eq!(authorization().await, first);
    site.clock.advance(59 * MINUTE + MINUTE / 2);
    assert_ne!(authorization().await, first);
}

#[tokio::test]
async fn a4_an_api_that_fails_gets_a_bad_gateway() {
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let flood: &[u8] = Box::leak(
        [&b"HTTP/1.1 200 OK\r\nx: "[..], &vec![b'a'; 2_000_000]]
            .concat()
            .into(),
    );
    for (url, case) in [
        (closed, "refuses connections"),
        (raw_api(b"", true).await, "resets"),
        (raw_api(b"nonsense\r\n\r\n", true).await, "no HTTP"),
        (raw_api(b"HTTP/1.1 200 OK\r\nx", true).await, "half a head"),
        (
            raw_api(
                b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
                false,
            )
            .await,
            "upgrade",
        ),
        (raw_api(flood, false).await, "endless header"),
    ] {
        let (_site, mut browser) = proxy_to(url).await;
        let answer = browser.fetch(Method::GET, "/api/a", "").await;
        assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{case}");
        assert_eq!(answer.json()["reason"], "api_down", "{case}");
    }
}

#[tokio::test]
async fn a4_interim_responses_and_trailers_of_the_api_end_at_the_proxy() {
    let response = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n\
        HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: set-cookie\r\n\r\n\
        2\r\nok\r\n0\r\nset-cookie: a=b\r\n\r\n";
    let (site, browser) = proxy_to(raw_api(response, false).await).await;
    let mut get = request(&Method::GET, "/api/a", &[]);
    let cookie = format!("oten_session={}", browser.session_cookie().unwrap());
    get.headers_mut()
        .insert(header::COOKIE, cookie.parse().unwrap());
    let response = site.app.clone().oneshot(get).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert!(!response.headers().contains_key("trailer"));
    let body = response.into_body().collect().await.unwrap();
    assert!(body.trailers().is_none());
    assert_eq!(body.to_bytes(), "ok");
}

#[tokio::test]
async fn a4_an_api_that_hangs_gets_a_gateway_timeout() {
    let (_site, mut browser) = proxy_to(raw_api(b"", false).await).await;
    tokio::time::pause();
    let begin = Instant::now();
    let answer = browser.fetch(Method::GET, "/api/a", "").await;
    assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(answer.json()["reason"], "api_slow");
    assert!(begin.elapsed() < 2 * MINUTE);
    // It hangs in the middle of the body: the connection is closed.
    tokio::time::resume();
    let half = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf";
    let (site, browser) = proxy_to(raw_api(half, false).await).await;
    let mut get = request(&Method::GET, "/api/a", &[]);
    let cookie = format!("oten_session={}", browser.session_cookie().unwrap());
    get.headers_mut()
        .insert(header::COOKIE, cookie.parse().unwrap());
    let response = site.app.clone().oneshot(get).await.unwrap();
    tokio::time::pause();
    let body = response.into_body().collect().await;
    assert!(body.is_err());
}

#[tokio::test]
async fn a4_bodies_are_streamed_both_ways() {
    let app = Router::new().fallback(async |request: Request<Body>| request.into_body());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(axum::serve(listener, app).into_future());
    let (site, browser) = proxy_to(url).await;
    let (sender, receiver) = tokio::sync::mpsc::channel::<Result<Bytes, Infallible>>(1);
    let parts = stream::unfold(receiver, async |mut parts| {
        Some((parts.recv().await?, parts))
    });
    let mut post = request(&Method::POST, "/api/echo", &[("origin", OWN)]);
    let cookie = format!("oten_session={}", browser.session_cookie().unwrap());
    post.headers_mut()
        .insert(header::COOKIE, cookie.parse().unwrap());
    *post.body_mut() = Body::from_stream(parts);
    sender.send(Ok("first".into())).await.unwrap();
    let response = site.app.clone().oneshot(post).await.unwrap();
    let mut body = response.into_body();
    // Each part arrives before the next one is sent.
    for (part, next) in [
        ("first", Some("second")),
        ("second", Some("third")),
        ("third", None),
    ] {
        let frame = body.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), part);
        if let Some(next) = next {
            sender.send(Ok(next.into())).await.unwrap();
        }
    }
    drop(sender);
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn a4_the_url_of_an_api_must_be_secure() {
    let site = TestSite::start().await;
    for (url, is_valid) in [
        ("https://api.example", true),
        ("https://api.example/v1/", true),
        ("http://localhost:8080", true),
        ("http://api.example", false),
        ("https://user:pass@api.example", false),
        ("https://api.example/?a=b", false),
        ("https://api.example/#a", false),
        ("ftp://api.example", false),
        ("/api", false),
        ("", false),
    ] {
        let proxy = site.oten.api_proxy::<()>("/api", url);
        assert_eq!(proxy.is_ok(), is_valid, "{url}");
    }
}

#[tokio::test]
async fn a4_an_app_cannot_forward_the_cookie_or_headers_of_a_connection() {
    let site = TestSite::start().await;
    for (name, is_valid) in [
        ("X-Api-Version", true),
        ("x-forwarded-for", true),
        ("Cookie", false),
        ("authorization", false),
        ("Proxy-Authorization", false),
        ("HOST", false),
        ("content-length", false),
        ("transfer-encoding", false),
        ("connection", false),
        ("x y", false),
        ("", false),
    ] {
        let url = "https://api.example";
        let proxy = site.oten.api_proxy_with_headers::<()>("/api", url, [name]);
        assert_eq!(proxy.is_ok(), is_valid, "{name}");
    }
}

#[tokio::test]
async fn a4_a_location_at_the_api_becomes_one_below_the_prefix() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let respond = async |request: Request<Body>| {
        let response = Response::builder().status(201);
        let location = request.headers()["x-listed"].clone();
        let response = response.header("location", &location);
        let response = response.header("content-location", location);
        response.body(Body::empty()).unwrap()
    };
    let app = Router::new().fallback(respond);
    tokio::spawn(axum::serve(listener, app).into_future());
    for (nested, base_path, prefix) in
        [("", "", "/api"), ("/x", "", "/x/api"), ("", "/b", "/b/api")]
    {
        let url = format!("{origin}/v1/");
        let site = TestSite::builder()
            .config(move |config| config.base_path(base_path))
            .callback(if base_path.is_empty() {
                "/callback"
            } else {
                "/b/callback"
            })
            .app(move |oten| {
                let proxy = proxy(oten, &url);
                let proxy = match nested {
                    "" => proxy,
                    _ => Router::new().nest(nested, proxy),
                };
                proxy.merge(crate::common::app(oten)).layer(oten.layer())
            });
        let site = site.start().await;
        let mut browser = site.browser();
        browser.cookies = signed_in_below(&site, base_path).await;
        for (location, seen) in [
            ("orders/7", Some("/a/orders/7")),
            ("?page=2", Some("/a/b?page=2")),
            ("/v1/orders/7?a=b#c", Some("/orders/7?a=b#c")),
            ("/v1", Some("")),
            ("ORIGIN/v1//evil.example/%2e", Some("//evil.example/")),
            ("../../../v1/x", Some("/x")),
            // Not below the URL of the API.
            ("/admin", None),
            ("/v10/orders", None),
            ("/v1/../admin", None),
            ("//evil.example/v1/a", None),
            ("https://evil.example/v1/a", None),
            ("ORIGIN@evil.example/v1/a", None),
            ("http://user@HOST/v1/a", None),
            ("https://HOST/v1/a", None),
            ("javascript:alert(1)", None),
            ("http://", None),
        ] {
            let host = origin.strip_prefix("http://").unwrap();
            let location = location.replace("ORIGIN", &origin).replace("HOST", host);
            let path = format!("{nested}/api/a/b");
            let get = request(&Method::GET, &path, &[("x-listed", &location)]);
            let answer = browser.send(get).await;
            assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
            let expected = seen.map_or(location, |seen| format!("{prefix}{seen}"));
            for name in [header::LOCATION, header::CONTENT_LOCATION] {
                assert_eq!(answer.header(name), Some(&*expected));
            }
        }
    }
}

/// The cookies of a user who has signed in at a site whose proxy cuts off the base path.
async fn signed_in_below(
    site: &TestSite,
    base_path: &str,
) -> std::collections::BTreeMap<String, String> {
    let mut browser = site.browser();
    let login = browser.get("/login").await;
    let callback = browser.approve(&login.location().parse().unwrap(), "alice");
    let callback = callback.strip_prefix(base_path).unwrap();
    assert_eq!(browser.get(callback).await.status, StatusCode::SEE_OTHER);
    browser.cookies
}

#[tokio::test]
async fn a4_a_stream_of_the_api_ends_with_the_session() {
    let stream = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n";
    let (site, mut browser) = proxy_to(raw_api(stream, false).await).await;
    let mut get = request(&Method::GET, "/api/feed", &[]);
    let cookie = format!("oten_session={}", browser.session_cookie().unwrap());
    get.headers_mut()
        .insert(header::COOKIE, cookie.parse().unwrap());
    let response = site.app.clone().oneshot(get).await.unwrap();
    let mut body = response.into_body();
    let first = body.frame().await.unwrap().unwrap();
    assert_eq!(first.into_data().unwrap(), "first");
    browser.post("/logout").await;
    let end = tokio::time::timeout(Duration::from_secs(10), body.frame()).await;
    let error = end.unwrap().unwrap().unwrap_err();
    assert!(error.to_string().contains("session has ended"), "{error}");
}
