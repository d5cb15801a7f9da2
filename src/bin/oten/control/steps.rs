use std::collections::VecDeque;

use axum_oten::{
    audit::{Event, EventKind},
    emulator::{Exchange, ExchangedValue},
};
use serde_json::{Map, Value};
use time::OffsetDateTime;

use crate::site::{Entry, Time, plain};

/// The number of runs on the page, so that it stays small.
const MAX_RUNS: usize = 4;

/// The number of steps of a run.
const MAX_STEPS: usize = 16;

/// What happened from one request of the browser to the next, oldest first.
pub(super) struct Run {
    pub(super) title: &'static str,
    pub(super) starts: Time,
    pub(super) steps: VecDeque<Step>,
    pub(super) outcome: (&'static str, &'static str),
}

pub(super) struct Step {
    time: OffsetDateTime,
    pub(super) clock: Time,
    /// Who sent it to whom.
    pub(super) between: &'static str,
    pub(super) title: String,
    pub(super) text: String,
    /// Text and class of the badge.
    pub(super) badge: Option<(String, &'static str)>,
    pub(super) rows: Vec<(String, String)>,
    pub(super) tokens: Vec<Token>,
    /// The title of the run that it starts.
    starts: Option<&'static str>,
    /// How the run went, with the class of its badge.
    outcome: Option<(&'static str, &'static str)>,
}

/// A decoded token: header and claims, each as names and JSON.
pub(super) struct Token {
    pub(super) name: String,
    pub(super) header: Vec<(String, String)>,
    pub(super) claims: Vec<(String, String)>,
}

/// Returns the last runs, newest first.
pub(super) fn runs(exchanges: Vec<Exchange>, events: &[Event]) -> Vec<Run> {
    let first = exchanges.first().map(|exchange| exchange.time);
    let events = events.iter().filter(|event| Some(event.time()) >= first);
    let mut steps: Vec<Step> = exchanges.into_iter().map(Step::of_exchange).collect();
    steps.extend(events.map(Step::of_event));
    steps.sort_by_key(|step| step.time);
    let mut runs: Vec<Run> = Vec::new();
    for step in steps {
        match (runs.last_mut(), step.starts) {
            // The site loads what it needs for the sign-in that follows.
            (Some(run), Some(title)) if run.title == PREPARATION => run.title = title,
            (Some(run), starts) if run.continues(starts) => {}
            (_, starts) => runs.push(Run {
                title: starts.unwrap_or(PREPARATION),
                starts: Time::new(step.time),
                steps: VecDeque::new(),
                outcome: ("in progress", ""),
            }),
        }
        if let Some(run) = runs.last_mut() {
            run.outcome = step.outcome.unwrap_or(run.outcome);
            run.steps.push_back(step);
            if run.steps.len() > MAX_STEPS {
                run.steps.pop_front();
            }
        }
    }
    runs.reverse();
    runs.truncate(MAX_RUNS);
    runs
}

impl Run {
    /// Whether a step belongs to the same run, which it may start.
    fn continues(&self, starts: Option<&'static str>) -> bool {
        starts.is_none() || self.title == SIGN_OUT && starts == Some(SIGN_OUT)
    }
}

const SIGN_IN: &str = "Sign-in";
const SIGN_OUT: &str = "Sign-out";
const PREPARATION: &str = "Provider metadata";

const SITE: &str = "Site";
const BROWSER_TO_PROVIDER: &str = "Browser → Oten";
const SITE_TO_PROVIDER: &str = "Site → Oten";
const PROVIDER_TO_SITE: &str = "Oten → Site";

impl Step {
    fn of_event(event: &Event) -> Self {
        let (entry, kind) = (Entry::new(event), event.kind());
        let text = match event.reason() {
            Some(_) => entry.text,
            None => match kind {
                EventKind::SignedIn => "The ID token is valid: its signature, issuer, audience, times and nonce. The site starts a session. The browser gets a cookie with its ID, and no token.".to_owned(),
                EventKind::SignedOut => "The site ended the session and deleted its tokens.".to_owned(),
                EventKind::BackChannelLogout => "The logout token is valid and is accepted once. The site ended the sessions of this user.".to_owned(),
                kind => plain(kind.description()),
            },
        };
        let outcome = match kind {
            EventKind::SignedIn => Some(("signed in", "good")),
            EventKind::SignedOut | EventKind::BackChannelLogout => Some(("signed out", "good")),
            EventKind::Refreshed => Some(("refreshed", "good")),
            EventKind::Refused => Some(("rejected", "bad")),
            _ => None,
        };
        let reason = event.reason().map(|reason| reason.code().to_owned());
        let rows = entry.details.into_iter().chain(entry.facts);
        Self {
            time: event.time(),
            clock: entry.time,
            between: SITE,
            title: entry.title,
            text,
            badge: reason.map(|code| (code, "bad")),
            rows: rows.map(|(name, text)| (name.to_owned(), text)).collect(),
            tokens: Vec::new(),
            starts: (kind == EventKind::SignedOut).then_some(SIGN_OUT),
            outcome,
        }
    }

