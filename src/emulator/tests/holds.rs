use std::{future::Future, pin::pin, task::Poll, time::Duration};

use super::kit::*;
use crate::emulator::{Endpoint, Fault};

const KEYS: &str = "/.well-known/jwks.json";

/// Whether a future has not ended after it was asked once.
async fn is_pending(future: impl Future) -> bool {
    let mut future = pin!(future);
    std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await
}

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    let limit = Duration::from_secs(10);
    tokio::time::timeout(limit, future).await.unwrap()
}

#[tokio::test]
async fn held_requests_wait_for_the_release() {
    let kit = kit();
    let held = kit.emulator.hold(Endpoint::Jwks);
    assert!(is_pending(held.wait_for(1)).await, "nobody is there yet");
    let calls = async { tokio::join!(kit.get(KEYS), kit.get(KEYS), kit.get(KEYS)) };
    let release = async {
        in_time(held.wait_for(3)).await;
        assert!(is_pending(held.wait_for(4)).await);
        assert_eq!(kit.emulator.calls(Endpoint::Jwks), 3);
        // Planned while they wait, it still happens.
        kit.emulator
            .fault(Endpoint::Jwks, Fault::Status(503).times(1));
        held.release();
    };
    let ((a, b, c), ()) = in_time(async { tokio::join!(calls, release) }).await;
    let mut statuses = [a, b, c].map(|response| response.status().as_u16());
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 503]);
    assert_eq!(kit.get(KEYS).await.status(), 200, "nothing is held now");
}

#[tokio::test]
async fn other_endpoints_go_on() {
    let kit = kit();
    let _held = kit.emulator.hold(Endpoint::Token);
    assert_eq!(kit.get(KEYS).await.status(), 200);
}

#[tokio::test]
async fn who_went_away_waits_no_longer() {
    let kit = kit();
    let held = kit.emulator.hold(Endpoint::Jwks);
    {
        let mut call = pin!(kit.get(KEYS));
        assert!(is_pending(&mut call).await);
        in_time(held.wait_for(1)).await;
    }
    assert!(is_pending(held.wait_for(1)).await);
    assert!(format!("{held:?}").contains("waiting: 0"));
}

#[tokio::test]
async fn two_holds_are_both_waited_for() {
    let kit = kit();
    let (first, second) = (
        kit.emulator.hold(Endpoint::Jwks),
        kit.emulator.hold(Endpoint::Jwks),
    );
    let release = async {
        in_time(first.wait_for(1)).await;
        assert!(is_pending(second.wait_for(1)).await);
        drop(first);
        in_time(second.wait_for(1)).await;
        drop(second);
    };
    let (response, ()) = in_time(async { tokio::join!(kit.get(KEYS), release) }).await;
    assert_eq!(response.status(), 200);
}
