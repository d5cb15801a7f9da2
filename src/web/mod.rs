//! What axum sees of this crate: a layer, routes, extractors, pages.
//!
//! ```
//! use axum::{Router, body::Body, http::{Request, StatusCode, header}, routing::get};
//! use axum_oten::{Config, MemoryStore, Oten, User, config::Environment};
//! use tower::ServiceExt;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let config = Config::builder()
//!     .environment(Environment::Sandbox)
//!     .client_id("my-site")
//!     .client_secret("a-secret-of-at-least-32-bytes-as-Oten-makes-them")
//!     .redirect_uri("http://localhost:3000/callback")
//!     .build()?;
//! let oten = Oten::new(config, MemoryStore::default())?;
//! let admin = Router::new()
//!     .route("/admin", get(async |user: User| user.subject().to_owned()))
//!     .route_layer(oten.require_login());
//! let app = Router::new()
//!     .route("/", get(async |user: Option<User>| format!("{}", user.is_some())))
//!     .merge(admin)
//!     .merge(oten.routes())
//!     .layer(oten.layer());
//!
//! // Open to all:
//! let open = app.clone().oneshot(Request::get("/").body(Body::empty())?).await?;
//! assert_eq!(open.status(), StatusCode::OK);
//!
//! // A guest's browser is sent to sign in, a guest's program is told so:
//! let page = Request::get("/admin").header(header::ACCEPT, "text/html").body(Body::empty())?;
//! let refused = app.clone().oneshot(page).await?;
//! assert_eq!(refused.status(), StatusCode::SEE_OTHER);
//! assert_eq!(refused.headers()[header::LOCATION], "/login?return_to=%2Fadmin");
//! let call = Request::get("/admin").body(Body::empty())?;
//! assert_eq!(app.oneshot(call).await?.status(), StatusCode::UNAUTHORIZED);
//! # Ok(()) }
//! ```
//!
//! # Signing out
//!
//! `POST /logout` destroys the session and its tokens on the server. Then, where the provider has the
//! endpoints, the refresh token is revoked (RFC 7009) and the browser goes on to the provider to be
//! signed out there, too (OpenID Connect RP-Initiated Logout 1.0). It comes back to the
//! `post_logout_redirect_uri`; the best one is the logout route itself, which then knows what the
//! browser comes from. Whatever is wrong with the provider, the user is signed out here.
//!
//! The provider ends sessions with `POST /backchannel-logout`, from server to server (OpenID Connect
//! Back-Channel Logout 1.0). Front-channel logout is not there: the provider would load a page of
//! this site in a frame, and browsers send no `SameSite=Lax` cookie there, so that nobody would be
//! signed out by it.

mod access_token;
mod back_channel;
mod callback;
mod client_address;
mod cookies;
mod error;
mod event;
mod extract;
mod jwks;
mod layer;
mod login;
mod logout;
mod oten;
mod page;
mod readiness;
mod redacted_uri;
mod rejection;
mod request_context;
mod request_kind;
mod require_login;
mod routes;
mod same_origin;
mod security_headers;
mod service;

pub use self::{
    access_token::AccessToken,
    layer::OtenLayer,
    oten::{Oten, OtenBuilder, SetupError},
    readiness::{Health, Readiness},
    redacted_uri::RedactedUri,
    rejection::{AccessTokenRejection, Refusal, UserRejection},
    require_login::{RequireLogin, RequireLoginService},
    service::OtenService,
};
