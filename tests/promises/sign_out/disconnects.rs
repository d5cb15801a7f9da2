//! O2: clients that disconnect while the app ends a session or changes its ID.

use axum_oten::emulator::Endpoint::Revocation;
use tokio::task::JoinHandle;

use super::{
    local::{session_app, settled},
    reaches, site,
};
use crate::common::{Answer, Browser, Log, Operation, TestSite, WatchedStore, eventually};

/// A signed-in user, and a request that waits before the store handles its call number `step`.
struct Interrupted {
    site: TestSite,
    store: WatchedStore,
    browser: Browser,
    log: Log,
}

/// Sends a request and drops it when the store is about to handle its call number `step`. The store
/// then goes on. Returns `None` if the request makes fewer calls.
async fn disconnect(path: &str, step: usize) -> Option<Interrupted> {
    let (site, store) = site().app(session_app).start_watched().await;
    let browser = settled(&site, "alice").await;
    store.take_calls();
    let log = Log::start();
    let pause = store.pause_after(step);
    let (mut tab, path) = (browser.clone(), path.to_owned());
    let mut request: JoinHandle<Answer> = tokio::spawn(async move { tab.post(&path).await });
    if !reaches(&pause, &mut request).await {
        return None;
    }
    request.abort();
    assert!(request.await.unwrap_err().is_cancelled());
    pause.go_on();
    Some(Interrupted {
        site,
        store,
        browser,
        log,
    })
}

#[tokio::test]
async fn o2_a_client_that_disconnects_at_any_step_of_a_sign_out_is_signed_out() {
    // The number of calls before the sign-out begins.
    for (path, reads) in [
        ("/flush", 0),
        ("/user/flush", 1),
        ("/delete", 0),
        ("/insert-and-delete", 1),
        ("/logout", 0),
    ] {
        for step in 0.. {
            let Some(mut left) = disconnect(path, step).await else {
                assert_eq!(step, reads + 6, "{path}");
                break;
            };
            if step < reads {
                assert_eq!(left.browser.signed_in_as().await, "user alice");
                continue;
            }
            eventually(|| left.store.count(Operation::RemoveMember) == 3).await;
            assert!(left.site.store.is_empty(), "{path}, {step}");
            eventually(|| left.site.emulator.calls(Revocation) == 1).await;
            let signed_out = left.log.named("signed_out");
            assert_eq!(signed_out.len(), 1, "{path}, {step}");
            assert_eq!(left.browser.signed_in_as().await, "guest");
        }
    }
}

#[tokio::test]
async fn o2_a_client_that_disconnects_at_any_step_of_an_id_change_leaves_one_session() {
    for step in 0.. {
        let Some(mut left) = disconnect("/cycle_id", step).await else {
            assert_eq!(step, 1 + 9, "a read, and the change");
            break;
        };
        if step == 0 {
            assert_eq!(left.browser.signed_in_as().await, "user alice");
            assert_eq!(left.site.store.len(), 2);
            continue;
        }
        // The previous ID has left the index, and points to the new one.
        eventually(|| left.store.count(Operation::RemoveMember) == 3).await;
        assert_eq!(left.site.store.len(), 3, "a session, its tokens, a pointer");
        assert_eq!(left.browser.signed_in_as().await, "guest");
        // The browser never received the new cookie, but a sign-out reaches the session.
        left.browser.post("/logout").await;
        left.site.clock.advance(std::time::Duration::from_secs(300));
        assert!(left.site.store.is_empty(), "{step}");
        assert_eq!(left.log.named("signed_out").len(), 1);
    }
}
