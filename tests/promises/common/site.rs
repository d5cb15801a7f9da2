use axum::{
    Json, Router,
    response::IntoResponse,
    routing::{get, post},
};
use axum_oten::{
    AccessToken, Clock, Config, MemoryStore, Oten, User,
    config::ConfigBuilder,
    emulator::{EmulatedClient, Emulator, EmulatorBuilder},
    jose::Ed25519KeyPair,
    store::OtenStore,
    web::OtenBuilder,
};
use serde_json::json;
use tower_sessions::Session;

use super::{Browser, WatchedStore};

/// The client secret, which must not appear in any output.
pub const SECRET: &str = "the-client-secret-of-at-least-32-bytes";

const ORIGIN: &str = "http://127.0.0.1:3000";

/// The registration of the site's client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientKind {
    Hs256,
    EdDsa,
    Public,
}

impl ClientKind {
    pub const ALL: [Self; 3] = [Self::Hs256, Self::EdDsa, Self::Public];
}

/// An emulator, and a site that signs users in with it.
pub struct TestSite {
    pub emulator: Emulator,
    pub oten: Oten,
    pub store: MemoryStore,
    pub clock: Clock,
    pub app: Router,
    /// Signs the request objects of [`ClientKind::EdDsa`].
    pub request_key: Ed25519KeyPair,
}

type Register = Box<dyn FnOnce(EmulatedClient) -> EmulatedClient>;
type Configure = Box<dyn FnOnce(ConfigBuilder) -> ConfigBuilder>;
type Emulate = Box<dyn FnOnce(EmulatorBuilder) -> EmulatorBuilder>;
type Build = Box<dyn FnOnce(OtenBuilder) -> OtenBuilder>;
type BuildApp = Box<dyn FnOnce(&Oten) -> Router>;

/// The settings of a site that differ between tests.
#[must_use]
pub struct TestSiteBuilder {
    kind: ClientKind,
    register: Register,
    configure: Configure,
    emulate: Emulate,
    build: Build,
    app: BuildApp,
    origin: &'static str,
    callback: &'static str,
}

impl TestSite {
    /// The site of most tests: a confidential client with HS256.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    pub fn builder() -> TestSiteBuilder {
        TestSiteBuilder {
            kind: ClientKind::Hs256,
            register: Box::new(|client| client),
            configure: Box::new(|config| config),
            emulate: Box::new(|emulator| emulator),
            build: Box::new(|oten| oten),
            app: Box::new(app),
            origin: ORIGIN,
            callback: "/callback",
        }
    }

    /// A browser without cookies.
    pub fn browser(&self) -> Browser {
        Browser::new(self)
    }

    /// A browser in which `user` has signed in.
    pub async fn signed_in(&self, user: &str) -> Browser {
        let mut browser = self.browser();
        browser.sign_in(user, "/").await;
        browser
    }
}

impl TestSiteBuilder {
    pub fn client(mut self, kind: ClientKind) -> Self {
        self.kind = kind;
        self
    }

    /// Changes the client's registration.
    pub fn register(
        mut self,
        register: impl FnOnce(EmulatedClient) -> EmulatedClient + 'static,
    ) -> Self {
        self.register = Box::new(register);
        self
    }

    /// Changes the site's configuration.
    pub fn config(
        mut self,
        configure: impl FnOnce(ConfigBuilder) -> ConfigBuilder + 'static,
    ) -> Self {
        self.configure = Box::new(configure);
        self
    }

    /// Changes the emulator before it starts.
    pub fn emulator(
        mut self,
        emulate: impl FnOnce(EmulatorBuilder) -> EmulatorBuilder + 'static,
    ) -> Self {
        self.emulate = Box::new(emulate);
        self
    }

    /// Changes how the site's `Oten` is built.
    pub fn oten(mut self, build: impl FnOnce(OtenBuilder) -> OtenBuilder + 'static) -> Self {
        self.build = Box::new(build);
        self
    }

    /// Replaces [`app`].
    pub fn app(mut self, app: impl FnOnce(&Oten) -> Router + 'static) -> Self {
        self.app = Box::new(app);
        self
    }

    /// Serves the site at another origin, for example with https.
    pub fn origin(mut self, origin: &'static str) -> Self {
        self.origin = origin;
        self
    }

