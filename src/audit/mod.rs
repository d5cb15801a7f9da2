//! What happens to people's sign-ins, as events: in the log, and for an app's own audit log.
//!
//! Each event is one structured [`tracing`] event under the target [`TARGET`], with its name in the
//! field `event`, and is handed to the app's [`AuditLog`], if there is one. The correlation id in it
//! is the one on the error page, so that a person who reads it out can be helped.
//!
//! ```
//! use axum_oten::{Config, MemoryStore, Oten, config::Environment};
//! use axum_oten::audit::{Event, Kind, Level};
//! use std::sync::mpsc::sync_channel;
//!
//! # let config = Config::builder()
//! #     .environment(Environment::Sandbox)
//! #     .client_id("my-site")
//! #     .client_secret("a-secret-of-at-least-32-bytes-as-Oten-makes-them")
//! #     .redirect_uri("http://localhost:3000/callback")
//! #     .build()?;
//! // Whoever writes to a disk or a database does so at the other end of a channel. It is bounded:
//! // where nobody keeps up, events are lost and no request waits.
//! let (to_writer, events) = sync_channel(1024);
//! let oten = Oten::builder(config, MemoryStore::default())
//!     .audit(move |event: &Event| {
//!         let is_kept = event.kind() != Kind::Refused || event.level() > Level::Debug;
//!         if is_kept {
//!             let _ = to_writer.try_send(event.clone());
//!         }
//!     })
//!     .build()?;
//! # drop(oten);
//!
//! std::thread::spawn(move || {
//!     for event in events {
//!         let line = serde_json::to_string(&event); // {"event":"signed_in","time":"2026-…
//! #       let _ = line;
//!     }
//! });
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! A request that only reads its session makes no event and costs nothing here. Nor does a guest's
//! page navigation that is sent to sign in: a crawler fills no log.
//!
//! # Events
//!
//! Not all fields are in all events of a kind; those that are absent are not known. In what an
//! [`AuditLog`] gets there is also `time`, and in both `client_address` where it is known.
//!
//! | event | level | fields | meaning |
//! |---|---|---|---|
//!
//! # Reasons
//!
//! A `refused` event, and the answer to the request, carry one of these. They never change once
//! published.
//!
//! | reason | meaning | what to do |
//! |---|---|---|
//!
//! # Other lines in the log
//!
//! Under the same target, without a field `event` and not for the [`AuditLog`], stand lines about
//! the program and not about a sign-in: "signing in with Oten is set up" when [`Oten`](crate::Oten)
//! is made, with `issuer`, `client_id`, `client_type` and `jar`; each warning of the configuration;
//! a provider whose documents cannot be had; an audit log that panicked.

mod event;
mod kind;
mod level;
mod reason;
mod trail;

pub use self::{event::Event, kind::Kind, level::Level, reason::Reason, trail::AuditLog};

pub(crate) use self::trail::Trail;

/// The target of all events, for filters: `RUST_LOG=info,axum_oten=debug`.
pub const TARGET: &str = "axum_oten";
