use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{Event, EventKind, TARGET};
use crate::{
    clock::Clock,
    secret::{hex, random_bytes},
};

/// Receives audit events, in addition to the log.
///
/// Set one with [`OtenBuilder::audit`](crate::web::OtenBuilder::audit). Closures that take an
/// [`&Event`](Event) implement this trait.
///
/// # Example
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// use axum_oten::audit::{AuditLog, Event, EventKind};
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
    /// Records an event, which has already been logged.
    ///
    /// **This must not block.** It runs inside the request, or inside the refresh of a user's tokens.
    /// Send a copy to a channel and write elsewhere.
    ///
    /// If it panics, the panic is caught and logged as an error. The request continues, and the event
    /// may be missing from this audit log. With `panic = "abort"` the process exits.
    fn record(&self, event: &Event);
}

impl<F: Fn(&Event) + Send + Sync + 'static> AuditLog for F {
    fn record(&self, event: &Event) {
        self(event);
    }
}

/// Creates events and passes them to the log, the metrics and the app's [`AuditLog`].
#[derive(Clone)]
pub(crate) struct AuditTrail {
    clock: Clock,
    /// Counts events. Passed in, because the metrics depend on this module.
    observe: fn(&Event),
    log: Option<Arc<dyn AuditLog>>,
    /// The key of pseudonyms; `None` if events name subjects as they are.
    subject_key: Option<Arc<Zeroizing<[u8; 32]>>>,
}

impl AuditTrail {
    /// Creates a trail that writes to the log and calls `observe`.
    pub(crate) fn new(clock: Clock, observe: fn(&Event)) -> Self {
        Self {
            clock,
            observe,
            log: None,
            subject_key: Some(Arc::new(random_bytes())),
        }
    }

    pub(crate) fn with_audit_log(mut self, log: Option<Arc<dyn AuditLog>>) -> Self {
        self.log = log;
        self
    }

    /// Sets whether events name subjects as they are. By default they contain pseudonyms.
    pub(crate) fn with_plain_subjects(mut self, is_plain: bool) -> Self {
        self.subject_key = self.subject_key.filter(|_| !is_plain);
        self
    }

    /// Creates an event that happens now. Pass it to [`record`](Self::record) when complete.
    pub(crate) fn event(&self, kind: EventKind) -> Event {
        Event::new(kind, self.clock.now())
    }

    /// Returns the name of a user in events: 16 hexadecimal digits that are stable until the process
    /// exits and cannot be linked to the user without the key.
    pub(crate) fn pseudonym(&self, issuer: &str, subject: &str) -> String {
        let Some(key) = &self.subject_key else {
            return subject.to_owned();
        };
        // A keyed prefix is enough, HMAC is not needed: the key has the length of the hash, and only
        // 64 bits are shown, which rules out length extension.
        let hash = Sha256::new()
            .chain_update(key.as_slice())
            .chain_update(issuer)
            .chain_update([0])
            .chain_update(subject)
            .finalize();
        hex(&hash[..8])
    }

    /// Passes the event to the log, the metrics and the app's [`AuditLog`].
    pub(crate) fn record(&self, event: &Event) {
        event.log();
        (self.observe)(event);
        let Some(log) = &self.log else {
            return;
        };
        // A panic in the app's audit log must not lose a sign-in, or refreshed tokens that are not
        // stored yet.
        if catch_unwind(AssertUnwindSafe(|| log.record(event))).is_err() {
            tracing::error!(
                target: TARGET,
                lost = event.kind().name(),
                "the audit log panicked and may lack this event; fix the app's `AuditLog::record`"
            );
        }
    }
}

impl fmt::Debug for AuditTrail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditTrail").finish_non_exhaustive()
    }
}
