//! One outcome, from the first look at the store to the last write.

use std::{error::Error, sync::Arc, time::Duration};

use time::OffsetDateTime;
use tokio::time::{Instant, sleep, timeout};

use super::{
    lease::{LEASE_LIFETIME, Lease},
    refresh_outcome::{RefreshOutcome, RefreshRequest},
    refresher::Parts,
    tokens::Tokens,
};
use crate::{
    audit::{EventKind, TARGET},
    error::with_causes,
    protocol::{
        ErrorCode, ExpectedIdToken, IdTokenError, TokenEndpoint, TokenError, TokenResponse,
        verify_id_token,
    },
    provider::{ProviderError, ProviderMetadata},
    secret::random_bytes,
    store::{Found, RecordKind, StoreError},
};

/// After a failure there is no further try for this long, or as long as the provider says.
const REST: Duration = Duration::from_secs(10);

/// How long the key of a renewed ID token is looked for. The lease has to outlive this and the call.
const KEY_PATIENCE: Duration = Duration::from_secs(2);

/// How often the answer is written before it is given up for lost.
const WRITES: u32 = 3;

/// Why a call gave no new tokens.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the provider's endpoints are not known")]
    Provider(#[from] ProviderError),
    #[error("this process has used up its token requests for now")]
    Budget(Duration),
    #[error("the tokens were not renewed")]
    Token(#[from] TokenError),
    #[error("the renewed ID token is not believed")]
    IdToken(#[from] IdTokenError),
}

impl Failure {
    /// Whether it ends the sign-in: the provider says that it has, or it vouches for somebody else.
    fn ends_the_sign_in(&self) -> bool {
        matches!(
            self,
            Self::Token(TokenError::ErrorResponse(ErrorCode::InvalidGrant)) | Self::IdToken(_)
        )
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Budget(retry_after) => Some(*retry_after),
            Self::Token(TokenError::RateLimited { retry_after }) => *retry_after,
            Self::Provider(error) => error.retry_after(),
            _ => None,
        }
    }
}

pub(super) async fn run(parts: &Parts, request: &RefreshRequest) -> RefreshOutcome {
    let outcome = refresh(parts, request)
        .await
        .unwrap_or_else(|error| RefreshOutcome::StoreDown(Arc::new(error)));
    if let RefreshOutcome::Fresh(tokens) | RefreshOutcome::NotRefreshable(tokens) = &outcome {
        // The session's own note of when to come here again. If it cannot be written, the next
        // request comes here too early and finds the tokens fresh.
        let due_at = tokens.refresh_due_at();
        if let Err(error) = parts.sessions.note_refresh(request.session, due_at).await {
            tracing::debug!(%error, "the next renewal could not be noted");
        }
    }
    outcome
}

async fn refresh(parts: &Parts, request: &RefreshRequest) -> Result<RefreshOutcome, StoreError> {
    let records = &parts.sessions.records;
    let patience = Instant::now() + LEASE_LIFETIME;
    // Known before there is a lease to run out meanwhile.
    let metadata = parts.provider.metadata().await;
    loop {
        if let Some(outcome) = without_a_call(parts, request).await? {
            return Ok(outcome);
        }
        if let Some(lease) = Lease::take(records, &request.tokens).await? {
            let outcome = with_the_lease(parts, request, &metadata).await;
            lease.release(records).await;
            return outcome;
        }
        // When this process stops, whoever only waits has nothing to lose: another one renews.
        if Instant::now() >= patience || parts.tasks.is_closed() {
            return Ok(RefreshOutcome::TimedOut);
        }
        sleep(pause()).await;
    }
}

/// What the store alone can answer.
async fn without_a_call(
    parts: &Parts,
    request: &RefreshRequest,
) -> Result<Option<RefreshOutcome>, StoreError> {
    let records = &parts.sessions.records;
    let Some(Found { value: tokens, .. }) = Tokens::load(records, &request.tokens).await? else {
        return Ok(Some(RefreshOutcome::Ended));
    };
    Ok(settled(Arc::new(tokens), records.clock().now()))
}

fn settled(tokens: Arc<Tokens>, now: OffsetDateTime) -> Option<RefreshOutcome> {
    if tokens.refresh_token.is_none() {
        Some(RefreshOutcome::NotRefreshable(tokens))
    } else if tokens.are_fresh(now) {
        Some(RefreshOutcome::Fresh(tokens))
    } else {
        let rest = tokens.rest_until.filter(|until| now < *until)?;
        Some(RefreshOutcome::Failed {
            tokens,
            retry_after: (rest - now).try_into().ok(),
        })
    }
}

async fn with_the_lease(
    parts: &Parts,
    request: &RefreshRequest,
    metadata: &Result<Arc<ProviderMetadata>, ProviderError>,
) -> Result<RefreshOutcome, StoreError> {
    let records = &parts.sessions.records;
    // Whoever had the lease before may have done it.
    let Some(found) = Tokens::load(records, &request.tokens).await? else {
        return Ok(RefreshOutcome::Ended);
    };
    let before = Arc::new(found.value.clone());
    if let Some(outcome) = settled(Arc::clone(&before), records.clock().now()) {
        return Ok(outcome);
    }
    match call(parts, request, &before, metadata).await {
        Ok(response) => {
            let tokens = before.refreshed(response, records.clock().now());
            write(parts, request, &found, tokens).await
        }
        Err(failure) if failure.ends_the_sign_in() => end(parts, request, &found, &failure).await,
        Err(failure) => rest(parts, request, found, before, &failure).await,
    }
}

/// The call itself, and the check of its answer.
async fn call(
    parts: &Parts,
    request: &RefreshRequest,
    before: &Tokens,
    metadata: &Result<Arc<ProviderMetadata>, ProviderError>,
) -> Result<TokenResponse, Failure> {
    let metadata = metadata.as_ref().map_err(Clone::clone)?;
    let Some(refresh_token) = &before.refresh_token else {
        return Err(TokenError::Malformed.into());
    };
    if let Some(budget) = &parts.budget {
        budget
            .refresh()
            .map_err(|exhausted| Failure::Budget(exhausted.retry_after))?;
    }
    let endpoint = TokenEndpoint {
        http: parts.provider.http(),
        url: metadata.token_endpoint(),
        client: &parts.client,
    };
    let mut response = endpoint.refresh(&refresh_token.0).await?;
    if !is_id_token_good(parts, request, metadata, &response).await? {
        response.id_token = None;
    }
    Ok(response)
}

/// Whether the renewed ID token, if there is one, is about the same user. One whose key is not to be
/// had in time is passed over as if it were missing, which it may be (OpenID Connect Core section
/// 12.2): the tokens beside it came from the provider itself and must be stored before the lease
/// runs out.
async fn is_id_token_good(
    parts: &Parts,
    request: &RefreshRequest,
    metadata: &ProviderMetadata,
    response: &TokenResponse,
) -> Result<bool, IdTokenError> {
    if response.id_token.is_none() {
        return Ok(false);
    }
    let expected = ExpectedIdToken {
        issuer: metadata.issuer(),
        client_id: parts.client.id(),
        subject: Some(request.user.subject()),
        nonce: None,
        access_token: &response.access_token,
        max_age: None,
        now: parts.sessions.records.clock().unix_now(),
    };
    let id_token = response.id_token.as_ref();
    let check = verify_id_token(&parts.provider, metadata, id_token, &expected);
    match timeout(KEY_PATIENCE, check).await {
        Ok(Ok(_)) => Ok(true),
        Ok(Err(error @ IdTokenError::Provider(ProviderError::UnknownKey))) => Err(error),
        Ok(Err(IdTokenError::Provider(_))) | Err(_) => {
            tracing::warn!(
                target: TARGET,
                correlation_id = request.correlation_id,
                "the key of a renewed ID token is not to be had; the old ID token stays"
            );
            Ok(false)
        }
        Ok(Err(error)) => Err(error),
    }
}

/// Writes the new tokens at once, over the version they came from and no other: a sign-out
/// meanwhile stays one.
async fn write(
    parts: &Parts,
    request: &RefreshRequest,
    found: &Found<Tokens>,
    tokens: Tokens,
) -> Result<RefreshOutcome, StoreError> {
    let records = &parts.sessions.records;
    let mut attempt = 1;
    loop {
        let written = records
            .replace(
                RecordKind::Tokens,
                request.tokens.expose(),
                Some(found.version),
                &tokens,
                found.expires_at,
            )
            .await;
        match written {
            Ok(true) => {
                tell(parts, request, EventKind::Refreshed, None);
                return Ok(RefreshOutcome::Fresh(Arc::new(tokens)));
            }
            Ok(false) => return not_written(parts, request, &tokens).await,
            Err(error) if attempt == WRITES => {
                tell(parts, request, EventKind::RefreshLost, Some(&error));
                return Err(error);
            }
            Err(_) => {
                attempt += 1;
                sleep(pause()).await;
            }
        }
    }
}

/// The tokens are not there any more as they were found. Mostly the session ended meanwhile: then
/// nobody needs the new ones.
async fn not_written(
    parts: &Parts,
    request: &RefreshRequest,
    tokens: &Tokens,
) -> Result<RefreshOutcome, StoreError> {
    let records = &parts.sessions.records;
    let Some(found) = Tokens::load(records, &request.tokens).await? else {
        parts.revoker.revoke(tokens, &request.correlation_id);
        return Ok(RefreshOutcome::Ended);
    };
    // Somebody else was faster, or a write that was said to have failed was done.
    let tokens = Arc::new(found.value);
    let settled = settled(Arc::clone(&tokens), records.clock().now());
    let retry_after = None;
    Ok(settled.unwrap_or(RefreshOutcome::Failed {
        tokens,
        retry_after,
    }))
}

/// The provider knows the sign-in no more. Unless somebody renewed the tokens meanwhile, the session
/// ends.
async fn end(
    parts: &Parts,
    request: &RefreshRequest,
    found: &Found<Tokens>,
    failure: &Failure,
) -> Result<RefreshOutcome, StoreError> {
    let records = &parts.sessions.records;
    if let Some(now) = Tokens::load(records, &request.tokens).await?
        && now.version != found.version
        && let Some(outcome) = settled(Arc::new(now.value), records.clock().now())
    {
        return Ok(outcome);
    }
    tell(parts, request, EventKind::SignInEnded, Some(failure));
    parts.sessions.end(request.session).await?;
    Ok(RefreshOutcome::Ended)
}

/// It may work later. Until then nobody tries.
async fn rest(
    parts: &Parts,
    request: &RefreshRequest,
    found: Found<Tokens>,
    before: Arc<Tokens>,
    failure: &Failure,
) -> Result<RefreshOutcome, StoreError> {
    tell(parts, request, EventKind::RefreshFailed, Some(failure));
    let records = &parts.sessions.records;
    let retry_after = failure.retry_after();
    let rest = retry_after.unwrap_or_default().max(REST);
    let resting = Tokens {
        rest_until: Some(records.clock().now() + rest),
        ..found.value
    };
    records
        .replace(
            RecordKind::Tokens,
            request.tokens.expose(),
            Some(found.version),
            &resting,
            found.expires_at,
        )
        .await?;
    Ok(RefreshOutcome::Failed {
        tokens: before,
        retry_after: Some(rest),
    })
}

fn tell(parts: &Parts, request: &RefreshRequest, kind: EventKind, failure: Option<&dyn Error>) {
    let event = parts
        .trail
        .event(kind)
        .with_correlation_id(&request.correlation_id)
        .with_client_address(request.client_address)
        .with_subject(
            parts
                .trail
                .pseudonym(request.user.issuer(), request.user.subject()),
        );
    parts.trail.record(&match failure {
        Some(failure) => event.with_cause(with_causes(failure)),
        None => event,
    });
}

/// Between 50 and 150 ms: those who wait for a lease do not ask in step.
fn pause() -> Duration {
    let [random] = *random_bytes::<1>();
    Duration::from_millis(50 + u64::from(random) * 100 / 255)
}
