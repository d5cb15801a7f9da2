//! X3: forms that a sign-in interrupts.

use std::{
    future, io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{OriginalUri, RawQuery, State},
    http::{
        HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header,
        request::Parts,
    },
    middleware::{self, Next},
    response::{Html, IntoResponse, Response},
    routing::{get, post},
};
use axum_oten::{
    Clock, MemoryStore, Oten, Rule, User,
    emulator::{Endpoint::Token, Fault, LogoutTarget},
    web::Page,
};
use futures_util::stream;
use tokio::{sync::mpsc, task::JoinHandle};

use crate::{
    common::{
        Answer, Browser, ExternalStore, Log, Operation, TestSite, TestSiteBuilder, WatchedStore,
        eventually,
    },
    composition::cut_off,
    sign_out::{self, send_token},
};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

const FORM: &str = "application/x-www-form-urlencoded";

/// The number of requests that a handler got.
#[derive(Clone, Default)]
pub struct Handled(Arc<AtomicUsize>);

impl Handled {
    pub fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    /// An app whose handlers count.
    pub fn app(&self) -> impl FnOnce(&Oten) -> Router + 'static {
        let handled = self.clone();
        move |oten| app(oten, handled)
    }
}

/// What a handler sees of a form.
// The parts of a request.
#[allow(clippy::too_many_arguments)]
async fn handle(
    State(handled): State<Handled>,
    user: User,
    method: Method,
    uri: Uri,
    OriginalUri(original): OriginalUri,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> String {
    handled.0.fetch_add(1, Ordering::SeqCst);
    let header = |name| headers.get(name).map(|value| value.to_str().unwrap());
    format!(
        "{} {method} {uri} {original} {query:?} {:?} {:?} {:?} {}",
        user.subject(),
        header(header::CONTENT_TYPE),
        header(header::CONTENT_LENGTH),
        header(header::TRANSFER_ENCODING),
        String::from_utf8_lossy(&body)
    )
}

fn app(oten: &Oten, handled: Handled) -> Router {
    let fresh = || oten.require_fresh_login(5 * MINUTE);
    let route = |path: &str| Router::new().route(path, get(async || "page").post(handle));
    let inner = route("/inner").route_layer(fresh());
    Router::new()
        .merge(route("/transfer").route_layer(fresh()))
        .merge(route("/order").route_layer(oten.require_login()))
        .merge(route("/secret").route_layer(fresh().discard_forms()))
        .merge(
            route("/ruled").route_layer(oten.require(Rule::subjects(["alice"])).fresh(5 * MINUTE)),
        )
        .merge(route("/ruled-order").route_layer(oten.require(Rule::subjects(["alice"]))))
        .merge(
            route("/twice")
                .route_layer(fresh())
                .route_layer(oten.require_login()),
        )
        .route("/only-post", post(handle).layer(fresh()))
        .nest("/nested", inner)
        .with_state(handled)
        .route(
            "/",
            get(async |user: Option<User>| match user {
                Some(user) => format!("user {}", user.subject()),
                None => "guest".to_owned(),
            }),
        )
        .merge(oten.routes())
        .layer(oten.layer())
}

/// The request of a form, as a page of the site submits it.
pub fn form(browser: &Browser, path: &str, body: impl Into<Body>) -> Request<Body> {
    let mut request = browser.navigation(Method::POST, path);
    *request.body_mut() = body.into();
    let headers = request.headers_mut();
    headers.insert("sec-fetch-site", HeaderValue::from_static("same-origin"));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(FORM));
    request
}

pub async fn submit(browser: &mut Browser, path: &str, body: &str) -> Answer {
    let form = form(browser, path, body.to_owned());
    browser.send(form).await
}

/// Clicks a button of a page, whose form has no fields.
pub async fn click(browser: &mut Browser, path: &str) -> Answer {
    submit(browser, path, "").await
}

/// The first link or form action that begins with this.
fn target(answer: &Answer, attribute: &str) -> String {
    let (_, rest) = answer.body.split_once(attribute).expect(&answer.body);
    let (value, _) = rest.split_once('"').unwrap();
    value.replace("&#38;", "&").replace("&#39;", "'")
}

/// Returns the link of the page that says that a form is kept.
pub fn kept(answer: &Answer) -> String {
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{answer:?}");
    let text = "The form that you sent is kept for 30 minutes";
    assert!(answer.body.contains(text), "{answer:?}");
    let link = target(answer, "class=\"button\" href=\"");
    assert!(link.contains("return_to=%2Flogin%2Fform%3Fid%3D"), "{link}");
    link
}

fn assert_not_kept(answer: &Answer) {
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{answer:?}");
    let text = "The form that you sent is not kept";
    assert!(answer.body.contains(text), "{answer:?}");
    assert!(!answer.body.contains("return_to"), "{answer:?}");
    assert!(!answer.set_cookies().iter().any(|it| it.contains("_form=")));
}

/// Signs in with the link of a page, and returns the response to the callback.
pub async fn sign_in(browser: &mut Browser, link: &str, user: &str) -> Answer {
    let url = browser.get(link).await.location().parse().unwrap();
    let callback = browser.approve(&url, user);
    browser.get(&callback).await
}

/// Signs in, and returns the page with the kept form.
pub async fn page_after(browser: &mut Browser, link: &str, user: &str) -> (String, Answer) {
    let path = sign_in(browser, link, user).await.location().to_owned();
    let page = browser.get(&path).await;
    assert_eq!(page.status, StatusCode::OK, "{page:?}");
    assert!(page.body.contains("Form not sent yet"), "{page:?}");
    (path, page)
}

/// Where the page sends the form.
pub fn action_of(page: &Answer) -> String {
    target(page, "<form method=\"post\" action=\"")
}

fn assert_gone(answer: &Answer, title: &str) {
    assert_eq!(answer.status, StatusCode::GONE, "{answer:?}");
    let heading = format!("<h1>{title}</h1>");
    assert!(answer.body.contains(&heading), "{answer:?}");
    assert_eq!(answer.header(header::CACHE_CONTROL), Some("no-store"));
}

async fn site() -> (TestSite, Handled) {
    let handled = Handled::default();
    (builder(&handled).start().await, handled)
}

fn builder(handled: &Handled) -> TestSiteBuilder {
    TestSite::builder().app(handled.app())
}

/// A browser whose sign-in is no longer fresh.
async fn stale(site: &TestSite, user: &str) -> Browser {
    let browser = site.signed_in(user).await;
    site.clock.advance(7 * MINUTE);
    browser
}

