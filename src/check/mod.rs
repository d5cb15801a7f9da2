//! The doctor: everything that can be wrong between an app, its configuration, its store and the
//! provider, found out and told with the help. `oten check` and `oten health` print what it finds.
//!
//! ```
//! use axum_oten::{check::{Checkup, Status}, config::ConfigBuilder};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let settings = "environment = 'sandbox'\n\
//!     client_id = 'my-site'\n\
//!     client_secret = 'a-secret-of-at-least-32-bytes-as-Oten-makes-them'\n\
//!     redirect_uri = 'http://localhost:3000/callback'";
//!
//! // Nothing is wrong with these settings. Offline, the provider is not asked.
//! let good = Checkup::new(ConfigBuilder::from_toml("good.toml", settings)).offline();
//! assert!(!good.run(|_| {}).await.has_failed());
//!
//! // A name that is no setting is a finding with its help, and the rest is examined all the same.
//! let settings = format!("{settings}\nclient_secrets = 'x'");
//! let bad = Checkup::new(ConfigBuilder::from_toml("bad.toml", &settings)).offline();
//! let report = bad.run(|_| {}).await;
//! let failed = report.findings.iter().find(|finding| finding.status == Status::Failed).unwrap();
//! assert_eq!(failed.check.name(), "configuration");
//! assert_eq!(failed.setting.as_deref(), Some("client_secrets"));
//! assert_eq!(failed.help.as_deref(), Some("Did you mean `client_secret`?"));
//! # }
//! ```

mod checks;
mod checkup;
mod client_authentication;
mod clock_skew;
mod configuration;
mod discovery;
mod document;
mod features;
mod finding;
mod health;
mod key_set;
mod provider;
mod report;
mod request_object;
mod separation;
mod store;
mod store_place;
mod text;
mod writable;

pub use self::{
    checks::Check,
    checkup::{Checkup, Progress},
    finding::{Finding, Status},
    health::{EndpointHealth, Health, health, own_health},
    report::{Report, Summary},
};
