//! Checks of an app's configuration, provider, client and store, behind `oten check` and `oten health`.
//!
//! A [`Checker`] runs all checks and returns a [`Report`]. Each [`Finding`] says what is wrong and how
//! to fix it. [`Check`] lists the checks.
//!
//! # Example
//!
//! ```
//! use axum_oten::{
//!     check::{Checker, Status},
//!     config::ConfigBuilder,
//! };
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let settings = "environment = 'sandbox'\n\
//!     client_id = 'my-site'\n\
//!     client_secret = 'a-secret-of-at-least-32-bytes-as-Oten-makes-them'\n\
//!     redirect_uri = 'http://localhost:3000/callback'";
//!
//! // With `offline`, the checker does not call the provider.
//! let checker = Checker::new(ConfigBuilder::from_toml("good.toml", settings)).offline();
//! assert!(!checker.run(|_| {}).await.has_failed());
//!
//! // An unknown setting is a failed finding. The other checks still run.
//! let settings = format!("{settings}\nclient_secrets = 'x'");
//! let checker = Checker::new(ConfigBuilder::from_toml("bad.toml", &settings)).offline();
//! let report = checker.run(|_| {}).await;
//! let failed = report.findings.iter().find(|finding| finding.status == Status::Failed).unwrap();
//! assert_eq!(failed.check.name(), "configuration");
//! assert_eq!(failed.setting.as_deref(), Some("client_secrets"));
//! assert_eq!(failed.help.as_deref(), Some("Did you mean `client_secret`?"));
//! # }
//! ```

mod api;
mod checker;
mod client;
mod clock_skew;
mod discovery;
mod finding;
mod health;
mod key_set;
mod provider;
mod report;
mod separation;
mod settings;
mod store;
mod text;

pub use self::{
    checker::Checker,
    finding::{Check, Finding, Status},
    health::{EndpointHealth, Health, health, site_health},
    report::{Progress, Report, Summary},
};

#[doc(hidden)]
pub use self::health::reachable;

#[cfg(any(doc, test))]
pub(crate) use self::finding::check_table;
