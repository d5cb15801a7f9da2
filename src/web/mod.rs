//! The axum integration: layers, routes, extractors and error responses.
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
//! // A public page:
//! let response = app.clone().oneshot(Request::get("/").body(Body::empty())?).await?;
//! assert_eq!(response.status(), StatusCode::OK);
//!
//! // A browser that is not signed in is redirected to the login route:
//! let request = Request::get("/admin").header(header::ACCEPT, "text/html").body(Body::empty())?;
//! let response = app.clone().oneshot(request).await?;
//! assert_eq!(response.status(), StatusCode::SEE_OTHER);
//! assert_eq!(response.headers()[header::LOCATION], "/login?return_to=%2Fadmin");
//!
//! // An API client that is not signed in gets 401:
//! let request = Request::get("/admin").body(Body::empty())?;
//! assert_eq!(app.oneshot(request).await?.status(), StatusCode::UNAUTHORIZED);
//! # Ok(()) }
//! ```
//!
//! # Request kinds
//!
//! Error responses depend on the request:
//!
//! - **Page**: a browser navigates with `GET` or `HEAD`. If the user is not signed in, the browser is
//!   redirected to the login route; other errors are shown as a page.
//! - **Form**: a browser submits a form. It gets a page and is never redirected, because the redirect
//!   would lose the form's data, and a policy with `form-action` would block it at the provider.
//! - **API**: any other request. It gets problem details (RFC 9457).
//!
//! Fetch Metadata request headers decide; without them, a request that accepts HTML comes from a
//! browser.
//!
//! # Replacing pages and error responses
//!
//! [`OtenBuilder::pages`] shows the pages in the layout of the app; see [`Pages`] for an example. Every error
//! response of this crate, also problem details, carries [`ErrorDetails`] in its extensions. An outer layer
//! can replace the response; see [`ErrorDetails`] for an example. A handler that wants to decide itself
//! extracts a `Result`: `Result<User, UserRejection>`.
//!
//! # Signing out
//!
//! `POST /logout` removes the session and its tokens from the store. If the provider has the
//! endpoints, the refresh token is revoked (RFC 7009) and the browser is redirected to the provider,
//! which signs the user out there as well (OpenID Connect RP-Initiated Logout 1.0). The provider
//! redirects back to the `post_logout_redirect_uri`; the logout route itself is a good choice for it.
//! A failure of the provider does not prevent signing out of this site.
//!
//! A handler signs the user out with [`UserSession::sign_out`].
//!
//! The provider ends sessions with `POST /backchannel-logout` (OpenID Connect Back-Channel Logout
//! 1.0). Front-channel logout is not supported: it loads a page of this site in a frame of the
//! provider's page, and browsers do not send `SameSite=Lax` cookies there.

mod access;
mod api_proxy;
mod back_channel;
mod bearer;
mod client_address;
mod context;
mod cookies;
mod error;
mod form;
#[cfg(fuzzing)]
pub(crate) mod fuzz;
mod kept_form;
mod layer;
mod login;
mod logout;
mod native;
mod oten;
mod outgoing;
mod page;
mod readiness;
mod redacted_uri;
mod rejection;
mod require_login;
mod response;
mod session_end;
mod session_routes;
mod session_state;
mod shared;

pub use self::{
    access::{AccessToken, UserInfo},
    bearer::{
        BearerClaims, BearerRejection, BearerToken, RequireBearer, ResourceServer,
        ResourceServerBuilder,
    },
    layer::{OtenLayer, OtenService},
    login::Login,
    logout::UserSession,
    oten::{Oten, OtenBuilder},
    outgoing::{ApiCallError, ApiClient, ClientCredentials, ClientCredentialsError, Credentials},
    page::{Action, Page, Pages},
    readiness::{DependencyStatus, Readiness},
    redacted_uri::RedactedUri,
    rejection::{AccessTokenRejection, ErrorDetails, ErrorResponse, UserRejection},
    require_login::{Access, RequireLogin},
    session_end::SessionEnd,
    shared::SetupError,
};

#[doc(inline)]
pub use crate::{
    config::{Claim, ClaimPath, Denied, InvalidLoginOption, LoginOptions, Rule},
    protocol::UserInfoError,
    text::Language,
};
