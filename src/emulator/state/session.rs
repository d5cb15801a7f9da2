use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::{
    clock::Clock,
    emulator::{expiring::Expiring, keys::base64url},
    secret::random_bytes,
};

/// How long a session at the provider lives, in seconds.
const LIFETIME: i64 = 30 * 24 * 60 * 60;

/// A user of the emulator.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct User {
    /// The subject identifier.
    pub(crate) sub: &'static str,
    pub(crate) name: &'static str,
    pub(crate) email: &'static str,
}

pub(crate) static USERS: [User; 3] = [
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

/// The sessions at the provider, by cookie value, and the consents of the users.
pub(crate) struct Sessions {
    sessions: Expiring<SignedIn>,
    consents: Expiring<()>,
}

impl Sessions {
    pub(crate) fn new(clock: &Clock) -> Self {
        Self {
            sessions: Expiring::new(clock),
            consents: Expiring::new(clock),
        }
    }

    /// Starts a session and returns its cookie value.
    pub(crate) fn start(&mut self, session: SignedIn) -> String {
        self.sessions.add(session, LIFETIME)
    }

    pub(crate) fn get(&self, cookie: &str) -> Option<&SignedIn> {
        self.sessions.get(cookie)
    }

    pub(crate) fn end(&mut self, cookie: &str) -> Option<SignedIn> {
        self.sessions.remove(cookie)
    }

    pub(crate) fn end_if(&mut self, predicate: impl Fn(&SignedIn) -> bool) {
        self.sessions.remove_if(predicate);
    }

    /// Returns the live sessions, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &SignedIn> {
        self.sessions.values()
    }

    pub(crate) fn has_consent(&self, user: &User, client_id: &str, scope: &str) -> bool {
        self.consents
            .get(&consent_key(user, client_id, scope))
            .is_some()
    }

    /// Stores a consent, which does not expire.
    pub(crate) fn add_consent(&mut self, user: &User, client_id: &str, scope: &str) {
        let key = consent_key(user, client_id, scope);
        if self.consents.get(&key).is_none() {
            self.consents.insert(key, (), i64::MAX);
        }
    }
}

fn consent_key(user: &User, client_id: &str, scope: &str) -> String {
    let mut scopes: Vec<_> = scope.split(' ').collect();
    scopes.sort_unstable();
    scopes.dedup();
    format!("{}\n{client_id}\n{}", user.sub, scopes.join(" "))
}
