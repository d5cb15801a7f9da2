use serde_json::{Map, Value, json};

/// A person of the emulator's small town. The name is also the subject identifier.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct User {
    pub(super) sub: &'static str,
    pub(super) name: &'static str,
    pub(super) email: &'static str,
}

pub(super) static USERS: [User; 3] = [
    User {
        sub: "alice",
        name: "Alice Adams",
        email: "alice@example.com",
    },
    User {
        sub: "bob",
        name: "Bob Brown",
        email: "bob@example.com",
    },
    User {
        sub: "carol",
        name: "Carol Clark",
        email: "carol@example.com",
    },
];

impl User {
    pub(super) fn find(sub: &str) -> Option<&'static Self> {
        USERS.iter().find(|user| user.sub == sub)
    }

    /// The claims that `scope` covers.
    pub(super) fn claims(&self, scope: &str) -> Map<String, Value> {
        let mut claims = Map::new();
        claims.insert("sub".into(), json!(self.sub));
        for granted in scope.split(' ') {
            match granted {
                "profile" => claims.insert("name".into(), json!(self.name)),
                "email" => claims.insert("email".into(), json!(self.email)),
                _ => None,
            };
        }
        claims
    }
}
