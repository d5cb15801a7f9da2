use axum::extract::FromRequestParts;
use http::request::Parts;

use super::{
    AccessTokenRejection, error::Error, rejection::Refusal, request_context::RequestContext,
};
use crate::{
    secret::Secret,
    session::{RefreshOutcome, SignedIn, Tokens},
};

/// A live access token of the signed-in user, to call an API on their behalf.
///
/// A token with 10 seconds or less to live counts as ended: it would not survive the call. Then a
/// page navigation is sent to sign in, anything else gets 401; see
/// [`AccessTokenRejection`](crate::web::AccessTokenRejection).
///
/// ```
/// use axum_oten::AccessToken;
///
/// async fn orders(token: AccessToken) -> String {
///     let authorization = format!("Bearer {}", token.expose());
///     // … send it to the API, and to nobody else
/// #   authorization
/// }
/// ```
#[derive(Clone, Debug)]
pub struct AccessToken(Secret);

impl AccessToken {
    /// The token itself, for an `Authorization: Bearer` header.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

/// What is left of a token's life must be more than this for a call to make sense.
const MARGIN: time::Duration = time::Duration::seconds(10);

/// A sign-in as young as this should have a live token.
const FRESH: time::Duration = time::Duration::minutes(1);

impl<S: Send + Sync> FromRequestParts<S> for AccessToken {
    type Rejection = AccessTokenRejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let context = RequestContext::from_request_parts(parts, state).await?;
        let signed_in = context.require_signed_in().await?;
        live_token(&context, &signed_in)
            .await
            .map_err(|error| Refusal::new(&context, error).into())
    }
}

async fn live_token(context: &RequestContext, signed_in: &SignedIn) -> Result<AccessToken, Error> {
    let now = context.inner().clock.now();
    let live_until = now + MARGIN;
    let is_live = |tokens: &Tokens| tokens.access_token_expires_at > live_until;
    // Signing in again soon after a sign-in would lead in circles.
    let ended = || {
        if signed_in.user().signed_in_at() + FRESH > now {
            Error::AccessTokenUseless
        } else {
            Error::AccessTokenEnded
        }
    };
    let token = |tokens: &Tokens| AccessToken(tokens.access_token.clone());
    let tokens = context.session().tokens(signed_in).await;
    match tokens.map_err(Error::Store)? {
        None => return Err(ended()),
        Some(tokens) if tokens.are_fresh(now) && is_live(&tokens) => return Ok(token(&tokens)),
        Some(_) => {}
    }
    match context.refresh(signed_in).await {
        Some(RefreshOutcome::Fresh(tokens)) if is_live(&tokens) => Ok(token(&tokens)),
        Some(RefreshOutcome::NotRefreshable(tokens) | RefreshOutcome::Failed { tokens, .. })
            if is_live(&tokens) =>
        {
            Ok(token(&tokens))
        }
        None | Some(RefreshOutcome::Fresh(_) | RefreshOutcome::NotRefreshable(_)) => Err(ended()),
        Some(RefreshOutcome::Ended) => Err(Error::NotSignedIn),
        Some(RefreshOutcome::Failed { retry_after, .. }) => {
            Err(Error::NotRefreshed { retry_after })
        }
        Some(RefreshOutcome::TimedOut) => Err(Error::NotRefreshed { retry_after: None }),
        Some(RefreshOutcome::StoreDown(error)) => Err(Error::StoreShared(error)),
    }
}
