//! S10 to S12: options of a sign-in, silent sign-ins, and sign-ins that another site starts.

use std::{collections::HashMap, time::Duration};

use axum::{
    Router,
    body::Body,
    http::{Method, Request, StatusCode, Uri, header},
    response::Response,
    routing::get,
};
use axum_oten::{
    config::ConfigBuilder,
    emulator::{Deviation, EmulatorError, Endpoint},
    web::{ErrorResponse, Login, LoginOptions},
};
use reqwest::redirect::Policy;
use serde_json::json;
use url::Url;

use crate::common::{
    Answer, Browser, ClientKind, Log, TestSite, TestSiteBuilder, app, parameters, path_and_query,
    send, with_parameter, without_parameter,
};

const HOUR: Duration = Duration::from_secs(3600);

/// A site whose handlers start sign-ins with options.
fn site_with_handlers() -> TestSiteBuilder {
    TestSite::builder().app(|oten| {
        let handlers = Router::new()
            .route("/start", get(start))
            .route("/hint", get(hint))
            .route("/fresh", get(fresh))
            .route("/login-again", get(login_again))
            .route("/silent", get(silent))
            .layer(oten.layer());
        handlers.merge(app(oten))
    })
}

async fn start(login: Login) -> Result<Response, ErrorResponse> {
    let options = LoginOptions::new()
        .login_hint("Ann Ö. <ann@example.com>")
        .ui_locales("de-CH de")
        .max_age(HOUR)
        .prompt("consent")
        .acr_values("urn:mfa urn:password")
        .parameter("workspace", "a & \"b\"");
    login.start(options, "/page?a=b").await
}

/// Takes both from the query, as an app may.
async fn hint(login: Login, uri: Uri) -> Result<Response, ErrorResponse> {
    let query = uri.query().unwrap_or_default().as_bytes();
    let query: HashMap<_, _> = url::form_urlencoded::parse(query).collect();
    let options = LoginOptions::new().login_hint(&query["hint"]);
    login.start(options, &query["return_to"]).await
}

async fn fresh(login: Login) -> Result<Response, ErrorResponse> {
    let options = LoginOptions::new().max_age(Duration::ZERO);
    login.start(options, "/page").await
}

async fn login_again(login: Login) -> Result<Response, ErrorResponse> {
    login
        .start(LoginOptions::new().prompt("login"), "/page")
        .await
}

async fn silent(login: Login) -> Result<Response, ErrorResponse> {
    login
        .start(LoginOptions::new().prompt("none"), "/page?a=b#c")
        .await
}

async fn authorization_url(browser: &mut Browser, path: &str) -> Url {
    browser.get(path).await.location().parse().unwrap()
}

/// The callback with which the emulator answers a silent request of a user who is not signed in there.
fn silent_callback(site: &TestSite, url: &Url) -> String {
    match site.emulator.approve(url, "alice") {
        Err(EmulatorError::Rejected(rejection)) => path_and_query(rejection.redirect().unwrap()),
        other => panic!("{other:?}"),
    }
}

fn is_page(answer: &Answer, status: StatusCode) -> bool {
    answer.status == status && answer.body.contains("<h1>") && !answer.sets_session()
}

// S10: options

#[tokio::test]
async fn s10_a_handler_starts_a_sign_in_with_options() {
    for kind in ClientKind::ALL {
        let site = site_with_handlers().client(kind).start().await;
        let mut browser = site.browser();
        let url = authorization_url(&mut browser, "/start").await;
        let plain = kind == ClientKind::Public;
        assert_eq!(url.query_pairs().count(), if plain { 14 } else { 2 });
        let sent = parameters(&url);
        for (name, value) in [
            ("login_hint", json!("Ann Ö. <ann@example.com>")),
            ("ui_locales", json!("de-CH de")),
            ("max_age", if plain { json!("3600") } else { json!(3600) }),
            ("prompt", json!("consent")),
            ("acr_values", json!("urn:mfa urn:password")),
            ("workspace", json!("a & \"b\"")),
        ] {
            assert_eq!(sent[name], value, "{kind:?}");
        }
        let callback = browser.approve(&url, "alice");
        assert_eq!(browser.get(&callback).await.location(), "/page?a=b");
        // The next sign-in has none of them.
        let plain = parameters(&site.browser().start_login("/").await);
        assert!(!plain.contains_key("workspace") && !plain.contains_key("max_age"));
    }
}

