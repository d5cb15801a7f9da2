use std::sync::Arc;

use crate::{
    protocol::{AccessTokenError, ValidationError},
    provider::BudgetExhausted,
};

/// Why a request has no usable access token.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum BearerError {
    #[error("no layer of `bearer()` was applied: add `.route_layer(….bearer())` to the route")]
    MissingLayer,
    #[error("the request has no access token")]
    Missing,
    /// RFC 6750 section 3.1.
    #[error("the `Authorization` header is rejected: {0}")]
    Request(&'static str),
    #[error(transparent)]
    Token(#[from] AccessTokenError),
    /// RFC 6750 section 3.1.
    #[error("the access token lacks the scope `{0}`")]
    Scope(Arc<str>),
    #[error("the access token's claims do not fit the handler's type: {0}")]
    Claims(Arc<str>),
    #[error("the provider gave no verdict on the access token")]
    Validation(#[source] Arc<ValidationError>),
    #[error("this process, or this client's address, has used up its token validations for now")]
    Busy(BudgetExhausted),
}

impl From<BudgetExhausted> for BearerError {
    fn from(exhausted: BudgetExhausted) -> Self {
        Self::Busy(exhausted)
    }
}

impl From<ValidationError> for BearerError {
    fn from(error: ValidationError) -> Self {
        Self::Validation(Arc::new(error))
    }
}
