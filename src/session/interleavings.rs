//! Explores the orders in which concurrent requests reach the store.
//!
//! Every request has a store of its own that waits before each operation until the scheduler lets it
//! pass; all of them share one memory store. The scheduler runs a scenario in every order of
//! operations, except that it exchanges no neighbors that cannot affect each other: operations on
//! different records, and reads of one record. (These are the *sleep sets* of partial-order
//! reduction.)

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt;
use tokio::{sync::oneshot, task::yield_now};
use tower_sessions::session::Id;

use super::{
    LogoutTarget, Operator, SessionHandle, Sessions, Tokens,
    record::{Family, Left, SessionData, SessionRecord},
    testing::{self, HOUR},
};
use crate::{
    audit::EventOrigin,
    clock::Clock,
    session::{CookieChange, Revoker},
    store::{MemoryStore, OtenStore, RecordId, RecordKey, RecordKind, StoreError, StoredRecord},
};

/// Where the stores of the requests wait.
#[derive(Debug, Default)]
struct Gate {
    waiting: BTreeMap<usize, Waiting>,
    done: usize,
    /// The operations so far: the request, and the kind of the record.
    passed: Vec<(usize, &'static str)>,
    /// The hashes of all session records.
    sessions: Vec<[u8; 32]>,
    /// The keys of all tokens records.
    tokens: Vec<RecordKey>,
    /// The members of all sets.
    members: Vec<String>,
    /// Whether a request reads the set of all sessions. Otherwise the order of its changes is irrelevant.
    is_site_read: bool,
}

#[derive(Debug)]
struct Waiting {
    operation: Operation,
    sender: oneshot::Sender<()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Read(RecordKey),
    Write(RecordKey),
    /// Changes the time, on which every operation depends.
    Advance,
}

impl Operation {
    /// Returns whether the order of the operations matters.
    fn affects(self, other: Self) -> bool {
        match (self, other) {
            (Self::Advance, _) | (_, Self::Advance) => true,
            (Self::Read(_), Self::Read(_)) => false,
            (Self::Read(one) | Self::Write(one), Self::Read(other) | Self::Write(other)) => {
                one == other
            }
        }
    }
}

/// The request that prepares a scenario, which waits for nothing.
const SETUP: usize = usize::MAX;

async fn pass(gate: &Mutex<Gate>, request: usize, operation: Operation) {
    let is_relevant = match operation {
        Operation::Read(key) | Operation::Write(key) if key.kind() == "sessions_of_site" => {
            gate.lock().unwrap().is_site_read
        }
        _ => true,
    };
    if request != SETUP && is_relevant {
        let (sender, receiver) = oneshot::channel();
        let waiting = Waiting { operation, sender };
        gate.lock().unwrap().waiting.insert(request, waiting);
        receiver.await.unwrap();
    }
    if let Operation::Read(key) | Operation::Write(key) = operation {
        let passed = (request, key.kind());
        gate.lock().unwrap().passed.push(passed);
    }
}

#[derive(Debug)]
struct GatedStore {
    request: usize,
    memory: MemoryStore,
    gate: Arc<Mutex<Gate>>,
}

impl GatedStore {
    async fn read(&self, key: &RecordKey) -> &MemoryStore {
        pass(&self.gate, self.request, Operation::Read(*key)).await;
        &self.memory
    }

    async fn write(&self, key: &RecordKey) -> &MemoryStore {
        pass(&self.gate, self.request, Operation::Write(*key)).await;
        &self.memory
    }
}

#[async_trait]
impl OtenStore for GatedStore {
    async fn insert(
        &self,
        key: &RecordKey,
        value: &[u8],
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        let memory = self.write(key).await;
        {
            let mut gate = self.gate.lock().unwrap();
            match key.kind() {
                "session" => gate.sessions.push(*key.as_bytes()),
                "tokens" => gate.tokens.push(*key),
                _ => {}
            }
        }
        memory.insert(key, value, ttl).await
    }

    async fn load(&self, key: &RecordKey) -> Result<Option<StoredRecord>, StoreError> {
        self.read(key).await.load(key).await
    }

    async fn replace(
        &self,
        key: &RecordKey,
        version: Option<u64>,
        value: &[u8],
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        let memory = self.write(key).await;
        memory.replace(key, version, value, ttl).await
    }

