use std::fmt;

use url::Url;

/// The provider to sign in with: one of Oten's environments or an issuer of one's own.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Issuer {
    /// One of Oten's two environments.
    Environment(Environment),
    /// Another issuer, such as the emulator. It has no static endpoints: discovery must work.
    Custom(Url),
}

/// Oten's environments. Clients, credentials and users of one do not exist in the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Environment {
    /// For integration and testing: test users, test data.
    Sandbox,
    /// For real users.
    Production,
}

impl Environment {
    pub(crate) const ALL: [Self; 2] = [Self::Sandbox, Self::Production];

    /// The name used in configuration files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sandbox => "sandbox",
            Self::Production => "production",
        }
    }

    /// The environment's issuer, without a slash at its end.
    #[must_use]
    pub fn issuer(self) -> &'static str {
        match self {
            Self::Sandbox => "https://account.sbx.oten.dev",
            Self::Production => "https://account.oten.com",
        }
    }

    /// How many requests a minute the environment's token endpoint takes from one client.
    #[must_use]
    pub fn token_requests_per_minute(self) -> u32 {
        match self {
            Self::Sandbox => 120,
            Self::Production => 60,
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
    #[cfg(feature = "check")]
    pub(crate) fn environment(&self) -> Option<Environment> {
        match self {
            Self::Environment(environment) => Some(*environment),
            Self::Custom(_) => None,
        }
    }

    /// Whether this is Oten's production, where real users sign in and the rules are strict.
    #[must_use]
    pub fn is_production(&self) -> bool {
        matches!(self, Self::Environment(Environment::Production))
    }

    /// Whether the issuer is on this machine, where plain http is allowed.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::Environment(_) => false,
            Self::Custom(url) => super::is_loopback(url),
        }
    }
}

/// The issuer's URL.
impl fmt::Display for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Environment(environment) => environment.issuer(),
            Self::Custom(url) => url.as_str(),
        })
    }
}
