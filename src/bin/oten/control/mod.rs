//! The page that makes the emulator misbehave, and shows each message with what the site did about it.

mod steps;

use std::{
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use askama::Template;
use axum::{
    Form, Router,
    extract::{Request, State},
    http::{HeaderName, HeaderValue, StatusCode, Uri, header, uri::Authority},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use axum_oten::emulator::{Deviation, EmulatedUser, Emulator, Endpoint, Fault, LogoutTarget};
use serde::Deserialize;
use serde_json::json;
use time::OffsetDateTime;
use tower_http::csrf::CsrfLayer;

use self::steps::Run;
use crate::site::{Activity, Layout, STYLESHEET, page, stylesheet, stylesheet_path};

/// The number of messages that the page can show.
pub(crate) const KEPT_EXCHANGES: usize = 60;

/// The path of the page, relative to the issuer.
const PATH: &str = "/control";

/// How long ago an old sign-in was.
const AGE: Duration = Duration::from_secs(60 * 60);

/// How late a slow provider responds.
const DELAY: Duration = Duration::from_secs(2);

/// How long a site may take to accept a logout token.
const LOGOUT_TIMEOUT: Duration = Duration::from_secs(10);

/// A page that controls an emulator.
#[derive(Debug)]
pub(crate) struct Control {
    emulator: Emulator,
    client_id: String,
    /// The path of the issuer.
    base: String,
    /// The home page of the site, if it is known.
    pub(crate) site: Option<String>,
    /// The events of the site, if it runs in this process.
    pub(crate) activity: Option<Activity>,
    problem: Mutex<Problem>,
}

/// What is wrong with the provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Problem {
    #[default]
    None,
    Down,
    Slow,
    WrongNonce,
    Expired,
    BadSignature,
    OldSignIn,
}

/// A problem, with its name in forms and a description of what to expect.
const PROBLEMS: [(Problem, &str, &str, &str); 7] = [
    (
        Problem::None,
        "none",
        "Works",
        "Every endpoint responds correctly.",
    ),
    (
        Problem::Down,
        "down",
        "Down",
        "Every endpoint responds with 503. Sessions continue; new sign-ins fail with a page that says so.",
    ),
    (
        Problem::Slow,
        "slow",
        "Slow",
        "Token and key requests take two seconds. Sign-ins succeed, later.",
    ),
    (
        Problem::WrongNonce,
        "wrong-nonce",
        "Wrong nonce",
        "ID tokens carry the nonce of another login attempt, as in an attack with a stolen token. The sign-in fails.",
    ),
    (
        Problem::Expired,
        "expired",
        "Expired tokens",
        "ID tokens have expired when they arrive. The sign-in fails.",
    ),
    (
        Problem::BadSignature,
        "bad-signature",
        "Bad signature",
        "The signature of ID tokens does not match their content. The sign-in fails.",
    ),
    (
        Problem::OldSignIn,
        "old-sign-in",
        "Old sign-in",
        "ID tokens say that the user signed in an hour ago. Sign-ins succeed; the site's settings ask for a fresh one before the audit log is cleared.",
    ),
];

impl Control {
    /// Creates the control of an emulator with this client, whose issuer has this path.
    pub(crate) fn new(emulator: Emulator, client_id: impl Into<String>, base: &str) -> Self {
        Self {
            emulator,
            client_id: client_id.into(),
            base: base.to_owned(),
            site: None,
            activity: None,
            problem: Mutex::default(),
        }
    }

    /// The path of the page as the browser requests it.
    pub(crate) fn path(&self) -> String {
        format!("{}{PATH}", self.base)
    }

    /// Whether the site is told when a session ends at the provider.
    fn sends_logout_tokens(&self) -> bool {
        let uri = self.emulator.back_channel_logout_uri(&self.client_id);
        uri.is_some()
    }

    /// The routes, relative to the issuer. Only pages of the same origin can change the emulator.
    pub(crate) fn routes(self) -> Router {
        let control = Arc::new(self);
        Router::new()
            .route(PATH, get(show))
            .route("/control/problem", post(set_problem))
            .route("/control/rotate", post(rotate))
            .route("/control/end-sessions", post(end_sessions))
            .route("/control/clear", post(clear))
            .layer(CsrfLayer::new())
            .layer(from_fn_with_state(Arc::clone(&control), check_host))
            .route(&format!("{PATH}{STYLESHEET}"), get(stylesheet))
            .with_state(control)
    }

    fn set_problem(&self, problem: Problem) {
        let emulator = &self.emulator;
        emulator.clear_faults();
        emulator.clear_deviations();
        match problem {
            Problem::None | Problem::Down => {}
            Problem::Slow => {
                for endpoint in [Endpoint::Token, Endpoint::Jwks] {
                    emulator.fault(endpoint, Fault::Delay(DELAY));
                }
            }
            Problem::WrongNonce => {
                let nonce = json!("the-nonce-of-another-login-attempt");
                emulator.deviate(Deviation::Claim("nonce", nonce));
            }
            Problem::Expired => emulator.deviate(Deviation::Claim("exp", json!(1_000_000_000))),
            Problem::BadSignature => emulator.deviate(Deviation::BadSignature),
            Problem::OldSignIn => {
                let hour_ago = OffsetDateTime::now_utc() - AGE;
                let auth_time = json!(hour_ago.unix_timestamp());
                emulator.deviate(Deviation::Claim("auth_time", auth_time));
            }
        }
        *self.problem() = problem;
    }

    fn problem(&self) -> std::sync::MutexGuard<'_, Problem> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn back(&self) -> Response {
        Redirect::to(&self.path()).into_response()
    }
}

