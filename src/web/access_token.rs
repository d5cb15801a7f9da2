use axum::extract::FromRequestParts;
use http::request::Parts;

use super::{AccessTokenRejection, error::Error, rejection::Refusal, visit::Visit};
use crate::secret::Secret;

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
        let visit = Visit::from_request_parts(parts, state).await?;
        let signed_in = visit.require_user().await?;
        let tokens = visit
            .session()
            .tokens()
            .await
            .map_err(|error| Refusal::new(&visit, Error::Store(error)))?;
        let live_until = visit.inner().clock.now() + MARGIN;
        match tokens {
            Some(tokens) if tokens.access_token_expires_at > live_until => {
                Ok(Self(tokens.access_token))
            }
            // Signing in again so soon would lead in circles.
            _ if signed_in.user().signed_in_at() + FRESH > visit.inner().clock.now() => {
                Err(Refusal::new(&visit, Error::AccessTokenUseless).into())
            }
            _ => Err(Refusal::new(&visit, Error::AccessTokenEnded).into()),
        }
    }
}
