use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::OffsetDateTime;

/// The signed-in user of a request.
///
/// As an extractor it refuses guests: a page navigation is sent to sign in and comes back, anything
/// else gets 401. `Option<User>` is `None` for a guest.
///
/// ```
/// use axum_oten::User;
///
/// async fn dashboard(user: User) -> String {
///     format!("Hello {}", user.name().unwrap_or(user.subject()))
/// }
///
/// async fn home(user: Option<User>) -> &'static str {
///     if user.is_some() { "Welcome back" } else { "Please sign in" }
/// }
/// ```
#[derive(Clone, Serialize, Deserialize)]
pub struct User {
    #[serde(rename = "iss")]
    pub(crate) issuer: String,
    #[serde(rename = "sub")]
    pub(crate) subject: String,
    pub(crate) claims: Map<String, Value>,
    #[serde(with = "time::serde::timestamp")]
    pub(crate) signed_in_at: OffsetDateTime,
    #[serde(with = "time::serde::timestamp")]
    pub(crate) session_ends_at: OffsetDateTime,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) auth_time: Option<i64>,
}

impl User {
    /// The user's id at the provider (`sub`). Together with [`issuer`](Self::issuer) it never
    /// belongs to anybody else; a name or an email address may.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The provider that vouches for the user (`iss`).
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The full name, with the scope `profile`.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.text_claim("name")
    }

    /// The email address, with the scope `email`. Oten does not say whether it was verified: do not
    /// use it as an identifier.
    #[must_use]
    pub fn email(&self) -> Option<&str> {
        self.text_claim("email")
    }

    /// The URL of a picture, if the provider supplies one.
    #[must_use]
    pub fn picture(&self) -> Option<&str> {
        self.text_claim("picture")
    }

    /// Any other claim of the ID token that is about the user; those of the protocol itself (`aud`,
    /// `exp`, `nonce` and so on) are not among them.
    #[must_use]
    pub fn claim(&self, name: &str) -> Option<&Value> {
        self.claims.get(name)
    }

    /// When the user came back from the provider to this site.
    #[must_use]
    pub fn signed_in_at(&self) -> OffsetDateTime {
        self.signed_in_at
    }

    /// When the user proved their identity to the provider (`auth_time`), if the provider tells.
    #[must_use]
    pub fn authenticated_at(&self) -> Option<OffsetDateTime> {
        OffsetDateTime::from_unix_timestamp(self.auth_time?).ok()
    }

    /// When the session ends, however active the user is.
    #[must_use]
    pub fn session_ends_at(&self) -> OffsetDateTime {
        self.session_ends_at
    }

    /// Whether this is the same person at the same provider.
    pub(crate) fn is_same_person(&self, other: &Self) -> bool {
        self.subject == other.subject && self.issuer == other.issuer
    }

    fn text_claim(&self, name: &str) -> Option<&str> {
        self.claims.get(name)?.as_str()
    }
}

/// Subject and issuer; the claims are private.
impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User")
            .field("issuer", &self.issuer)
            .field("subject", &self.subject)
            .finish_non_exhaustive()
    }
}
