//! Promise A6: native apps sign their users in through the system browser.

use std::time::Duration;

use axum::{
    Json, Router,
    body::Body,
    http::{HeaderValue, Method, Request, StatusCode, header},
    routing::{any, get},
};
use axum_oten::{
    Oten, User,
    emulator::{
        EmulatorBuilder,
        Endpoint::{Revocation, Token},
        Fault, LogoutTarget,
    },
    web::BearerToken,
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tower_sessions::Session;
use url::{Url, form_urlencoded::Serializer};

use crate::{
    common::{
        Answer, Browser, Log, Operation, TestSite, TestSiteBuilder, eventually, parameters,
        path_and_query, send, with_parameter,
    },
    sign_out::{assert_done, send_token},
};

const CUSTOM: &str = "com.example.app:/callback";
const HTTPS: &str = "https://app.example/open";
const LOOPBACK: &str = "http://127.0.0.1:51004/callback";
const LINKS: [&str; 4] = [
    CUSTOM,
    HTTPS,
    "http://127.0.0.1/callback",
    "http://[::1]/callback",
];

const VERIFIER: &str = "the-verifier-of-the-app-with-43-characters-x";
const STATE: &str = "state of the app & more";

/// The app of all tests.
fn app(oten: &Oten) -> Router {
    let who = async |token: Option<BearerToken>, user: Option<User>| {
        format!("{} {}", token.is_some(), user.is_some())
    };
    Router::new()
        .route("/api/both", any(who))
        .route_layer(oten.bearer().or_session(oten.require_login()))
        .merge(
            Router::new()
                .route("/api/token", any(who))
                .route_layer(oten.bearer()),
        )
        .merge(
            Router::new()
                .route("/api/optional", any(who))
                .route_layer(oten.bearer().optional()),
        )
        .merge(
            Router::new()
                .route("/same-origin", any(async || "done"))
                .route_layer(oten.require_login().require_same_origin()),
        )
        .route(
            "/note-twice",
            any(async |session: Session| {
                session.cycle_id().await.unwrap();
                session.insert("note", "cycled").await.unwrap();
            }),
        )
        .route(
            "/flush",
            any(async |session: Session| {
                session.flush().await.unwrap();
                session.insert("note", "flushed").await.unwrap();
            }),
        )
        .route("/json", get(async || Json("open")))
        .merge(oten.session_route(["sub"]))
        .merge(crate::common::app(oten))
        .layer(oten.layer())
}

fn builder() -> TestSiteBuilder {
    TestSite::builder()
        .config(|config| config.native_links(LINKS))
        .emulator(EmulatorBuilder::advertise_revocation)
        .app(app)
}

async fn site() -> TestSite {
    builder().start().await
}

fn challenge() -> String {
    BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER))
}

fn query(pairs: &[(&str, &str)]) -> String {
    Serializer::new(String::new()).extend_pairs(pairs).finish()
}

fn start_path(link: &str) -> String {
    let query = query(&[
        ("redirect_uri", link),
        ("code_challenge", &challenge()),
        ("code_challenge_method", "S256"),
        ("state", STATE),
    ]);
    format!("/native/start?{query}")
}

/// Starts a sign-in and returns the URL of the authorization request.
async fn start(browser: &mut Browser, link: &str) -> Url {
    let login = browser.get(&start_path(link)).await;
    login.location().parse().unwrap()
}

/// Signs in at the provider and returns the answer to the callback.
async fn sign_in(browser: &mut Browser, link: &str, user: &str) -> Answer {
    let url = start(browser, link).await;
    let callback = browser.approve(&url, user);
    browser.get(&callback).await
}

/// The target of the form with this button on the confirm page.
fn form(page: &Answer, button: &str) -> String {
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    let (before, _) = page
        .body
        .split_once(&format!(">{button}</button>"))
        .unwrap();
    let (_, action) = before.rsplit_once("action=\"").unwrap();
    let (action, _) = action.split_once('"').unwrap();
    action.replace("&#38;", "&").replace("&amp;", "&")
}

async fn confirm(browser: &mut Browser, page: &Answer) -> Answer {
    browser.post(&form(page, "Continue")).await
}

/// The parameters in the link that the browser opens.
#[track_caller]
fn response(answer: &Answer, link: &str) -> Vec<(String, String)> {
    let to = answer.location();
    let (before, query) = to.split_once('?').unwrap();
    assert_eq!(before, link);
    let pairs = url::form_urlencoded::parse(query.as_bytes());
    let mut pairs: Vec<_> = pairs.into_owned().collect();
    assert_eq!(pairs.pop().unwrap(), ("state".to_owned(), STATE.to_owned()));
    assert_eq!(pairs.len(), 1);
    pairs
}

#[track_caller]
fn code(answer: &Answer, link: &str) -> String {
    let (name, code) = response(answer, link).remove(0);
    assert_eq!((&*name, code.len()), ("code", 43));
    code
}

/// A code for a confirmed sign-in with the custom scheme.
async fn code_for(site: &TestSite, user: &str) -> String {
    let mut browser = site.browser();
    let page = sign_in(&mut browser, CUSTOM, user).await;
    code(&confirm(&mut browser, &page).await, CUSTOM)
}

fn token_request(pairs: &[(&str, &str)]) -> Request<Body> {
    Request::post("/native/token")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from(query(pairs)))
        .unwrap()
}

async fn exchange(site: &TestSite, code: &str) -> Answer {
    exchange_with(site, code, CUSTOM, VERIFIER).await
}