/// A site, and a form of alice that waits to be sent to `/transfer?a=b`: its page and where it is sent.
async fn waiting() -> (TestSite, Handled, Browser, String, String) {
    let (site, handled) = site().await;
    let mut alice = stale(&site, "alice").await;
    let link = kept(&submit(&mut alice, "/transfer?a=b", "amount=5").await);
    let (path, page) = page_after(&mut alice, &link, "alice").await;
    (site, handled, alice, path, action_of(&page))
}

#[tokio::test]
async fn x3_a_form_is_sent_once_after_a_fresh_sign_in() {
    let log = Log::start();
    let (site, handled) = site().await;
    let mut alice = stale(&site, "alice").await;
    let body = "amount=5&to=M%C3%BCller+%26+Co&password=hunter2-is-secret";
    let target = "/transfer?a=b&c=%2F%3d'x";
    let interrupted = submit(&mut alice, target, body).await;
    let link = kept(&interrupted);
    assert!(link.starts_with("/login?fresh=300&"), "{link}");
    assert_eq!(interrupted.header(header::CACHE_CONTROL), Some("no-store"));
    let cookies = interrupted.set_cookies();
    let cookie = cookies
        .iter()
        .find(|it| it.starts_with("oten_form="))
        .unwrap();
    assert!(
        cookie.ends_with("; HttpOnly; SameSite=Lax; Path=/; Max-Age=1800"),
        "{cookie}"
    );
    let secret = alice.cookies["oten_form"].clone();

    let (path, page) = page_after(&mut alice, &link, "alice").await;
    for part in [
        "You are signed in as <strong><bdi>alice@example.com",
        "<code>/transfer?a=b&#38;c=%2F%3d&#39;x</code>",
        "<bdi>amount</bdi></dt><dd><bdi>5</bdi>",
        "<bdi>Müller &#38; Co</bdi>",
        "<bdi>password</bdi></dt><dd>•••••• (hidden)</dd>",
        ">Send again</button>",
        ">Discard</button>",
    ] {
        assert!(page.body.contains(part), "no {part} in {}", page.body);
    }
    assert!(!page.body.contains("hunter2"), "{}", page.body);
    assert_eq!(page.header(header::CACHE_CONTROL), Some("no-store"));
    let policy = page.header(header::CONTENT_SECURITY_POLICY).unwrap();
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    assert_eq!(page.header(header::X_FRAME_OPTIONS), Some("DENY"));
    assert!(!page.body.contains(&secret) && !path.contains(&secret));

    // The handler sees the original request.
    let action = action_of(&page);
    assert_eq!(handled.count(), 0);
    let sent = click(&mut alice, &action).await;
    let expected = format!(
        "alice POST {target} {target} Some({:?}) Some({FORM:?}) Some(\"57\") None {body}",
        target.split_once('?').unwrap().1
    );
    assert_eq!(sent.body, expected);
    assert_eq!(body.len(), 57);

    // A second click, a reload, and the back button.
    assert_gone(&click(&mut alice, &action).await, "Form already sent");
    assert_gone(&alice.get(&path).await, "Form already sent");
    assert_eq!(handled.count(), 1);
    assert!(!site.store.is_empty());
    let log = log.text();
    for secret in ["hunter2", "amount=5", &secret] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
    for event in ["form_kept", "form_sent"] {
        assert!(log.contains(event), "{event}");
    }
}

#[tokio::test]
async fn x3_two_clicks_at_once_send_a_form_once() {
    let (_site, handled, alice, _, action) = waiting().await;
    let clicks = (0..20).map(|_| {
        let (mut alice, action) = (alice.clone(), action.clone());
        tokio::spawn(async move { click(&mut alice, &action).await })
    });
    let mut sent = 0;
    for answer in clicks.collect::<Vec<_>>() {
        let answer = answer.await.unwrap();
        if answer.status == StatusCode::OK {
            sent += 1;
        } else {
            assert_gone(&answer, "Form already sent");
        }
    }
    assert_eq!((sent, handled.count()), (1, 1));
}

#[tokio::test]
async fn x3_a_form_is_kept_if_the_session_ends_in_its_request() {
    for path in ["/order?a=b", "/transfer?a=b", "/ruled-order?a=b"] {
        let (site, handled) = site().await;
        let mut alice = site.signed_in("alice").await;
        site.clock.advance(HOUR);
        site.emulator
            .fault(Token, Fault::OAuthError("invalid_grant"));
        let link = kept(&submit(&mut alice, path, "x=1").await);
        assert!(link.starts_with("/login?return_to="), "{link}");
        site.emulator.clear_faults();
        assert_eq!(alice.signed_in_as().await, "guest");
        // A guest who opens the page signs in first.
        let page = decoded(link.split_once("return_to=").unwrap().1);
        assert_eq!(alice.get(&page).await.location(), link);
        let (_, page) = page_after(&mut alice, &link, "alice").await;
        let sent = click(&mut alice, &action_of(&page)).await;
        assert!(sent.body.ends_with(" x=1"), "{sent:?}");
        assert_eq!(handled.count(), 1);
    }
}

fn decoded(text: &str) -> String {
    let text = format!("x={text}");
    let (_, value) = url::form_urlencoded::parse(text.as_bytes()).next().unwrap();
    value.into_owned()
}

/// The user of an unusable answer is known, too.
#[tokio::test]
async fn x3_a_form_is_kept_if_the_access_has_expired() {
    let (site, handled) = site().await;
    let mut alice = site.signed_in("alice").await;
    site.clock.advance(2 * HOUR);
    site.emulator.fault(Token, Fault::OAuthError("odd"));
    let interrupted = submit(&mut alice, "/order", "x=1").await;
    assert!(
        interrupted.body.contains("Your access has expired."),
        "{interrupted:?}"
    );
    let link = kept(&interrupted);
    site.emulator.clear_faults();
    let (_, page) = page_after(&mut alice, &link, "alice").await;
    assert!(
        click(&mut alice, &action_of(&page))
            .await
            .body
            .ends_with(" x=1")
    );
    assert_eq!(handled.count(), 1);
}

#[tokio::test]
async fn x3_no_form_is_kept_without_a_known_user() {
    let handled = Handled::default();
    let site = sign_out::site().app(handled.app()).start().await;
    let mut guest = site.browser();
    assert_not_kept(&submit(&mut guest, "/order", "x=1").await);
    // Ended by the provider.
    let mut alice = site.signed_in("alice").await;
    let token = site
        .emulator
        .logout_token("test-site", LogoutTarget::Subject("alice"));
    send_token(&site.app, &token).await;
    assert_not_kept(&submit(&mut alice, "/order", "x=1").await);
    // Ended in another tab.
    let mut alice = site.signed_in("alice").await;
    alice.clone().post("/logout").await;
    assert_not_kept(&submit(&mut alice, "/order", "x=1").await);
    // Expired.
    let mut alice = site.signed_in("alice").await;
    site.clock.advance(13 * HOUR);
    assert_not_kept(&submit(&mut alice, "/order", "x=1").await);
    assert_eq!(handled.count(), 0);
}

