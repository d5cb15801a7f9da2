use std::{net::IpAddr, sync::OnceLock};

use serde::{Serialize, Serializer};
use time::OffsetDateTime;

use super::{Reason, TARGET};
use crate::secret::{hex, random_bytes};

/// An audit event: what happened, when, to which user, and why.
///
/// Events contain no secrets. They serialize to the fields of [`EventKind::fields`], and to `event`,
/// `level`, `time` (RFC 3339) and `client_address`. Unknown fields are omitted.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Event {
    #[serde(rename = "event")]
    kind: EventKind,
    level: Level,
    #[serde(with = "time::serde::rfc3339")]
    time: OffsetDateTime,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    operator: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_address: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sessions: Option<usize>,
    #[serde(rename = "kind", skip_serializing_if = "Option::is_none")]
    record_kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<String>,
}

impl Event {
    /// Returns the kind: what happened.
    #[must_use]
    pub fn kind(&self) -> EventKind {
        self.kind
    }

    /// Returns the severity.
    #[must_use]
    pub fn level(&self) -> Level {
        self.level
    }

    /// Returns the time of the event, by the clock set with
    /// [`OtenBuilder::clock`](crate::web::OtenBuilder::clock).
    #[must_use]
    pub fn time(&self) -> OffsetDateTime {
        self.time
    }

    /// Returns the ID that the error page shows: 16 hexadecimal digits, random for each request.
    #[must_use]
    pub fn correlation_id(&self) -> Option<&str> {
        self.correlation_id.as_deref()
    }

    /// Returns the user the event is about, as 16 hexadecimal digits of a keyed hash.
    ///
    /// The hash of a user is stable until the process exits. With
    /// [`log_subjects`](crate::config::ConfigBuilder::log_subjects) this is the user's `sub` instead.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// Returns the user who ended the sessions of others, like [`subject`](Self::subject).
    #[must_use]
    pub fn operator(&self) -> Option<&str> {
        self.operator.as_deref()
    }

    /// Returns the IP address of the client, if known.
    #[must_use]
    pub fn client_address(&self) -> Option<IpAddr> {
        self.client_address
    }

    /// Returns why a request was rejected.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        self.reason
    }

    /// Returns the status code of the response to a rejected request (RFC 9110 section 15).
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.status
    }

    /// Returns how many sessions a back-channel logout or an operator ended.
    #[must_use]
    pub fn sessions(&self) -> Option<usize> {
        self.sessions
    }

    /// Returns the kind of the record that could not be opened, such as `tokens`.
    #[must_use]
    pub fn record_kind(&self) -> Option<&'static str> {
        self.record_kind
    }

    /// Returns the error and its causes in one line, for the operator.
    #[must_use]
    pub fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }
}

impl Event {
    /// Creates an event at the lowest level of its kind.
    pub(super) fn new(kind: EventKind, time: OffsetDateTime) -> Self {
        Self {
            kind,
            level: kind.levels().first().copied().unwrap_or(Level::Error),
            time,
            correlation_id: None,
            subject: None,
            operator: None,
            client_address: None,
            reason: None,
            status: None,
            sessions: None,
            record_kind: None,
            cause: None,
        }
    }

    pub(crate) fn with_origin(mut self, origin: &EventOrigin) -> Self {
        self.correlation_id = Some(origin.correlation_id().to_owned());
        self.client_address = origin.client_address;
        self
    }

    pub(crate) fn with_subject(mut self, subject: impl Into<Option<String>>) -> Self {
        self.subject = subject.into();
        self
    }

    pub(crate) fn with_operator(mut self, operator: Option<String>) -> Self {
        self.operator = operator;
        self
    }

    pub(crate) fn with_refusal(mut self, level: Level, reason: Reason, status: u16) -> Self {
        self.level = level;
        self.reason = Some(reason);
        self.status = Some(status);
        self
    }

    pub(crate) fn with_sessions(mut self, sessions: usize) -> Self {
        self.sessions = Some(sessions);
        self
    }

    pub(crate) fn with_record_kind(mut self, kind: &'static str) -> Self {
        self.record_kind = Some(kind);
        self
    }

