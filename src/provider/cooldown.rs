use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use super::error::ProviderError;
use crate::clock::Clock;

/// How long the keys are not fetched again after a fetch did not find the key of a token, in seconds.
const COOLDOWN: u64 = 60;

/// The pause after a fetch of the keys that did not find the key of a token.
#[derive(Debug)]
pub(super) struct Cooldown {
    clock: Clock,
    /// Seconds since the Unix epoch; the smallest number if there was no such fetch.
    started_at: AtomicI64,
}

impl Cooldown {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            started_at: AtomicI64::new(i64::MIN),
        }
    }

    pub(super) fn start(&self) {
        self.started_at
            .store(self.clock.unix_now(), Ordering::Relaxed);
    }

    /// Returns a transient error during the cooldown.
    pub(super) fn check(&self) -> Result<(), ProviderError> {
        let started_at = self.started_at.load(Ordering::Relaxed);
        let elapsed = self.clock.unix_now().saturating_sub(started_at);
        // A negative time means that the clock was set back.
        match u64::try_from(elapsed) {
            Ok(elapsed) if elapsed < COOLDOWN => Err(ProviderError::KeyPending {
                retry_after: Duration::from_secs(COOLDOWN - elapsed),
            }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d3_a_cooldown_ends_after_a_minute_or_when_the_clock_is_set_back() {
        let clock = Clock::manual();
        let cooldown = Cooldown::new(clock.clone());
        assert_eq!(cooldown.check(), Ok(()));
        cooldown.start();
        clock.advance(Duration::from_secs(59));
        let retry_after = Duration::from_secs(1);
        assert_eq!(
            cooldown.check(),
            Err(ProviderError::KeyPending { retry_after })
        );
        clock.advance(retry_after);
        assert_eq!(cooldown.check(), Ok(()));

        cooldown
            .started_at
            .store(clock.unix_now() + 10, Ordering::Relaxed);
        assert_eq!(cooldown.check(), Ok(()));
    }
}
