use std::sync::Arc;

use crate::{
    clock::Clock,
    config::Client,
    http::HttpOptions,
    provider::{Budget, Provider},
};

/// What calls to APIs need.
#[derive(Clone, Debug)]
pub(in crate::web) struct Outgoing {
    pub(in crate::web) provider: Arc<Provider>,
    pub(in crate::web) client: Option<Client>,
    pub(in crate::web) budget: Option<Arc<Budget>>,
    pub(in crate::web) clock: Clock,
    pub(in crate::web) http: HttpOptions,
}
