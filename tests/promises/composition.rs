//! Ways to build an app around the layer: state, `nest`, proxies, the app's own sessions, and common
//! mistakes.

use std::{
    collections::HashMap,
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use async_trait::async_trait;
use axum::{
    Router,
    body::{Body, Bytes, HttpBody},
    extract::{Request, State},
    http::{Method, StatusCode, header},
    middleware::map_response,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use axum_oten::{AccessToken, Oten, User};
use http_body::Frame;
use http_body_util::{BodyExt, Full};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tower::{Service, ServiceBuilder, ServiceExt};
use tower_sessions::{
    Session, SessionManagerLayer, SessionStore,
    session::{Id, Record},
    session_store,
};

use crate::common::{Answer, Browser, Log, Operation, TestSite, TestSiteBuilder, app, send};

#[tokio::test]
async fn an_app_with_state_signs_in() {
    #[derive(Clone)]
    struct AppState {
        greeting: &'static str,
    }
    async fn hello(State(state): State<AppState>, user: User) -> String {
        format!("{} {}", state.greeting, user.subject())
    }
    let site = TestSite::builder()
        .app(|oten| {
            let staff = Router::<AppState>::new()
                .route("/hello", get(hello))
                .route_layer(oten.require_login());
            Router::new()
                .merge(staff)
                .merge(oten.routes())
                .layer(oten.layer())
                .with_state(AppState {
                    greeting: "Grüezi"
                })
        })
        .start()
        .await;
    let mut browser = site.browser();
    let guest = browser.get("/hello").await;
    assert_eq!(guest.location(), "/login?return_to=%2Fhello");
    browser.sign_in("alice", "/hello").await;
    assert_eq!(browser.get("/hello").await.body, "Grüezi alice");
}

#[tokio::test]
async fn a_nested_app_stays_under_its_path() {
    let layer_inside = |oten: &Oten| Router::new().nest("/app", app(oten));
    let layer_outside = |oten: &Oten| {
        let inner = Router::new()
            .route("/", get(async || "home"))
            .route(
                "/profile",
                get(async |user: User| user.subject().to_owned()),
            )
            .route_layer(oten.require_login())
            .merge(oten.routes());
        Router::new().nest("/app", inner).layer(oten.layer())
    };
    stays_under_app(under_app().app(layer_inside).start().await).await;
    stays_under_app(under_app().app(layer_outside).start().await).await;
}

#[tokio::test]
async fn a_layer_inside_a_nest_knows_the_full_path() {
    let site = TestSite::builder()
        .app(|oten| {
            let admin = Router::new()
                .route("/users", get(async |_: User| "users"))
                .layer(oten.layer());
            let routes = oten.routes().layer(oten.layer());
            Router::new().nest("/admin", admin).merge(routes)
        })
        .start()
        .await;
    let mut browser = site.browser();
    let guest = browser.get("/admin/users?a=b").await;
    assert_eq!(
        guest.location(),
        "/login?return_to=%2Fadmin%2Fusers%3Fa%3Db"
    );
    browser.sign_in("alice", "/admin/users?a=b").await;
    assert_eq!(browser.get("/admin/users?a=b").await.body, "users");
}

#[tokio::test]
async fn an_app_behind_a_path_stripping_proxy_stays_under_its_path() {
    let site = under_app()
        .app(|oten| cut_off("/app", app(oten)))
        .start()
        .await;
    // The proxy does not forward other paths.
    assert_eq!(
        site.browser().get("/profile").await.status,
        StatusCode::NOT_FOUND
    );
    stays_under_app(site).await;
}

async fn stays_under_app(site: TestSite) {
    let mut browser = site.browser();
    let guest = browser.get("/app/profile?tab=x").await;
    let login = "/app/login?return_to=%2Fapp%2Fprofile%3Ftab%3Dx";
    assert_eq!(guest.location(), login);
    let call = browser.fetch(Method::GET, "/app/profile", "").await;
    assert_eq!(call.json()["login_url"], "/app/login");

    let answer = browser.sign_in("alice", "/app/profile?tab=x").await;
    let session = answer.set_cookies().concat();
    assert!(session.contains("; Path=/app;"), "{session}");
    let profile = browser.get("/app/profile?tab=x").await;
    assert!(profile.body.contains("alice"), "{profile:?}");

    // Without a return path the sign-in leads to the home page.
    let mut other = site.browser();
    let url = other.start_login("").await;
    let callback = other.approve(&url, "bob");
    let home = other.get(&callback).await.location().to_owned();
    assert_eq!(other.get(&home).await.status, StatusCode::OK, "{home}");

    let button = browser.get("/app/logout").await;
    assert!(button.body.contains(r#"action="/app/logout""#));
    assert!(button.body.contains(&format!(r#"href="{home}""#)));
    let answer = browser.post("/app/logout").await;
    assert_eq!(answer.location(), "/app/logout");
    assert!(answer.set_cookies()[0].contains("; Path=/app;"));
    assert_eq!(browser.get("/app/profile?tab=x").await.location(), login);
    let farewell = browser.get("/app/logout").await;
    assert!(farewell.body.contains(r#"href="/app/login""#));
}

fn under_app() -> TestSiteBuilder {
    TestSite::builder()
        .callback("/app/callback")
        .config(|config| config.base_path("/app"))
}

/// A proxy that strips the prefix, so that the app never sees it.
pub fn cut_off(prefix: &'static str, app: Router) -> Router {
    let proxy = move |request: Request| {
        let app = app.clone();
        async move {
            let (mut parts, body) = request.into_parts();
            let Some(rest) = parts.uri.path().strip_prefix(prefix) else {
                return StatusCode::NOT_FOUND.into_response();
            };
            let slash = if rest.starts_with('/') { "" } else { "/" };
            let query = parts.uri.query().map(|query| format!("?{query}"));
            let uri = format!("{slash}{rest}{}", query.unwrap_or_default());
            parts.uri = uri.parse().unwrap();
            parts.extensions.clear();
            app.oneshot(Request::from_parts(parts, body)).await.unwrap()
        }
    };
    Router::new().fallback(proxy)
}

// Sessions of the app

#[tokio::test]
async fn sessions_of_the_app_are_separate_from_those_of_the_crate() {
    for outer in [true, false] {
        let theirs = AppStore::default();
        let manager = SessionManagerLayer::new(theirs.clone())
            .with_secure(false)
            .with_always_save(true);
        let (site, store) = TestSite::builder()
            .app(move |oten| {
                let app = app_with_sessions(oten);
                if outer {
                    app.layer(oten.layer()).layer(manager)
                } else {
                    app.layer(manager).layer(oten.layer())
                }
            })
            .start_watched()
            .await;
        let mut browser = site.browser();
        assert_eq!(browser.post("/count").await.body, "1");
        assert_eq!(store.take_calls(), [], "no store call for a guest");
        let answer = browser.sign_in("alice", "/count").await;
        let names = cookie_names(&answer);
        assert_eq!(names, ["id", "oten_session"], "each sets its own");
        assert_eq!(browser.post("/count").await.body, "2");
        assert_eq!(browser.signed_in_as().await, "user alice");
        store.take_calls();
        assert_eq!(browser.post("/count-of-user").await.body, "alice 3");
        assert_eq!(store.take_calls(), [Operation::Load]);

        // Each sign-out leaves the other session unchanged.
        browser.post("/logout").await;
        assert_eq!(browser.signed_in_as().await, "guest");
        assert_eq!(browser.post("/count").await.body, "4");
        browser.sign_in("bob", "/").await;
        assert_eq!(browser.post("/flush").await.status, StatusCode::OK);
        assert_eq!(browser.post("/count").await.body, "1");
        assert_eq!(browser.signed_in_as().await, "user bob");
        assert_eq!(theirs.0.lock().unwrap().len(), 1);
        let answer = browser.get("/count-of-user").await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    }
}

#[tokio::test]
async fn an_outage_of_the_apps_sessions_signs_no_user_out() {
    let theirs = AppStore::default();
    let manager = SessionManagerLayer::new(theirs.clone()).with_secure(false);
    let site = TestSite::builder()
        .app(move |oten| app_with_sessions(oten).layer(oten.layer()).layer(manager))
        .start()
        .await;
    let mut browser = site.signed_in("alice").await;
    browser.post("/count").await;
    theirs.0.lock().unwrap().clear();
    assert_eq!(browser.post("/count").await.body, "1");
    assert_eq!(browser.signed_in_as().await, "user alice");
}

fn app_with_sessions(oten: &Oten) -> Router {
    async fn count(session: Session) -> String {
        let count = session.get("count").await.unwrap().unwrap_or(0) + 1;
        session.insert("count", count).await.unwrap();
        count.to_string()
    }
    let count_of_user = async |user: User, session: Session| {
        let count = count(session).await;
        format!("{} {count}", user.subject())
    };
    Router::new()
        .route("/count-of-user", post(count_of_user))
        .route_layer(oten.require_login())
        .route("/count", post(count))
        .route(
            "/flush",
            post(async |session: Session| session.flush().await.unwrap()),
        )
        .merge(app(oten))
}

fn cookie_names(answer: &Answer) -> Vec<&str> {
    let cookies = answer.set_cookies().into_iter();
    let mut names: Vec<_> = cookies
        .map(|cookie| cookie.split('=').next().unwrap())
        .collect();
    names.sort_unstable();
    names
}

/// A store of the app that implements tower-sessions' trait.
#[derive(Clone, Debug, Default)]
struct AppStore(Arc<Mutex<HashMap<Id, Record>>>);

#[async_trait]
impl SessionStore for AppStore {
    async fn save(&self, record: &Record) -> session_store::Result<()> {
        self.0.lock().unwrap().insert(record.id, record.clone());
        Ok(())
    }

    async fn load(&self, id: &Id) -> session_store::Result<Option<Record>> {
        Ok(self.0.lock().unwrap().get(id).cloned())
    }

    async fn delete(&self, id: &Id) -> session_store::Result<()> {
        self.0.lock().unwrap().remove(id);
        Ok(())
    }
}

// Position of the layer

#[tokio::test]
async fn applying_the_layer_twice_has_no_further_effect() {
    let (site, store) = TestSite::builder()
        .app(|oten| {
            let both = async |user: User, session: Session| {
                let note = session.get::<String>("note").await.unwrap();
                let note = note.as_deref().unwrap_or("no note");
                format!("{}: {note}", user.subject())
            };
            let app = app(oten).merge(Router::new().route("/both", get(both)).layer(oten.layer()));
            app.layer(oten.layer()).layer(oten.layer())
        })
        .start_watched()
        .await;
    let mut browser = site.signed_in("alice").await;
    store.take_calls();
    assert_eq!(browser.get("/profile").await.status, StatusCode::OK);
    assert_eq!(store.take_calls(), [Operation::Load]);
    assert_eq!(browser.get("/both").await.body, "alice: no note");
    assert_eq!(
        store.take_calls(),
        [Operation::Load],
        "one session, not one for each layer"
    );
    let mut guest = site.browser();
    let written = guest.fetch(Method::POST, "/note", "mine").await;
    assert_eq!(written.set_cookies().len(), 1);
    assert_eq!(store.take_calls(), [Operation::Insert]);
    assert_eq!(guest.get("/note").await.body, "mine");
    assert_eq!(browser.post("/logout").await.set_cookies().len(), 1);
}

#[tokio::test]
async fn the_layer_works_outside_the_router() {
    let site = TestSite::builder()
        .app(|oten| {
            let routes = Router::new()
                .route(
                    "/profile",
                    get(async |user: User| user.subject().to_owned()),
                )
                .merge(oten.routes());
            let service = ServiceBuilder::new().layer(oten.layer()).service(routes);
            Router::new().fallback_service(service)
        })
        .start()
        .await;
    let mut browser = site.browser();
    let guest = browser.get("/profile?a=b").await;
    assert_eq!(guest.location(), "/login?return_to=%2Fprofile%3Fa%3Db");
    browser.sign_in("alice", "/profile").await;
    assert_eq!(browser.get("/profile").await.body, "alice");

    // Without any router, which would record the original URI.
    let guarded = oten_around(&site.oten);
    let request = browser.navigation(Method::GET, "/x?a=b");
    let response = guarded.oneshot(request).await.unwrap();
    assert_eq!(
        response.headers()[header::LOCATION],
        "/login?return_to=%2Fx%3Fa%3Db"
    );
}

/// The layers without axum.
fn oten_around(oten: &Oten) -> impl Service<Request, Response = Response, Error = Infallible> {
    ServiceBuilder::new()
        .layer(oten.layer())
        .layer(oten.require_login())
        .service(tower::service_fn(async |_: Request| {
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("inside"))))
        }))
}

#[tokio::test]
async fn a_fallback_can_be_protected() {
    let site = TestSite::builder()
        .app(|oten| {
            let files = get(async |request: Request| format!("file {}", request.uri().path()));
            Router::new()
                .route("/", get(async || "home"))
                .merge(oten.routes())
                .fallback(files.layer(oten.require_login()))
                .layer(oten.layer())
        })
        .start()
        .await;
    let mut browser = site.browser();
    assert_eq!(browser.get("/").await.body, "home");
    let guest = browser.get("/a/b.css?v=1").await;
    assert_eq!(guest.location(), "/login?return_to=%2Fa%2Fb.css%3Fv%3D1");
    browser.sign_in("alice", "/a/b.css").await;
    assert_eq!(browser.get("/a/b.css").await.body, "file /a/b.css");
}

#[tokio::test]
async fn requiring_login_everywhere_leaves_the_login_routes_open() {
    let site = TestSite::builder()
        .app(|oten| {
            Router::new()
                .route("/", get(async || "home"))
                .layer(oten.require_login())
                .merge(oten.routes())
                .layer(oten.layer())
        })
        .start()
        .await;
    let mut browser = site.browser();
    assert_eq!(browser.get("/").await.location(), "/login?return_to=%2F");
    browser.sign_in("alice", "/").await;
    assert_eq!(browser.get("/").await.body, "home");
}

#[tokio::test]
async fn two_sites_in_one_process_are_independent() {
    let (inner, outer) = (TestSite::start().await, TestSite::start().await);
    let app = inner.app.clone().layer(outer.oten.layer());
    let mut browser = inner.signed_in("alice").await;
    browser.app(app.clone());
    assert_eq!(
        browser.signed_in_as().await,
        "user alice",
        "the inner layer decides"
    );
    let mut browser = outer.signed_in("bob").await;
    browser.app(app);
    assert_eq!(browser.signed_in_as().await, "guest");
}

/// The guard would otherwise admit users whom another provider signed in.
#[tokio::test]
async fn r3_a_guard_admits_no_user_of_another_oten() {
    let (site, other) = (TestSite::start().await, TestSite::start().await);
    let admin = |is_admin: fn(&User) -> bool| {
        let guard = site.oten.require_login().authorize(is_admin);
        let page = get(async || "for the admin").route_layer(guard);
        Router::new().route("/admin", page)
    };
    // With the layer of the other `Oten` only, or with both, in any order.
    for (layers, status) in [
        (&[&other][..], StatusCode::INTERNAL_SERVER_ERROR),
        (&[&other, &site], StatusCode::INTERNAL_SERVER_ERROR),
        (&[&site, &other], StatusCode::SEE_OTHER),
    ] {
        let mut app = admin(|user| user.subject() == "alice");
        for site in layers {
            app = app.layer(site.oten.layer());
        }
        let mut browser = other.signed_in("alice").await;
        browser.app(app);
        let answer = browser.get("/admin").await;
        assert_eq!(answer.status, status);
        assert!(!answer.body.contains("for the admin"));
    }
}

// Mistakes

#[tokio::test]
async fn a_missing_layer_is_an_error_that_says_how_to_add_it() {
    let site = TestSite::builder()
        .app(|oten| {
            Router::new()
                .route("/guarded", get(async || "secret"))
                .route_layer(oten.require_login())
                .route("/user", get(async |_: User| "secret"))
                .route("/guest", get(async |_: Option<User>| "secret"))
                .route("/token", get(async |_: AccessToken| "secret"))
                .merge(oten.routes())
        })
        .start()
        .await;
    for path in [
        "/guarded",
        "/user",
        "/guest",
        "/token",
        "/login",
        "/callback?code=a&state=b",
        "/logout",
    ] {
        let log = Log::start();
        let answer = site.browser().get(path).await;
        assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR, "{path}");
        assert!(answer.body.contains("not set up correctly"), "{path}");
        assert!(!answer.body.contains("secret"), "{path}");
        let text = log.text();
        assert!(text.contains(".layer(oten.layer())"), "{path}: {text}");
        assert!(text.contains(".merge(oten.routes())"), "{path}: {text}");
    }
    assert_eq!(
        site.browser().post("/logout").await.status,
        StatusCode::INTERNAL_SERVER_ERROR
    );
}

#[tokio::test]
async fn s5_a_callback_without_cookies_gets_a_page_and_a_log_line_with_help() {
    let site = TestSite::builder()
        .app(|oten| strict(app(oten)))
        .start()
        .await;
    let mut browser = site.browser();
    let url = browser.start_login("/profile").await;
    assert!(browser.cookies.is_empty(), "they are kept back");

    let callback = browser.approve(&url, "alice");
    let again = browser.get(&callback).await;
    let log = Log::start();
    let page = browser.get(again.location()).await;
    assert_eq!(page.status, StatusCode::BAD_REQUEST);
    assert!(page.body.contains("blocks cookies"), "{}", page.body);
    assert!(page.body.contains(r#"href="/login""#));
    assert!(page.set_cookies().is_empty());
    let text = log.text();
    for help in ["SameSite=Strict", "SameSite=Lax"] {
        assert!(text.contains(help), "{help:?}: {text}");
    }
    // The page stays the same however often it is reloaded.
    let reloaded = browser.get(again.location()).await;
    assert_eq!(reloaded.status, StatusCode::BAD_REQUEST);
}

/// A layer that makes every cookie `SameSite=Strict`. The test's browser drops such cookies; a real
/// one withholds them on the redirect from the provider.
fn strict(app: Router) -> Router {
    let take_away = async |mut response: Response| {
        response.headers_mut().remove(header::SET_COOKIE);
        response
    };
    app.layer(map_response(take_away))
}

// Requests and responses that the layer passes through

#[tokio::test]
async fn bodies_stream_through_in_both_directions() {
    let (sender, receiver) = unbounded_channel();
    let chunks = Arc::new(Mutex::new(Some(receiver)));
    let site = TestSite::builder()
        .app(move |oten| {
            let stream =
                async move |_: User| Body::new(Chunks(chunks.lock().unwrap().take().unwrap()));
            let echo = async |_: User, request: Request| Response::new(request.into_body());
            Router::new()
                .route("/stream", get(stream))
                .route("/echo", post(echo))
                .route_layer(oten.require_login())
                .merge(oten.routes())
                .layer(oten.layer())
        })
        .start()
        .await;
    let mut browser = site.signed_in("alice").await;
    let app = site.app.clone();
    let cookie = format!("oten_session={}", browser.cookies["oten_session"]);
    let request = Request::get("/stream").header(header::COOKIE, cookie);
    let response = app
        .oneshot(request.body(Body::empty()).unwrap())
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    // The response has begun before its body exists.
    let mut body = response.into_body();
    for chunk in ["one", "two", "three"] {
        sender.send(chunk).unwrap();
        let frame = body.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), chunk);
    }
    drop(sender);
    assert!(body.frame().await.is_none());

    let sent = "x".repeat(1 << 20);
    let mut request = browser.navigation(Method::POST, "/echo");
    *request.body_mut() = Body::from(sent.clone());
    assert_eq!(browser.send(request).await.body, sent);
}

#[tokio::test]
async fn an_upgrade_passes_through() {
    /// The upgrade that hyper stores in a request, and the response to it.
    #[derive(Clone, Debug, PartialEq)]
    struct Connection(u32);
    let site = TestSite::builder()
        .app(|oten| {
            let socket = async |_: User, request: Request| {
                let connection = request.extensions().get::<Connection>().cloned().unwrap();
                let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
                response
                    .headers_mut()
                    .insert(header::UPGRADE, "websocket".parse().unwrap());
                response.extensions_mut().insert(connection);
                response
            };
            Router::new()
                .route("/socket", get(socket))
                .route_layer(oten.require_login())
                .merge(oten.routes())
                .layer(oten.layer())
        })
        .start()
        .await;
    let browser = site.signed_in("alice").await;
    let handshake = |cookie: String| {
        let request = Request::get("/socket")
            .header(header::CONNECTION, "upgrade")
            .header(header::UPGRADE, "websocket")
            .header("sec-fetch-mode", "websocket")
            .header(header::ORIGIN, "http://127.0.0.1:3000")
            .header(header::COOKIE, cookie)
            .extension(Connection(7));
        request.body(Body::empty()).unwrap()
    };
    let cookie = format!("oten_session={}", browser.cookies["oten_session"]);
    let response = site.app.clone().oneshot(handshake(cookie)).await.unwrap();
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    assert_eq!(response.headers()[header::UPGRADE], "websocket");
    assert_eq!(response.extensions().get(), Some(&Connection(7)));
    assert!(response.body().is_end_stream());
    let guest = send(&site.app, handshake(String::new())).await;
    assert_eq!(guest.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_panicking_handler_affects_no_other_request() {
    let site = TestSite::builder()
        .app(|oten| {
            let panics = async |user: User, session: Session| {
                session.insert("note", "half done").await.unwrap();
                panic!("{} found a bug", user.subject());
                #[expect(unreachable_code, reason = "a handler has to answer something")]
                ""
            };
            let extra = Router::new()
                .route("/panics", get(panics))
                .route_layer(oten.require_login().authorize(|user| {
                    assert_ne!(user.subject(), "bob", "a rule may panic too");
                    true
                }))
                .layer(oten.layer());
            app(oten).merge(extra)
        })
        .start()
        .await;
    for user in ["alice", "bob"] {
        let mut browser = site.signed_in(user).await;
        let mut tab = browser.clone();
        let crash = tokio::spawn(async move { tab.get("/panics").await }).await;
        assert!(crash.unwrap_err().is_panic());
        assert_eq!(browser.signed_in_as().await, format!("user {user}"));
        assert_eq!(browser.get("/note").await.body, "no note");
        assert_eq!(browser.get("/token").await.status, StatusCode::OK);
        let mut other: Browser = site.signed_in("carol").await;
        assert_eq!(other.signed_in_as().await, "user carol");
    }
}

/// A body that is produced while it is sent.
struct Chunks(UnboundedReceiver<&'static str>);

impl HttpBody for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let chunk = std::task::ready!(self.0.poll_recv(cx));
        Poll::Ready(chunk.map(|chunk| Ok(Frame::data(Bytes::from(chunk)))))
    }
}
