//! Token refresh.
//!
//! Concurrent requests of a session share one refresh call: within a process they share one task, and
//! a lease in the store excludes other processes.

mod lease;
mod outcome;
mod single_flight;

pub(crate) use self::{
    lease::REFRESH_LIMIT,
    outcome::{RefreshOutcome, RefreshRequest},
};

use std::{error::Error, fmt, ops::ControlFlow, sync::Arc, time::Duration};

use time::OffsetDateTime;
use tokio::time::{Instant, sleep, timeout};

use self::{
    lease::{LEASE_LIFETIME, LEASE_WAIT, RefreshLease},
    single_flight::SingleFlight,
};
use super::{Revoker, Sessions, Tokens, UserInfos, record::Family};
use crate::{
    audit::{EventKind, TARGET},
    error::with_causes,
    protocol::{
        ExpectedIdToken, ExpectedNonce, IdTokenClaims, IdTokenError, TokenEndpoint, TokenError,
        TokenResponse, verify_id_token,
    },
    provider::{Budget, BudgetExhausted, ProviderError, ProviderMetadata},
    secret::random_bytes,
    store::{LoadedRecord, Records, StoreError},
};

/// The minimum delay before the next call after a failed one.
const RETRY_DELAY: Duration = Duration::from_secs(10);

/// The time limit for finding the key of a new ID token. The lease must outlive this and the call.
const KEY_TIMEOUT: Duration = Duration::from_secs(2);

/// The number of attempts to store new tokens before the request fails.
const WRITE_ATTEMPTS: u32 = 3;

/// How long a process keeps new tokens that the store has not accepted, and tries to store them. The
/// provider has replaced the stored refresh token, and another use of it could end the sign-in.
const WRITE_LIMIT: Duration = Duration::from_secs(600);

/// Refreshes the tokens of sessions.
#[derive(Clone)]
pub(crate) struct TokenRefresher {
    sessions: Sessions,
    budget: Option<Arc<Budget>>,
    /// Set if the userinfo endpoint adds claims to those of ID tokens.
    userinfo: Option<Arc<UserInfos>>,
    in_flight: SingleFlight<Family, RefreshOutcome>,
    /// The sessions with a write that the store has not accepted yet. They are not refreshed meanwhile.
    unsettled: SingleFlight<Family, ()>,
}

impl TokenRefresher {
    /// Creates a refresher with the provider, client, tasks and trail of the sessions' revoker.
    pub(crate) fn new(
        sessions: Sessions,
        budget: Option<Arc<Budget>>,
        userinfo: Option<Arc<UserInfos>>,
    ) -> Self {
        Self {
            sessions,
            budget,
            userinfo,
            in_flight: SingleFlight::default(),
            unsettled: SingleFlight::default(),
        }
    }

    /// Refreshes tokens, or waits for the refresh in progress, at most one second longer than the
    /// limit of a refresh.
    pub(crate) async fn refresh(&self, request: RefreshRequest) -> RefreshOutcome {
        let key = request.family;
        let task = || {
            let refresher = self.clone();
            Refresh { refresher, request }.run()
        };
        let outcome = self.in_flight.run(key, &self.sessions.revoker.tasks, task);
        let outcome = timeout(REFRESH_LIMIT + Duration::from_secs(1), outcome).await;
        outcome.ok().flatten().unwrap_or(RefreshOutcome::TimedOut)
    }
}

impl fmt::Debug for TokenRefresher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenRefresher").finish_non_exhaustive()
    }
}