    async fn touch(&self, key: &RecordKey, ttl: Duration) -> Result<bool, StoreError> {
        self.write(key).await.touch(key, ttl).await
    }

    async fn take(&self, key: &RecordKey) -> Result<Option<Bytes>, StoreError> {
        self.write(key).await.take(key).await
    }

    async fn remove_if(&self, key: &RecordKey, value: &[u8]) -> Result<bool, StoreError> {
        self.write(key).await.remove_if(key, value).await
    }

    async fn add_member(
        &self,
        set: &RecordKey,
        member: &str,
        ttl: Duration,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        let memory = self.write(set).await;
        self.gate.lock().unwrap().members.push(member.to_owned());
        memory.add_member(set, member, ttl, limit).await
    }

    /// Returns the members in the order in which they were added, to be deterministic.
    async fn members(&self, set: &RecordKey) -> Result<Vec<String>, StoreError> {
        let mut members = self.read(set).await.members(set).await?;
        let gate = self.gate.lock().unwrap();
        members.sort_by_key(|member| gate.members.iter().position(|added| added == member));
        Ok(members)
    }

    async fn remove_member(&self, set: &RecordKey, member: &str) -> Result<(), StoreError> {
        self.write(set).await.remove_member(set, member).await
    }
}

/// A request of a scenario.
#[derive(Clone, Copy, Debug)]
enum Request {
    /// The app stores data in the session.
    Save,
    /// The app changes the session's ID.
    ChangeId,
    /// The app ends the session.
    Flush,
    /// The user signs out.
    SignOut,
    /// The user ends the session from another one.
    EndOne,
    /// The user ends all other sessions from this one, or from the first one.
    EndOthers { from_first: bool },
    /// An operator ends the sessions of all users.
    EndSite,
    /// The user signs in, in a browser with the session.
    SignInOver(&'static str),
    /// The user signs in, in another browser.
    SignIn(&'static str),
    /// The provider sends a logout token.
    Logout {
        sub: Option<&'static str>,
        sid: Option<&'static str>,
    },
    /// The tokens are refreshed.
    Refresh,
    /// The provider refuses to refresh the tokens.
    RefuseRefresh,
    /// The session expires.
    Expire,
}

/// The outcome of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    Cookie(Id),
    NoCookie,
}

/// A store with the session of a user, or of a guest.
struct World {
    memory: MemoryStore,
    gate: Arc<Mutex<Gate>>,
    clock: Clock,
    revoker: Revoker,
    id: Id,
    family: Option<Family>,
    /// Whether the provider sends a `sid`.
    has_sid: bool,
    max_per_user: usize,
}

impl World {
    async fn new(revoker: &Revoker, user: Option<&str>, has_sid: bool) -> Self {
        let clock = Clock::manual();
        let mut world = Self {
            memory: MemoryStore::default().with_clock(clock.clone()),
            gate: Arc::default(),
            clock,
            revoker: revoker.clone(),
            id: Id::default(),
            family: None,
            has_sid,
            max_per_user: 100,
        };
        let sessions = world.sessions(SETUP);
        world.id = if let Some(user) = user {
            world.sign_in(&sessions, None, user).await.unwrap()
        } else {
            let guest = sessions.for_request(None, EventOrigin::default());
            guest.app_session().insert("cart", 1).await.unwrap();
            let CookieChange::Set(id, _) = guest.finish(false).await.unwrap() else {
                panic!("the guest has data");
            };
            id
        };
        world.family = Some(world.live().await[0].1.family);
        world
    }

    fn sessions(&self, request: usize) -> Sessions {
        let store = GatedStore {
            request,
            memory: self.memory.clone(),
            gate: Arc::clone(&self.gate),
        };
        let revoker = self.revoker.clone();
        testing::sessions_with(store, self.clock.clone(), self.max_per_user, revoker)
    }

    async fn sign_in(&self, sessions: &Sessions, previous: Option<Id>, user: &str) -> Option<Id> {
        let start = sessions.start_sign_in(Duration::ZERO).await.unwrap();
        let (mut identity, tokens) = (testing::identity(user), testing::tokens());
        identity.sid = identity.sid.filter(|_| self.has_sid);
        let signed_in = sessions.sign_in(start, previous, identity, tokens, EventOrigin::default());
        signed_in.await.unwrap()
    }

