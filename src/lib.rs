//! Sign in with Oten for axum: a Tower layer with login, callback and logout routes, signed
//! authorization requests, PKCE and server-side sessions.
//!
//! # Overview
//!
//! - [`Oten::layer`] adds sessions and the signed-in user to each request.
//! - [`Oten::routes`] serves `/login`, `/login/form`, the path of `redirect_uri` such as `/callback`,
//!   `/logout` and `/backchannel-logout`, and for native apps `/native/start`, `/native/confirm` and
//!   `/native/token`.
//! - [`Oten::require_login`] protects routes.
//! - [`Oten::bearer`] protects routes of an API that is called with access tokens;
//!   [`ResourceServer`](web::ResourceServer) does so in an app that signs no user in.
//! - [`Oten::api_client`] calls APIs with the token of the user, or with one of the client itself from
//!   [`Oten::client_credentials`].
//! - [`User`], `Option<User>`, [`AccessToken`] and [`UserSession`] are extractors for handlers.
//! - [`Config`] holds the settings, from a file, the environment or code.
//! - [`store`] has the session stores: memory, SQLite, PostgreSQL and Redis.
//!
//! # Example
//!
//! ```no_run
//! use axum::{Router, response::Html, routing::get};
//! use axum_oten::{Config, MemoryStore, Oten, User};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! // Read the `OTEN_*` environment variables.
//! let oten = Oten::new(Config::from_env()?, MemoryStore::default())?;
//!
//! // Guests are redirected to `/login` and return after they sign in.
//! let admin = Router::new()
//!     .route("/admin", get(dashboard))
//!     .route_layer(oten.require_login());
//!
//! let app = Router::new()
//!     .route("/", get(home))
//!     .merge(admin)
//!     .merge(oten.routes())
//!     .layer(oten.layer());
//!
//! let listener = tokio::net::TcpListener::bind(oten.config().listen()).await?;
//! axum::serve(listener, app).await?;
//! # Ok(()) }
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
//! A guest who opens `/admin` is redirected to `/login`. This route stores a login attempt and
//! redirects the browser to Oten with a signed request. Oten redirects back to `/callback` with a
//! code, which is exchanged for tokens. The ID token is verified and the user gets a new session.
//! Later requests read the session with one store read. Oten is called only when the access token is
//! about to expire.
//!
//! # Guide
//!
#![cfg_attr(
    feature = "cli",
    doc = "The [`guide`] covers [how it works](guide::how_it_works), \
           [settings](guide::configuration), [composition](guide::composition), \
           [sessions](guide::sessions), [signing out](guide::signing_out), \
           [APIs](guide::apis), [services](guide::services), \
           [single-page apps](guide::single_page_apps), [native apps](guide::native_apps), \
           [access](guide::access), [errors](guide::errors), \
           [operations](guide::operations), [sizing](guide::sizing), \
           [going to production](guide::production), [testing](guide::testing), \
           [security](guide::security), [requirements of standards](guide::requirements), \
           [evidence](guide::evidence), \
           [other providers](guide::other_providers), [migration](guide::coming_from) and a \
           [glossary](guide::glossary)."
)]
#![cfg_attr(
    not(feature = "cli"),
    doc = "The guide is part of the documentation with the feature `cli`: `cargo doc --all-features`."
)]
//!
//! # Modules
//!
//! | module | contents |
//! |---|---|
//! | [`Clock`], [`Secret`], [`jose`], [`audit`], `metric` | foundations: time, secrets, signed JSON, events, metrics |
//! | [`config`] | settings and their validation |
//! | [`provider`] | Oten's endpoints and keys |
//! | [`store`] | session stores |
//! | [`protocol`] | OAuth and OpenID Connect messages |
//! | [`session`] | login attempts, sessions and tokens |
#![cfg_attr(
    feature = "check",
    doc = "| [`check`] | checks of the configuration, the provider, the client and the store |"
)]
//! | [`web`] | layers, routes, extractors and error pages |
#![cfg_attr(
    feature = "emulator",
    doc = "| [`emulator`] | an emulated Oten for development and tests; uses the foundations only |"
)]
//!
//! # Feature flags
//!
//! No feature is enabled by default.
//!
//! | feature | description |
//! |---|---|
//! | `sqlite`, `postgres`, `redis` | External session stores, see [`store`]. |
//! | `metrics` | Metrics through the [`metrics`](https://docs.rs/metrics) facade, in the module `metric`. |
//! | `check` | Checks of a deployment, in the module `check`. |
//! | `emulator` | An emulated Oten for development and tests, in the module `emulator`. |
//! | `cli` | The program `oten`, and the guide. Enables all other features. |
//!
//! # Public dependencies
//!
//! These crates are part of the public API. Upgrading one of them to a semver-incompatible version
//! is a breaking change to this crate.
//!
//! | crate | types |
//! |---|---|
//! | [`async_trait` 0.1](https://docs.rs/async-trait/0.1) | the attribute on implementations of [`OtenStore`](store::OtenStore) |
//! | [`axum` 0.8](https://docs.rs/axum/0.8) | `Router`, `Response`, extractor traits |
//! | [`bytes` 1](https://docs.rs/bytes/1), [`http-body` 1](https://docs.rs/http-body/1) | `Bytes`, `Body` as bounds of the layers, and of calls to APIs |
//! | [`http` 1](https://docs.rs/http/1) | `Request`, `Response`, `StatusCode`, `Uri` |
//! | [`serde` 1](https://docs.rs/serde/1), [`serde_json` 1](https://docs.rs/serde_json/1) | `Serialize`, `Deserialize`, `Value`, `Map` |
//! | [`time` 0.3](https://docs.rs/time/0.3) | `OffsetDateTime` |
//! | [`tower` 0.5](https://docs.rs/tower/0.5) | `Layer`, `Service` |
//! | [`tower-sessions` 0.14](https://docs.rs/tower-sessions/0.14) | re-exported as [`tower_sessions`] |
//! | [`url` 2](https://docs.rs/url/2) | `Url` |
//! | [`zeroize` 1](https://docs.rs/zeroize/1) | `Zeroizing` |
//!
//! The HTTP client, `reqwest`, is not among them: [`ApiClient`](web::ApiClient) has requests and responses
//! of `http`.
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
#[cfg(fuzzing)]
pub mod fuzz;
#[cfg(all(feature = "cli", any(doc, doctest)))]
#[cfg_attr(docsrs, doc(cfg(feature = "cli")))]
pub mod guide;
mod http;
mod iter;
pub mod jose;
mod json;
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
mod text;
pub mod web;

#[doc(hidden)]
pub use self::error::with_causes;
#[doc(inline)]
pub use self::{
    clock::Clock,
    config::{Config, Rule},
    secret::Secret,
    session::User,
    store::MemoryStore,
    web::{AccessToken, Oten, RedactedUri, UserSession},
};

/// Re-export of `tower_sessions`. The layer inserts its [`Session`](tower_sessions::Session) into each
/// request.
pub use tower_sessions;

/// The README's examples, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
