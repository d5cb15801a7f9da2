//! What a session does to a store: recorded once from the library, then repeated for any number of
//! sessions.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode, header},
    response::Response,
    routing::get,
};
use axum_oten::{
    Clock, Config, MemoryStore, Oten, User,
    emulator::{EmulatedClient, Emulator},
    store::{Bytes, OtenStore, RecordKey, StoreError, StoredRecord},
};
use tower::ServiceExt;
use url::Position;

use crate::{
    Bad,
    load::{REDIRECT_URI, SECRET, SESSION_KEY},
};

/// An operation of the store, without its key: each session has keys of its own.
#[derive(Clone, Debug)]
pub enum Operation {
    Insert {
        kind: &'static str,
        bytes: usize,
        ttl: Duration,
    },
    Load(&'static str),
    Replace {
        kind: &'static str,
        bytes: usize,
        ttl: Duration,
        compares: bool,
    },
    Touch {
        kind: &'static str,
        ttl: Duration,
    },
    Take,
    RemoveIf(&'static str),
    AddMember {
        set: &'static str,
        ttl: Duration,
        limit: usize,
    },
    Members,
    RemoveMember,
}

impl Operation {
    pub fn is_write(&self) -> bool {
        !matches!(self, Self::Load(_) | Self::Members)
    }
}

/// The operations of the events in a session's life.
#[derive(Debug)]
pub struct Recorded {
    pub sign_in: Vec<Operation>,
    pub page: Vec<Operation>,
    /// A page after a pause, which extends the session.
    pub extension: Vec<Operation>,
    /// A page for which the access token is refreshed.
    pub refresh: Vec<Operation>,
    pub sign_out: Vec<Operation>,
}

const USER_AGENT: &str =
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0";

impl Recorded {
    /// Signs a user in at a site with an external store or a store in its process, and moves its clock.
    pub async fn new(is_external: bool) -> Result<Self, Bad> {
        let clock = Clock::manual();
        let recorder = Recorder {
            store: MemoryStore::default().with_clock(clock.clone()),
            operations: Arc::default(),
            is_external,
        };
        let client = EmulatedClient::confidential("load", SECRET).redirect_uri(REDIRECT_URI);
        let emulator = Emulator::builder().client(client).clock(clock.clone());
        let emulator = emulator.start().await?;
        let config = Config::builder()
            .issuer(emulator.issuer())
            .client_id("load")
            .client_secret(SECRET)
            .redirect_uri(REDIRECT_URI)
            .session_key(SESSION_KEY)
            .build()?;
        let oten = Oten::builder(config, recorder.clone());
        let oten = oten.clock(clock.clone()).build()?;
        let app = Router::new()
            .route("/", get(async |user: User| user.subject().to_owned()))
            .route_layer(oten.require_login())
            .merge(oten.routes())
            .layer(oten.layer());
        let send = async |method: &str, path: &str, cookie: &str, status: StatusCode| {
            let request = Request::builder()
                .method(method)
                .uri(path)
                .header(header::COOKIE, cookie)
                .header(header::USER_AGENT, USER_AGENT)
                .header("sec-fetch-site", "same-origin")
                .body(Body::empty())?;
            let response = app.clone().oneshot(request).await?;
            if response.status() != status {
                return Err(format!("{path}: {}", response.status()).into());
            }
            Ok::<Response, Bad>(response)
        };
        let login = send("GET", "/login", "", StatusCode::SEE_OTHER).await?;
        let url = login.headers()[header::LOCATION].to_str()?;
        let callback = emulator.approve(url, "alice")?;
        let callback = &callback[Position::BeforePath..];
        let signed_in = send("GET", callback, &cookie(&login)?, StatusCode::SEE_OTHER).await?;
        let session = cookie(&signed_in)?;
        let sign_in = recorder.take();
        let page = async |minutes: u64| {
            clock.advance(Duration::from_secs(60 * minutes));
            send("GET", "/", &session, StatusCode::OK).await?;
            Ok::<_, Bad>(recorder.take())
        };
        // A session is extended after 36 minutes, and refreshed after 54 to 59.
        let (page, extension, refresh) = (page(0).await?, page(40).await?, page(20).await?);
        send("POST", "/logout", &session, StatusCode::SEE_OTHER).await?;
        Ok(Self {
            sign_in,
            page,
            extension,
            refresh,
            sign_out: recorder.take(),
        })
    }

    /// The operations of a sign-in that a signed-in user leaves behind.
    pub fn kept(&self) -> impl Iterator<Item = &Operation> {
        self.sign_in.iter().filter(|operation| match operation {
            Operation::Insert { kind, .. } => ["session", "tokens"].contains(kind),
            Operation::AddMember { .. } => true,
            _ => false,
        })
    }
}

fn cookie(response: &Response) -> Result<String, Bad> {
    let set = response.headers().get_all(header::SET_COOKIE).iter();
    let pairs = set.filter_map(|value| value.to_str().ok()?.split(';').next());
    let pairs: Vec<_> = pairs.filter(|pair| !pair.ends_with('=')).collect();
    Ok(pairs.join("; "))
}

/// The number of sets with a part of all sessions.
const PARTS: u64 = 128;

/// The key of a session's record or set. Members are keys of session records, so the names are equally long.
pub fn key(kind: &'static str, session: u64) -> RecordKey {
    let id = match kind {
        "sessions_of_site" => session % PARTS,
        _ => session,
    };
    RecordKey::new(kind, &id.to_string())
}

/// A value that cannot be compressed, as sealed records are.
pub fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let words = (0..bytes.div_ceil(8)).flat_map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    let mut noise: Vec<u8> = words.collect();
    noise.truncate(bytes);
    noise
}

/// Counts the values that replace others.
static WRITES: AtomicU64 = AtomicU64::new(1 << 40);

/// Repeats operations for a session. Fails if the store does not have its records.
pub async fn replay(
    store: &dyn OtenStore,
    operations: impl IntoIterator<Item = &Operation>,
    session: u64,
    lifetime: Option<Duration>,
) -> Result<(), Bad> {
    let mut versions: Vec<(&str, u64)> = Vec::new();
    let mut lease = Vec::new();
    for operation in operations {
        let is_done = match *operation {
            Operation::Insert { kind, bytes, ttl } => {
                let value = noise(session, bytes);
                let ttl = lifetime.unwrap_or(ttl);
                let inserted = store.insert(&key(kind, session), &value, ttl).await?;
                lease = value;
                inserted
            }
            Operation::Load(kind) => {
                let found = store.load(&key(kind, session)).await?;
                versions.extend(found.iter().map(|found| (kind, found.version)));
                found.is_some()
            }
            Operation::Replace {
                kind,
                bytes,
                ttl,
                compares,
            } => {
                let known = versions.iter().rfind(|(of, _)| *of == kind);
                let version = known.map(|known| known.1).filter(|_| compares);
                // Sealed again, so that no byte stays.
                let value = noise(WRITES.fetch_add(1, Ordering::Relaxed), bytes);
                store
                    .replace(&key(kind, session), version, &value, ttl)
                    .await?
            }
            Operation::Touch { kind, ttl } => store.touch(&key(kind, session), ttl).await?,
            Operation::RemoveIf(kind) => store.remove_if(&key(kind, session), &lease).await?,
            Operation::AddMember { set, ttl, limit } => {
                let member = key("session", session).to_string();
                let ttl = lifetime.unwrap_or(ttl);
                let set = key(set, session);
                store.add_member(&set, &member, ttl, limit).await?;
                true
            }
            Operation::Take | Operation::Members | Operation::RemoveMember => {
                return Err(format!("{operation:?} is not repeated").into());
            }
        };
        if !is_done {
            return Err(format!("session {session}: {operation:?} failed").into());
        }
    }
    Ok(())
}

/// A store that records the operations.
#[derive(Clone)]
struct Recorder {
    store: MemoryStore,
    operations: Arc<Mutex<Vec<Operation>>>,
    is_external: bool,
}

impl Recorder {
    fn add(&self, operation: Operation) {
        let operations = self.operations.lock();
        let mut operations = operations.unwrap_or_else(PoisonError::into_inner);
        operations.push(operation);
    }

