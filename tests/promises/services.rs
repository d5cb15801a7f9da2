//! Calls to APIs: tokens of the client itself, the tokens of users, and userinfo.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Extension, Router,
    body::{Body, Bytes, to_bytes},
    http::{HeaderMap, Method, Request, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use axum_oten::{
    AccessToken, Clock, Config, Oten,
    config::ConfigBuilder,
    emulator::{Deviation, EmulatedClient, Emulator, EmulatorBuilder, Endpoint, Fault, RateLimits},
    web::{
        ApiCallError, ApiClient, ClientCredentials, ClientCredentialsError, ResourceServer,
        SetupError,
    },
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet, time::timeout};

use crate::common::{Browser, ClientKind, Log, Recorder, SECRET, TestSite, app, eventually, send};

/// An emulator, and a program without sign-in that is registered as a service.
struct TestService {
    emulator: Emulator,
    server: ResourceServer,
    clock: Clock,
}

impl TestService {
    async fn start() -> Self {
        Self::with(|config| config, |client| client).await
    }

    async fn with(
        configure: impl FnOnce(ConfigBuilder) -> ConfigBuilder,
        register: impl FnOnce(EmulatedClient) -> EmulatedClient,
    ) -> Self {
        let clock = Clock::manual();
        let client = register(EmulatedClient::service("service", SECRET));
        let emulator = Emulator::builder().client(client).clock(clock.clone());
        let emulator = emulator.start().await.unwrap();
        let config = Config::builder()
            .issuer(emulator.issuer())
            .client_id("service")
            .client_secret(SECRET);
        let config = configure(config).build_api().unwrap();
        let server = ResourceServer::builder(config).clock(clock.clone());
        Self {
            server: server.build().unwrap(),
            emulator,
            clock,
        }
    }

    fn credentials(&self) -> ClientCredentials {
        self.server.client_credentials(["orders"]).unwrap()
    }

    fn calls(&self) -> u64 {
        self.emulator.calls(Endpoint::Token)
    }

    fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

async fn token(credentials: &ClientCredentials) -> String {
    credentials.token().await.unwrap().expose().to_owned()
}

#[tokio::test]
async fn a3_simultaneous_callers_share_one_token_request() {
    let service = TestService::start().await;
    let credentials = service.credentials();
    let mut callers = JoinSet::new();
    for _ in 0..1000 {
        let credentials = credentials.clone();
        callers.spawn(async move { token(&credentials).await });
    }
    let tokens = callers.join_all().await;
    assert!(tokens.iter().all(|token| *token == tokens[0]));
    assert_eq!(service.calls(), 1);
}

#[tokio::test]
async fn a3_a_token_has_the_requested_scopes_or_those_of_the_client() {
    let service = TestService::start().await;
    let recorder = Recorder::before(&service.emulator).await;
    for scopes in [&["orders", "invoices"][..], &[]] {
        let scopes = scopes.iter().copied();
        token(&service.server.client_credentials(scopes).unwrap()).await;
    }
    let calls = recorder.calls();
    let scopes = calls.iter().map(|call| call.form.get("scope"));
    let scopes: Vec<_> = scopes.map(|scope| scope.map(String::as_str)).collect();
    assert_eq!(scopes, [Some("orders invoices"), None]);
}

#[tokio::test]
async fn a3_a_token_is_requested_again_before_it_expires() {
    let log = Log::start();
    let service = TestService::start().await;
    let credentials = service.credentials();
    let first = token(&credentials).await;
    service.advance(50 * 60);
    assert_eq!(token(&credentials).await, first);
    assert_eq!(service.calls(), 1);

    // While the provider is down, the token is used until it expires.
    service.advance(9 * 60);
    service
        .emulator
        .fault(Endpoint::Token, Fault::Status(500).times(1));
    assert_eq!(token(&credentials).await, first);
    eventually(|| log.contains("requesting a token of the client itself failed")).await;
    service.advance(10);
    assert_eq!(token(&credentials).await, first);
    let latest = async {
        while token(&credentials).await == first {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(10), latest).await.unwrap();
    assert_eq!(service.calls(), 3);
}

#[tokio::test]
async fn a3_an_expired_token_is_never_returned() {
    let service = TestService::start().await;
    let credentials = service.credentials();
    let first = token(&credentials).await;
    service.advance(3590);
    let second = token(&credentials).await;
    assert_ne!(second, first);
    // Neither is one that would not survive the call, and the provider is not asked for each call.
    let expires_in = Deviation::TokenField("expires_in", json!(10));
    service.emulator.deviate(expires_in);
    service.advance(3590);
    for _ in 0..2 {
        let error = credentials.token().await.unwrap_err();
        assert!(matches!(error, ClientCredentialsError::Useless), "{error}");
    }
    assert_eq!(service.calls(), 3);
}

#[tokio::test]
async fn a3_a_request_completes_although_its_caller_is_cancelled() {
    let service = TestService::start().await;
    let credentials = service.credentials();
    let hold = service.emulator.hold(Endpoint::Token);
    let caller = tokio::spawn({
        let credentials = credentials.clone();
        async move { token(&credentials).await }
    });
    eventually(|| service.calls() == 1).await;
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    drop(hold);
    token(&credentials).await;
    assert_eq!(service.calls(), 1);
}

#[tokio::test]
async fn a3_a_public_client_is_refused_before_any_call() {
    let site = TestSite::builder().client(ClientKind::Public).start().await;
    let error = site.oten.client_credentials(["orders"]).unwrap_err();
    assert!(matches!(error, SetupError::NoClientSecret), "{error}");
    assert_eq!(site.emulator.calls(Endpoint::Token), 0);

    let config = Config::builder().issuer(site.emulator.issuer());
    let config = config.client_id("test-site").build_api().unwrap();
    let server = ResourceServer::new(config).unwrap();
    let error = server.client_credentials(["orders"]).unwrap_err();
    assert!(matches!(error, SetupError::NoClientSecret), "{error}");
    assert_eq!(site.emulator.calls(Endpoint::Discovery), 0);
}

#[tokio::test]
async fn a3_an_address_that_is_not_on_the_list_of_allowed_ones_is_named_as_the_cause() {
    let allow = |address: &'static str| {
        move |client: EmulatedClient| client.allow_address(address.parse().unwrap())
    };
    let service = TestService::with(|config| config, allow("203.0.113.9")).await;
    let error = service.credentials().token().await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("`invalid_client`"), "{text}");
    assert!(
        text.contains("the address of this machine may not be on"),
        "{text}"
    );

    let service = TestService::with(|config| config, allow("127.0.0.1")).await;
    token(&service.credentials()).await;
}

#[tokio::test]
async fn a3_callers_share_a_failure_for_as_long_as_the_provider_asks() {
    let service = TestService::start().await;
    let credentials = service.credentials();
    for (fault, pause) in [
        (Fault::OAuthError("invalid_scope"), 10),
        (Fault::Html, 10),
        (
            Fault::TooManyRequests {
                retry_after: Some(Duration::from_secs(120)),
            },
            120,
        ),
    ] {
        service.emulator.fault(Endpoint::Token, fault);
        let before = service.calls();
        let first = credentials.token().await.unwrap_err();
        service.advance(pause - 1);
        let second = credentials.token().await.unwrap_err();
        assert_eq!(first.to_string(), second.to_string());
        assert_eq!(service.calls(), before + 1, "{first}");
        service.advance(1);
        credentials.token().await.unwrap_err();
        assert_eq!(service.calls(), before + 2, "{first}");
        service.advance(pause);
        service.emulator.clear_faults();
    }
    token(&credentials).await;
}

#[tokio::test]
async fn a3_tokens_of_the_client_stay_within_the_token_budget() {
    let limited = |config: ConfigBuilder| config.token_requests_per_minute(4);
    let service = TestService::with(limited, |client| client).await;
    let mut granted = 0;
    for _ in 0..10 {
        match service.credentials().token().await {
            Ok(_) => granted += 1,
            Err(error) => assert!(error.retry_after().is_some(), "{error}"),
        }
    }
    // The last quarter is for sign-ins.
    assert_eq!((granted, service.calls()), (3, 3));
}

/// An API that records its requests and responds as `respond` says.
#[derive(Clone)]
struct Upstream {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Recorded>>>,
}

#[derive(Clone, Debug)]
struct Recorded {
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Recorded {
    fn token(&self) -> Option<&str> {
        let value = self.headers.get(header::AUTHORIZATION)?.to_str().unwrap();
        Some(value.strip_prefix("Bearer ").unwrap())
    }
}

impl Upstream {
    async fn start(respond: impl Fn(&Recorded) -> Response + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::<Mutex<Vec<Recorded>>>::default();
        let respond = Arc::new(respond);
        let app = Router::new().fallback({
            let requests = Arc::clone(&requests);
            async move |request: Request<Body>| {
                let (parts, body) = request.into_parts();
                let recorded = Recorded {
                    path: parts.uri.path().to_owned(),
                    headers: parts.headers,
                    body: to_bytes(body, 1024).await.unwrap(),
                };
                requests.lock().unwrap().push(recorded.clone());
                respond(&recorded)
            }
        });
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { address, requests }
    }

    fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin())
    }

    fn requests(&self) -> Vec<Recorded> {
        self.requests.lock().unwrap().clone()
    }
}