    /// Returns the sessions that exist.
    async fn live(&self) -> Vec<(RecordId, Arc<SessionData>)> {
        let ids = self.gate.lock().unwrap().sessions.clone();
        let sessions = self.sessions(SETUP);
        let mut live = Vec::new();
        for id in ids {
            let id = RecordId::from_bytes(RecordKind::Session, id);
            if let Some(session) = sessions.load(id).await.unwrap() {
                live.push((id, session.data));
            }
        }
        live
    }

    /// Checks what holds after every scenario. Returns the users' sessions and the first one.
    async fn check(&self) -> Vec<Arc<SessionData>> {
        let (live, sessions) = (self.live().await, self.sessions(SETUP));
        let mut users = 0;
        for (id, data) in &live {
            let Some(user) = &data.user else { continue };
            users += 1;
            let part = sessions.part_of(data.family);
            for set in sessions.sets_of(user).chain([part]) {
                let members = sessions.records.members(&set, RecordKind::Session).await;
                assert!(members.unwrap().contains(id), "the session is in its sets");
            }
        }
        let mut tokens = 0;
        let keys = self.gate.lock().unwrap().tokens.clone();
        for key in keys {
            tokens += usize::from(self.memory.load(&key).await.unwrap().is_some());
        }
        assert_eq!(tokens, users, "each session of a user has tokens");
        for (i, (_, one)) in live.iter().enumerate() {
            let is_same = |(_, other): &(_, Arc<SessionData>)| other.family == one.family;
            assert!(!live[i + 1..].iter().any(is_same), "a session exists once");
        }
        // A request without a session may start that of a guest.
        let is_known =
            |data: &Arc<SessionData>| data.user.is_some() || Some(data.family) == self.family;
        live.into_iter()
            .map(|(_, data)| data)
            .filter(is_known)
            .collect()
    }

    /// Returns the name of the first session.
    fn handle(&self, sessions: &Sessions) -> SessionHandle {
        sessions.handle(self.family())
    }

    fn family(&self) -> Family {
        self.family.unwrap()
    }

    /// Returns what is left of the first session.
    fn left(&self) -> Option<Left> {
        let sessions = self.sessions(SETUP);
        let record = sessions.read(sessions.record_id(self.id)).now_or_never();
        match record.unwrap().unwrap()? {
            SessionRecord::Left(left) => Some(left),
            SessionRecord::Session(_) => None,
        }
    }

    /// Returns the position of the first or last operation of a request on a kind of record.
    fn position(&self, request: usize, kind: &str, last: bool) -> Option<usize> {
        let gate = self.gate.lock().unwrap();
        let is_it = |passed: &(usize, &'static str)| *passed == (request, kind);
        if last {
            gate.passed.iter().rposition(is_it)
        } else {
            gate.passed.iter().position(is_it)
        }
    }
}

impl Request {
    async fn run(self, number: usize, world: Arc<World>) -> Outcome {
        let (sessions, id) = (world.sessions(number), world.id);
        let cookie = |id: Option<Id>| id.map_or(Outcome::NoCookie, Outcome::Cookie);
        match self {
            Self::Save | Self::ChangeId | Self::Flush => {
                let request = sessions.for_request(Some(id), EventOrigin::default());
                let session = request.app_session();
                match self {
                    Self::Save => session.insert("cart", 2).await.unwrap(),
                    Self::ChangeId => session.cycle_id().await.unwrap(),
                    _ => session.flush().await.unwrap(),
                }
                match request.finish(false).await.unwrap() {
                    CookieChange::Set(id, _) => Outcome::Cookie(id),
                    _ => Outcome::NoCookie,
                }
            }
            Self::SignOut => {
                let origin = EventOrigin::default();
                sessions.sign_out(vec![id], false, origin).await.unwrap();
                Outcome::Done
            }
            Self::EndOne => {
                let (handle, origin) = (world.handle(&sessions), EventOrigin::default());
                sessions.end_one("alice", handle, origin).await.unwrap();
                Outcome::Done
            }
            Self::EndOthers { from_first } => {
                let spared = if from_first {
                    world.handle(&sessions)
                } else {
                    sessions.handle(Family::random())
                };
                let ended = sessions.end_others("alice", spared, EventOrigin::default());
                ended.await.unwrap();
                Outcome::Done
            }
            Self::EndSite => {
                sessions.end_site(Operator::default()).await.unwrap();
                Outcome::Done
            }
            Self::SignInOver(user) => cookie(world.sign_in(&sessions, Some(id), user).await),
            Self::SignIn(user) => cookie(world.sign_in(&sessions, None, user).await),
            Self::Logout { sub, sid } => {
                let [sub, sid] = [sub, sid].map(|name| name.map(str::to_owned));
                sessions
                    .end_matching(LogoutTarget { sub, sid })
                    .await
                    .unwrap();
                Outcome::Done
            }
            Self::Refresh => {
                refresh(&sessions, id, world.family()).await;
                Outcome::Done
            }
            Self::RefuseRefresh => {
                let ended = sessions.end(sessions.record_id(id), world.family());
                ended.await.unwrap();
                Outcome::Done
            }
            Self::Expire => {
                pass(&world.gate, number, Operation::Advance).await;
                world.clock.advance(25 * HOUR);
                Outcome::Done
            }
        }
    }
}

/// Does what a refresh does in the store.
async fn refresh(sessions: &Sessions, id: Id, family: Family) {
    let record = sessions.record_id(id);
    let found = sessions.find(record).await.unwrap();
    if found.is_none_or(|session| session.data.family != family) {
        return;
    }
    let tokens = Tokens::load(&sessions.records, family).await.unwrap();
    let Some(current) = tokens else { return };
    let new = Tokens {
        refreshes: 1,
        ..current.value.clone()
    };
    let replaced = new.replace(&sessions.records, family, &current);
    if replaced.await.unwrap() {
        sessions.store_refresh(record, family, &new).await.unwrap();
    }
}

/// The choices of a scheduler, which takes the next ones when it runs again.
#[derive(Default)]
struct Choices {
    /// The number of options at each step, and the option taken.
    steps: Vec<(usize, usize)>,
    step: usize,
}

impl Choices {
    fn choose(&mut self, options: usize) -> usize {
        if self.step == self.steps.len() {
            self.steps.push((options, 0));
        }
        let (expected, choice) = self.steps[self.step];
        assert_eq!(expected, options, "a scenario must be deterministic");
        self.step += 1;
        choice
    }

