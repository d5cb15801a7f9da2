use std::time::Duration;

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use http::request::Parts;
use time::OffsetDateTime;

use super::{UserRejection, error::Error, rejection::Refusal, request_context::RequestContext};
use crate::{
    config::RefreshPolicy,
    session::{RefreshOutcome, SignedIn, User},
};

impl<S: Sync> FromRequestParts<S> for RequestContext {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        Self::of(&parts.extensions).ok_or_else(Refusal::missing_layer)
    }
}

impl RequestContext {
    /// Who is signed in, at the provider too, or the refusal.
    pub(super) async fn require_user(&self) -> Result<SignedIn, Refusal> {
        let signed_in = self.require_signed_in().await?;
        let inner = self.inner();
        let due = inner.config.refresh() == RefreshPolicy::Always
            && signed_in.is_refresh_due(inner.clock.now());
        if due {
            let refreshed = self.refresh_or_grace(&signed_in).await;
            refreshed.map_err(|error| Refusal::new(self, error))?;
        }
        Ok(signed_in)
    }

    /// Who is signed in here, or the refusal of a guest.
    pub(super) async fn require_signed_in(&self) -> Result<SignedIn, Refusal> {
        match self.signed_in().await {
            Ok(Some(signed_in)) => Ok(signed_in),
            Ok(None) => Err(Refusal::new(self, Error::NotSignedIn)),
            Err(error) => Err(Refusal::new(self, error)),
        }
    }

    /// Refreshes the tokens. If that fails for now, the request continues during the grace period
    /// that follows the access token's expiry.
    async fn refresh_or_grace(&self, signed_in: &SignedIn) -> Result<(), Error> {
        match self.refresh(signed_in).await {
            None | Some(RefreshOutcome::Fresh(_) | RefreshOutcome::NotRefreshable(_)) => Ok(()),
            Some(RefreshOutcome::Ended) => Err(Error::NotSignedIn),
            Some(RefreshOutcome::StoreDown(error)) => Err(Error::StoreShared(error)),
            // What the session notes is never later than the token's end.
            Some(RefreshOutcome::TimedOut) => self.within_grace(signed_in.refresh_due_at(), None),
            Some(RefreshOutcome::Failed {
                tokens,
                retry_after,
            }) => self.within_grace(Some(tokens.access_token_expires_at), retry_after),
        }
    }

    fn within_grace(
        &self,
        ended_at: Option<OffsetDateTime>,
        retry_after: Option<Duration>,
    ) -> Result<(), Error> {
        let inner = self.inner();
        let grace = inner.config.refresh_grace();
        if ended_at.is_some_and(|ended_at| inner.clock.now() < ended_at + grace) {
            self.use_grace();
            Ok(())
        } else {
            Err(Error::NotRefreshed { retry_after })
        }
    }

    /// Requests a token refresh; `None` if the session has no tokens.
    pub(super) async fn refresh(&self, signed_in: &SignedIn) -> Option<RefreshOutcome> {
        let (id, client) = (self.correlation_id(), self.client_address());
        let request = self.session().refresh_request(signed_in, id, client)?;
        let outcome = self.inner().refresher.refresh(request).await;
        if let RefreshOutcome::Fresh(tokens) | RefreshOutcome::NotRefreshable(tokens) = &outcome {
            self.session().note_refresh(tokens);
        }
        Some(outcome)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for User {
    type Rejection = UserRejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let context = RequestContext::from_request_parts(parts, state).await?;
        Ok(context.require_user().await?.user().clone())
    }
}

/// A guest is `None`. A store that does not answer is still a refusal: nobody is taken for a guest
/// because something is down.
impl<S: Send + Sync> OptionalFromRequestParts<S> for User {
    type Rejection = UserRejection;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &S,
    ) -> Result<Option<Self>, Self::Rejection> {
        let context = RequestContext::from_request_parts(parts, state).await?;
        match context.signed_in().await {
            Ok(signed_in) => Ok(signed_in.map(|signed_in| signed_in.user().clone())),
            Err(error) => Err(Refusal::new(&context, error).into()),
        }
    }
}
