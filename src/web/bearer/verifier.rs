use std::{convert::Infallible, fmt, net::IpAddr, sync::Arc, time::Duration};

use quick_cache::sync::Cache;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use super::error::BearerError;
use crate::{
    clock::Clock,
    config::{ApiConfig, ApiSettings, Client, ClientType, Config, TokenValidation},
    protocol::{
        AccessTokenClaims, AccessTokenError, ExpectedAccessToken, reject_other_kinds,
        validate_token, verify_access_token,
    },
    provider::{Budget, Provider, ProviderMetadata},
};

/// How long the provider's verdict on a valid token is reused, at most until the token expires.
const VALID_FOR: Duration = Duration::from_secs(30);

/// How long the provider's verdict on an invalid token is reused.
const INVALID_FOR: Duration = Duration::from_secs(5);

/// The number of verdicts that are kept.
const MAX_VERDICTS: usize = 10_000;

/// Verifies access tokens, with the provider's keys or by asking the provider.
pub(in crate::web) struct Verifier {
    provider: Arc<Provider>,
    settings: ApiSettings,
    /// The client that asks the provider, if it has a secret.
    client: Option<Client>,
    clock: Clock,
    verdicts: Cache<[u8; 32], Verdict>,
    budget: Option<Budget>,
}

/// The provider's answer about a token, or the failure to get one.
#[derive(Clone)]
struct Verdict {
    result: Result<Arc<AccessTokenClaims>, BearerError>,
    answered_at: OffsetDateTime,
    reusable_until: OffsetDateTime,
}

impl Verifier {
    pub(in crate::web) fn of_app(config: &Config, provider: Arc<Provider>, clock: Clock) -> Self {
        Self::new(
            provider,
            config.api().clone(),
            Some(config.client().clone()),
            clock,
        )
    }

    pub(super) fn of_api(config: &ApiConfig, provider: Arc<Provider>, clock: Clock) -> Self {
        Self::new(
            provider,
            config.settings.clone(),
            config.client.clone(),
            clock,
        )
    }

    fn new(
        provider: Arc<Provider>,
        settings: ApiSettings,
        client: Option<Client>,
        clock: Clock,
    ) -> Self {
        let limit = settings.validations_per_minute;
        Self {
            provider,
            client: client.filter(|client| !matches!(client.client_type(), ClientType::Public)),
            verdicts: Cache::new(MAX_VERDICTS),
            budget: limit.map(|limit| Budget::undivided(limit, clock.clone())),
            clock,
            settings,
        }
    }

    /// Verifies a token. A JWT that is rejected locally is not sent to the provider.
    pub(super) async fn verify(
        &self,
        token: &str,
        address: Option<IpAddr>,
    ) -> Result<Arc<AccessTokenClaims>, BearerError> {
        let asks_provider = match self.settings.validation {
            TokenValidation::Local => false,
            TokenValidation::Remote => true,
            TokenValidation::Auto => !looks_like_jwt(token),
        };
        match &self.client {
            Some(client) if asks_provider => {
                reject_other_kinds(token)?;
                self.ask(client, token, address).await
            }
            _ => {
                let metadata = self.metadata().await?;
                let expected = self.expected(&metadata);
                let claims = verify_access_token(&self.provider, &metadata, token, &expected);
                Ok(Arc::new(claims.await?))
            }
        }
    }

    /// Asks the provider, unless it has answered recently. Simultaneous questions about a token are
    /// one call.
    async fn ask(
        &self,
        client: &Client,
        token: &str,
        address: Option<IpAddr>,
    ) -> Result<Arc<AccessTokenClaims>, BearerError> {
        let key = <[u8; 32]>::from(Sha256::digest(token));
        let now = self.clock.now();
        // A time before the answer means that the clock was set back.
        let is_outdated =
            |verdict: &Verdict| now >= verdict.reusable_until || now < verdict.answered_at;
        self.verdicts.remove_if(&key, is_outdated);
        let call = async { Ok::<_, Infallible>(self.call(client, token, address).await) };
        let Ok(verdict) = self.verdicts.get_or_insert_async(&key, call).await;
        verdict.result
    }

    async fn call(&self, client: &Client, token: &str, address: Option<IpAddr>) -> Verdict {
        let result = self.validate(client, token, address).await;
        let now = self.clock.now();
        let reusable_until = match &result {
            Ok(claims) => {
                let expires_at = OffsetDateTime::from_unix_timestamp(claims.expires_at);
                (now + VALID_FOR).min(expires_at.unwrap_or(now + VALID_FOR))
            }
            Err(BearerError::Token(_)) => now + INVALID_FOR,
            Err(_) => now,
        };
        Verdict {
            result: result.map(Arc::new),
            answered_at: now,
            reusable_until,
        }
    }

    async fn validate(
        &self,
        client: &Client,
        token: &str,
        address: Option<IpAddr>,
    ) -> Result<AccessTokenClaims, BearerError> {
        let metadata = self.metadata().await?;
        let endpoint = self.settings.validation_endpoint.as_ref();
        let endpoint = endpoint.or(metadata.token_validation_endpoint());
        let Some(endpoint) = endpoint else {
            return Err(AccessTokenError::NotJwt.into());
        };
        if let Some(budget) = &self.budget {
            budget.validation(address)?;
        }
        let expected = self.expected(&metadata);
        let verdict = validate_token(self.provider.http(), endpoint, client, token, &expected);
        Ok(verdict.await??)
    }

    async fn metadata(&self) -> Result<Arc<ProviderMetadata>, BearerError> {
        let metadata = self.provider.metadata().await;
        metadata.map_err(|error| AccessTokenError::from(error).into())
    }

    fn expected<'a>(&'a self, metadata: &'a ProviderMetadata) -> ExpectedAccessToken<'a> {
        ExpectedAccessToken {
            issuer: metadata.issuer(),
            audiences: &self.settings.audiences,
            now: self.clock.unix_now(),
        }
    }
}

/// Whether a token has the three parts of a signed JWT (RFC 7515 section 7.1).
fn looks_like_jwt(token: &str) -> bool {
    token.bytes().filter(|byte| *byte == b'.').count() == 2
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