    pub(crate) fn with_cause(mut self, cause: impl Into<String>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Emits the event through `tracing`.
    pub(super) fn log(&self) {
        // `tracing` requires a constant level at each call site.
        macro_rules! at {
            ($level:ident) => {
                tracing::$level!(
                    target: TARGET,
                    event = self.kind.name(),
                    correlation_id = self.correlation_id,
                    subject = self.subject,
                    operator = self.operator,
                    client_address = self.client_address.map(tracing::field::display),
                    reason = self.reason.map(Reason::code),
                    status = self.status,
                    sessions = self.sessions,
                    kind = self.record_kind,
                    cause = self.cause,
                    "{}",
                    self.kind.message()
                )
            };
        }
        match self.level {
            Level::Debug => at!(debug),
            Level::Info => at!(info),
            Level::Warn => at!(warn),
            Level::Error => at!(error),
        }
    }
}

/// The request that events belong to.
#[derive(Debug, Default)]
pub(crate) struct EventOrigin {
    correlation_id: OnceLock<String>,
    client_address: Option<IpAddr>,
}

impl EventOrigin {
    pub(crate) fn new(client_address: Option<IpAddr>) -> Self {
        Self {
            correlation_id: OnceLock::new(),
            client_address,
        }
    }

    pub(crate) fn client_address(&self) -> Option<IpAddr> {
        self.client_address
    }

    /// Returns the ID that ties an error page to its events.
    pub(crate) fn correlation_id(&self) -> &str {
        let id = || hex(random_bytes::<8>().as_ref());
        self.correlation_id.get_or_init(id)
    }
}

/// A clone has the same correlation ID.
impl Clone for EventOrigin {
    fn clone(&self) -> Self {
        Self {
            correlation_id: self.correlation_id().to_owned().into(),
            client_address: self.client_address,
        }
    }
}

/// Severity of an event, in ascending order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Level {
    /// Routine, such as an API request without a session that was answered with 401.
    Debug,
    /// Normal operation, such as a sign-in.
    Info,
    /// Possibly an attack or a transient failure. Investigate if many occur at once.
    Warn,
    /// The app or the provider is at fault, and the operator has to act.
    Error,
}

/// Generates [`EventKind`] and the table in its documentation from one row per event.
macro_rules! events {
    ($($kind:ident = $name:literal, [$($level:ident),*], [$($field:literal),*],
        $message:literal, $description:literal;)*) => {
        /// The kind of an [`Event`].
        ///
        /// Unknown fields are absent. Each event also has `client_address`, if known, and `time` when
        /// passed to an [`AuditLog`](crate::audit::AuditLog).
        ///
        /// | event | level | fields | description |
        /// |---|---|---|---|
        $(#[doc = concat!(
            "| `", $name, "` | ", $("`", stringify!($level), "` ",)* "| ", $("`", $field, "` ",)*
            "| ", $description, " |"
        )])*
        ///
        /// # Example
        ///
        /// ```
        /// use axum_oten::audit::EventKind;
        ///
        /// assert_eq!(EventKind::SignedIn.name(), "signed_in");
        /// assert!(EventKind::SignedIn.fields().contains(&"subject"));
        /// // All rejected requests have the same kind; the field `reason` says why.
        /// assert!(EventKind::Refused.fields().contains(&"reason"));
        /// assert!(EventKind::all().iter().all(|kind| kind.name() != "forbidden"));
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum EventKind {
            $(#[doc = $description] $kind,)*
        }

        impl EventKind {
            /// Returns all kinds.
            #[must_use]
            pub fn all() -> &'static [Self] {
                &[$(Self::$kind),*]
            }

            /// Returns the name in the field `event`, such as `signed_in`.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)*
                }
            }

            /// Returns the levels of events of this kind, in ascending order.
            #[must_use]
            pub fn levels(self) -> &'static [Level] {
                match self {
                    $(Self::$kind => &[$(Level::$level),*],)*
                }
            }

            /// Returns the names of the fields that events of this kind can have.
            #[must_use]
            pub fn fields(self) -> &'static [&'static str] {
                match self {
                    $(Self::$kind => &[$($field),*],)*
                }
            }

            /// Returns the description shown in the documentation.
            #[must_use]
            pub fn description(self) -> &'static str {
                match self {
                    $(Self::$kind => $description,)*
                }
            }

            /// Returns the message of the log line.
            fn message(self) -> &'static str {
                match self {
                    $(Self::$kind => $message,)*
                }
            }
        }
    };
}

