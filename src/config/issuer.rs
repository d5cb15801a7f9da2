use std::fmt;

use url::{Host, Url};

/// The provider to sign in with.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Issuer {
    /// One of Oten's environments.
    Environment(Environment),
    /// Another issuer, such as the emulator or Oten's development, `https://account.dev.oten.dev`.
    /// All its endpoints come from discovery.
    Custom(Url),
}

/// An Oten environment. Clients, credentials and users belong to one environment only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Environment {
    /// For integration and testing, with test users.
    Sandbox,
    /// For real users.
    Production,
}

impl Environment {
    pub(crate) const ALL: [Self; 2] = [Self::Sandbox, Self::Production];

    /// The name in configuration files, `sandbox` or `production`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sandbox => "sandbox",
            Self::Production => "production",
        }
    }

    /// The environment's issuer, without a trailing slash.
    #[must_use]
    pub fn issuer(self) -> &'static str {
        match self {
            Self::Sandbox => "https://account.sbx.oten.dev",
            Self::Production => "https://account.oten.com",
        }
    }

    /// The number of token requests per minute that the environment accepts from one client.
    pub(crate) fn token_requests_per_minute(self) -> u32 {
        match self {
            Self::Sandbox => 120,
            Self::Production => 60,
        }
    }

    /// The number of tokens per minute that the environment validates for one client.
    pub(crate) fn validations_per_minute(self) -> u32 {
        match self {
            Self::Sandbox => 2000,
            Self::Production => 1000,
        }
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Issuer {
    /// Returns the environment, or `None` for a custom issuer.
    pub(crate) fn environment(&self) -> Option<Environment> {
        match self {
            Self::Environment(environment) => Some(*environment),
            Self::Custom(_) => None,
        }
    }

    /// Whether this is Oten's production, where real users sign in and stricter rules apply.
    #[must_use]
    pub fn is_production(&self) -> bool {
        matches!(self, Self::Environment(Environment::Production))
    }

    /// Whether the issuer's host is a loopback host, for which plain http is allowed.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::Environment(_) => false,
            Self::Custom(url) => is_loopback(url),
        }
    }
}

/// The issuer's URL without a trailing slash, so that a path can follow.
impl fmt::Display for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Environment(environment) => environment.issuer(),
            Self::Custom(url) => without_slash(url.as_str()),
        })
    }
}

/// Returns the issuer without one trailing slash: sample configurations have one, Oten's discovery
/// document does not.
pub(crate) fn without_slash(issuer: &str) -> &str {
    issuer.strip_suffix('/').unwrap_or(issuer)
}

/// Whether a URL's host is `localhost`, in 127.0.0.0/8, or `::1`.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
