//! Audit events: sign-ins, sign-outs, token refreshes and rejected requests.
//!
//! Each event is logged as one structured [`tracing`] event under the target [`TARGET`], with its
//! name in the field `event`. An app receives the same events through an [`AuditLog`] set with
//! [`OtenBuilder::audit`](crate::web::OtenBuilder::audit). The error page shows the correlation ID of
//! its event, so support can find the event that belongs to a user's report.
//!
//! [`EventKind`] lists all events. [`Reason`] lists why requests are rejected.
//!
//! # Example
//!
//! Do blocking writes on the receiving end of a bounded channel. If the writer falls behind, events
//! are dropped rather than delaying requests.
//!
//! ```
//! use std::sync::mpsc::sync_channel;
//!
//! use axum_oten::{
//!     Config, MemoryStore, Oten,
//!     audit::{Event, EventKind, Level},
//!     config::Environment,
//! };
//!
//! # let config = Config::builder()
//! #     .environment(Environment::Sandbox)
//! #     .client_id("my-site")
//! #     .client_secret("a-secret-of-at-least-32-bytes-as-Oten-makes-them")
//! #     .redirect_uri("http://localhost:3000/callback")
//! #     .build()?;
//! let (sender, events) = sync_channel(1024);
//! let oten = Oten::builder(config, MemoryStore::default())
//!     .audit(move |event: &Event| {
//!         // Skip API requests that were answered with 401.
//!         if event.kind() != EventKind::Refused || event.level() > Level::Debug {
//!             let _ = sender.try_send(event.clone());
//!         }
//!     })
//!     .build()?;
//! # drop(oten);
//!
//! std::thread::spawn(move || {
//!     for event in events {
//!         // {"event":"signed_in","level":"info","time":"2026-01-01T00:00:00Z",…}
//!         let line = serde_json::to_string(&event);
//! #       let _ = line;
//!     }
//! });
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! # Requests without an event
//!
//! A request that only reads its session records no event. Neither does a page navigation that is
//! redirected to the login route, so crawlers do not fill the log.
//!
//! # Other log lines
//!
//! Lines about the program itself have the same target, but no field `event`, and are not passed to
//! the [`AuditLog`]:
//!
//! - "sign-in with Oten is configured", when [`Oten`](crate::Oten) is built, with the fields `issuer`,
//!   `client_id`, `client_type` and `jar`;
//! - each warning of the configuration;
//! - failures to fetch the provider's discovery document or key set;
//! - a refreshed ID token whose key could not be fetched in time;
//! - failures of the session store that fail no request, and records that cannot be parsed;
//! - a session store or provider that fails the readiness check;
//! - token refreshes and revocations that are unfinished at shutdown;
//! - a panic in the [`AuditLog`].

mod event;
mod reason;
mod trail;

pub use self::{
    event::{Event, EventKind, Level},
    reason::Reason,
    trail::AuditLog,
};

pub(crate) use self::{event::EventOrigin, trail::AuditTrail};

/// The `tracing` target of all events, for filters such as `RUST_LOG=info,axum_oten=debug`.
pub const TARGET: &str = "axum_oten";
