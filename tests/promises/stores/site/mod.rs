//! A whole site on each store as an operator sets it up, in real time: sessions from the sign-in to
//! the sign-out, alone and among several processes.

mod absence;
mod life;
mod logout;
mod processes;
mod slow;

use std::sync::Arc;

use axum::Router;
use axum_oten::{
    Clock, MemoryStore, Oten,
    config::StoreUrl,
    emulator::Deviation,
    store::{self, OtenStore},
};
use serde_json::json;

use super::{
    folder::Folder,
    servers::{self, Kind},
};
use crate::common::{Browser, OutsideStore, TestSite, TestSiteBuilder};

/// What the tokens are sealed under.
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// A session and its tokens, and the right to renew them.
const OF_A_SESSION: [&str; 3] = ["session", "tokens", "lease"];

/// The store that the configuration names, and what was written to it.
type Store = OutsideStore<Arc<dyn OtenStore>>;

/// Where sessions are kept.
struct Place {
    url: StoreUrl,
    _folder: Option<Folder>,
}

impl Place {
    fn memory() -> Self {
        Self {
            url: StoreUrl::Memory,
            _folder: None,
        }
    }

    fn sqlite() -> Self {
        let folder = Folder::new();
        Self {
            url: StoreUrl::Sqlite(folder.path().join("sessions.db")),
            _folder: Some(folder),
        }
    }

    fn postgres() -> Self {
        Self::at(Kind::Postgres, &servers::shared(Kind::Postgres).url())
    }

    fn redis() -> Self {
        Self::at(Kind::Redis, &servers::shared(Kind::Redis).url())
    }

    fn at(kind: Kind, url: &str) -> Self {
        Self {
            url: match kind {
                Kind::Postgres => StoreUrl::Postgres(url.into()),
                Kind::Redis => StoreUrl::Redis(url.into()),
            },
            _folder: None,
        }
    }

    /// As an operator writes it.
    fn setting(&self) -> String {
        match &self.url {
            StoreUrl::Redis(url) | StoreUrl::Postgres(url) => url.expose().to_owned(),
            url => url.to_string(),
        }
    }

    async fn open(&self) -> Store {
        OutsideStore::new(store::open(&self.url).await.unwrap())
    }

    /// A site whose sessions are here.
    async fn site(&self, app: impl FnOnce(&Oten) -> Router + 'static) -> (TestSite, Store) {
        self.start(TestSite::builder().app(app)).await
    }

    async fn start(&self, site: TestSiteBuilder) -> (TestSite, Store) {
        let store = self.open().await;
        let site = site.config(|config| config.session_key(KEY)).start_with(
            store.clone(),
            MemoryStore::default(),
            Clock::system(),
        );
        (site.await, store)
    }
}

/// A browser in which alice has signed in, and whose tokens have ended already.
async fn due(site: &TestSite) -> Browser {
    site.emulator
        .deviate(Deviation::TokenField("expires_in", json!(0)));
    let browser = site.signed_in("alice").await;
    site.emulator.clear_deviations();
    browser
}

/// Another process of the same site, on this store.
fn another_process(site: &TestSite, store: impl OtenStore) -> Oten {
    Oten::builder(site.oten.config().clone(), store)
        .build()
        .unwrap()
}

/// Runs these tests on each of these stores.
macro_rules! on_stores {
    ([$($store:ident)*] $tests:tt) => {
        $( super::on_stores!(@ $store $tests); )*
    };
    (@ $store:ident { $($test:ident)* }) => {
        mod $store {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    super::$test(crate::stores::site::Place::$store()).await;
                }
            )*
        }
    };
}

use on_stores;
