//! The messages between a client and Oten, one file each, without a web framework: PKCE,
//! authorization requests and responses, token requests, ID tokens, error codes.
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
mod error_code;
mod id_token;
mod id_token_check;
mod pkce;
mod request_object;
mod token;

pub use self::error_code::ErrorCode;

pub(crate) use self::{
    authorize::{AuthorizationRequest, authorization_url},
    callback::{CallbackError, CallbackParameters},
    id_token::{ALLOWED as ALLOWED_ID_TOKEN_ALGORITHMS, Expected, IdTokenError},
    id_token_check::{IdTokenCheckError, check_id_token},
    pkce::CodeVerifier,
    token::{TokenError, TokenResponse, exchange_code, refresh_tokens},
};
