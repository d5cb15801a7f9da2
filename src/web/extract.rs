use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use http::request::Parts;

use super::{UserRejection, error::Error, rejection::Refusal, visit::Visit};
use crate::session::{SignedIn, User};

impl<S: Sync> FromRequestParts<S> for Visit {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        Self::of(&parts.extensions).ok_or_else(Refusal::missing_layer)
    }
}

impl Visit {
    /// Who is signed in, or the refusal of a guest.
    pub(super) async fn require_user(&self) -> Result<SignedIn, Refusal> {
        match self.signed_in().await {
            Ok(Some(signed_in)) => Ok(signed_in),
            Ok(None) => Err(Refusal::new(self, Error::NotSignedIn)),
            Err(error) => Err(Refusal::new(self, error)),
        }
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
