use std::{net::IpAddr, sync::Arc, time::Duration};

use tower_sessions::session::Id;

use crate::{
    secret::Secret,
    session::{Tokens, User},
    store::StoreError,
};

/// A request to refresh the tokens of a session.
#[derive(Clone, Debug)]
pub(crate) struct RefreshRequest {
    pub(in crate::session) session: Id,
    pub(in crate::session) tokens: Secret,
    pub(in crate::session) user: User,
    /// The correlation ID of the HTTP request that needs the tokens.
    pub(crate) correlation_id: String,
    /// The client address of the same request.
    pub(crate) client_address: Option<IpAddr>,
}

/// The outcome of a [`RefreshRequest`].
#[derive(Clone, Debug)]
pub(crate) enum RefreshOutcome {
    /// The tokens need no refresh for a while, because they were refreshed by this or another call.
    Fresh(Arc<Tokens>),
    /// The tokens are usable until they expire, because there is no refresh token.
    NotRefreshable(Arc<Tokens>),
    /// The provider ended the sign-in, or the user signed out meanwhile.
    Ended,
    /// The refresh failed for a reason that does not concern the user and may pass.
    Failed {
        /// The tokens that were not refreshed.
        tokens: Arc<Tokens>,
        retry_after: Option<Duration>,
    },
    /// The store failed.
    StoreDown(Arc<StoreError>),
    /// The refresh did not complete within the lifetime of a lease, or its task panicked.
    TimedOut,
}
