use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::{clock::Clock, metric};

/// The period that the provider's limit applies to.
const PERIOD: Duration = Duration::from_secs(60);

/// The divisor of the budget that is reserved: sign-ins may not use the last quarter, nor may
/// refreshes.
///
/// Many refreshes must not prevent sign-ins. Callbacks with forged codes cost requests, too, and
/// must not prevent refreshes.
const RESERVED: usize = 4;

/// How many requests a client address may have per request that it leaves to other addresses.
///
/// One address alone leaves a quarter of the sign-ins. It cannot be limited much further: behind a
/// proxy that is not configured, all users have one address.
const PER_REQUEST_LEFT: usize = 3;

/// The token requests that this process may send in a minute, so that the provider does not have to
/// reject any.
///
/// Any minute counts, so the provider may count in fixed or in sliding minutes. A request that is repeated,
/// because the provider did not process it, counts once.
#[derive(Debug)]
pub(crate) struct Budget {
    per_minute: usize,
    /// How many requests each purpose leaves to the other.
    reserved: usize,
    /// Receives the number of requests that are left.
    report: fn(u32),
    clock: Clock,
    /// At most `per_minute` requests.
    recent: Mutex<Recent>,
}

/// The requests of the last minute, oldest first. Times are in milliseconds since the Unix epoch.
#[derive(Debug, Default)]
struct Recent {
    refreshes: VecDeque<i64>,
    sign_ins: VecDeque<(i64, Option<IpAddr>)>,
    /// The sign-ins of each address that has any, so that none has to be searched for.
    by_address: HashMap<IpAddr, VecDeque<i64>>,
}

impl Recent {
    fn len(&self) -> usize {
        self.refreshes.len() + self.sign_ins.len()
    }

    fn push(&mut self, at: i64, purpose: Purpose) {
        let Purpose::SignIn(address) = purpose else {
            self.refreshes.push_back(at);
            return;
        };
        self.sign_ins.push_back((at, address));
        if let Some(address) = address {
            self.by_address.entry(address).or_default().push_back(at);
        }
    }

    fn remove_old(&mut self, is_old: impl Fn(i64) -> bool) {
        while self.refreshes.front().is_some_and(|at| is_old(*at)) {
            self.refreshes.pop_front();
        }
        while let Some((at, address)) = self.sign_ins.front().copied()
            && is_old(at)
        {
            self.sign_ins.pop_front();
            if let Some(address) = address
                && let Entry::Occupied(mut of_address) = self.by_address.entry(address)
            {
                of_address.get_mut().pop_front();
                if of_address.get().is_empty() {
                    of_address.remove();
                }
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    SignIn(Option<IpAddr>),
    Refresh,
}

/// Error returned when the budget, or a client address's share of it, is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BudgetExhausted {
    #[error(
        "this process has used up its token requests for now; see `token_requests_per_minute` and \
         `instances`"
    )]
    Process { retry_after: Duration },
    #[error(
        "this client address has used up its share of the token requests; if it is the address of a \
         proxy, set `trusted_proxies`"
    )]
    Address { retry_after: Duration },
}

impl BudgetExhausted {
    pub(crate) fn retry_after(self) -> Duration {
        let (Self::Process { retry_after } | Self::Address { retry_after }) = self;
        retry_after
    }
}

impl Budget {
    /// Returns a budget of `per_minute` requests.
    pub(crate) fn new(per_minute: u32, clock: Clock) -> Self {
        metric::token_budget_left(per_minute);
        let per_minute = usize::try_from(per_minute).unwrap_or(usize::MAX).max(1);
        Self {
            per_minute,
            reserved: per_minute / RESERVED,
            report: metric::token_budget_left,
            clock,
            recent: Mutex::default(),
        }
    }

    /// Returns a budget of `per_minute` requests of one purpose.
    pub(crate) fn undivided(per_minute: u32, clock: Clock) -> Self {
        Self {
            per_minute: usize::try_from(per_minute).unwrap_or(usize::MAX).max(1),
            reserved: 0,
            report: |_| (),
            clock,
            recent: Mutex::default(),
        }
    }