    fn take(&self) -> Vec<Operation> {
        let operations = self.operations.lock();
        std::mem::take(&mut operations.unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").finish_non_exhaustive()
    }
}

#[async_trait]
impl OtenStore for Recorder {
    async fn insert(
        &self,
        key: &RecordKey,
        value: &[u8],
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        let (kind, bytes) = (key.kind(), value.len());
        self.add(Operation::Insert { kind, bytes, ttl });
        self.store.insert(key, value, ttl).await
    }

    async fn load(&self, key: &RecordKey) -> Result<Option<StoredRecord>, StoreError> {
        self.add(Operation::Load(key.kind()));
        self.store.load(key).await
    }

    async fn replace(
        &self,
        key: &RecordKey,
        version: Option<u64>,
        value: &[u8],
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        self.add(Operation::Replace {
            kind: key.kind(),
            bytes: value.len(),
            ttl,
            compares: version.is_some(),
        });
        self.store.replace(key, version, value, ttl).await
    }

    async fn touch(&self, key: &RecordKey, ttl: Duration) -> Result<bool, StoreError> {
        let kind = key.kind();
        self.add(Operation::Touch { kind, ttl });
        self.store.touch(key, ttl).await
    }

    async fn take(&self, key: &RecordKey) -> Result<Option<Bytes>, StoreError> {
        self.add(Operation::Take);
        self.store.take(key).await
    }

    async fn remove_if(&self, key: &RecordKey, value: &[u8]) -> Result<bool, StoreError> {
        self.add(Operation::RemoveIf(key.kind()));
        self.store.remove_if(key, value).await
    }

    async fn add_member(
        &self,
        set: &RecordKey,
        member: &str,
        ttl: Duration,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        let kind = set.kind();
        self.add(Operation::AddMember {
            set: kind,
            ttl,
            limit,
        });
        self.store.add_member(set, member, ttl, limit).await
    }

    async fn members(&self, set: &RecordKey) -> Result<Vec<String>, StoreError> {
        self.add(Operation::Members);
        self.store.members(set).await
    }

    async fn remove_member(&self, set: &RecordKey, member: &str) -> Result<(), StoreError> {
        self.add(Operation::RemoveMember);
        self.store.remove_member(set, member).await
    }

    fn is_external(&self) -> bool {
        self.is_external
    }
}
