//! Counters, gauges and histograms, through the [`metrics`] facade.
//!
//! Requires the feature `metrics`. An app chooses where the metrics go by installing a recorder, such
//! as a Prometheus exporter. [`Metric`] lists all metrics.
//!
//! # Example
//!
//! ```
//! use axum_oten::{
//!     Config, MemoryStore, Oten,
//!     config::Environment,
//!     metric::{Metric, MetricKind},
//! };
//!
//! # let config = Config::builder()
//! #     .environment(Environment::Sandbox)
//! #     .client_id("my-site")
//! #     .client_secret("a-secret-of-at-least-32-bytes-as-Oten-makes-them")
//! #     .redirect_uri("http://localhost:3000/callback")
//! #     .build()?;
//! # mod my_exporter { pub fn install() {} }
//! // Install the recorder first: `Oten::new` registers the metrics and their descriptions.
//! my_exporter::install();
//! let oten = Oten::new(config, MemoryStore::default())?;
//! # drop(oten);
//!
//! // From then on counters are zero for each value of their label.
//! let logins = Metric::Logins;
//! assert_eq!(logins.name(), "oten_logins_total");
//! assert_eq!(logins.kind(), MetricKind::Counter);
//! let [outcome] = logins.labels() else { unreachable!() };
//! assert_eq!(outcome.values(), ["signed_in", "cancelled", "refused"]);
//!
//! // Labels have a fixed set of values, so a request cannot add a time series.
//! let mut labels = Metric::all().iter().flat_map(|metric| metric.labels());
//! assert!(labels.all(|label| label.name() != "subject"));
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! A request that only reads its session changes no metric. The values are those of one process; sum
//! them up if the app runs several.
//!
//! # Alerts
//!
//! Useful alerts are, in the query language of Prometheus:
//!
//! - `rate(oten_grace_requests_total[5m]) > 0`: tokens cannot be refreshed;
//! - `rate(oten_store_failures_total[5m]) > 0`: the session store fails;
//! - `rate(oten_logins_total{outcome="refused"}[5m])` compared with all logins: sign-ins fail.
// Without the feature this module is private and records nothing.
#![cfg_attr(not(feature = "metrics"), allow(unreachable_pub))]

mod record;
mod table;

#[cfg(feature = "metrics")]
pub use self::table::{Label, Metric, MetricKind};

pub(crate) use self::{
    record::{
        count_event, describe, grace_used, jwks_refetched, login, login_started, provider_called,
        store_failed, token_budget_left,
    },
    table::{Endpoint, Fetch, Login, Outcome, StoreFailure},
};