    /// Sets another path of the redirect URI than `/callback`.
    pub fn callback(mut self, path: &'static str) -> Self {
        self.callback = path;
        self
    }

    /// Starts with a store that records its calls and can fail.
    pub async fn start_watched(self) -> (TestSite, WatchedStore) {
        let clock = Clock::manual();
        let memory = MemoryStore::default().with_clock(clock.clone());
        let store = WatchedStore::new(memory.clone());
        let site = self.start_with(store.clone(), memory, clock).await;
        (site, store)
    }

    pub async fn start(self) -> TestSite {
        let store_clock = Clock::manual();
        let store = MemoryStore::default().with_clock(store_clock.clone());
        self.start_with(store.clone(), store, store_clock).await
    }

    /// Starts with another store; `memory` is the one that a test inspects.
    pub async fn start_with(
        self,
        store: impl OtenStore,
        memory: MemoryStore,
        clock: Clock,
    ) -> TestSite {
        let redirect_uri = format!("{}{}", self.origin, self.callback);
        let pair = Ed25519KeyPair::generate();
        let client = match self.kind {
            ClientKind::Hs256 => EmulatedClient::confidential("test-site", SECRET),
            ClientKind::EdDsa => EmulatedClient::confidential("test-site", SECRET)
                .request_object_key(&pair.public_jwk()),
            ClientKind::Public => EmulatedClient::public("test-site"),
        };
        let client = (self.register)(client)
            .redirect_uri(&redirect_uri)
            .post_logout_redirect_uri(format!("{}/logout", self.origin))
            .post_logout_redirect_uri(format!("{}/bye?a=b", self.origin));
        let emulator = Emulator::builder().client(client).clock(clock.clone());
        let emulator = (self.emulate)(emulator).start().await.unwrap();

        let config = Config::builder()
            .issuer(emulator.issuer())
            .client_id("test-site")
            .redirect_uri(&redirect_uri);
        let config = match self.kind {
            ClientKind::Hs256 => config.client_secret(SECRET),
            ClientKind::EdDsa => config.client_secret(SECRET).jar_eddsa(pair.clone()),
            ClientKind::Public => config.public_client(),
        };
        let config = (self.configure)(config).build().unwrap();
        let oten = Oten::builder(config, store).clock(clock.clone());
        let oten = (self.build)(oten).build().unwrap();
        TestSite {
            app: (self.app)(&oten),
            emulator,
            oten,
            store: memory,
            clock,
            request_key: pair,
        }
    }
}

/// The app of most tests: open pages, protected pages, pages with a rule, and APIs.
pub fn app(oten: &Oten) -> Router {
    let protected = Router::new()
        .route("/profile", get(profile).post(profile))
        .route("/shout", get(async || "for the signed-in"))
        .route_layer(oten.require_login());
    let staff = Router::new()
        .route("/staff", get(async || "for the staff"))
        .route_layer(
            oten.require_login()
                .authorize(|user| user.subject() == "alice"),
        );
    Router::new()
        .route("/", get(home))
        .route("/open", get(async || "open"))
        .route("/extracted", get(profile).post(profile))
        .route("/token", get(token))
        .route("/note", get(read_note).post(write_note))
        .route("/cycle", post(cycle_id))
        .merge(protected)
        .merge(staff)
        .merge(oten.routes())
        .layer(oten.layer())
}

async fn home(user: Option<User>) -> String {
    match user {
        Some(user) => format!("user {}", user.subject()),
        None => "guest".to_owned(),
    }
}

async fn profile(user: User) -> impl IntoResponse {
    Json(json!({
        "sub": user.subject(),
        "iss": user.issuer(),
        "name": user.name(),
        "email": user.email(),
    }))
}

async fn token(token: AccessToken) -> String {
    token.expose().to_owned()
}

/// Reads and writes the app's own session data.
async fn read_note(session: Session) -> String {
    session
        .get("note")
        .await
        .unwrap()
        .unwrap_or_else(|| "no note".to_owned())
}

async fn write_note(session: Session, note: String) {
    session.insert("note", note).await.unwrap();
}

async fn cycle_id(session: Session) {
    session.cycle_id().await.unwrap();
}
