//! The state of an emulator, shared by its endpoints.

pub(crate) mod grant;
pub(crate) mod session;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use url::Url;

use super::{
    client::RegisteredClient,
    exchanges::Exchange,
    expiring::Expiring,
    faults::{Deviation, Endpoint, Faults, hold::Holds},
    keys::ProviderKey,
    messages::authorization::AuthorizationRequest,
    preset::Preset,
    rate_limits::RateLimits,
};
use crate::{clock::Clock, jose::Algorithm};
use grant::{AccessToken, Grants};
use session::{SignedIn, User};

/// How long a session at the provider lives, in seconds.
const SESSION_LIFETIME: i64 = 30 * 24 * 60 * 60;

/// An emulator: its configuration, and its state behind a lock.
pub(crate) struct Core {
    /// Without a trailing slash.
    pub(crate) issuer: String,
    /// The issuer as a URL in its normal form.
    address: String,
    /// The path of the issuer, such as `/oten`. Empty at the root.
    pub(crate) path: String,
    pub(crate) clients: BTreeMap<String, RegisteredClient>,
    pub(crate) settings: Settings,
    clock: Clock,
    state: Mutex<State>,
}

/// The settings of the builder. Lifetimes are in seconds, the unit of every token.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a setting of its own"
)]
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) access_token_lifetime: i64,
    pub(crate) refresh_token_lifetime: i64,
    /// Whether clients receive refresh tokens.
    pub(crate) refresh_tokens: bool,
    /// Whether a refresh token can be used only once and is replaced by a new one.
    pub(crate) rotation: bool,
    /// Whether access tokens are random values instead of JWTs.
    pub(crate) opaque_access_tokens: bool,
    /// Whether the response to a refresh contains an ID token.
    pub(crate) id_token_on_refresh: bool,
    /// Whether userinfo responses are signed.
    pub(crate) signed_userinfo: bool,
    pub(crate) rate_limits: Option<RateLimits>,
    /// The number of exchanges to keep.
    pub(crate) recorded_exchanges: usize,
    pub(crate) extensions: BTreeSet<Extension>,
    pub(crate) algorithm: Algorithm,
    pub(crate) algorithm_name: &'static str,
    /// The provider to imitate; `None` for Oten.
    pub(crate) preset: Option<Preset>,
}

impl Settings {
    pub(crate) fn sign_with(&mut self, algorithm: Algorithm) {
        self.algorithm = algorithm;
        self.algorithm_name = algorithm.name();
    }
}

/// A feature that Oten does not document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Extension {
    Iss,
    EndSession,
    Revocation,
    /// Also adds `sid` to ID tokens.
    BackChannelLogout,
    IssuerInCapitals,
    Userinfo,
}

/// The part that changes while the emulator runs.
pub(crate) struct State {
    /// Set while an emulator without a listener of its own is stopped.
    pub(crate) is_stopped: bool,
    pub(crate) calls: BTreeMap<Endpoint, u64>,
    pub(crate) faults: Faults,
    pub(crate) holds: Holds,
    pub(crate) deviations: Vec<Deviation>,
    pub(crate) key: ProviderKey,
    /// Keys that are no longer published but still verify ID token hints.
    former_keys: Vec<ProviderKey>,
    /// Client ID and `jti` of every request object that could be replayed.
    used_request_objects: Expiring<()>,
    pub(crate) interactions: Expiring<Interaction>,
    pub(crate) pending_logouts: Expiring<PendingLogout>,
    /// The users' sessions at the provider, by cookie value.
    pub(crate) sessions: Expiring<SignedIn>,
    consents: Expiring<()>,
    pub(crate) grants: Grants,
    pub(crate) disabled_users: BTreeSet<&'static str>,
    /// The calls of the minute, by endpoint and caller.
    windows: Expiring<Window>,
    /// The last messages, oldest first.
    pub(crate) exchanges: VecDeque<Exchange>,
}

/// A minute in which calls are counted.
struct Window {
    ends_at: i64,
    calls: u32,
}

/// An authorization request that waits for the user.
#[derive(Clone)]
pub(crate) struct Interaction {
    pub(crate) request: AuthorizationRequest,
    /// The user to ask for consent. `None` while the user has to sign in.
    pub(crate) user: Option<SignedIn>,
}

/// A logout that waits for the user's confirmation.
pub(crate) struct PendingLogout {
    /// The session to end.
    pub(crate) sid: Arc<str>,
    /// The URL to which the browser returns.
    pub(crate) return_to: Option<Url>,
}

impl Core {
    pub(crate) fn new(
        issuer: &Url,
        clients: BTreeMap<String, RegisteredClient>,
        clock: Clock,
        settings: Settings,
    ) -> Self {
        let state = State {
            is_stopped: false,
            calls: BTreeMap::new(),
            faults: Faults::default(),
            holds: Holds::default(),
            deviations: Vec::new(),
            key: ProviderKey::generate(settings.algorithm),
            former_keys: Vec::new(),
            used_request_objects: Expiring::new(&clock),
            interactions: Expiring::new(&clock),
            pending_logouts: Expiring::new(&clock),
            sessions: Expiring::new(&clock),
            consents: Expiring::new(&clock),
            grants: Grants::new(&clock),
            disabled_users: BTreeSet::new(),
            windows: Expiring::new(&clock),
            exchanges: VecDeque::new(),
        };
        let address = issuer.as_str().trim_end_matches('/').to_owned();
        let path = issuer.path().trim_end_matches('/').to_owned();
        let mut issuer = address.clone();
        if settings.extensions.contains(&Extension::IssuerInCapitals) {
            issuer[..address.len() - path.len()].make_ascii_uppercase();
        }
        Self {
            issuer,
            address,
            path,
            clients,
            settings,
            clock,
            state: Mutex::new(state),
        }
    }

