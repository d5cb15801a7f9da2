use std::{future::Future, pin::pin, task::Poll, time::Duration};

use super::support::*;
use crate::emulator::{Endpoint, Fault};

const KEYS: &str = "/.well-known/jwks.json";

/// Polls a future once and returns whether it is pending.
async fn is_pending(future: impl Future) -> bool {
    let mut future = pin!(future);
    std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await
}

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    let limit = Duration::from_secs(10);
    tokio::time::timeout(limit, future).await.unwrap()
}

#[tokio::test]
async fn holds_requests_until_the_release() {
    let provider = provider();
    let held = provider.emulator.hold(Endpoint::Jwks);
    assert!(is_pending(held.wait_for(1)).await, "no request is held yet");
    let calls = async { tokio::join!(provider.get(KEYS), provider.get(KEYS), provider.get(KEYS)) };
    let release = async {
        in_time(held.wait_for(3)).await;
        assert!(is_pending(held.wait_for(4)).await);
        assert_eq!(provider.emulator.calls(Endpoint::Jwks), 3);
        // A fault that is planned while requests are held applies to them.
        provider
            .emulator
            .fault(Endpoint::Jwks, Fault::Status(503).times(1));
        held.release();
    };
    let ((a, b, c), ()) = in_time(async { tokio::join!(calls, release) }).await;
    let mut statuses = [a, b, c].map(|response| response.status().as_u16());
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 503]);
    assert_eq!(
        provider.get(KEYS).await.status(),
        200,
        "the guard is released"
    );
}

#[tokio::test]
async fn does_not_hold_other_endpoints() {
    let provider = provider();
    let _held = provider.emulator.hold(Endpoint::Token);
    assert_eq!(provider.get(KEYS).await.status(), 200);
}

#[tokio::test]
async fn does_not_count_a_disconnected_request() {
    let provider = provider();
    let held = provider.emulator.hold(Endpoint::Jwks);
    {
        let mut call = pin!(provider.get(KEYS));
        assert!(is_pending(&mut call).await);
        in_time(held.wait_for(1)).await;
    }
    assert!(is_pending(held.wait_for(1)).await);
    assert!(format!("{held:?}").contains("waiting: 0"));
}

#[tokio::test]
async fn waits_for_both_of_two_holds() {
    let provider = provider();
    let (first, second) = (
        provider.emulator.hold(Endpoint::Jwks),
        provider.emulator.hold(Endpoint::Jwks),
    );
    let release = async {
        in_time(first.wait_for(1)).await;
        assert!(is_pending(second.wait_for(1)).await);
        drop(first);
        in_time(second.wait_for(1)).await;
        drop(second);
    };
    let (response, ()) = in_time(async { tokio::join!(provider.get(KEYS), release) }).await;
    assert_eq!(response.status(), 200);
}
