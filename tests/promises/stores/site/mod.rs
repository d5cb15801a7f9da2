//! A site with each store that an operator can configure, in real time, with one and with several
//! processes.

mod absence;
mod clocks;
mod kept_forms;
mod life;
mod logout;
mod processes;
mod session_list;
mod slow;

use std::sync::Arc;

use axum::Router;
use axum_oten::{
    Clock, MemoryStore, Oten,
    config::StoreUrl,
    emulator::Deviation,
    store::{self, OtenStore, PostgresStore, RedisStore, SqliteStore},
};
use serde_json::json;

use super::{
    outage,
    servers::{self, ServerKind},
    temp_dir::TempDir,
};
use crate::common::{Browser, ExternalStore, TestSite, TestSiteBuilder};

/// The session key.
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// The record kinds of a session.
const OF_A_SESSION: [&str; 3] = ["session", "tokens", "lease"];

/// The configured store, with a log of its writes.
type Store = ExternalStore<Arc<dyn OtenStore>>;

/// The location of a site's store.
struct StoreLocation {
    url: StoreUrl,
    _temp_dir: Option<TempDir>,
}

impl StoreLocation {
    fn memory() -> Self {
        Self {
            url: StoreUrl::Memory,
            _temp_dir: None,
        }
    }

    fn sqlite() -> Self {
        let dir = TempDir::new();
        Self {
            url: StoreUrl::Sqlite(dir.path().join("sessions.db")),
            _temp_dir: Some(dir),
        }
    }

    fn postgres() -> Self {
        Self::at(
            ServerKind::Postgres,
            &servers::shared(ServerKind::Postgres).url(),
        )
    }

    fn redis() -> Self {
        Self::at(ServerKind::Redis, &servers::shared(ServerKind::Redis).url())
    }

    fn at(kind: ServerKind, url: &str) -> Self {
        Self {
            url: match kind {
                ServerKind::Postgres => StoreUrl::Postgres(url.into()),
                ServerKind::Redis => StoreUrl::Redis(url.into()),
            },
            _temp_dir: None,
        }
    }

    /// Returns the value for `session_store`.
    fn setting(&self) -> String {
        match &self.url {
            StoreUrl::Redis(url) | StoreUrl::Postgres(url) => url.expose().to_owned(),
            url => url.to_string(),
        }
    }

    async fn open(&self) -> Store {
        ExternalStore::new(store::open(&self.url).await.unwrap())
    }

    /// Opens the store with another clock than its own.
    async fn open_with(&self, clock: Clock) -> Store {
        let store: Arc<dyn OtenStore> = match &self.url {
            StoreUrl::Sqlite(path) => {
                Arc::new(SqliteStore::open(path).await.unwrap().with_clock(clock))
            }
            StoreUrl::Postgres(url) => {
                let store = PostgresStore::connect(url.expose()).await.unwrap();
                Arc::new(store.with_clock(clock))
            }
            StoreUrl::Redis(url) => {
                let store = RedisStore::connect(url.expose()).await.unwrap();
                Arc::new(store.with_clock(clock))
            }
            _ => Arc::new(MemoryStore::default().with_clock(clock)),
        };
        ExternalStore::new(store)
    }

    /// Starts a site with this store.
    async fn site(&self, app: impl FnOnce(&Oten) -> Router + 'static) -> (TestSite, Store) {
        self.start(TestSite::builder().app(app)).await
    }

    async fn start(&self, site: TestSiteBuilder) -> (TestSite, Store) {
        let store = self.open().await;
        (start_with(site, store.clone()).await, store)
    }
}

async fn start_with(site: TestSiteBuilder, store: Store) -> TestSite {
    site.config(|config| config.session_key(KEY))
        .start_with(store, MemoryStore::default(), Clock::system())
        .await
}

/// Returns a browser in which alice is signed in and whose tokens have expired.
async fn due(site: &TestSite) -> Browser {
    site.emulator
        .deviate(Deviation::TokenField("expires_in", json!(0)));
    let browser = site.signed_in("alice").await;
    site.emulator.clear_deviations();
    browser
}

/// Creates another process of the same site with this store.
fn another_process(site: &TestSite, store: impl OtenStore) -> Oten {
    Oten::builder(site.oten.config().clone(), store)
        .build()
        .unwrap()
}

/// Defines these tests for each of these stores.
macro_rules! on_stores {
    ([$($store:ident)*] $tests:tt) => {
        $( super::on_stores!(@ $store $tests); )*
    };
    (@ $store:ident { $($test:ident)* }) => {
        mod $store {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    super::$test(crate::stores::site::StoreLocation::$store()).await;
                }
            )*
        }
    };
}

use on_stores;
