#[cfg(feature = "metrics")]
use super::label::{By, Endpoint, Fetch, Label, Login, Outcome, Refresh, StoreFailure};
#[cfg(feature = "metrics")]
use crate::audit::Reason;

/// How a metric moves.
#[cfg(feature = "metrics")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetricKind {
    /// Only up, from zero when the process starts.
    Counter,
    /// Up and down.
    Gauge,
    /// Many values, of which the distribution is kept.
    Histogram,
}

/// Writes each metric once, as a variant and as a row of the table.
macro_rules! table {
    ($($metric:ident: $name:literal, $kind:ident, [$($label:literal of $values:expr),*], $description:literal;)*) => {
        /// One metric.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Metric {
            $(#[doc = $description] $metric,)*
        }

        #[cfg(feature = "metrics")]
        impl Metric {
            /// Every metric there is.
            #[must_use]
            pub fn all() -> &'static [Self] {
                &[$(Self::$metric),*]
            }

            /// The name, which ends with the unit and, for counters, with `_total`.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$metric => $name,)*
                }
            }

            /// How it moves.
            #[must_use]
            pub fn kind(self) -> MetricKind {
                match self {
                    $(Self::$metric => MetricKind::$kind,)*
                }
            }

            /// What tells its numbers apart.
            #[must_use]
            pub fn labels(self) -> &'static [Label] {
                match self {
                    $(Self::$metric => {
                        const LABELS: &[Label] = &[$(Label::new($label, $values)),*];
                        LABELS
                    })*
                }
            }

            /// What it counts or measures.
            #[must_use]
            pub fn description(self) -> &'static str {
                match self {
                    $(Self::$metric => $description,)*
                }
            }
        }
    };
}

table! {
    LoginAttempts: "oten_login_attempts_total", Counter, [],
        "Browsers that were sent to the provider to sign in.";
    Logins: "oten_logins_total", Counter, ["outcome" of Login::names],
        "Sign-ins that came to an end, at `/login` or when the browser came back. Attempts less \
         these are people who gave up on the way.";
    Refusals: "oten_refusals_total", Counter, ["reason" of reasons],
        "Requests that were refused; the reasons are those of the events.";
    Refreshes: "oten_refreshes_total", Counter, ["outcome" of Refresh::names],
        "Renewals of tokens: `failed` is tried again, `ended` signed the user out, `lost` could \
         not be stored.";
    SignOuts: "oten_sign_outs_total", Counter, ["by" of By::names],
        "Sessions that were ended by their user or the app, or by the provider's back-channel \
         logout.";
    ProviderRequestDuration: "oten_provider_request_duration_seconds", Histogram,
        ["endpoint" of Endpoint::names, "outcome" of Outcome::names],
        "How long calls to the provider took, each repetition for itself: `success` is 2xx, \
         `failed` 5xx, `refused` any other status, `unreachable` no complete answer.";
    JwksRefetches: "oten_jwks_refetches_total", Counter, ["outcome" of Fetch::names],
        "How often the provider's keys were fetched while some were known: because they were old, \
         or because a token was signed with another one.";
    GraceRequests: "oten_grace_requests_total", Counter, [],
        "Requests that went on although their user's tokens could not be renewed.";
    GraceInUse: "oten_grace_in_use", Gauge, [],
        "1 from the first request of that kind until a renewal succeeds, else 0.";
    TokenBudgetLeft: "oten_token_budget_left", Gauge, [],
        "How many token requests this process had left for the moment when it last made one, of \
         those it may make in a minute. Absent where no limit is known.";
    StoreFailures: "oten_store_failures_total", Counter, ["cause" of StoreFailure::names],
        "Calls to the session store that failed, or did not end within 2 seconds.";
}

#[cfg(feature = "metrics")]
fn reasons() -> Vec<&'static str> {
    Reason::all().iter().map(|reason| reason.code()).collect()
}
