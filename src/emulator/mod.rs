//! A strict local Oten, in this process, for development and tests (feature `emulator`).
//!
//! What Oten would refuse, it refuses: unsigned requests of confidential clients, replayed request
//! objects, used codes, wrong verifiers. A test tells it what to do next: to lie ([`Deviation`]), to
//! fail ([`Fault`]), to keep requests waiting ([`HoldGuard`]), to rotate its keys, to be down. It shares
//! only the signature code ([`jose`](crate::jose)) with the rest of the crate, so that a mistake in
//! the protocol code cannot hide on both sides.
//!
//! ```
//! use axum_oten::{
//!     Secret,
//!     emulator::{EmulatedClient, Emulator},
//!     jose::{Header, SigningKey},
//! };
//! use serde_json::json;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let secret = "a client secret of 32 bytes or more";
//! let emulator = Emulator::builder()
//!     .client(
//!         EmulatedClient::confidential("shop", secret)
//!             .redirect_uri("http://127.0.0.1:3000/callback"),
//!     )
//!     .start()
//!     .await?;
//! let authorize = format!("{}/v1/oauth/authorize?client_id=shop", emulator.issuer());
//!
//! // A signed authorization request: Alice signs in, and a code goes to the callback.
//! let now = time::OffsetDateTime::now_utc().unix_timestamp();
//! let request = SigningKey::hs256(&Secret::from(secret)).sign(
//!     &Header::new("JWT"),
//!     &json!({
//!         "iss": "shop", "aud": emulator.issuer(), "iat": now, "exp": now + 120, "jti": "1",
//!         "client_id": "shop", "redirect_uri": "http://127.0.0.1:3000/callback",
//!         "response_type": "code", "scope": "openid profile", "state": "af0ifjsldkj",
//!         "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
//!         "code_challenge_method": "S256",
//!     }),
//! )?;
//! let callback = emulator.approve(format!("{authorize}&request={request}"), "alice")?;
//! assert!(callback.as_str().starts_with("http://127.0.0.1:3000/callback?code="));
//!
//! // The same request again, or one without a signature: refused.
//! assert!(emulator.approve(format!("{authorize}&request={request}"), "alice").is_err());
//! assert!(emulator.approve(format!("{authorize}&scope=openid"), "alice").is_err());
//! # Ok(())
//! # }
//! ```
//!
//! An app can also carry the emulator under a path of its own, see [`EmulatorBuilder::mount`].

mod authorize;
mod builder;
mod callback;
mod client;
mod core;
mod deviation;
mod discovery;
mod end_session;
mod error;
mod expiring;
mod fault;
mod fault_layer;
mod form;
mod gate;
mod grant;
mod gzip_bomb;
mod handle;
mod id_token;
mod id_token_hint;
mod interaction;
mod keys;
mod logout;
mod logout_request;
mod logout_token;
mod page;
mod parameters;
mod pkce;
mod rejection;
mod request;
mod request_object;
mod revocation;
mod router;
mod server;
mod session;
mod signature;
mod token;
mod token_answer;
mod user;
mod userinfo;
mod validate;

#[cfg(test)]
mod tests;

pub use self::{
    builder::EmulatorBuilder,
    client::EmulatedClient,
    deviation::Deviation,
    error::EmulatorError,
    fault::{Endpoint, Fault, PlannedFault},
    gate::HoldGuard,
    handle::Emulator,
    logout_token::LogoutTarget,
    rejection::Rejection,
};
