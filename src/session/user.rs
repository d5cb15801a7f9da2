use std::{
    fmt,
    ops::Deref,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use time::OffsetDateTime;

use crate::config::{Denied, Rule};

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
///
/// Clones are cheap. The claims are parsed when they are used first.
#[derive(Clone)]
pub struct User(Arc<UserData>);

/// Times are in seconds since the Unix epoch.
#[derive(Clone)]
pub(super) struct UserData {
    pub(super) issuer: Text,
    pub(super) subject: Text,
    /// The session at the provider (`sid`).
    pub(super) sid: Option<String>,
    pub(super) auth_time: Option<i64>,
    pub(super) signed_in_at: i64,
    pub(super) session_ends_at: i64,
    pub(super) claims: Claims,
}

/// Text within the bytes of a record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub(super) struct Text(Bytes);

impl Text {
    /// Returns `part`, which is a part of `record`.
    pub(super) fn of(record: &Bytes, part: &str) -> Self {
        Self(record.slice_ref(part.as_bytes()))
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        (*text).to_owned()
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        std::str::from_utf8(&self.0).expect("a text is made from a string")
    }
}

/// The claims of a user, as a JSON object.
#[derive(Clone)]
pub(super) struct Claims {
    json: Bytes,
    parsed: OnceLock<Map<String, Value>>,
}

impl Claims {
    pub(super) fn json(&self) -> &Bytes {
        &self.json
    }

    fn parsed(&self) -> &Map<String, Value> {
        self.parsed
            .get_or_init(|| serde_json::from_slice(&self.json).unwrap_or_default())
    }
}

impl From<Bytes> for Claims {
    fn from(json: Bytes) -> Self {
        Self {
            json,
            parsed: OnceLock::new(),
        }
    }
}

impl From<Map<String, Value>> for Claims {
    fn from(claims: Map<String, Value>) -> Self {
        let json = serde_json::to_vec(&claims).expect("a JSON object can be written");
        Self {
            json: json.into(),
            parsed: claims.into(),
        }
    }
}

impl User {
    /// The user's subject identifier at the provider (`sub`).
    ///
    /// Together with the [`issuer`](Self::issuer) it identifies the user and is never reassigned to
    /// another one. A name or an email address may be.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.0.subject
    }

    /// The issuer of the ID token (`iss`).
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.0.issuer
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

    /// A claim of the ID token about the user, or one that
    /// [`claims_from_userinfo`](crate::config::ConfigBuilder::claims_from_userinfo) added. Protocol claims
    /// such as `sub`, `aud`, `exp` and `nonce` are not included.
    #[must_use]
    pub fn claim(&self, name: &str) -> Option<&Value> {
        self.0.claims.parsed().get(name)
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
    ///
    /// let claims = |json: serde_json::Value| json.as_object().cloned().unwrap_or_default();
    /// let user = |json| User::for_test("https://account.oten.com", "alice", claims(json));
    /// let admin = user(serde_json::json!({"workspace": "example", "roles": ["admin"]}));
    /// assert!(is_admin(&admin)?);
    /// assert!(!is_admin(&user(serde_json::json!({"workspace": "example"})))?);
    /// assert!(is_admin(&user(serde_json::json!({}))).is_err());
    /// # Ok::<_, serde_json::Error>(())
    /// ```
    pub fn claims<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        T::deserialize(self.0.claims.parsed())
    }

    /// The time of the sign-in to this site.
    #[must_use]
    pub fn signed_in_at(&self) -> OffsetDateTime {
        date_time(self.0.signed_in_at)
    }

    /// The time of the user's authentication at the provider (`auth_time`), if the provider sends it.
    #[must_use]
    pub fn authenticated_at(&self) -> Option<OffsetDateTime> {
        OffsetDateTime::from_unix_timestamp(self.0.auth_time?).ok()
    }

    /// The time at which the session expires even if the user is active.
    #[must_use]
    pub fn session_ends_at(&self) -> OffsetDateTime {
        date_time(self.0.session_ends_at)
    }

    /// Creates a user with these claims who signed in now, for tests of the app. No session belongs to
    /// the user.
    #[must_use]
    pub fn for_test(
        issuer: impl Into<String>,
        subject: impl Into<String>,
        claims: Map<String, Value>,
    ) -> Self {
        let now = OffsetDateTime::now_utc().unix_timestamp();
        Self::new(UserData {
            issuer: issuer.into().into(),
            subject: subject.into().into(),
            sid: None,
            auth_time: None,
            signed_in_at: now,
            session_ends_at: now,
            claims: claims.into(),
        })
    }

    pub(super) fn new(data: UserData) -> Self {
        Self(Arc::new(data))
    }

    /// Returns the same user with other claims.
    pub(super) fn with_claims(&self, claims: Map<String, Value>) -> Self {
        Self::new(UserData {
            claims: claims.into(),
            ..(*self.0).clone()
        })
    }

    pub(super) fn sid(&self) -> Option<&str> {
        self.0.sid.as_deref()
    }

    pub(super) fn auth_time(&self) -> Option<i64> {
        self.0.auth_time
    }

    pub(super) fn data(&self) -> &UserData {
        &self.0
    }

    /// Whether subject and issuer are equal.
    pub(crate) fn is_same_person(&self, other: &Self) -> bool {
        self.0.subject == other.0.subject && self.0.issuer == other.0.issuer
    }

    fn text_claim(&self, name: &str) -> Option<&str> {
        self.claim(name)?.as_str()
    }
}

fn date_time(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// Prints subject and issuer only: the claims are private.
impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User")
            .field("issuer", &self.issuer())
            .field("subject", &self.subject())
            .finish_non_exhaustive()
    }
}

impl Rule {
    /// Whether the rule allows a user.
    #[must_use]
    pub fn allows(&self, user: &User) -> bool {
        self.check(user).is_ok()
    }

    /// Checks whether the rule allows a user.
    ///
    /// # Errors
    ///
    /// Returns [`Denied`] with the conditions that decided it.
    pub fn check(&self, user: &User) -> Result<(), Denied> {
        self.decide(user.subject(), user.0.claims.parsed())
    }
}
