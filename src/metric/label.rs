/// A label of a metric, with all the values it can have.
#[cfg(feature = "metrics")]
#[derive(Clone, Copy, Debug)]
pub struct Label {
    name: &'static str,
    values: fn() -> Vec<&'static str>,
}

#[cfg(feature = "metrics")]
impl Label {
    pub(super) const fn new(name: &'static str, values: fn() -> Vec<&'static str>) -> Self {
        Self { name, values }
    }

    /// The name, such as `outcome`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Every value there is.
    #[must_use]
    pub fn values(&self) -> Vec<&'static str> {
        (self.values)()
    }
}

/// The values of a label: a closed list, so that nobody can make new ones.
macro_rules! values {
    ($(#[$meta:meta])* $name:ident { $($(#[$value_meta:meta])* $value:ident = $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum $name {
            $($(#[$value_meta])* $value,)*
        }

        impl $name {
            pub(super) fn name(self) -> &'static str {
                match self {
                    $(Self::$value => $text,)*
                }
            }

            #[cfg(feature = "metrics")]
            pub(super) fn names() -> Vec<&'static str> {
                vec![$($text),*]
            }
        }
    };
}

values! {
    /// How a sign-in came out.
    Login {
        SignedIn = "signed_in",
        Cancelled = "cancelled",
        Refused = "refused",
    }
}

values! {
    /// How a renewal came out.
    Refresh {
        Refreshed = "refreshed",
        /// For now.
        Failed = "failed",
        /// The provider knows the sign-in no more.
        Ended = "ended",
        /// The new tokens could not be stored.
        Lost = "lost",
    }
}

values! {
    /// Who ended a session.
    By {
        User = "user",
        Provider = "provider",
    }
}

values! {
    /// Where a call to the provider goes.
    Endpoint {
        Discovery = "discovery",
        Jwks = "jwks",
        Token = "token",
        Revocation = "revocation",
    }
}

values! {
    /// How a call to the provider came out.
    Outcome {
        /// 2xx.
        Success = "success",
        /// 5xx.
        Failed = "failed",
        /// Any other status.
        Refused = "refused",
        /// No complete answer.
        Unreachable = "unreachable",
    }
}

values! {
    /// How it came out that a document was fetched.
    Fetch {
        Success = "success",
        Failed = "failed",
    }
}

values! {
    /// What was wrong with the store.
    StoreFailure {
        TimedOut = "timed_out",
        Error = "error",
    }
}
