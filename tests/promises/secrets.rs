//! Promise B2: secrets appear in no output.

use std::{
    fmt::{Debug, Write},
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    http::{Method, Request, header},
    routing::get,
};
use axum_oten::{
    AccessToken, Oten, RedactedUri, User,
    audit::Event,
    emulator::{Deviation, Endpoint, Fault},
    web::{AccessTokenRejection, UserRejection},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tower_http::trace::TraceLayer;
use tower_sessions::session::Id;
use url::Url;

use crate::common::{Answer, Browser, ClientKind, Log, Recorder, SECRET, TestSite, TokenCall};

/// An app that prints everything with `Debug` and logs its requests as the documentation describes.
fn app(oten: &Oten) -> Router {
    let span = |request: &Request<Body>| {
        let uri = RedactedUri(request.uri());
        tracing::info_span!("request", method = %request.method(), %uri)
    };
    Router::new()
        .route("/", get(async |user: Option<User>| format!("{user:#?}")))
        .route(
            "/user",
            get(async |user: Result<User, UserRejection>| shown(&user)),
        )
        .route(
            "/token",
            get(async |token: Result<AccessToken, AccessTokenRejection>| shown(&token)),
        )
        .merge(oten.routes())
        .layer(oten.layer())
        .layer(TraceLayer::new_for_http().make_span_with(span))
}

fn shown(value: &impl Debug) -> String {
    format!("{value:?} {value:#?}")
}

/// A complete session at a site, with every output and every secret.
struct Life {
    log: Log,
    site: TestSite,
    recorder: Option<Recorder>,
    browser: Browser,
    audited: Arc<Mutex<Vec<Event>>>,
    secrets: Vec<(&'static str, String)>,
    /// Visible to the browser, except cookies and URLs on the way to the provider.
    outputs: String,
    /// URLs that only the provider and the browser see.
    for_provider: String,
}

impl Life {
    async fn begin(kind: ClientKind) -> Self {
        let mut session = Self::begin_unrecorded(kind).await;
        session.recorder = Some(Recorder::before(&session.site.emulator).await);
        session.site.oten.provider_metadata().await.unwrap();
        session
    }

    async fn begin_unrecorded(kind: ClientKind) -> Self {
        let log = Log::start();
        let audited = Arc::<Mutex<Vec<_>>>::default();
        let keep = Arc::clone(&audited);
        let site = TestSite::builder()
            .client(kind)
            .oten(move |oten| {
                oten.audit(move |event: &Event| keep.lock().unwrap().push(event.clone()))
            })
            .emulator(|emulator| emulator.access_token_lifetime(Duration::from_secs(60)))
            .app(app)
            .start()
            .await;
        let pem = site.request_key.to_pem();
        let key = pem.lines().nth(1).unwrap().to_owned();
        Self {
            recorder: None,
            audited,
            browser: site.browser(),
            secrets: vec![("client secret", SECRET.to_owned()), ("private key", key)],
            log,
            site,
            outputs: String::new(),
            for_provider: String::new(),
        }
    }

    async fn get(&mut self, path: &str) -> Answer {
        let request = self.browser.navigation(Method::GET, path);
        self.send(request).await
    }

    async fn send(&mut self, request: Request<Body>) -> Answer {
        let answer = self.browser.send(request).await;
        for (name, value) in &answer.headers {
            let value = value.to_str().unwrap();
            if name == header::SET_COOKIE {
                continue;
            }
            let is_for_provider = value.starts_with(self.site.emulator.issuer());
            let outputs = match name {
                &header::LOCATION if is_for_provider => &mut self.for_provider,
                _ => &mut self.outputs,
            };
            writeln!(outputs, "{name}: {value}").unwrap();
        }
        self.outputs.push_str(&answer.body);
        self.keep_cookies();
        answer
    }

    fn keep_cookies(&mut self) {
        for (name, value) in self.browser.cookies.clone() {
            // The name of a cookie is visible in more places than its value.
            self.outputs.push_str(&name);
            if let Ok(id) = value.parse::<Id>() {
                assert!(name.ends_with("_session"));
                self.secrets
                    .push(("session id as a number", id.0.to_string()));
                self.secrets.push(("session cookie", value));
            } else if name != "oten_restart" {
                let (id, _) = value.split_once('.').unwrap();
                self.secrets.push(("login cookie", id.to_owned()));
            }
        }
    }

    /// Requests `/login` and collects the secrets of the request.
    async fn start_login(&mut self) -> Url {
        let answer = self.get("/login?return_to=/user").await;
        let url: Url = answer.location().parse().unwrap();
        let query = |wanted: &str| {
            let mut pairs = url.query_pairs();
            pairs.find_map(|(name, value)| (name == wanted).then(|| value.into_owned()))
        };
        if let Some(request) = query("request") {
            let claims = request.split('.').nth(1).unwrap();
            let claims = BASE64_URL_SAFE_NO_PAD.decode(claims).unwrap();
            let claims: Value = serde_json::from_slice(&claims).unwrap();
            for name in ["state", "nonce"] {
                self.secrets
                    .push((name, claims[name].as_str().unwrap().to_owned()));
            }
            self.secrets.push(("request object", request));
        } else {
            for name in ["state", "nonce"] {
                self.secrets.push((name, query(name).unwrap()));
            }
        }
        url
    }

    async fn sign_in(&mut self) -> (String, Answer) {
        let url = self.start_login().await;
        let callback = self.browser.approve(&url, "alice");
        let code = Url::parse(&format!("http://x{callback}")).unwrap();
        let (_, code) = code.query_pairs().find(|(name, _)| name == "code").unwrap();
        self.secrets.push(("code", code.into_owned()));
        let answer = self.get(&callback).await;
        (callback, answer)
    }

    fn show(&mut self, value: &impl Debug) {
        self.outputs.push_str(&shown(value));
    }

    /// Searches all outputs for the secrets.
    fn assert_kept(mut self) {
        for call in self.calls() {
            let verifier = call.form.get("code_verifier").cloned();
            let verifier = verifier.map(|verifier| ("code verifier", verifier));
            self.secrets.extend(verifier);
            for name in ["access_token", "id_token", "refresh_token"] {
                let token = call.answer[name].as_str().map(str::to_owned);
                self.secrets.extend(token.map(|token| (name, token)));
            }
        }
        let (oten, store) = (self.site.oten.clone(), self.site.store.clone());
        self.show(&oten);
        self.show(oten.config());
        self.show(&oten.layer());
        self.show(&oten.require_login());
        self.show(&Oten::builder(oten.config().clone(), store.clone()));
        self.show(&store);
        let audited = std::mem::take(&mut *self.audited.lock().unwrap());
        assert!(!audited.is_empty(), "nothing happened");
        self.show(&audited);
        for event in &audited {
            self.outputs
                .push_str(&serde_json::to_string(event).unwrap());
        }

        let log = self.log.text();
        for (name, secret) in &self.secrets {
            assert!(secret.len() >= 16, "{name} is too short to be looked for");
            for (place, text) in [("log", &log), ("answers", &self.outputs)] {
                let found = text.lines().find(|line| line.contains(secret.as_str()));
                assert!(found.is_none(), "the {name} is in the {place}: {found:?}");
            }
            let is_sent = matches!(*name, "state" | "nonce" | "request object");
            let leaked = !is_sent && self.for_provider.contains(secret.as_str());
            assert!(!leaked, "the {name} is in a URL for the provider");
        }
    }

    fn calls(&self) -> Vec<TokenCall> {
        self.recorder
            .as_ref()
            .map_or_else(Vec::new, Recorder::calls)
    }

    fn count_of(&self, name: &str) -> usize {
        self.secrets
            .iter()
            .filter(|(known, _)| *known == name)
            .count()
    }
}

#[tokio::test]
async fn b2_a_complete_session_leaks_nothing() {
    for kind in ClientKind::ALL {
        let mut session = Life::begin(kind).await;
        let (callback, answer) = session.sign_in().await;
        assert_eq!(answer.location(), "/user");
        assert!(session.get("/user").await.body.contains("alice"));
        assert!(session.get("/token").await.body.starts_with("Ok("));
        // The same callback again, in this and another browser.
        session.get(&callback).await.location();
        let mut elsewhere = session.site.browser();
        let restarted = elsewhere.get(&callback).await;
        let url = elsewhere.follow_restart(&restarted).await;
        session.for_provider.push_str(url.as_str());
        // A second sign-in over the existing session.
        assert_eq!(session.sign_in().await.1.location(), "/user");
        // The access token expires and is refreshed.
        session.site.clock.advance(Duration::from_secs(60));
        assert!(session.get("/token").await.body.starts_with("Ok("));
        // Sign-out, with the old cookie kept.
        let old = session.browser.cookies.clone();
        let mut sign_out = session.browser.navigation(Method::POST, "/logout");
        let same_origin = "same-origin".parse().unwrap();
        sign_out.headers_mut().insert("sec-fetch-site", same_origin);
        session.send(sign_out).await.location();
        session.browser.cookies = old;
        assert!(session.get("/user").await.body.starts_with("Err("));
        session.get("/logout").await;

        for name in ["state", "nonce", "code", "session cookie", "login cookie"] {
            assert!(session.count_of(name) > 0, "{name}");
        }
        assert_eq!(session.calls().len(), 3);
        let log = session.log.text();
        assert!(
            ["signed_in", "refreshed", "signed_out"]
                .iter()
                .all(|event| log.contains(event))
        );
        assert!(log.contains("code=[redacted]"), "requests are not logged");
        assert!(
            log.contains("starting new connection"),
            "the crate `log` is not heard"
        );
        assert!(log.contains("hyper"), "hyper is not heard");
        session.assert_kept();
    }
}

#[tokio::test]
async fn b2_failed_sign_ins_leak_nothing() {
    let mut session = Life::begin(ClientKind::Hs256).await;
    for deviation in [
        Deviation::BadSignature,
        Deviation::AlgNone,
        Deviation::UnknownKey,
        Deviation::AccessTokenAsIdToken,
        Deviation::NoIdToken,
        Deviation::Claim("nonce", json!("another")),
        Deviation::Claim("aud", json!("another")),
        Deviation::Claim("exp", json!("never")),
        Deviation::Header("crit", json!(["x"])),
        Deviation::TokenField("token_type", json!("mac")),
        Deviation::TokenField("access_token", json!(["soon"])),
    ] {
        session.site.emulator.clear_deviations();
        session.site.emulator.deviate(deviation.clone());
        let (_, answer) = session.sign_in().await;
        assert_eq!(answer.status.as_u16(), 502, "{deviation:?}");
    }
    assert!(session.calls().len() > 10);
    session.assert_kept();
}

#[tokio::test]
async fn b2_a_failing_provider_leaks_nothing() {
    for (endpoint, is_recorded) in [
        (Endpoint::Token, true),
        (Endpoint::Token, false),
        (Endpoint::Jwks, true),
    ] {
        let mut session = if is_recorded {
            Life::begin(ClientKind::Hs256).await
        } else {
            Life::begin_unrecorded(ClientKind::Hs256).await
        };
        for fault in [
            Fault::Status(500),
            Fault::Html,
            Fault::Empty,
            Fault::Close,
            Fault::OAuthError("invalid_client"),
            Fault::OAuthError("server_error"),
            Fault::TooManyRequests { retry_after: None },
            Fault::GzipBomb,
        ] {
            session.site.emulator.fault(endpoint, fault.clone());
            let (_, answer) = session.sign_in().await;
            assert!(answer.status.is_server_error(), "{fault:?}: {answer:?}");
            session.site.emulator.clear_faults();
            session.site.clock.advance(Duration::from_secs(60));
        }
        session.assert_kept();
    }
}

#[tokio::test]
async fn b2_an_unreachable_provider_leaks_nothing() {
    let mut session = Life::begin_unrecorded(ClientKind::EdDsa).await;
    let url = session.start_login().await;
    let callback = session.browser.approve(&url, "alice");
    session.site.emulator.stop().await;
    let answer = session.get(&callback).await;
    assert!(answer.status.is_server_error(), "{answer:?}");
    session.assert_kept();

    let mut session = Life::begin_unrecorded(ClientKind::Hs256).await;
    session.site.emulator.stop().await;
    session.get("/login").await;
    let error = session.site.oten.provider_metadata().await.unwrap_err();
    session.show(&error);
    session.outputs.push_str(&error.to_string());
    session.assert_kept();
}

#[tokio::test]
async fn b2_rejected_and_forged_callbacks_leak_nothing() {
    let mut session = Life::begin(ClientKind::Hs256).await;
    for error in ["access_denied", "server_error", "invalid_request", "odd"] {
        let url = session.start_login().await;
        let mut back = session.site.emulator.reject(url, error).unwrap();
        // An unexpected code is ignored and not logged.
        let code = format!("a-code-beside-an-error-{error}");
        back.query_pairs_mut().append_pair("code", &code);
        session.secrets.push(("code", code));
        let answer = session.get(back.as_str()).await;
        assert!(!answer.body.contains("test wants it"), "{answer:?}");
    }
    let unknown = "state=a-state-that-is-secret&code=a-code-that-is-secret";
    for (query, status) in [
        // The first one restarts the login.
        (unknown, 303),
        (unknown, 400),
        (
            "state=a-state-that-is-secret&state=x&code=a-code-that-is-secret",
            400,
        ),
        ("code=a-code-that-is-secret", 400),
        ("code=a-code-that-is-secret&error=server_error", 400),
        ("code=a-code-that-is-secret&state=%ff", 400),
        ("a-code-that-is-secret", 400),
    ] {
        let answer = session.get(&format!("/callback?{query}")).await;
        assert_eq!(answer.status.as_u16(), status, "{query}");
    }
    session
        .secrets
        .push(("code", "a-code-that-is-secret".to_owned()));
    session
        .secrets
        .push(("state", "a-state-that-is-secret".to_owned()));
    session.assert_kept();
}