#[tokio::test]
async fn s10_the_return_path_of_a_handler_is_a_local_path() {
    let site = site_with_handlers().start().await;
    for (path, end) in [
        ("%2Fa%3Fb", "/a?b"),
        ("https%3A%2F%2Fevil.example", "/"),
        ("%2F%2Fevil.example", "/"),
        ("%2F.%2Flogout", "/"),
    ] {
        let mut browser = site.browser();
        let path = format!("/hint?hint=a&return_to={path}");
        let url = authorization_url(&mut browser, &path).await;
        let callback = browser.approve(&url, "alice");
        assert_eq!(browser.get(&callback).await.location(), end);
    }
}

#[tokio::test]
async fn s10_an_invalid_option_starts_nothing() {
    let site = site_with_handlers().start().await;
    for hint in ["a%0Ab".to_owned(), "a".repeat(3000)] {
        let mut browser = site.browser();
        let log = Log::start();
        let answer = browser.get(&format!("/hint?hint={hint}&return_to=/")).await;
        assert!(is_page(&answer, StatusCode::BAD_REQUEST), "{}", answer.body);
        let refusal = log.refusal();
        assert_eq!(refusal["reason"], "login_request");
        assert!(refusal["cause"].contains("`login_hint`"), "{refusal:?}");
        assert!(browser.login_cookies().is_empty());
    }
    assert_eq!(site.emulator.calls(Endpoint::Authorization), 0);
}

#[tokio::test]
async fn s10_a_prefetch_of_a_handler_starts_nothing() {
    let site = site_with_handlers().start().await;
    let mut browser = site.browser();
    let mut request = browser.navigation(Method::GET, "/start");
    let purpose = "prefetch".parse().unwrap();
    request.headers_mut().insert("sec-purpose", purpose);
    let answer = browser.send(request).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(answer.set_cookies().is_empty());
}

#[tokio::test]
async fn s10_the_id_token_must_prove_max_age_and_prompt_login() {
    for path in ["/fresh", "/login-again"] {
        for kind in ClientKind::ALL {
            let site = site_with_handlers().client(kind).start().await;
            let now = site.clock.unix_now();
            let old = Deviation::Claim("auth_time", json!(now - 61));
            for deviation in [old, Deviation::WithoutClaim("auth_time")] {
                site.emulator.deviate(deviation);
                let mut browser = site.browser();
                let url = authorization_url(&mut browser, path).await;
                let callback = browser.approve(&url, "alice");
                let log = Log::start();
                let answer = browser.get(&callback).await;
                assert!(is_page(&answer, StatusCode::BAD_GATEWAY), "{}", answer.body);
                assert_eq!(log.refusal()["reason"], "id_token_auth_time");
                site.emulator.clear_deviations();
            }
            // The login route, which has no such option, accepts both.
            site.emulator.deviate(Deviation::WithoutClaim("auth_time"));
            site.signed_in("alice").await;
        }
    }
}

#[tokio::test]
async fn s10_the_time_that_the_user_takes_does_not_count() {
    let site = site_with_handlers().start().await;
    let mut browser = site.browser();
    let url = authorization_url(&mut browser, "/fresh").await;
    // The user enters the password, and then looks for the second factor.
    let callback = browser.approve(&url, "alice");
    site.clock.advance(Duration::from_secs(9 * 60));
    assert_eq!(browser.get(&callback).await.location(), "/page");
}

