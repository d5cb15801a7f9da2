use std::{fmt, sync::Arc};

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use http::request::Parts;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{
    context::RequestContext,
    error::Error,
    rejection::{AccessTokenRejection, ErrorResponse, UserRejection},
};
use crate::{
    config::RefreshPolicy,
    protocol::UserInfoError,
    secret::Secret,
    session::{RefreshOutcome, SignedIn, Tokens, User},
};

/// An access token of the signed-in user, to call an API on the user's behalf.
///
/// The extractor refreshes the token if necessary. It rejects a token that expires within 10 seconds,
/// because the token would not survive the call; see [`AccessTokenRejection`] for the responses.
///
/// ```
/// use axum_oten::AccessToken;
///
/// async fn orders(token: AccessToken) -> String {
///     let authorization = format!("Bearer {}", token.expose());
///     // … send it to the API and to no other server
/// #   authorization
/// }
/// ```
#[derive(Clone)]
pub struct AccessToken {
    token: Secret,
    /// The request that the token was extracted from.
    context: RequestContext,
}

impl AccessToken {
    /// The token as text, for an `Authorization: Bearer` header.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.token.expose()
    }

    /// Returns claims about the user from the provider's userinfo endpoint (OpenID Connect Core section
    /// 5.3), which may have more claims than the ID token.
    ///
    /// The answer must be for the signed-in user, whether the provider signs it or not. It is kept for a
    /// minute, so that each session makes few calls: Oten allows 100 a minute and token in production,
    /// 200 in the sandbox. A failure is kept for 30 seconds, or for as long as the provider asks.
    ///
    /// # Errors
    ///
    /// Returns [`UserInfoError`] if there is no answer, or one that is not about the signed-in user.
    ///
    /// ```
    /// use axum_oten::AccessToken;
    ///
    /// async fn picture(token: AccessToken) -> String {
    ///     let user = token.userinfo().await.ok();
    ///     let picture = user.as_ref().and_then(|user| user.claim("picture")?.as_str());
    ///     picture.unwrap_or("no picture").to_owned()
    /// }
    /// ```
    pub async fn userinfo(&self) -> Result<UserInfo, UserInfoError> {
        let signed_in = self.context.signed_in().await.ok().flatten();
        let signed_in = signed_in.ok_or(UserInfoError::SignedOut)?;
        let subject = signed_in.user().subject();
        let claims = self.context.state.userinfo.get(&self.token, subject).await;
        Ok(UserInfo(claims?))
    }

    /// Returns a token in place of one that an API has rejected. `None` if there is none, or if the
    /// rejected token is so new that another one would not help.
    pub(super) async fn after(&self, rejected: &Secret) -> Option<Secret> {
        let signed_in = self.context.require_session().await.ok()?;
        let refreshed = self
            .context
            .refresh(&signed_in, Some(rejected))
            .await
            .ok()?;
        let tokens = refreshed.tokens?;
        let is_usable =
            tokens.access_token != *rejected && tokens.is_usable(self.context.state.clock.now());
        is_usable.then(|| tokens.access_token.clone())
    }
}

/// Prints nothing of the token.
impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AccessToken").field(&self.token).finish()
    }
}

/// Claims about the signed-in user from the userinfo endpoint, returned by [`AccessToken::userinfo`].
///
/// The subject is that of the [`User`]. Clones are cheap.
#[derive(Clone)]
pub struct UserInfo(Arc<Map<String, Value>>);

impl UserInfo {
    /// A claim by its name.
    #[must_use]
    pub fn claim(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// All claims, as a type of the app.
    ///
    /// # Errors
    ///
    /// Returns an error if a claim is missing or has another type than the field.
    pub fn claims<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        T::deserialize(&*self.0)
    }
}

/// Prints nothing: the claims are private.
impl fmt::Debug for UserInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserInfo").finish_non_exhaustive()
    }
}

/// If a token expires this soon after the sign-in, the next one would as well, so signing in again does
/// not help.
const RECENT_SIGN_IN: time::Duration = time::Duration::minutes(1);

impl RequestContext {
    /// Returns the signed-in user. Refreshes tokens that are due, so that a user whom the provider
    /// has signed out is denied.
    pub(super) async fn require_user(&self) -> Result<SignedIn, Error> {
        let signed_in = self.require_session().await?;
        let state = &self.state;
        if state.config.refresh() != RefreshPolicy::Always
            || !signed_in.is_refresh_due(state.clock.unix_now())
        {
            return Ok(signed_in);
        }
        // Boxed to keep the future of most requests small.
        Box::pin(self.refresh_user(signed_in)).await
    }

    async fn refresh_user(&self, signed_in: SignedIn) -> Result<SignedIn, Error> {
        let state = &self.state;
        let Refreshed { tokens, failure } = self.refresh(&signed_in, None).await?;
        let Some(error) = failure else {
            return self.require_session().await;
        };
        // The session's due time is never later than the token's expiry.
        let expires_at = match &tokens {
            Some(tokens) => Some(tokens.access_token_expires_at),
            None => signed_in.refresh_due_at(),
        };
        let (now, grace) = (state.clock.now(), state.config.refresh_grace());
        if expires_at.is_none_or(|expires_at| now - expires_at >= grace) {
            return Err(error);
        }
        self.count_grace();
        self.require_session().await
    }

