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
    feed: broadcast::Sender<NumberedEvent>,
}

/// An event with its position among all events of this process, from 1.
pub(super) type NumberedEvent = (u64, Event);

#[derive(Debug, Default)]
struct State {
    events: VecDeque<NumberedEvent>,
    /// Apart, because a guest can cause any number of them.
    rejected: VecDeque<NumberedEvent>,
    last: u64,
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
        state.last += 1;
        let event = (state.last, event.clone());
        // Fails while no feed is open.
        let _ = self.0.feed.send(event.clone());
        let events = match event.1.kind() {
            EventKind::Refused => &mut state.rejected,
            _ => &mut state.events,
        };
        events.push_back(event);
        let excess = events.len().saturating_sub(KEPT_EVENTS);
        events.drain(..excess);
    }
}

impl Activity {
    /// The events that are kept, newest first.
    pub(crate) fn events(&self) -> Vec<Event> {
        let events = self.state().newest();
        events.into_iter().map(|(_, event)| event).collect()
    }

    /// The number of the last event.
    pub(super) fn last(&self) -> u64 {
        self.state().last
    }

    /// The events after one that are kept, oldest first, and those to come.
    pub(super) fn follow(
        &self,
        after: u64,
    ) -> (Vec<NumberedEvent>, broadcast::Receiver<NumberedEvent>) {
        let state = self.state();
        let newest = state.newest().into_iter();
        let missed = newest.take_while(|(number, _)| *number > after);
        let mut missed: Vec<_> = missed.take(FEED_EVENTS).collect();
        missed.reverse();
        (missed, self.0.feed.subscribe())
    }

    pub(super) fn clear(&self) {
        let mut state = self.state();
        *state = State {
            last: state.last,
            ..State::default()
        };
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

impl State {
    fn newest(&self) -> Vec<NumberedEvent> {
        let events = self.events.iter().chain(&self.rejected);
        let mut events: Vec<_> = events.cloned().collect();
        events.sort_by_key(|(number, _)| Reverse(*number));
        events
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

    fn site(activity: &Activity) -> (Oten, Router) {
        let config = Config::builder()
            .environment(Environment::Sandbox)
            .client_id("my-site")
            .client_secret("a-secret-of-at-least-32-bytes-as-Oten-makes-them")
            .redirect_uri("http://localhost:3000/callback");
        let oten = Oten::builder(config.build().unwrap(), MemoryStore::default());
        let oten = oten.audit(activity.clone()).build().unwrap();
        let app = Router::new().merge(oten.routes()).layer(oten.layer());
        (oten, app)
    }

    /// Sends requests that are rejected.
    async fn reject(app: &Router, times: usize) {
        for _ in 0..times {
            let request = Request::get("/callback").body(Body::empty()).unwrap();
            app.clone().oneshot(request).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_feed_that_reconnects_misses_and_repeats_no_event() {
        let activity = Activity::default();
        let (_, app) = site(&activity);
        let numbers = |events: Vec<NumberedEvent>| -> Vec<u64> {
            events.into_iter().map(|(number, _)| number).collect()
        };
        reject(&app, 2).await;
        assert_eq!(activity.last(), 2);
        let (missed, mut next) = activity.follow(2);
        assert!(missed.is_empty());
        reject(&app, 2).await;
        assert_eq!(next.recv().await.unwrap().0, 3);
        let (missed, mut next) = activity.follow(3);
        assert_eq!(numbers(missed), [4]);
        reject(&app, 1).await;
        assert_eq!(next.recv().await.unwrap().0, 5);
        // Numbers are not used again, and a feed is not flooded.
        activity.clear();
        reject(&app, FEED_EVENTS + 10).await;
        let missed = numbers(activity.follow(0).0);
        let last = 5 + FEED_EVENTS as u64 + 10;
        assert_eq!(
            (missed.len(), missed[0], activity.last()),
            (FEED_EVENTS, 16, last)
        );
    }

    #[tokio::test]
    async fn rejected_requests_push_no_other_event_out() {
        let activity = Activity::default();
        let (oten, app) = site(&activity);
        oten.end_all_sessions().await.unwrap();
        reject(&app, KEPT_EVENTS + 1).await;
        let events = activity.events();
        assert_eq!(events.len(), KEPT_EVENTS + 1);
        assert_eq!(events[KEPT_EVENTS].kind(), EventKind::SessionsEnded);
    }
}
