use std::{
    collections::{BTreeMap, VecDeque},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use bytes::Bytes;

/// An endpoint of the emulator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Endpoint {
    /// `GET /.well-known/openid-configuration`.
    Discovery,
    /// `GET /.well-known/jwks.json`.
    Jwks,
    /// `GET /v1/oauth/authorize`.
    Authorization,
    /// `POST /v1/oauth/token`.
    Token,
    /// `GET /v1/userinfo`.
    Userinfo,
    /// `POST /v1/token/validate`.
    Validation,
    /// `GET` and `POST /v1/oauth/logout`.
    EndSession,
    /// `POST /v1/oauth/revoke`.
    Revocation,
}

/// A way for an endpoint to fail.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The true answer, this much later. Real time passes, whatever the clock says.
    Delay(Duration),
    /// An empty answer with this status.
    Status(u16),
    /// 429, with `Retry-After` in seconds if there is one.
    TooManyRequests {
        /// How long to wait.
        retry_after: Option<Duration>,
    },
    /// An OAuth error of this code. The authorization endpoint sends it to the callback, the
    /// others answer JSON: 401 for `invalid_client`, 500 for `server_error`, 503 for
    /// `temporarily_unavailable`, 400 otherwise.
    OAuthError(&'static str),
    /// 200 with this body.
    Body {
        /// The `Content-Type`.
        content_type: &'static str,
        /// The body.
        bytes: Bytes,
    },
    /// 200 with an HTML page, as a captive portal answers.
    Html,
    /// 200 with a JSON content type and no body.
    Empty,
    /// 200 with 5 MiB of JSON.
    Huge,
    /// 200 with a gzip body of 400 KiB that holds 64 MiB of JSON.
    GzipBomb,
    /// 307 to this address.
    Redirect(String),
    /// No answer, ever.
    Hang,
    /// The connection closes without an answer. Without a listener of its own the emulator
    /// cannot close it; then this is [`Hang`](Self::Hang).
    Close,
    /// The endpoint acts, and the true answer comes this much later. Real time passes, whatever
    /// the clock says.
    DelayAfter(Duration),
    /// The endpoint acts, and its answer is lost: the connection closes, as for
    /// [`Close`](Self::Close). A refresh token was used then, and nobody has the next one.
    CloseAfter,
}

impl Fault {
    /// This fault for the next `count` calls only.
    #[must_use]
    pub fn times(self, count: u32) -> PlannedFault {
        PlannedFault {
            fault: self,
            remaining: Some(count),
        }
    }
}

/// A [`Fault`] and how often it happens, for [`Emulator::fault`](super::Emulator::fault).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedFault {
    fault: Fault,
    /// `None`: until cleared.
    remaining: Option<u32>,
}

impl From<Fault> for PlannedFault {
    fn from(fault: Fault) -> Self {
        Self {
            fault,
            remaining: None,
        }
    }
}

/// The faults to come, per endpoint, in the order they were planned.
#[derive(Debug, Default)]
pub(super) struct Faults(BTreeMap<Endpoint, VecDeque<PlannedFault>>);

impl Faults {
    pub(super) fn plan(&mut self, endpoint: Endpoint, fault: PlannedFault) {
        self.0.entry(endpoint).or_default().push_back(fault);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// The fault of this call, if there is one.
    pub(super) fn next(&mut self, endpoint: Endpoint) -> Option<Fault> {
        let planned = self.0.get_mut(&endpoint)?;
        while planned.front()?.remaining == Some(0) {
            planned.pop_front();
        }
        let current = planned.front_mut()?;
        if let Some(remaining) = &mut current.remaining {
            *remaining -= 1;
        }
        Some(current.fault.clone())
    }
}

/// How often each endpoint was called.
#[derive(Debug, Default)]
pub(super) struct Calls([AtomicU64; 8]);

impl Calls {
    pub(super) fn count(&self, endpoint: Endpoint) {
        self.0[endpoint as usize].fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn of(&self, endpoint: Endpoint) -> u64 {
        self.0[endpoint as usize].load(Ordering::SeqCst)
    }
}
