use std::fmt;

use url::{Host, Url};

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
    /// The name used in configuration files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sandbox => "sandbox",
            Self::Production => "production",
        }
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Issuer {
    /// Whether the issuer is on this machine, where plain http is allowed.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::Environment(_) => false,
            Self::Custom(url) => is_loopback(url),
        }
    }
}

/// Whether a URL's host is this machine: `localhost`, 127.0.0.0/8 or `::1`.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}
