//! Numbers for those who watch, through the facade of the crate [`metrics`], with the
//! feature `metrics`. An app that installs a recorder has them; without one they cost nothing.
//!
//! ```
//! use axum_oten::metric::{Metric, MetricKind};
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
//! assert_eq!((logins.name(), logins.kind()), ("oten_logins_total", MetricKind::Counter));
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
//! | metric | kind | labels | description |
//! |---|---|---|---|
//! | `oten_login_attempts_total` | counter | | Browsers that were sent to the provider to sign in. |
//! | `oten_logins_total` | counter | `outcome`: `signed_in`, `cancelled`, `refused` | Sign-ins that came to an end, at `/login` or when the browser came back. Attempts less these are people who gave up on the way. |
//! | `oten_refusals_total` | counter | `reason` | Requests that were refused; the reasons are those of the events. |
//! | `oten_refreshes_total` | counter | `outcome`: `refreshed`, `failed`, `ended`, `lost` | Renewals of tokens: `failed` is tried again, `ended` signed the user out, `lost` could not be stored. |
//! | `oten_sign_outs_total` | counter | `by`: `user`, `provider` | Sessions that were ended by their user or the app, or by the provider's back-channel logout. |
//! | `oten_provider_request_duration_seconds` | histogram | `endpoint`: `discovery`, `jwks`, `token`, `revocation`; `outcome`: `success`, `failed`, `refused`, `unreachable` | How long calls to the provider took, each repetition for itself: `success` is 2xx, `failed` 5xx, `refused` any other status, `unreachable` no complete answer. |
//! | `oten_jwks_refetches_total` | counter | `outcome`: `success`, `failed` | How often the provider's keys were fetched while some were known: because they were old, or because a token was signed with another one. |
//! | `oten_grace_requests_total` | counter | | Requests that went on although their user's tokens could not be renewed. |
//! | `oten_grace_in_use` | gauge | | 1 from the first request of that kind until a renewal succeeds, else 0. |
//! | `oten_token_budget_left` | gauge | | How many token requests this process had left for the moment when it last made one, of those it may make in a minute. Absent where no limit is known. |
//! | `oten_store_failures_total` | counter | `cause`: `timed_out`, `error` | Calls to the session store that failed, or did not end within 2 seconds. |
//!
//! Who wants to be woken watches, for example, `rate(oten_grace_requests_total[5m]) > 0` (tokens
//! cannot be renewed), `rate(oten_store_failures_total[5m]) > 0`, and
//! `rate(oten_logins_total{outcome="refused"}[5m])` against all logins.
// Without the feature nobody outside sees any of this, and nothing is recorded.
#![cfg_attr(not(feature = "metrics"), allow(unreachable_pub))]

mod label;
mod record;
mod table;

#[cfg(feature = "metrics")]
pub use self::{
    label::Label,
    table::{Metric, MetricKind},
};

pub(crate) use self::{
    label::{Endpoint, Fetch, Login, Outcome, StoreFailure},
    record::{
        describe, grace_used, jwks_fetched_again, login, login_started, of_event, provider_called,
        store_failed, token_budget_left,
    },
};