fn ok(_: &Recorded) -> Response {
    "ok".into_response()
}

fn redirect_to(location: &str) -> Response {
    (
        StatusCode::TEMPORARY_REDIRECT,
        [(header::LOCATION, location)],
    )
        .into_response()
}

/// Rejects this token.
fn rejecting(rejected: Arc<Mutex<String>>) -> impl Fn(&Recorded) -> Response {
    move |request| {
        if request.token() == Some(&rejected.lock().unwrap()) {
            return StatusCode::UNAUTHORIZED.into_response();
        }
        "ok".into_response()
    }
}

fn request(url: impl AsRef<str>) -> Request<Bytes> {
    Request::get(url.as_ref()).body(Bytes::new()).unwrap()
}

#[tokio::test]
async fn a4_a_token_is_sent_to_configured_origins_only() {
    let log = Log::start();
    let service = TestService::start().await;
    let credentials = service.credentials();
    let (upstream, other) = (Upstream::start(ok).await, Upstream::start(ok).await);
    let api = service.server.api_client([upstream.origin()]).unwrap();
    let response = api
        .send(&credentials, request(upstream.url("/orders")))
        .await;
    assert_eq!(response.unwrap().status(), StatusCode::OK);
    let own = token(&credentials).await;
    assert_eq!(upstream.requests()[0].token(), Some(&*own));

    let port = upstream.address.port();
    for url in [
        other.url("/orders"),
        format!("https://127.0.0.1:{port}/"),
        format!("http://localhost:{port}/"),
        format!("http://127.0.0.1.example:{port}/"),
        "http://127.0.0.1/".to_owned(),
    ] {
        let error = api.send(&credentials, request(&url)).await.unwrap_err();
        assert!(matches!(error, ApiCallError::Origin(_)), "{url}: {error}");
        let once = Request::get(&url).body(Body::empty()).unwrap();
        let error = api.send_once(&credentials, once).await.unwrap_err();
        assert!(matches!(error, ApiCallError::Origin(_)), "{url}: {error}");
    }
    for url in [
        format!("http://user@127.0.0.1:{port}/"),
        format!("http://127.0.0.1:{port}@{}/", other.address),
        "/orders".to_owned(),
    ] {
        let error = api.send(&credentials, request(&url)).await.unwrap_err();
        assert!(matches!(error, ApiCallError::Url), "{url}: {error}");
    }
    assert_eq!(upstream.requests().len(), 1);
    assert!(other.requests().is_empty());
    assert!(!log.contains(&own), "the log contains the token");
}

