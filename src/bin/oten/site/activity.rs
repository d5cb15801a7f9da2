use std::{
    cmp::Reverse,
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum_oten::audit::{AuditLog, Event, EventKind, Level};
use time::OffsetDateTime;
use tokio::sync::broadcast;

use super::layout::Time;

/// The number of events that are kept, and that of rejected requests. An event takes a few hundred bytes.
const KEPT_EVENTS: usize = 1_000;

/// The number of events that an open feed may be behind before it misses some.
const FEED_EVENTS: usize = 100;

/// The number of hours in the chart.
const HOURS: i64 = 24;

/// The audit events of this process, in memory: the last ones, and counts for each hour.
///
/// A site that must keep them sends them to a database instead. It does so from another thread, because
/// requests wait for an audit log.
#[derive(Clone, Debug)]
pub(crate) struct Activity(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    feed: broadcast::Sender<Event>,
}

#[derive(Debug, Default)]
struct State {
    events: VecDeque<Event>,
    /// Apart, because a guest can cause any number of them.
    rejected: VecDeque<Event>,
    /// By hours since the Unix epoch, so that a flood of rejected requests leaves the chart complete.
    hours: BTreeMap<i64, Counts>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) sign_ins: u32,
    pub(super) rejected: u32,
}

/// A bar of the chart.
#[derive(Debug)]
pub(super) struct Hour {
    pub(super) starts: Time,
    pub(super) label: String,
    pub(super) counts: Counts,
}

impl Default for Activity {
    fn default() -> Self {
        Self(Arc::new(Shared {
            state: Mutex::default(),
            feed: broadcast::Sender::new(FEED_EVENTS),
        }))
    }
}

impl AuditLog for Activity {
    fn record(&self, event: &Event) {
        // Requests of programs without a session.
        if event.level() == Level::Debug {
            return;
        }
        let mut state = self.state();
        let hour = event.time().unix_timestamp().div_euclid(3600);
        let counts = state.hours.entry(hour).or_default();
        match event.kind() {
            EventKind::SignedIn => counts.sign_ins += 1,
            EventKind::Refused => counts.rejected += 1,
            _ => {}
        }
        state.hours = state.hours.split_off(&(hour - HOURS));
        let events = match event.kind() {
            EventKind::Refused => &mut state.rejected,
            _ => &mut state.events,
        };
        events.push_back(event.clone());
        let excess = events.len().saturating_sub(KEPT_EVENTS);
        events.drain(..excess);
        drop(state);
        // Fails while no feed is open.
        let _ = self.0.feed.send(event.clone());
    }
}

impl Activity {
    /// The events that are kept, newest first.
    pub(crate) fn events(&self) -> Vec<Event> {
        let state = self.state();
        let events = state.events.iter().chain(&state.rejected);
        let mut events: Vec<_> = events.cloned().collect();
        events.sort_by_key(|event| Reverse(event.time()));
        events
    }

    pub(super) fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.0.feed.subscribe()
    }

    pub(super) fn clear(&self) {
        *self.state() = State::default();
    }

    /// The last 24 hours, oldest first.
    pub(super) fn hours(&self) -> Vec<Hour> {
        let state = self.state();
        let last = OffsetDateTime::now_utc().unix_timestamp().div_euclid(3600);
        let hours = (last - HOURS + 1..=last).map(|hour| {
            let starts = OffsetDateTime::from_unix_timestamp(hour * 3600);
            let starts = starts.unwrap_or(OffsetDateTime::UNIX_EPOCH);
            Hour {
                label: format!("{:02}:00", starts.hour()),
                starts: Time::new(starts),
                counts: state.hours.get(&hour).copied().unwrap_or_default(),
            }
        });
        hours.collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An event as pages show it.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) time: Time,
    pub(crate) title: String,
    /// The class of its badge.
    pub(crate) tone: &'static str,
    pub(crate) subject: Option<String>,
    pub(crate) text: String,
    /// Why a request was rejected, for the operator.
    pub(crate) details: Vec<(&'static str, String)>,
    /// Short facts for a single line.
    pub(crate) facts: Vec<(&'static str, String)>,
}

impl Entry {
    pub(crate) fn new(event: &Event) -> Self {
        let reason = event.reason();
        let details = [
            ("Reason", reason.map(|reason| reason.code().to_owned())),
            ("Cause", event.cause().map(plain)),
            ("Help", reason.map(|reason| plain(reason.help()))),
        ];
        let facts = [
            ("Status", event.status().map(|status| status.to_string())),
            ("Sessions", event.sessions().map(|count| count.to_string())),
            ("Record", event.record_kind().map(str::to_owned)),
            ("Reference", event.correlation_id().map(str::to_owned)),
            ("Address", event.client_address().map(|it| it.to_string())),
        ];
        let known = |(name, text): (&'static str, Option<String>)| Some((name, text?));
        Self {
            time: Time::new(event.time()),
            title: title(event.kind()),
            tone: match (event.kind(), event.level()) {
                (EventKind::SignedIn, _) => "good",
                (_, Level::Error) => "bad",
                (_, Level::Warn) => "warn",
                _ => "",
            },
            subject: event.subject().map(str::to_owned),
            text: reason.map_or_else(String::new, |reason| plain(reason.description())),
            details: details.into_iter().filter_map(known).collect(),
            facts: facts.into_iter().filter_map(known).collect(),
        }
    }
}

/// The name of a kind of event in words: `signed_in` is "Signed in".
pub(super) fn title(kind: EventKind) -> String {
    if kind == EventKind::Refused {
        return "Rejected".to_owned();
    }
    let words = kind.name().replace('_', " ");
    let (first, rest) = words.split_at(1);
    first.to_uppercase() + rest
}

/// The text without the marks of code spans.
pub(crate) fn plain(text: &str) -> String {
    text.replace('`', "")
}

#[cfg(test)]
mod tests {
    use axum::{Router, body::Body, http::Request};
    use axum_oten::{Config, MemoryStore, Oten, config::Environment};
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn rejected_requests_push_no_other_event_out() {
        let activity = Activity::default();
        let config = Config::builder()
            .environment(Environment::Sandbox)
            .client_id("my-site")
            .client_secret("a-secret-of-at-least-32-bytes-as-Oten-makes-them")
            .redirect_uri("http://localhost:3000/callback");
        let oten = Oten::builder(config.build().unwrap(), MemoryStore::default());
        let oten = oten.audit(activity.clone()).build().unwrap();
        let app = Router::new().merge(oten.routes()).layer(oten.layer());
        oten.end_all_sessions().await.unwrap();
        for _ in 0..=KEPT_EVENTS {
            let request = Request::get("/callback").body(Body::empty()).unwrap();
            app.clone().oneshot(request).await.unwrap();
        }
        let events = activity.events();
        assert_eq!(events.len(), KEPT_EVENTS + 1);
        assert_eq!(events[KEPT_EVENTS].kind(), EventKind::SessionsEnded);
    }
}
