//! One renewal, from the first look at the store to the last write.

use std::{error::Error, sync::Arc, time::Duration};

use time::OffsetDateTime;
use tokio::time::{Instant, sleep, timeout};

use super::{
    lease::{LEASE_LIFETIME, Lease},
    records::{Found, Kind},
    refresher::Parts,
    renewal::{Renewal, Wish},
    tokens::Tokens,
};
use crate::{
    audit::{Kind as EventKind, TARGET},
    error::with_causes,
    protocol::{
        ErrorCode, Expected, IdTokenCheckError, IdTokenError, TokenError, TokenResponse,
        check_id_token, refresh_tokens,
    },
    provider::{ProviderError, ProviderMetadata},
    secret::random_bytes,
    store::StoreError,
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
            Self::Token(TokenError::Refused(ErrorCode::InvalidGrant)) | Self::IdToken(_)
        )
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Budget(retry_after) => Some(*retry_after),
            Self::Token(TokenError::Busy { retry_after }) => *retry_after,
            Self::Provider(error) => error.retry_after(),
            _ => None,
        }
    }
}

pub(super) async fn run(parts: &Parts, wish: &Wish) -> Renewal {
    let renewal = renew(parts, wish)
        .await
        .unwrap_or_else(|error| Renewal::StoreDown(Arc::new(error)));
    if let Renewal::Fresh(tokens) | Renewal::Unrenewable(tokens) = &renewal {
        // The session's own note of when to come here again. If it cannot be written, the next
        // request comes here too early and finds the tokens fresh.
        let due_at = tokens.renewal_due_at();
        if let Err(error) = parts.sessions.note_renewal(wish.session, due_at).await {
            tracing::debug!(%error, "the next renewal could not be noted");
        }
    }
    renewal
}

async fn renew(parts: &Parts, wish: &Wish) -> Result<Renewal, StoreError> {
    let records = &parts.sessions.records;
    let patience = Instant::now() + LEASE_LIFETIME;
    // Known before there is a lease to run out meanwhile.
    let metadata = parts.provider.metadata().await;
    loop {
        if let Some(renewal) = without_a_call(parts, wish).await? {
            return Ok(renewal);
        }
        if let Some(lease) = Lease::take(records, &wish.tokens).await? {
            let renewal = with_the_lease(parts, wish, &metadata).await;
            lease.release(records).await;
            return renewal;
        }
        // When this process stops, whoever only waits has nothing to lose: another one renews.
        if Instant::now() >= patience || parts.tasks.is_closed() {
            return Ok(Renewal::TimedOut);
        }
        sleep(pause()).await;
    }
}

/// What the store alone can answer.
async fn without_a_call(parts: &Parts, wish: &Wish) -> Result<Option<Renewal>, StoreError> {
    let records = &parts.sessions.records;
    let Some(Found { value: tokens, .. }) = Tokens::load(records, &wish.tokens).await? else {
        return Ok(Some(Renewal::Ended));
    };
    Ok(settled(Arc::new(tokens), records.clock().now()))
}

fn settled(tokens: Arc<Tokens>, now: OffsetDateTime) -> Option<Renewal> {
    if tokens.refresh_token.is_none() {
        Some(Renewal::Unrenewable(tokens))
    } else if tokens.are_fresh(now) {
        Some(Renewal::Fresh(tokens))
    } else {
        let rest = tokens.rest_until.filter(|until| now < *until)?;
        Some(Renewal::Failed {
            tokens,
            retry_after: (rest - now).try_into().ok(),
        })
    }
}

async fn with_the_lease(
    parts: &Parts,
    wish: &Wish,
    metadata: &Result<Arc<ProviderMetadata>, ProviderError>,
) -> Result<Renewal, StoreError> {
    let records = &parts.sessions.records;
    // Whoever had the lease before may have done it.
    let Some(found) = Tokens::load(records, &wish.tokens).await? else {
        return Ok(Renewal::Ended);
    };
    let before = Arc::new(found.value.clone());
    if let Some(renewal) = settled(Arc::clone(&before), records.clock().now()) {
        return Ok(renewal);
    }
    match call(parts, wish, &before, metadata).await {
        Ok(response) => {
            let tokens = before.renewed(response, records.clock().now());
            write(parts, wish, &found, tokens).await
        }
        Err(failure) if failure.ends_the_sign_in() => end(parts, wish, &found, &failure).await,
        Err(failure) => rest(parts, wish, found, before, &failure).await,
    }
}