#[tokio::test]
async fn a4_only_origins_with_tls_or_on_this_machine_get_tokens() {
    let service = TestService::start().await;
    for origin in [
        "https://orders.example",
        "http://localhost:1",
        "http://[::1]:1",
    ] {
        assert!(service.server.api_client([origin]).is_ok(), "{origin}");
    }
    for origin in [
        "http://orders.example",
        "https://orders.example/v1",
        "https://orders.example?a",
        "https://user@orders.example",
        "ftp://orders.example",
        "data:text/plain,x",
        "orders.example",
        "*",
        "",
    ] {
        let error = service.server.api_client([origin]).unwrap_err();
        assert!(matches!(error, SetupError::ApiOrigin(_)), "{origin}");
    }
}

#[tokio::test]
async fn a4_a_redirect_to_another_origin_has_no_token_and_none_after_it() {
    let service = TestService::start().await;
    let credentials = service.credentials();
    let back = Arc::<Mutex<String>>::default();
    let other = Upstream::start({
        let back = Arc::clone(&back);
        move |_| redirect_to(&back.lock().unwrap())
    })
    .await;
    let away = other.url("/away");
    let upstream = Upstream::start(move |request| match &*request.path {
        "/leave" => redirect_to("/away"),
        "/away" => redirect_to(&away),
        _ => StatusCode::UNAUTHORIZED.into_response(),
    })
    .await;
    *back.lock().unwrap() = upstream.url("/back");
    // Both origins are configured, and still the token does not follow a redirect.
    let origins = [upstream.origin(), other.origin()];
    let api = service.server.api_client(origins).unwrap();
    let request = Request::get(upstream.url("/leave"))
        .header("x-api-key", "secret")
        .header(header::COOKIE, "a=b")
        .header(header::ACCEPT, "application/json")
        .body(Bytes::new())
        .unwrap();
    service.advance(120);
    let response = api.send(&credentials, request).await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);

    let requests = upstream.requests();
    let paths: Vec<_> = requests.iter().map(|request| &*request.path).collect();
    assert_eq!(
        paths,
        ["/leave", "/away", "/back"],
        "a 401 without token is final"
    );
    assert!(requests[1].token().is_some());
    for untrusted in [&requests[2], &other.requests()[0]] {
        assert_eq!(untrusted.token(), None);
        assert!(!untrusted.headers.contains_key("x-api-key"));
        assert!(!untrusted.headers.contains_key(header::COOKIE));
        assert_eq!(untrusted.headers[header::ACCEPT], "application/json");
    }
}

