use std::{fmt, sync::Arc};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Endpoint;

/// Guard that holds requests to an endpoint, returned by
/// [`Emulator::hold`](super::super::Emulator::hold).
///
/// The requests continue when the guard is released or dropped.
///
/// ```
/// use axum_oten::emulator::{EmulatedClient, Emulator, Endpoint};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let emulator = Emulator::builder()
/// #     .client(EmulatedClient::public("spa").redirect_uri("http://127.0.0.1:3000/callback"))
/// #     .start()
/// #     .await?;
/// let keys = format!("{}/.well-known/jwks.json", emulator.issuer());
/// let held = emulator.hold(Endpoint::Jwks);
/// let call = tokio::spawn(reqwest::get(keys));
/// held.wait_for(1).await;
/// assert!(!call.is_finished());
///
/// held.release();
/// assert!(call.await??.status().is_success());
/// # Ok(())
/// # }
/// ```
#[must_use = "requests are held only while the guard lives"]
pub struct HoldGuard(Arc<Hold>);

impl HoldGuard {
    /// Waits until the guard holds at least `requests` requests at the same time.
    ///
    /// A request whose caller disconnects no longer counts.
    pub async fn wait_for(&self, requests: usize) {
        let mut waiting = self.0.waiting.subscribe();
        // Cannot fail: `self` keeps the sender alive.
        let _ = waiting.wait_for(|count| *count >= requests).await;
    }

    /// Releases the held requests and lets later ones pass. Dropping the guard does the same.
    pub fn release(self) {}
}

impl Drop for HoldGuard {
    fn drop(&mut self) {
        self.0.released.cancel();
    }
}

impl fmt::Debug for HoldGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HoldGuard")
            .field("endpoint", &self.0.endpoint)
            .field("waiting", &*self.0.waiting.borrow())
            .finish_non_exhaustive()
    }
}

/// The holds that are not released.
#[derive(Default)]
pub(crate) struct Holds(Vec<Arc<Hold>>);

impl Holds {
    pub(crate) fn add(&mut self, endpoint: Endpoint) -> HoldGuard {
        let hold = Arc::new(Hold {
            endpoint,
            waiting: watch::Sender::new(0),
            released: CancellationToken::new(),
        });
        self.0.push(Arc::clone(&hold));
        HoldGuard(hold)
    }

    pub(crate) fn at(&mut self, endpoint: Endpoint) -> Vec<Arc<Hold>> {
        self.0.retain(|hold| !hold.released.is_cancelled());
        let is_here = |hold: &&Arc<Hold>| hold.endpoint == endpoint;
        self.0.iter().filter(is_here).cloned().collect()
    }
}

pub(crate) struct Hold {
    endpoint: Endpoint,
    waiting: watch::Sender<usize>,
    released: CancellationToken,
}

impl Hold {
    pub(crate) async fn wait_for_release(&self) {
        let _waiting = Waiting::new(&self.waiting);
        self.released.cancelled().await;
    }
}

/// Counts a request while it waits, until its handler completes or is dropped.
struct Waiting<'a>(&'a watch::Sender<usize>);

impl<'a> Waiting<'a> {
    fn new(count: &'a watch::Sender<usize>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}