async fn exchange_with(site: &TestSite, code: &str, link: &str, verifier: &str) -> Answer {
    let request = token_request(&[
        ("grant_type", "authorization_code"),
        ("code", code),
        ("code_verifier", verifier),
        ("redirect_uri", link),
        ("client_id", "ignored"),
    ]);
    send(&site.app, request).await
}

#[track_caller]
fn assert_rejected(answer: &Answer, error: &str) {
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.body);
    assert_eq!(answer.json()["error"], error, "{}", answer.body);
    assert_eq!(answer.header(header::CACHE_CONTROL), Some("no-store"));
}

/// A native app with a session.
#[derive(Clone)]
struct App<'a> {
    site: &'a TestSite,
    credential: String,
}

impl<'a> App<'a> {
    async fn signed_in(site: &'a TestSite, user: &str) -> Self {
        let answer = exchange(site, &code_for(site, user).await).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        let credential = answer.json()["access_token"].as_str().unwrap().to_owned();
        Self { site, credential }
    }

    fn request(&self, method: Method, path: &str) -> Request<Body> {
        Request::builder()
            .method(method)
            .uri(path)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.credential))
            .body(Body::empty())
            .unwrap()
    }

    async fn send(&self, method: Method, path: &str) -> Answer {
        let answer = send(&self.site.app, self.request(method, path)).await;
        assert!(answer.set_cookies().is_empty(), "{:?}", answer.headers);
        answer
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path).await
    }

    async fn user(&self) -> String {
        self.get("/").await.body
    }
}

#[tokio::test]
async fn a6_an_app_gets_a_session_of_its_own_through_the_browser() {
    let log = Log::start();
    let site = site().await;
    for link in [CUSTOM, LOOPBACK, "http://[::1]:8080/callback"] {
        let mut browser = site.browser();
        let page = sign_in(&mut browser, link, "alice").await;
        for text in ["Alice Adams", "alice@example.com", link] {
            assert!(page.body.contains(text), "{}", page.body);
        }
        assert!(!page.body.contains("<script"));
        let sent = confirm(&mut browser, &page).await;
        let code = code(&sent, link);
        assert_eq!(sent.header(header::REFERRER_POLICY), Some("same-origin"));
        assert_eq!(sent.header(header::CACHE_CONTROL), Some("no-store"));
        assert_eq!(browser.session_cookie(), None);
        log.clear();

        let answer = exchange_with(&site, &code, link, VERIFIER).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        assert_eq!(answer.header(header::CACHE_CONTROL), Some("no-store"));
        assert_eq!(answer.header(header::PRAGMA), Some("no-cache"));
        assert!(answer.set_cookies().is_empty());
        let events = log.named("signed_in");
        assert_eq!(events.len(), 1, "{events:?}");
        let body = answer.json();
        assert_eq!(body["token_type"], "Bearer");
        let idle = site.oten.config().session_idle().as_secs();
        assert_eq!(body["expires_in"], idle);
        let credential = body["access_token"].as_str().unwrap().to_owned();
        assert!(credential.starts_with("oten_native_"));
        let app = App {
            site: &site,
            credential,
        };
        assert_eq!(app.user().await, "user alice");
        assert_eq!(app.get("/profile").await.json()["sub"], "alice");
        assert!(app.get("/token").await.body.starts_with("eyJ"));
        assert_eq!(app.get("/session").await.json()["user"]["sub"], "alice");
    }
}

#[tokio::test]
async fn a6_the_session_of_the_browser_is_neither_used_nor_replaced() {
    let site = site().await;
    let mut browser = site.signed_in("bob").await;
    browser.fetch(Method::POST, "/note", "bob's").await;
    let cookie = browser.session_cookie().unwrap().to_owned();
    let page = sign_in(&mut browser, CUSTOM, "alice").await;
    let code = code(&confirm(&mut browser, &page).await, CUSTOM);
    let answer = exchange(&site, &code).await;
    let credential = answer.json()["access_token"].as_str().unwrap().to_owned();
    let app = App {
        site: &site,
        credential,
    };
    assert_eq!(browser.session_cookie(), Some(&*cookie));
    assert_eq!(browser.signed_in_as().await, "user bob");
    assert_eq!(app.user().await, "user alice");
    assert_eq!(app.get("/note").await.body, "no note");
    // An old callback, or one too late, does not sign the user in to this site either.
    let mut guest = site.browser();
    let url = start(&mut guest, CUSTOM).await;
    let callback = guest.approve(&url, "alice");
    site.clock.advance(Duration::from_secs(10 * 60));
    let late = guest.get(&callback).await;
    assert_eq!(late.status, StatusCode::BAD_REQUEST, "{}", late.body);
    assert!(late.body.contains("Go back to the app"), "{}", late.body);
    assert_eq!(guest.session_cookie(), None);
}