/// A site with an external store, and the forms that were written to it.
async fn sealed() -> (TestSite, ExternalStore, Handled) {
    let clock = Clock::manual();
    let memory = MemoryStore::default().with_clock(clock.clone());
    let store = ExternalStore::new(memory.clone());
    let handled = Handled::default();
    let site = builder(&handled)
        .config(|config| {
            config
                .session_key("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
                .native_links(["com.example.app:/callback"])
        })
        .start_with(store.clone(), memory, clock)
        .await;
    (site, store, handled)
}

#[tokio::test]
async fn x3_a_small_form_of_a_page_of_this_site_is_kept() {
    let (site, store, _) = sealed().await;
    let mut alice = stale(&site, "alice").await;
    let whole = format!("x={}", "a".repeat(64 * 1024 - 2));
    let small = || Body::from("x=1");
    let cases: [(&str, Body, Change); 6] = [
        ("small", small(), |_| {}),
        ("empty", Body::empty(), |_| {}),
        ("64 KiB", whole.clone().into(), |_| {}),
        ("in chunks", chunked(&whole), |_| {}),
        ("with a charset", small(), |it| {
            let content_type = "Application/X-WWW-Form-Urlencoded; charset=UTF-8";
            set(it, header::CONTENT_TYPE, content_type);
        }),
        ("older browser", small(), |it| {
            for name in ["sec-fetch-site", "sec-fetch-mode", "sec-fetch-dest"] {
                it.headers_mut().remove(name);
            }
            set(it, header::ORIGIN, "http://127.0.0.1:3000");
        }),
    ];
    for (number, (name, body, change)) in cases.into_iter().enumerate() {
        let mut request = form(&alice, "/transfer", body);
        change(&mut request);
        let answer = alice.send(request).await;
        let written = store.written("kept_form").len();
        assert_eq!(written, number + 1, "{name}: {answer:?}");
        kept(&answer);
    }
    for (_, value) in store.written("kept_form") {
        for part in ["aaaaaaaa", "/transfer", "alice"] {
            let found = value.windows(part.len()).any(|it| it == part.as_bytes());
            assert!(!found, "{part} is readable in the store");
        }
    }
}

#[tokio::test]
async fn x3_no_other_request_is_kept() {
    let (site, store, handled) = sealed().await;
    let mut alice = stale(&site, "alice").await;
    let long = format!("x={}", "a".repeat(64 * 1024 - 1));
    let small = || Body::from("x=1");
    let cases: [(&str, Body, Change); 15] = [
        ("too long", long.clone().into(), |_| {}),
        ("too long in chunks", chunked(&long), |_| {}),
        ("broken", broken(), |_| {}),
        ("no UTF-8", vec![b'x', b'=', 0xff].into(), |_| {}),
        ("files", small(), |it| {
            set(it, header::CONTENT_TYPE, "multipart/form-data; boundary=x");
        }),
        ("text", small(), |it| {
            set(it, header::CONTENT_TYPE, "text/plain");
        }),
        ("two types", small(), |it| {
            let content_type = HeaderValue::from_static(FORM);
            it.headers_mut().append(header::CONTENT_TYPE, content_type);
        }),
        ("no type", small(), |it| {
            it.headers_mut().remove(header::CONTENT_TYPE);
        }),
        ("compressed", small(), |it| {
            set(it, header::CONTENT_ENCODING, "gzip");
        }),
        ("long path", small(), |it| {
            let path = format!("/transfer?q={}", "a".repeat(1100));
            *it.uri_mut() = path.parse().unwrap();
        }),
        ("neighbor", small(), |it| set(it, SITE, "same-site")),
        ("other site", small(), |it| set(it, SITE, "cross-site")),
        ("other origin", small(), |it| {
            it.headers_mut().remove(SITE);
            set(it, header::ORIGIN, "https://evil.example");
        }),
        ("unknown origin", small(), |it| {
            it.headers_mut().remove(SITE);
        }),
        ("other method", small(), |it| *it.method_mut() = Method::PUT),
    ];
    for (name, body, change) in cases {
        let mut request = form(&alice, "/transfer", body);
        change(&mut request);
        let answer = alice.send(request).await;
        assert!(answer.body.contains("is not kept"), "{name}: {answer:?}");
        assert_not_kept(&answer);
    }
    let script = alice.fetch(Method::POST, "/transfer", "x=1").await;
    assert_eq!(script.json()["reason"], "login_too_old");
    let mut native = form(&alice, "/transfer", small());
    set(&mut native, header::AUTHORIZATION, "Bearer oten_native_x");
    assert_eq!(alice.send(native).await.json()["reason"], "not_signed_in");
    assert_eq!(store.written("kept_form"), []);
    assert_eq!(handled.count(), 0);
}

#[tokio::test]
async fn x3_a_user_without_access_and_some_routes_keep_no_form() {
    let (site, store, handled) = sealed().await;
    let mut alice = site.signed_in("alice").await;
    let mut bob = stale(&site, "bob").await;
    let denied = submit(&mut bob, "/ruled", "x=1").await;
    assert_eq!(denied.status, StatusCode::FORBIDDEN);
    assert_not_kept(&submit(&mut alice, "/secret", "x=1").await);
    site.clock.advance(HOUR);
    site.emulator
        .fault(Token, Fault::OAuthError("invalid_grant"));
    assert_not_kept(&submit(&mut bob, "/ruled-order", "x=1").await);
    assert_not_kept(&submit(&mut alice, "/secret", "x=1").await);
    assert_eq!(store.written("kept_form"), []);
    assert_eq!(handled.count(), 0);
}

const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

type Change = fn(&mut Request<Body>);

fn set(request: &mut Request<Body>, name: HeaderName, value: &'static str) {
    let value = HeaderValue::from_static(value);
    request.headers_mut().insert(name, value);
}

/// A body without a known length.
fn chunked(body: &str) -> Body {
    let chunks: Vec<_> = body.as_bytes().chunks(1000).collect();
    let chunks: Vec<io::Result<_>> = chunks
        .into_iter()
        .map(|chunk| Ok(Bytes::copy_from_slice(chunk)))
        .collect();
    Body::from_stream(stream::iter(chunks))
}

/// A body whose connection breaks.
fn broken() -> Body {
    let parts = [Ok("x="), Err(io::Error::other("the connection is broken"))];
    Body::from_stream(stream::iter(parts))
}

#[tokio::test]
async fn x3_a_form_that_never_arrives_delays_its_response_by_seconds() {
    let (site, _) = site().await;
    let mut alice = stale(&site, "alice").await;
    let never = stream::pending::<io::Result<Bytes>>();
    let form = form(&alice, "/transfer", Body::from_stream(never));
    // From here on only the store is called, and time passes when all tasks wait.
    tokio::time::pause();
    let begin = tokio::time::Instant::now();
    assert_not_kept(&alice.send(form).await);
    assert!(begin.elapsed() < Duration::from_secs(12));
}

#[tokio::test]
async fn x3_another_user_does_not_see_or_send_a_form() {
    // Instead of the sign-in that the form requires.
    let (site, handled) = site().await;
    let mut browser = stale(&site, "alice").await;
    let link = kept(&submit(&mut browser, "/transfer", "private=of-alice").await);
    let answer = sign_in(&mut browser, &link, "bob").await;
    assert!(answer.body.contains("Another account"), "{answer:?}");
    assert!(!browser.cookies.contains_key("oten_form"));
    let path = sign_in(&mut browser, &link, "alice").await;
    assert!(path.body.contains("Another account"), "{path:?}");
    let page = decoded(link.split_once("return_to=").unwrap().1);
    assert_gone(&browser.get(&page).await, "Form no longer kept");

    // In another tab: the page, and the address to which the form is sent.
    for sends in [false, true] {
        let mut browser = stale(&site, "alice").await;
        let link = kept(&submit(&mut browser, "/transfer", "private=of-alice").await);
        let (path, page) = page_after(&mut browser, &link, "alice").await;
        let action = action_of(&page);
        browser.sign_in("bob", "/").await;
        let answer = if sends {
            click(&mut browser, &action).await
        } else {
            browser.get(&path).await
        };
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
        assert!(answer.body.contains("Another account"), "{answer:?}");
        assert!(!answer.body.contains("of-alice"), "{answer:?}");
        // It is deleted.
        browser.sign_in("alice", "/").await;
        assert_gone(&browser.get(&path).await, "Form no longer kept");
        assert_gone(&click(&mut browser, &action).await, "Form no longer kept");
    }
    assert_eq!(handled.count(), 0);
}

#[tokio::test]
async fn x3_another_browser_and_another_site_do_not_send_a_form() {
    let (site, handled, mut alice, path, action) = waiting().await;
    // Of the same user, and of a guest.
    let mut same_user = site.signed_in("alice").await;
    let mut guest = site.browser();
    for browser in [&mut same_user, &mut guest] {
        assert_gone(&browser.get(&path).await, "Form no longer kept");
    }
    assert_gone(&click(&mut same_user, &action).await, "Form no longer kept");
    assert_gone(&click(&mut guest, &action).await, "Form no longer kept");
    // With a cookie that a neighboring site has set.
    for planted in ["x", "", &"a".repeat(43), &"a".repeat(4000)] {
        let mut browser = same_user.clone();
        browser
            .cookies
            .insert("oten_form".to_owned(), planted.to_owned());
        assert_gone(&click(&mut browser, &action).await, "Form no longer kept");
    }
    for site in ["same-site", "cross-site", "none"] {
        for path in [&action, &path] {
            let mut request = form(&alice, path, "");
            set(&mut request, SITE, site);
            let answer = alice.send(request).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{answer:?}");
        }
    }
    // A script sends no kept form.
    let script = alice.fetch(Method::POST, &action, "").await;
    assert_eq!(script.json()["reason"], "kept_form");
    assert_eq!(handled.count(), 0);
    assert_eq!(click(&mut alice, &action).await.status, StatusCode::OK);
}

#[tokio::test]
async fn x3_a_form_is_sent_to_its_own_address_only() {
    let (_site, handled, mut alice, path, action) = waiting().await;
    let (_, id) = action.split_once("oten_form=").unwrap();
    for other in [
        format!("/transfer?oten_form={id}"),
        format!("/transfer?a=c&oten_form={id}"),
        format!("/transfer?a=b&&oten_form={id}"),
        format!("/order?a=b&oten_form={id}"),
        "/transfer?a=b&oten_form=".to_owned(),
        "/transfer?a=b&oten_form=x".to_owned(),
        format!("/transfer?a=b&oten_form={id}x"),
        format!("/transfer?a=b&oten_form={id}&oten_form={id}"),
    ] {
        let answer = click(&mut alice, &other).await;
        assert_gone(&answer, "Form no longer kept");
    }
    assert_eq!(handled.count(), 0);
    assert_eq!(alice.get(&path).await.status, StatusCode::OK);
    assert_eq!(click(&mut alice, &action).await.status, StatusCode::OK);
}

#[tokio::test]
async fn x3_opening_the_address_of_a_form_sends_nothing() {
    let (site, handled, mut alice, path, action) = waiting().await;
    for method in [Method::GET, Method::HEAD] {
        let request = alice.navigation(method, &action);
        assert_eq!(alice.send(request).await.location(), path);
    }
    let guest = site.browser().get(&action).await;
    assert_eq!(guest.location(), path);
    assert_eq!(handled.count(), 0);
    click(&mut alice, &action).await;
    assert_eq!(alice.get(&action).await.location(), path);
    assert_gone(&alice.get(&path).await, "Form already sent");
    assert_eq!(handled.count(), 1);
}

/// A page without `action` in its form, which a handler returns for a kept form, for example because a field is
/// invalid.
#[tokio::test]
async fn x3_a_form_that_is_sent_from_the_address_of_another_is_a_form_of_its_own() {
    let (site, handled, mut alice, _, action) = waiting().await;
    click(&mut alice, &action).await;
    for body in ["amount=6".into(), chunked("amount=6")] {
        let corrected = form(&alice, &action, body);
        let handled = alice.send(corrected).await;
        let start = "alice POST /transfer?a=b /transfer?a=b ";
        assert!(handled.body.starts_with(start), "{handled:?}");
        assert!(handled.body.ends_with(" amount=6"), "{handled:?}");
    }
    assert_eq!(handled.count(), 3);
    site.clock.advance(7 * MINUTE);
    let link = kept(&submit(&mut alice, &action, "amount=7").await);
    let (_, page) = page_after(&mut alice, &link, "alice").await;
    let next = action_of(&page);
    assert_ne!(next, action);
    // A proxy may send an empty body in chunks.
    let empty = form(&alice, &next, chunked(""));
    let answer = alice.send(empty).await;
    assert!(
        answer
            .body
            .starts_with("alice POST /transfer?a=b /transfer?a=b ")
    );
    assert!(
        answer.body.ends_with(r#"Some("8") None amount=7"#),
        "{answer:?}"
    );
}

#[tokio::test]
async fn x3_a_discarded_form_is_not_sent() {
    let (_site, handled, mut alice, path, action) = waiting().await;
    let page = alice.get(&path).await;
    let discard = page
        .body
        .rsplit_once("<form method=\"post\" action=\"")
        .unwrap();
    assert!(discard.1.starts_with(&path), "{page:?}");
    assert_eq!(click(&mut alice, &path).await.location(), path);
    assert_gone(&alice.get(&path).await, "Form discarded");
    assert_gone(&click(&mut alice, &action).await, "Form discarded");
    // Once more, as with the back button.
    assert_eq!(click(&mut alice, &path).await.location(), path);
    assert_eq!(handled.count(), 0);
}

#[tokio::test]
async fn x3_a_form_expires_after_half_an_hour() {
    let (site, handled, mut alice, path, action) = waiting().await;
    site.clock.advance(Duration::from_secs(30 * 60 - 1));
    assert_eq!(alice.get(&path).await.status, StatusCode::OK);
    site.clock.advance(Duration::from_secs(1));
    assert_gone(&alice.get(&path).await, "Form no longer kept");
    assert_gone(&click(&mut alice, &action).await, "Form no longer kept");
    assert_eq!(handled.count(), 0);
}

#[tokio::test]
async fn x3_two_tabs_keep_a_form_each() {
    let (site, handled) = site().await;
    let mut alice = stale(&site, "alice").await;
    let mut waiting = Vec::new();
    for number in 0..2 {
        let link = kept(&submit(&mut alice, "/transfer", &format!("x={number}")).await);
        waiting.push((link, number));
    }
    // The form of the second tab is sent before that of the first.
    for (link, number) in waiting.into_iter().rev() {
        let (_, page) = page_after(&mut alice, &link, "alice").await;
        let sent = click(&mut alice, &action_of(&page)).await;
        assert!(sent.body.ends_with(&format!(" x={number}")), "{sent:?}");
    }
    assert_eq!(handled.count(), 2);
}

#[tokio::test]
async fn x3_a_form_stays_if_the_user_has_to_sign_in_once_more() {
    let (site, handled, mut alice, path, action) = waiting().await;
    // The user has read the page for too long.
    site.clock.advance(7 * MINUTE);
    let link = kept(&click(&mut alice, &action).await);
    assert_eq!(decoded(link.split_once("return_to=").unwrap().1), path);
    let (again, page) = page_after(&mut alice, &link, "alice").await;
    assert_eq!((again, action_of(&page)), (path.clone(), action.clone()));
    // The session ends, in a way that leaves its user unknown.
    alice.cookies.remove("oten_session");
    let link = kept(&click(&mut alice, &action).await);
    let (again, _) = page_after(&mut alice, &link, "alice").await;
    assert_eq!(again, path);
    assert_eq!(handled.count(), 0);
    assert_eq!(click(&mut alice, &action).await.status, StatusCode::OK);
    // What was sent needs no sign-in.
    site.clock.advance(7 * MINUTE);
    assert_gone(&click(&mut alice, &action).await, "Form already sent");
    assert_eq!(handled.count(), 1);
}

#[tokio::test]
async fn x3_a_failing_store_loses_no_form_that_was_kept() {
    let handled = Handled::default();
    let (site, store) = builder(&handled).start_watched().await;
    let mut alice = stale(&site, "alice").await;
    for operation in [Operation::Insert, Operation::AddMember] {
        store.fails(&[operation]);
        assert_not_kept(&submit(&mut alice, "/transfer", "x=1").await);
    }
    store.recover();
    let link = kept(&submit(&mut alice, "/transfer", "x=1").await);
    let (path, page) = page_after(&mut alice, &link, "alice").await;
    let action = action_of(&page);
    for operation in [Operation::Load, Operation::Replace] {
        store.fails(&[operation]);
        let answer = click(&mut alice, &action).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
        assert_eq!(handled.count(), 0);
    }
    store.fails(&[Operation::Load]);
    let page = alice.get(&path).await;
    assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);
    store.recover();
    assert_eq!(click(&mut alice, &action).await.status, StatusCode::OK);
}

#[tokio::test]
async fn x3_a_form_is_handled_if_the_store_marks_it_as_sent_and_its_answer_is_lost() {
    let handled = Handled::default();
    let (site, store) = builder(&handled).start_watched().await;
    let mut alice = stale(&site, "alice").await;
    let mut waiting = Vec::new();
    for body in ["x=0", "x=1", "x=2"] {
        let link = kept(&submit(&mut alice, "/transfer", body).await);
        waiting.push(link);
    }
    let mut actions = Vec::new();
    for link in waiting {
        let (_, page) = page_after(&mut alice, &link, "alice").await;
        actions.push(action_of(&page));
    }
    store.take_calls();
    assert_eq!(click(&mut alice, &actions[0]).await.status, StatusCode::OK);
    let calls = store.take_calls();
    let before = calls.iter().position(|call| *call == Operation::Replace);

    store.loses_answers(&[Operation::Replace]);
    let sent = click(&mut alice, &actions[1]).await;
    assert!(sent.body.ends_with(" x=1"), "{sent:?}");
    store.recover();
    // The write itself is lost.
    let lost = store.pause_after(before.unwrap());
    tokio::time::pause();
    let sent = click(&mut alice, &actions[2]).await;
    assert!(sent.body.ends_with(" x=2"), "{sent:?}");
    drop(lost);
    for action in &actions {
        assert_gone(&click(&mut alice, action).await, "Form already sent");
    }
    assert_eq!(handled.count(), 3);
}

#[tokio::test]
async fn x3_a_form_that_an_inner_layer_denies_is_not_sent() {
    let (handled, mode) = (Handled::default(), Arc::new(AtomicUsize::new(0)));
    let (inner, counting) = (Arc::clone(&mode), handled.clone());
    let site = TestSite::builder().app(move |oten| {
        let admits = || {
            oten.require_login()
                .authorize_async(Arc::clone(&inner), async |_, mode| {
                    match mode.load(Ordering::SeqCst) {
                        0 => Err(io::Error::other("simulated failure")),
                        mode => Ok(mode == 2),
                    }
                })
        };
        let fresh = || oten.require_fresh_login(5 * MINUTE);
        let route = |path| Router::new().route(path, get(async || "page").post(handle));
        let bearer = oten.bearer().or_session(admits());
        Router::new()
            .merge(route("/session").route_layer(admits()).route_layer(fresh()))
            .merge(route("/bearer").route_layer(bearer).route_layer(fresh()))
            .with_state(counting)
            .merge(oten.routes())
            .layer(oten.layer())
    });
    let site = site.start().await;
    for (round, path) in ["/session", "/bearer"].into_iter().enumerate() {
        let path = format!("{path}?a=b");
        let mut alice = stale(&site, "alice").await;
        let link = kept(&submit(&mut alice, &path, "x=1").await);
        let (_, page) = page_after(&mut alice, &link, "alice").await;
        let action = action_of(&page);
        for (denial, status) in [(0, 503), (1, 403), (0, 503)] {
            mode.store(denial, Ordering::SeqCst);
            let denied = click(&mut alice, &action).await;
            assert_eq!(denied.status, status, "{denied:?}");
            assert_eq!(handled.count(), round);
        }
        mode.store(2, Ordering::SeqCst);
        let clicks = (0..10).map(|_| {
            let (mut alice, action) = (alice.clone(), action.clone());
            tokio::spawn(async move { click(&mut alice, &action).await.status })
        });
        let mut sent = 0;
        for status in clicks.collect::<Vec<_>>() {
            sent += usize::from(status.await.unwrap() == StatusCode::OK);
        }
        assert_eq!((sent, handled.count()), (1, round + 1));
        assert_gone(&click(&mut alice, &action).await, "Form already sent");
    }
}

/// An access rule of an inner layer, which waits for its answer.
#[derive(Clone)]
struct Gate {
    is_reached: Arc<AtomicBool>,
    answers: Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<bool>>>,
}

/// A site whose inner layers wait, and one form of alice in it.
struct GatedSite {
    site: TestSite,
    store: WatchedStore,
    handled: Handled,
    is_reached: Arc<AtomicBool>,
    answers: mpsc::UnboundedSender<bool>,
    /// The parts of the requests that `/pending` got.
    parts: Arc<Mutex<Vec<Parts>>>,
}

impl GatedSite {
    async fn start() -> Self {
        let (answers, receiver) = mpsc::unbounded_channel();
        let gate = Gate {
            is_reached: Arc::default(),
            answers: Arc::new(tokio::sync::Mutex::new(receiver)),
        };
        let (handled, parts) = (Handled::default(), Arc::default());
        let (inner, is_reached) = (handled.clone(), Arc::clone(&gate.is_reached));
        let kept_parts: Arc<Mutex<Vec<Parts>>> = Arc::clone(&parts);
        let builder = TestSite::builder().app(move |oten| {
            let admits = || {
                oten.require_login()
                    .authorize_async(gate.clone(), async |_, gate| {
                        gate.is_reached.store(true, Ordering::SeqCst);
                        let answer = gate.answers.lock().await.recv().await;
                        answer.ok_or(io::Error::other("no answer"))
                    })
            };
            let pending = async move |State(handled): State<Handled>, parts: Parts| {
                kept_parts.lock().unwrap().push(parts);
                handled.0.fetch_add(1, Ordering::SeqCst);
                future::pending::<()>().await;
            };
            let fresh = || oten.require_fresh_login(5 * MINUTE);
            let page = || get(async || "page");
            let route = |path| Router::new().route(path, page().post(handle));
            let bearer = oten.bearer().or_session(admits());
            let twice = route("/twice").route_layer(admits());
            let copied = route("/copied").route_layer(admits());
            let inside = Router::new().route("/pending-inside", page().post(pending.clone()));
            Router::new()
                .merge(route("/session").route_layer(admits()))
                .merge(route("/bearer").route_layer(bearer))
                .merge(twice.route_layer(middleware::from_fn(run_twice)))
                .merge(copied.route_layer(middleware::from_fn(run_with_copy)))
                .merge(inside.route_layer(admits()))
                .route("/pending", page().post(pending))
                .route_layer(fresh())
                .with_state(inner)
                .merge(oten.routes())
                .layer(oten.layer())
        });
        let (site, store) = builder.start_watched().await;
        Self {
            site,
            store,
            handled,
            is_reached,
            answers,
            parts,
        }
    }

    /// Returns a form that waits to be sent: its browser, its page and where it is sent.
    async fn waiting(&self, path: &str) -> (Browser, String, String) {
        let mut alice = stale(&self.site, "alice").await;
        let link = kept(&submit(&mut alice, path, "x=1").await);
        let (page, shown) = page_after(&mut alice, &link, "alice").await;
        (alice, page, action_of(&shown))
    }

    /// Clicks in a task, up to the access rule of an inner layer.
    async fn click_until_reached(&self, browser: &Browser, action: &str) -> JoinHandle<Answer> {
        self.is_reached.store(false, Ordering::SeqCst);
        let click = click_in_task(browser, action);
        eventually(|| self.is_reached.load(Ordering::SeqCst)).await;
        click
    }

    fn answer(&self, answers: &[bool]) {
        for answer in answers {
            self.answers.send(*answer).unwrap();
        }
    }
}

/// Runs the rest of the route with a copy of a request, and once more.
async fn run_twice(request: Request<Body>, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 1000).await.unwrap();
    let copy = Request::from_parts(parts.clone(), body.clone().into());
    drop(next.clone().run(copy).await);
    next.run(Request::from_parts(parts, body.into())).await
}

