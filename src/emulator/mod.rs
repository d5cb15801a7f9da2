//! A local Oten for development and tests (feature `emulator`).
//!
//! An [`Emulator`] is an OpenID Connect provider that runs inside the test process. It is as strict
//! as Oten: it rejects unsigned requests of confidential clients, replayed request objects, used
//! codes and wrong PKCE verifiers.
//!
//! A test acts as the user with [`approve`](Emulator::approve), [`deny`](Emulator::deny) and
//! [`end_session`](Emulator::end_session). It can also make the provider misbehave:
//!
//! - [`Deviation`]: responses have wrong content, such as an ID token with a bad signature.
//! - [`Fault`]: an endpoint fails, responds late, or closes the connection.
//! - [`HoldGuard`]: an endpoint holds its requests until the test releases them.
//! - [`stop`](Emulator::stop) and [`resume`](Emulator::resume): the provider is down.
//! - [`rotate_keys`](Emulator::rotate_keys) and [`disable_user`](Emulator::disable_user).
//!
//! With a [`Preset`], the emulator has the form of another provider: Keycloak, Entra, Google or Zitadel.
//!
//! [`exchanges`](Emulator::exchanges) shows the messages of clients, decoded and without secrets.
//!
//! The emulator shares only [`jose`](crate::jose) and the crate's foundations with the client code,
//! so that a mistake in the protocol code cannot go unnoticed on both sides.
//!
//! # Example
//!
//! Alice approves one authorization request and denies another. The app under test usually creates
//! the URLs; here the example signs the request objects itself.
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
//! let callback = "http://127.0.0.1:3000/callback";
//! let emulator = Emulator::builder()
//!     .client(EmulatedClient::confidential("shop", secret).redirect_uri(callback))
//!     .start()
//!     .await?;
//! let authorize = format!("{}/v1/oauth/authorize?client_id=shop", emulator.issuer());
//!
//! let key = SigningKey::hs256(&Secret::from(secret));
//! let now = time::OffsetDateTime::now_utc().unix_timestamp();
//! let signed = |jti: &str| {
//!     let claims = json!({
//!         "iss": "shop", "aud": emulator.issuer(), "iat": now, "exp": now + 120, "jti": jti,
//!         "client_id": "shop", "redirect_uri": callback,
//!         "response_type": "code", "scope": "openid profile", "state": "af0ifjsldkj",
//!         "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
//!         "code_challenge_method": "S256",
//!     });
//!     let request = key.sign(&Header::new("JWT"), &claims);
//!     request.map(|request| format!("{authorize}&request={request}"))
//! };
//!
//! // Alice allows access: the callback URL contains a code.
//! let allowed = emulator.approve(signed("1")?, "alice")?;
//! assert!(allowed.as_str().starts_with("http://127.0.0.1:3000/callback?code="));
//!
//! // Alice denies access: the callback URL contains an error.
//! let denied = emulator.deny(signed("2")?)?;
//! assert!(denied.query().unwrap_or_default().contains("error=access_denied"));
//!
//! // The emulator rejects a replayed request object, and a request without one.
//! assert!(emulator.approve(signed("1")?, "alice").is_err());
//! assert!(emulator.approve(format!("{authorize}&scope=openid"), "alice").is_err());
//! # Ok(())
//! # }
//! ```
//!
//! To nest the emulator in an app instead of giving it a port, see [`EmulatorBuilder::mount`].

mod builder;
mod client;
mod endpoints;
mod error;
mod exchanges;
mod expiring;
mod faults;
mod handle;
mod keys;
mod messages;
mod preset;
mod rate_limits;
mod server;
mod state;
mod tokens;

#[cfg(test)]
mod tests;

pub use self::{
    builder::EmulatorBuilder,
    client::EmulatedClient,
    error::{EmulatorError, Rejection},
    exchanges::{Exchange, ExchangedValue},
    faults::{Deviation, Endpoint, Fault, PlannedFault, hold::HoldGuard},
    handle::{EmulatedUser, Emulator},
    preset::Preset,
    rate_limits::RateLimits,
    tokens::LogoutTarget,
};