/// The call itself, and the check of its answer.
async fn call(
    parts: &Parts,
    wish: &Wish,
    before: &Tokens,
    metadata: &Result<Arc<ProviderMetadata>, ProviderError>,
) -> Result<TokenResponse, Failure> {
    let metadata = metadata.as_ref().map_err(Clone::clone)?;
    let Some(refresh_token) = &before.refresh_token else {
        return Err(TokenError::Malformed.into());
    };
    if let Some(budget) = &parts.budget {
        budget
            .renewal()
            .map_err(|exhausted| Failure::Budget(exhausted.retry_after))?;
    }
    let mut response = refresh_tokens(
        parts.provider.http(),
        metadata.token_endpoint(),
        &parts.client,
        &refresh_token.0,
    )
    .await?;
    if !is_id_token_good(parts, wish, metadata, &response).await? {
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
    wish: &Wish,
    metadata: &ProviderMetadata,
    response: &TokenResponse,
) -> Result<bool, IdTokenError> {
    if response.id_token.is_none() {
        return Ok(false);
    }
    let expected = Expected {
        issuer: metadata.issuer(),
        client_id: parts.client.id(),
        subject: Some(wish.user.subject()),
        nonce: None,
        access_token: &response.access_token,
        max_age: None,
        now: parts.sessions.records.clock().unix_now(),
    };
    let id_token = response.id_token.as_ref();
    let check = check_id_token(&parts.provider, metadata, id_token, &expected);
    match timeout(KEY_PATIENCE, check).await {
        Ok(Ok(_)) => Ok(true),
        Ok(Err(IdTokenCheckError::IdToken(error))) => Err(error),
        Ok(Err(IdTokenCheckError::Provider(ProviderError::UnknownKey))) => {
            Err(IdTokenError::UnknownKey)
        }
        Ok(Err(IdTokenCheckError::Provider(_))) | Err(_) => {
            tracing::warn!(
                target: TARGET,
                correlation_id = wish.correlation_id,
                "the key of a renewed ID token is not to be had; the old ID token stays"
            );
            Ok(false)
        }
    }
}

/// Writes the new tokens at once, over the version they came from and no other: a sign-out
/// meanwhile stays one.
async fn write(
    parts: &Parts,
    wish: &Wish,
    found: &Found<Tokens>,
    tokens: Tokens,
) -> Result<Renewal, StoreError> {
    let records = &parts.sessions.records;
    let mut attempt = 1;
    loop {
        let written = records
            .replace(
                Kind::Tokens,
                wish.tokens.expose(),
                Some(found.version),
                &tokens,
                found.expires_at,
            )
            .await;
        match written {
            Ok(true) => {
                tell(parts, wish, EventKind::Refreshed, None);
                return Ok(Renewal::Fresh(Arc::new(tokens)));
            }
            Ok(false) => return not_written(parts, wish, &tokens).await,
            Err(error) if attempt == WRITES => {
                tell(parts, wish, EventKind::RefreshLost, Some(&error));
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
async fn not_written(parts: &Parts, wish: &Wish, tokens: &Tokens) -> Result<Renewal, StoreError> {
    let records = &parts.sessions.records;
    let Some(found) = Tokens::load(records, &wish.tokens).await? else {
        parts.revoker.revoke(tokens, &wish.correlation_id);
        return Ok(Renewal::Ended);
    };
    // Somebody else was faster, or a write that was said to have failed was done.
    let tokens = Arc::new(found.value);
    let settled = settled(Arc::clone(&tokens), records.clock().now());
    let retry_after = None;
    Ok(settled.unwrap_or(Renewal::Failed {
        tokens,
        retry_after,
    }))
}

/// The provider knows the sign-in no more. Unless somebody renewed the tokens meanwhile, the session
/// ends.
async fn end(
    parts: &Parts,
    wish: &Wish,
    found: &Found<Tokens>,
    failure: &Failure,
) -> Result<Renewal, StoreError> {
    let records = &parts.sessions.records;
    if let Some(now) = Tokens::load(records, &wish.tokens).await?
        && now.version != found.version
        && let Some(renewal) = settled(Arc::new(now.value), records.clock().now())
    {
        return Ok(renewal);
    }
    tell(parts, wish, EventKind::SignInEnded, Some(failure));
    parts.sessions.end(wish.session).await?;
    Ok(Renewal::Ended)
}

/// It may work later. Until then nobody tries.
async fn rest(
    parts: &Parts,
    wish: &Wish,
    found: Found<Tokens>,
    before: Arc<Tokens>,
    failure: &Failure,
) -> Result<Renewal, StoreError> {
    tell(parts, wish, EventKind::RefreshFailed, Some(failure));
    let records = &parts.sessions.records;
    let retry_after = failure.retry_after();
    let rest = retry_after.unwrap_or_default().max(REST);
    let resting = Tokens {
        rest_until: Some(records.clock().now() + rest),
        ..found.value
    };
    records
        .replace(
            Kind::Tokens,
            wish.tokens.expose(),
            Some(found.version),
            &resting,
            found.expires_at,
        )
        .await?;
    Ok(Renewal::Failed {
        tokens: before,
        retry_after: Some(rest),
    })
}

fn tell(parts: &Parts, wish: &Wish, kind: EventKind, failure: Option<&dyn Error>) {
    let event = parts
        .trail
        .event(kind)
        .of_request(&wish.correlation_id)
        .sent_from(wish.client_address)
        .about(parts.subjects.name(&wish.user));
    parts.trail.record(&match failure {
        Some(failure) => event.because(with_causes(failure)),
        None => event,
    });
}

/// Between 50 and 150 ms: those who wait for a lease do not ask in step.
fn pause() -> Duration {
    let [random] = *random_bytes::<1>();
    Duration::from_millis(50 + u64::from(random) * 100 / 255)
}