/// Headers of the page. Browsers send `Origin` with its forms, which `no-referrer` would prevent.
const HEADERS: [(HeaderName, &str); 4] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::REFERRER_POLICY, "same-origin"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; \
         frame-ancestors 'none'",
    ),
];

#[derive(Template)]
#[template(path = "demo/control.html")]
struct Page<'a> {
    layout: Layout,
    control: &'a Control,
    path: String,
    chosen: Problem,
    users: Vec<(EmulatedUser, usize)>,
    runs: Vec<Run>,
}

/// Rejects other hosts than the issuer's. A page of another host whose name leads to this machine would be of the
/// same origin for the browser.
async fn check_host(State(control): State<Arc<Control>>, request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST);
    let host = host.and_then(|host| host.to_str().ok());
    let host = host.or(request.uri().authority().map(Authority::as_str));
    let issuer = Uri::from_str(control.emulator.issuer()).ok();
    let issuer = issuer.as_ref().and_then(Uri::authority);
    if issuer.is_some_and(|issuer| host.is_some_and(|host| issuer == host)) {
        return next.run(request).await;
    }
    let text = format!(
        "This page is available at {}{PATH} only.\n",
        control.emulator.issuer()
    );
    (StatusCode::MISDIRECTED_REQUEST, text).into_response()
}

async fn show(State(control): State<Arc<Control>>) -> Response {
    let path = control.path();
    let users = control.emulator.users();
    let sessions = |user: &EmulatedUser| control.emulator.sids_of(user.subject).len();
    let activity = control.activity.as_ref();
    let events = activity.map_or_else(Vec::new, Activity::events);
    let mut response = page(&Page {
        layout: Layout {
            lang: "en",
            brand: "Emulated Oten",
            home: path.clone(),
            stylesheet: format!("{path}{}", stylesheet_path()),
            icon: "data:,".to_owned(),
            nav: Vec::new(),
            user: None,
            login: None,
        },
        path,
        chosen: *control.problem(),
        users: users.map(|user| (user, sessions(&user))).collect(),
        runs: steps::runs(control.emulator.exchanges(), &events),
        control: &control,
    });
    for (name, value) in HEADERS {
        let value = HeaderValue::from_static(value);
        response.headers_mut().insert(name, value);
    }
    response
}

#[derive(Debug, Deserialize)]
struct ProblemForm {
    problem: Problem,
}

async fn set_problem(
    State(control): State<Arc<Control>>,
    Form(form): Form<ProblemForm>,
) -> Response {
    control.set_problem(form.problem);
    if form.problem == Problem::Down {
        control.emulator.stop().await;
    } else if control.emulator.resume().await.is_err() {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    control.back()
}

async fn rotate(State(control): State<Arc<Control>>) -> Response {
    control.emulator.rotate_keys();
    control.back()
}

#[derive(Debug, Deserialize)]
struct EndForm {
    user: String,
}

/// Ends the sessions of a user at the provider, and tells the site so (OpenID Connect Back-Channel
/// Logout).
async fn end_sessions(State(control): State<Arc<Control>>, Form(form): Form<EndForm>) -> Response {
    let emulator = &control.emulator;
    emulator.end_sessions_of(&form.user);
    if let Some(uri) = emulator.back_channel_logout_uri(&control.client_id) {
        let target = LogoutTarget::Subject(&form.user);
        let token = emulator.logout_token(&control.client_id, target);
        if let Err(error) = send_logout_token(uri, &token).await {
            tracing::warn!(%error, uri, "the site did not accept the logout token");
        }
    }
    control.back()
}

async fn send_logout_token(uri: &str, token: &str) -> reqwest::Result<()> {
    // Without a proxy: the site is on this machine.
    let client = reqwest::Client::builder().no_proxy();
    let client = client.timeout(LOGOUT_TIMEOUT).build()?;
    let form = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("logout_token", token)
        .finish();
    let request = client.post(uri).body(form);
    let form = "application/x-www-form-urlencoded";
    let response = request.header(header::CONTENT_TYPE, form).send().await?;
    response.error_for_status().map(drop)
}

async fn clear(State(control): State<Arc<Control>>) -> Response {
    control.emulator.clear_exchanges();
    control.back()
}