    fn of_exchange(exchange: Exchange) -> Self {
        let refreshes = has(&exchange.request, "grant_type", "refresh_token");
        let (between, title, text, starts) = match exchange.path.as_str() {
            "/.well-known/openid-configuration" => (
                SITE_TO_PROVIDER,
                "Discovery",
                "The site reads which endpoints and features the provider has. It keeps the answer.",
                None,
            ),
            "/.well-known/jwks.json" => (
                SITE_TO_PROVIDER,
                "Key set",
                "The site loads the public keys with which it verifies tokens. It keeps them until a token names an unknown key.",
                None,
            ),
            "/v1/oauth/authorize" => (
                BROWSER_TO_PROVIDER,
                "Authorization request",
                "The site redirects the browser to the provider. The parameters are in a signed request object, so that the browser cannot change them. The state, the nonce and the code challenge bind the answer to this browser and this attempt.",
                Some(SIGN_IN),
            ),
            "/v1/oauth/login" => (
                BROWSER_TO_PROVIDER,
                "The user signs in",
                "Only the provider sees how. The demo needs no password.",
                None,
            ),
            "/v1/oauth/consent" => (
                BROWSER_TO_PROVIDER,
                "The user decides",
                "The provider redirects the browser back to the site, with a code that is valid once, or with an error.",
                None,
            ),
            "/v1/oauth/token" if refreshes => (
                SITE_TO_PROVIDER,
                "Token refresh",
                "The site exchanges the refresh token for new tokens. The old refresh token is no longer valid.",
                None,
            ),
            "/v1/oauth/token" => (
                SITE_TO_PROVIDER,
                "Token request",
                "The site exchanges the code for tokens, from server to server. The code verifier proves that this site started the sign-in (PKCE).",
                None,
            ),
            "/v1/oauth/logout" => (
                BROWSER_TO_PROVIDER,
                "End-session request",
                "The user signed out of the site, which asks the provider to end its session, too.",
                Some(SIGN_OUT),
            ),
            "/v1/oauth/revoke" => (
                SITE_TO_PROVIDER,
                "Token revocation",
                "The site makes the refresh token of the ended session invalid.",
                None,
            ),
            "" => (
                PROVIDER_TO_SITE,
                "Logout token",
                "The provider ended the user's session and tells the site so with a signed token, without the browser.",
                Some("Session ended at the provider"),
            ),
            _ => (SITE_TO_PROVIDER, "Request", "", None),
        };
        let (mut rows, mut tokens) = (Vec::new(), Vec::new());
        for (name, value) in exchange.request.into_iter().chain(exchange.response) {
            match value {
                ExchangedValue::Text(text) => rows.push((name, text)),
                ExchangedValue::Token { header, claims } => tokens.push(Token {
                    name: match name.as_str() {
                        "request" => "request object".to_owned(),
                        "id_token" => "ID token".to_owned(),
                        _ => name.replace('_', " "),
                    },
                    header: lines(header),
                    claims: lines(claims),
                }),
                // `ExchangedValue` is non-exhaustive.
                _ => {}
            }
        }
        // The ID token first: the site decides by it.
        tokens.sort_by_key(|token| token.name != "ID token");
        Self {
            time: exchange.time,
            clock: Time::new(exchange.time),
            between,
            title: title.to_owned(),
            text: text.to_owned(),
            badge: exchange.status.map(|status| {
                let is_error = status.is_client_error() || status.is_server_error();
                let tone = if is_error { "bad" } else { "" };
                (status.as_u16().to_string(), tone)
            }),
            rows,
            tokens,
            starts,
            outcome: None,
        }
    }
}

fn has(parameters: &[(String, ExchangedValue)], name: &str, value: &str) -> bool {
    let expected = ExchangedValue::Text(value.to_owned());
    parameters
        .iter()
        .any(|(key, value)| key == name && *value == expected)
}

fn lines(object: Map<String, Value>) -> Vec<(String, String)> {
    let lines = object.into_iter();
    lines
        .map(|(name, value)| {
            let time = value
                .as_i64()
                .filter(|_| ["iat", "exp", "nbf", "auth_time"].contains(&name.as_str()))
                .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
            let text = match time {
                Some(time) => format!("{value} ({})", Time::new(time).text),
                None => value.to_string(),
            };
            (name, text)
        })
        .collect()
}
