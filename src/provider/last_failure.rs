use std::time::Duration;

use time::OffsetDateTime;

use super::ProviderError;

/// After a failure the provider is left in peace for this long, unless it says how long.
pub(super) const REST: Duration = Duration::from_secs(5);

/// It is not left in peace for longer, whatever it says.
const MAX_REST: Duration = Duration::from_secs(3600);

/// The last failure to fetch a document: who comes soon after it shares it instead of asking again.
#[derive(Debug, Default)]
pub(super) struct LastFailure(Option<(OffsetDateTime, ProviderError)>);

impl LastFailure {
    pub(super) fn remember(&mut self, error: ProviderError, now: OffsetDateTime) {
        self.0 = Some((now, error));
    }

    pub(super) fn forget(&mut self) {
        self.0 = None;
    }

    /// The failure, for as long as the provider is left in peace.
    pub(super) fn still_counts(&self, now: OffsetDateTime) -> Option<&ProviderError> {
        let (at, error) = self.0.as_ref()?;
        let rest = error.retry_after().map_or(REST, |said| said.min(MAX_REST));
        (now < *at + rest).then_some(error)
    }
}
