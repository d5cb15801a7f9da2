//! Calls to APIs, with the token of the signed-in user or of the client itself.

mod api_client;
mod client_credentials;
mod setup;

pub use self::{
    api_client::{ApiCallError, ApiClient, Credentials},
    client_credentials::{ClientCredentials, ClientCredentialsError},
};

pub(super) use self::setup::Outgoing;
