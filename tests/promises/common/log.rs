use std::{
    collections::BTreeMap,
    fmt::{self, Write},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use tracing::{
    Dispatch, Level, Subscriber,
    dispatcher::DefaultGuard,
    field::{Field, Visit},
    span,
};
use tracing_subscriber::{
    Layer, Registry,
    layer::{Context, SubscriberExt},
    util::SubscriberInitExt,
};

/// Records what is logged on this thread, by any crate and at any level, while this value exists. With
/// the current-thread runtime of `#[tokio::test]` that covers the whole test, the emulator included,
/// and records of the crate `log`.
pub struct Log {
    entries: Arc<Mutex<Vec<Entry>>>,
    _guard: DefaultGuard,
}

/// An event, or a span or its later fields.
#[derive(Clone, Debug)]
pub struct Entry {
    pub target: String,
    /// That of an event.
    level: Option<Level>,
    pub fields: BTreeMap<String, String>,
}

impl Log {
    pub fn start() -> Self {
        // With a single subscriber in the process, tracing caches the interest of the first thread that
        // reaches an event, and other tests' threads have no subscriber. Two subscribers prevent this.
        static SECOND: OnceLock<Dispatch> = OnceLock::new();
        SECOND.get_or_init(|| Dispatch::new(Registry::default()));
        let entries = Arc::default();
        let layer = Keep(Arc::clone(&entries));
        Self {
            entries,
            _guard: Registry::default().with(layer).set_default(),
        }
    }

    fn entries(&self) -> Vec<Entry> {
        let entries = self.entries.lock();
        entries.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All records as text, one per line.
    pub fn text(&self) -> String {
        self.entries()
            .iter()
            .fold(String::new(), |mut text, entry| {
                writeln!(text, "{} {:?}", entry.target, entry.fields).unwrap();
                text
            })
    }

    /// The structured events for operators, which have a field `event`.
    pub fn events(&self) -> Vec<BTreeMap<String, String>> {
        let entries = self.entries().into_iter();
        entries
            .filter(|entry| entry.fields.contains_key("event"))
            .inspect(|entry| assert_eq!(entry.target, "axum_oten", "{entry:?}"))
            .map(|entry| entry.fields)
            .collect()
    }

    /// The events with this name: `signed_in`, `refused`, and so on.
    pub fn named(&self, name: &str) -> Vec<BTreeMap<String, String>> {
        let mut named = self.events();
        named.retain(|event| event["event"] == name);
        named
    }

    /// The single `refused` event.
    pub fn refusal(&self) -> BTreeMap<String, String> {
        let mut refusals = self.named("refused");
        assert_eq!(refusals.len(), 1, "{refusals:?}");
        refusals.remove(0)
    }

    /// Returns whether the crate has logged an error.
    pub fn has_error(&self) -> bool {
        let is_error = |entry: &Entry| entry.level == Some(Level::ERROR);
        let entries = self.entries();
        let mut ours = entries
            .iter()
            .filter(|entry| entry.target.starts_with("axum_oten"));
        ours.any(is_error)
    }

    /// Returns whether any field contains a text.
    pub fn contains(&self, text: &str) -> bool {
        let entries = self.entries();
        let mut values = entries.iter().flat_map(|entry| entry.fields.values());
        values.any(|value| value.contains(text))
    }

    pub fn clear(&self) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.clear();
    }
}

struct Keep(Arc<Mutex<Vec<Entry>>>);

impl Keep {
    fn keep(&self, target: &str, level: Option<Level>, record: impl FnOnce(&mut Fields)) {
        let mut fields = Fields(BTreeMap::new());
        record(&mut fields);
        let entry = Entry {
            target: target.to_owned(),
            level,
            fields: fields.0,
        };
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.push(entry);
    }
}

impl<S: Subscriber> Layer<S> for Keep {
    fn on_new_span(&self, attributes: &span::Attributes<'_>, _: &span::Id, _: Context<'_, S>) {
        self.keep(attributes.metadata().target(), None, |fields| {
            attributes.record(fields);
        });
    }

    fn on_record(&self, _: &span::Id, values: &span::Record<'_>, _: Context<'_, S>) {
        self.keep("(span)", None, |fields| values.record(fields));
    }

    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let (target, level) = (event.metadata().target(), *event.metadata().level());
        self.keep(target, Some(level), |fields| event.record(fields));
    }
}

struct Fields(BTreeMap<String, String>);

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }
}
