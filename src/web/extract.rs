use std::time::Duration;

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use http::request::Parts;
use time::OffsetDateTime;

use super::{UserRejection, error::Error, rejection::Refusal, visit::Visit};
use crate::{
    config::RefreshPolicy,
    session::{Renewal, SignedIn, User},
};

impl<S: Sync> FromRequestParts<S> for Visit {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        Self::of(&parts.extensions).ok_or_else(Refusal::missing_layer)
    }
}

impl Visit {
    /// Who is signed in, at the provider too, or the refusal.
    pub(super) async fn require_user(&self) -> Result<SignedIn, Refusal> {
        let signed_in = self.require_signed_in().await?;
        let inner = self.inner();
        let due = inner.config.refresh() == RefreshPolicy::Always
            && signed_in.is_renewal_due(inner.clock.now());
        if due {
            let renewed = self.renew(&signed_in).await;
            renewed.map_err(|error| Refusal::new(self, error))?;
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

    /// Renews the tokens. Where that fails for now, the request goes on for as long as the grace
    /// after the access token's end lasts.
    async fn renew(&self, signed_in: &SignedIn) -> Result<(), Error> {
        match self.renewal(signed_in).await {
            None | Some(Renewal::Fresh(_) | Renewal::Unrenewable(_)) => Ok(()),
            Some(Renewal::Ended) => Err(Error::NotSignedIn),
            Some(Renewal::StoreDown(error)) => Err(Error::StoreShared(error)),
            // What the session notes is never later than the token's end.
            Some(Renewal::TimedOut) => self.within_grace(signed_in.renewal_due_at(), None),
            Some(Renewal::Failed {
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
            Err(Error::NotRenewed { retry_after })
        }
    }

    /// Asks for a renewal; nothing where there are no tokens.
    pub(super) async fn renewal(&self, signed_in: &SignedIn) -> Option<Renewal> {
        let (id, client) = (self.correlation_id(), self.client_address());
        let wish = self.session().wish(signed_in, id, client)?;
        let renewal = self.inner().refresher.renew(wish).await;
        if let Renewal::Fresh(tokens) | Renewal::Unrenewable(tokens) = &renewal {
            self.session().note_renewal(tokens);
        }
        Some(renewal)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for User {
    type Rejection = UserRejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let visit = Visit::from_request_parts(parts, state).await?;
        Ok(visit.require_user().await?.user().clone())
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
        let visit = Visit::from_request_parts(parts, state).await?;
        match visit.signed_in().await {
            Ok(signed_in) => Ok(signed_in.map(|signed_in| signed_in.user().clone())),
            Err(error) => Err(Refusal::new(&visit, error).into()),
        }
    }
}
