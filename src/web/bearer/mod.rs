//! API requests with an access token in `Authorization: Bearer` (RFC 6750).

mod api;
mod authorization;
mod error;
mod extract;
mod layer;
mod resource_server;
mod response;
mod token;
mod verifier;

pub use self::{
    extract::BearerClaims,
    layer::RequireBearer,
    resource_server::{ResourceServer, ResourceServerBuilder},
    response::BearerRejection,
    token::BearerToken,
};

pub(super) use self::{api::Api, authorization::bearer_token, verifier::Verifier};
