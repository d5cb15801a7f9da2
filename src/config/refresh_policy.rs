use std::fmt;

/// When access tokens are renewed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum RefreshPolicy {
    /// Before a protected request goes on, so that a user who is disabled at the provider is out
    /// within the life of an access token.
    #[default]
    Always,
    /// When a handler asks for the access token and not before: for sites with more active
    /// sessions than the token endpoint has requests to give.
    OnDemand,
}

impl RefreshPolicy {
    pub(crate) const ALL: [Self; 2] = [Self::Always, Self::OnDemand];

    /// The name used in configuration files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::OnDemand => "on-demand",
        }
    }
}

impl fmt::Display for RefreshPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