/// Error returned when a call yields no new tokens.
#[derive(Debug, thiserror::Error)]
enum RefreshError {
    #[error("the endpoints of the provider are unknown")]
    Provider(#[from] ProviderError),
    #[error(transparent)]
    Budget(#[from] BudgetExhausted),
    #[error("the token request failed")]
    Token(#[from] TokenError),
    #[error("the new ID token is invalid")]
    IdToken(#[from] IdTokenError),
}

impl RefreshError {
    /// Returns whether the session ends, because the provider refused the refresh, or the new ID
    /// token is invalid or for another user.
    fn ends_session(&self) -> bool {
        match self {
            Self::Token(TokenError::ErrorResponse(code, _)) => code.ends_sign_in(),
            Self::IdToken(_) => true,
            _ => false,
        }
    }

    fn is_temporary(&self) -> bool {
        match self {
            Self::Token(error) => error.is_temporary(),
            _ => true,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Budget(exhausted) => Some(exhausted.retry_after()),
            Self::Token(TokenError::RateLimited { retry_after }) => *retry_after,
            Self::Provider(error) => error.retry_after(),
            _ => None,
        }
    }
}

/// Error returned when the store fails during a refresh.
enum Interrupted {
    Store(StoreError),
    Unstored(Box<Unstored>),
}

/// New tokens that the store has not accepted.
struct Unstored {
    current: LoadedRecord<Tokens>,
    tokens: Tokens,
    error: StoreError,
}

impl From<StoreError> for Interrupted {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

type Metadata = Result<Arc<ProviderMetadata>, ProviderError>;

/// One refresh of a session's tokens.
#[derive(Clone)]
struct Refresh {
    refresher: TokenRefresher,
    request: RefreshRequest,
}

impl Refresh {
    async fn run(self) -> RefreshOutcome {
        let outcome = self.wait_or_refresh().await;
        let outcome = match outcome {
            Ok(outcome) => self.update_session(outcome).await,
            Err(error) => Err(error),
        };
        outcome.unwrap_or_else(|error| RefreshOutcome::StoreDown(Arc::new(error)))
    }

    /// Takes the claims of new tokens over into the session, also if another process has refreshed them.
    /// If that fails, so does the request: it must not continue with claims that were withdrawn.
    async fn update_session(&self, outcome: RefreshOutcome) -> Result<RefreshOutcome, StoreError> {
        if let RefreshOutcome::Fresh(tokens)
        | RefreshOutcome::NotRefreshable(tokens)
        | RefreshOutcome::Failed { tokens, .. } = &outcome
        {
            let sessions = &self.refresher.sessions;
            let request = &self.request;
            let stored = sessions.store_refresh(request.session, request.family, tokens);
            stored.await?;
        }
        Ok(outcome)
    }

    /// Refreshes the tokens under a lease, or waits for the process that holds it.
    async fn wait_or_refresh(&self) -> Result<RefreshOutcome, StoreError> {
        let deadline = Instant::now() + REFRESH_LIMIT;
        // Loaded before the lease is acquired, because the lease expires.
        let metadata = self.revoker().provider.metadata().await;
        loop {
            let current = match self.load().await? {
                ControlFlow::Break(outcome) => return Ok(outcome),
                ControlFlow::Continue(current) => current,
            };
            if self.refresher.unsettled.is_running(&self.request.family) {
                return Err(StoreError::TimedOut);
            }
            let lease = RefreshLease::new(self.records(), self.request.family)?;
            match lease.acquire(self.records()).await {
                Ok(true) => {
                    let outcome = self.refresh(&metadata).await;
                    return self.settle(lease, outcome, deadline).await;
                }
                // The owner may have exited, or it stalls.
                Ok(false) if lease.held_for(self.records()).await? > LEASE_WAIT => {
                    return Ok(not_refreshed(current));
                }
                Ok(false) => {}
                Err(error) => {
                    // The store may have the lease.
                    self.release_later(lease);
                    return Err(error);
                }
            }
            // When this process shuts down, the process that holds the lease completes the refresh.
            if Instant::now() >= deadline || self.revoker().tasks.is_closed() {
                return Ok(not_refreshed(current));
            }
            sleep(retry_pause()).await;
        }
    }

    /// Completes a refresh under a lease.
    async fn settle(
        &self,
        lease: RefreshLease,
        outcome: Result<RefreshOutcome, Interrupted>,
        deadline: Instant,
    ) -> Result<RefreshOutcome, StoreError> {
        let outcome = match outcome {
            Ok(outcome) => Ok(outcome),
            Err(Interrupted::Store(error)) => Err(error),
            Err(Interrupted::Unstored(unstored)) => {
                let Unstored {
                    current,
                    tokens,
                    error,
                } = *unstored;
                self.record(EventKind::RefreshLost, Some(&error));
                let this = self.clone();
                // The lease is kept: no process may use the previous refresh token.
                self.settle_later(async move {
                    this.store_until_accepted(&current, tokens).await;
                    lease.release_until(this.records(), Instant::now()).await;
                });
                return Err(error);
            }
        };
        if let Err(error) = lease.try_release(self.records()).await {
            tracing::warn!(
                target: TARGET,
                error = with_causes(&error),
                "failed to release a refresh lease; trying again until it expires in 30 seconds"
            );
            self.release_later(lease);
        }
        Ok(match outcome? {
            RefreshOutcome::Fresh(tokens) => {
                RefreshOutcome::Fresh(self.with_added_claims(tokens, deadline).await)
            }
            outcome => outcome,
        })
    }

    fn release_later(&self, lease: RefreshLease) {
        let this = self.clone();
        self.settle_later(async move {
            let limit = Instant::now() + LEASE_LIFETIME;
            lease.release_until(this.records(), limit).await;
        });
    }

    fn settle_later(&self, work: impl Future<Output = ()> + Send + 'static) {
        let (family, tasks) = (self.request.family, &self.revoker().tasks);
        self.refresher.unsettled.start(family, tasks, || work);
    }

    /// Loads the tokens, or breaks with the outcome if they need no call to the provider.
    async fn load(&self) -> Result<ControlFlow<RefreshOutcome, LoadedRecord<Tokens>>, StoreError> {
        let Some(loaded) = Tokens::load(self.records(), self.request.family).await? else {
            return Ok(ControlFlow::Break(RefreshOutcome::Ended));
        };
        Ok(match self.outcome_without_call(&loaded.value) {
            Some(outcome) => ControlFlow::Break(outcome),
            None => ControlFlow::Continue(loaded),
        })
    }

    fn outcome_without_call(&self, tokens: &Tokens) -> Option<RefreshOutcome> {
        let now = self.now();
        let shared = || Arc::new(tokens.clone());
        let are_rejected = tokens.are_rejected(self.request.rejected.as_ref(), now);
        if tokens.refresh_token.is_none() {
            Some(RefreshOutcome::NotRefreshable(shared()))
        } else if tokens.are_fresh(now) && !are_rejected {
            Some(RefreshOutcome::Fresh(shared()))
        } else {
            let retry_at = tokens.retry_at(now)?;
            Some(RefreshOutcome::Failed {
                tokens: shared(),
                retry_after: (retry_at - now).try_into().ok(),
            })
        }
    }

    /// Refreshes the tokens while holding the lease, unless its previous holder did.
    async fn refresh(&self, metadata: &Metadata) -> Result<RefreshOutcome, Interrupted> {
        let current = match self.load().await? {
            ControlFlow::Break(outcome) => return Ok(outcome),
            ControlFlow::Continue(current) => current,
        };
        match self.call_provider(&current.value, metadata).await {
            Ok((response, session_expiry)) => {
                let tokens = current
                    .value
                    .refreshed(response, session_expiry, self.now());
                self.store(current, tokens).await
            }
            Err(error) if error.ends_session() => Ok(self.end_session(&current, &error).await?),
            Err(error) => Ok(self.postpone(current, &error).await?),
        }
    }

    /// Asks the userinfo endpoint with the new access token. The tokens are stored already. Without an
    /// answer, or if the tokens have changed meanwhile, the previous claims are kept.
    async fn with_added_claims(&self, tokens: Arc<Tokens>, deadline: Instant) -> Arc<Tokens> {
        let (
            records,
            RefreshRequest {
                family,
                user,
                origin,
                ..
            },
        ) = (self.records(), &self.request);
        let Some(userinfo) = &self.refresher.userinfo else {
            return tokens;
        };
        let claims = userinfo.added_claims(&tokens.access_token, user.subject(), origin, deadline);
        let Some(added_claims) = claims.await.filter(|claims| *claims != tokens.added_claims)
        else {
            return tokens;
        };
        let Ok(Some(current)) = Tokens::load(records, *family).await else {
            return tokens;
        };
        let changed = Tokens {
            added_claims,
            refreshes: tokens.refreshes.saturating_add(1),
            ..current.value.clone()
        };
        let is_same = current.value.access_token == tokens.access_token
            && current.value.refreshes == tokens.refreshes;
        if is_same && matches!(changed.replace(records, *family, &current).await, Ok(true)) {
            Arc::new(changed)
        } else {
            tokens
        }
    }

    async fn call_provider(
        &self,
        current: &Tokens,
        metadata: &Metadata,
    ) -> Result<(TokenResponse, Option<i64>), RefreshError> {
        let metadata = metadata.as_ref().map_err(Clone::clone)?;
        let Some(refresh_token) = &current.refresh_token else {
            return Err(TokenError::Malformed.into());
        };
        if let Some(budget) = &self.refresher.budget {
            budget.refresh()?;
        }
        let endpoint = TokenEndpoint {
            http: self.revoker().provider.http(),
            url: metadata.token_endpoint(),
            client: &self.revoker().client,
        };
        let mut response = endpoint.refresh(&refresh_token.0).await?;
        let claims = match self.verified_claims(metadata, current, &response).await {
            Ok(claims) => claims,
            Err(error) => {
                // The session ends, but the provider keeps the new refresh token.
                let tokens = current.refreshed(response, None, self.now());
                self.revoker().revoke(&tokens, &self.request.origin);
                return Err(error.into());
            }
        };
        if claims.is_none() {
            response.id_token = None;
        }
        let session_expiry = claims.and_then(|claims| claims.session_expiry);
        Ok((response, session_expiry))
    }

    /// Returns the claims of the ID token in the response, which must be for the same user.
    ///
    /// An ID token is optional here (OpenID Connect Core section 12.2). One whose key cannot be
    /// loaded in time is ignored: the other tokens came from the provider itself and must be stored
    /// before the lease expires. So is one that only the clocks make invalid: if they differ, each refresh
    /// would sign its user out.
    async fn verified_claims(
        &self,
        metadata: &ProviderMetadata,
        current: &Tokens,
        response: &TokenResponse,
    ) -> Result<Option<IdTokenClaims>, IdTokenError> {
        if response.id_token.is_none() {
            return Ok(None);
        }
        let expected = ExpectedIdToken {
            issuer: metadata.issuer(),
            client: &self.revoker().client,
            subject: Some(self.request.user.subject()),
            nonce: ExpectedNonce::IfPresent(Some(&current.nonce.0)),
            auth_time: self.request.user.auth_time(),
            access_token: &response.access_token,
            authenticated_since: None,
            now: self.records().clock().unix_now(),
        };
        let id_token = response.id_token.as_ref();
        let check = verify_id_token(&self.revoker().provider, metadata, id_token, &expected);
        match timeout(KEY_TIMEOUT, check).await {
            Ok(Ok(claims)) => Ok(Some(claims)),
            Ok(Err(error)) if error.is_of_clocks() => {
                tracing::warn!(
                    target: TARGET,
                    correlation_id = self.request.origin.correlation_id(),
                    error = with_causes(&error),
                    "the dates of a new ID token are wrong; keeping the previous ID token"
                );
                Ok(None)
            }
            Ok(Err(IdTokenError::Provider(_))) | Err(_) => {
                tracing::warn!(
                    target: TARGET,
                    correlation_id = self.request.origin.correlation_id(),
                    "the key of a new ID token could not be loaded; keeping the previous ID token"
                );
                Ok(None)
            }
            Ok(Err(error)) => Err(error),
        }
    }

    /// Stores the new tokens only if the current ones are unchanged, so that tokens of a session
    /// that has ended in the meantime are not restored.
    async fn store(
        &self,
        current: LoadedRecord<Tokens>,
        tokens: Tokens,
    ) -> Result<RefreshOutcome, Interrupted> {
        let mut attempt = 1;
        loop {
            match self.try_store(&current, &tokens).await {
                Ok(outcome) => return Ok(outcome),
                Err(error) if attempt == WRITE_ATTEMPTS => {
                    let unstored = Unstored {
                        current,
                        tokens,
                        error,
                    };
                    return Err(Interrupted::Unstored(Box::new(unstored)));
                }
                Err(_) => {
                    attempt += 1;
                    sleep(retry_pause()).await;
                }
            }
        }
    }

    async fn try_store(
        &self,
        current: &LoadedRecord<Tokens>,
        tokens: &Tokens,
    ) -> Result<RefreshOutcome, StoreError> {
        let family = self.request.family;
        if tokens.replace(self.records(), family, current).await? {
            self.record(EventKind::Refreshed, None);
            return Ok(RefreshOutcome::Fresh(Arc::new(tokens.clone())));
        }
        self.resolve_conflict(tokens).await
    }

    /// Stores new tokens when the store works again.
    async fn store_until_accepted(&self, current: &LoadedRecord<Tokens>, tokens: Tokens) {
        let limit = Instant::now() + WRITE_LIMIT;
        while let Err(error) = self.try_store(current, &tokens).await {
            if Instant::now() >= limit {
                tracing::error!(
                    target: TARGET,
                    correlation_id = self.request.origin.correlation_id(),
                    error = with_causes(&error),
                    "refreshed tokens are discarded, because the store does not accept them"
                );
                return;
            }
            sleep(retry_pause()).await;
        }
    }

    /// Handles tokens that changed during the call.
    async fn resolve_conflict(&self, new: &Tokens) -> Result<RefreshOutcome, StoreError> {
        // Another process stored tokens, or an earlier attempt succeeded although it returned an error.
        let outcome = self.latest_outcome().await?;
        if matches!(outcome, RefreshOutcome::Ended) {
            self.revoker().revoke(new, &self.request.origin);
        }
        Ok(outcome)
    }

    /// Returns the outcome for tokens that changed, without a call to the provider.
    async fn latest_outcome(&self) -> Result<RefreshOutcome, StoreError> {
        Ok(match self.load().await? {
            ControlFlow::Break(outcome) => outcome,
            ControlFlow::Continue(current) => not_refreshed(current),
        })
    }

    /// Ends the session, unless another process refreshed its tokens meanwhile.
    async fn end_session(
        &self,
        current: &LoadedRecord<Tokens>,
        error: &RefreshError,
    ) -> Result<RefreshOutcome, StoreError> {
        if let Some(latest) = Tokens::load(self.records(), self.request.family).await?
            && latest.version != current.version
            && let Some(outcome) = self.outcome_without_call(&latest.value)
        {
            return Ok(outcome);
        }
        self.record(EventKind::SignInEnded, Some(error));
        let (sessions, request) = (&self.refresher.sessions, &self.request);
        sessions.end(request.session, request.family).await?;
        Ok(RefreshOutcome::Ended)
    }

    /// Prevents further calls for a while.
    async fn postpone(
        &self,
        current: LoadedRecord<Tokens>,
        error: &RefreshError,
    ) -> Result<RefreshOutcome, StoreError> {
        self.record(EventKind::RefreshFailed, Some(error));
        let delay = error.retry_after().unwrap_or_default().max(RETRY_DELAY);
        let postponed = Tokens {
            retry_at: Some(self.now() + delay),
            is_answer_unusable: !error.is_temporary(),
            ..current.value.clone()
        };
        let family = self.request.family;
        if !postponed.replace(self.records(), family, &current).await? {
            return self.latest_outcome().await;
        }
        Ok(RefreshOutcome::Failed {
            tokens: Arc::new(postponed),
            retry_after: Some(delay),
        })
    }

    fn record(&self, kind: EventKind, cause: Option<&dyn Error>) {
        let (trail, user) = (&self.revoker().trail, &self.request.user);
        let event = trail
            .event(kind)
            .with_origin(&self.request.origin)
            .with_subject(trail.pseudonym(user.issuer(), user.subject()));
        trail.record(&match cause {
            Some(cause) => event.with_cause(with_causes(cause)),
            None => event,
        });
    }

    fn revoker(&self) -> &Revoker {
        &self.refresher.sessions.revoker
    }

    fn records(&self) -> &Records {
        &self.refresher.sessions.records
    }

    fn now(&self) -> OffsetDateTime {
        self.records().clock().now()
    }
}

/// Returns the outcome for tokens that another process may still refresh.
fn not_refreshed(current: LoadedRecord<Tokens>) -> RefreshOutcome {
    RefreshOutcome::Failed {
        tokens: Arc::new(current.value),
        retry_after: None,
    }
}

/// Returns a random pause of 50 to 150 ms, so that waiting tasks do not retry at the same time.
fn retry_pause() -> Duration {
    let [random] = *random_bytes::<1>();
    Duration::from_millis(50 + u64::from(random) * 100 / 255)
}
