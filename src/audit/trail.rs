use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use super::{Event, EventKind, Level, Reason, TARGET, subjects::Subjects};
use crate::clock::Clock;

/// Where an app keeps the events, besides the log;
/// [`OtenBuilder::audit`](crate::web::OtenBuilder::audit) takes one. Every closure that takes an
/// event is one.
///
/// ```
/// use axum_oten::audit::{AuditLog, Event, EventKind};
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// #[derive(Default)]
/// struct SignIns(AtomicU64);
///
/// impl AuditLog for SignIns {
///     fn record(&self, event: &Event) {
///         if event.kind() == EventKind::SignedIn {
///             self.0.fetch_add(1, Ordering::Relaxed);
///         }
///     }
/// }
///
/// fn takes(log: impl AuditLog) {}
/// takes(SignIns::default());
/// takes(|event: &Event| println!("{}", event.kind().name()));
/// ```
pub trait AuditLog: Send + Sync + 'static {
    /// Takes one event, which is in the log already.
    ///
    /// **This must not block**: the request, or the renewal of somebody's tokens, waits for it. Hand
    /// a copy to a channel and write elsewhere. If this panics, the request goes on, an error is
    /// logged, and the event is lost here; with `panic = "abort"` the process ends.
    fn record(&self, event: &Event);
}

impl<F: Fn(&Event) + Send + Sync + 'static> AuditLog for F {
    fn record(&self, event: &Event) {
        self(event);
    }
}

/// Makes events and tells everybody who wants to know.
#[derive(Clone)]
pub(crate) struct AuditTrail {
    clock: Clock,
    /// Counts events: passed in, so that this module does not depend on the metrics.
    observe: fn(&Event),
    log: Option<Arc<dyn AuditLog>>,
    subjects: Arc<Subjects>,
}

impl AuditTrail {
    pub(crate) fn new(
        clock: Clock,
        observe: fn(&Event),
        log: Option<Arc<dyn AuditLog>>,
        subjects: Subjects,
    ) -> Self {
        Self {
            clock,
            observe,
            log,
            subjects: Arc::new(subjects),
        }
    }

    /// The name of a user in events: see [`Subjects::pseudonym`].
    pub(crate) fn pseudonym(&self, issuer: &str, subject: &str) -> String {
        self.subjects.pseudonym(issuer, subject)
    }

    /// An event of now, to be completed and recorded.
    pub(crate) fn event(&self, kind: EventKind) -> Event {
        Event::new(kind, self.clock.now())
    }

    /// Tells the log, the metrics and the app.
    pub(crate) fn record(&self, event: &Event) {
        event.log();
        (self.observe)(event);
        let Some(log) = &self.log else {
            return;
        };
        // What the app left half done in its own log is its own affair; a sign-in, or tokens that
        // are not stored yet, are not to be lost for it.
        if catch_unwind(AssertUnwindSafe(|| log.record(event))).is_err() {
            tracing::error!(
                target: TARGET,
                lost = event.kind().name(),
                "the audit log panicked and may lack an event: correct its `record`"
            );
        }
    }

    /// Logs the refusal of a request that did not pass through the layer, and returns the event.
    pub(crate) fn refusal_without_layer(reason: Reason, status: u16, cause: String) -> Event {
        let event = Event::new(EventKind::Refused, Clock::system().now())
            .refusal(Level::Error, reason, status)
            .because(cause);
        event.log();
        event
    }
}

impl fmt::Debug for AuditTrail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditTrail").finish_non_exhaustive()
    }
}