#[tokio::test]
async fn a6_only_exact_links_are_redirected_to() {
    let site = site().await;
    for link in [
        "com.example.app:/callback/",
        "com.example.app:/callback?x=1",
        "com.example.app:/callback#x",
        "com.example.app://callback",
        "COM.EXAMPLE.APP:/callback",
        "com.example.app:/callback/../callback",
        "com.example.app:/%63allback",
        "com.example.app.evil:/callback",
        "https://app.example/open/",
        "https://app.example:443/open",
        "https://app.example@evil.example/open",
        "https://user@app.example/open",
        "https://app.example.evil.example/open",
        "https://APP.example/open",
        "http://app.example/open",
        " https://app.example/open",
        "https://app.example/open\n",
        "http://localhost:8080/callback",
        "http://127.0.0.1.evil.example/callback",
        "http://127.0.0.1@evil.example/callback",
        "http://127.0.0.1:80@evil.example/callback",
        "http://127.0.0.1:8080@evil.example/callback",
        "http://127.0.0.1:/callback",
        "http://127.0.0.1:0x50/callback",
        "http://127.0.0.1:080/callback",
        "http://127.0.0.1:+80/callback",
        "http://127.0.0.1:65536/callback",
        "http://127.0.0.1:8080//callback",
        "http://127.0.0.1:8080/callback/x",
        "http://127.0.0.1:8080",
        "http://127.1:8080/callback",
        "http://[::1]:8080:9090/callback",
        "http://[::ffff:127.0.0.1]:8080/callback",
        "https://127.0.0.1:8080/callback",
        "javascript:alert(1)",
        "/callback",
        "",
    ] {
        let answer = site.browser().get(&start_path(link)).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{link}");
        assert!(!answer.headers.contains_key(header::LOCATION), "{link}");
        assert!(answer.set_cookies().is_empty());
        assert!(link.is_empty() || !answer.body.contains(link), "{link}");
    }
    for port in ["", ":1", ":80", ":65535"] {
        let link = format!("http://127.0.0.1{port}/callback");
        let answer = site.browser().get(&start_path(&link)).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{link}");
    }
}

#[tokio::test]
async fn a6_an_invalid_request_of_an_app_starts_nothing() {
    let (site, store) = builder().start_watched().await;
    let log = Log::start();
    store.take_calls();
    let challenge = challenge();
    let valid = [
        ("redirect_uri", CUSTOM),
        ("code_challenge", &*challenge),
        ("code_challenge_method", "S256"),
        ("state", STATE),
        ("response_type", "code"),
    ];
    let huge = "x".repeat(10_000);
    for (name, values) in [
        ("redirect_uri", &[][..]),
        ("code_challenge", &["", "short", &challenge[1..], &huge]),
        ("code_challenge_method", &["", "plain", "s256"]),
        ("state", &["", &huge, "a\u{0}", "\u{e9}"]),
        ("response_type", &["token", "code token"]),
    ] {
        let others = valid.iter().filter(|(other, _)| *other != name);
        let without: Vec<_> = others.copied().collect();
        let given = valid.iter().find(|(given, _)| *given == name).unwrap();
        let repeated = [&without[..], &[*given, *given]].concat();
        let mut requests = vec![repeated];
        if name != "response_type" {
            requests.push(without.clone());
        }
        for value in values {
            requests.push([&without[..], &[(name, *value)]].concat());
        }
        for request in requests {
            let path = format!("/native/start?{}", query(&request));
            let answer = site.browser().get(&path).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{request:?}");
            assert!(!answer.headers.contains_key(header::LOCATION));
            let refusal = log.refusal();
            assert_eq!(refusal["reason"], "native_request");
            assert!(
                refusal["cause"].contains(&format!("`{name}`")),
                "{refusal:?}"
            );
            assert!(answer.body.contains(&refusal["correlation_id"]));
            log.clear();
        }
    }
    assert!(store.take_calls().is_empty());
    // A prefetch, and other methods.
    let mut prefetch = site.browser().navigation(Method::GET, &start_path(CUSTOM));
    let purpose = HeaderValue::from_static("prefetch");
    prefetch.headers_mut().insert("sec-purpose", purpose);
    assert_eq!(
        site.browser().send(prefetch).await.status,
        StatusCode::FORBIDDEN
    );
    for (method, path) in [
        (Method::POST, "/native/start"),
        (Method::HEAD, "/native/start"),
        (Method::GET, "/native/confirm"),
        (Method::GET, "/native/token"),
    ] {
        let answer = site.browser().fetch(method, path, "").await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
    }
    assert!(store.take_calls().is_empty());
}

