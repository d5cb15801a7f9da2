//! Promises R1 to R5, L6 and L8: the cost of requests, and the response for each request kind.

use std::time::{Duration, Instant};

use axum::{
    Extension, Router,
    body::Body,
    http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header},
    middleware::{from_fn, map_response},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use axum_oten::{AccessToken, Clock, MemoryStore, Oten, User, emulator::Endpoint};
use tokio::time::timeout;
use tower_sessions::Session;

use crate::common::{Answer, Browser, Log, Operation, TestSite, send};

const MINUTE: Duration = Duration::from_secs(60);

/// The time limit of a store call.
const STORE_DEADLINE: Duration = Duration::from_millis(2500);

/// Longer than any request may take, so that a hanging request fails its own test only.
const TEST_TIMEOUT: Duration = Duration::from_secs(10);

// R1: extractors

#[tokio::test]
async fn r1_user_extracts_the_signed_in_user_and_rejects_guests() {
    let site = TestSite::start().await;
    let mut browser = site.signed_in("bob").await;
    let user = browser.get("/extracted").await.json();
    assert_eq!(user["sub"], "bob");
    assert_eq!(user["iss"], site.emulator.issuer());
    assert_eq!(user["name"], "Bob Brown");
    assert_eq!(user["email"], "bob@example.com");

    let mut guest = site.browser();
    let page = guest.get("/extracted?a=b").await;
    assert_eq!(page.location(), "/login?return_to=%2Fextracted%3Fa%3Db");
    let call = guest.fetch(Method::GET, "/extracted", "").await;
    assert_problem(&call, 401, "not_signed_in");
}

#[tokio::test]
async fn r1_an_optional_user_is_none_for_a_guest() {
    let site = TestSite::start().await;
    let mut guest = site.browser();
    assert_eq!(guest.signed_in_as().await, "guest");
    // A cookie that names no session belongs to a guest, whatever its value.
    for id in ["AAAAAAAAAAAAAAAAAAAAAA", "x", ""] {
        guest.cookies.insert("oten_session".into(), id.into());
        assert_eq!(guest.signed_in_as().await, "guest", "{id:?}");
    }
    assert_eq!(
        site.signed_in("carol").await.signed_in_as().await,
        "user carol"
    );
}

#[tokio::test]
async fn r1_access_token_extracts_a_live_token_or_rejects() {
    let site = TestSite::builder()
        .emulator(axum_oten::emulator::EmulatorBuilder::without_refresh_tokens)
        .start()
        .await;
    let mut guest = site.browser();
    assert_eq!(
        guest.get("/token").await.location(),
        "/login?return_to=%2Ftoken"
    );
    assert_problem(
        &guest.fetch(Method::GET, "/token", "").await,
        401,
        "not_signed_in",
    );

    let mut alice = site.signed_in("alice").await;
    let token = alice.get("/token").await;
    assert_eq!(token.status, StatusCode::OK);
    assert_eq!(token.header(header::CACHE_CONTROL), Some("no-store"));
    assert_eq!(token.body.split('.').count(), 3, "a JWT");
    let mut bob = site.signed_in("bob").await;
    assert_ne!(bob.get("/token").await.body, token.body);

    // The token lives for an hour; it must be valid for more than ten seconds.
    site.clock.advance(Duration::from_secs(3600 - 11));
    assert_eq!(alice.get("/token").await.body, token.body);
    site.clock.advance(Duration::from_secs(1));
    let page = alice.get("/token").await;
    assert_eq!(page.location(), "/login?return_to=%2Ftoken");
    let call = alice.fetch(Method::GET, "/token", "").await;
    assert_problem(&call, 401, "access_token_ended");
    assert_eq!(call.json()["login_url"], "/login");
    // The session continues: only the access token has expired.
    assert_eq!(alice.signed_in_as().await, "user alice");
}

#[tokio::test]
async fn r1_a_token_that_expires_right_after_the_sign_in_causes_no_redirect_to_sign_in() {
    let site = TestSite::builder()
        .emulator(|emulator| {
            let emulator = emulator.without_refresh_tokens();
            emulator.access_token_lifetime(Duration::from_secs(60))
        })
        .start()
        .await;
    let mut browser = site.signed_in("alice").await;
    for (seconds, status) in [
        (0, StatusCode::OK),
        (59, StatusCode::BAD_GATEWAY),
        (1, StatusCode::SEE_OTHER),
    ] {
        site.clock.advance(Duration::from_secs(seconds));
        assert_eq!(browser.get("/token").await.status, status, "{seconds}");
    }
}