#[tokio::test]
async fn s10_the_query_of_the_login_route_sets_listed_options_only() {
    let query = "login_hint=a%40b&ui_locales=de&max_age=60&prompt=select_account&acr_values=x\
                 &workspace=w&state=forged&nonce=forged&scope=openid";
    let site = TestSite::start().await;
    let sent =
        parameters(&authorization_url(&mut site.browser(), &format!("/login?{query}")).await);
    for name in [
        "login_hint",
        "ui_locales",
        "max_age",
        "prompt",
        "acr_values",
        "workspace",
    ] {
        assert!(!sent.contains_key(name), "{name}");
    }
    assert!(sent["state"] != "forged" && sent["nonce"] != "forged");
    assert_eq!(sent["scope"], "openid profile email");

    let site = TestSite::builder()
        .config(|config| {
            let names = ["login_hint", "max_age", "ui_locales", "workspace"];
            config
                .max_age(HOUR)
                .ui_locales("fr")
                .login_parameters(names)
        })
        .start()
        .await;
    for (query, expected) in [
        (query, [json!("a@b"), json!(60), json!("de"), json!("w")]),
        ("", [json!(null), json!(3600), json!("fr"), json!(null)]),
        // A longer age, an invalid value and repeated values are ignored.
        (
            "max_age=7200&ui_locales=%3Cb%3E&login_hint=a&login_hint=b&workspace=a%00",
            [json!(null), json!(3600), json!("fr"), json!(null)],
        ),
        (
            "max_age=-1&ui_locales=&workspace=",
            [json!(null), json!(3600), json!("fr"), json!(null)],
        ),
    ] {
        let path = format!("/login?{query}");
        let sent = parameters(&authorization_url(&mut site.browser(), &path).await);
        let names = ["login_hint", "max_age", "ui_locales", "workspace"];
        let found = names.map(|name| sent.get(name).cloned().unwrap_or_default());
        assert_eq!(found, expected, "{query}");
        assert!(!sent.contains_key("prompt"));
    }
}

// S11: silent sign-ins

#[tokio::test]
async fn s11_a_silent_sign_in_returns_a_guest_to_the_page() {
    for kind in ClientKind::ALL {
        let site = site_with_handlers().client(kind).start().await;
        for code in [
            "login_required",
            "interaction_required",
            "consent_required",
            "account_selection_required",
        ] {
            let mut browser = site.browser();
            let url = authorization_url(&mut browser, "/silent").await;
            assert_eq!(parameters(&url)["prompt"], "none");
            let callback = with_parameter(&silent_callback(&site, &url), "error", code);
            let log = Log::start();
            let answer = browser.get(&callback).await;
            assert_eq!(answer.location(), "/page?a=b&login_required=1#c", "{code}");
            assert!(!answer.sets_session());
            assert!(answer.set_cookies()[0].contains("Max-Age=60"));
            assert!(!log.contains("refused"));

            // Neither the login route nor a handler asks the provider again.
            let calls = site.emulator.calls(Endpoint::Authorization);
            let again = browser.get("/silent").await;
            assert_eq!(again.location(), "/page?a=b&login_required=1#c");
            assert_eq!(site.emulator.calls(Endpoint::Authorization), calls);
            // The same callback again, as with the back button.
            let again = browser.get(&callback).await;
            assert_eq!(again.location(), "/page?a=b&login_required=1#c");
            // The user can sign in.
            browser.sign_in("alice", "/page").await;
        }
    }
}

#[tokio::test]
async fn s11_other_errors_of_a_silent_sign_in_have_a_page() {
    let site = site_with_handlers().start().await;
    for (code, status) in [
        ("server_error", 503),
        ("access_denied", 200),
        ("invalid_scope", 500),
    ] {
        let mut browser = site.browser();
        let url = authorization_url(&mut browser, "/silent").await;
        let callback = with_parameter(&silent_callback(&site, &url), "error", code);
        let answer = browser.get(&callback).await;
        assert!(
            is_page(&answer, StatusCode::from_u16(status).unwrap()),
            "{code}"
        );
    }
}

#[tokio::test]
async fn s11_a_silent_sign_in_of_the_query_marks_the_return_path_once() {
    let site = TestSite::builder()
        .config(|config| config.login_parameters(["prompt"]).home("/?x#top"))
        .start()
        .await;
    for (return_to, end) in [
        ("", "/?x&login_required=1#top"),
        ("&return_to=/a", "/a?login_required=1"),
        (
            "&return_to=/a%3Flogin_required%3D1%23b",
            "/a?login_required=1#b",
        ),
        ("&return_to=//evil.example", "/?x&login_required=1#top"),
    ] {
        let mut browser = site.browser();
        let path = format!("/login?prompt=none{return_to}");
        let url = authorization_url(&mut browser, &path).await;
        let callback = silent_callback(&site, &url);
        assert_eq!(browser.get(&callback).await.location(), end);
        assert_eq!(browser.get(&path).await.location(), end);
    }
    // A signed-in user is not asked.
    let mut browser = site.signed_in("alice").await;
    let answer = browser.get("/login?prompt=none&return_to=/a").await;
    assert_eq!(answer.location(), "/a");
    assert_eq!(browser.signed_in_as().await, "user alice");
}