/// Runs the rest of the route, and has a copy of the request meanwhile.
async fn run_with_copy(request: Request<Body>, next: Next) -> Response {
    let copy = request.extensions().clone();
    let response = next.run(request).await;
    drop(copy);
    response
}

/// Clicks in a task, whose end drops the request as a closed connection does.
fn click_in_task(browser: &Browser, action: &str) -> JoinHandle<Answer> {
    let (mut browser, action) = (browser.clone(), action.to_owned());
    tokio::spawn(async move { click(&mut browser, &action).await })
}

async fn drop_request(click: JoinHandle<Answer>) {
    click.abort();
    assert!(click.await.unwrap_err().is_cancelled());
}

#[tokio::test]
async fn x3_a_form_stays_if_its_request_is_dropped_while_an_inner_layer_checks_it() {
    let gated = GatedSite::start().await;
    for (round, path) in ["/session", "/bearer"].into_iter().enumerate() {
        let log = Log::start();
        let (mut alice, page, action) = gated.waiting(path).await;
        let dropped = gated.click_until_reached(&alice, &action).await;
        drop_request(dropped).await;
        // Waits for tasks in the background.
        gated.site.oten.shutdown().await;
        assert_eq!(alice.get(&page).await.status, StatusCode::OK, "{path}");
        assert_eq!(gated.handled.count(), round);
        // When it was interrupted, and when it was put back.
        assert_eq!(log.named("form_kept").len(), 2);
        gated.answer(&[true]);
        let sent = click(&mut alice, &action).await;
        assert!(sent.body.ends_with(" x=1"), "{sent:?}");
        assert_gone(&click(&mut alice, &action).await, "Form already sent");
        assert_eq!(gated.handled.count(), round + 1);
    }
}

