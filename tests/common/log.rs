use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex},
};

use tracing::{Event, Subscriber, field::Field, subscriber::DefaultGuard};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt},
};

/// Everything that is logged on this thread while this lives, whoever says it.
pub struct Log {
    events: Arc<Mutex<Vec<LoggedEvent>>>,
    _guard: DefaultGuard,
}

/// The fields of an event, `message` among them, as text.
pub type LoggedEvent = BTreeMap<&'static str, String>;

impl Log {
    pub fn start() -> Self {
        let events = Arc::default();
        let layer = Recorder(Arc::clone(&events));
        let subscriber = tracing_subscriber::registry().with(layer);
        Self {
            events,
            _guard: tracing::subscriber::set_default(subscriber),
        }
    }

    /// The events of ours with this name: `signed_in`, `refused`, and so on.
    pub fn named(&self, name: &str) -> Vec<LoggedEvent> {
        let events = self.events.lock().unwrap();
        let named = events.iter().filter(|fields| {
            let event = fields.get("event");
            event.is_some_and(|event| event == name)
        });
        named.cloned().collect()
    }

    /// The one refusal there was.
    pub fn refusal(&self) -> LoggedEvent {
        let mut refusals = self.named("refused");
        assert_eq!(refusals.len(), 1, "{refusals:?}");
        refusals.remove(0)
    }

    /// Whether a text is anywhere in the log.
    pub fn contains(&self, text: &str) -> bool {
        let events = self.events.lock().unwrap();
        let mut values = events.iter().flat_map(BTreeMap::values);
        values.any(|value| value.contains(text))
    }
}

struct Recorder(Arc<Mutex<Vec<LoggedEvent>>>);

impl<S: Subscriber> Layer<S> for Recorder {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        self.0.lock().unwrap().push(fields.0);
    }
}

#[derive(Default)]
struct Fields(LoggedEvent);

impl tracing::field::Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}