    /// Locks the state. Callers do not hold the guard across an `await`. A panic elsewhere leaves
    /// the state usable, so poisoning is ignored.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns seconds since the Unix epoch.
    pub(crate) fn now(&self) -> i64 {
        self.clock.unix_now()
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Keeps an exchange, in place of the oldest one if there are too many.
    pub(crate) fn add_exchange(&self, exchange: Exchange) {
        let exchanges = &mut self.state().exchanges;
        exchanges.push_back(exchange);
        let excess = exchanges
            .len()
            .saturating_sub(self.settings.recorded_exchanges);
        exchanges.drain(..excess);
    }

    pub(crate) fn url(&self, endpoint: Endpoint) -> String {
        format!("{}{}", self.address, self.path_of(endpoint))
    }

    /// The path of an endpoint, relative to the issuer.
    pub(crate) fn path_of(&self, endpoint: Endpoint) -> &'static str {
        let preset = self.settings.preset;
        preset.map_or(endpoint.path(), |preset| preset.path(endpoint))
    }

    /// The path of the front page.
    pub(crate) fn front_path(&self) -> &str {
        match self.path.as_str() {
            "" => "/",
            path => path,
        }
    }

    pub(crate) fn supports(&self, extension: Extension) -> bool {
        self.settings.extensions.contains(&extension)
    }

    pub(crate) fn count_call(&self, endpoint: Endpoint) {
        *self.state().calls.entry(endpoint).or_default() += 1;
    }

    /// Counts a call of `caller`: a client, a token or an address. Returns the time to wait, in seconds,
    /// if it exceeds the limit.
    pub(crate) fn check_limit(&self, endpoint: Endpoint, caller: &str) -> Result<(), i64> {
        let limit = self
            .settings
            .rate_limits
            .and_then(|limits| limits.of(endpoint));
        let Some(limit) = limit else {
            return Ok(());
        };
        let key = format!("{}\n{caller}", endpoint.path());
        let (now, state) = (self.now(), &mut *self.state());
        let Some(window) = state.windows.get_mut(&key) else {
            let ends_at = now.saturating_add(60);
            let window = Window { ends_at, calls: 1 };
            state.windows.insert(key, window, ends_at);
            return Ok(());
        };
        if window.calls == limit {
            return Err(window.ends_at - now);
        }
        window.calls += 1;
        Ok(())
    }

    /// Returns the `iss` parameter of authorization responses (RFC 9207), if enabled.
    pub(crate) fn response_iss(&self) -> Option<String> {
        self.supports(Extension::Iss).then(|| self.issuer.clone())
    }
}

impl State {
    pub(crate) fn rotate_keys(&mut self, algorithm: Algorithm) {
        let former = mem::replace(&mut self.key, ProviderKey::generate(algorithm));
        self.former_keys.push(former);
    }

    /// Returns the current or a former key.
    pub(crate) fn find_key(&self, key_id: &str) -> Option<&ProviderKey> {
        let mut keys = self.former_keys.iter().chain([&self.key]);
        keys.find(|key| key.key_id == key_id)
    }

    /// Marks a request object as used. Returns `false` if it was used before.
    pub(crate) fn use_request_object(&mut self, client_id: &str, jti: &str, exp: i64) -> bool {
        let key = format!("{client_id}\n{jti}");
        let is_new = self.used_request_objects.get(&key).is_none();
        if is_new {
            self.used_request_objects.insert(key, (), exp);
        }
        is_new
    }

    /// Starts a session and returns its cookie value.
    pub(crate) fn start_session(&mut self, session: SignedIn) -> String {
        self.sessions.add(session, SESSION_LIFETIME)
    }

    pub(crate) fn has_consent(&self, user: &User, client_id: &str, scope: &str) -> bool {
        let key = consent_key(user, client_id, scope);
        self.consents.get(&key).is_some()
    }

    /// Stores a consent, which does not expire.
    pub(crate) fn add_consent(&mut self, user: &User, client_id: &str, scope: &str) {
        if !self.has_consent(user, client_id, scope) {
            let key = consent_key(user, client_id, scope);
            self.consents.insert(key, (), i64::MAX);
        }
    }

    pub(crate) fn is_enabled(&self, user: &User) -> bool {
        !self.disabled_users.contains(user.sub)
    }

    /// Returns a user that is not disabled.
    pub(crate) fn find_user(&self, sub: &str) -> Option<&'static User> {
        User::find(sub).filter(|user| self.is_enabled(user))
    }

    /// Returns a valid access token, unless its user is disabled.
    pub(crate) fn access_token(&self, jwt: &str) -> Option<&AccessToken> {
        let token = self.grants.access_token(jwt);
        token.filter(|token| token.grant.user.is_none_or(|user| self.is_enabled(user)))
    }
}

fn consent_key(user: &User, client_id: &str, scope: &str) -> String {
    let mut scopes: Vec<_> = scope.split(' ').collect();
    scopes.sort_unstable();
    scopes.dedup();
    format!("{}\n{client_id}\n{}", user.sub, scopes.join(" "))
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            access_token_lifetime: 60 * 60,
            refresh_token_lifetime: 30 * 24 * 60 * 60,
            refresh_tokens: true,
            rotation: true,
            opaque_access_tokens: false,
            id_token_on_refresh: true,
            signed_userinfo: false,
            rate_limits: None,
            recorded_exchanges: 0,
            extensions: BTreeSet::new(),
            algorithm: Algorithm::EdDsa,
            algorithm_name: Algorithm::EdDsa.name(),
            preset: None,
        }
    }
}