#[tokio::test]
async fn a6_without_configured_links_native_apps_do_not_exist() {
    let site = site().await;
    let app = App::signed_in(&site, "alice").await;
    let other = Oten::builder(
        axum_oten::Config::builder()
            .issuer(site.emulator.issuer())
            .client_id("test-site")
            .client_secret(crate::common::SECRET)
            .redirect_uri("http://127.0.0.1:3000/callback")
            .build()
            .unwrap(),
        site.store.clone(),
    );
    let off = self::app(&other.clock(site.clock.clone()).build().unwrap());
    for (method, path) in [
        (Method::GET, &*start_path(CUSTOM)),
        (Method::POST, "/native/confirm"),
        (Method::POST, "/native/token"),
    ] {
        let request = Request::builder().method(method).uri(path);
        let answer = send(&off, request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
    }
    let answer = send(&off, app.request(Method::GET, "/")).await;
    assert_eq!(answer.body, "guest");
    assert_eq!(answer.header(header::VARY), Some("cookie"));
    assert_eq!(app.user().await, "user alice");
}

#[tokio::test]
async fn a6_a_verified_https_link_gets_its_response_without_a_page() {
    let site = site().await;
    let mut browser = site.browser();
    let url = start(&mut browser, HTTPS).await;
    let callback = browser.approve(&url, "alice");
    let code = code(&browser.get(&callback).await, HTTPS);
    // The app has its response, so the browser does not send it another one.
    let repeated = browser.get(&callback).await;
    assert_eq!(repeated.status, StatusCode::BAD_REQUEST);
    let answer = exchange_with(&site, &code, HTTPS, VERIFIER).await;
    assert_eq!(answer.status, StatusCode::OK);
    let denied = refused(&site, HTTPS, Some("access_denied")).await;
    assert_eq!(response(&denied, HTTPS)[0].1, "access_denied");
    let failed = refused(&site, HTTPS, Some("server_error")).await;
    assert_eq!(response(&failed, HTTPS)[0].1, "temporarily_unavailable");
    let failed = refused(&site, HTTPS, Some("invalid_request_object")).await;
    assert_eq!(response(&failed, HTTPS)[0].1, "server_error");
    let failed = refused(&site, HTTPS, Some("login_required")).await;
    assert_eq!(response(&failed, HTTPS)[0].1, "login_required");
    site.emulator.fault(Token, Fault::Status(500));
    let failed = sign_in(&mut site.browser(), HTTPS, "alice").await;
    assert_eq!(response(&failed, HTTPS)[0].0, "error");
}

/// Lets the provider answer with an error, or with an unknown code.
async fn refused(site: &TestSite, link: &str, error: Option<&str>) -> Answer {
    let mut browser = site.browser();
    let url = start(&mut browser, link).await;
    let callback = match error {
        Some(error) => path_and_query(&site.emulator.reject(&url, error).unwrap()),
        None => with_parameter(&browser.approve(&url, "alice"), "code", "unknown"),
    };
    let answer = browser.get(&callback).await;
    assert_eq!(browser.session_cookie(), None);
    answer
}

#[tokio::test]
async fn a6_an_error_returns_to_the_app_after_a_click() {
    let log = Log::start();
    let site = site().await;
    for (error, sent) in [
        (Some("access_denied"), "access_denied"),
        (Some("temporarily_unavailable"), "temporarily_unavailable"),
        (None, "server_error"),
    ] {
        for link in [CUSTOM, LOOPBACK] {
            log.clear();
            let page = refused(&site, link, error).await;
            assert!(!page.headers.contains_key(header::LOCATION));
            let query = query(&[("error", sent), ("state", STATE)]).replace('&', "&#38;");
            let href = format!("href=\"{link}?{query}\"");
            assert!(page.body.contains(&href), "{href} in {}", page.body);
            assert!(!page.body.contains("/login"), "{}", page.body);
            // A cancelled sign-in is no error to ask for help with.
            let id = &log.refusal()["correlation_id"];
            assert_eq!(page.body.contains(id), sent != "access_denied");
        }
    }
    // The store is down.
    let (site, store) = builder().start_watched().await;
    store.fails(&[Operation::Insert]);
    let page = site.browser().get(&start_path(CUSTOM)).await;
    assert_eq!(
        page.status,
        StatusCode::SERVICE_UNAVAILABLE,
        "{}",
        page.body
    );
    assert!(
        page.body.contains("error=temporarily_unavailable"),
        "{}",
        page.body
    );
}

#[tokio::test]
async fn a6_a_cancelled_sign_in_leaves_no_session_and_no_tokens() {
    let log = Log::start();
    let site = site().await;
    let mut browser = site.browser();
    let page = sign_in(&mut browser, CUSTOM, "alice").await;
    let answer = browser.post(&form(&page, "Cancel")).await;
    assert_eq!(response(&answer, CUSTOM)[0].1, "access_denied");
    assert_eq!(log.refusal()["reason"], "cancelled");
    eventually(|| site.emulator.calls(Revocation) == 1).await;
    let again = confirm(&mut browser, &page).await;
    assert_eq!(again.status, StatusCode::BAD_REQUEST);
    assert!(log.named("signed_in").is_empty());
}

#[tokio::test]
async fn a6_only_the_browser_of_the_sign_in_confirms_it_once() {
    let site = site().await;
    let mut browser = site.browser();
    let page = sign_in(&mut browser, CUSTOM, "alice").await;
    let target = form(&page, "Continue");
    // Another site, another browser, another attempt, a frame.
    let mut forged = browser.navigation(Method::POST, &target);
    let cross_site = HeaderValue::from_static("cross-site");
    forged.headers_mut().insert("sec-fetch-site", cross_site);
    let answer = browser.send(forged).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    // Neither the spent `state` nor a secret.
    let (_, tag) = target.split_once("?login=").unwrap();
    let cookies = browser.login_cookies();
    assert!(cookies.iter().any(|name| name.ends_with(tag)), "{target}");
    for target in [&*target, "/native/confirm", "/native/confirm?login=x"] {
        let mut other = site.browser();
        sign_in(&mut other, CUSTOM, "bob").await;
        let answer = other.post(target).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{target}");
        assert!(!answer.headers.contains_key(header::LOCATION));
    }
    let policy = page.header(header::CONTENT_SECURITY_POLICY).unwrap();
    assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
    // Two clicks at the same time send one code.
    let mut second = browser.clone();
    let (one, other) = tokio::join!(browser.post(&target), second.post(&target));
    let mut statuses = [one.status.as_u16(), other.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [303, 400]);
    let answer = browser.post(&target).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(
        answer.body.contains("Go back to the app"),
        "{}",
        answer.body
    );
}

#[tokio::test]
async fn a6_the_confirm_page_can_be_reloaded_for_five_minutes() {
    let site = site().await;
    let mut browser = site.browser();
    let url = start(&mut browser, CUSTOM).await;
    let callback = browser.approve(&url, "alice");
    let page = browser.get(&callback).await;
    site.clock.advance(Duration::from_secs(299));
    let again = browser.get(&callback).await;
    assert_eq!(form(&again, "Continue"), form(&page, "Continue"));
    assert_eq!(site.emulator.calls(Token), 1);
    site.clock.advance(Duration::from_secs(1));
    assert_eq!(
        confirm(&mut browser, &page).await.status,
        StatusCode::BAD_REQUEST
    );
    // The sign-in is over, so its tokens are revoked.
    eventually(|| site.emulator.calls(Revocation) == 1).await;
    let late = browser.get(&callback).await;
    assert_eq!(late.status, StatusCode::BAD_REQUEST);
    assert!(late.body.contains("error=server_error"), "{}", late.body);
    assert_eq!(browser.session_cookie(), None);
}

#[tokio::test]
async fn a6_a_confirmation_that_the_store_does_not_keep_revokes_the_tokens_and_tells_the_app() {
    let (site, store) = builder().start_watched().await;
    let mut browser = site.browser();
    let page = sign_in(&mut browser, CUSTOM, "alice").await;
    store.fails(&[Operation::Insert]);
    let failed = confirm(&mut browser, &page).await;
    assert_eq!(failed.status, StatusCode::SERVICE_UNAVAILABLE);
    let link = "error=temporarily_unavailable";
    assert!(failed.body.contains(link), "{}", failed.body);
    eventually(|| site.emulator.calls(Revocation) == 1).await;
}

/// They may be planted by a neighboring host. An app gets a session of its own.
#[tokio::test]
async fn a6_two_session_cookies_do_not_matter() {
    let site = site().await;
    let mut browser = site.browser();
    let url = start(&mut browser, CUSTOM).await;
    let callback = browser.approve(&url, "alice");
    let (login, id) = browser.cookies.first_key_value().unwrap();
    let cookies = format!("{login}={id}; oten_session=a; oten_session=b");
    let request = Request::get(&callback).header(header::COOKIE, cookies);
    let page = send(&site.app, request.body("".into()).unwrap()).await;
    form(&page, "Continue");
}

#[tokio::test]
async fn a6_a_code_is_valid_for_sixty_seconds() {
    let site = site().await;
    let early = code_for(&site, "alice").await;
    site.clock.advance(Duration::from_secs(59));
    assert_eq!(exchange(&site, &early).await.status, StatusCode::OK);
    let late = code_for(&site, "alice").await;
    site.clock.advance(Duration::from_secs(60));
    for _ in 0..2 {
        assert_rejected(&exchange(&site, &late).await, "invalid_grant");
    }
    eventually(|| site.emulator.calls(Revocation) == 1).await;
}

#[tokio::test]
async fn a6_an_intercepted_code_is_useless_without_the_verifier() {
    let log = Log::start();
    let site = site().await;
    let challenge = challenge();
    for (link, verifier, name) in [
        (
            CUSTOM,
            "another-verifier-that-has-enough-characters",
            "code_verifier",
        ),
        (CUSTOM, &*challenge, "code_verifier"),
        (CUSTOM, "", "code_verifier"),
        (HTTPS, VERIFIER, "redirect_uri"),
        ("com.example.app:/Callback", VERIFIER, "redirect_uri"),
    ] {
        let revoked = site.emulator.calls(Revocation);
        let code = code_for(&site, "alice").await;
        log.clear();
        let answer = exchange_with(&site, &code, link, verifier).await;
        assert_rejected(&answer, "invalid_grant");
        let refusal = log.refusal();
        assert_eq!(refusal["reason"], "native_code");
        assert!(refusal["cause"].contains(name), "{refusal:?}");
        assert_eq!(answer.json()["correlation_id"], refusal["correlation_id"]);
        // The code is used up, and so are the tokens.
        eventually(|| site.emulator.calls(Revocation) == revoked + 1).await;
        assert_rejected(&exchange(&site, &code).await, "invalid_grant");
    }
    assert_rejected(&exchange(&site, "unknown").await, "invalid_grant");
    assert!(log.named("signed_in").is_empty());
}

#[tokio::test]
async fn a6_a_code_that_is_used_again_ends_its_session() {
    let log = Log::start();
    let site = site().await;
    let code = code_for(&site, "alice").await;
    let answer = exchange(&site, &code).await;
    let credential = answer.json()["access_token"].as_str().unwrap().to_owned();
    let app = App {
        site: &site,
        credential,
    };
    assert_eq!(app.user().await, "user alice");
    log.clear();
    // Ten minutes later, and with another verifier.
    site.clock.advance(Duration::from_secs(599));
    let again = exchange_with(&site, &code, CUSTOM, "stolen").await;
    assert_rejected(&again, "invalid_grant");
    assert_eq!(app.user().await, "guest");
    assert_eq!(app.get("/profile").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(log.named("signed_out").len(), 1);
    assert_eq!(log.named("refused")[0]["reason"], "native_code_reused");
    eventually(|| site.emulator.calls(Revocation) == 1).await;
}

#[tokio::test]
async fn a6_a_code_used_twice_at_once_leaves_no_session() {
    let (site, store) = builder().start_watched().await;
    let code = code_for(&site, "alice").await;
    store.take_calls();
    exchange(&site, &code).await;
    let calls = store.take_calls().len();
    assert!(calls > 5, "{calls}");
    for pause in 0..calls {
        let code = code_for(&site, "alice").await;
        let held = store.pause_after(pause);
        let first = exchange(&site, &code);
        let second = async {
            held.reached().await;
            let answer = exchange(&site, &code).await;
            held.go_on();
            answer
        };
        let (first, second) = tokio::join!(first, second);
        let answers = [first, second];
        let is_rejected = |answer: &Answer| answer.status == StatusCode::BAD_REQUEST;
        assert!(answers.iter().any(is_rejected), "after call {pause}");
        for answer in answers {
            let json = answer.json();
            let Some(credential) = json["access_token"].as_str() else {
                continue;
            };
            let app = App {
                site: &site,
                credential: credential.to_owned(),
            };
            assert_eq!(app.user().await, "guest", "after call {pause}");
        }
    }
}

#[tokio::test]
async fn a6_a_malformed_token_request_uses_no_code() {
    let site = site().await;
    let code = code_for(&site, "alice").await;
    let valid = [
        ("grant_type", "authorization_code"),
        ("code", &*code),
        ("code_verifier", VERIFIER),
        ("redirect_uri", CUSTOM),
    ];
    for (name, value) in valid {
        let others = valid.iter().filter(|(other, _)| *other != name);
        let without: Vec<_> = others.copied().collect();
        let repeated = [&without[..], &[(name, value), (name, value)]].concat();
        for pairs in [without, repeated] {
            let answer = send(&site.app, token_request(&pairs)).await;
            assert_rejected(&answer, "invalid_request");
        }
    }
    let other = [("grant_type", "refresh_token"), ("code", &*code)];
    let answer = send(&site.app, token_request(&other)).await;
    assert_rejected(&answer, "unsupported_grant_type");
    for content_type in ["application/json", "text/plain", ""] {
        let mut request = token_request(&valid);
        let value = HeaderValue::from_static(content_type);
        request.headers_mut().insert(header::CONTENT_TYPE, value);
        assert_rejected(&send(&site.app, request).await, "invalid_request");
    }
    let mut huge = token_request(&valid);
    *huge.body_mut() = Body::from(format!("{}&x={}", query(&valid), "x".repeat(8192)));
    assert_rejected(&send(&site.app, huge).await, "invalid_request");
    let in_query = Request::post(format!("/native/token?{}", query(&valid)))
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::empty())
        .unwrap();
    assert_rejected(&send(&site.app, in_query).await, "invalid_request");
    assert_eq!(exchange(&site, &code).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a6_a_credential_is_no_cookie_and_a_cookie_no_credential() {
    let site = site().await;
    let app = App::signed_in(&site, "alice").await;
    let mut browser = site.signed_in("bob").await;
    let cookie = browser.session_cookie().unwrap().to_owned();
    let hash = Sha256::digest(&app.credential);
    let id = BASE64_URL_SAFE_NO_PAD.encode(&hash[..16]);
    let (_, random) = app.credential.split_at("oten_native_".len());
    for value in [&*app.credential, random, &random[..22], &id] {
        let mut browser = site.browser();
        browser
            .cookies
            .insert("oten_session".to_owned(), value.to_owned());
        assert_eq!(browser.signed_in_as().await, "guest", "{value}");
        browser.post("/logout").await;
        let mut browser = site.browser();
        browser
            .cookies
            .insert("oten_session".to_owned(), value.to_owned());
        browser.sign_in("carol", "/").await;
    }
    assert_eq!(app.user().await, "user alice");
    for credential in [
        cookie.clone(),
        format!("oten_native_{cookie}"),
        format!("oten_native_{id}"),
        "oten_native_".to_owned(),
        format!("{}x", app.credential),
        app.credential.to_uppercase(),
        format!("oten_native_{}", "x".repeat(10_000)),
    ] {
        let forged = App {
            credential,
            ..app.clone()
        };
        let answer = forged.get("/profile").await;
        assert_eq!(
            answer.status,
            StatusCode::UNAUTHORIZED,
            "{}",
            forged.credential
        );
        assert_eq!(forged.user().await, "guest");
        if !forged.credential.starts_with("oten_native_") {
            continue;
        }
        // A session of a guest is not created for it.
        forged.send(Method::POST, "/note").await;
        assert_eq!(forged.get("/note").await.body, "no note");
    }
    assert_eq!(browser.signed_in_as().await, "user bob");
}

#[tokio::test]
async fn a6_a_request_with_a_credential_ignores_cookies_and_needs_no_origin() {
    let site = site().await;
    let app = App::signed_in(&site, "alice").await;
    let browser = site.signed_in("bob").await;
    let both = browser.clone().send(app.request(Method::GET, "/")).await;
    assert_eq!(both.body, "user alice");
    let ended = App {
        credential: format!("{}x", app.credential),
        ..app.clone()
    };
    let both = browser.clone().send(ended.request(Method::GET, "/")).await;
    assert_eq!(both.body, "guest");
    let vary = both.header(header::VARY).unwrap();
    assert_eq!(vary, "cookie, authorization");
    let both = browser
        .clone()
        .send(app.request(Method::POST, "/logout"))
        .await;
    assert_eq!(both.status, StatusCode::NO_CONTENT);
    assert_eq!(browser.clone().signed_in_as().await, "user bob");

    let app = App::signed_in(&site, "alice").await;
    for (method, path, body) in [
        (Method::POST, "/same-origin", "done"),
        (Method::DELETE, "/api/both", "false true"),
        (Method::GET, "/api/both", "false true"),
    ] {
        let answer = app.send(method, path).await;
        assert_eq!((answer.status, &*answer.body), (StatusCode::OK, body));
    }
    // Without the credential the rules for browsers hold.
    let request = Request::post("/same-origin").body(Body::empty()).unwrap();
    let answer = browser.clone().send(request).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a6_an_unusable_authorization_header_is_rejected() {
    let site = site().await;
    let app = App::signed_in(&site, "alice").await;
    let header = format!("Bearer {}", app.credential);
    for values in [
        &[&*header, &*header][..],
        &[&*header, "Bearer other"],
        &["Basic eDp5", &*header],
        &[&*header.replace(' ', "")],
        &[&*format!("{header} x")],
        &[&*format!("{header},{header}")],
    ] {
        for path in ["/", "/profile", "/api/both", "/note", "/logout"] {
            let method = match path {
                "/logout" => Method::POST,
                _ => Method::GET,
            };
            let request = Request::builder().method(method).uri(path);
            let mut request = request.body(Body::empty()).unwrap();
            for value in values {
                let value = value.parse().unwrap();
                request.headers_mut().append(header::AUTHORIZATION, value);
            }
            let answer = site.signed_in("bob").await.send(request).await;
            if path == "/note" {
                assert_eq!(answer.body, "no note");
                continue;
            }
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{values:?} {path}");
            let challenge = answer.header(header::WWW_AUTHENTICATE).unwrap();
            assert_eq!(challenge, r#"Bearer error="invalid_request""#);
            assert_eq!(answer.json()["reason"], "bearer_request");
        }
    }
}

#[tokio::test]
async fn a6_an_ended_credential_gets_401_and_no_redirect() {
    let site = site().await;
    let app = App {
        credential: "oten_native_ended".to_owned(),
        site: &site,
    };
    for path in ["/profile", "/extracted", "/token", "/session", "/api/both"] {
        let mut request = app.request(Method::GET, path);
        for (name, value) in [("accept", "text/html"), ("sec-fetch-mode", "navigate")] {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        let answer = send(&site.app, request).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}");
        let challenge = answer.header(header::WWW_AUTHENTICATE).unwrap();
        assert_eq!(challenge, r#"Bearer error="invalid_token""#);
        let content_type = answer.header(header::CONTENT_TYPE);
        assert_eq!(content_type, Some("application/problem+json"));
        assert_eq!(answer.json()["login_url"], Value::Null);
        assert_eq!(answer.header(header::CACHE_CONTROL), Some("no-store"));
    }
}

#[tokio::test]
async fn a6_a_credential_is_no_access_token() {
    let site = site().await;
    let app = App::signed_in(&site, "alice").await;
    for path in ["/api/token", "/api/optional"] {
        let answer = app.get(path).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}");
        let challenge = answer.header(header::WWW_AUTHENTICATE).unwrap();
        assert!(challenge.contains("invalid_token"), "{challenge}");
    }
    // An access token is still one.
    let token = site
        .emulator
        .access_token("test-site", "alice", "openid")
        .unwrap();
    let token = App {
        credential: token,
        ..app.clone()
    };
    assert_eq!(token.get("/api/both").await.body, "true false");
    assert_eq!(token.user().await, "guest");
}

#[tokio::test]
async fn x2_a_native_app_asks_for_a_fresh_sign_in() {
    let site = builder()
        .app(|oten| {
            let minutes = Duration::from_secs(300);
            let danger = Router::new()
                .route("/danger", any(async || "done"))
                .route_layer(oten.require_fresh_login(minutes));
            app(oten).merge(danger.layer(oten.layer()))
        })
        .start()
        .await;
    let old = App::signed_in(&site, "alice").await;
    site.clock.advance(Duration::from_secs(420));
    let denied = old.get("/danger").await;
    assert_eq!(denied.status, StatusCode::UNAUTHORIZED);
    let challenge = denied.header(header::WWW_AUTHENTICATE).unwrap();
    let expected = r#"Bearer error="insufficient_user_authentication", max_age="300""#;
    assert_eq!(challenge, expected);

    let mut browser = site.browser();
    let start = format!("{}&fresh=300", start_path(CUSTOM));
    let url: Url = browser.get(&start).await.location().parse().unwrap();
    let sent = parameters(&url);
    assert_eq!(
        (&sent["prompt"], &sent["max_age"]),
        (&"login".into(), &300.into())
    );
    let page = browser.get(&browser.approve(&url, "alice")).await;
    let code = code(&confirm(&mut browser, &page).await, CUSTOM);
    let credential = exchange(&site, &code).await.json()["access_token"].clone();
    let credential = credential.as_str().unwrap().to_owned();
    let fresh = App { credential, ..old };
    assert_eq!(fresh.get("/danger").await.body, "done");
}

#[tokio::test]
async fn a6_no_log_contains_a_code_a_verifier_or_a_credential() {
    let log = Log::start();
    let site = site().await;
    let code = code_for(&site, "alice").await;
    let wrong = exchange_with(&site, "unknown-code", CUSTOM, VERIFIER).await;
    assert_rejected(&wrong, "invalid_grant");
    let credential = exchange(&site, &code).await.json()["access_token"].clone();
    let credential = credential.as_str().unwrap().to_owned();
    let app = App {
        site: &site,
        credential: credential.clone(),
    };
    assert_eq!(app.user().await, "user alice");
    app.get("/api/token").await;
    assert_rejected(&exchange(&site, &code).await, "invalid_grant");
    assert_eq!(app.user().await, "guest");
    app.send(Method::POST, "/logout").await;
    assert!(log.contains("native_code_reused"));
    for secret in [&*code, &credential, VERIFIER, "unknown-code"] {
        assert!(!log.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn a6_a_native_session_ends_like_any_other() {
    let site = builder()
        .emulator(|emulator| {
            let emulator = emulator.advertise_revocation();
            emulator.advertise_back_channel_logout()
        })
        .config(|config| {
            let config = config.native_links(LINKS);
            let config = config.session_idle(Duration::from_secs(3600));
            config.session_lifetime(Duration::from_secs(3 * 3600))
        })
        .start()
        .await;
    // Sign-out revokes the tokens, and may be repeated.
    let app = App::signed_in(&site, "alice").await;
    for _ in 0..2 {
        let answer = app.send(Method::POST, "/logout").await;
        assert_eq!((answer.status, &*answer.body), (StatusCode::NO_CONTENT, ""));
    }
    assert_eq!(app.user().await, "guest");
    eventually(|| site.emulator.calls(Revocation) == 1).await;

    // Logout tokens.
    let (alice, bob) = (
        App::signed_in(&site, "alice").await,
        App::signed_in(&site, "bob").await,
    );
    log_out(&site, "alice").await;
    assert_eq!(alice.user().await, "guest");
    assert_eq!(bob.user().await, "user bob");

    // The idle time, and the lifetime.
    site.clock.advance(Duration::from_secs(3600));
    assert_eq!(bob.user().await, "guest");
    let app = App::signed_in(&site, "alice").await;
    for minutes in [50, 50, 50] {
        site.clock.advance(Duration::from_secs(minutes * 60));
        assert_eq!(app.user().await, "user alice");
    }
    site.clock.advance(Duration::from_secs(30 * 60));
    assert_eq!(app.user().await, "guest");
}

async fn log_out(site: &TestSite, user: &str) {
    let target = LogoutTarget::Subject(user);
    let token = site.emulator.logout_token("test-site", target);
    assert_done(&send_token(&site.app, &token).await);
}

#[tokio::test]
async fn a6_a_logout_token_before_the_session_exists_prevents_it() {
    let log = Log::start();
    let site = site().await;
    let mut browser = site.browser();
    let page = sign_in(&mut browser, CUSTOM, "alice").await;
    site.clock.advance(Duration::from_secs(200));
    log_out(&site, "alice").await;
    site.clock.advance(Duration::from_secs(90));
    let code = code(&confirm(&mut browser, &page).await, CUSTOM);
    site.clock.advance(Duration::from_secs(59));
    assert_rejected(&exchange(&site, &code).await, "invalid_grant");
    assert_eq!(log.refusal()["reason"], "signed_out_meanwhile");
    // An earlier one does not count.
    App::signed_in(&site, "alice").await;
}

#[tokio::test]
async fn a6_the_apps_data_is_kept_under_the_same_credential() {
    let site = site().await;
    let app = App::signed_in(&site, "alice").await;
    let mut note = app.request(Method::POST, "/note");
    *note.body_mut() = Body::from("mine");
    send(&site.app, note).await;
    assert_eq!(app.get("/note").await.body, "mine");
    // `cycle_id` protects against fixation of a cookie; the credential stays.
    app.send(Method::POST, "/cycle").await;
    assert_eq!(app.get("/note").await.body, "mine");
    app.send(Method::POST, "/note-twice").await;
    assert_eq!(app.get("/note").await.body, "cycled");
    assert_eq!(app.user().await, "user alice");
    app.send(Method::POST, "/flush").await;
    assert_eq!(app.user().await, "guest");
    assert_eq!(app.get("/note").await.body, "no note");
}

#[tokio::test]
async fn a6_the_tokens_of_a_native_session_are_refreshed() {
    let site = site().await;
    let app = App::signed_in(&site, "alice").await;
    let before = app.get("/token").await.body;
    site.clock.advance(Duration::from_secs(3590));
    assert_eq!(app.get("/profile").await.status, StatusCode::OK);
    assert_eq!(site.emulator.refreshes(), 1);
    let after = app.get("/token").await.body;
    assert!(after.starts_with("eyJ") && after != before);
    // The provider ends the sign-in.
    site.emulator.disable_user("alice");
    site.clock.advance(Duration::from_secs(3590));
    assert_eq!(app.get("/profile").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(app.user().await, "guest");
}

#[tokio::test]
async fn a6_a_thousand_starts_leave_eight_attempts_and_no_session() {
    let site = site().await;
    let mut browser = site.browser();
    for _ in 0..1_000 {
        let answer = browser.get(&start_path(CUSTOM)).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER);
    }
    assert_eq!(browser.login_cookies().len(), 8);
    assert_eq!(site.store.len(), 8);
    // Silent sign-ins that the user never confirms leave nothing either.
    for _ in 0..20 {
        sign_in(&mut browser, CUSTOM, "alice").await;
    }
    site.clock.advance(Duration::from_secs(20 * 60));
    assert!(site.store.is_empty());
}

#[tokio::test]
async fn a6_the_routes_of_native_apps_are_no_return_path() {
    let site = site().await;
    for path in [&*start_path(CUSTOM), "/native/confirm", "/./native/token"] {
        let mut browser = site.browser();
        let url = browser.start_login(path).await;
        let callback = browser.approve(&url, "alice");
        assert_eq!(browser.get(&callback).await.location(), "/");
    }
}
