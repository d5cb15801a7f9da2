use std::{net::IpAddr, sync::Arc, time::Duration};

use tower_sessions::session::Id;

use super::{Tokens, User};
use crate::{secret::Secret, store::StoreError};

/// Whose tokens are to be renewed.
#[derive(Clone, Debug)]
pub(crate) struct RefreshRequest {
    pub(super) session: Id,
    pub(super) tokens: Secret,
    pub(super) user: User,
    /// Of the request that is the first to request it.
    pub(crate) correlation_id: String,
    /// Of the same request.
    pub(crate) client_address: Option<IpAddr>,
}

/// What became of it.
#[derive(Clone, Debug)]
pub(crate) enum RefreshOutcome {
    /// The tokens are good for a while, whoever renewed them.
    Fresh(Arc<Tokens>),
    /// There is no refresh token: these go on until they end.
    NotRefreshable(Arc<Tokens>),
    /// The sign-in has ended: the provider says so, or the user signed out meanwhile.
    Ended,
    /// It did not work this time, which says nothing about the user.
    Failed {
        /// What is there still.
        tokens: Arc<Tokens>,
        retry_after: Option<Duration>,
    },
    /// The store does not answer.
    StoreDown(Arc<StoreError>),
    /// Nobody answered within the life of a lease.
    TimedOut,
}
