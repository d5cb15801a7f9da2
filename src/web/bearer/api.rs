use std::{fmt, net::IpAddr};

use http::{HeaderMap, header, request::Parts};

use super::{error::BearerError, token::BearerToken, verifier::Verifier};
use crate::{audit::AuditTrail, config::TrustedProxies, web::client_address};

/// A longer token is rejected unread.
const MAX_TOKEN_BYTES: usize = 16 * 1024;

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
        let Some(token) = credentials(&parts.headers)? else {
            return Ok(None);
        };
        let address = self.client_address(parts);
        let claims = self.verifier.verify(token, address).await?;
        Ok(Some(BearerToken::new(token, claims)))
    }

    pub(super) fn client_address(&self, parts: &Parts) -> Option<IpAddr> {
        client_address::of_request(&self.trusted_proxies, &parts.extensions, &parts.headers)
    }
}

/// Returns the token in `Authorization` (RFC 6750 section 2.1). The other places of section 2, the
/// form and the query, end up in logs and are not read.
fn credentials(headers: &HeaderMap) -> Result<Option<&str>, BearerError> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(BearerError::Request("it is given more than once"));
    }
    let Some((scheme, token)) = value.to_str().ok().and_then(|text| text.split_once(' ')) else {
        return Err(BearerError::Request("it has no scheme and credentials"));
    };
    if !scheme.eq_ignore_ascii_case("Bearer") {
        return Ok(None);
    }
    let token = token.trim_matches(' ');
    if token.len() > MAX_TOKEN_BYTES {
        return Err(BearerError::Request("its token is longer than 16 KiB"));
    }
    let characters = token.trim_end_matches('=');
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    if characters.is_empty() || !characters.bytes().all(is_allowed) {
        return Err(BearerError::Request("its token has characters of no token"));
    }
    Ok(Some(token))
}
