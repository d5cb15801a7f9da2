//! The servers that are compared.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Redirect, Response},
    routing::{any, get},
};
use axum_login::{AuthManagerLayerBuilder, AuthSession, AuthUser, AuthnBackend, UserId};
use axum_oten::{
    Clock, Config, MemoryStore, Oten, User,
    emulator::{EmulatedClient, Emulator},
    store::{OtenStore, RedisStore, SqliteStore},
    web::SetupError,
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use ed25519_dalek::{Signer, SigningKey};
use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tower::ServiceExt;
use tower_sessions::{
    Session, SessionManagerLayer, SessionStore,
    session::{Id, Record},
};

use crate::Bad;

const SECRET: &str = "a-secret-of-at-least-32-bytes-as-Oten-makes-them";
const REDIRECT_URI: &str = "http://127.0.0.1:3000/callback";
const SESSION_KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// Serves a variant until the process is killed, or until it has answered `requests`.
#[tokio::main(flavor = "current_thread")]
pub async fn serve(variant: &str, requests: Option<u64>) -> Result<(), Bad> {
    let (app, cookie) = match variant {
        "axum" => (
            Router::new().route("/", get(async || "alice")),
            String::new(),
        ),
        "map" => map(),
        "sessions-memory" => sessions(tower_sessions::MemoryStore::default()).await?,
        "sessions-sqlite" => {
            use tower_sessions_sqlx_store::{SqliteStore, sqlx::SqlitePool};
            let file = std::env::temp_dir().join(format!("floor-{}.db", std::process::id()));
            let pool = SqlitePool::connect(&format!("sqlite:{}?mode=rwc", file.display())).await?;
            let store = SqliteStore::new(pool);
            store.migrate().await?;
            sessions(store).await?
        }
        "sessions-redis" => {
            use tower_sessions_redis_store::{RedisStore, fred::prelude::*};
            let config = fred_config()?;
            let pool = Pool::new(config, None, None, None, 1)?;
            pool.connect();
            pool.wait_for_connect().await?;
            sessions(RedisStore::new(pool)).await?
        }
        "axum-login" => axum_login().await?,
        "oten-memory" => oten(MemoryStore::default()).await?,
        "oten-sqlite" => {
            let folder = std::env::temp_dir().join(format!("oten-{}", std::process::id()));
            oten(SqliteStore::open(folder.join("sessions.sqlite")).await?).await?
        }
        "oten-redis" => oten(RedisStore::connect(&std::env::var("REDIS_URL")?).await?).await?,
        "proxy-floor" => proxy_floor(true).await?,
        "proxy-without-session" => proxy_floor(false).await?,
        "proxy-oten" => {
            let api = std::env::var("API")?;
            signed_in(MemoryStore::default(), |oten| oten.api_proxy("/api", &api)).await?
        }
        "attempts" => (attempts().await?, String::new()),
        "login-floor" => (login_floor(Signature::None), String::new()),
        "login-floor-hs256" => (login_floor(Signature::Hs256), String::new()),
        "login-floor-eddsa" => (login_floor(Signature::eddsa()), String::new()),
        "login-oten-plain" => (
            login_oten(Config::builder().public_client()).await?,
            String::new(),
        ),
        "login-oten-hs256" => (
            login_oten(Config::builder().client_secret(SECRET)).await?,
            String::new(),
        ),
        "login-oten-eddsa" => {
            let pair = axum_oten::jose::Ed25519KeyPair::from_pem(&ed25519_pem()?)?;
            let config = Config::builder().client_secret(SECRET).jar_eddsa(pair);
            (login_oten(config).await?, String::new())
        }
        _ => return Err(format!("there is no variant {variant}").into()),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{} {cookie}", listener.local_addr()?);
    let Some(requests) = requests else {
        axum::serve(listener, app).await?;
        return Ok(());
    };
    let (left, done) = (
        Arc::new(AtomicU64::new(requests)),
        Arc::new(tokio::sync::Notify::new()),
    );
    let app = app.layer(from_fn_with_state((left, Arc::clone(&done)), count));
    tokio::select! {
        served = async { axum::serve(listener, app).await } => served?,
        () = done.notified() => {}
    }
    // The last answer is on its way.
    tokio::task::yield_now().await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    Ok(())
}

type Count = (Arc<AtomicU64>, Arc<tokio::sync::Notify>);

async fn count(State((left, done)): State<Count>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    if left.fetch_sub(1, Ordering::Relaxed) == 1 {
        done.notify_one();
    }
    response
}

fn fred_config() -> Result<tower_sessions_redis_store::fred::prelude::Config, Bad> {
    use tower_sessions_redis_store::fred::prelude::Config;
    Ok(Config::from_url(&std::env::var("REDIS_URL")?)?)
}

/// One small user, as an app on bare tower-sessions keeps one.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct SmallUser {
    sub: String,
    name: String,
    email: String,
}

fn alice() -> SmallUser {
    SmallUser {
        sub: "alice".to_owned(),
        name: "Alice Adams".to_owned(),
        email: "alice@example.com".to_owned(),
    }
}

async fn sessions(store: impl SessionStore + Clone) -> Result<(Router, String), Bad> {
    let id = insert(&store, "user", serde_json::to_value(alice())?).await?;
    let handler = async |session: Session| {
        let user: Option<SmallUser> = session.get("user").await.unwrap_or_default();
        user.map(|user| user.sub).unwrap_or_default()
    };
    let layer = SessionManagerLayer::new(store).with_secure(false);
    let app = Router::new().route("/", get(handler)).layer(layer);
    Ok((app, format!("id={id}")))
}

type Users = Arc<Mutex<HashMap<String, Arc<SmallUser>>>>;

/// The least a session can cost: a map under a mutex and one header.
fn map() -> (Router, String) {
    let users = HashMap::from([("0123456789abcdef".to_owned(), Arc::new(alice()))]);
    let users: Users = Arc::new(Mutex::new(users));
    let handler = async |State(users): State<Users>, headers: HeaderMap| {
        let cookie = headers
            .get(header::COOKIE)
            .and_then(|value| value.to_str().ok());
        let id = cookie.and_then(|cookie| cookie.strip_prefix("id="));
        let user = id.and_then(|id| users.lock().ok()?.get(id).cloned());
        user.map(|user| user.sub.clone()).unwrap_or_default()
    };
    let app = Router::new().route("/", get(handler)).with_state(users);
    (app, "id=0123456789abcdef".to_owned())
}

impl AuthUser for SmallUser {
    type Id = String;

    fn id(&self) -> String {
        self.sub.clone()
    }

    fn session_auth_hash(&self) -> &[u8] {
        self.email.as_bytes()
    }
}

#[derive(Clone)]
struct OneUser;

impl AuthnBackend for OneUser {
    type User = SmallUser;
    type Credentials = ();
    type Error = std::convert::Infallible;

    async fn authenticate(&self, (): ()) -> Result<Option<SmallUser>, Self::Error> {
        Ok(Some(alice()))
    }

    async fn get_user(&self, _: &UserId<Self>) -> Result<Option<SmallUser>, Self::Error> {
        Ok(Some(alice()))
    }
}

async fn axum_login() -> Result<(Router, String), Bad> {
    let sessions =
        SessionManagerLayer::new(tower_sessions::MemoryStore::default()).with_secure(false);
    let layer = AuthManagerLayerBuilder::new(OneUser, sessions).build();
    let handler =
        async |auth: AuthSession<OneUser>| auth.user.map(|user| user.sub).unwrap_or_default();
    let sign_in = async |mut auth: AuthSession<OneUser>| {
        auth.login(&alice()).await.ok();
    };
    let app = Router::new()
        .route("/", get(handler))
        .route("/sign-in", get(sign_in))
        .layer(layer);
    let request = http::Request::get("/sign-in").body(Body::empty())?;
    let response = app.clone().oneshot(request).await?;
    Ok((app, cookie(&response)?))
}

async fn oten(store: impl OtenStore) -> Result<(Router, String), Bad> {
    let page = get(async |user: User| user.subject().to_owned());
    let routes = |oten: &Oten| {
        Router::new()
            .route("/", page)
            .route_layer(oten.require_login())
    };
    signed_in(store, |oten| Ok(routes(oten))).await
}

/// A site with these routes, and the cookie of a signed-in user.
async fn signed_in(
    store: impl OtenStore,
    routes: impl FnOnce(&Oten) -> Result<Router, SetupError>,
) -> Result<(Router, String), Bad> {
    let client = EmulatedClient::public("bench").redirect_uri(REDIRECT_URI);
    let emulator = Emulator::builder().client(client).start().await?;
    let config = Config::builder()
        .issuer(emulator.issuer())
        .client_id("bench")
        .public_client()
        .redirect_uri(REDIRECT_URI)
        .session_key(SESSION_KEY)
        .build()?;
    let oten = Oten::new(config, store)?;
    let app = routes(&oten)?.merge(oten.routes()).layer(oten.layer());
    let login = http::Request::get("/login").body(Body::empty())?;
    let login = app.clone().oneshot(login).await?;
    let callback = emulator.approve(login.headers()[header::LOCATION].to_str()?, "alice")?;
    let back = http::Request::get(&callback[url::Position::BeforePath..])
        .header(header::COOKIE, cookie(&login)?)
        .body(Body::empty())?;
    let signed_in = app.clone().oneshot(back).await?;
    // The emulator is not asked again while the session is fresh.
    std::mem::forget(emulator);
    Ok((app, cookie(&signed_in)?))
}

/// A handler that calls the API with reqwest, and passes the response on: with a fixed token, or with that
/// of the user in bare tower-sessions.
async fn proxy_floor(has_session: bool) -> Result<(Router, String), Bad> {
    let (api, client) = (std::env::var("API")?, reqwest::Client::new());
    let call = async move |token: String, request: Request| {
        let path = request.uri().path_and_query();
        let url = format!("{api}{}", path.map_or("/", |path| path.as_str()));
        match client.get(url).bearer_auth(token).send().await {
            Ok(response) => http::Response::from(response).map(Body::new),
            Err(_) => StatusCode::BAD_GATEWAY.into_response(),
        }
    };
    if !has_session {
        let token = token();
        let forward = any(async move |request| call(token.clone(), request).await);
        return Ok((
            Router::new().nest_service("/api", forward.with_state(())),
            String::new(),
        ));
    }
    let store = tower_sessions::MemoryStore::default();
    let id = insert(&store, "token", json!(token())).await?;
    let forward = any(async move |session: Session, request| {
        let token: Option<String> = session.get("token").await.unwrap_or_default();
        match token {
            Some(token) => call(token, request).await,
            None => StatusCode::UNAUTHORIZED.into_response(),
        }
    });
    let app = Router::new()
        .nest_service("/api", forward.with_state(()))
        .layer(SessionManagerLayer::new(store).with_secure(false));
    Ok((app, format!("id={id}")))
}

/// Creates a session with one value.
async fn insert(
    store: &impl SessionStore,
    name: &str,
    value: serde_json::Value,
) -> Result<Id, Bad> {
    let mut record = Record {
        id: Id::default(),
        data: HashMap::from([(name.to_owned(), value)]),
        expiry_date: time::OffsetDateTime::now_utc() + time::Duration::DAY,
    };
    store.create(&mut record).await?;
    Ok(record.id)
}

async fn login_oten(config: axum_oten::config::ConfigBuilder) -> Result<Router, Bad> {
    let client = EmulatedClient::public("bench").redirect_uri(REDIRECT_URI);
    let emulator = Emulator::builder().client(client).start().await?;
    let config = config
        .issuer(emulator.issuer())
        .client_id("bench")
        .redirect_uri(REDIRECT_URI)
        .build()?;
    let oten = Oten::new(config, MemoryStore::default())?;
    let app = oten.routes().layer(oten.layer());
    let first = http::Request::get("/login").body(Body::empty())?;
    app.clone().oneshot(first).await?;
    std::mem::forget(emulator);
    Ok(app)
}

/// A site whose clock `/later` moves past the time of login attempts. It answers with the number of
/// records that are left.
async fn attempts() -> Result<Router, Bad> {
    let client = EmulatedClient::public("bench").redirect_uri(REDIRECT_URI);
    let emulator = Emulator::builder().client(client).start().await?;
    let config = Config::builder()
        .issuer(emulator.issuer())
        .client_id("bench")
        .public_client()
        .redirect_uri(REDIRECT_URI)
        .build()?;
    let clock = Clock::manual();
    let store = MemoryStore::default().with_clock(clock.clone());
    let oten = Oten::builder(config, store.clone())
        .clock(clock.clone())
        .build()?;
    let later = async move || {
        clock.advance(Duration::from_secs(11 * 60));
        store.len().to_string()
    };
    let routes = oten.routes().layer(oten.layer());
    std::mem::forget(emulator);
    Ok(routes.route("/later", get(later)))
}

#[derive(Clone)]
enum Signature {
    None,
    Hs256,
    EdDsa(Arc<SigningKey>),
}

impl Signature {
    fn eddsa() -> Self {
        Self::EdDsa(Arc::new(SigningKey::from_bytes(&random())))
    }

    fn header(&self) -> &'static str {
        match self {
            Self::EdDsa(_) => r#"{"alg":"EdDSA","typ":"JWT","kid":"1"}"#,
            _ => r#"{"alg":"HS256","typ":"JWT"}"#,
        }
    }

    fn sign(&self, text: &[u8]) -> Vec<u8> {
        match self {
            Self::EdDsa(key) => key.sign(text).to_vec(),
            _ => {
                let mut mac =
                    Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any length");
                mac.update(text);
                mac.finalize().into_bytes().to_vec()
            }
        }
    }
}

