use std::fmt;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use time::OffsetDateTime;

/// The signed-in user of a request.
///
/// As an extractor, `User` rejects a request without a signed-in user: a browser navigation is
/// redirected to the login route and returns after the sign-in, any other request gets 401.
/// `Option<User>` is `None` instead. See [`UserRejection`](crate::web::UserRejection) for all
/// responses.
///
/// `Option<User>` reads the session only and never refreshes tokens. A user who was disabled at the
/// provider therefore stays visible there until `User`, [`AccessToken`](crate::AccessToken) or
/// [`require_login`](crate::Oten::require_login) refreshes the tokens.
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
    /// The user's subject identifier at the provider (`sub`).
    ///
    /// Together with the [`issuer`](Self::issuer) it identifies the user and is never reassigned to
    /// another one. A name or an email address may be.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The issuer of the ID token (`iss`).
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The full name (`name`). Requires the scope `profile`.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.text_claim("name")
    }

    /// The email address (`email`). Requires the scope `email`.
    ///
    /// Do not use it as an identifier: Oten does not say whether the address is verified.
    #[must_use]
    pub fn email(&self) -> Option<&str> {
        self.text_claim("email")
    }

    /// The URL of the profile picture (`picture`), if the provider sends one.
    #[must_use]
    pub fn picture(&self) -> Option<&str> {
        self.text_claim("picture")
    }

    /// A claim of the ID token about the user. Protocol claims such as `sub`, `aud`, `exp` and `nonce`
    /// are not included.
    #[must_use]
    pub fn claim(&self, name: &str) -> Option<&Value> {
        self.claims.get(name)
    }

    /// Deserializes the claims of [`claim`](Self::claim) into a type of the app.
    ///
    /// # Errors
    ///
    /// Returns an error if a claim is missing or has another type than the field.
    ///
    /// ```
    /// use axum_oten::User;
    /// use serde::Deserialize;
    ///
    /// #[derive(Deserialize)]
    /// struct Staff {
    ///     workspace: String,
    ///     #[serde(default)]
    ///     roles: Vec<String>,
    /// }
    ///
    /// fn is_admin(user: &User) -> Result<bool, serde_json::Error> {
    ///     let staff: Staff = user.claims()?;
    ///     Ok(staff.workspace == "example" && staff.roles.iter().any(|role| role == "admin"))
    /// }
    /// # let user = |claims: serde_json::Value| -> User {
    /// #     serde_json::from_value(serde_json::json!({
    /// #         "iss": "https://account.oten.com", "sub": "alice", "claims": claims,
    /// #         "signed_in_at": 0, "session_ends_at": 0,
    /// #     })).unwrap()
    /// # };
    /// # assert!(is_admin(&user(serde_json::json!({"workspace": "example", "roles": ["admin"]}))).unwrap());
    /// # assert!(!is_admin(&user(serde_json::json!({"workspace": "example"}))).unwrap());
    /// # assert!(is_admin(&user(serde_json::json!({}))).is_err());
    /// ```
    pub fn claims<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        T::deserialize(&self.claims)
    }

    /// The time of the sign-in to this site.
    #[must_use]
    pub fn signed_in_at(&self) -> OffsetDateTime {
        self.signed_in_at
    }

    /// The time of the user's authentication at the provider (`auth_time`), if the provider sends it.
    #[must_use]
    pub fn authenticated_at(&self) -> Option<OffsetDateTime> {
        OffsetDateTime::from_unix_timestamp(self.auth_time?).ok()
    }

    /// The time at which the session expires even if the user is active.
    #[must_use]
    pub fn session_ends_at(&self) -> OffsetDateTime {
        self.session_ends_at
    }

    /// Whether subject and issuer are equal.
    pub(crate) fn is_same_person(&self, other: &Self) -> bool {
        self.subject == other.subject && self.issuer == other.issuer
    }

    fn text_claim(&self, name: &str) -> Option<&str> {
        self.claims.get(name)?.as_str()
    }
}

/// Prints subject and issuer only: the claims are private.
impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User")
            .field("issuer", &self.issuer)
            .field("subject", &self.subject)
            .finish_non_exhaustive()
    }
}
