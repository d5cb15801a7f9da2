#[cfg(feature = "metrics")]
use crate::audit::Reason;

/// How the value of a metric changes.
#[cfg(feature = "metrics")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetricKind {
    /// Only increases, from zero at the start of the process.
    Counter,
    /// Increases and decreases.
    Gauge,
    /// A distribution of values.
    Histogram,
}

/// A label of a metric, with all its possible values.
#[cfg(feature = "metrics")]
#[derive(Clone, Copy, Debug)]
pub struct Label {
    name: &'static str,
    values: &'static [&'static str],
}

#[cfg(feature = "metrics")]
impl Label {
    /// Returns the name, such as `outcome`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Returns all values. No value comes from a request.
    #[must_use]
    pub fn values(&self) -> &'static [&'static str] {
        self.values
    }
}

/// Generates [`Metric`], the table in its documentation and an enum for the values of each label
/// from one row per metric.
macro_rules! metrics {
    ($($metric:ident = $name:literal, $kind:ident, [$($label:literal: $values:ident $({
        $($value:ident = $text:literal),*
    })?),*], $description:literal;)*) => {
        /// A metric.
        ///
        /// | metric | kind | labels | description |
        /// |---|---|---|---|
        $(#[doc = concat!(
            "| `", $name, "` | ", stringify!($kind), " | ",
            $("`", $label, "`", $(": ", $("`", $text, "` ",)*)? "<br>",)*
            "| ", $description, " |"
        )])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Metric {
            $(#[doc = $description] $metric,)*
        }

        #[cfg(feature = "metrics")]
        impl Metric {
            /// Returns all metrics.
            #[must_use]
            pub fn all() -> &'static [Self] {
                &[$(Self::$metric),*]
            }

            /// Returns the name. It ends with the unit or, for counters, with `_total`.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$metric => $name,)*
                }
            }

            /// Returns whether it is a counter, a gauge or a histogram.
            #[must_use]
            pub fn kind(self) -> MetricKind {
                match self {
                    $(Self::$metric => MetricKind::$kind,)*
                }
            }

            /// Returns the labels.
            #[must_use]
            pub fn labels(self) -> &'static [Label] {
                match self {
                    $(Self::$metric => {
                        &[$(Label { name: $label, values: $values::NAMES }),*]
                    })*
                }
            }

            /// Returns the description shown in the documentation.
            #[must_use]
            pub fn description(self) -> &'static str {
                match self {
                    $(Self::$metric => $description,)*
                }
            }
        }

        $($($(
            #[doc = concat!("A value of the label `", $label, "` of `", $name, "`.")]
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            pub(crate) enum $values {
                $($value,)*
            }

            impl $values {
                #[cfg(feature = "metrics")]
                const NAMES: &'static [&'static str] = &[$($text),*];

                pub(super) fn name(self) -> &'static str {
                    match self {
                        $(Self::$value => $text,)*
                    }
                }
            }
        )?)*)*
    };
}

metrics! {
    LoginAttempts = "oten_login_attempts_total", Counter, [],
        "Redirects of browsers to the provider for signing in.";
    Logins = "oten_logins_total", Counter,
        ["outcome": Login { SignedIn = "signed_in", Cancelled = "cancelled", Refused = "refused" }],
        "Login attempts that ended, at `/login` or in the callback. The others were abandoned.";
    Refusals = "oten_refusals_total", Counter,
        ["reason": Reason],
        "Rejected requests. The reasons are those of `refused` events.";
    Refreshes = "oten_refreshes_total", Counter,
        ["outcome": Refresh {
            Refreshed = "refreshed", Failed = "failed", Ended = "ended", Lost = "lost"
        }],
        "Token refreshes. `failed`: will be retried; `ended`: the session was ended; `lost`: the new \
         tokens could not be stored.";
    SignOuts = "oten_sign_outs_total", Counter,
        ["by": SignOut { User = "user", Provider = "provider" }],
        "Sessions ended by the user or the app, or by the provider's back-channel logout.";
    ProviderRequestDuration = "oten_provider_request_duration_seconds", Histogram,
        ["endpoint": Endpoint {
            Discovery = "discovery", Jwks = "jwks", Token = "token", Revocation = "revocation",
            Validation = "validation", Userinfo = "userinfo"
        },
        "outcome": Outcome {
            Success = "success", Failed = "failed", Refused = "refused", Unreachable = "unreachable"
        }],
        "Duration of each request to the provider, retries counted separately. `success`: 2xx; \
         `failed`: 5xx; `refused`: any other status; `unreachable`: no complete response.";
    JwksRefetches = "oten_jwks_refetches_total", Counter,
        ["outcome": Fetch { Success = "success", Failed = "failed" }],
        "Fetches of the provider's key set to replace a cached one that was old or lacked a token's \
         key.";
    GraceRequests = "oten_grace_requests_total", Counter, [],
        "Requests allowed during the grace period although the tokens could not be refreshed.";
    GraceInUse = "oten_grace_in_use", Gauge, [],
        "1 from the first request allowed by the grace period until a refresh succeeds, else 0.";
    TokenBudgetLeft = "oten_token_budget_left", Gauge, [],
        "Token requests that this process could still send after its last one, of those allowed per \
         minute. Absent if no limit is known.";
    StoreFailures = "oten_store_failures_total", Counter,
        ["cause": StoreFailure { TimedOut = "timed_out", Error = "error" }],
        "Calls to the session store that failed, or did not finish within 2 seconds.";
}
