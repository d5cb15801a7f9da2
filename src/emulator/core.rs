use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use super::{
    Deviation, EmulatedClient,
    client::RequestForm,
    end_session::Unconfirmed,
    expiring::Expiring,
    fault::{Calls, Faults},
    gate::Gates,
    grant::Grants,
    interaction::Interaction,
    keys::ProviderKey,
    session::Sessions,
};
use crate::{clock::Clock, jose::JwkSet};

/// Everything an endpoint needs.
pub(super) struct Core {
    /// Without a trailing slash.
    pub(super) issuer: String,
    /// The issuer's path: empty, or `/oten`.
    pub(super) path: String,
    pub(super) clients: BTreeMap<String, Client>,
    pub(super) settings: Settings,
    pub(super) calls: Calls,
    /// Set while an emulator without a listener of its own plays dead.
    stopped: AtomicBool,
    clock: Clock,
    state: Mutex<State>,
}

/// A registered client that was checked.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) registered: EmulatedClient,
    pub(super) request_form: RequestForm,
}

/// What the builder sets. Lifetimes are in seconds, the unit of every token.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) access_token_lifetime: i64,
    pub(super) refresh_token_lifetime: i64,
    pub(super) refresh: Refresh,
    pub(super) extras: BTreeSet<Extra>,
    pub(super) algorithm_name: &'static str,
}

/// What a refresh brings.
#[derive(Clone, Debug)]
pub(super) struct Refresh {
    /// Whether there are refresh tokens at all.
    pub(super) tokens: bool,
    /// Whether each is good for one use and brings its successor.
    pub(super) rotate: bool,
    pub(super) id_token: bool,
}

/// What discovery says beyond Oten's documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Extra {
    Iss,
    EndSession,
    Revocation,
    /// This also puts `sid` into ID tokens.
    BackChannelLogout,
}

/// What changes while the emulator runs.
pub(super) struct State {
    pub(super) key: ProviderKey,
    /// No longer published; what they signed is still recognised.
    pub(super) former_keys: Vec<ProviderKey>,
    pub(super) lies: Vec<Deviation>,
    pub(super) faults: Faults,
    pub(super) gates: Gates,
    /// The keys of clients, by id, whose keys changed since they were registered.
    pub(super) replaced_keys: BTreeMap<String, JwkSet>,
    /// The `jti` of every request object that can still be replayed, after its client's id.
    pub(super) seen_request_objects: Expiring<()>,
    pub(super) interactions: Expiring<Interaction>,
    pub(super) unconfirmed_logouts: Expiring<Unconfirmed>,
    pub(super) sessions: Sessions,
    pub(super) grants: Grants,
    pub(super) disabled_users: BTreeSet<&'static str>,
}

/// Each kind of record is bounded: past this many the oldest goes.
const MAX_RECORDS: usize = 100_000;

impl Core {
    pub(super) fn new(
        issuer: String,
        path: String,
        clients: BTreeMap<String, Client>,
        clock: Clock,
        settings: Settings,
    ) -> Self {
        Self {
            issuer,
            path,
            clients,
            settings,
            calls: Calls::default(),
            stopped: AtomicBool::new(false),
            clock,
            state: Mutex::new(State {
                key: ProviderKey::generate(),
                former_keys: Vec::new(),
                lies: Vec::new(),
                faults: Faults::default(),
                gates: Gates::default(),
                replaced_keys: BTreeMap::new(),
                seen_request_objects: Expiring::new(MAX_RECORDS),
                interactions: Expiring::new(MAX_RECORDS),
                unconfirmed_logouts: Expiring::new(MAX_RECORDS),
                sessions: Sessions::new(MAX_RECORDS),
                grants: Grants::new(MAX_RECORDS),
                disabled_users: BTreeSet::new(),
            }),
        }
    }

    /// The state. No caller keeps it across an `await`; after a panic it is still whole enough
    /// for a test to go on.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Seconds since the Unix epoch.
    pub(super) fn now(&self) -> i64 {
        self.clock.unix_now()
    }

    /// The URL of one of our paths.
    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.issuer)
    }

    pub(super) fn offers(&self, extra: Extra) -> bool {
        self.settings.extras.contains(&extra)
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    pub(super) fn set_stopped(&self, stopped: bool) {
        self.stopped.store(stopped, Ordering::SeqCst);
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            access_token_lifetime: 60 * 60,
            refresh_token_lifetime: 30 * 24 * 60 * 60,
            refresh: Refresh {
                tokens: true,
                rotate: true,
                id_token: true,
            },
            extras: BTreeSet::new(),
            algorithm_name: "EdDSA",
        }
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core")
            .field("issuer", &self.issuer)
            .field("clients", &self.clients.keys())
            .finish_non_exhaustive()
    }
}
