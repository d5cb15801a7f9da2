use std::{fmt, sync::Arc};

use tokio_util::task::TaskTracker;
use url::Url;

use super::Tokens;
use crate::{
    audit::{AuditTrail, EventKind},
    config::Client,
    error::with_causes,
    protocol::revoke_refresh_token,
    provider::Provider,
    secret::Secret,
};

/// Tells the provider that tokens are needed no more (RFC 7009), where it has an endpoint for that.
/// Nobody waits for it, and nothing depends on it: the session they belonged to is gone already.
#[derive(Clone)]
pub(crate) struct Revoker {
    pub(crate) provider: Arc<Provider>,
    pub(crate) client: Client,
    /// The configured endpoint; else the announced one is used.
    pub(crate) endpoint: Option<Url>,
    pub(crate) tasks: TaskTracker,
    pub(crate) trail: AuditTrail,
}

impl Revoker {
    /// Revokes the refresh token, if there is one, in the background.
    pub(crate) fn revoke(&self, tokens: &Tokens, correlation_id: &str) {
        let Some(refresh_token) = &tokens.refresh_token else {
            return;
        };
        let (this, refresh_token) = (self.clone(), refresh_token.0.clone());
        let correlation_id = correlation_id.to_owned();
        self.tasks.spawn(async move {
            this.revoke_now(&refresh_token, &correlation_id).await;
        });
    }

    async fn revoke_now(&self, refresh_token: &Secret, correlation_id: &str) {
        let Some(endpoint) = self.endpoint().await else {
            return;
        };
        let http = self.provider.http();
        let revoked = revoke_refresh_token(http, &endpoint, &self.client, refresh_token).await;
        if let Err(error) = revoked {
            let event = self.trail.event(EventKind::RevocationFailed);
            let event = event
                .with_correlation_id(correlation_id)
                .with_cause(with_causes(&error));
            self.trail.record(&event);
        }
    }

    async fn endpoint(&self) -> Option<Url> {
        if let Some(configured) = &self.endpoint {
            return Some(configured.clone());
        }
        let metadata = self.provider.metadata().await.ok()?;
        metadata.revocation_endpoint().cloned()
    }
}

impl fmt::Debug for Revoker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Revoker").finish_non_exhaustive()
    }
}