#[tokio::test]
async fn r1_a_rejection_names_its_variant_to_the_handler() {
    use axum_oten::web::{AccessTokenRejection, UserRejection};
    let app = |oten: &Oten| {
        let user = async |user: Result<User, UserRejection>| match user {
            Ok(_) => "user",
            Err(UserRejection::NotSignedIn(_)) => "guest",
            Err(UserRejection::StoreUnavailable(_)) => "down",
            Err(_) => "other",
        };
        let token = async |token: Result<AccessToken, AccessTokenRejection>| match token {
            Ok(_) => "token",
            Err(AccessTokenRejection::NotSignedIn(_)) => "guest",
            Err(AccessTokenRejection::Expired(_)) => "ended",
            Err(AccessTokenRejection::StoreUnavailable(_)) => "down",
            Err(_) => "other",
        };
        Router::new()
            .route("/user", get(user))
            .route("/token", get(token))
            .merge(oten.routes())
            .layer(oten.layer())
    };
    let builder = TestSite::builder()
        .app(app)
        .emulator(axum_oten::emulator::EmulatorBuilder::without_refresh_tokens);
    let (site, store) = builder.start_watched().await;
    let mut browser = site.browser();
    assert_eq!(browser.get("/user").await.body, "guest");
    assert_eq!(browser.get("/token").await.body, "guest");
    browser.sign_in("alice", "/").await;
    assert_eq!(browser.get("/user").await.body, "user");
    assert_eq!(browser.get("/token").await.body, "token");
    site.clock.advance(60 * MINUTE);
    assert_eq!(browser.get("/token").await.body, "ended");
    store.fails(&Operation::ALL);
    assert_eq!(browser.get("/user").await.body, "down");
    assert_eq!(browser.get("/token").await.body, "down");
}

#[tokio::test]
async fn r1_claims_deserialize_into_a_type_of_the_app() {
    #[derive(serde::Deserialize)]
    struct Profile {
        name: String,
        email: String,
    }
    #[derive(serde::Deserialize)]
    struct Other {
        #[serde(rename = "name")]
        _name: u32,
    }
    let app = |oten: &Oten| {
        let handler = async |user: User| {
            assert!(user.claims::<Other>().is_err());
            let profile: Profile = user.claims().unwrap();
            format!("{} <{}>", profile.name, profile.email)
        };
        Router::new()
            .route("/claims", get(handler))
            .merge(oten.routes())
            .layer(oten.layer())
    };
    let site = TestSite::builder().app(app).start().await;
    let mut browser = site.signed_in("bob").await;
    let answer = browser.get("/claims").await;
    assert_eq!(answer.body, "Bob Brown <bob@example.com>");
}

#[tokio::test]
async fn r1_a_rejection_gives_the_handler_its_status_and_reason() {
    use axum_oten::web::{AccessTokenRejection, UserRejection};
    let app = |oten: &Oten| {
        let user = async |user: Result<User, UserRejection>| {
            let rejection = user.unwrap_err();
            format!("{} {}", rejection.status().as_u16(), rejection.reason())
        };
        let token = async |token: Result<AccessToken, AccessTokenRejection>| {
            let rejection = token.unwrap_err();
            format!("{} {}", rejection.status().as_u16(), rejection.reason())
        };
        Router::new()
            .route("/user", get(user))
            .route("/token", get(token))
            .layer(oten.layer())
    };
    let (site, store) = TestSite::builder().app(app).start_watched().await;
    let mut browser = site.browser();
    for path in ["/user", "/token"] {
        assert_eq!(browser.get(path).await.body, "303 not_signed_in");
        let call = browser.fetch(Method::GET, path, "").await;
        assert_eq!(call.body, "401 not_signed_in");
    }
    store.fails(&Operation::ALL);
    let id = "AAAAAAAAAAAAAAAAAAAAAA".to_owned();
    browser.cookies.insert("oten_session".into(), id);
    for path in ["/user", "/token"] {
        assert_eq!(browser.get(path).await.body, "503 store_down");
    }
}

#[tokio::test]
async fn r2_an_outer_layer_can_replace_every_error_response() {
    use axum_oten::web::ErrorDetails;
    async fn replace(response: Response) -> Response {
        match response.extensions().get::<ErrorDetails>() {
            None => response,
            Some(details) => {
                assert_eq!(details.status, response.status());
                let id = details.correlation_id.as_deref().unwrap_or("none");
                format!("replaced {} {id}", details.reason).into_response()
            }
        }
    }
    let app = |oten: &Oten| crate::common::app(oten).layer(map_response(replace));
    let site = TestSite::builder().app(app).start().await;
    let mut guest = site.browser();
    assert_eq!(guest.get("/open").await.body, "open");
    assert_eq!(
        guest.get("/profile").await.body,
        "replaced not_signed_in none"
    );
    for (method, path, reason) in [
        (Method::GET, "/profile", "not_signed_in"),
        (Method::GET, "/extracted", "not_signed_in"),
        (Method::GET, "/token", "not_signed_in"),
        (Method::GET, "/callback", "callback_without_state"),
        (Method::PUT, "/login", "method_not_allowed"),
        (Method::POST, "/backchannel-logout", "logout_request"),
    ] {
        let log = Log::start();
        let answer = guest.fetch(method, path, "").await;
        let id = log.refusal()["correlation_id"].clone();
        assert_eq!(answer.body, format!("replaced {reason} {id}"), "{path}");
    }
    let mut bob = site.signed_in("bob").await;
    let answer = bob.get("/staff").await;
    assert!(answer.body.starts_with("replaced forbidden "), "{answer:?}");
    assert_eq!(bob.get("/profile").await.status, StatusCode::OK);
}

// R2: guests on protected routes

const HTML: (&str, &str) = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
const NAVIGATE: (&str, &str) = ("sec-fetch-mode", "navigate");
const DOCUMENT: (&str, &str) = ("sec-fetch-dest", "document");

