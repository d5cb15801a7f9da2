//! Processes whose clocks differ from each other and from that of the store.

use std::time::Duration;

use axum::http::StatusCode;
use axum_oten::{Clock, Oten, emulator::Endpoint::Token};
use tokio::time::timeout;

use super::{StoreLocation, due, start_with};
use crate::common::{TestSite, app};

super::on_stores! {
    [memory sqlite postgres redis] {
        l11_processes_with_different_clocks_respect_a_lease
    }
}

/// How far the clock of the store is ahead of that of the first process, which holds the lease.
const STORE: Duration = Duration::from_secs(80);

/// How far the clock of the other process is ahead: longer than a lease lives, and shorter than the
/// leeway for tokens.
const OTHER: Duration = Duration::from_secs(20);

async fn l11_processes_with_different_clocks_respect_a_lease(location: StoreLocation) {
    let store = location.open_with(ahead(STORE)).await;
    let site = start_with(TestSite::builder(), store.clone()).await;
    let mut browser = due(&site).await;
    let mut other = browser.clone();
    let oten = Oten::builder(site.oten.config().clone(), store).clock(ahead(OTHER));
    other.app(app(&oten.build().unwrap()));

    let held = site.emulator.hold(Token);
    let first = tokio::spawn(async move { browser.get("/profile").await });
    held.wait_for(1).await;
    let second = tokio::spawn(async move { other.get("/profile").await });
    let second_call = timeout(Duration::from_millis(500), held.wait_for(2)).await;
    assert!(second_call.is_err(), "the lease was ignored");
    held.release();
    for answer in [first, second] {
        assert_eq!(answer.await.unwrap().status, StatusCode::OK);
    }
    let refreshes = (site.emulator.refreshes(), site.emulator.reuse_detected());
    assert_eq!(refreshes, (1, 0));
}

fn ahead(by: Duration) -> Clock {
    let clock = Clock::manual();
    clock.advance(by);
    clock
}