#[tokio::test]
async fn s11_a_browser_without_cookies_gets_no_error_page() {
    let site = site_with_handlers().start().await;
    let url = authorization_url(&mut site.browser(), "/silent").await;
    let callback = silent_callback(&site, &url);
    let answer = site.browser().get(&callback).await;
    assert_eq!(answer.location(), "/?login_required=1");
    assert!(!answer.sets_session());
    // It ends no session either.
    let mut browser = site.signed_in("alice").await;
    assert_eq!(browser.get(&callback).await.location(), "/");
    assert_eq!(browser.signed_in_as().await, "user alice");
    // Without `state` it is an error page, as before.
    let answer = site
        .browser()
        .get(&without_parameter(&callback, "state"))
        .await;
    assert!(is_page(&answer, StatusCode::BAD_REQUEST), "{}", answer.body);
}

/// There every sign-in is silent, so the page would start the next one.
#[tokio::test]
async fn s11_with_a_configured_prompt_none_the_error_is_a_page() {
    let site = TestSite::builder()
        .config(|config| config.prompt("none"))
        .start()
        .await;
    let mut browser = site.browser();
    let url = browser.start_login("/profile").await;
    let callback = silent_callback(&site, &url);
    assert!(is_page(
        &browser.get(&callback).await,
        StatusCode::FORBIDDEN
    ));
    // In a browser without cookies, the login restarts once.
    let restarted = site.browser().get(&callback).await;
    assert!(restarted.location().starts_with("/login?"));
}

#[tokio::test]
async fn s11_a_user_of_the_provider_is_signed_in_silently() {
    let site = site_with_handlers().start().await;
    let mut browser = site.browser();
    let provider = reqwest::Client::builder()
        .no_proxy()
        .redirect(Policy::none())
        .build()
        .unwrap();
    let issuer = Url::parse(site.emulator.issuer()).unwrap();
    let next = |response: &reqwest::Response| {
        let location = response.headers()[header::LOCATION].to_str().unwrap();
        issuer.join(location).unwrap()
    };
    // The user signs in at the provider, and consents.
    let url = browser.start_login("/").await;
    let page = next(&provider.get(url).send().await.unwrap());
    let interaction = |page: &Url| page.query_pairs().next().unwrap().1.into_owned();
    let form = |page: &Url, name: &str, value: &str| {
        url::form_urlencoded::Serializer::new(String::new())
            .append_pair("interaction", &interaction(page))
            .append_pair(name, value)
            .finish()
    };
    let post = |path: &str, body: String| {
        provider
            .post(issuer.join(path).unwrap())
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body)
            .send()
    };
    let login = post("/v1/oauth/login", form(&page, "user", "alice"))
        .await
        .unwrap();
    let cookie = login.headers()[header::SET_COOKIE].to_str().unwrap();
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let consent = form(&next(&login), "decision", "allow");
    post("/v1/oauth/consent", consent).await.unwrap();

    let url = authorization_url(&mut browser, "/silent").await;
    let request = provider.get(url).header(header::COOKIE, cookie);
    let callback = next(&request.send().await.unwrap());
    let answer = browser.get(&path_and_query(&callback)).await;
    assert_eq!(answer.location(), "/page?a=b#c");
    assert_eq!(browser.signed_in_as().await, "user alice");
}

// S12: sign-ins that another site starts

fn initiated(iss: &str, target: &str) -> String {
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("iss", iss)
        .append_pair("login_hint", "alice@example.com")
        .append_pair("target_link_uri", target)
        .append_pair("return_to", "/ignored")
        .finish();
    format!("/login?{query}")
}

