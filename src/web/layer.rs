use tower::Layer;

use super::{Oten, OtenService};

/// Layer that applies the [`OtenService`] middleware; [`Oten::layer`] makes one.
#[derive(Clone, Debug)]
#[must_use]
pub struct OtenLayer {
    oten: Oten,
}

impl Oten {
    /// The layer required by every route that needs to know who is signed in: sessions, and the
    /// user of each request. Add it outside those routes and outside [`routes`](Self::routes).
    ///
    /// It puts tower-sessions' `Session` into each request for the app's own data, unless a
    /// `SessionManagerLayer` of the app outside of it did so already.
    pub fn layer(&self) -> OtenLayer {
        OtenLayer { oten: self.clone() }
    }
}

impl<S> Layer<S> for OtenLayer {
    type Service = OtenService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        OtenService::new(inner, self.oten.clone())
    }
}
