//! The pages for operators: dashboard, audit log, live feed, users and settings.

use std::{convert::Infallible, sync::Arc, time::Duration};

use askama::Template;
use axum::{
    Form,
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{
        IntoResponse, Redirect, Response,
        sse::{Event as ServerSentEvent, KeepAlive, Sse},
    },
};
use axum_oten::{
    User,
    audit::EventKind,
    config::{ClientType, Jar},
    emulator::EmulatedUser,
    web::{DependencyStatus, SessionEnd},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use futures_util::{Stream, StreamExt, stream};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::{sync::broadcast::error::RecvError, time::sleep};
use url::form_urlencoded;

use super::{
    activity::{Entry, Hour, title},
    headers::provider_origin,
    layout::{Layout, page},
    state::{AUDIT, DASHBOARD, FEED, SETTINGS, Site, USERS},
};

/// The number of events on a page of the audit log.
const PAGE_SIZE: usize = 25;

/// The number of sessions that the dashboard counts: each costs a read of the store.
const COUNTED_SESSIONS: usize = 500;

/// The height of the chart in its own units.
const CHART_HEIGHT: u32 = 160;

/// How long a feed continues before the user's rights are checked again.
const FEED_LIFETIME: Duration = Duration::from_secs(60);

/// How long a browser waits before it reconnects.
const FEED_PAUSE: Duration = Duration::from_millis(500);

const SCRIPT: &str = include_str!("../../../../templates/demo/feed.js");

#[derive(Template)]
#[template(path = "demo/dashboard.html")]
struct Dashboard<'a> {
    layout: Layout,
    site: &'a Site,
    /// Name, status and description of what the site depends on.
    health: [(&'static str, DependencyStatus, String); 2],
    /// The number of live sessions, as far as they are counted.
    sessions: String,
    hours: Vec<Hour>,
    /// The value at the top of the chart.
    top: u32,
    sign_ins: u32,
    rejected: u32,
    entries: Vec<Entry>,
}

impl Dashboard<'_> {
    /// The bars of an hour, one above the other: class, upper edge and height.
    fn bars(&self, hour: &Hour) -> [(&'static str, u32, u32); 2] {
        let height = |count: u32| count.saturating_mul(CHART_HEIGHT) / self.top;
        let (own, other) = (height(hour.counts.sign_ins), height(hour.counts.rejected));
        let y = CHART_HEIGHT.saturating_sub(own);
        [
            ("bar", y, own),
            ("bar second", y.saturating_sub(other), other),
        ]
    }
}

/// `/dashboard`
pub(super) async fn dashboard(State(site): State<Arc<Site>>, user: User) -> Response {
    let readiness = site.oten.readiness().await;
    let sessions = match site.oten.sessions_page(None, COUNTED_SESSIONS).await {
        Ok(page) if page.next.is_some() => format!("{}+", page.sessions.len()),
        Ok(page) => page.sessions.len().to_string(),
        Err(_) => "unknown".to_owned(),
    };
    let hours = site.activity.hours();
    let highest = hours
        .iter()
        .map(|it| it.counts.sign_ins + it.counts.rejected);
    let events = site.activity.events();
    page(&Dashboard {
        layout: site.layout(Some(&user), DASHBOARD),
        site: &site,
        health: [
            (
                "Provider",
                readiness.provider,
                provider_origin(site.oten.config()),
            ),
            (
                "Session store",
                readiness.store,
                site.oten.config().session_store().to_string(),
            ),
        ],
        sessions,
        // An even number, so that the middle is a whole one.
        top: highest.max().unwrap_or(0).max(4).next_multiple_of(2),
        sign_ins: hours.iter().map(|it| it.counts.sign_ins).sum(),
        rejected: hours.iter().map(|it| it.counts.rejected).sum(),
        hours,
        entries: events.iter().take(5).map(Entry::new).collect(),
    })
}

/// The query of the audit log.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Filter {
    event: String,
    subject: String,
    page: String,
}

#[derive(Template)]
#[template(path = "demo/audit.html")]
struct AuditPage<'a> {
    layout: Layout,
    site: &'a Site,
    filter: &'a Filter,
    /// Code, name and whether it is chosen, of each kind of event.
    kinds: Vec<(&'static str, String, bool)>,
    entries: Vec<Entry>,
    found: usize,
    page: usize,
    pages: usize,
}

impl AuditPage<'_> {
    /// The address of another page with the same filter.
    fn at(&self, page: usize) -> String {
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("event", &self.filter.event)
            .append_pair("subject", &self.filter.subject)
            .append_pair("page", &page.to_string())
            .finish();
        format!("{}?{query}", self.site.path(AUDIT))
    }
}

