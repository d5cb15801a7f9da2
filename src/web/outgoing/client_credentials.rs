use std::{fmt, sync::Arc, time::Duration};

use http::StatusCode;
use time::OffsetDateTime;
use tokio::{
    sync::{Mutex, watch},
    task::JoinHandle,
};

use super::setup::Outgoing;
use crate::{
    audit::TARGET,
    config::{Client, ClientType},
    error::with_causes,
    protocol::{ErrorCode, TokenEndpoint, TokenError},
    provider::{BudgetExhausted, ProviderError},
    secret::Secret,
    session::{MIN_REPLACEABLE_AGE, MIN_TOKEN_LIFETIME, refresh_after},
    web::shared::SetupError,
};

/// The minimum pause after a failed request.
const RETRY_DELAY: Duration = Duration::from_secs(10);

/// Access tokens of the client itself (RFC 6749 section 4.4), returned by
/// [`Oten::client_credentials`](crate::Oten::client_credentials) and
/// [`ResourceServer::client_credentials`](crate::web::ResourceServer::client_credentials).
///
/// The token is kept in memory and requested again in the background before it expires. Simultaneous
/// callers share one request. After a failure, callers get its error for 10 seconds, or for as long as
/// the provider asks. Clones share their token, so create one per set of scopes and keep it.
///
/// ```no_run
/// # use axum_oten::Oten;
/// # async fn run(oten: Oten) -> Result<(), Box<dyn std::error::Error>> {
/// let service = oten.client_credentials(["orders:read"])?;
/// let authorization = format!("Bearer {}", service.token().await?.expose());
/// // … send it to the API and to no other server, or let `Oten::api_client` do so
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct ClientCredentials(Arc<Inner>);

struct Inner {
    outgoing: Outgoing,
    client: Client,
    /// Separated by spaces.
    scopes: String,
    current: watch::Sender<Option<Arc<ClientToken>>>,
    /// Locked during a request.
    last_failure: Mutex<Option<(OffsetDateTime, ClientCredentialsError)>>,
}

struct ClientToken {
    token: Secret,
    issued_at: OffsetDateTime,
    refresh_at: OffsetDateTime,
    expires_at: OffsetDateTime,
}

/// Error returned when the client gets no token of its own.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientCredentialsError {
    /// The provider's metadata is unavailable.
    #[error("the provider's token endpoint is unknown")]
    Provider(#[from] ProviderError),
    /// The provider, or this process's share of the provider's limit, allows no more token requests
    /// now.
    #[error(
        "no more token requests are allowed now; see `token_requests_per_minute` and `instances`"
    )]
    Busy {
        /// How long to wait.
        retry_after: Duration,
    },
    /// The provider rejects the request (RFC 6749 section 5.2).
    #[error("the token endpoint responded with `{0}`; {help}", help = help(.0))]
    Refused(ErrorCode),
    /// The provider failed, or did not respond.
    #[error("the token endpoint gave no token")]
    Unavailable(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// The response is a token that has expired or is about to.
    #[error("the access token in the response expires within 10 seconds; check `expires_in`")]
    Useless,
    /// The task that requested the token was aborted, because the runtime shuts down.
    #[error("the token request was aborted")]
    Aborted,
}

impl ClientCredentialsError {
    /// How long to wait before the next request, if the provider or the budget asks for it.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy { retry_after } => Some(*retry_after),
            Self::Provider(error) => error.retry_after(),
            _ => None,
        }
    }
}

/// A clause for the operator that says how to fix the problem with this grant.
fn help(code: &ErrorCode) -> &'static str {
    match code {
        ErrorCode::InvalidClient => {
            "the address of this machine may not be on the client's list of allowed addresses at \
             Oten: add the address that Oten sees. Otherwise check `client_id` and `client_secret`, \
             and that they belong to the configured environment"
        }
        ErrorCode::UnauthorizedClient | ErrorCode::UnsupportedGrantType => {
            "allow the client credentials grant for this client in the developer portal"
        }
        ErrorCode::InvalidScope => {
            "allow the scopes that the app requests for this client in the developer portal"
        }
        code => code.help(),
    }
}

impl From<BudgetExhausted> for ClientCredentialsError {
    fn from(exhausted: BudgetExhausted) -> Self {
        let retry_after = exhausted.retry_after();
        Self::Busy { retry_after }
    }
}

impl From<TokenError> for ClientCredentialsError {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::RateLimited { retry_after } => Self::Busy {
                retry_after: retry_after.unwrap_or(RETRY_DELAY),
            },
            TokenError::ErrorResponse(code, status) if !is_temporary(&code, status) => {
                Self::Refused(code)
            }
            error => Self::Unavailable(Arc::new(error)),
        }
    }
}

fn is_temporary(code: &ErrorCode, status: StatusCode) -> bool {
    code.is_retryable() || status.is_server_error()
}