#[tokio::test]
async fn r2_pages_are_redirected_to_login_and_apis_get_401() {
    let site = TestSite::start().await;
    for headers in [
        &[HTML, NAVIGATE, DOCUMENT][..],
        &[HTML],
        &[NAVIGATE, DOCUMENT],
        &[NAVIGATE, ("sec-fetch-dest", "iframe")],
        &[("accept", "application/xhtml+xml")],
        &[("accept", "application/json, text/html;q=0.1")],
    ] {
        for path in ["/profile?tab=x&y=%2F", "/extracted?tab=x&y=%2F"] {
            let answer = request(&site, Method::GET, path, headers).await;
            let route = path.split('?').next().unwrap().trim_start_matches('/');
            assert_eq!(
                answer.location(),
                format!("/login?return_to=%2F{route}%3Ftab%3Dx%26y%3D%252F"),
                "{headers:?}"
            );
            assert!(answer.set_cookies().is_empty());
        }
    }
    for headers in [
        &[][..],
        &[("accept", "*/*")],
        &[("accept", "application/json")],
        &[HTML, ("x-requested-with", "XMLHttpRequest")],
        &[HTML, ("sec-fetch-mode", "cors")],
        &[
            HTML,
            ("sec-fetch-mode", "same-origin"),
            ("sec-fetch-dest", "empty"),
        ],
        &[HTML, ("sec-fetch-dest", "image")],
        &[NAVIGATE, ("sec-fetch-dest", "embed")],
        &[
            ("sec-fetch-mode", "websocket"),
            ("sec-fetch-dest", "websocket"),
        ],
    ] {
        for path in ["/profile", "/extracted"] {
            let answer = request(&site, Method::GET, path, headers).await;
            assert_problem(&answer, 401, "not_signed_in");
            assert_eq!(answer.json()["login_url"], "/login", "{headers:?}");
        }
    }
}

