use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::secret::{base64url, random_bytes};

/// A user of the emulator.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct User {
    /// The subject identifier.
    pub(crate) sub: &'static str,
    pub(crate) name: &'static str,
    pub(crate) email: &'static str,
}

pub(crate) static USERS: &[User] = &[
    User::new("alice", "Alice Adams", "alice@example.com"),
    User::new("bob", "Bob Brown", "bob@example.com"),
    User::new("carol", "Carol Clark", "carol@example.com"),
];

impl User {
    const fn new(sub: &'static str, name: &'static str, email: &'static str) -> Self {
        Self { sub, name, email }
    }

    pub(crate) fn find(sub: &str) -> Option<&'static Self> {
        USERS.iter().find(|user| user.sub == sub)
    }

    /// Returns the claims that `scope` covers.
    pub(crate) fn claims(&self, scope: &str) -> Map<String, Value> {
        let mut claims = Map::new();
        claims.insert("sub".into(), json!(self.sub));
        for value in scope.split(' ') {
            match value {
                "profile" => claims.insert("name".into(), json!(self.name)),
                "email" => claims.insert("email".into(), json!(self.email)),
                _ => None,
            };
        }
        claims
    }
}

/// A user's session at the provider.
#[derive(Clone)]
pub(crate) struct SignedIn {
    pub(crate) user: &'static User,
    pub(crate) auth_time: i64,
    /// The session ID in ID tokens and logout tokens. It differs from the cookie's value, because
    /// every client sees it.
    pub(crate) sid: Arc<str>,
}

impl SignedIn {
    pub(crate) fn new(user: &'static User, auth_time: i64) -> Self {
        Self {
            user,
            auth_time,
            sid: base64url(*random_bytes::<16>()).into(),
        }
    }
}