#[tokio::test]
async fn x3_a_form_stays_if_its_request_ends_while_it_is_marked_as_sent() {
    let gated = GatedSite::start().await;
    let (store, oten) = (&gated.store, &gated.site.oten);
    let (mut alice, _, action) = gated.waiting("/session").await;
    store.take_calls();
    gated.answer(&[true]);
    assert_eq!(click(&mut alice, &action).await.status, StatusCode::OK);
    let calls = store.take_calls();
    let before = calls.iter().position(|call| *call == Operation::Replace);
    for is_dropped in [true, false] {
        let (mut alice, page, action) = gated.waiting("/session").await;
        // The form is marked, and the request asks the store about it.
        store.loses_answers(&[Operation::Replace]);
        let pause = store.pause_after(before.unwrap() + 2);
        let ended = click_in_task(&alice, &action);
        pause.reached().await;
        if is_dropped {
            store.recover();
            drop_request(ended).await;
            pause.go_on();
        } else {
            store.fails(&[Operation::Load]);
            pause.go_on();
            let failed = ended.await.unwrap();
            assert_eq!(failed.status, StatusCode::SERVICE_UNAVAILABLE);
            store.recover();
        }
        oten.shutdown().await;
        assert_eq!(alice.get(&page).await.status, StatusCode::OK);
        gated.answer(&[true]);
        assert_eq!(click(&mut alice, &action).await.status, StatusCode::OK);
        assert_gone(&click(&mut alice, &action).await, "Form already sent");
    }
    assert_eq!(gated.handled.count(), 3);
}

