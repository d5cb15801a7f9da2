//! Sign in with Oten for [axum]: a Tower layer with login, callback and logout routes, signed
//! authorization requests (JAR), PKCE and server-side sessions.
//!
//! ```no_run
//! use axum::{Router, response::Html, routing::get};
//! use axum_oten::{Config, MemoryStore, Oten, User};
//!
//! # fn app() -> Result<Router, Box<dyn std::error::Error>> {
//! let oten = Oten::new(Config::from_env()?, MemoryStore::default())?; // starts even if Oten is down
//! let admin = Router::new()
//!     .route("/admin", get(dashboard))
//!     .route_layer(oten.require_login()); // guests go to /login and come back
//! let app = Router::new()
//!     .route("/", get(home)) // open to all
//!     .merge(admin)
//!     .merge(oten.routes()) // /login, /callback, /logout
//!     .layer(oten.layer()); // sessions + the user of each request
//! # Ok(app) }
//!
//! async fn dashboard(user: User) -> String {
//!     format!("Hello {}", user.name().unwrap_or(user.subject()))
//! }
//!
//! async fn home(user: Option<User>) -> Html<&'static str> {
//!     Html(match user {
//!         Some(_) => r#"<a href="/admin">Dashboard</a>"#,
//!         None => r#"<a href="/login">Sign in with Oten</a>"#,
//!     })
//! }
//! ```
//!
//! # Guide
//!
#![cfg_attr(
    feature = "cli",
    doc = "The [`guide`] goes on from here: [how it works](guide::how_it_works), [every \
           setting](guide::configuration), [sessions](guide::sessions), [signing \
           out](guide::signing_out), [errors and what to do](guide::errors), \
           [operations](guide::operations), [going to production](guide::production), \
           [testing your app](guide::testing), [security](guide::security), and [which setting of \
           another library is which](guide::coming_from)."
)]
#![cfg_attr(
    not(feature = "cli"),
    doc = "The guide goes on from here; `cargo doc --all-features` has it."
)]
//!
//! In short: a guest is sent to `/login`, which keeps a login attempt on the server and sends the
//! browser to Oten with a signed request. Oten sends it back to the callback with a code, which buys
//! the tokens. The ID token is verified, the user gets a new session, and from then on a request costs
//! one read of the store: no call to Oten, no signature check.
//!
//! # The rooms
//!
//! Modules are rooms on floors: each uses only those above it in this table; what it needs from one
//! below arrives as an argument.
//!
//! | room | what is in it |
//! |---|---|
//! | [`Clock`], [`Secret`], [`jose`], [`audit`] | leaves: time, secrets, signed JSON, events; the HTTP client and the metrics |
//! | [`config`] | what the operator decides, checked whole |
//! | [`provider`] | where Oten's endpoints and keys are |
//! | [`protocol`] | the OAuth and OpenID Connect messages, one file each |
//! | [`store`] | what can be asked of a store, and the stores |
//! | [`session`] | login attempts, users, tokens: what is remembered |
#![cfg_attr(
    feature = "check",
    doc = "| [`check`] | the doctor: what is wrong with configuration, provider, client and store |"
)]
//! | [`web`] | layer, routes, extractors, pages: the only room that knows axum |
#![cfg_attr(
    feature = "emulator",
    doc = "| [`emulator`] | a strict local Oten for development and tests; uses the leaves only |"
)]
//!
//! # Features
//!
//! - `sqlite`, `postgres`, `redis`: stores for sessions that outlive the process, see [`store`].
//! - `metrics`: counts through the `metrics` facade, `axum_oten::metric`.
//! - `check`: the doctor, `axum_oten::check`.
//! - `emulator`: a strict local Oten for development and tests, `axum_oten::emulator`.
//! - `cli`: the program `oten`: a demo site and the operator's commands; and the guide.
//!
//! No feature is on by default: that is the library alone.
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod audit;
#[cfg(feature = "check")]
#[cfg_attr(docsrs, doc(cfg(feature = "check")))]
pub mod check;
mod clock;
pub mod config;
#[cfg(feature = "emulator")]
#[cfg_attr(docsrs, doc(cfg(feature = "emulator")))]
pub mod emulator;
mod error;
#[cfg(all(feature = "cli", any(doc, doctest)))]
#[cfg_attr(docsrs, doc(cfg(feature = "cli")))]
pub mod guide;
mod http;
pub mod jose;
#[cfg(feature = "metrics")]
#[cfg_attr(docsrs, doc(cfg(feature = "metrics")))]
pub mod metric;
#[cfg(not(feature = "metrics"))]
mod metric;
pub mod protocol;
pub mod provider;
mod seal;
mod secret;
pub mod session;
pub mod store;
pub mod web;

#[doc(inline)]
pub use self::{
    clock::Clock,
    config::Config,
    secret::Secret,
    session::User,
    store::MemoryStore,
    web::{AccessToken, Oten, RedactedUri},
};

/// The README's examples, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