/// `/audit`
pub(super) async fn audit(
    State(site): State<Arc<Site>>,
    filter: Result<Query<Filter>, QueryRejection>,
    user: User,
) -> Response {
    let Query(filter) = filter.unwrap_or_default();
    let subject = filter.subject.trim();
    let mut events = site.activity.events();
    events.retain(|event| {
        let is_kind = filter.event.is_empty() || event.kind().name() == filter.event;
        is_kind && (subject.is_empty() || event.subject() == Some(subject))
    });
    let pages = events.len().div_ceil(PAGE_SIZE).max(1);
    let number = filter.page.parse().unwrap_or(1).clamp(1, pages);
    let shown = events.iter().skip((number - 1) * PAGE_SIZE).take(PAGE_SIZE);
    let kinds = EventKind::all().iter();
    page(&AuditPage {
        layout: site.layout(Some(&user), AUDIT),
        site: &site,
        kinds: kinds
            .map(|kind| (kind.name(), title(*kind), kind.name() == filter.event))
            .collect(),
        filter: &filter,
        entries: shown.map(Entry::new).collect(),
        found: events.len(),
        page: number,
        pages,
    })
}

#[derive(Template)]
#[template(path = "demo/feed.html")]
struct FeedPage<'a> {
    layout: Layout,
    site: &'a Site,
    entries: Vec<Entry>,
    /// The number of the last event.
    last: u64,
    script: &'static str,
}

