//! Every program of `examples/`, started and used as its first lines describe.

use std::{fs, net::Ipv4Addr, time::Duration};

use As::{Guest, Token, User};
use Request::{ForeignPost, Page, Post, Script};
use axum::http::{Method, header};
use axum_oten::{
    emulator::{Deviation, EmulatedClient, Emulator, Endpoint},
    jose::Ed25519KeyPair,
};
use serde_json::json;
use tokio::process::Command;

use crate::{
    common::{Answer, ClientKind, Recorder, SECRET, Visitor, free_port, path_and_query},
    kept_forms,
    program::process::{self, Running},
    stores::{
        servers::{self, ServerKind},
        temp_dir::TempDir,
    },
};

const CLIENT: &str = "example";

/// The rule of the operator for `admin_panel` and `live_feed`.
pub(crate) const ADMINS: &str = r#"{"admin": {"subjects": ["alice"]}}"#;

const SESSION_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// The caller of an example.
#[derive(Clone, Copy, Debug)]
enum As {
    Guest,
    User(&'static str),
    /// A program with an access token of alice for these scopes.
    Token(&'static str),
}

#[derive(Clone, Copy, Debug)]
enum Request {
    /// A navigation.
    Page(&'static str),
    /// `GET` by a script of the site, or by another program.
    Script(&'static str),
    Post(&'static str),
    /// `POST` from a page of another site.
    ForeignPost(&'static str),
}

/// What a caller gets: the status, and a part of the location or of the body.
type Case = (As, Request, u16, &'static str);

#[tokio::test]
async fn a_site_with_pages() {
    for kind in ClientKind::ALL {
        let site = Site::start("minimal", kind, &[]).await;
        site.check(&[
            (Guest, Page("/"), 200, "Sign in with Oten"),
            (Guest, Page("/members"), 303, "/login?return_to=%2Fmembers"),
            (User("alice"), Page("/members"), 200, "Hello Alice Adams"),
        ])
        .await;
    }
}

#[tokio::test]
async fn an_admin_panel() {
    let site = Site::start("admin_panel", ClientKind::Hs256, &[("OTEN_ACCESS", ADMINS)]).await;
    site.check(&[
        (Guest, Page("/admin"), 303, "/login?return_to=%2Fadmin"),
        (User("bob"), Page("/admin"), 403, ""),
        (User("bob"), Page("/admin/users"), 403, ""),
        (User("alice"), Page("/admin"), 200, "Welcome, Alice Adams"),
        (User("alice"), Page("/admin/users"), 200, "The users"),
        (Guest, Page("/account"), 303, "/login?return_to=%2Faccount"),
        (User("bob"), Page("/account"), 200, "Your sessions"),
        (User("bob"), Page("/admin/sessions"), 403, ""),
        (
            User("alice"),
            Page("/admin/sessions"),
            200,
            "Sessions of all users",
        ),
        (User("alice"), Post("/admin/users/delete"), 200, "deleted"),
        (User("bob"), Post("/admin/users/delete"), 403, ""),
        (User("alice"), ForeignPost("/admin/users/delete"), 403, ""),
    ])
    .await;

    // A form that is submitted long after the sign-in is kept until the next one. Of a user without access
    // it is not.
    site.signed_in_long_ago();
    let [mut alice, mut bob] = [site.signed_in("alice").await, site.signed_in("bob").await];
    site.emulator.clear_deviations();
    let delete = site.at("/admin/users/delete");
    let denied = bob.submit(&delete, "user=carol").await;
    assert_eq!(denied.status, 403, "{denied:?}");
    let link = kept_forms::kept(&alice.submit(&delete, "user=carol").await);
    let login = alice.get(&site.at(&link)).await;
    let callback = site.emulator.approve(login.location(), "alice").unwrap();
    let page = alice.get(callback.as_str()).await;
    let page = alice.get(&site.at(page.location())).await;
    let action = site.at(&kept_forms::action_of(&page));
    let done = alice.submit(&action, "").await;
    assert_eq!(done.body, "The user is deleted: user=carol");
    assert_eq!(alice.submit(&action, "").await.status, 410);
}

#[tokio::test]
async fn a_site_whose_scripts_call_its_own_api() {
    let site = Site::start("api", ClientKind::Hs256, &[]).await;
    site.check(&[
        (Guest, Script("/api/me"), 401, r#""login_url":"/login""#),
        (User("alice"), Script("/api/me"), 200, "alice"),
        (
            User("alice"),
            Script("/api/details"),
            200,
            "alice@example.com",
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_single_page_app() {
    let site = Site::start("spa", ClientKind::Public, &[]).await;
    site.check(&[
        (Guest, Page("/"), 200, "/session"),
        (Guest, Script("/session"), 401, r#""login_url":"/login""#),
        (
            Guest,
            Script("/api/userinfo"),
            401,
            r#""login_url":"/login""#,
        ),
        (
            User("alice"),
            ForeignPost("/api/userinfo"),
            403,
            "foreign_origin",
        ),
        (User("alice"), Script("/session"), 200, r#""sub":"alice""#),
        (
            User("alice"),
            Script("/api/userinfo"),
            200,
            "alice@example.com",
        ),
    ])
    .await;
}

#[tokio::test]
async fn an_api_for_other_programs() {
    let settings = [("OTEN_AUDIENCES", CLIENT)];
    let site = Site::start("bearer_api", ClientKind::Public, &settings).await;
    site.check(&[
        (Guest, Script("/health"), 200, "ok"),
        (Guest, Script("/orders"), 401, ""),
        (Token("orders:read"), Post("/orders"), 403, ""),
        (
            Token("orders:read"),
            Script("/orders"),
            200,
            "orders of alice",
        ),
        (
            Token("orders:write"),
            Post("/orders"),
            200,
            r#"Some("example")"#,
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_store_of_the_app() {
    let settings = [("OTEN_SESSION_KEY", SESSION_KEY)];
    let site = Site::start("custom_store", ClientKind::Hs256, &settings).await;
    site.check(&[
        (Guest, Page("/"), 200, "guest"),
        (User("alice"), Page("/"), 200, "alice"),
    ])
    .await;
}

#[tokio::test]
async fn a_site_with_sessions_of_its_own() {
    let site = Site::start("existing_sessions", ClientKind::Hs256, &[]).await;
    let mut guest = Visitor::default();
    for expected in ["guest: 1", "guest: 2"] {
        assert_eq!(guest.get(&site.at("/")).await.body, expected);
    }
    let mut user = guest.clone();
    sign_in(&mut user, &site, &site, "alice").await;
    assert_eq!(user.get(&site.at("/")).await.body, "alice: 3");
    user.post(&site.at("/logout")).await;
    assert_eq!(user.get(&site.at("/")).await.body, "guest: 4");
}

#[tokio::test]
async fn native_apps_and_their_site() {
    const LINKS: &str = "com.example.app:/callback http://127.0.0.1/callback";
    let settings = [("OTEN_NATIVE_LINKS", LINKS)];
    let site = Site::start("native_custom_scheme", ClientKind::Hs256, &settings).await;
    site.check(&[
        (
            Guest,
            Page("/greeting"),
            303,
            "/login?return_to=%2Fgreeting",
        ),
        (User("alice"), Page("/greeting"), 200, "Hello Alice Adams"),
    ])
    .await;
    // A phone app, whose operating system opens the link.
    let query = "redirect_uri=com.example.app:/callback&state=x&code_challenge_method=S256\
                 &code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
    let mut browser = Visitor::default();
    let link = native_link(
        &site,
        &mut browser,
        &site.at(&format!("/native/start?{query}")),
    )
    .await;
    let (_, code) = link.split_once("com.example.app:/callback?code=").unwrap();
    let (code, _) = code.split_once("&state=x").unwrap();
    // The verifier of RFC 7636 appendix B.
    let form = format!(
        "grant_type=authorization_code&redirect_uri=com.example.app:/callback&code={code}\
         &code_verifier=dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    );
    let mut app = Visitor::default();
    let request = app
        .request(Method::POST, &site.at("/native/token"))
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(form);
    let token = app.send(request).await.unwrap();
    let credential = token.json()["access_token"].as_str().unwrap().to_owned();
    let mut app = Visitor::with_token(&credential);
    let greeting = app.get(&site.at("/greeting")).await;
    assert_eq!(greeting.body, "Hello Alice Adams");

    // The command-line program, which listens.
    let mut program = process::example("native_loopback");
    let program = Running::start(program.arg(&site.origin)).await;
    let link = native_link(&site, &mut browser, program.url.as_str()).await;
    let page = browser.get(&link).await;
    assert_eq!(
        page.body,
        "You can close this page and return to the program."
    );
    let (status, output) = program.ended().await;
    assert!(status.success(), "{output}");
    assert!(output.contains("Hello Alice Adams"), "{output}");
}

/// Signs alice in as the browser does, clicks `Continue`, and returns the link to the app.
async fn native_link(site: &Site, browser: &mut Visitor, start: &str) -> String {
    let start = browser.get(start).await;
    let callback = site.emulator.approve(start.location(), "alice").unwrap();
    let page = browser.get(callback.as_str()).await;
    let (_, form) = page.body.split_once("action=\"/native/confirm").unwrap();
    let (query, _) = form.split_once('"').unwrap();
    let confirm = site.at(&format!("/native/confirm{query}"));
    browser.post(&confirm).await.location().to_owned()
}

#[tokio::test]
async fn a_page_with_live_events() {
    let site = Site::start("live_feed", ClientKind::Hs256, &[("OTEN_ACCESS", ADMINS)]).await;
    site.check(&[
        (Guest, Page("/"), 303, "/login?return_to=%2F"),
        (User("bob"), Page("/"), 403, ""),
        (User("bob"), Script("/feed"), 403, ""),
        (Guest, Script("/feed"), 401, ""),
        (User("alice"), Page("/"), 200, "EventSource"),
    ])
    .await;
    let mut user = site.signed_in("alice").await;
    let feed = user.request(Method::GET, &site.at("/feed"));
    let mut feed = feed.send().await.unwrap();
    site.ask(&mut user, ForeignPost("/logout")).await;
    let event = feed.chunk().await.unwrap().unwrap();
    assert_eq!(event, "data: refused\n\n");
    user.post(&site.at("/logout")).await;
    let rest = async { while feed.chunk().await.unwrap().is_some() {} };
    let ended = tokio::time::timeout(Duration::from_secs(10), rest).await;
    ended.expect("the feed ends with the session");
}

#[tokio::test]
async fn a_site_on_several_machines() {
    let redis = servers::shared(ServerKind::Redis).url();
    let settings = [
        ("OTEN_SESSION_STORE", &*redis),
        ("OTEN_SESSION_KEY", SESSION_KEY),
        ("OTEN_INSTANCES", "2"),
    ];
    let first = Site::start("several_machines", ClientKind::Hs256, &settings).await;
    let second = first.another("several_machines", &settings).await;
    let mut user = Visitor::default();
    sign_in(&mut user, &first, &second, "alice").await;
    for site in [&first, &second] {
        let page = user.get(&site.at("/account")).await;
        assert_eq!(page.body, "Alice Adams, on every machine");
    }
    let mut old = user.clone();
    user.post(&second.at("/logout")).await;
    let page = old.get(&first.at("/account")).await;
    assert_eq!(page.location(), "/login?return_to=%2Faccount");
}

#[tokio::test]
async fn a_service_without_users() {
    let (service, _api) = start_service(|client| client).await;
    for _ in 0..3 {
        service
            .check(&[(Guest, Script("/report"), 200, "orders of example")])
            .await;
    }
    assert_eq!(service.emulator.calls(Endpoint::Token), 1);

    // The client may call from another address only.
    let elsewhere = Ipv4Addr::new(192, 0, 2, 1).into();
    let (service, _api) = start_service(|client| client.allow_address(elsewhere)).await;
    service.check(&[(Guest, Script("/report"), 503, "")]).await;
    let (_, log) = service.program.end().await;
    assert!(log.contains("address"), "{log}");
}

/// Starts the service, and the API that it calls: another example.
async fn start_service(register: impl FnOnce(EmulatedClient) -> EmulatedClient) -> (Site, Site) {
    let client = register(EmulatedClient::service(CLIENT, SECRET));
    let emulator = Emulator::builder().client(client).start().await.unwrap();
    let port = free_port();
    let mut api = program("bearer_api", &emulator, port);
    api.env("OTEN_AUDIENCES", CLIENT);
    let api = Site::run(emulator.clone(), api, port).await;
    let port = free_port();
    let mut service = program("service", &emulator, port);
    service.envs([("OTEN_CLIENT_SECRET", SECRET), ("ORDERS_API", &api.origin)]);
    (Site::run(emulator, service, port).await, api)
}

/// An example, and the emulator at which its client is registered.
pub(crate) struct Site {
    pub(crate) emulator: Emulator,
    /// The calls of the token endpoint.
    pub(crate) calls: Recorder,
    program: Running,
    origin: String,
    _key: Option<TempDir>,
}

impl Site {
    pub(crate) async fn start(example: &str, kind: ClientKind, settings: &[(&str, &str)]) -> Self {
        let port = free_port();
        let pair = Ed25519KeyPair::generate();
        let client = match kind {
            ClientKind::Hs256 => EmulatedClient::confidential(CLIENT, SECRET),
            ClientKind::EdDsa => {
                EmulatedClient::confidential(CLIENT, SECRET).request_object_key(&pair.public_jwk())
            }
            ClientKind::Public => EmulatedClient::public(CLIENT),
        };
        let client = client.redirect_uri(redirect_uri(port));
        let emulator = Emulator::builder().client(client).start().await.unwrap();
        let mut program = program(example, &emulator, port);
        program
            .env("OTEN_REDIRECT_URI", redirect_uri(port))
            .envs(settings.iter().copied());
        match kind {
            ClientKind::Public => program.env("OTEN_CLIENT_TYPE", "public"),
            _ => program.env("OTEN_CLIENT_SECRET", SECRET),
        };
        let key = (kind == ClientKind::EdDsa).then(|| {
            let folder = TempDir::new();
            let file = folder.path().join("oten-jar.pem");
            fs::write(&file, &*pair.to_pem()).unwrap();
            program
                .env("OTEN_JAR", "EdDSA")
                .env("OTEN_JAR_KEY_FILE", file);
            folder
        });
        let site = Self::run(emulator, program, port).await;
        Self { _key: key, ..site }
    }

    /// Starts a second process behind the same redirect URI.
    async fn another(&self, example: &str, settings: &[(&str, &str)]) -> Self {
        let port = free_port();
        let mut program = program(example, &self.emulator, port);
        program
            .env("OTEN_REDIRECT_URI", format!("{}/callback", self.origin))
            .env("OTEN_CLIENT_SECRET", SECRET)
            .envs(settings.iter().copied());
        Self::run(self.emulator.clone(), program, port).await
    }

    async fn run(emulator: Emulator, mut program: Command, port: u16) -> Self {
        Self {
            calls: Recorder::before(&emulator).await,
            emulator,
            program: Running::start(&mut program).await,
            origin: format!("http://127.0.0.1:{port}"),
            _key: None,
        }
    }

    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }

    /// Lets the sign-ins that follow be old, until the emulator's deviations are cleared.
    pub(crate) fn signed_in_long_ago(&self) {
        let auth_time = Deviation::Claim("auth_time", json!(1_000_000_000));
        self.emulator.deviate(auth_time);
    }

    async fn signed_in(&self, user: &str) -> Visitor {
        let mut visitor = Visitor::default();
        sign_in(&mut visitor, self, self, user).await;
        visitor
    }

    async fn check(&self, cases: &[Case]) {
        for (caller, request, status, part) in cases {
            let mut visitor = match caller {
                Guest => Visitor::default(),
                User(user) => self.signed_in(user).await,
                Token(scopes) => {
                    let token = self.emulator.access_token(CLIENT, "alice", scopes);
                    Visitor::with_token(&token.unwrap())
                }
            };
            let answer = self.ask(&mut visitor, *request).await;
            let location = answer.header(header::LOCATION).unwrap_or_default();
            assert_eq!(answer.status, *status, "{caller:?} {request:?} {answer:?}");
            assert!(
                location == *part || !part.is_empty() && answer.body.contains(part),
                "{caller:?} {request:?} {answer:?}"
            );
        }
    }

    async fn ask(&self, visitor: &mut Visitor, request: Request) -> Answer {
        let (method, path, site) = match request {
            Page(path) => return visitor.get(&self.at(path)).await,
            Script(path) => (Method::GET, path, "same-origin"),
            Post(path) => (Method::POST, path, "same-origin"),
            ForeignPost(path) => (Method::POST, path, "cross-site"),
        };
        let request = visitor.request(method, &self.at(path));
        let request = request.header("sec-fetch-site", site);
        visitor.send(request).await.unwrap()
    }
}

/// The example with the settings that every kind of app has.
fn program(example: &str, emulator: &Emulator, port: u16) -> Command {
    let mut program = process::example(example);
    program
        .env("OTEN_ISSUER", emulator.issuer())
        .env("OTEN_CLIENT_ID", CLIENT)
        .env("OTEN_LISTEN", format!("127.0.0.1:{port}"));
    program
}

fn redirect_uri(port: u16) -> String {
    format!("http://127.0.0.1:{port}/callback")
}

/// Signs in from `/login` of one process to the callback of another.
async fn sign_in(visitor: &mut Visitor, from: &Site, to: &Site, user: &str) {
    let login = visitor.get(&from.at("/login")).await;
    let callback = from.emulator.approve(login.location(), user).unwrap();
    let callback = visitor.get(&to.at(&path_and_query(&callback))).await;
    assert_eq!(callback.location(), "/");
}

#[tokio::test]
async fn an_example_without_settings_names_those_that_are_missing() {
    let ended = process::run(&mut process::example("minimal")).await;
    assert!(!ended.status.success());
    let problem = "\n  client_id: is missing. Set `client_id` or OTEN_CLIENT_ID:";
    assert!(ended.stderr.contains(problem), "{}", ended.stderr);
}

#[test]
fn every_example_is_run() {
    let manifest = fs::read_to_string("Cargo.toml").unwrap();
    for entry in fs::read_dir("examples").unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let name = path.file_stem().unwrap().to_str().unwrap();
        let here = include_str!("examples.rs").contains(&format!("\"{name}\""));
        let as_test = manifest.contains(&format!("name = \"{name}\"\ntest = true\n"));
        assert!(here || as_test, "no test runs {name}");
    }
}
