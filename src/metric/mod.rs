//! Numbers for those who watch, through the facade of the crate [`metrics`](::metrics), with the
//! feature `metrics`. An app that installs a recorder has them; without one they cost nothing.
//!
//! ```
//! use axum_oten::metric::{Metric, Shape};
//! use axum_oten::{Config, MemoryStore, Oten, config::Environment};
//!
//! # let config = Config::builder()
//! #     .environment(Environment::Sandbox)
//! #     .client_id("my-site")
//! #     .client_secret("a-secret-of-at-least-32-bytes-as-Oten-makes-them")
//! #     .redirect_uri("http://localhost:3000/callback")
//! #     .build()?;
//! # mod my_exporter { pub fn install() {} }
//! // The recorder comes first: names and meanings are told to it once, here.
//! my_exporter::install();
//! let oten = Oten::new(config, MemoryStore::default())?;
//! # drop(oten);
//!
//! // Counters stand at zero from then on, for each value of each label.
//! let logins = Metric::Logins;
//! assert_eq!((logins.name(), logins.shape()), ("oten_logins_total", Shape::Counter));
//! let [outcome] = logins.labels() else { unreachable!() };
//! assert_eq!(outcome.values(), ["signed_in", "cancelled", "refused"]);
//!
//! // No label has a value that comes from a request: who signs in is nobody's label.
//! assert!(Metric::all().iter().flat_map(|it| it.labels()).all(|it| it.name() != "subject"));
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! A request that only reads its session moves none of them. Numbers are of this process: a sum over
//! all processes is the site's.
//!
//! # Metrics
//!
//! | metric | kind | labels | meaning |
//! |---|---|---|---|
//!
//! Who wants to be woken watches, for example, `rate(oten_grace_requests_total[5m]) > 0` (tokens
//! cannot be renewed), `rate(oten_store_failures_total[5m]) > 0`, and
//! `rate(oten_logins_total{outcome="refused"}[5m])` against all logins.
// Without the feature nobody outside sees any of this, and nothing is recorded.
#![cfg_attr(not(feature = "metrics"), allow(unreachable_pub, unused_imports))]

mod label;
mod record;
mod table;

pub use self::{
    label::Label,
    table::{Metric, Shape},
};

pub(crate) use self::{
    label::{Endpoint, Fetch, Login, Outcome, StoreFailure},
    record::{
        describe, grace_used, jwks_fetched_again, login, login_started, of_event, provider_called,
        store_failed, token_budget_left,
    },
};