impl ClientCredentials {
    pub(in crate::web) fn new<S: Into<String>>(
        outgoing: &Outgoing,
        scopes: impl IntoIterator<Item = S>,
    ) -> Result<Self, SetupError> {
        let is_confidential =
            |client: &&Client| matches!(client.client_type(), ClientType::Confidential { .. });
        let client = outgoing.client.as_ref().filter(is_confidential);
        let client = client.ok_or(SetupError::NoClientSecret)?.clone();
        let scopes: Vec<String> = scopes.into_iter().map(Into::into).collect();
        Ok(Self(Arc::new(Inner {
            outgoing: outgoing.clone(),
            client,
            scopes: scopes.join(" "),
            current: watch::Sender::new(None),
            last_failure: Mutex::default(),
        })))
    }

    /// Returns a token that is valid for at least 10 seconds. Requests one if there is none.
    ///
    /// # Errors
    ///
    /// Returns [`ClientCredentialsError`] if there is no such token and none can be requested.
    pub async fn token(&self) -> Result<Secret, ClientCredentialsError> {
        let now = self.now();
        let current = self.0.current.borrow().clone();
        match current {
            Some(issued) if issued.is_usable(now) => {
                if issued.is_refresh_due(now) && self.0.last_failure.try_lock().is_ok() {
                    self.request(None);
                }
                Ok(issued.token.clone())
            }
            _ => self.wait(None).await,
        }
    }

    /// Returns a token in place of one that an API has rejected. `None` if there is none, or if the
    /// rejected token is so new that another one would not help.
    pub(super) async fn token_after(&self, rejected: &Secret) -> Option<Secret> {
        let current = self.0.current.borrow().clone()?;
        if current.token == *rejected && !current.is_replaceable(self.now()) {
            return None;
        }
        let token = self.wait(Some(rejected.clone())).await.ok();
        token.filter(|token| token != rejected)
    }

    async fn wait(&self, rejected: Option<Secret>) -> Result<Secret, ClientCredentialsError> {
        let task = self.request(rejected).await;
        let issued = task.unwrap_or(Err(ClientCredentialsError::Aborted))?;
        Ok(issued.token.clone())
    }

    /// Requests a token, unless another task has done so meanwhile. Completes even if the callers that
    /// wait for it are cancelled.
    fn request(
        &self,
        rejected: Option<Secret>,
    ) -> JoinHandle<Result<Arc<ClientToken>, ClientCredentialsError>> {
        let this = self.clone();
        tokio::spawn(async move {
            let mut last_failure = this.0.last_failure.lock().await;
            let now = this.now();
            let current = this.0.current.borrow().clone();
            if let Some(issued) = current
                && issued.is_usable(now)
                && !issued.is_refresh_due(now)
                && rejected.is_none_or(|rejected| rejected != issued.token)
            {
                return Ok(issued);
            }
            if let Some((at, error)) = &*last_failure {
                let pause = error.retry_after().unwrap_or_default().max(RETRY_DELAY);
                let elapsed = now - *at;
                // A negative time means that the clock was set back.
                if !elapsed.is_negative() && elapsed < pause {
                    return Err(error.clone());
                }
            }
            match this.call_provider().await {
                Ok(issued) => {
                    let issued = Arc::new(issued);
                    *last_failure = None;
                    this.0.current.send_replace(Some(Arc::clone(&issued)));
                    Ok(issued)
                }
                Err(error) => {
                    tracing::warn!(
                        target: TARGET,
                        client_id = this.0.client.id(),
                        error = with_causes(&error),
                        "requesting a token of the client itself failed"
                    );
                    *last_failure = Some((this.now(), error.clone()));
                    Err(error)
                }
            }
        })
    }

    async fn call_provider(&self) -> Result<ClientToken, ClientCredentialsError> {
        let Inner {
            outgoing, client, ..
        } = &*self.0;
        let metadata = outgoing.provider.metadata().await?;
        if let Some(budget) = &outgoing.budget {
            budget.client_credentials()?;
        }
        let endpoint = TokenEndpoint {
            http: outgoing.provider.http(),
            url: metadata.token_endpoint(),
            client,
        };
        let response = endpoint.client_credentials(&self.0.scopes).await?;
        let (lifetime, issued_at) = (response.lifetime, self.now());
        let issued = ClientToken {
            token: response.access_token,
            issued_at,
            refresh_at: issued_at + refresh_after(lifetime),
            expires_at: issued_at + lifetime,
        };
        if !issued.is_usable(issued_at) {
            return Err(ClientCredentialsError::Useless);
        }
        Ok(issued)
    }

    fn now(&self) -> OffsetDateTime {
        self.0.outgoing.clock.now()
    }
}

impl ClientToken {
    fn is_usable(&self, now: OffsetDateTime) -> bool {
        now + MIN_TOKEN_LIFETIME < self.expires_at
    }

    /// After the clock was set back, the age is unknown.
    fn is_refresh_due(&self, now: OffsetDateTime) -> bool {
        now >= self.refresh_at || now < self.issued_at
    }

    fn is_replaceable(&self, now: OffsetDateTime) -> bool {
        (now - self.issued_at).abs() >= MIN_REPLACEABLE_AGE
    }
}

impl fmt::Debug for ClientCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCredentials")
            .field("client_id", &self.0.client.id())
            .field("scopes", &self.0.scopes)
            .finish_non_exhaustive()
    }
}