    /// Takes one request for a sign-in from `address`. Without an address, only the budget counts.
    pub(crate) fn sign_in(&self, address: Option<IpAddr>) -> Result<(), BudgetExhausted> {
        self.take(Purpose::SignIn(address.map(network)))
    }

    /// Takes one request to validate a token from `address`.
    pub(crate) fn validation(&self, address: Option<IpAddr>) -> Result<(), BudgetExhausted> {
        self.sign_in(address)
    }

    /// Takes one request for a refresh.
    pub(crate) fn refresh(&self) -> Result<(), BudgetExhausted> {
        self.take(Purpose::Refresh)
    }

    /// Takes one request for a token of the client itself, from the share of refreshes.
    pub(crate) fn client_credentials(&self) -> Result<(), BudgetExhausted> {
        self.take(Purpose::Refresh)
    }

    fn take(&self, purpose: Purpose) -> Result<(), BudgetExhausted> {
        let now = self.clock.unix_millis();
        // A request in the future was sent before the clock was set back.
        let age = |at: i64| Duration::from_millis(now.abs_diff(at));
        let retry_after = |at: Option<i64>| PERIOD.saturating_sub(at.map_or(PERIOD, age));
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.remove_old(|at| age(at) >= PERIOD);

        let oldest_refresh = recent.refreshes.front().copied();
        let oldest_sign_in = recent.sign_ins.front().map(|(at, _)| *at);
        let (same_kind, oldest_of_kind, of_address) = match purpose {
            Purpose::Refresh => (recent.refreshes.len(), oldest_refresh, None),
            Purpose::SignIn(address) => (
                recent.sign_ins.len(),
                oldest_sign_in,
                address.and_then(|address| recent.by_address.get(&address)),
            ),
        };
        let share = self.per_minute - self.reserved;
        let free = (self.per_minute - recent.len()).min(share.saturating_sub(same_kind));
        let Some(left) = free.checked_sub(1) else {
            let next = if recent.len() == self.per_minute {
                let oldest = [oldest_refresh, oldest_sign_in].into_iter().flatten();
                oldest.max_by_key(|at| age(*at))
            } else {
                oldest_of_kind
            };
            let retry_after = retry_after(next);
            return Err(BudgetExhausted::Process { retry_after });
        };
        if of_address.map_or(0, VecDeque::len) > PER_REQUEST_LEFT * left {
            let next = of_address.and_then(|requests| requests.front().copied());
            let retry_after = retry_after(next);
            return Err(BudgetExhausted::Address { retry_after });
        }
        recent.push(now, purpose);
        let remaining = self.per_minute - recent.len();
        (self.report)(remaining.try_into().unwrap_or(u32::MAX));
        Ok(())
    }
}