    /// Moves to the next choices. Returns `false` if there are none.
    fn advance(&mut self) -> bool {
        self.step = 0;
        while let Some((options, choice)) = self.steps.pop() {
            if choice + 1 < options {
                self.steps.push((options, choice + 1));
                return true;
            }
        }
        false
    }
}

/// Runs requests once, in the order of `choices`. Returns `None` if the order differs from an earlier
/// one only by neighbors that cannot affect each other.
async fn run(
    world: &Arc<World>,
    requests: &[Request],
    choices: &mut Choices,
) -> Option<Vec<Outcome>> {
    let tasks: Vec<_> = requests
        .iter()
        .enumerate()
        .map(|(number, request)| {
            let (world, run) = (Arc::clone(world), request.run(number, Arc::clone(world)));
            tokio::spawn(async move {
                let outcome = run.await;
                world.gate.lock().unwrap().done += 1;
                outcome
            })
        })
        .collect();
    // The requests whose next operation was tried first in an earlier run, and affects none of the
    // operations since then.
    let mut asleep = BTreeSet::new();
    let mut is_new = true;
    while let Some(waiting) = waiting(world, requests.len()).await {
        let mut options: Vec<_> = waiting.keys().copied().collect();
        options.retain(|request| !asleep.contains(request));
        let next = if options.is_empty() {
            // Completes the run, which is not checked.
            is_new = false;
            asleep.clear();
            *waiting.keys().next().unwrap()
        } else if is_new {
            let choice = choices.choose(options.len());
            asleep.extend(&options[..choice]);
            asleep.retain(|request| !waiting[request].affects(waiting[&options[choice]]));
            options[choice]
        } else {
            options[0]
        };
        let released = world.gate.lock().unwrap().waiting.remove(&next).unwrap();
        released.sender.send(()).unwrap();
    }
    let mut outcomes = Vec::new();
    for task in tasks {
        outcomes.push(task.await.unwrap());
    }
    is_new.then_some(outcomes)
}

/// Waits until every request is done or waits for the store. Returns the operations, or `None` when all
/// requests are done.
async fn waiting(world: &World, requests: usize) -> Option<BTreeMap<usize, Operation>> {
    loop {
        {
            let gate = world.gate.lock().unwrap();
            if gate.waiting.len() + gate.done == requests {
                let waiting = gate.waiting.iter();
                let waiting = waiting.map(|(request, waiting)| (*request, waiting.operation));
                return Some(waiting.collect())
                    .filter(|waiting: &BTreeMap<_, _>| !waiting.is_empty());
            }
        }
        yield_now().await;
    }
}

type Check = dyn Fn(&World, &[Outcome], &[Arc<SessionData>]);

/// Runs a scenario in all orders and checks each result.
async fn explore(user: Option<&str>, requests: &[Request], check: &Check) {
    explore_with(user, 100, requests, check).await;
}

/// The same, with a limit on the number of sessions of a user.
async fn explore_with(
    user: Option<&str>,
    max_per_user: usize,
    requests: &[Request],
    check: &Check,
) {
    let revoker = testing::revoker();
    let has_sid = requests
        .iter()
        .any(|request| matches!(request, Request::Logout { sid: Some(_), .. }));
    let (mut choices, mut orders, mut runs) = (Choices::default(), 0, 0);
    loop {
        let mut world = World::new(&revoker, user, has_sid).await;
        world.max_per_user = max_per_user;
        let is_site_read = requests
            .iter()
            .any(|request| matches!(request, Request::EndSite));
        world.gate.lock().unwrap().is_site_read = is_site_read;
        let world = Arc::new(world);
        runs += 1;
        if let Some(outcomes) = run(&world, requests, &mut choices).await {
            orders += 1;
            let live = world.check().await;
            let checked = catch_unwind(AssertUnwindSafe(|| check(&world, &outcomes, &live)));
            let order = world.gate.lock().unwrap().passed.clone();
            assert!(
                checked.is_ok(),
                "{requests:?} in the order {order:?}: {outcomes:?}, {live:?}"
            );
        }
        if !choices.advance() {
            break;
        }
    }
    println!("{requests:?}: {orders} orders in {runs} runs");
}

fn none(_: &World, _: &[Outcome], live: &[Arc<SessionData>]) {
    assert!(live.is_empty(), "no session is left");
}

fn one(_: &World, _: &[Outcome], live: &[Arc<SessionData>]) {
    assert_eq!(live.len(), 1, "one session is left");
}

const BY_SUB: Request = Request::Logout {
    sub: Some("alice"),
    sid: None,
};
const BY_SID: Request = Request::Logout {
    sub: None,
    sid: Some("sid-of-alice"),
};
const BY_BOTH: Request = Request::Logout {
    sub: Some("alice"),
    sid: Some("sid-of-alice"),
};
const ALICE: Option<&str> = Some("alice");

#[tokio::test]
async fn o2_a_sign_out_ends_a_session_whose_id_changes() {
    use Request::{ChangeId, Flush, RefuseRefresh, Save, SignOut};
    for end in [SignOut, Flush, RefuseRefresh] {
        explore(ALICE, &[ChangeId, end], &none).await;
        explore(ALICE, &[Save, end], &none).await;
        explore(ALICE, &[ChangeId, Save, end], &none).await;
    }
    explore(ALICE, &[ChangeId, ChangeId, SignOut], &none).await;
    explore(None, &[ChangeId, Flush], &none).await;
    explore(None, &[ChangeId, ChangeId, Flush], &none).await;
}

#[tokio::test]
async fn o2_of_several_changes_of_an_id_one_succeeds() {
    use Request::{ChangeId, Refresh, Save};
    let one_cookie: &Check = &|_, outcomes, live| {
        let is_cookie = |outcome: &&Outcome| matches!(outcome, Outcome::Cookie(_));
        assert_eq!(outcomes.iter().filter(is_cookie).count(), 1);
        assert_eq!(live.len(), 1);
    };
    explore(ALICE, &[ChangeId, ChangeId], one_cookie).await;
    explore(ALICE, &[ChangeId, Save], one_cookie).await;
    explore(ALICE, &[ChangeId, ChangeId, ChangeId], one_cookie).await;
    explore(ALICE, &[ChangeId, ChangeId, Refresh], one_cookie).await;
}

#[tokio::test]
async fn o2_signing_in_over_another_user_ends_the_session_under_every_id() {
    use Request::{ChangeId, Flush, Save, SignInOver};
    let only_bob: &Check = &|_, _, live| {
        assert_eq!(live.len(), 1);
        let bob = live[0].user.as_ref().unwrap();
        assert_eq!(bob.subject(), "bob");
        assert!(live[0].app_data.is_empty(), "the data of alice");
    };
    explore(ALICE, &[SignInOver("bob"), ChangeId], only_bob).await;
    explore(ALICE, &[SignInOver("bob"), Save], only_bob).await;
    explore(ALICE, &[SignInOver("bob"), ChangeId, Save], only_bob).await;
    explore(None, &[SignInOver("bob"), ChangeId], &one).await;
    explore(None, &[SignInOver("bob"), Flush], &one).await;
}

#[tokio::test]
async fn s7_a_request_with_the_previous_cookie_replaces_no_new_one() {
    use Request::{Save, SignInOver};
    let only_signed_in: &Check = &|_, outcomes, live| {
        assert!(matches!(outcomes, [Outcome::Cookie(_), Outcome::NoCookie]));
        assert_eq!(live.len(), 1);
    };
    for user in [None, ALICE] {
        explore(user, &[SignInOver("bob"), Save], only_signed_in).await;
    }
    explore(ALICE, &[SignInOver("alice"), Save], only_signed_in).await;
}

#[tokio::test]
async fn o4_a_logout_token_ends_sessions_whose_id_changes() {
    use Request::{ChangeId, Expire, Refresh, Save};
    explore(ALICE, &[ChangeId, ChangeId, BY_SUB], &none).await;
    for logout in [BY_SUB, BY_SID, BY_BOTH] {
        explore(ALICE, &[ChangeId, logout], &none).await;
        explore(ALICE, &[ChangeId, Save, logout], &none).await;
        explore(ALICE, &[ChangeId, Refresh, logout], &none).await;
        explore(ALICE, &[ChangeId, Expire, logout], &none).await;
    }
}

/// Whether the first request looked for a logout after the second had noted it.
fn is_later(world: &World) -> bool {
    let noted = world.position(1, "logout_epoch", true);
    assert!(noted.is_some(), "the logout was not noted");
    world.position(0, "logout_epoch", false) > noted
}

#[tokio::test]
async fn o4_a_logout_token_ends_sessions_that_are_created() {
    use Request::{ChangeId, SignIn, SignInOver, SignOut};
    // A session that a logout token names by its user may start after the token was noted.
    let later: &Check = &|world, _, live| {
        assert!(live.is_empty() || is_later(world));
    };
    explore(ALICE, &[SignIn("alice"), BY_SUB], later).await;
    explore(ALICE, &[SignInOver("alice"), BY_SUB], later).await;
    explore(ALICE, &[SignInOver("alice"), BY_SUB, ChangeId], later).await;
    explore(ALICE, &[SignIn("alice"), BY_SUB, SignOut], later).await;
    // A session at the provider does not return.
    for logout in [BY_SID, BY_BOTH] {
        explore(ALICE, &[SignIn("alice"), logout], &none).await;
        explore(ALICE, &[SignInOver("alice"), logout], &none).await;
    }
    // Other users stay.
    explore(ALICE, &[SignIn("bob"), BY_SUB], &one).await;
}

#[tokio::test]
async fn o2_a_sign_out_ends_the_session_of_a_sign_in_in_flight() {
    use Request::{Save, SignInOver, SignOut};
    // A sign-in that finds no previous session starts after the sign-out.
    let later: &Check = &|world, _, live| {
        let signed_out = world.position(1, "session", true);
        let started = world.position(0, "session", false);
        assert!(live.is_empty() || started > signed_out);
    };
    explore(ALICE, &[SignInOver("alice"), SignOut], later).await;
    // The data that the app saves meanwhile is kept.
    let saved: &Check = &|world, _, live| {
        assert_eq!(live.len(), 1);
        // A request that only reads the session finds the pointer.
        let first = world.position(1, "session", false);
        let found_pointer = first == world.position(1, "session", true);
        assert!(live[0].app_data == "{\"cart\":2}" || found_pointer);
    };
    explore(ALICE, &[SignInOver("alice"), Save], saved).await;
    explore(None, &[SignInOver("alice"), Save], &one).await;
}

#[tokio::test]
async fn l9_sessions_beyond_the_limit_end_and_hide_from_no_logout_token() {
    use Request::{SignIn, SignInOver};
    let later: &Check = &|world, _, live| {
        assert!(live.is_empty() || is_later(world));
    };
    explore_with(ALICE, 1, &[SignIn("alice")], &one).await;
    explore_with(ALICE, 1, &[SignInOver("alice")], &one).await;
    explore_with(ALICE, 1, &[SignIn("alice"), BY_SUB], later).await;
    explore_with(
        ALICE,
        1,
        &[SignIn("alice"), SignIn("alice")],
        &|_, _, live| {
            assert!((1..=2).contains(&live.len()));
        },
    )
    .await;
}

#[tokio::test]
async fn l3_a_refresh_reaches_the_session_under_its_new_id() {
    use Request::{ChangeId, Refresh, Save, SignOut};
    let refreshed: &Check = &|_, _, live| {
        assert_eq!(live.len(), 1);
        assert_eq!(live[0].refreshes, 1);
    };
    explore(ALICE, &[Save, Refresh], refreshed).await;
    explore(ALICE, &[ChangeId, Refresh], refreshed).await;
    explore(ALICE, &[ChangeId, Save, Refresh], refreshed).await;
    explore(ALICE, &[Refresh, Refresh], refreshed).await;
    explore(ALICE, &[SignOut, Refresh], &none).await;
    explore(ALICE, &[SignOut, Refresh, ChangeId], &none).await;
}

#[tokio::test]
async fn l3_a_refresh_affects_no_session_that_a_sign_in_has_created() {
    use Request::{Refresh, RefuseRefresh, SignInOver};
    let untouched: &Check = &|_, outcomes, live| {
        let is_signed_in = matches!(outcomes[0], Outcome::Cookie(_));
        assert_eq!(live.len(), usize::from(is_signed_in));
        assert!(live.iter().all(|session| session.refreshes == 0));
    };
    explore(ALICE, &[SignInOver("alice"), Refresh], untouched).await;
    explore(ALICE, &[SignInOver("alice"), RefuseRefresh], untouched).await;
    explore(ALICE, &[SignInOver("bob"), Refresh], untouched).await;
}

#[tokio::test]
async fn s7_no_other_request_removes_what_a_sign_in_leaves_of_the_previous_session() {
    use Request::{EndOne, RefuseRefresh, SignInOver, SignOut};
    let left: &Check = &|world, outcomes, live| {
        let (ended, started) = (
            world.position(1, "session", true),
            world.position(0, "session", false),
        );
        // Otherwise the sign-in has found no session to replace, or was signed out with it.
        if matches!(outcomes[0], Outcome::Cookie(_)) && ended > started {
            let other = live.iter().all(|session| session.family != world.family());
            assert!(other && world.left().is_some());
        }
    };
    for user in ["alice", "bob"] {
        for end in [RefuseRefresh, SignOut, EndOne, BY_SUB] {
            explore(ALICE, &[SignInOver(user), end], left).await;
        }
    }
}

#[tokio::test]
async fn x4_ending_a_session_from_elsewhere_is_as_safe_as_signing_out() {
    use Request::{ChangeId, EndOne, EndOthers, EndSite, Expire, Refresh, Save, SignOut};
    let others = EndOthers { from_first: false };
    for end in [EndOne, others, EndSite] {
        for other in [ChangeId, Refresh, Save, SignOut, end] {
            explore(ALICE, &[other, end], &none).await;
        }
    }
    explore(ALICE, &[ChangeId, Save, EndOne], &none).await;
    explore(ALICE, &[ChangeId, Refresh, others], &none).await;
    explore(ALICE, &[ChangeId, Expire, EndSite], &none).await;
    explore(ALICE, &[ChangeId, EndOthers { from_first: true }], &one).await;
}

#[tokio::test]
async fn x4_ending_all_sessions_ends_those_that_are_created() {
    use Request::{EndOthers, EndSite, SignIn, SignInOver};
    let later: &Check = &|world, _, live| {
        assert!(live.is_empty() || is_later(world));
    };
    for end in [EndSite, EndOthers { from_first: false }] {
        explore(ALICE, &[SignIn("alice"), end], later).await;
        explore(ALICE, &[SignInOver("alice"), end], later).await;
    }
    explore(ALICE, &[SignIn("bob"), EndSite], later).await;
    // The session that a user keeps survives, and no other one does.
    let kept: &Check = &|world, _, live| {
        let is_first = |data: &Arc<SessionData>| Some(data.family) == world.family;
        assert!(live.iter().any(is_first));
        assert!(live.len() == 1 || is_later(world));
    };
    let others = EndOthers { from_first: true };
    explore(ALICE, &[SignIn("alice"), others], kept).await;
}
