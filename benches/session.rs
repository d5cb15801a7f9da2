//! Compares a protected request with a live session to the same handler on plain tower-sessions
//! (promise R4). Run it with `cargo bench --all-features --bench session`. Set `REDIS_URL` to include
//! Redis.
//!
//! The baseline reads one record from the same store, decodes it and passes the user to the handler
//! without any checks. Both apps get alternating batches of requests; the medians are compared.

use std::{
    collections::HashMap,
    error::Error,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode, header},
    routing::get,
};
use axum_oten::{
    Config, MemoryStore, Oten, User,
    emulator::{EmulatedClient, Emulator},
    store::{OtenStore, RecordKey, SqliteStore},
};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tower::ServiceExt;
use tower_sessions::{
    Session, SessionManagerLayer, SessionStore,
    session::{Id, Record},
    session_store,
};

type BoxError = Box<dyn Error>;

const REDIRECT_URI: &str = "http://127.0.0.1:3000/callback";
const BATCHES: usize = 60;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    println!("store     baseline       oten   ratio  difference  allocations");
    let folder = std::env::temp_dir().join(format!("axum-oten-bench-{}", std::process::id()));
    compare("memory", Arc::new(MemoryStore::default()), 400).await?;
    let sqlite = SqliteStore::open(folder.join("sessions.sqlite")).await?;
    compare("sqlite", Arc::new(sqlite), 100).await?;
    std::fs::remove_dir_all(folder)?;
    if let Ok(url) = std::env::var("REDIS_URL") {
        let redis = axum_oten::store::RedisStore::connect(&url).await?;
        compare("redis", Arc::new(redis), 100).await?;
    }
    Ok(())
}

async fn compare(name: &str, store: Arc<dyn OtenStore>, requests: u32) -> Result<(), BoxError> {
    let (oten, oten_cookie) = oten_app(Arc::clone(&store)).await?;
    let (baseline, baseline_cookie) = baseline_app(store).await?;
    let (mut oten_times, mut baseline_times) = (Vec::new(), Vec::new());
    for _ in 0..BATCHES {
        baseline_times.push(batch(&baseline, &baseline_cookie, requests).await?);
        oten_times.push(batch(&oten, &oten_cookie, requests).await?);
    }
    let (baseline_time, oten_time) = (median(baseline_times), median(oten_times));
    let more =
        allocations(&oten, &oten_cookie).await - allocations(&baseline, &baseline_cookie).await;
    println!(
        "{name:8} {:8.2} us {:7.2} us  {:6.3}  {:+7.2} us  {more:+}",
        baseline_time.as_secs_f64() * 1e6,
        oten_time.as_secs_f64() * 1e6,
        oten_time.as_secs_f64() / baseline_time.as_secs_f64(),
        (oten_time.as_secs_f64() - baseline_time.as_secs_f64()) * 1e6,
    );
    Ok(())
}

async fn batch(app: &Router, cookie: &str, requests: u32) -> Result<Duration, BoxError> {
    let start = Instant::now();
    for _ in 0..requests {
        request(app, cookie).await;
    }
    Ok(start.elapsed() / requests)
}

async fn request(app: &Router, cookie: &str) {
    let request = Request::get("/").header(header::COOKIE, cookie);
    let request = request.body(Body::empty()).expect("the request is valid");
    let response = app
        .clone()
        .oneshot(request)
        .await
        .expect("a router is infallible");
    assert_eq!(response.status(), StatusCode::OK);
}

/// Returns the number of allocations of one request on the current thread.
async fn allocations(app: &Router, cookie: &str) -> i64 {
    let (app, cookie) = (app.clone(), cookie.to_owned());
    let count = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("the runtime starts");
        runtime.block_on(request(&app, &cookie));
        allocation_counter::measure(|| runtime.block_on(request(&app, &cookie))).count_total
    });
    i64::try_from(count.await.expect("the request does not panic")).unwrap_or(i64::MAX)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

async fn oten_app(store: Arc<dyn OtenStore>) -> Result<(Router, String), BoxError> {
    let client = EmulatedClient::public("bench").redirect_uri(REDIRECT_URI);
    let emulator = Emulator::builder().client(client).start().await?;
    let config = Config::builder()
        .issuer(emulator.issuer())
        .client_id("bench")
        .public_client()
        .redirect_uri(REDIRECT_URI)
        .session_key("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
        .build()?;
    let oten = Oten::new(config, store)?;
    let protected = Router::new()
        .route("/", get(async |user: User| user.subject().to_owned()))
        .route_layer(oten.require_login());
    let app = protected.merge(oten.routes()).layer(oten.layer());
    let login = app
        .clone()
        .oneshot(Request::get("/login").body(Body::empty())?)
        .await?;
    let callback = emulator.approve(login.headers()[header::LOCATION].to_str()?, "alice")?;
    let callback = Request::get(&callback[url::Position::BeforePath..])
        .header(header::COOKIE, cookie(&login)?)
        .body(Body::empty())?;
    let signed_in = app.clone().oneshot(callback).await?;
    Ok((app, cookie(&signed_in)?))
}

async fn baseline_app(store: Arc<dyn OtenStore>) -> Result<(Router, String), BoxError> {
    let id = Id::default();
    let user = json!({
        "iss": "http://127.0.0.1:1", "sub": "alice", "signed_in_at": 0, "session_ends_at": 0,
        "claims": {"name": "Alice Adams", "email": "alice@example.com"},
    });
    let data = serde_json::to_vec(&HashMap::from([("user", user)]))?;
    let end = OffsetDateTime::now_utc() + time::Duration::DAY;
    let key = RecordKey::new("baseline", &id.to_string());
    store.insert(&key, &data, end).await?;
    let layer = SessionManagerLayer::new(BaselineStore(store)).with_secure(false);
    let handler = async |session: Session| -> String {
        let user: Value = session.get("user").await.ok().flatten().unwrap_or_default();
        user["sub"].as_str().unwrap_or_default().to_owned()
    };
    let app = Router::new().route("/", get(handler)).layer(layer);
    Ok((app, format!("id={id}")))
}

/// Serves tower-sessions with one record of the same store.
#[derive(Clone, Debug)]
struct BaselineStore(Arc<dyn OtenStore>);

#[async_trait]
impl SessionStore for BaselineStore {
    async fn save(&self, _: &Record) -> session_store::Result<()> {
        Ok(())
    }

    async fn load(&self, id: &Id) -> session_store::Result<Option<Record>> {
        let key = RecordKey::new("baseline", &id.to_string());
        let found = self.0.load(&key).await;
        let found = found.map_err(|error| session_store::Error::Backend(error.to_string()))?;
        Ok(found.and_then(|found| {
            Some(Record {
                id: *id,
                data: serde_json::from_slice(&found.value).ok()?,
                expiry_date: found.expires_at,
            })
        }))
    }

    async fn delete(&self, _: &Id) -> session_store::Result<()> {
        Ok(())
    }
}

fn cookie(response: &axum::response::Response) -> Result<String, BoxError> {
    let set = response.headers()[header::SET_COOKIE].to_str()?;
    Ok(set.split(';').next().unwrap_or_default().to_owned())
}
