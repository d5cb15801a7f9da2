use std::{fmt, net::IpAddr};

use http::request::Parts;

use super::{
    authorization::bearer_token, error::BearerError, token::BearerToken, verifier::Verifier,
};
use crate::{
    audit::AuditTrail, config::TrustedProxies, protocol::AccessTokenError, session::NATIVE_PREFIX,
    web::client_address,
};

/// What the layers and extractors of an API share.
pub(in crate::web) struct Api {
    pub(in crate::web) verifier: Verifier,
    pub(in crate::web) trail: AuditTrail,
    pub(in crate::web) trusted_proxies: TrustedProxies,
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.verifier.fmt(f)
    }
}

impl Api {
    /// Returns the verified token of a request, or `None` if it has none.
    pub(super) async fn token(&self, parts: &Parts) -> Result<Option<BearerToken>, BearerError> {
        let token = bearer_token(&parts.headers).map_err(BearerError::Request)?;
        let Some(token) = token else {
            return Ok(None);
        };
        if token.starts_with(NATIVE_PREFIX) {
            // The provider must not learn it.
            return Err(AccessTokenError::Kind.into());
        }
        let address = self.client_address(parts);
        let claims = self.verifier.verify(token, address).await?;
        Ok(Some(BearerToken::new(token, claims)))
    }

    pub(super) fn client_address(&self, parts: &Parts) -> Option<IpAddr> {
        client_address::of_request(&self.trusted_proxies, &parts.extensions, &parts.headers)
    }
}