#[tokio::test]
async fn a4_redirects_end_and_those_of_other_methods_are_returned() {
    let service = TestService::start().await;
    let credentials = service.credentials();
    let upstream = Upstream::start(|_| redirect_to("/again")).await;
    let api = service.server.api_client([upstream.origin()]).unwrap();
    let error = api.send(&credentials, request(upstream.url("/"))).await;
    assert!(matches!(error.unwrap_err(), ApiCallError::Redirects));
    assert_eq!(upstream.requests().len(), 6);

    let post = Request::post(upstream.url("/")).body("order").unwrap();
    let response = api.send(&credentials, post).await.unwrap();
    assert_eq!(response.status(), StatusCode::TEMPORARY_REDIRECT);
    assert_eq!(upstream.requests().len(), 7);
}

#[tokio::test]
async fn a4_the_headers_of_the_connection_and_the_token_are_replaced() {
    let service = TestService::start().await;
    let credentials = service.credentials();
    let upstream = Upstream::start(ok).await;
    let api = service.server.api_client([upstream.origin()]).unwrap();
    let request = Request::post(upstream.url("/"))
        .header(header::HOST, "internal.example")
        .header(header::CONTENT_LENGTH, "1")
        .header(header::AUTHORIZATION, "Bearer of-the-browser")
        .header(header::AUTHORIZATION, "Bearer another")
        .body("order")
        .unwrap();
    api.send(&credentials, request).await.unwrap();
    let recorded = &upstream.requests()[0];
    assert_eq!(
        recorded.headers[header::HOST],
        *upstream.address.to_string()
    );
    assert_eq!(recorded.body, "order");
    let sent = recorded.headers.get_all(header::AUTHORIZATION).iter();
    assert_eq!(sent.count(), 1);
    assert_eq!(recorded.token(), Some(&*token(&credentials).await));
}

