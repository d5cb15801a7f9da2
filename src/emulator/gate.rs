use std::{fmt, sync::Arc};

use tokio::sync::watch;

use super::{Endpoint, core::Core};

/// Requests to an endpoint that wait, from [`Emulator::hold`](super::Emulator::hold). They go on
/// when it is released or dropped.
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
#[must_use = "requests wait only while this lives"]
pub struct HoldGuard {
    core: Arc<Core>,
    endpoint: Endpoint,
    gate: Arc<Gate>,
}

impl HoldGuard {
    pub(super) fn new(core: &Arc<Core>, endpoint: Endpoint) -> Self {
        let gate = Arc::new(Gate::default());
        let gates = &mut core.state().gates;
        gates.0.push((endpoint, Arc::clone(&gate)));
        Self {
            core: Arc::clone(core),
            endpoint,
            gate,
        }
    }

    /// Ends once at least this many requests wait here at the same time, and never if they never
    /// do. A request whose caller went away waits no longer.
    pub async fn wait_for(&self, requests: usize) {
        let mut waiting = self.gate.waiting.subscribe();
        // It cannot fail: the sender is ours.
        let _ = waiting.wait_for(|now| *now >= requests).await;
    }

    /// Lets all requests go on, these and later ones. Dropping does the same.
    pub fn release(self) {}
}

impl Drop for HoldGuard {
    fn drop(&mut self) {
        let gates = &mut self.core.state().gates;
        gates.0.retain(|(_, gate)| !Arc::ptr_eq(gate, &self.gate));
        self.gate.is_open.send_replace(true);
    }
}

impl fmt::Debug for HoldGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HoldGuard")
            .field("endpoint", &self.endpoint)
            .field("waiting", &*self.gate.waiting.borrow())
            .finish_non_exhaustive()
    }
}

/// The gates that are closed.
#[derive(Default)]
pub(super) struct Gates(Vec<(Endpoint, Arc<Gate>)>);

struct Gate {
    waiting: watch::Sender<usize>,
    is_open: watch::Sender<bool>,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            waiting: watch::Sender::new(0),
            is_open: watch::Sender::new(false),
        }
    }
}

/// Waits for every gate that is closed before this endpoint now.
pub(super) async fn pass(core: &Core, endpoint: Endpoint) {
    let mut gates = core.state().gates.0.clone();
    gates.retain(|(held, _)| *held == endpoint);
    for (_, gate) in gates {
        let _place = Place::take(&gate);
        // It cannot fail: the sender is ours.
        let _ = gate.is_open.subscribe().wait_for(|open| *open).await;
    }
}

/// A request's place in the queue, given up also when its caller goes away.
struct Place<'a>(&'a Gate);

impl<'a> Place<'a> {
    fn take(gate: &'a Gate) -> Self {
        gate.waiting.send_modify(|waiting| *waiting += 1);
        Self(gate)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.waiting.send_modify(|waiting| *waiting -= 1);
    }
}
