use std::{sync::Arc, time::Duration};

use crate::{
    audit::EventOrigin,
    secret::Secret,
    session::{Tokens, User, record::Family},
    store::{RecordId, StoreError},
};

/// A request to refresh the tokens of a session.
#[derive(Clone, Debug)]
pub(crate) struct RefreshRequest {
    pub(in crate::session) session: RecordId,
    pub(in crate::session) family: Family,
    pub(in crate::session) user: User,
    /// The access token that an API has rejected, which is refreshed before it is due.
    pub(in crate::session) rejected: Option<Secret>,
    /// The HTTP request that needs the tokens.
    pub(in crate::session) origin: EventOrigin,
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
    /// The refresh failed for a reason that does not concern the user.
    Failed {
        /// The tokens that were not refreshed. They say whether the failure may pass.
        tokens: Arc<Tokens>,
        retry_after: Option<Duration>,
    },
    /// The store failed.
    StoreDown(Arc<StoreError>),
    /// The refresh did not complete in time, or its task panicked.
    TimedOut,
}