#[tokio::test]
async fn a4_a_rejected_token_of_the_client_is_replaced_once() {
    let service = TestService::start().await;
    let credentials = service.credentials();
    let rejected = Arc::new(Mutex::new(token(&credentials).await));
    let upstream = Upstream::start(rejecting(Arc::clone(&rejected))).await;
    let api = service.server.api_client([upstream.origin()]).unwrap();
    let put = async || {
        let request = Request::put(upstream.url("/")).body("order").unwrap();
        api.send(&credentials, request).await.unwrap().status()
    };
    // Another token would be rejected for the same reason.
    assert_eq!(put().await, StatusCode::UNAUTHORIZED);
    assert_eq!((upstream.requests().len(), service.calls()), (1, 1));

    service.advance(60);
    assert_eq!(put().await, StatusCode::OK);
    assert_eq!((upstream.requests().len(), service.calls()), (3, 2));
    assert_eq!(upstream.requests()[2].body, "order");

    // At most once.
    let all = Upstream::start(|_| StatusCode::UNAUTHORIZED.into_response()).await;
    let api = service.server.api_client([all.origin()]).unwrap();
    service.advance(60);
    let response = api.send(&credentials, request(all.url("/"))).await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!((all.requests().len(), service.calls()), (2, 3));

    // A streamed body cannot be repeated.
    service.advance(60);
    let once = Request::post(all.url("/"))
        .body(Body::from("order"))
        .unwrap();
    let response = api.send_once(&credentials, once).await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(all.requests()[2].body, "order");
    assert_eq!((all.requests().len(), service.calls()), (3, 3));
}

/// A navigation with the session cookie.
fn navigation(browser: &Browser, path: &str) -> Request<Body> {
    let mut request = browser.navigation(Method::GET, path);
    let cookies = browser.cookies.iter();
    let cookies: Vec<_> = cookies
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let cookies = cookies.join("; ").parse().unwrap();
    request.headers_mut().insert(header::COOKIE, cookies);
    request
}

/// A site whose handler at `/call` calls an API with the user's token.
async fn calling_site(upstream: &Upstream) -> TestSite {
    let origin = upstream.origin();
    let site = TestSite::builder().app(move |oten| {
        let api = oten.api_client([&origin]).unwrap();
        let url = format!("{origin}/orders");
        let call = async |Extension(api): Extension<ApiClient>,
                          Extension(url): Extension<String>,
                          token: AccessToken| {
            let response = api.send(&token, request(url)).await?;
            Ok::<_, ApiCallError>(response.status())
        };
        Router::new()
            .route("/call", get(call))
            .route(
                "/token",
                get(async |token: AccessToken| token.expose().to_owned()),
            )
            .layer(Extension(api))
            .layer(Extension(url))
            .merge(oten.routes())
            .layer(oten.layer())
    });
    site.start().await
}