    pub(super) async fn require_access_token(&self) -> Result<AccessToken, Error> {
        let signed_in = self.require_session().await?;
        let now = self.state.clock.now();
        let token = |tokens: &Tokens| {
            tokens.is_usable(now).then(|| AccessToken {
                token: tokens.access_token.clone(),
                context: self.clone(),
            })
        };
        let expired = || {
            if now - signed_in.user().signed_in_at() < RECENT_SIGN_IN {
                Error::AccessTokenUseless
            } else {
                Error::AccessTokenExpired
            }
        };
        let stored = self.session.tokens(&signed_in).await?;
        let stored = stored.ok_or_else(expired)?;
        // The claims of fresh tokens may not have reached the session yet.
        if stored.are_fresh(now)
            && !signed_in.is_refresh_due(now.unix_timestamp())
            && let Some(token) = token(&stored)
        {
            return Ok(token);
        }
        let Refreshed { tokens, failure } = self.refresh(&signed_in, None).await?;
        let token = token(tokens.as_deref().unwrap_or(&stored));
        token.ok_or_else(|| failure.unwrap_or_else(expired))
    }

    async fn require_session(&self) -> Result<SignedIn, Error> {
        self.signed_in().await?.ok_or(Error::NotSignedIn)
    }

    /// Refreshes the tokens if they are due or have the access token that an API has rejected. Returns an
    /// error if the sign-in has ended or the store is down.
    async fn refresh(
        &self,
        signed_in: &SignedIn,
        rejected: Option<&Secret>,
    ) -> Result<Refreshed, Error> {
        let Some(request) = self.session.refresh_request(signed_in, rejected) else {
            return Ok(Refreshed::default());
        };
        let failed = |retry_after| Some(Error::NotRefreshed { retry_after });
        let state = &self.state;
        let (tokens, failure) = match state.refresher.refresh(request).await {
            RefreshOutcome::Fresh(tokens) | RefreshOutcome::NotRefreshable(tokens) => {
                // The refresh may have changed the user's claims.
                self.session.reload().await?;
                (Some(tokens), None)
            }
            RefreshOutcome::Failed {
                tokens,
                retry_after,
            } => {
                // An earlier refresh may have changed the user's claims.
                self.session.reload().await?;
                // Signing in again brings new tokens. Not right after a sign-in, which would repeat
                // itself if the provider issued expired tokens.
                let now = state.clock.now();
                let is_over = now - tokens.access_token_expires_at >= state.config.refresh_grace()
                    && now - signed_in.user().signed_in_at() >= RECENT_SIGN_IN;
                let failure = if tokens.is_answer_unusable && is_over {
                    Some(Error::AccessTokenExpired)
                } else {
                    failed(retry_after)
                };
                (Some(tokens), failure)
            }
            RefreshOutcome::TimedOut => (None, failed(None)),
            RefreshOutcome::Ended => return Err(Error::NotSignedIn),
            RefreshOutcome::StoreDown(error) => return Err(Error::Store(error)),
        };
        Ok(Refreshed { tokens, failure })
    }
}

/// The tokens of a session after an attempt to refresh them.
#[derive(Default)]
struct Refreshed {
    /// `None` if the session has no tokens or their refresh timed out.
    tokens: Option<Arc<Tokens>>,
    /// The error for a request that cannot continue with these tokens.
    failure: Option<Error>,
}

impl<S: Sync> FromRequestParts<S> for RequestContext {
    type Rejection = ErrorResponse;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ErrorResponse> {
        let context = parts.extensions.get::<Self>().cloned();
        context.ok_or_else(ErrorResponse::missing_layer)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for User {
    type Rejection = UserRejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let context = RequestContext::from_request_parts(parts, state).await?;
        match context.require_user().await {
            Ok(signed_in) => Ok(signed_in.user().clone()),
            Err(error) => Err(ErrorResponse::new(&context, error).into()),
        }
    }
}

/// `None` if no user is signed in. Rejects the request if the store is down, because a signed-in user
/// must not be mistaken for a guest.
impl<S: Send + Sync> OptionalFromRequestParts<S> for User {
    type Rejection = UserRejection;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &S,
    ) -> Result<Option<Self>, Self::Rejection> {
        let context = RequestContext::from_request_parts(parts, state).await?;
        match context.signed_in().await {
            Ok(signed_in) => Ok(signed_in.map(|signed_in| signed_in.user().clone())),
            Err(error) => Err(ErrorResponse::new(&context, error).into()),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for AccessToken {
    type Rejection = AccessTokenRejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let context = RequestContext::from_request_parts(parts, state).await?;
        let token = context.require_access_token().await;
        token.map_err(|error| ErrorResponse::new(&context, error).into())
    }
}
