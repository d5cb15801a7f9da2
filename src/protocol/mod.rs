//! OAuth 2.0 and OpenID Connect messages. The public part is [`ErrorCode`].
//!
//! ```
//! use axum_oten::protocol::ErrorCode;
//!
//! // A request that failed at the provider may be retried, a rejected one may not:
//! assert!(ErrorCode::from("temporarily_unavailable").is_retryable());
//! assert!(!ErrorCode::from("invalid_grant").is_retryable());
//! ```

mod access_token;
mod authorization_request;
mod callback;
mod claims;
mod end_session;
mod error_code;
#[cfg(fuzzing)]
pub(crate) mod fuzz;
mod id_token;
mod logout_token;
mod revocation;
mod token;
mod token_validation;
mod userinfo;

pub use self::{
    authorization_request::sample_authorization_url, error_code::ErrorCode, userinfo::UserInfoError,
};

pub(crate) use self::{
    access_token::{
        AccessTokenClaims, AccessTokenError, ExpectedAccessToken, reject_other_kinds,
        verify_access_token,
    },
    authorization_request::{AuthorizationRequest, AuthorizationRequests, CodeVerifier},
    callback::{CallbackError, CallbackParameters},
    end_session::LogoutRequest,
    id_token::{
        ExpectedIdToken, ExpectedNonce, IdTokenClaims, IdTokenError, user_claims, verify_id_token,
    },
    logout_token::{ExpectedLogoutToken, LogoutTokenError, verify_logout_token},
    revocation::revoke_refresh_token,
    token::{TokenEndpoint, TokenError, TokenResponse},
    token_validation::{ValidationError, validate_token},
    userinfo::fetch_userinfo,
};
