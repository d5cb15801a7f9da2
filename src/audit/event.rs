use std::net::IpAddr;

use serde::Serialize;
use time::OffsetDateTime;

use super::{EventKind, Level, Reason, TARGET};

/// One event: what happened, when, to whom, and why. It holds no secret.
///
/// [`Serialize`] makes the names of [`EventKind::fields`] of it, with `event`, `level` and `time` (RFC
/// 3339) before them; what is not known is left out.
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
    /// What happened.
    #[must_use]
    pub fn kind(&self) -> EventKind {
        self.kind
    }

    /// How much it asks for attention.
    #[must_use]
    pub fn level(&self) -> Level {
        self.level
    }

    /// When it happened, by the clock of [`OtenBuilder::clock`](crate::web::OtenBuilder::clock).
    #[must_use]
    pub fn time(&self) -> OffsetDateTime {
        self.time
    }

    /// 16 hexadecimal digits that the error page shows, too; random for each request.
    #[must_use]
    pub fn correlation_id(&self) -> Option<&str> {
        self.correlation_id.as_deref()
    }

    /// Whom it is about: 16 hexadecimal digits that are the same for the same user until the process
    /// ends, or the user's `sub` if
    /// [`log_subjects`](crate::config::ConfigBuilder::log_subjects) is on.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// Where the request came from, if that is known.
    #[must_use]
    pub fn client_address(&self) -> Option<IpAddr> {
        self.client_address
    }

    /// Why a request was refused.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        self.reason
    }

    /// The status of the answer to a request that was refused (RFC 9110 section 15).
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.status
    }

    /// How many sessions the provider ended.
    #[must_use]
    pub fn sessions(&self) -> Option<usize> {
        self.sessions
    }

    /// What kind of record could not be opened.
    #[must_use]
    pub fn record_kind(&self) -> Option<&'static str> {
        self.record_kind
    }

    /// What went wrong and what was the cause of that, in one line for people.
    #[must_use]
    pub fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }
}

/// How the rooms make them.
impl Event {
    /// An event of the kind's first level.
    pub(super) fn new(kind: EventKind, time: OffsetDateTime) -> Self {
        Self {
            kind,
            level: kind.levels().first().copied().unwrap_or(Level::Error),
            time,
            correlation_id: None,
            subject: None,
            client_address: None,
            reason: None,
            status: None,
            sessions: None,
            record_kind: None,
            cause: None,
        }
    }

    pub(crate) fn of_request(mut self, correlation_id: &str) -> Self {
        self.correlation_id = Some(correlation_id.to_owned());
        self
    }

    pub(crate) fn sent_from(mut self, client_address: Option<IpAddr>) -> Self {
        self.client_address = client_address;
        self
    }

    pub(crate) fn about(mut self, subject: impl Into<Option<String>>) -> Self {
        self.subject = subject.into();
        self
    }

    pub(crate) fn refusal(mut self, level: Level, reason: Reason, status: u16) -> Self {
        self.level = level;
        self.reason = Some(reason);
        self.status = Some(status);
        self
    }

    pub(crate) fn ended(mut self, sessions: usize) -> Self {
        self.sessions = Some(sessions);
        self
    }

    pub(crate) fn in_record(mut self, kind: &'static str) -> Self {
        self.record_kind = Some(kind);
        self
    }

    pub(crate) fn because(mut self, cause: impl Into<String>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Writes the event to the log of `tracing`.
    pub(super) fn log(&self) {
        // The level of an event is part of its place in the code.
        macro_rules! at {
            ($level:ident) => {
                tracing::$level!(
                    target: TARGET,
                    event = self.kind.name(),
                    correlation_id = self.correlation_id,
                    subject = self.subject,
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
