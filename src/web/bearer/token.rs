use std::{fmt, sync::Arc};

use serde_json::Value;
use time::OffsetDateTime;

use crate::{protocol::AccessTokenClaims, secret::Secret};

/// The access token of an API request, verified by [`RequireBearer`](super::RequireBearer).
///
/// `Option<BearerToken>` is `None` if the request has none and the layer lets it pass. See
/// [`ResourceServer`](super::ResourceServer) for an example.
#[derive(Clone)]
pub struct BearerToken {
    token: Secret,
    pub(super) claims: Arc<AccessTokenClaims>,
}

impl BearerToken {
    pub(super) fn new(token: &str, claims: Arc<AccessTokenClaims>) -> Self {
        Self {
            token: token.into(),
            claims,
        }
    }

    /// The token as text, to call another API of the same audience on the client's behalf.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.token.expose()
    }

    /// The subject (`sub`): a user, or the client itself for a token of the client credentials grant.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.claims.subject.as_deref()
    }

    /// The client that the token was issued to (`client_id`).
    #[must_use]
    pub fn client_id(&self) -> Option<&str> {
        self.claims.client_id.as_deref()
    }

    /// The granted scopes, in the order of the token.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        self.claims.scopes.iter().map(String::as_str)
    }

    /// When the token expires (`exp`). `None` if the provider validated it without naming a time.
    #[must_use]
    pub fn expires_at(&self) -> Option<OffsetDateTime> {
        OffsetDateTime::from_unix_timestamp(self.claims.expires_at).ok()
    }

    /// A claim of the token.
    #[must_use]
    pub fn claim(&self, name: &str) -> Option<&Value> {
        self.claims.all.get(name)
    }
}

/// Prints the subject only.
impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BearerToken")
            .field("subject", &self.subject())
            .finish_non_exhaustive()
    }
}
