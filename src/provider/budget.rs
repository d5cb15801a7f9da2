use std::{num::NonZeroU32, time::Duration};

use governor::{
    Quota, RateLimiter,
    clock::{Clock, DefaultClock},
    middleware::StateInformationMiddleware,
    state::{InMemoryState, NotKeyed},
};

use crate::metric;

/// Says what is left, too.
type Limiter = RateLimiter<NotKeyed, InMemoryState, DefaultClock, StateInformationMiddleware>;

/// Sign-ins and refreshes leave each other a quarter. Many refreshes must not keep people from signing
/// in; and a callback with a made-up code costs a request, too, so that strangers could otherwise
/// keep users from being renewed.
const RESERVED: u32 = 4;

/// The token requests this process may make in a minute, so that the provider does not have to
/// refuse them.
#[derive(Debug)]
pub(crate) struct Budget {
    all: Limiter,
    sign_ins: Limiter,
    refreshes: Limiter,
}

/// There is nothing left for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exhausted {
    /// When there is.
    pub(crate) retry_after: Duration,
}

impl Budget {
    /// A budget of `per_minute` requests.
    pub(crate) fn new(per_minute: u32) -> Self {
        let limiter = |requests| {
            let requests = NonZeroU32::new(requests).unwrap_or(NonZeroU32::MIN);
            RateLimiter::direct(Quota::per_minute(requests))
                .with_middleware::<StateInformationMiddleware>()
        };
        metric::token_budget_left(per_minute);
        let part = per_minute - per_minute / RESERVED;
        Self {
            all: limiter(per_minute),
            sign_ins: limiter(part),
            refreshes: limiter(part),
        }
    }

    /// A request for somebody who signs in.
    pub(crate) fn sign_in(&self) -> Result<(), Exhausted> {
        spend(&self.sign_ins)?;
        self.spend()
    }

    /// A request for a outcome.
    pub(crate) fn refresh(&self) -> Result<(), Exhausted> {
        spend(&self.refreshes)?;
        self.spend()
    }

    fn spend(&self) -> Result<(), Exhausted> {
        let left = spend(&self.all);
        metric::token_budget_left(left.unwrap_or(0));
        left.map(drop)
    }
}

/// Takes one; the answer is what is left.
fn spend(limiter: &Limiter) -> Result<u32, Exhausted> {
    let spent = limiter.check().map(|left| left.remaining_burst_capacity());
    spent.map_err(|not_until| Exhausted {
        retry_after: not_until.wait_time_from(limiter.clock().now()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d5_renewals_leave_something_to_sign_ins() {
        let budget = Budget::new(60);
        let refreshes = (0..100).filter(|_| budget.refresh().is_ok()).count();
        let sign_ins = (0..100).filter(|_| budget.sign_in().is_ok()).count();
        assert_eq!((refreshes, sign_ins), (45, 15));
        let exhausted = budget.sign_in().unwrap_err();
        assert!(exhausted.retry_after <= Duration::from_secs(2));
    }

    #[test]
    fn d5_sign_ins_leave_something_to_renewals() {
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
