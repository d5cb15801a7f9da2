use std::{num::NonZeroU32, time::Duration};

use governor::{
    Quota, RateLimiter,
    clock::{Clock, DefaultClock},
    middleware::StateInformationMiddleware,
    state::{InMemoryState, NotKeyed},
};

use crate::metric;

/// A rate limiter that also reports its remaining capacity.
type Limiter = RateLimiter<NotKeyed, InMemoryState, DefaultClock, StateInformationMiddleware>;

/// The divisor of the budget that is reserved: sign-ins may not use the last quarter, nor may
/// refreshes.
///
/// Many refreshes must not prevent sign-ins. Callbacks with forged codes cost requests, too, and
/// must not prevent refreshes.
const RESERVED: u32 = 4;

/// The token requests that this process may send in a minute, so that the provider does not have to
/// reject any.
#[derive(Debug)]
pub(crate) struct Budget {
    all: Limiter,
    sign_ins: Limiter,
    refreshes: Limiter,
}

/// Error returned when the budget is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BudgetExhausted {
    pub(crate) retry_after: Duration,
}

impl Budget {
    /// Returns a budget of `per_minute` requests.
    pub(crate) fn new(per_minute: u32) -> Self {
        let limiter = |requests| {
            let requests = NonZeroU32::new(requests).unwrap_or(NonZeroU32::MIN);
            RateLimiter::direct(Quota::per_minute(requests))
                .with_middleware::<StateInformationMiddleware>()
        };
        metric::token_budget_left(per_minute);
        let share = per_minute - per_minute / RESERVED;
        Self {
            all: limiter(per_minute),
            sign_ins: limiter(share),
            refreshes: limiter(share),
        }
    }

    /// Takes one request for a sign-in.
    pub(crate) fn sign_in(&self) -> Result<(), BudgetExhausted> {
        self.take(&self.sign_ins)
    }

    /// Takes one request for a refresh.
    pub(crate) fn refresh(&self) -> Result<(), BudgetExhausted> {
        self.take(&self.refreshes)
    }

    fn take(&self, share: &Limiter) -> Result<(), BudgetExhausted> {
        take(share)?;
        let remaining = take(&self.all);
        metric::token_budget_left(remaining.unwrap_or(0));
        remaining.map(drop)
    }
}

/// Takes one request and returns how many remain.
fn take(limiter: &Limiter) -> Result<u32, BudgetExhausted> {
    let taken = limiter.check();
    taken
        .map(|state| state.remaining_burst_capacity())
        .map_err(|not_until| BudgetExhausted {
            retry_after: not_until.wait_time_from(limiter.clock().now()),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d5_refreshes_leave_requests_to_sign_ins() {
        let budget = Budget::new(60);
        let refreshes = (0..100).filter(|_| budget.refresh().is_ok()).count();
        let sign_ins = (0..100).filter(|_| budget.sign_in().is_ok()).count();
        assert_eq!((refreshes, sign_ins), (45, 15));
        let exhausted = budget.sign_in().unwrap_err();
        assert!(exhausted.retry_after <= Duration::from_secs(2));
    }

    #[test]
    fn d5_sign_ins_leave_requests_to_refreshes() {
        let budget = Budget::new(60);
        let sign_ins = (0..100).filter(|_| budget.sign_in().is_ok()).count();
        let refreshes = (0..100).filter(|_| budget.refresh().is_ok()).count();
        assert_eq!((sign_ins, refreshes), (45, 15));
    }

    #[test]
    fn d5_the_smallest_budget_is_one_request() {
        let budget = Budget::new(1);
        assert!(budget.sign_in().is_ok());
        assert!(budget.refresh().is_err());
    }
}
