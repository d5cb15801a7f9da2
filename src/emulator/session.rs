use std::sync::Arc;

use http::{HeaderMap, header};

use super::{core::Core, expiring::Expiring, keys::base64url, user::User};
use crate::secret::{Secret, random_bytes};

/// The emulator's own cookie: who signed in at the provider.
const COOKIE: &str = "oten_emulator";
/// How long the provider remembers a person, in seconds.
const LIFETIME: i64 = 30 * 24 * 60 * 60;

/// A person who signed in at the provider, and when.
#[derive(Clone)]
pub(super) struct SignedIn {
    pub(super) user: &'static User,
    pub(super) auth_time: i64,
    /// The name of this session in ID tokens and logout tokens. It is not the cookie's value:
    /// every client learns it.
    pub(super) sid: Arc<str>,
}

impl SignedIn {
    /// A person who signs in now, in a session of its own.
    pub(super) fn new(core: &Core, user: &'static User) -> Self {
        Self {
            user,
            auth_time: core.now(),
            sid: base64url(*random_bytes::<16>()).into(),
        }
    }
}

/// Who is signed in, and who allowed what.
pub(super) struct Sessions {
    people: Expiring<SignedIn>,
    consents: Expiring<()>,
}

impl Sessions {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            people: Expiring::new(capacity),
            consents: Expiring::new(capacity),
        }
    }

    /// The sessions that have not ended, the oldest first.
    pub(super) fn live(&self, now: i64) -> impl Iterator<Item = &SignedIn> {
        self.people.values(now)
    }

    /// Ends every session that passes the test.
    pub(super) fn end_if(&mut self, test: impl Fn(&SignedIn) -> bool) {
        self.people.remove_if(test);
    }

    pub(super) fn has_consent(&self, user: &User, client_id: &str, scope: &str) -> bool {
        self.consents
            .get(&consent(user, client_id, scope), 0)
            .is_some()
    }

    /// Remembers a consent for as long as the emulator lives.
    pub(super) fn remember_consent(&mut self, user: &User, client_id: &str, scope: &str) {
        let key = consent(user, client_id, scope);
        if self.consents.get(&key, 0).is_none() {
            self.consents.insert(key, (), i64::MAX, 0);
        }
    }
}

/// The person the browser's cookie stands for.
pub(super) fn signed_in(core: &Core, headers: &HeaderMap) -> Option<SignedIn> {
    let id = cookie_value(headers)?;
    let state = core.state();
    let person = state.sessions.people.get(&id, core.now())?;
    (!state.disabled_users.contains(person.user.sub)).then(|| person.clone())
}

/// Signs a person in, in the place of whom the browser's cookie stands for, and adds the new
/// `Set-Cookie`. Who was there already stays in the same session.
pub(super) fn sign_in(core: &Core, headers: &HeaderMap, user: &'static User) -> (SignedIn, String) {
    let mut person = SignedIn::new(core, user);
    if let Some(before) = cookie_value(headers)
        .and_then(|id| core.state().sessions.people.remove(&id, core.now()))
        .filter(|before| before.user == user)
    {
        person.sid = before.sid;
    }
    let id = remember(core, person.clone());
    (person, set_cookie(core, id.expose(), ""))
}

/// Starts the session of a person; the answer is what a cookie says for it.
pub(super) fn remember(core: &Core, person: SignedIn) -> Secret {
    let id = Secret::random();
    let now = core.now();
    let people = &mut core.state().sessions.people;
    people.insert(id.expose().to_owned(), person, now + LIFETIME, now);
    id
}

/// Forgets the person; the answer is the `Set-Cookie` that clears the cookie.
pub(super) fn sign_out(core: &Core, headers: &HeaderMap) -> String {
    if let Some(id) = cookie_value(headers) {
        core.state().sessions.people.remove(&id, core.now());
    }
    set_cookie(core, "", "; Max-Age=0")
}

fn set_cookie(core: &Core, value: &str, more: &str) -> String {
    let path = if core.path.is_empty() {
        "/"
    } else {
        &core.path
    };
    format!("{COOKIE}={value}; Path={path}; HttpOnly; SameSite=Lax{more}")
}

fn cookie_value(headers: &HeaderMap) -> Option<String> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(cookie::Cookie::split_parse)
        .filter_map(Result::ok)
        .find(|cookie| cookie.name() == COOKIE)
        .map(|cookie| cookie.value().to_owned())
}

fn consent(user: &User, client_id: &str, scope: &str) -> String {
    let mut scopes: Vec<_> = scope.split(' ').collect();
    scopes.sort_unstable();
    scopes.dedup();
    format!("{}\n{client_id}\n{}", user.sub, scopes.join(" "))
}
