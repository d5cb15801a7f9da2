//! The messages between a client and Oten, one file each, without a web framework: PKCE,
//! authorization requests and responses, token requests, ID tokens, logout, revocation, error codes.
//!
//! ```
//! use axum_oten::protocol::ErrorCode;
//!
//! // A passing fault may be tried again, a refusal may not.
//! assert!(ErrorCode::from("temporarily_unavailable").is_retryable());
//! assert!(!ErrorCode::from("invalid_grant").is_retryable());
//! ```

mod authorize;
mod callback;
mod claims;
mod credentials;
mod end_session;
mod error_code;
mod id_token;
mod id_token_check;
mod logout_token;
mod pkce;
mod request_object;
mod revocation;
mod token;

pub use self::{authorize::throwaway_authorization_url, error_code::ErrorCode};

pub(crate) use self::{
    authorize::{AuthorizationRequest, authorization_url},
    callback::{CallbackError, CallbackParameters},
    end_session::{LogoutRequest, end_session_url},
    id_token::{Expected, IdTokenError},
    id_token_check::{IdTokenCheckError, check_id_token},
    logout_token::{ExpectedLogout, LogoutTokenCheckError, LogoutTokenError, check_logout_token},
    pkce::CodeVerifier,
    revocation::revoke_refresh_token,
    token::{TokenError, TokenResponse, exchange_code, refresh_tokens},
};
