use super::faults::Endpoint;

/// The limits of an Oten environment on calls per minute, for
/// [`EmulatorBuilder::rate_limits`](super::EmulatorBuilder::rate_limits).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RateLimits {
    /// Authorization 10 per address, token 60 and validation 1000 per client, userinfo 100 per token.
    Production,
    /// Authorization 20 per address, token 120 and validation 2000 per client, userinfo 200 per token.
    Sandbox,
}

impl RateLimits {
    /// Returns the calls per minute, or `None` for an endpoint without a limit.
    pub(crate) fn of(self, endpoint: Endpoint) -> Option<u32> {
        let production = match endpoint {
            Endpoint::Authorization => 10,
            Endpoint::Token => 60,
            Endpoint::Validation => 1000,
            Endpoint::Userinfo => 100,
            _ => return None,
        };
        Some(match self {
            Self::Production => production,
            Self::Sandbox => 2 * production,
        })
    }
}