events! {
    SignedIn = "signed_in", [Info], ["correlation_id", "subject"],
        "a user signed in",
        "A user signed in. `subject` is a keyed hash of the user, stable until the process exits, or \
         the user's `sub` with `log_subjects`.";
    SignedOut = "signed_out", [Info], ["correlation_id", "subject"],
        "a user signed out",
        "A user signed out, or the app, the user or an operator ended the session.";
    BackChannelLogout = "back_channel_logout", [Info], ["correlation_id", "subject", "sessions"],
        "the provider signed a user out",
        "The provider sent a logout token. `sessions` is the number of sessions that it ended, which \
         can be 0. `subject` is absent if the logout token names an unknown session.";
    SessionsEnded = "sessions_ended", [Warn], ["correlation_id", "subject", "operator", "sessions"],
        "an operator ended sessions",
        "An operator ended one or all sessions of a user, or those of all users if `subject` is absent. \
         `sessions` is their number, each of which also has a `signed_out` event. `operator` is the \
         signed-in operator, like `subject`; it is absent if the app or a command ended them.";
    Refused = "refused", [Debug, Warn, Error], ["correlation_id", "subject", "reason", "status", "cause"],
        "a request was rejected",
        "A request was rejected or denied. `reason` is a code of `Reason`, `cause` the error with its \
         causes, `subject` the user whom an access rule denies. The level is `Debug` for an API request without a session, and `Error` if the app or \
         the provider is at fault. A request that did not pass through the layer has no \
         `correlation_id` and is only logged.";
    LoginRestarted = "login_restarted", [Warn], ["correlation_id"],
        "a callback matches no login attempt of this browser; the sign-in is restarted",
        "A callback matched no login attempt of its browser, and the sign-in was restarted: the \
         callback was late, opened again, or forged.";
    FormKept = "form_kept", [Info], ["correlation_id", "subject"],
        "a form is kept that a sign-in interrupts",
        "A user has to sign in before a form is handled. It is kept, and the user can send it again. \
         Also recorded if a kept form stays because an inner layer denies it, or the request ends before \
         the handler gets it.";
    FormSent = "form_sent", [Info], ["correlation_id", "subject"],
        "a user sent a kept form",
        "A user sent a kept form after the sign-in, and the handler got it. If an inner layer denies the \
         request instead, or the request ends before, a `form_kept` with the same `correlation_id` follows.";
    Refreshed = "refreshed", [Info], ["correlation_id", "subject"],
        "a user's tokens were refreshed",
        "A user's tokens were refreshed.";
    RefreshFailed = "refresh_failed", [Warn], ["correlation_id", "subject", "cause"],
        "a user's tokens were not refreshed; the refresh will be retried",
        "A token refresh failed and will be retried. The user stays signed in.";
    RefreshLost = "refresh_lost", [Error], ["correlation_id", "subject", "cause"],
        "refreshed tokens could not be stored; the process keeps them until the store works",
        "The provider refreshed a user's tokens, but the store could not save them. The process tries \
         again for up to 10 minutes, and records `refreshed` if it succeeds. If not, the user has to sign in \
         again.";
    SignInEnded = "sign_in_ended", [Warn], ["correlation_id", "subject", "cause"],
        "a user's tokens can no longer be refreshed; the session was ended",
        "The provider rejected a refresh token, or answered with another user's ID token. The session \
         was ended.";
    RevocationFailed = "revocation_failed", [Warn], ["correlation_id", "cause"],
        "a refresh token was not revoked; it stays valid until it expires",
        "The provider did not revoke a refresh token after a sign-out. The token stays valid until it \
         expires.";
    UnsealedRecord = "unsealed_record", [Warn], ["kind", "cause"],
        "a record in the session store cannot be opened; it is treated as absent",
        "A record of this `kind` could not be opened: its sealing key is no longer configured, or the \
         record was modified. It is treated as absent.";
}

impl Serialize for EventKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}
