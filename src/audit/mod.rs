//! What happens to people's sign-ins, as events: in the log, and for an app's own audit log.
//!
//! Each event is one structured [`tracing`] event under the target [`TARGET`], with its name in the
//! field `event`, and is handed to the app's [`AuditLog`], if there is one. The correlation id in it
//! is the one on the error page, so that a person who reads it out can be helped.
//!
//! ```
//! use axum_oten::{Config, MemoryStore, Oten, config::Environment};
//! use axum_oten::audit::{Event, EventKind, Level};
//! use std::sync::mpsc::sync_channel;
//!
//! # let config = Config::builder()
//! #     .environment(Environment::Sandbox)
//! #     .client_id("my-site")
//! #     .client_secret("a-secret-of-at-least-32-bytes-as-Oten-makes-them")
//! #     .redirect_uri("http://localhost:3000/callback")
//! #     .build()?;
//! // Whoever writes to a disk or a database does so at the other end of a channel. It is bounded:
//! // where nobody keeps up, events are lost and no request waits.
//! let (to_writer, events) = sync_channel(1024);
//! let oten = Oten::builder(config, MemoryStore::default())
//!     .audit(move |event: &Event| {
//!         let is_kept = event.kind() != EventKind::Refused || event.level() > Level::Debug;
//!         if is_kept {
//!             let _ = to_writer.try_send(event.clone());
//!         }
//!     })
//!     .build()?;
//! # drop(oten);
//!
//! std::thread::spawn(move || {
//!     for event in events {
//!         let line = serde_json::to_string(&event); // {"event":"signed_in","time":"2026-…
//! #       let _ = line;
//!     }
//! });
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! A request that only reads its session makes no event and costs nothing here. Nor does a guest's
//! page navigation that is sent to sign in: a crawler fills no log.
//!
//! # Events
//!
//! Not all fields are in all events of a kind; those that are absent are not known. In what an
//! [`AuditLog`] gets there is also `time`, and in both `client_address` where it is known.
//!
//! | event | level | fields | description |
//! |---|---|---|---|
//! | `signed_in` | info | `correlation_id`, `subject` | A user signed in. `subject` is a hash of who it is, the same until the process ends, or the subject itself with `log_subjects`. |
//! | `signed_out` | info | `correlation_id`, `subject` | A user signed out, or the app ended the session. |
//! | `back_channel_logout` | info | `correlation_id`, `subject`, `sessions` | The provider ended `sessions` sessions, which may be none. `subject` is absent where it named a session that is not there. |
//! | `refused` | debug, warn, error | `correlation_id`, `reason`, `status`, `cause` | A request did not get what it wanted, for the `reason` in the table below; `cause` tells the whole story. A request of a program that is not signed in is `debug`; what the site or the provider is at fault for is `error`. A request that did not come through the layer has no `correlation_id`, and is in the log only. |
//! | `fresh_start` | warn | `correlation_id` | A callback belonged to no sign-in of its browser, which was sent to sign in once more: too late, gone back to, or forged. |
//! | `refreshed` | info | `correlation_id`, `subject` | A user's tokens were renewed. |
//! | `refresh_failed` | warn | `correlation_id`, `subject`, `cause` | A user's tokens were not renewed this time, and will be tried again. Nobody was signed out. |
//! | `refresh_lost` | error | `correlation_id`, `subject`, `cause` | The provider renewed a user's tokens and the store did not take them. The user may have to sign in again. |
//! | `sign_in_ended` | warn | `correlation_id`, `subject`, `cause` | The provider knows a sign-in no more, or vouched for somebody else: the session ended. |
//! | `revocation_failed` | warn | `correlation_id`, `cause` | After a sign-out the provider did not take a refresh token back; it ends by itself. |
//! | `unsealed_record` | warn | `kind`, `cause` | A record of this `kind` in the store was sealed with a key that is not there any more, or somebody changed it. It counts as absent. |
//!
//! # Reasons
//!
//! A `refused` event, and the answer to the request, carry one of these. They never change once
//! published.
//!
//! | reason | description | what to do |
//! |---|---|---|
//! | `setup` | The app or the client's key is not set up correctly. | The `cause` says what is missing; correct the app. |
//! | `not_signed_in` | A guest's program asked for what only users may have. | Nothing: it has to sign in. |
//! | `access_token_ended` | The access token has ended and there is none to renew it with. | Nothing; if it happens often, let the client have refresh tokens. |
//! | `access_token_useless` | An access token ended within a minute of signing in. | Ask Oten for a longer lifetime of the client's access tokens. |
//! | `not_renewed` | The tokens cannot be renewed and the grace is over. | Look for `refresh_failed` before it; `refresh_grace` sets the grace. |
//! | `forbidden` | A user is not allowed to do this. | Nothing, unless the app's rule is wrong. |
//! | `cross_site` | A page of another site wanted to sign a user out. | Nothing; if it comes from this site's own page, correct `redirect_uri`, whose origin counts. |
//! | `method_not_allowed` | One of the sign-in routes was asked with a method it does not have. | Nothing; correct the link or form if it is this site's own. |
//! | `store_down` | The session store does not answer. | Look after the store that `session_store` names. |
//! | `provider_down` | The provider's discovery document or keys cannot be had. | Look whether Oten is up and this machine reaches it. |
//! | `provider_slow` | The provider took too long to complete a sign-in. | Look at the provider's answer times and the way to it. |
//! | `provider_document` | The provider's discovery document or key set is not what it must be. | Look what answers at the issuer's address: often a proxy or a captive portal. |
//! | `issuer_mismatch` | The discovery document speaks for another issuer. | Correct `environment` or `issuer`; else somebody stands between. |
//! | `insecure_endpoint` | The discovery document names an endpoint without https. | Report it to the provider. |
//! | `unknown_key` | An ID token is signed with a key that the provider does not publish. | If it stays for more than a minute, report it to the provider. |
//! | `unknown_sign_in` | A callback belongs to no sign-in of its browser, even after a fresh start. | The `cause` says whether cookies came; look for a second host name or a layer that rewrites cookies. |
//! | `several_session_cookies` | Two session cookies came with a callback. | Serve the site at the root of a host of its own, or give it another `cookie_name`. |
//! | `callback_too_long` | A callback is longer than any the provider makes. | Nothing: somebody tries something. |
//! | `callback_not_utf8` | A callback is not UTF-8. | Nothing: somebody tries something. |
//! | `callback_repeated_parameter` | A callback has a parameter twice. | Nothing, unless a proxy rewrites queries. |
//! | `callback_without_state` | A callback has no `state`. | Nothing: mostly somebody opened the address by hand. |
//! | `callback_without_code` | A callback has neither `code` nor `error`. | Nothing, unless a proxy rewrites queries. |
//! | `callback_without_iss` | A callback lacks the `iss` that the provider announces (RFC 9207). | Nothing, unless a proxy rewrites queries. |
//! | `callback_foreign_iss` | A callback comes from another provider (RFC 9207). | Somebody tries to mix up providers, or `issuer` is wrong. |
//! | `cancelled` | The user changed their mind at the provider. | Nothing. |
//! | `interaction_required` | The provider would have had to ask the user and was told not to. | Leave `prompt = "none"` out, or let people sign in first. |
//! | `invalid_grant` | The provider does not take the code: too late, or used twice. | Nothing; if it is always so, correct `redirect_uri` or this machine's clock. |
//! | `provider_error` | The provider says that something went wrong there. | Wait; if it stays, report it to the provider. |
//! | `provider_refused` | The provider refused with a code that nobody knows. | The `cause` has the code; ask the provider. |
//! | `client_setup` | The provider does not accept the client or its request. | The `cause` says which setting to compare with Oten's developer portal. |
//! | `token_endpoint_down` | The token endpoint cannot be reached. | Look whether Oten is up and this machine reaches it. |
//! | `token_endpoint_busy` | The client's token requests are used up for now. | Ask for a higher limit, or correct `token_requests_per_minute` and `instances`. |
//! | `token_response` | The token endpoint's answer is no token response. | Look what answers there: often a proxy. |
//! | `id_token_missing` | There is no ID token in the answer. | Report it to the provider. |
//! | `id_token_signature` | An ID token's signature is not good. | Somebody may stand between; report it to the provider. |
//! | `id_token_misshapen` | An ID token lacks what it must have. | Report it to the provider. |
//! | `id_token_typ` | Another kind of token came in an ID token's place. | Report it to the provider. |
//! | `id_token_iss` | An ID token is from another issuer. | Correct `environment` or `issuer`; else somebody stands between. |
//! | `id_token_aud` | An ID token is for another client. | Correct `client_id`; else somebody tries something. |
//! | `id_token_azp` | An ID token was made for another client. | Correct `client_id`; else somebody tries something. |
//! | `id_token_exp` | An ID token has ended. | Set this machine's clock. |
//! | `id_token_iat` | An ID token is from the future. | Set this machine's clock. |
//! | `id_token_nbf` | An ID token is not valid yet. | Set this machine's clock. |
//! | `id_token_nonce` | An ID token belongs to another sign-in. | Nothing: somebody tries something. |
//! | `id_token_sub` | An ID token is about nobody, or about somebody else than before. | Report it to the provider. |
//! | `id_token_at_hash` | An ID token came with another access token. | Somebody may stand between; report it to the provider. |
//! | `id_token_auth_time` | The user signed in at the provider too long ago for `max_age`, or it does not say when. | Nothing; report it to the provider if it is always so. |
//! | `logout_request` | A back-channel logout is no form with one logout token. | Nothing, unless it is the provider's: then report it. |
//! | `logout_slow` | A back-channel logout took too long; it may be sent again. | Look at the store and at the way to the provider. |
//! | `logout_token_signature` | A logout token's signature is not good. | Nothing: somebody tries something. |
//! | `logout_token_unknown_key` | A logout token is signed with a key that the provider does not publish. | If it stays for more than a minute, report it to the provider. |
//! | `logout_token_misshapen` | A logout token lacks what it must have. | Report it to the provider. |
//! | `logout_token_typ` | Another kind of token came in a logout token's place. | Nothing: somebody tries something. |
//! | `logout_token_nonce` | A logout token has a `nonce`, as ID tokens have. | Nothing: somebody tries something. |
//! | `logout_token_events` | A logout token does not say that it is one. | Nothing: somebody tries something. |
//! | `logout_token_iss` | A logout token is from another issuer. | Correct `environment` or `issuer`; else somebody tries something. |
//! | `logout_token_aud` | A logout token is for another client. | Correct the client's logout URI at the provider. |
//! | `logout_token_exp` | A logout token has ended. | Set this machine's clock. |
//! | `logout_token_iat` | A logout token is from the future. | Set this machine's clock. |
//! | `logout_token_too_old` | A logout token is too old. | Set this machine's clock; else the provider was late. |
//! | `logout_token_jti` | A logout token has no usable `jti`. | Report it to the provider. |
//! | `logout_token_names_nobody` | A logout token names neither a user nor a session. | Report it to the provider. |
//! | `logout_token_replayed` | A logout token came a second time. | Nothing, unless it is often so: then somebody has seen it. |
//!
//! # Other lines in the log
//!
//! Under the same target, without a field `event` and not for the [`AuditLog`], stand lines about
//! the program and not about a sign-in: "signing in with Oten is set up" when [`Oten`](crate::Oten)
//! is made, with `issuer`, `client_id`, `client_type` and `jar`; each warning of the configuration;
//! a provider whose documents cannot be had; an audit log that panicked.

mod event;
mod kind;
mod level;
mod reason;
mod subjects;
mod trail;

pub use self::{event::Event, kind::EventKind, level::Level, reason::Reason, trail::AuditLog};

pub(crate) use self::{subjects::Subjects, trail::AuditTrail};

/// The target of all events, for filters: `RUST_LOG=info,axum_oten=debug`.
pub const TARGET: &str = "axum_oten";