/// A hand-written login start on bare tower-sessions: state, nonce, PKCE, one session write, redirect.
fn login_floor(signature: Signature) -> Router {
    let handler = async |State(signature): State<Signature>, session: Session| {
        let (state, nonce, verifier) = (token(), token(), token());
        let challenge = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(&verifier));
        let attempt = json!({"state": &state, "nonce": &nonce, "verifier": &verifier});
        session.insert("attempt", attempt).await.expect("in memory");
        let scope = "openid profile email";
        let parameters = match &signature {
            Signature::None => {
                let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
                format!(
                    "response_type=code&client_id=bench&redirect_uri={}&scope={}&state={state}\
                     &nonce={nonce}&code_challenge={challenge}&code_challenge_method=S256",
                    encode(REDIRECT_URI),
                    encode(scope),
                )
            }
            signed => {
                let now = time::OffsetDateTime::now_utc().unix_timestamp();
                let claims = json!({
                    "iss": "bench", "aud": "http://127.0.0.1:1", "iat": now, "exp": now + 300,
                    "jti": token(), "client_id": "bench", "redirect_uri": REDIRECT_URI,
                    "response_type": "code", "scope": scope, "state": state, "nonce": nonce,
                    "code_challenge": challenge, "code_challenge_method": "S256",
                });
                let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
                let text = format!(
                    "{}.{}",
                    encode(signed.header().as_bytes()),
                    encode(claims.to_string().as_bytes())
                );
                let mac = encode(&signed.sign(text.as_bytes()));
                format!("client_id=bench&request={text}.{mac}")
            }
        };
        Redirect::to(&format!(
            "http://127.0.0.1:1/v1/oauth/authorize?{parameters}"
        ))
    };
    let store = tower_sessions::MemoryStore::default();
    let layer = SessionManagerLayer::new(store).with_secure(false);
    Router::new()
        .route("/login", get(handler))
        .layer(layer)
        .with_state(signature)
}

fn ed25519_pem() -> Result<String, Bad> {
    use ed25519_dalek::pkcs8::{EncodePrivateKey, spki::der::pem::LineEnding};
    let key = SigningKey::from_bytes(&random());
    Ok(key.to_pkcs8_pem(LineEnding::LF)?.to_string())
}

fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).expect("the operating system provides random bytes");
    bytes
}

fn token() -> String {
    BASE64_URL_SAFE_NO_PAD.encode(random())
}

fn cookie(response: &Response) -> Result<String, Bad> {
    let set = response.headers()[header::SET_COOKIE].to_str()?;
    Ok(set.split(';').next().unwrap_or_default().to_owned())
}
