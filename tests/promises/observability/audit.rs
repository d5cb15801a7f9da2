use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::http::{Method, StatusCode};
use axum_oten::{
    audit::{Event, EventKind, Level, TARGET},
    web::OtenBuilder,
};
use serde_json::Value;

use super::scenario;
use crate::common::{Log, TestSite};

/// An audit log that keeps its events.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Vec<Event>>>);

impl Recorder {
    fn attach(&self) -> impl Fn(OtenBuilder) -> OtenBuilder + Clone + 'static {
        let events = Arc::clone(&self.0);
        move |oten| {
            let events = Arc::clone(&events);
            oten.audit(move |event: &Event| events.lock().unwrap().push(event.clone()))
        }
    }

    fn take(&self) -> Vec<Event> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

type Fields = BTreeMap<String, String>;

/// The fields that the log line of an event should have.
fn fields_of(event: &Event) -> Fields {
    let Value::Object(fields) = serde_json::to_value(event).unwrap() else {
        panic!("{event:?}");
    };
    let only_serialized = ["time", "level"];
    fields
        .into_iter()
        .filter(|(name, _)| !only_serialized.contains(&name.as_str()))
        .map(|(name, value)| match value {
            Value::String(text) => (name, text),
            other => (name, other.to_string()),
        })
        .collect()
}

/// The fields of the logged events, without their messages.
fn logged(log: &Log) -> Vec<Fields> {
    let mut logged = log.events();
    for fields in &mut logged {
        assert!(fields.remove("message").is_some(), "{fields:?}");
    }
    logged
}

#[tokio::test]
async fn b5_each_kind_of_event_occurs_with_exactly_its_fields() {
    let (log, recorder) = (Log::start(), Recorder::default());
    scenario::run(recorder.attach()).await;
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for mut fields in logged(&log) {
        let kind = fields.remove("event").unwrap();
        found.entry(kind).or_default().extend(fields.into_keys());
    }
    let table: BTreeMap<_, BTreeSet<_>> = EventKind::all()
        .iter()
        .map(|kind| {
            let fields = kind.fields().iter().map(|&field| field.to_owned());
            (kind.name().to_owned(), fields.collect())
        })
        .collect();
    assert_eq!(found, table);
    for event in recorder.take() {
        assert!(event.kind().levels().contains(&event.level()), "{event:?}");
    }
}

#[tokio::test]
async fn b5_the_audit_log_receives_the_logged_events() {
    let (log, recorder) = (Log::start(), Recorder::default());
    scenario::run(recorder.attach()).await;
    let received: Vec<_> = recorder.take().iter().map(fields_of).collect();
    assert_eq!(received, logged(&log));
    assert!(received.len() > 20, "{received:?}");
}

#[tokio::test]
async fn b5_an_event_has_time_subject_and_reason() {
    let recorder = Recorder::default();
    let site = TestSite::builder().oten(recorder.attach()).start().await;
    site.clock.advance(Duration::from_secs(86_400));
    let mut browser = site.signed_in("alice").await;
    let at = site.clock.now();
    site.clock.advance(Duration::from_secs(60));
    browser.post("/logout").await;
    let refused = browser.fetch(Method::GET, "/profile", "").await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);

    let events = recorder.take();
    let kinds: Vec<_> = events.iter().map(Event::kind).collect();
    assert_eq!(
        kinds,
        [
            EventKind::SignedIn,
            EventKind::SignedOut,
            EventKind::Refused
        ]
    );
    let [signed_in, signed_out, refusal] = events.as_slice() else {
        panic!("{events:?}");
    };
    assert_eq!(signed_in.time(), at);
    assert_eq!(signed_out.time() - at, Duration::from_secs(60));
    assert_eq!(signed_in.subject(), signed_out.subject());
    assert_ne!(signed_in.subject(), Some("alice"));
    assert_ne!(signed_in.correlation_id(), signed_out.correlation_id());
    let reason = refusal.reason().unwrap();
    assert_eq!(reason.code(), "not_signed_in");
    assert_eq!(
        (refusal.level(), refusal.status()),
        (Level::Debug, Some(401))
    );
    assert_eq!(
        refused.json()["correlation_id"],
        refusal.correlation_id().unwrap()
    );
}

/// A bug in the app's audit log neither keeps users out nor loses refreshed tokens.
#[tokio::test]
async fn b1_a_panicking_audit_log_fails_no_request() {
    let log = Log::start();
    let site = TestSite::builder()
        .oten(|oten| oten.audit(|_: &Event| panic!("the disk is full")))
        .start()
        .await;
    let mut browser = site.signed_in("alice").await;
    site.clock.advance(Duration::from_secs(3600));
    assert_eq!(browser.get("/profile").await.status, StatusCode::OK);
    assert_eq!(site.emulator.refreshes(), 1);
    assert_eq!(browser.get("/token").await.status, StatusCode::OK);
    assert_eq!(
        site.emulator.refreshes(),
        1,
        "the first refresh was not stored"
    );
    browser.post("/logout").await;
    assert_eq!(browser.signed_in_as().await, "guest");
    let names = ["signed_in", "refreshed", "signed_out"];
    let text = log.text();
    for name in names {
        assert_eq!(log.named(name).len(), 1, "{name}");
        let lost = format!("\"lost\": \"{name}\"");
        let line = text.lines().find(|line| line.contains(&lost));
        assert!(line.is_some_and(|line| line.starts_with(TARGET)), "{name}");
    }
}