#[tokio::test]
async fn x3_a_form_is_put_back_when_the_store_works_again() {
    for (outage, is_put_back) in [(20, true), (40, false)] {
        let log = Log::start();
        let gated = GatedSite::start().await;
        let (mut alice, page, action) = gated.waiting("/session").await;
        let denied = gated.click_until_reached(&alice, &action).await;
        gated.store.fails(&[Operation::Load]);
        gated.answer(&[false]);
        assert_eq!(denied.await.unwrap().status, StatusCode::FORBIDDEN);
        // From here on only the store is called, and time passes when all tasks wait.
        tokio::time::pause();
        gated.store.take_calls();
        tokio::time::sleep(Duration::from_secs(outage)).await;
        assert!(gated.store.count(Operation::Load) > 10);
        gated.store.recover();
        gated.site.oten.shutdown().await;
        let kept = 1 + usize::from(is_put_back);
        assert_eq!(log.named("form_kept").len(), kept);
        if is_put_back {
            assert_eq!(alice.get(&page).await.status, StatusCode::OK);
            gated.answer(&[true]);
            assert_eq!(click(&mut alice, &action).await.status, StatusCode::OK);
        }
        assert_gone(&click(&mut alice, &action).await, "Form already sent");
        assert_eq!(gated.handled.count(), usize::from(is_put_back));
        tokio::time::resume();
    }
}

