//! Promise B4: cookies that no other host can set, no script can read and no plain http carries.

use axum::{
    Router,
    http::{Method, StatusCode, header},
};

use crate::common::{Answer, Browser, TestSite, app};

/// Asserts the attributes of every cookie of the response.
#[track_caller]
fn assert_cookies(answer: &Answer, prefix: &str, path: &str, secure: bool) {
    assert!(!answer.set_cookies().is_empty(), "{answer:?}");
    for cookie in answer.set_cookies() {
        let (pair, attributes) = cookie.split_once("; ").unwrap();
        let mut attributes: Vec<_> = attributes.split("; ").collect();
        let ours = [
            format!("{prefix}oten_session="),
            format!("{prefix}oten_login_"),
        ];
        assert!(ours.iter().any(|name| pair.starts_with(name)), "{cookie}");
        let max_age = attributes.pop().unwrap();
        assert!(max_age.starts_with("Max-Age="), "{cookie}");
        let path = format!("Path={path}");
        let mut expected = vec!["HttpOnly", "SameSite=Lax", "Secure", path.as_str()];
        expected.retain(|attribute| secure || *attribute != "Secure");
        assert_eq!(attributes, expected, "{cookie}");
    }
}

/// Signs in and out, and returns the responses that set cookies.
async fn all_cookies(browser: &mut Browser, base: &str) -> [Answer; 3] {
    let login = browser.get(&format!("{base}/login")).await;
    let callback = browser.approve(&login.location().parse().unwrap(), "alice");
    let signed_in = browser.get(&callback).await;
    assert_eq!(
        browser.get(&format!("{base}/profile")).await.status,
        StatusCode::OK
    );
    let signed_out = browser.post(&format!("{base}/logout")).await;
    assert_eq!(signed_out.location(), format!("{base}/logout"));
    [login, signed_in, signed_out]
}

#[tokio::test]
async fn b4_on_https_cookies_are_secure_and_bound_to_the_host() {
    let site = TestSite::builder()
        .origin("https://app.example")
        .start()
        .await;
    for answer in all_cookies(&mut site.browser(), "").await {
        assert_cookies(&answer, "__Host-", "/", true);
    }
}

#[tokio::test]
async fn b4_under_a_base_path_cookies_are_bound_to_it() {
    let site = TestSite::builder()
        .origin("https://app.example/app")
        .config(|config| config.base_path("/app"))
        .app(|oten| Router::new().nest("/app", app(oten)))
        .start()
        .await;
    let mut browser = site.browser();
    let refused = browser.get("/app/profile").await;
    assert_eq!(refused.location(), "/app/login?return_to=%2Fapp%2Fprofile");
    for answer in all_cookies(&mut browser, "/app").await {
        assert_cookies(&answer, "__Secure-", "/app", true);
    }
}

#[tokio::test]
async fn b4_on_loopback_cookies_are_plain() {
    let site = TestSite::start().await;
    for answer in all_cookies(&mut site.browser(), "").await {
        assert_cookies(&answer, "", "/", false);
    }
}

#[tokio::test]
async fn b4_cookies_live_as_long_as_the_records_they_name() {
    let site = TestSite::start().await;
    let [login, signed_in, signed_out] = all_cookies(&mut site.browser(), "").await;
    assert!(login.set_cookies()[0].ends_with("Max-Age=1200"));
    assert!(signed_in.set_cookies()[0].ends_with("Max-Age=604800"));
    assert!(signed_out.set_cookies()[0].ends_with("Max-Age=0"));
}

#[tokio::test]
async fn b4_a_session_cookie_can_end_with_the_browser() {
    let site = TestSite::builder()
        .config(|config| config.persistent_cookie(false))
        .start()
        .await;
    let mut guest = site.browser();
    let answers = [
        guest.fetch(Method::POST, "/note", "mine").await,
        guest.sign_in("alice", "/").await,
        guest.post("/cycle").await,
    ];
    for answer in &answers {
        let [cookie] = answer.set_cookies()[..] else {
            panic!("{answer:?}");
        };
        assert!(
            cookie.ends_with("; HttpOnly; SameSite=Lax; Path=/"),
            "{cookie}"
        );
    }
    let removed = guest.post("/logout").await;
    assert!(removed.set_cookies()[0].ends_with("Max-Age=0"));
}

#[tokio::test]
async fn b4_a_cookie_without_its_prefix_is_ignored() {
    let site = TestSite::builder()
        .origin("https://app.example")
        .start()
        .await;
    let mut browser = site.signed_in("alice").await;
    let session = browser.cookies.remove("__Host-oten_session").unwrap();
    for name in [
        "oten_session",
        "__Secure-oten_session",
        "__host-oten_session",
    ] {
        browser.cookies.insert(name.to_owned(), session.clone());
        assert_eq!(browser.signed_in_as().await, "guest", "{name}");
    }
    browser
        .cookies
        .insert("__Host-oten_session".to_owned(), session);
    assert_eq!(browser.signed_in_as().await, "user alice");
}

const FORWARDED: [(&str, &str); 8] = [
    ("forwarded", "for=1.2.3.4;host=evil.example;proto=https"),
    ("x-forwarded-for", "1.2.3.4"),
    ("x-forwarded-host", "evil.example"),
    ("x-forwarded-port", "443"),
    ("x-forwarded-prefix", "/evil"),
    ("x-forwarded-server", "evil.example"),
    ("x-original-url", "/evil"),
    ("host", "evil.example"),
];

#[tokio::test]
async fn b4_forwarded_headers_do_not_change_the_origin() {
    for (origin, prefix, secure, proto) in [
        ("http://127.0.0.1:3000", "", false, "https"),
        ("https://app.example", "__Host-", true, "http"),
    ] {
        let site = TestSite::builder().origin(origin).start().await;
        let mut browser = site.browser();
        let request = |browser: &Browser, method, path: &str| {
            let mut request = browser.navigation(method, path);
            for (name, value) in FORWARDED {
                request.headers_mut().insert(name, value.parse().unwrap());
            }
            let proto = proto.parse().unwrap();
            request.headers_mut().insert("x-forwarded-proto", proto);
            request
        };
        let guest = browser
            .send(request(&browser, Method::GET, "/profile"))
            .await;
        assert_eq!(guest.location(), "/login?return_to=%2Fprofile");
        let login = browser.send(request(&browser, Method::GET, "/login")).await;
        assert_cookies(&login, prefix, "/", secure);
        // The emulator accepts the request only with the registered redirect URI.
        let callback = browser.approve(&login.location().parse().unwrap(), "alice");
        let signed_in = browser
            .send(request(&browser, Method::GET, &callback))
            .await;
        assert_eq!(signed_in.location(), "/");
        assert_cookies(&signed_in, prefix, "/", secure);

        // The header does not make another origin count as the site's own.
        let mut foreign = request(&browser, Method::POST, "/logout");
        let evil = "https://evil.example".parse().unwrap();
        foreign.headers_mut().insert(header::ORIGIN, evil);
        assert_eq!(browser.send(foreign).await.status, StatusCode::FORBIDDEN);
        assert_eq!(browser.signed_in_as().await, "user alice");
    }
}