/// `/feed`: the last events. Its script adds new ones; without scripts, the page reloads itself.
pub(super) async fn feed(State(site): State<Arc<Site>>, user: User) -> Response {
    // Before the events are read, so that none is missed.
    let last = site.activity.last();
    let events = site.activity.events();
    let mut response = page(&FeedPage {
        layout: site.layout(Some(&user), FEED),
        site: &site,
        last,
        script: SCRIPT,
        entries: events.iter().take(PAGE_SIZE).map(Entry::new).collect(),
    });
    let policy = site.policies.own.to_str().unwrap_or_default();
    let hash = BASE64_STANDARD.encode(Sha256::digest(SCRIPT));
    let policy = format!("{policy}; script-src 'sha256-{hash}'; connect-src 'self'");
    if let Ok(policy) = HeaderValue::try_from(policy) {
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

#[derive(Template)]
#[template(path = "demo/entry.html")]
struct EntryTemplate {
    entry: Entry,
}

/// The query of the feed's events.
#[derive(Debug, Deserialize)]
pub(super) struct FeedQuery {
    /// The last event on the page.
    after: u64,
}

/// `/feed/events`: each new event as a piece of HTML. The stream ends with the session, and when the
/// site stops. It also ends after a minute: the browser reconnects with the last event that it has, and a
/// user who is no longer an operator gets 403.
pub(super) async fn feed_events(
    State(site): State<Arc<Site>>,
    Query(query): Query<FeedQuery>,
    headers: HeaderMap,
    session: SessionEnd,
) -> Sse<impl Stream<Item = Result<ServerSentEvent, Infallible>>> {
    let last = headers.get("last-event-id");
    let last = last.and_then(|last| last.to_str().ok()?.parse().ok());
    let (missed, next) = site.activity.follow(last.unwrap_or(query.after));
    let next = stream::unfold(next, async |mut next| {
        loop {
            match next.recv().await {
                Ok(event) => return Some((event, next)),
                // This browser reads too slowly and misses events.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    });
    let events = stream::iter(missed).chain(next).map(|(number, event)| {
        let entry = Entry::new(&event);
        let html = EntryTemplate { entry }.render().unwrap_or_default();
        let event = ServerSentEvent::default().id(number.to_string());
        Ok(event.retry(FEED_PAUSE).data(html))
    });
    let stopping = site.stopping.clone().cancelled_owned();
    let events = for_a_while(events)
        .take_until(session.ended())
        .take_until(stopping);
    Sse::new(events).keep_alive(KeepAlive::default())
}

fn for_a_while<S: Stream>(events: S) -> impl Stream<Item = S::Item> {
    events.take_until(sleep(FEED_LIFETIME))
}

#[derive(Template)]
#[template(path = "demo/users.html")]
struct UsersPage<'a> {
    layout: Layout,
    site: &'a Site,
    /// Each user with the number of sessions at the provider.
    users: Vec<(EmulatedUser, usize)>,
    own: &'a str,
}

/// `/users`: the users of the emulator.
pub(super) async fn users(State(site): State<Arc<Site>>, user: User) -> Response {
    let Some(provider) = &site.provider else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let emulator = &provider.emulator;
    let users = emulator.users();
    page(&UsersPage {
        layout: site.layout(Some(&user), USERS),
        site: &site,
        users: users
            .map(|user| (user, emulator.sids_of(user.subject).len()))
            .collect(),
        own: user.subject(),
    })
}

/// The form that enables or disables a user.
#[derive(Debug, Deserialize)]
pub(super) struct UserChange {
    subject: String,
    enable: bool,
}

pub(super) async fn change_user(
    State(site): State<Arc<Site>>,
    Form(change): Form<UserChange>,
) -> Response {
    let Some(provider) = &site.provider else {
        return StatusCode::NOT_FOUND.into_response();
    };
    if change.enable {
        provider.emulator.enable_user(&change.subject);
    } else {
        provider.emulator.disable_user(&change.subject);
    }
    Redirect::to(&site.path(USERS)).into_response()
}

#[derive(Template)]
#[template(path = "demo/settings.html")]
struct Settings<'a> {
    layout: Layout,
    site: &'a Site,
    facts: [(&'static str, String); 7],
    events: usize,
}

/// `/settings`: the configuration in use, without secrets.
pub(super) async fn settings(State(site): State<Arc<Site>>, user: User) -> Response {
    let config = site.oten.config();
    let client = match config.client().client_type() {
        ClientType::Confidential { jar, .. } => match jar {
            Jar::Hs256 => "confidential, requests signed with HS256",
            Jar::EdDsa(_) => "confidential, requests signed with EdDSA",
            _ => "confidential, requests not signed",
        },
        _ => "public, with PKCE",
    };
    let minutes = |time: Duration| match time.as_secs() / 60 {
        long if long % 60 == 0 && long > 0 => format!("{} h", long / 60),
        short => format!("{short} min"),
    };
    let facts = [
        ("Provider", provider_origin(config)),
        ("Client", format!("{} ({client})", config.client().id())),
        ("Redirect URI", config.redirect_uri().to_string()),
        ("Scopes", config.scopes().join(" ")),
        ("Sessions end after", minutes(config.session_lifetime())),
        ("Idle sessions end after", minutes(config.session_idle())),
        ("Session store", config.session_store().to_string()),
    ];
    page(&Settings {
        layout: site.layout(Some(&user), SETTINGS),
        site: &site,
        facts,
        events: site.activity.events().len(),
    })
}

#[derive(Template)]
#[template(path = "demo/clear.html")]
struct Clear<'a> {
    layout: Layout,
    site: &'a Site,
    events: usize,
}

/// `/settings/clear`: asks whether to remove the events, after a fresh sign-in.
pub(super) async fn confirm_clear(State(site): State<Arc<Site>>, user: User) -> Response {
    page(&Clear {
        layout: site.layout(Some(&user), SETTINGS),
        site: &site,
        events: site.activity.events().len(),
    })
}

/// `POST /settings/clear`: removes the events.
pub(super) async fn clear(State(site): State<Arc<Site>>) -> Response {
    site.activity.clear();
    Redirect::to(&site.path(SETTINGS)).into_response()
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_feed_ends_after_a_minute_so_that_rights_are_checked_again() {
        let start = Instant::now();
        let mut events = Box::pin(for_a_while(stream::pending::<()>()));
        assert_eq!(events.next().await, None);
        assert_eq!(start.elapsed().as_secs(), FEED_LIFETIME.as_secs());
    }
}
