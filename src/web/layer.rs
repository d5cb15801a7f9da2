use tower::Layer;

use super::{Oten, OtenService};

/// Layer that applies the [`OtenService`] middleware; [`Oten::layer`] makes one.
#[derive(Clone, Debug)]
#[must_use]
pub struct OtenLayer {
    oten: Oten,
}

impl OtenLayer {
    pub(super) fn new(oten: Oten) -> Self {
        Self { oten }
    }
}

impl<S> Layer<S> for OtenLayer {
    type Service = OtenService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        OtenService::new(inner, self.oten.clone())
    }
}