#[tokio::test]
async fn s12_another_site_starts_a_sign_in() {
    for kind in ClientKind::ALL {
        let site = TestSite::builder().client(kind).start().await;
        let issuer = site.emulator.issuer();
        for (iss, target, end) in [
            (
                issuer.to_owned(),
                "http://127.0.0.1:3000/a?b=c#d",
                "/a?b=c#d",
            ),
            (format!("{issuer}/"), "HTTP://127.0.0.1:3000/a", "/a"),
            (issuer.to_uppercase(), "http://127.0.0.1:3000", "/"),
            // Not a page of this site.
            (issuer.to_owned(), "https://127.0.0.1:3000/a", "/"),
            (issuer.to_owned(), "http://127.0.0.1/a", "/"),
            (
                issuer.to_owned(),
                "http://127.0.0.1:3000@evil.example/a",
                "/",
            ),
            (issuer.to_owned(), "http://a@127.0.0.1:3000/a", "/"),
            (issuer.to_owned(), "http://:b@127.0.0.1:3000/a", "/"),
            (issuer.to_owned(), "http://evil.example/a", "/"),
            (
                issuer.to_owned(),
                "http://127.0.0.1:3000//evil.example",
                "/",
            ),
            (
                issuer.to_owned(),
                "http://127.0.0.1:3000/\\evil.example",
                "/",
            ),
            (
                issuer.to_owned(),
                "http://127.0.0.1:3000/%2Fevil.example",
                "/",
            ),
            (issuer.to_owned(), "javascript:alert(1)", "/"),
            (issuer.to_owned(), "//127.0.0.1:3000/a", "/"),
            (issuer.to_owned(), "/a", "/"),
            (issuer.to_owned(), "", "/"),
            // The crate's own routes.
            (issuer.to_owned(), "http://127.0.0.1:3000/login", "/"),
            (
                issuer.to_owned(),
                "http://127.0.0.1:3000/x/../%6cogout",
                "/",
            ),
        ] {
            let mut browser = site.browser();
            let url = authorization_url(&mut browser, &initiated(&iss, target)).await;
            assert_eq!(parameters(&url)["login_hint"], "alice@example.com");
            let callback = browser.approve(&url, "alice");
            assert_eq!(browser.get(&callback).await.location(), end, "{target}");
        }
    }
}

#[tokio::test]
async fn s12_another_issuer_is_rejected_and_never_contacted() {
    let site = TestSite::start().await;
    let other = TestSite::start().await;
    let issuer = site.emulator.issuer();
    let twice = format!("{}&iss=x", initiated(issuer, "http://127.0.0.1:3000/a"));
    for path in [
        initiated(other.emulator.issuer(), "http://127.0.0.1:3000/a"),
        initiated("", "http://127.0.0.1:3000/a"),
        initiated(&format!("{issuer}/x"), "http://127.0.0.1:3000/a"),
        initiated(&format!("{issuer}@evil.example"), "http://127.0.0.1:3000/a"),
        twice,
    ] {
        let log = Log::start();
        let answer = site.browser().get(&path).await;
        assert!(is_page(&answer, StatusCode::BAD_REQUEST), "{}", answer.body);
        assert!(answer.set_cookies().is_empty());
        assert_eq!(log.refusal()["reason"], "login_request");
        assert!(!log.contains("evil"));
    }
    for endpoint in [Endpoint::Discovery, Endpoint::Authorization] {
        assert_eq!(site.emulator.calls(endpoint), 0);
        assert_eq!(other.emulator.calls(endpoint), 0);
    }
}

#[tokio::test]
async fn s12_another_site_never_replaces_a_users_session() {
    let site = TestSite::start().await;
    let mut browser = site.signed_in("bob").await;
    let session = browser.session_cookie().map(str::to_owned);
    let path = initiated(site.emulator.issuer(), "http://127.0.0.1:3000/a");
    let answer = browser.get(&path).await;
    assert_eq!(answer.location(), "/a");
    assert!(answer.set_cookies().is_empty());
    assert_eq!(browser.session_cookie(), session.as_deref());
    assert_eq!(browser.signed_in_as().await, "user bob");
}

/// The request of a form on a page of another site. The browser sends no cookies with it.
fn foreign_form(site: &TestSite, body: impl Into<String>) -> Request<Body> {
    let mut request = site.browser().navigation(Method::POST, "/login");
    let headers = request.headers_mut();
    headers.insert("sec-fetch-site", "cross-site".parse().unwrap());
    headers.insert("origin", "https://portal.example".parse().unwrap());
    let content_type = "application/x-www-form-urlencoded".parse().unwrap();
    headers.insert(header::CONTENT_TYPE, content_type);
    *request.body_mut() = Body::from(body.into());
    request
}

