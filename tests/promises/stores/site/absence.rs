//! Outages of the store while users are signed in.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    Router,
    http::{Method, StatusCode, header},
    routing::post,
};
use axum_oten::Oten;
use tokio::task::JoinSet;
use tower_sessions::Session;

use super::{StoreLocation, outage::LIMIT, servers};
use crate::common::{Answer, Browser, app};

use servers::{Server, ServerKind};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l8_killing_redis_signs_no_user_out() {
    killed(ServerKind::Redis).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l8_killing_postgres_signs_no_user_out() {
    killed(ServerKind::Postgres).await;
}

/// The test app with a route whose note is saved after the handler returns.
fn noting_app(oten: &Oten) -> Router {
    let noted = post(async |session: Session, note: String| {
        // `require_login` has already loaded the session.
        session.insert("note", note).await.unwrap();
    });
    let noted = Router::new()
        .route("/noted", noted)
        .route_layer(oten.require_login())
        .layer(oten.layer());
    app(oten).merge(noted)
}

async fn killed(kind: ServerKind) {
    let mut server = Server::new(kind);
    server.start();
    let (site, _store) = StoreLocation::at(kind, &server.url())
        .site(noting_app)
        .await;
    let load = Arc::new(Load::default());
    let mut users = JoinSet::new();
    for name in ["alice", "bob", "carol"].repeat(2) {
        let browser = site.signed_in(name).await;
        users.spawn(Arc::clone(&load).user(name, browser));
    }
    for _ in 0..2 {
        load.reaches(&load.good, 100).await;
        server.kill();
        load.reaches(&load.down, 30).await;
        server.start();
    }
    load.reaches(&load.good, 100).await;
    load.is_finished.store(true, Ordering::SeqCst);

    for (name, mut browser, note) in users.join_all().await {
        assert_eq!(browser.signed_in_as().await, format!("user {name}"));
        assert_eq!(browser.get("/profile").await.json()["sub"], name);
        // The last acknowledged note is stored, or a later one that was not acknowledged.
        let kept: u64 = browser.get("/note").await.body.parse().unwrap();
        assert!(note.contains(&kept), "{kept} of {note:?}");
    }
    assert_eq!(site.emulator.refreshes(), 0);
}

#[derive(Default)]
struct Load {
    good: AtomicUsize,
    down: AtomicUsize,
    is_finished: AtomicBool,
    notes: AtomicU64,
}

impl Load {
    /// Requests pages and saves notes until the test finishes. Also returns the range of valid notes,
    /// from the last acknowledged one to the last one that was sent.
    async fn user(
        self: Arc<Self>,
        name: &'static str,
        mut browser: Browser,
    ) -> (&'static str, Browser, std::ops::RangeInclusive<u64>) {
        let cookies = browser.cookies.clone();
        let (mut saved, mut sent) = (0, 0);
        browser.fetch(Method::POST, "/noted", "0").await;
        while !self.is_finished.load(Ordering::SeqCst) {
            let page = timed(browser.get("/profile")).await;
            if self.is_good(&page) {
                assert_eq!(page.json()["sub"], name);
            }
            let call = timed(browser.fetch(Method::GET, "/extracted", "")).await;
            if self.is_good(&call) {
                assert_eq!(call.json()["sub"], name);
            }
            sent = self.notes.fetch_add(1, Ordering::SeqCst) + 1;
            let note = timed(browser.fetch(Method::POST, "/noted", &sent.to_string())).await;
            if self.is_good(&note) {
                saved = sent;
            }
            assert_eq!(browser.cookies, cookies);
        }
        (name, browser, saved..=sent)
    }

    /// Returns whether the request succeeded. Otherwise the response must report the outage.
    fn is_good(&self, answer: &Answer) -> bool {
        assert!(!answer.sets_session(), "{answer:?}");
        if answer.status == StatusCode::OK {
            self.good.fetch_add(1, Ordering::SeqCst);
            return true;
        }
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
        assert_eq!(answer.header(header::RETRY_AFTER), Some("5"));
        self.down.fetch_add(1, Ordering::SeqCst);
        false
    }

    /// Waits until a counter has increased by `more`.
    async fn reaches(&self, count: &AtomicUsize, more: usize) {
        let goal = count.load(Ordering::SeqCst) + more;
        let limit = Instant::now() + Duration::from_secs(60);
        while count.load(Ordering::SeqCst) < goal {
            assert!(Instant::now() < limit, "fewer than {more} more responses");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn timed(answer: impl Future<Output = Answer>) -> Answer {
    let start = Instant::now();
    let answer = answer.await;
    assert!(start.elapsed() < LIMIT, "it took {:?}", start.elapsed());
    answer
}