#[tokio::test]
async fn r2_a_guests_form_is_never_redirected() {
    let site = TestSite::start().await;
    for path in ["/profile", "/extracted"] {
        let mut guest = site.browser();
        let form = guest.post(path).await;
        assert_eq!(form.status, StatusCode::UNAUTHORIZED);
        assert_eq!(form.header(header::LOCATION), None);
        assert!(is_html(&form), "a form's sender is shown a page");
        assert!(form.body.contains(r#"href="/login""#), "{}", form.body);
        assert_eq!(form.header(header::CACHE_CONTROL), Some("no-store"));
        let call = guest.fetch(Method::POST, path, "{}").await;
        assert_problem(&call, 401, "not_signed_in");
    }
}

#[tokio::test]
async fn r2_an_invalid_return_path_is_omitted() {
    let site = TestSite::builder()
        .app(|oten| {
            Router::new()
                .route("/{*path}", get(async |_: User| "protected"))
                .layer(oten.layer())
        })
        .start()
        .await;
    for (path, expected) in [
        ("/a/b", "/login?return_to=%2Fa%2Fb"),
        ("/a//b", "/login?return_to=%2Fa%2F%2Fb"),
        ("//evil.example", "/login"),
        ("/%2Fevil.example", "/login"),
        ("/a/%2e%2e/b", "/login"),
        ("/%5Cevil.example", "/login"),
    ] {
        let answer = request(&site, Method::GET, path, &[HTML]).await;
        assert_eq!(answer.location(), expected, "{path}");
    }
    let long = format!("/{}", "a".repeat(3000));
    let answer = request(&site, Method::GET, &long, &[HTML]).await;
    assert_eq!(answer.location(), "/login");
}

// A1: challenges

#[tokio::test]
async fn a1_every_401_has_a_challenge_that_shows_no_dialog() {
    let site = TestSite::builder()
        .emulator(axum_oten::emulator::EmulatorBuilder::without_refresh_tokens)
        .start()
        .await;
    let mut guest = site.browser();
    let mut alice = site.signed_in("alice").await;
    site.clock.advance(60 * MINUTE);
    for answer in [
        guest.fetch(Method::GET, "/profile", "").await,
        guest.fetch(Method::GET, "/extracted", "").await,
        guest.fetch(Method::GET, "/token", "").await,
        guest.post("/profile").await,
        alice.fetch(Method::GET, "/token", "").await,
    ] {
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        // Browsers show a dialog for Basic, Digest, NTLM and Negotiate.
        assert_eq!(answer.header(header::WWW_AUTHENTICATE), Some("Cookie"));
    }
    let page = guest.get("/profile").await;
    assert_eq!(page.header(header::WWW_AUTHENTICATE), None);
}

// B1: what the user can do next

#[tokio::test]
async fn b1_every_error_offers_what_to_do_next() {
    let (site, store) = TestSite::builder().start_watched().await;
    let mut bob = site.signed_in("bob").await;
    let mut cross_site = bob.navigation(Method::POST, "/logout");
    let from = "cross-site".parse().unwrap();
    cross_site.headers_mut().insert("sec-fetch-site", from);
    let sign_out = r#"<form method="post" action="/logout"><button class="button">Sign out"#;
    for (answer, next) in [
        (
            bob.get("/staff").await,
            r#"class="button" href="/login?switch_account=1&#38;return_to=%2Fstaff">Use another account"#,
        ),
        (bob.send(cross_site).await, sign_out),
        (bob.post("/login").await, r#"href="/">Back to the site"#),
        (
            bob.get("/callback?state=a&state=b").await,
            r#"class="button" href="/login">Try again"#,
        ),
    ] {
        assert!(answer.body.contains(next), "{next}: {}", answer.body);
        assert!(answer.body.contains(r#"href="/">Back to the site"#));
    }
    let forbidden = bob.fetch(Method::GET, "/staff", "").await.json();
    assert_eq!(forbidden["logout_url"], "/logout");
    let wrong_method = bob.fetch(Method::PUT, "/login", "").await.json();
    assert_eq!(wrong_method["home_url"], "/");

    let url = bob.start_login("/page?a=b").await;
    let callback = bob.approve(&url, "bob");
    store.fails(&Operation::ALL);
    for (path, next) in [
        (
            "/profile?a=b",
            r#"class="button" href="/profile?a=b">Try again"#,
        ),
        (&*callback, r#"class="button" href="/login">Try again"#),
        (
            "/login?return_to=/a",
            r#"class="button" href="/login?return_to=%2Fa">Try again"#,
        ),
        (
            "/logout?state=x",
            r#"class="button" href="/logout">Try again"#,
        ),
    ] {
        let answer = bob.get(path).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert!(answer.body.contains(next), "{next}: {}", answer.body);
        let api = bob.fetch(Method::GET, path, "").await.json();
        assert!(api["retry_after"].is_u64(), "{path}: {api}");
    }
    // A link would lose the form's data.
    let form = bob.post("/profile").await;
    assert_eq!(form.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(!form.body.contains("Try again</a>"), "{}", form.body);
    let again = bob.post("/logout").await;
    assert!(again.body.contains(r#"href="/logout">Try again"#));
}

// R3: denied users

#[tokio::test]
async fn r3_a_denied_user_gets_403_and_no_redirect_to_login() {
    let site = TestSite::start().await;
    let mut alice = site.signed_in("alice").await;
    assert_eq!(alice.get("/staff").await.body, "for the staff");

    let mut bob = site.signed_in("bob").await;
    let page = bob.get("/staff").await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    assert_eq!(page.header(header::LOCATION), None);
    assert!(
        is_html(&page) && !page.body.contains("/login?return_to"),
        "{}",
        page.body
    );
    assert_eq!(page.header(header::CACHE_CONTROL), Some("no-store"));
    assert!(page.set_cookies().is_empty());
    let call = bob.fetch(Method::GET, "/staff", "").await;
    assert_problem(&call, 403, "forbidden");
    assert!(
        call.json()["login_url"].is_null(),
        "signing in does not help"
    );
    assert_eq!(bob.signed_in_as().await, "user bob");

    // A guest may turn out to be authorized.
    let mut guest = site.browser();
    assert_eq!(
        guest.get("/staff").await.location(),
        "/login?return_to=%2Fstaff"
    );
}

#[tokio::test]
async fn r3_of_several_rules_all_must_hold() {
    let site = TestSite::builder()
        .app(|oten| {
            let guard = oten
                .require_login()
                .authorize(|user| user.subject() != "carol")
                .authorize(|user| user.subject() != "bob");
            Router::new()
                .route("/staff", get(async || "for the staff"))
                .route_layer(guard)
                .merge(oten.routes())
                .layer(oten.layer())
        })
        .start()
        .await;
    for (user, status) in [("alice", 200), ("bob", 403), ("carol", 403)] {
        let answer = site.signed_in(user).await.get("/staff").await;
        assert_eq!(answer.status, status, "{user}");
    }
}

// R4: cost of a request

#[tokio::test]
async fn r4_a_protected_request_costs_one_store_read_and_no_call() {
    let (site, store) = TestSite::builder()
        .app(app_with_every_access)
        .start_watched()
        .await;
    let mut browser = site.signed_in("alice").await;
    let calls = provider_calls(&site);
    store.take_calls();
    for path in ["/user", "/guarded", "/everything", "/twice"] {
        assert_eq!(browser.get(path).await.status, StatusCode::OK, "{path}");
        assert_eq!(store.take_calls(), [Operation::Load], "{path}");
    }
    // A request that needs no user causes no store call.
    assert_eq!(browser.get("/open").await.body, "open");
    assert_eq!(store.take_calls(), []);
    assert_eq!(provider_calls(&site), calls);
}

#[tokio::test]
async fn r4_a_guest_without_a_cookie_costs_no_store_read() {
    let (site, store) = TestSite::builder()
        .app(app_with_every_access)
        .start_watched()
        .await;
    let mut guest = site.browser();
    for path in ["/user", "/guarded", "/everything", "/open", "/logout"] {
        guest.get(path).await;
        guest.fetch(Method::GET, path, "").await;
    }
    assert_eq!(store.take_calls(), []);
    assert!(site.store.is_empty());
    assert_eq!(provider_calls(&site), 0);

    // A cookie that names no session is looked up once. It stays: the response to an old request must
    // not remove the cookie that a newer response has set.
    guest
        .cookies
        .insert("oten_session".into(), "AAAAAAAAAAAAAAAAAAAAAA".into());
    guest.get("/everything").await;
    assert_eq!(store.take_calls(), [Operation::Load]);
    assert_eq!(guest.cookies.len(), 1);
}

/// Routes that need the user in every way that the crate offers.
fn app_with_every_access(oten: &Oten) -> Router {
    Router::new()
        .route(
            "/everything",
            get(
                async |a: User, session: Session, b: User, c: Option<User>| {
                    let note: Option<String> = session.get("note").await.unwrap();
                    format!("{a:?} {b:?} {c:?} {note:?}")
                },
            ),
        )
        .route("/guarded", get(async || "guarded"))
        .route_layer(oten.require_login().authorize(|user| user.name().is_some()))
        .route("/user", get(async |user: User| user.subject().to_owned()))
        .route("/twice", get(async |_: User| "twice"))
        .route_layer(from_fn(
            async |_: Option<User>, request, next: axum::middleware::Next| next.run(request).await,
        ))
        .route("/open", get(async || "open"))
        .merge(oten.routes())
        .layer(oten.layer())
}

fn provider_calls(site: &TestSite) -> u64 {
    let endpoints = [
        Endpoint::Discovery,
        Endpoint::Jwks,
        Endpoint::Authorization,
        Endpoint::Token,
        Endpoint::Userinfo,
        Endpoint::Validation,
    ];
    endpoints
        .iter()
        .map(|endpoint| site.emulator.calls(*endpoint))
        .sum()
}

// R5: caches

#[tokio::test]
async fn r5_responses_that_depend_on_the_user_are_not_cached() {
    let site = TestSite::builder().app(caching_app).start().await;
    let alice = site.signed_in("alice").await;
    let guest = site.browser();
    for (browser, path, expected) in [
        (&alice, "/guarded", Some("no-store")),
        (&alice, "/", Some("no-store")),
        (&alice, "/failing", Some("no-store")),
        (&alice, "/logout", Some("no-store")),
        (&alice, "/own", Some("private, max-age=60")),
        (&alice, "/open", None),
        (&guest, "/guarded", Some("no-store")),
        (&guest, "/login", Some("no-store")),
        (&guest, "/logout", Some("no-store")),
        (&guest, "/", None),
        (&guest, "/open", None),
        // Last, because it signs out.
        (&alice, "/flushed", Some("no-store")),
    ] {
        let answer = browser.clone().get(path).await;
        let sent: Vec<_> = answer
            .headers
            .get_all(header::CACHE_CONTROL)
            .iter()
            .collect();
        assert_eq!(sent, Vec::from_iter(expected), "{path}");
        // Also the page of a guest without a session.
        let varies = !matches!(path, "/open" | "/login");
        let mut vary = answer.headers.get_all(header::VARY).iter();
        assert_eq!(vary.any(|vary| vary == "cookie"), varies, "{path}");
    }
}

#[tokio::test]
async fn r5_responses_that_depend_on_the_apps_session_data_are_not_cached() {
    let site = TestSite::start().await;
    let mut guest = site.browser();
    // Without a cookie there is no session to depend on.
    assert_eq!(guest.get("/note").await.header(header::CACHE_CONTROL), None);
    // Nor is the cookie of a new session cached.
    let answer = guest.post("/note?of-a-guest").await;
    assert!(answer.sets_session());
    assert_eq!(answer.header(header::CACHE_CONTROL), Some("no-store"));
    assert_eq!(answer.header(header::VARY), Some("cookie"));
    for mut browser in [guest, site.signed_in("alice").await] {
        let answer = browser.get("/note").await;
        assert_eq!(answer.header(header::CACHE_CONTROL), Some("no-store"));
        assert_eq!(answer.header(header::VARY), Some("cookie"));
    }
}

#[tokio::test]
async fn r5_no_response_with_a_cookie_of_a_session_or_a_sign_in_is_cached() {
    async fn make_public(mut response: Response) -> Response {
        for name in ["cache-control", "cdn-cache-control", "surrogate-control"] {
            let value = HeaderValue::from_static("public, max-age=3600");
            response.headers_mut().insert(name, value);
        }
        response
    }
    let site = TestSite::builder().app(|oten| {
        Router::new()
            .route("/flushed", get(async || "flushed"))
            .route_layer(from_fn(flush))
            .route(
                "/user",
                get(async |user: Option<User>| format!("{}", user.is_some())),
            )
            .route(
                "/own",
                get(async |_: Session| [(header::SET_COOKIE, "theme=dark; Path=/")]),
            )
            .route(
                "/saved",
                get(async |session: Session| session.insert("x", 1).await.unwrap()),
            )
            .merge(oten.routes())
            .layer(map_response(make_public))
            .layer(oten.layer())
    });
    let site = site.start().await;
    let mut alice = site.browser();
    let login = alice.get("/login").await;
    let callback = alice.approve(&login.location().parse().unwrap(), "alice");
    let mut answers = vec![("/login", login), ("/callback", alice.get(&callback).await)];
    for path in ["/user", "/own", "/saved"] {
        answers.push((path, alice.get(path).await));
    }
    answers.push(("/logout", alice.clone().post("/logout").await));
    let mut bob = site.signed_in("bob").await;
    answers.push(("/flushed", bob.get("/flushed").await));
    answers.push(("a guest's", site.browser().get("/saved").await));
    for (path, answer) in answers {
        let is_set = answer
            .set_cookies()
            .iter()
            .any(|it| it.starts_with("oten_"));
        // The session of a user exists.
        assert_eq!(
            is_set,
            !["/user", "/own", "/saved"].contains(&path),
            "{path}"
        );
        let expected = if is_set {
            "no-store"
        } else {
            "public, max-age=3600"
        };
        assert_eq!(
            answer.header(header::CACHE_CONTROL),
            Some(expected),
            "{path}"
        );
        for name in ["cdn-cache-control", "surrogate-control"] {
            assert_eq!(answer.headers.contains_key(name), !is_set, "{path} {name}");
        }
    }
}

/// Pages that set their own cache headers, fail, or sign out.
fn caching_app(oten: &Oten) -> Router {
    async fn home(user: Option<User>) -> String {
        format!("{}", user.is_some())
    }
    Router::new()
        .route("/flushed", get(home))
        .route_layer(from_fn(flush))
        .route("/guarded", get(async || "guarded"))
        .route("/failing", get(async || StatusCode::INTERNAL_SERVER_ERROR))
        .route(
            "/own",
            get(async |_: User| [(header::CACHE_CONTROL, "private, max-age=60")]),
        )
        .route_layer(oten.require_login())
        .route("/", get(home))
        .route("/open", get(async || "open"))
        .merge(oten.routes())
        .layer(oten.layer())
}

async fn flush(
    session: Session,
    request: axum::extract::Request,
    next: axum::middleware::Next,
) -> Response {
    session.flush().await.unwrap();
    next.run(request).await
}

// L6: lifetimes

#[tokio::test]
async fn l6_an_idle_session_expires() {
    let site = short_lived().start().await;
    let mut browser = site.browser();
    let answer = browser.sign_in("alice", "/").await;
    assert_eq!(session_cookie(&answer).matches("Max-Age=7200").count(), 1);
    let cookies = browser.cookies.clone();
    site.clock.advance(Duration::from_secs(20 * 60 - 1));
    assert_eq!(
        browser.signed_in_as().await,
        "user alice",
        "and that counts as activity"
    );
    site.clock.advance(Duration::from_secs(20 * 60 - 1));
    assert_eq!(browser.signed_in_as().await, "user alice");
    site.clock.advance(20 * MINUTE);
    assert_eq!(browser.signed_in_as().await, "guest");
    // Even if the browser keeps the cookie.
    browser.cookies = cookies;
    assert_eq!(browser.get("/profile").await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn l6_guests_have_an_idle_time_of_their_own() {
    let minute = Duration::from_secs(60);
    let site = TestSite::builder()
        .config(move |config| config.guest_session_idle(10 * minute))
        .start()
        .await;
    let mut guest = site.browser();
    guest.fetch(Method::POST, "/note", "a guest's").await;
    let mut user = guest.clone();
    user.sign_in("alice", "/").await;
    guest = site.browser();
    guest.fetch(Method::POST, "/note", "a guest's").await;
    for _ in 0..2 {
        site.clock.advance(9 * minute);
        assert_eq!(guest.get("/note").await.body, "a guest's");
    }
    site.clock.advance(10 * minute);
    assert_eq!(guest.get("/note").await.body, "no note");
    assert_eq!(user.get("/note").await.body, "a guest's");
    assert_eq!(user.signed_in_as().await, "user alice");
}

#[tokio::test]
async fn l6_an_active_session_expires_at_its_absolute_lifetime() {
    let site = short_lived().start().await;
    let mut browser = site.signed_in("alice").await;
    let mut writer = browser.clone();
    let cookies = browser.cookies.clone();
    for minutes in 1..12 {
        site.clock.advance(10 * MINUTE);
        assert_eq!(
            browser.signed_in_as().await,
            "user alice",
            "{minutes}0 minutes"
        );
        // Saved data does not extend the session.
        writer
            .fetch(Method::POST, "/note", &format!("{minutes}"))
            .await;
    }
    site.clock.advance(Duration::from_secs(10 * 60 - 1));
    assert_eq!(browser.signed_in_as().await, "user alice");
    site.clock.advance(Duration::from_secs(1));
    assert_eq!(browser.signed_in_as().await, "guest");
    browser.cookies = cookies;
    assert_eq!(browser.get("/profile").await.status, StatusCode::SEE_OTHER);
    assert!(site.store.is_empty(), "the tokens end with the session");
}

#[tokio::test]
async fn l6_activity_is_stored_every_twentieth_of_the_idle_time() {
    let (site, store) = short_lived().start_watched().await;
    let mut browser = site.signed_in("alice").await;
    store.take_calls();
    for _ in 0..5 {
        browser.signed_in_as().await;
    }
    assert_eq!(store.take_calls(), [Operation::Load; 5]);
    site.clock.advance(Duration::from_millis(59_999));
    browser.signed_in_as().await;
    assert_eq!(store.take_calls(), [Operation::Load]);
    site.clock.advance(Duration::from_millis(1));
    browser.signed_in_as().await;
    // The two sets of the index, the tokens and the session.
    let extended = [
        Operation::Load,
        Operation::AddMember,
        Operation::AddMember,
        Operation::Touch,
        Operation::Replace,
    ];
    assert_eq!(store.take_calls(), extended);
    browser.signed_in_as().await;
    assert_eq!(store.take_calls(), [Operation::Load]);

    for _ in 0..60 {
        site.clock.advance(Duration::from_secs(10));
        browser.signed_in_as().await;
    }
    let calls = store.take_calls();
    for operation in [Operation::Touch, Operation::Replace] {
        let updates = calls.iter().filter(|call| **call == operation);
        assert_eq!(updates.count(), 10, "in ten minutes");
    }
}

#[tokio::test]
async fn l6_a_failure_to_store_activity_fails_no_request() {
    let (site, store) = short_lived().start_watched().await;
    let mut browser = site.signed_in("alice").await;
    site.clock.advance(10 * MINUTE);
    store.fails(&[Operation::Touch]);
    assert_eq!(browser.get("/profile").await.status, StatusCode::OK);
    store.recover();
    assert_eq!(browser.signed_in_as().await, "user alice");
}

#[tokio::test]
async fn l8_a_store_failure_that_fails_no_request_is_logged_with_its_cause() {
    let log = Log::start();
    let (site, store) = TestSite::builder().start_watched().await;
    let mut browser = site.signed_in("alice").await;
    site.clock.advance(60 * MINUTE);
    store.fails(&[
        Operation::Touch,
        Operation::RemoveIf,
        Operation::RemoveMember,
    ]);
    assert_eq!(browser.get("/profile").await.status, StatusCode::OK);
    browser.post("/logout").await;
    let text = log.text();
    for message in [
        "failed to extend the expiry of a session",
        "failed to release a refresh lease",
        "failed to remove an ended session from the index",
    ] {
        let mut lines = text.lines().filter(|line| line.contains(message));
        let line = lines.next().unwrap_or_else(|| panic!("{message}: {text}"));
        assert!(line.starts_with("axum_oten {"), "{line}");
        assert!(line.contains("simulated failure"), "{line}");
    }
}

#[tokio::test]
async fn l6_the_lifetime_ends_in_a_store_that_does_not_expire_records() {
    // The clock of this store stands still.
    let (store, clock) = (MemoryStore::default(), Clock::manual());
    let site = short_lived().start_with(store.clone(), store, clock).await;
    let mut browser = site.signed_in("alice").await;
    site.clock.advance(120 * MINUTE);
    assert!(!site.store.is_empty());
    for path in ["/profile", "/token"] {
        assert_eq!(browser.get(path).await.status, StatusCode::SEE_OTHER);
    }
}

/// Idle time of 20 minutes, lifetime of 2 hours.
fn short_lived() -> crate::common::TestSiteBuilder {
    TestSite::builder().config(|config| {
        config
            .session_idle(20 * MINUTE)
            .session_lifetime(120 * MINUTE)
    })
}

// L8: store outages

#[tokio::test]
async fn l8_a_store_outage_gets_503_and_signs_no_user_out() {
    let (site, store) = TestSite::builder().start_watched().await;
    let mut browser = site.signed_in("alice").await;
    let callback = {
        let mut other = browser.clone();
        let url = other.start_login("/profile").await;
        (other.approve(&url, "alice"), other)
    };
    let cookies = browser.cookies.clone();
    store.fails(&Operation::ALL);
    for path in [
        "/",
        "/profile",
        "/extracted",
        "/token",
        "/staff",
        "/login",
        "/logout",
    ] {
        assert_down(&browser.get(path).await, path);
        if path != "/login" {
            assert_down(&browser.fetch(Method::GET, path, "").await, path);
        }
    }
    assert_down(&browser.post("/logout").await, "POST /logout");
    assert_eq!(browser.get("/open").await.status, StatusCode::OK);
    let (path, mut returning) = callback;
    assert_down(&returning.get(&path).await, "the callback");
    assert_eq!(browser.cookies, cookies);

    store.recover();
    assert_eq!(browser.signed_in_as().await, "user alice");
    assert_eq!(
        returning.get(&path).await.location(),
        "/profile",
        "press reload"
    );
}

#[tokio::test]
async fn l8_a_guest_without_a_cookie_is_served_during_an_outage_until_login() {
    let (site, store) = TestSite::builder().start_watched().await;
    store.fails(&Operation::ALL);
    let mut guest = site.browser();
    assert_eq!(guest.signed_in_as().await, "guest");
    let login = guest.get("/profile").await.location().to_owned();
    assert_down(&guest.get(&login).await, "and there the way ends");
    assert!(guest.cookies.is_empty());
}

#[tokio::test]
async fn l8_a_session_that_cannot_be_saved_gets_503() {
    let (site, store) = TestSite::builder().start_watched().await;
    let mut browser = site.signed_in("alice").await;
    let before = browser.cookies.clone();
    store.fails(&[Operation::Replace]);
    let answer = browser.fetch(Method::POST, "/note", "lost").await;
    assert_down(&answer, "a user's note");
    let mut guest = site.browser();
    store.fails(&[Operation::Insert]);
    assert_down(
        &guest.fetch(Method::POST, "/note", "lost").await,
        "a guest's note",
    );
    store.recover();
    assert_eq!(browser.cookies, before);
    assert_eq!(browser.get("/note").await.body, "no note");
    assert_eq!(browser.signed_in_as().await, "user alice");
}

/// The store executes the write of the pointer to the new ID, but its answer is lost.
#[tokio::test]
async fn l8_a_new_session_id_whose_answer_is_lost_reaches_the_browser() {
    let (site, store) = TestSite::builder().start_watched().await;
    let mut browser = site.signed_in("alice").await;
    store.loses_answers(&[Operation::Replace]);
    assert!(browser.post("/cycle").await.sets_session());
    store.recover();
    assert_eq!(browser.signed_in_as().await, "user alice");
}

#[tokio::test]
async fn l8_a_read_of_a_hanging_store_times_out_within_two_seconds() {
    let (site, store) = TestSite::builder().start_watched().await;
    let mut browser = site.signed_in("alice").await;
    let tab = |of: &Browser| of.clone();
    let mut tabs: Vec<_> = (0..6).map(|_| tab(&browser)).collect();
    store.hangs(&Operation::ALL);
    let started = Instant::now();
    let [home, page, token, button, logout, api] = &mut tabs[..] else {
        unreachable!()
    };
    let answers = async {
        tokio::join!(
            home.get("/"),
            page.get("/profile"),
            token.get("/token"),
            logout.post("/logout"),
            api.fetch(Method::GET, "/extracted", ""),
            button.get("/logout"),
        )
    };
    let answers = timeout(TEST_TIMEOUT, answers).await;
    let answers = answers.expect("no request hangs with the store");
    let waited = started.elapsed();
    assert!(waited < STORE_DEADLINE, "{waited:?}");
    assert_down(&answers.0, "an optional user is not taken for a guest");
    assert_down(&answers.1, "a page");
    assert_down(&answers.2, "a token");
    assert_down(&answers.3, "signing out");
    assert_down(&answers.4, "a call");
    assert_down(&answers.5, "the button");
    store.recover();
    assert_eq!(browser.signed_in_as().await, "user alice");
}

#[tokio::test]
async fn l8_a_save_to_a_hanging_store_times_out_within_two_seconds() {
    let (site, store) = TestSite::builder().start_watched().await;
    let mut browser = site.signed_in("alice").await;
    store.hangs(&[
        Operation::Replace,
        Operation::Touch,
        Operation::Take,
        Operation::Insert,
    ]);
    let started = Instant::now();
    let answer = timeout(TEST_TIMEOUT, browser.fetch(Method::POST, "/note", "lost")).await;
    let answer = answer.expect("no request hangs with the store");
    let waited = started.elapsed();
    assert!(waited < STORE_DEADLINE, "{waited:?}");
    assert_down(&answer, "a note");
}

#[tokio::test]
async fn a_request_that_fails_with_5xx_discards_its_session_changes() {
    let site = TestSite::builder()
        .app(|oten| {
            crate::common::app(oten).merge(
                Router::new()
                    .route("/fail", post(write_and_fail))
                    .layer(Extension(()))
                    .layer(oten.layer()),
            )
        })
        .start()
        .await;
    let mut browser = site.signed_in("alice").await;
    let answer = browser.post("/fail").await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert!(answer.set_cookies().is_empty());
    assert_eq!(browser.get("/note").await.body, "no note");
    assert_eq!(browser.signed_in_as().await, "user alice");
    // A guest gets no session.
    let mut guest = site.browser();
    assert!(guest.post("/fail").await.set_cookies().is_empty());
}

async fn write_and_fail(session: Session) -> impl IntoResponse {
    session.insert("note", "half done").await.unwrap();
    StatusCode::BAD_GATEWAY
}

fn assert_down(answer: &Answer, what: &str) {
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{what}");
    assert_eq!(answer.header(header::RETRY_AFTER), Some("5"), "{what}");
    assert_eq!(
        answer.header(header::CACHE_CONTROL),
        Some("no-store"),
        "{what}"
    );
    assert_eq!(answer.header(header::LOCATION), None, "{what}");
    assert!(answer.set_cookies().is_empty(), "{what}: {answer:?}");
    if !is_html(answer) {
        assert_problem(answer, 503, "store_down");
    }
    assert!(
        !answer.body.contains("simulated failure"),
        "the cause is for the log"
    );
}

fn assert_problem(answer: &Answer, status: u16, reason: &str) {
    assert_eq!(answer.status, status, "{}", answer.body);
    assert_eq!(
        answer.header(header::CONTENT_TYPE),
        Some("application/problem+json")
    );
    assert_eq!(answer.header(header::CACHE_CONTROL), Some("no-store"));
    let problem = answer.json();
    assert_eq!(problem["status"], status);
    assert_eq!(problem["reason"], reason);
}

fn is_html(answer: &Answer) -> bool {
    answer.header(header::CONTENT_TYPE) == Some("text/html; charset=utf-8")
}

/// The complete session cookie of a response.
fn session_cookie(answer: &Answer) -> &str {
    let mut cookies = answer.set_cookies().into_iter();
    let cookie = cookies.find(|cookie| cookie.starts_with("oten_session="));
    cookie.unwrap()
}

/// A request of a guest with these headers only.
async fn request(
    site: &TestSite,
    method: Method,
    path: &str,
    headers: &[(&'static str, &'static str)],
) -> Answer {
    let mut request = Request::new(Body::empty());
    *request.method_mut() = method;
    *request.uri_mut() = path.parse().unwrap();
    let pairs = headers.iter().map(|(name, value)| {
        let name: header::HeaderName = name.parse().unwrap();
        (name, value.parse().unwrap())
    });
    *request.headers_mut() = pairs.collect::<HeaderMap>();
    send(&site.app, request).await
}