#[tokio::test]
async fn a4_a_rejected_token_of_a_user_is_refreshed_once_for_all_requests() {
    let rejected = Arc::<Mutex<String>>::default();
    let upstream = Upstream::start(rejecting(Arc::clone(&rejected))).await;
    let site = calling_site(&upstream).await;
    let mut browser = site.signed_in("alice").await;
    let first = browser.get("/token").await.body;
    rejected.lock().unwrap().clone_from(&first);
    assert_eq!(browser.get("/call").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(site.emulator.refreshes(), 0, "the token is new");

    site.clock.advance(Duration::from_secs(60));
    let mut requests = JoinSet::new();
    for _ in 0..10 {
        let (site_app, request) = (site.app.clone(), navigation(&browser, "/call"));
        requests.spawn(async move { send(&site_app, request).await.status });
    }
    let statuses = requests.join_all().await;
    assert!(
        statuses.iter().all(|status| *status == StatusCode::OK),
        "{statuses:?}"
    );
    assert_eq!(site.emulator.refreshes(), 1);
    assert_ne!(browser.get("/token").await.body, first);
}

#[tokio::test]
async fn a4_an_api_that_rejects_every_token_causes_few_refreshes() {
    let upstream = Upstream::start(|_| StatusCode::UNAUTHORIZED.into_response()).await;
    let site = calling_site(&upstream).await;
    let mut browser = site.signed_in("alice").await;
    for _ in 0..10 {
        site.clock.advance(Duration::from_secs(12));
        assert_eq!(browser.get("/call").await.status, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(site.emulator.refreshes(), 2, "one a minute");
}

#[tokio::test]
async fn a4_a_user_who_was_signed_out_by_the_provider_gets_no_new_token() {
    let upstream = Upstream::start(|_| StatusCode::UNAUTHORIZED.into_response()).await;
    let site = calling_site(&upstream).await;
    let mut browser = site.signed_in("alice").await;
    site.emulator.disable_user("alice");
    site.clock.advance(Duration::from_secs(60));
    assert_eq!(browser.get("/call").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(upstream.requests().len(), 1);
    assert_eq!(browser.get("/token").await.status, StatusCode::SEE_OTHER);
}

/// A site with its user's userinfo at `/userinfo`.
async fn userinfo_site(
    more: impl FnOnce(EmulatorBuilder) -> EmulatorBuilder + 'static,
) -> TestSite {
    let userinfo = async |token: AccessToken| match token.userinfo().await {
        Ok(user) => Ok(user.claims::<Value>().unwrap().to_string()),
        Err(error) => Err((StatusCode::BAD_GATEWAY, error.to_string())),
    };
    let site = TestSite::builder()
        .emulator(move |emulator| more(emulator.advertise_userinfo()))
        .app(move |oten| {
            let route = Router::new().route("/userinfo", get(userinfo));
            app(oten).merge(route.layer(oten.layer()))
        });
    site.start().await
}

fn sign_if(is_signed: bool, emulator: EmulatorBuilder) -> EmulatorBuilder {
    if is_signed {
        emulator.signed_userinfo()
    } else {
        emulator
    }
}

fn userinfo_calls(site: &TestSite) -> u64 {
    site.emulator.calls(Endpoint::Userinfo)
}

#[tokio::test]
async fn a8_userinfo_is_about_the_signed_in_user_whether_signed_or_not() {
    for is_signed in [false, true] {
        let site = userinfo_site(move |emulator| sign_if(is_signed, emulator)).await;
        let mut browser = site.signed_in("alice").await;
        let picture = Deviation::UserinfoClaim("picture", json!("https://cdn.example/a.png"));
        site.emulator.deviate(picture);
        let answer = browser.get("/userinfo").await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        assert_eq!(
            answer.json(),
            json!({
                "sub": "alice", "name": "Alice Adams", "email": "alice@example.com",
                "picture": "https://cdn.example/a.png",
            })
        );
    }
}

#[tokio::test]
async fn a8_userinfo_of_another_user_or_from_another_issuer_is_rejected() {
    let claim = Deviation::UserinfoClaim;
    let without = Deviation::WithoutUserinfoClaim;
    for (is_signed, deviation, expected) in [
        (false, claim("sub", json!("bob")), "another user's"),
        (false, claim("sub", json!(7)), "`sub`"),
        (false, without("sub"), "`sub`"),
        (true, claim("sub", json!("bob")), "another user's"),
        (true, without("sub"), "`sub`"),
        (true, claim("iss", json!("https://evil.example")), "`iss`"),
        (true, without("iss"), "`iss`"),
        (true, claim("aud", json!("another")), "`aud`"),
        (true, without("aud"), "`aud`"),
        (true, claim("exp", json!(1)), "`exp`"),
        (true, claim("iat", json!(9_999_999_999_u64)), "`iat`"),
        (true, claim("events", json!({})), "neither JSON nor"),
        (true, Deviation::BadSignature, "rejected"),
        (true, Deviation::AlgNone, "rejected"),
        (true, Deviation::Hs256WithClientSecret, "rejected"),
        (true, Deviation::Hs256WithPublicKey, "rejected"),
        (true, Deviation::UnknownKey, "no key"),
        (true, Deviation::EmbeddedKey, "rejected"),
    ] {
        let site = userinfo_site(move |emulator| sign_if(is_signed, emulator)).await;
        let mut browser = site.signed_in("alice").await;
        site.emulator.deviate(deviation.clone());
        let answer = browser.get("/userinfo").await;
        assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{deviation:?}");
        assert!(
            answer.body.contains(expected),
            "{deviation:?}: {}",
            answer.body
        );
    }
}

#[tokio::test]
async fn a8_userinfo_that_is_no_answer_is_rejected() {
    let body = |content_type, bytes: &'static str| Fault::Body {
        content_type,
        bytes: bytes.into(),
    };
    for fault in [
        Fault::Html,
        Fault::Empty,
        Fault::Huge,
        Fault::GzipBomb,
        Fault::Status(401),
        Fault::Status(404),
        Fault::Redirect("https://evil.example/".to_owned()),
        body("text/plain", r#"{"sub":"alice"}"#),
        body("application/json", "[]"),
        body("application/jwt", r#"{"sub":"alice"}"#),
        body("application/jwt", "a.b.c.d.e"),
    ] {
        let site = userinfo_site(|emulator| emulator).await;
        let mut browser = site.signed_in("alice").await;
        site.emulator.fault(Endpoint::Userinfo, fault.clone());
        let answer = browser.get("/userinfo").await;
        assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{fault:?}");
    }
}

#[tokio::test]
async fn a8_userinfo_stays_within_the_limit_of_its_token() {
    let site = userinfo_site(|emulator| emulator.rate_limits(RateLimits::Production)).await;
    let mut alice = site.signed_in("alice").await;
    let mut bob = site.signed_in("bob").await;
    for _ in 0..150 {
        assert_eq!(alice.get("/userinfo").await.json()["sub"], "alice");
        assert_eq!(bob.get("/userinfo").await.json()["sub"], "bob");
    }
    assert_eq!(userinfo_calls(&site), 2, "one for each session");
    site.clock.advance(Duration::from_secs(60));
    alice.get("/userinfo").await;
    assert_eq!(userinfo_calls(&site), 3);

    // A failure is kept as well, for as long as the provider asks.
    let retry_after = Some(Duration::from_secs(90));
    let fault = Fault::TooManyRequests { retry_after };
    site.emulator.fault(Endpoint::Userinfo, fault.times(1));
    site.clock.advance(Duration::from_secs(60));
    for _ in 0..3 {
        let answer = alice.get("/userinfo").await;
        assert!(answer.body.contains("429"), "{}", answer.body);
        site.clock.advance(Duration::from_secs(29));
    }
    assert_eq!(userinfo_calls(&site), 4);
    site.clock.advance(Duration::from_secs(3));
    assert_eq!(alice.get("/userinfo").await.json()["sub"], "alice");
}

#[tokio::test]
async fn a8_simultaneous_questions_for_userinfo_are_one_call() {
    let site = userinfo_site(|emulator| emulator).await;
    let browser = site.signed_in("alice").await;
    let mut requests = JoinSet::new();
    for _ in 0..100 {
        let (site_app, request) = (site.app.clone(), navigation(&browser, "/userinfo"));
        requests.spawn(async move { send(&site_app, request).await.status });
    }
    let statuses = requests.join_all().await;
    assert!(statuses.iter().all(|status| *status == StatusCode::OK));
    assert_eq!(userinfo_calls(&site), 1);
}

/// A site that adds claims of userinfo, whose ID tokens lack name and email.
async fn enriched_site() -> TestSite {
    let site = TestSite::builder()
        .config(|config| config.claims_from_userinfo(true))
        .emulator(EmulatorBuilder::advertise_userinfo)
        .start()
        .await;
    site.emulator.deviate(Deviation::WithoutClaim("name"));
    site.emulator.deviate(Deviation::WithoutClaim("email"));
    site
}

async fn profile(browser: &mut Browser) -> (Value, Value) {
    let profile = browser.get("/profile").await.json();
    (profile["name"].clone(), profile["email"].clone())
}

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn a8_a_user_gets_claims_that_the_id_token_lacks() {
    let site = enriched_site().await;
    let mut alice = site.signed_in("alice").await;
    let known = (json!("Alice Adams"), json!("alice@example.com"));
    assert_eq!(profile(&mut alice).await, known);
    assert_eq!(userinfo_calls(&site), 1);

    // They are those of now after each refresh, in the request that refreshes, at every process.
    let mut elsewhere = alice.clone();
    let another = Oten::builder(site.oten.config().clone(), site.store.clone());
    elsewhere.app(app(&another.clock(site.clock.clone()).build().unwrap()));
    site.emulator
        .deviate(Deviation::UserinfoClaim("name", json!("Alice Baker")));
    site.emulator
        .deviate(Deviation::WithoutUserinfoClaim("email"));
    site.clock.advance(HOUR);
    let renamed = (json!("Alice Baker"), Value::Null);
    assert_eq!(profile(&mut alice).await, renamed);
    assert_eq!(profile(&mut elsewhere).await, renamed);
    assert_eq!((userinfo_calls(&site), site.emulator.refreshes()), (2, 1));

    // A claim of the ID token counts, whatever userinfo says.
    site.emulator
        .deviate(Deviation::Claim("name", json!("Alice Carter")));
    site.clock.advance(HOUR);
    assert_eq!(profile(&mut alice).await.0, "Alice Carter");
}

#[tokio::test]
async fn a8_userinfo_is_not_asked_by_default() {
    let emulate = EmulatorBuilder::advertise_userinfo;
    let site = TestSite::builder().emulator(emulate).start().await;
    site.emulator.deviate(Deviation::WithoutClaim("name"));
    let mut alice = site.signed_in("alice").await;
    assert_eq!(profile(&mut alice).await.0, Value::Null);
    site.clock.advance(HOUR);
    assert_eq!(profile(&mut alice).await.0, Value::Null);
    assert_eq!((userinfo_calls(&site), site.emulator.refreshes()), (0, 1));
}

#[tokio::test]
async fn a8_sign_in_and_refresh_go_on_without_userinfo() {
    let log = Log::start();
    let fail = |site: &TestSite, failure: usize| match failure {
        0 => site.emulator.fault(Endpoint::Userinfo, Fault::Status(500)),
        1 => site.emulator.fault(Endpoint::Userinfo, Fault::Status(401)),
        2 => site.emulator.fault(Endpoint::Userinfo, Fault::Html),
        // An answer about another user.
        3 => site
            .emulator
            .deviate(Deviation::UserinfoClaim("sub", json!("bob"))),
        _ => site.emulator.fault(Endpoint::Userinfo, Fault::Hang),
    };
    for failure in 0..5 {
        let site = enriched_site().await;
        let mut alice = site.signed_in("alice").await;
        let known = profile(&mut alice).await;
        assert_eq!(known.0, "Alice Adams");
        fail(&site, failure);

        let mut late = site.signed_in("alice").await;
        assert_eq!(
            profile(&mut late).await,
            (Value::Null, Value::Null),
            "{failure}"
        );
        assert!(
            log.contains("no claims from the userinfo endpoint"),
            "{failure}"
        );
        // A refresh keeps what was known.
        site.clock.advance(HOUR);
        assert_eq!(profile(&mut alice).await, known, "{failure}");
        assert_eq!(site.emulator.refreshes(), 1, "{failure}");

        // The next refresh asks again.
        site.emulator.clear_faults();
        site.emulator.clear_deviations();
        site.emulator.deviate(Deviation::WithoutClaim("name"));
        site.clock.advance(HOUR);
        assert_eq!(profile(&mut late).await, known, "{failure}");
    }
}

#[tokio::test]
async fn a8_claims_are_asked_for_when_the_new_tokens_are_stored() {
    let site = enriched_site().await;
    let mut alice = site.signed_in("alice").await;
    site.clock.advance(HOUR);
    let hold = site.emulator.hold(Endpoint::Userinfo);
    let waiting = tokio::spawn({
        let mut alice = alice.clone();
        async move { profile(&mut alice).await }
    });
    eventually(|| userinfo_calls(&site) == 2).await;
    // Another process needs neither the lease nor a refresh.
    let another = Oten::builder(site.oten.config().clone(), site.store.clone());
    alice.app(app(&another.clock(site.clock.clone()).build().unwrap()));
    let known = profile(&mut alice).await;
    assert_eq!(known.0, "Alice Adams");
    drop(hold);
    assert_eq!(waiting.await.unwrap(), known);
    assert_eq!(site.emulator.refreshes(), 1);
}