/// Also if the handler keeps a copy of the request's extensions.
#[tokio::test]
async fn x3_a_form_that_a_handler_got_does_not_come_back() {
    let gated = GatedSite::start().await;
    for (round, path) in ["/pending", "/pending-inside"].into_iter().enumerate() {
        let (mut alice, _, action) = gated.waiting(path).await;
        gated.answer(&[true]);
        let dropped = click_in_task(&alice, &action);
        eventually(|| gated.handled.count() == round + 1).await;
        drop_request(dropped).await;
        for _ in 0..2 {
            gated.site.oten.shutdown().await;
            assert_gone(&click(&mut alice, &action).await, "Form already sent");
            gated.parts.lock().unwrap().clear();
        }
        assert_eq!(gated.handled.count(), round + 1);
    }
}

/// A middleware between the layers, or a handler that calls a router, may run the rest several times.
#[tokio::test]
async fn x3_a_form_of_which_a_handler_may_have_a_copy_does_not_come_back() {
    let gated = GatedSite::start().await;
    let answers = [[true, false], [false, true], [false, false]];
    for (round, answers) in answers.into_iter().enumerate() {
        let (mut alice, _, action) = gated.waiting("/twice").await;
        gated.answer(&answers);
        let answer = click(&mut alice, &action).await;
        let expected = if answers[1] { 200 } else { 403 };
        assert_eq!(answer.status, expected, "{answer:?}");
        gated.site.oten.shutdown().await;
        if round == 2 {
            gated.answer(&[true, false]);
            click(&mut alice, &action).await;
        }
        assert_gone(&click(&mut alice, &action).await, "Form already sent");
        assert_eq!(gated.handled.count(), round + 1);
    }
    let (mut alice, _, action) = gated.waiting("/copied").await;
    gated.answer(&[false]);
    let denied = click(&mut alice, &action).await;
    assert_eq!(denied.status, StatusCode::FORBIDDEN);
    gated.site.oten.shutdown().await;
    assert_gone(&click(&mut alice, &action).await, "Form already sent");
}

#[tokio::test]
async fn x3_a_form_whose_access_token_is_rejected_stays() {
    let gated = GatedSite::start().await;
    let (mut alice, _, action) = gated.waiting("/bearer").await;
    let mut request = form(&alice, &action, "");
    set(&mut request, header::AUTHORIZATION, "Bearer x");
    let rejected = alice.send(request).await;
    let challenge = rejected.header(header::WWW_AUTHENTICATE);
    assert!(challenge.unwrap().contains("invalid_token"), "{rejected:?}");
    gated.site.oten.shutdown().await;
    gated.answer(&[true]);
    assert_eq!(click(&mut alice, &action).await.status, StatusCode::OK);
    assert_gone(&click(&mut alice, &action).await, "Form already sent");
    assert_eq!(gated.handled.count(), 1);
}

/// The sign-out of a browser forgets its forms.
#[tokio::test]
async fn x3_a_form_does_not_survive_the_sign_out() {
    let (_site, _, mut alice, path, _) = waiting().await;
    let signed_out = alice.post("/logout").await;
    assert!(
        signed_out
            .set_cookies()
            .iter()
            .any(|it| it.starts_with("oten_form=;"))
    );
    alice.sign_in("alice", "/").await;
    assert_gone(&alice.get(&path).await, "Form no longer kept");
    // Other sign-outs set no cookie more.
    let signed_out = alice.post("/logout").await;
    assert!(
        !signed_out
            .set_cookies()
            .iter()
            .any(|it| it.contains("_form="))
    );
}

