//! Processes whose clocks differ from each other and from that of the store.

use std::time::Duration;

use axum::http::StatusCode;
use axum_oten::{Clock, Oten, emulator::Endpoint::Token};
use tokio::time::timeout;

use super::{StoreLocation, due};
use crate::common::app;

super::on_stores! {
    [sqlite postgres redis] {
        l11_a_process_whose_clock_is_ahead_respects_a_lease
    }
}

/// Longer than a lease lives, and shorter than the leeway for tokens.
const AHEAD: Duration = Duration::from_secs(20);

async fn l11_a_process_whose_clock_is_ahead_respects_a_lease(location: StoreLocation) {
    let (site, store) = location.site(app).await;
    let (mut browser, mut other) = (due(&site).await, due(&site).await);
    other.cookies.clone_from(&browser.cookies);
    let clock = Clock::manual();
    clock.advance(AHEAD);
    let ahead = Oten::builder(site.oten.config().clone(), store).clock(clock);
    other.app(app(&ahead.build().unwrap()));

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
    assert_eq!(
        (site.emulator.refreshes(), site.emulator.reuse_detected()),
        (1, 0)
    );
}
