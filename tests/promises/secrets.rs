//! Promise B2: what must stay secret is looked for everywhere it could come out.

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

/// An app that shows all it has with `Debug`, and logs its requests as the documentation says.
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

/// A whole life at a site, with everything that came out of it and everything that must not.
struct Life {
    log: Log,
    site: TestSite,
    recorder: Option<Recorder>,
    browser: Browser,
    audited: Arc<Mutex<Vec<Event>>>,
    secrets: Vec<(&'static str, String)>,
    /// Seen by the browser, except for cookies and for what is on its way to the provider.
    outputs: String,
    /// URLs that only the provider sees, and the browser.
    for_provider: String,
}

impl Life {
    async fn begin(kind: ClientKind) -> Self {
        let mut life = Self::begin_unrecorded(kind).await;
        life.recorder = Some(Recorder::before(&life.site.emulator).await);
        life.site.oten.provider_metadata().await.unwrap();
        life
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
            // A cookie's name is shown in more places than its value.
            self.outputs.push_str(&name);
            if let Ok(id) = value.parse::<Id>() {
                assert!(name.ends_with("_session"));
                self.secrets
                    .push(("session id as a number", id.0.to_string()));
                self.secrets.push(("session cookie", value));
            } else {
                let (id, _) = value.split_once('.').unwrap();
                self.secrets.push(("login cookie", id.to_owned()));
            }
        }
    }

    /// `/login`, with the secrets of the request learnt.
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

    /// Everything is said and done: looks for the secrets.
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

    fn learnt(&self, name: &str) -> usize {
        self.secrets
            .iter()
            .filter(|(known, _)| *known == name)
            .count()
    }
}

#[tokio::test]
async fn b2_a_complete_session_leaks_nothing() {
    for kind in ClientKind::ALL {
        let mut life = Life::begin(kind).await;
        let (callback, answer) = life.sign_in().await;
        assert_eq!(answer.location(), "/user");
        assert!(life.get("/user").await.body.contains("alice"));
        assert!(life.get("/token").await.body.starts_with("Ok("));
        // The same callback again, here and elsewhere.
        life.get(&callback).await.location();
        let mut elsewhere = life.site.browser();
        let fresh_start = elsewhere.get(&callback).await;
        assert!(
            fresh_start
                .location()
                .starts_with(life.site.emulator.issuer())
        );
        life.for_provider.push_str(fresh_start.location());
        // Signed in once more, over the session there is.
        assert_eq!(life.sign_in().await.1.location(), "/user");
        // The access token ends and is renewed.
        life.site.clock.advance(Duration::from_secs(60));
        assert!(life.get("/token").await.body.starts_with("Ok("));
        // Out, with the old cookie kept.
        let old = life.browser.cookies.clone();
        let mut sign_out = life.browser.navigation(Method::POST, "/logout");
        let same_origin = "same-origin".parse().unwrap();
        sign_out.headers_mut().insert("sec-fetch-site", same_origin);
        life.send(sign_out).await.location();
        life.browser.cookies = old;
        assert!(life.get("/user").await.body.starts_with("Err("));
        life.get("/logout").await;

        for name in ["state", "nonce", "code", "session cookie", "login cookie"] {
            assert!(life.learnt(name) > 0, "{name}");
        }
        assert_eq!(life.calls().len(), 3);
        let log = life.log.text();
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
        life.assert_kept();
    }
}

#[tokio::test]
async fn b2_failed_sign_ins_leak_nothing() {
    let mut life = Life::begin(ClientKind::Hs256).await;
    for lie in [
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
        Deviation::TokenField("expires_in", json!("soon")),
    ] {
        life.site.emulator.clear_deviations();
        life.site.emulator.deviate(lie.clone());
        let (_, answer) = life.sign_in().await;
        assert_eq!(answer.status.as_u16(), 502, "{lie:?}");
    }
    assert!(life.calls().len() > 10);
    life.assert_kept();
}

#[tokio::test]
async fn b2_a_failing_provider_leaks_nothing() {
    for (endpoint, is_recorded) in [
        (Endpoint::Token, true),
        (Endpoint::Token, false),
        (Endpoint::Jwks, true),
    ] {
        let mut life = if is_recorded {
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
            life.site.emulator.fault(endpoint, fault.clone());
            let (_, answer) = life.sign_in().await;
            assert!(answer.status.is_server_error(), "{fault:?}: {answer:?}");
            life.site.emulator.clear_faults();
            life.site.clock.advance(Duration::from_secs(60));
        }
        life.assert_kept();
    }
}

#[tokio::test]
async fn b2_an_unreachable_provider_leaks_nothing() {
    let mut life = Life::begin_unrecorded(ClientKind::EdDsa).await;
    let url = life.start_login().await;
    let callback = life.browser.approve(&url, "alice");
    life.site.emulator.stop().await;
    let answer = life.get(&callback).await;
    assert!(answer.status.is_server_error(), "{answer:?}");
    life.assert_kept();

    let mut life = Life::begin_unrecorded(ClientKind::Hs256).await;
    life.site.emulator.stop().await;
    life.get("/login").await;
    let error = life.site.oten.provider_metadata().await.unwrap_err();
    life.show(&error);
    life.outputs.push_str(&error.to_string());
    life.assert_kept();
}

#[tokio::test]
async fn b2_rejected_and_forged_callbacks_leak_nothing() {
    let mut life = Life::begin(ClientKind::Hs256).await;
    for error in ["access_denied", "server_error", "invalid_request", "odd"] {
        let url = life.start_login().await;
        let mut back = life.site.emulator.reject(url, error).unwrap();
        // A code has no business here; it is passed over and not told.
        let code = format!("a-code-beside-an-error-{error}");
        back.query_pairs_mut().append_pair("code", &code);
        life.secrets.push(("code", code));
        let answer = life.get(back.as_str()).await;
        assert!(!answer.body.contains("test wants it"), "{answer:?}");
    }
    for query in [
        "state=2a-state-nobody-knows&code=a-code-nobody-knows",
        "state=2a-state-nobody-knows&state=x&code=a-code-nobody-knows",
        "code=a-code-nobody-knows",
        "code=a-code-nobody-knows&state=%ff",
        "a-code-nobody-knows",
    ] {
        let answer = life.get(&format!("/callback?{query}")).await;
        assert_eq!(answer.status.as_u16(), 400, "{query}");
    }
    life.secrets
        .push(("code", "a-code-nobody-knows".to_owned()));
    life.secrets
        .push(("state", "2a-state-nobody-knows".to_owned()));
    life.assert_kept();
}