#[tokio::test]
async fn x3_forms_are_kept_in_nested_routers_and_with_several_layers() {
    let (site, handled) = site().await;
    for (path, inner) in [
        ("/nested/inner?a=b", "/inner?a=b"),
        ("/twice?a=b", "/twice?a=b"),
        ("/twice", "/twice"),
        ("/only-post?", "/only-post?"),
    ] {
        let mut alice = stale(&site, "alice").await;
        let link = kept(&submit(&mut alice, path, "x=1").await);
        let (_, page) = page_after(&mut alice, &link, "alice").await;
        let action = action_of(&page);
        let sent = click(&mut alice, &action).await;
        let expected = format!("alice POST {inner} {path} ");
        assert!(sent.body.starts_with(&expected), "{sent:?}");
        assert!(sent.body.ends_with(r#"Some("3") None x=1"#), "{sent:?}");
    }
    assert_eq!(handled.count(), 4);

    // The inner layer interrupts what the outer one has restored.
    let mut alice = stale(&site, "alice").await;
    site.clock.advance(HOUR);
    site.emulator
        .fault(Token, Fault::OAuthError("invalid_grant"));
    let link = kept(&submit(&mut alice, "/twice?a=b", "x=2").await);
    site.emulator.clear_faults();
    let (path, page) = page_after(&mut alice, &link, "alice").await;
    site.clock.advance(7 * MINUTE);
    let link = kept(&click(&mut alice, &action_of(&page)).await);
    let (again, page) = page_after(&mut alice, &link, "alice").await;
    assert_eq!(again, path);
    let sent = click(&mut alice, &action_of(&page)).await;
    assert!(
        sent.body.starts_with("alice POST /twice?a=b /twice?a=b "),
        "{sent:?}"
    );
    assert!(sent.body.ends_with(" x=2"), "{sent:?}");
}

#[tokio::test]
async fn x3_a_form_is_kept_below_a_base_path() {
    for is_cut_off in [false, true] {
        let handled = Handled::default();
        let inner = handled.app();
        let site = TestSite::builder()
            .app(move |oten| {
                if is_cut_off {
                    cut_off("/app", inner(oten))
                } else {
                    Router::new().nest("/app", inner(oten))
                }
            })
            .callback("/app/callback")
            .config(|config| config.base_path("/app"));
        let site = site.start().await;
        let mut alice = site.browser();
        alice.sign_in("alice", "/app/").await;
        site.clock.advance(7 * MINUTE);
        let interrupted = submit(&mut alice, "/app/transfer?a=b", "x=1").await;
        let link = target(&interrupted, "class=\"button\" href=\"");
        assert!(link.starts_with("/app/login?fresh=300&return_to=%2Fapp%2Flogin%2Fform%3Fid%3D"));
        let (_, page) = page_after(&mut alice, &link, "alice").await;
        let action = action_of(&page);
        assert!(
            action.starts_with("/app/transfer?a=b&oten_form="),
            "{action}"
        );
        let sent = click(&mut alice, &action).await;
        assert!(
            sent.body.starts_with("alice POST /transfer?a=b "),
            "{sent:?}"
        );
        assert_eq!(handled.count(), 1);
    }
}

#[tokio::test]
async fn x3_the_page_shows_what_is_sent_and_no_secret() {
    let (site, _) = site().await;
    let mut alice = stale(&site, "alice").await;
    let mut fields = url::form_urlencoded::Serializer::new(String::new());
    fields.append_pair("<script>", "<img src=x onerror=alert(1)>\r\n&\"'");
    fields.append_pair("comment", &"\u{e4}".repeat(500));
    let secret_names = [
        "password",
        "newPassword",
        "user[pass]",
        "Kennwort",
        "client_secret",
        "csrf_token",
        "_csrf",
        "authenticity-token",
        "api-key",
        "apiKey",
        "pin",
        "newPin",
        "card_number",
        "IBAN",
        "otp",
        "tan1",
    ];
    for name in secret_names {
        fields.append_pair(name, "not-to-be-seen");
    }
    for name in ["shipping", "distance"] {
        fields.append_pair(name, "to-be-seen");
    }
    for name in ["more", "pass"] {
        fields.append_pair(name, "not-shown");
    }
    let link = kept(&submit(&mut alice, "/transfer", &fields.finish()).await);
    let (path, page) = page_after(&mut alice, &link, "alice").await;
    let body = &page.body;
    assert!(body.contains("<bdi>&#60;script&#62;</bdi>"), "{body}");
    assert!(
        body.contains("<bdi>&#60;img src=x onerror=alert(1)&#62;  &#38;&#34;&#39;</bdi>"),
        "{body}"
    );
    assert!(
        body.contains(&format!("<bdi>{}…</bdi>", "\u{e4}".repeat(300))),
        "{body}"
    );
    assert_eq!(body.matches("••••••").count(), secret_names.len());
    assert_eq!(body.matches("to-be-seen").count(), 2);
    assert!(!body.contains("not-"), "{body}");
    assert!(body.contains("Fields that are not shown: 2"), "{body}");
    assert!(body.len() < 50 * 1024);

    let mut german = alice.navigation(Method::GET, &path);
    set(&mut german, header::ACCEPT_LANGUAGE, "de");
    let german = alice.send(german).await.body;
    for text in [
        "Formular noch nicht gesendet",
        ">Erneut senden<",
        ">Verwerfen<",
        "verborgen",
    ] {
        assert!(german.contains(text), "no {text} in {german}");
    }
}

#[tokio::test]
async fn x3_an_app_shows_the_page_in_its_layout() {
    let handled = Handled::default();
    let layout = |page: &Page| {
        let actions = page
            .actions
            .iter()
            .map(|action| format!("[{} {}]", action.label, action.is_form));
        Html(format!("{}{}", actions.collect::<String>(), page.content))
    };
    let site = builder(&handled)
        .oten(move |oten| oten.pages(move |page: &Page| layout(page).into_response()));
    let site = site.start().await;
    let mut alice = stale(&site, "alice").await;
    let link = kept(&submit(&mut alice, "/transfer", "x=1").await);
    let (_, page) = page_after(&mut alice, &link, "alice").await;
    assert!(
        page.body
            .starts_with("[Send again true][Discard true][Back to the site false]<h1>"),
        "{page:?}"
    );
    assert!(
        click(&mut alice, &action_of(&page))
            .await
            .body
            .ends_with(" x=1")
    );
}