fn body_of(path: &str) -> &str {
    path.split_once('?').unwrap().1
}

#[tokio::test]
async fn s12_another_site_starts_a_sign_in_with_a_form() {
    for kind in ClientKind::ALL {
        let site = TestSite::builder().client(kind).start().await;
        let path = initiated(site.emulator.issuer(), "http://127.0.0.1:3000/a?b=c");
        let redirected = send(&site.app, foreign_form(&site, body_of(&path))).await;
        assert!(redirected.set_cookies().is_empty());
        assert_eq!(site.store.len(), 0);
        let mut browser = site.browser();
        let url = authorization_url(&mut browser, redirected.location()).await;
        assert_eq!(parameters(&url)["login_hint"], "alice@example.com");
        let callback = browser.approve(&url, "alice");
        assert_eq!(browser.get(&callback).await.location(), "/a?b=c");
    }
}

#[tokio::test]
async fn s12_a_form_of_another_site_neither_replaces_a_session_nor_a_login_attempt() {
    let site = TestSite::start().await;
    let path = initiated(site.emulator.issuer(), "http://127.0.0.1:3000/a");
    let mut bob = site.signed_in("bob").await;
    let redirected = send(&site.app, foreign_form(&site, body_of(&path))).await;
    let answer = bob.get(redirected.location()).await;
    assert_eq!(answer.location(), "/a");
    assert!(answer.set_cookies().is_empty());
    assert_eq!(bob.signed_in_as().await, "user bob");

    // The attempt of another tab stays usable.
    let mut guest = site.browser();
    let open = guest.start_login("/open").await;
    let redirected = send(&site.app, foreign_form(&site, body_of(&path))).await;
    let started: Url = guest
        .get(redirected.location())
        .await
        .location()
        .parse()
        .unwrap();
    for (url, end) in [(started, "/a"), (open, "/open")] {
        let callback = guest.approve(&url, "alice");
        assert_eq!(guest.get(&callback).await.location(), end);
    }
}

#[tokio::test]
async fn s12_a_form_of_another_site_follows_the_rules_of_a_link() {
    let configure = |config: ConfigBuilder| config.login_parameters(["ui_locales"]);
    let site = TestSite::builder().config(configure).start().await;
    let issuer = site.emulator.issuer();
    let encoded = |pairs: &[(&str, &str)]| {
        let mut encoder = url::form_urlencoded::Serializer::new(String::new());
        encoder.extend_pairs(pairs).finish()
    };
    // Other parameters are dropped, such as the return path and the mark of a restarted login.
    let sent = [
        ("iss", issuer),
        ("ui_locales", "de"),
        ("return_to", "/open"),
        ("restart", "1"),
        ("prompt", "none"),
    ];
    let answer = send(&site.app, foreign_form(&site, encoded(&sent))).await;
    assert_eq!(answer.location(), format!("/login?{}", encoded(&sent[..2])));

    // The issuer is compared as in a link, also if it is repeated.
    for wrong in [
        encoded(&[("iss", "https://evil.example")]),
        encoded(&[("iss", issuer), ("iss", issuer)]),
    ] {
        let answer = send(&site.app, foreign_form(&site, wrong)).await;
        let answer = site.browser().get(answer.location()).await;
        assert!(is_page(&answer, StatusCode::BAD_REQUEST), "{}", answer.body);
    }

    let mut without_type = foreign_form(&site, encoded(&sent));
    without_type.headers_mut().remove(header::CONTENT_TYPE);
    let mut json = foreign_form(&site, "{}");
    let content_type = "application/json".parse().unwrap();
    json.headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    let oversized = encoded(&[("iss", issuer), ("login_hint", &"x".repeat(4096))]);
    for request in [
        without_type,
        json,
        foreign_form(&site, oversized),
        foreign_form(&site, ""),
        foreign_form(&site, encoded(&[("return_to", "/open")])),
    ] {
        let log = Log::start();
        let answer = send(&site.app, request).await;
        assert!(is_page(&answer, StatusCode::BAD_REQUEST), "{}", answer.body);
        assert_eq!(log.refusal()["reason"], "login_request");
    }
    assert_eq!(site.emulator.calls(Endpoint::Discovery), 0);
    assert_eq!(site.store.len(), 0);
}