/// Returns the network of one user: an IPv4 address, or the /64 in which a host chooses its IPv6
/// addresses.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & u128::MAX << 64).into(),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: &str = "203.0.113.9";

    fn budget(per_minute: u32) -> (Budget, Clock) {
        let clock = Clock::manual();
        (Budget::new(per_minute, clock.clone()), clock)
    }

    /// How many of 100 sign-ins from an address are allowed.
    fn sign_ins(budget: &Budget, address: &str) -> usize {
        let address = address.parse().ok();
        (0..100).filter(|_| budget.sign_in(address).is_ok()).count()
    }

    fn refreshes(budget: &Budget) -> usize {
        (0..100).filter(|_| budget.refresh().is_ok()).count()
    }

    #[test]
    fn d5_refreshes_leave_requests_to_sign_ins() {
        let (budget, _) = budget(60);
        assert_eq!((refreshes(&budget), sign_ins(&budget, "")), (45, 15));
    }

    #[test]
    fn d5_sign_ins_leave_requests_to_refreshes() {
        let (budget, _) = budget(60);
        assert_eq!((sign_ins(&budget, ""), refreshes(&budget)), (45, 15));
    }

    #[test]
    fn d5_the_smallest_budget_is_one_request() {
        let (budget, _) = budget(1);
        assert!(budget.sign_in(ADDRESS.parse().ok()).is_ok());
        assert!(budget.refresh().is_err());
    }

    #[test]
    fn d5_no_minute_has_more_requests_than_the_budget() {
        let (budget, clock) = budget(8);
        let mut sent = Vec::new();
        for second in 0..300 {
            if second % 7 < 4 && budget.refresh().is_ok() {
                sent.push(second);
            }
            if budget.sign_in(None).is_ok() {
                sent.push(second);
            }
            let in_a_minute = sent.iter().filter(|sent| second - **sent < 60);
            assert!(in_a_minute.count() <= 8, "{sent:?}");
            clock.advance(Duration::from_secs(1));
        }
        assert_eq!(sent.len(), 5 * 8, "the whole budget is used");
    }

    #[test]
    fn d5_an_exhausted_budget_says_when_it_allows_a_request() {
        let (budget, clock) = budget(60);
        budget.refresh().unwrap();
        clock.advance(Duration::from_secs(20));
        sign_ins(&budget, "");
        clock.advance(Duration::from_secs(30));
        let retry_after = budget.sign_in(None).unwrap_err().retry_after();
        assert_eq!(retry_after, Duration::from_secs(30), "not the refresh");
        clock.advance(retry_after);
        assert!(budget.sign_in(None).is_ok());
    }

    #[test]
    fn d5_one_address_leaves_sign_ins_to_others() {
        let (budget, clock) = budget(60);
        assert_eq!(sign_ins(&budget, ADDRESS), 34);
        let rejected = budget.sign_in(ADDRESS.parse().ok()).unwrap_err();
        assert!(matches!(rejected, BudgetExhausted::Address { .. }));
        for other in 1..=5 {
            let address = format!("198.51.100.{other}").parse().ok();
            assert!(budget.sign_in(address).is_ok());
        }
        // Without addresses, nothing is shared.
        assert_eq!(sign_ins(&budget, ""), 45 - 34 - 5);
        clock.advance(rejected.retry_after());
        assert!(budget.sign_in(ADDRESS.parse().ok()).is_ok());
    }

    #[test]
    fn d5_validations_are_shared_between_addresses() {
        let budget = Budget::undivided(100, Clock::manual());
        let validations = |address: &str| {
            let address = address.parse().ok();
            (0..200)
                .filter(|_| budget.validation(address).is_ok())
                .count()
        };
        assert_eq!(validations(ADDRESS), 75);
        assert!(validations("2001:db8::1") > 0);
        assert_eq!(
            75 + validations(""),
            100 - 19,
            "one of 25 is left to each further address"
        );
    }

    #[test]
    fn d5_every_budget_leaves_a_sign_in_to_a_second_address() {
        for per_minute in 2..200 {
            let (budget, _) = budget(per_minute);
            assert!(sign_ins(&budget, ADDRESS) > 0);
            assert!(sign_ins(&budget, "2001:db8::1") > 0, "{per_minute}");
        }
    }

    #[test]
    fn d5_addresses_of_one_ipv6_network_share() {
        let (budget, _) = budget(60);
        let first = (0..100u16).filter(|host| {
            let address = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, *host, 0, 0, *host);
            budget.sign_in(Some(address.into())).is_ok()
        });
        assert_eq!(first.count(), 34);
        assert!(budget.sign_in("2001:db8:0:2::1".parse().ok()).is_ok());
        assert_eq!(
            network("::ffff:203.0.113.9".parse().unwrap()).to_string(),
            ADDRESS
        );
    }

    #[test]
    fn d5_a_large_budget_costs_no_more_per_request() {
        let (budget, _) = budget(1_000_000);
        let begin = std::time::Instant::now();
        for number in 0..50_000_u32 {
            let address = std::net::Ipv4Addr::from_bits(number);
            budget.sign_in(Some(address.into())).unwrap();
        }
        assert!(begin.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn d5_a_clock_that_was_set_back_does_not_block_requests() {
        let (budget, clock) = budget(1);
        let tomorrow = clock.unix_millis() + 86_400_000;
        let mut recent = budget.recent.lock().unwrap();
        recent.push(tomorrow, Purpose::Refresh);
        drop(recent);
        assert!(budget.refresh().is_ok());
    }
}
