use std::fmt;

/// When access tokens are refreshed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum RefreshPolicy {
    /// Before each protected request whose access token is about to expire. A user who is disabled
    /// at the provider loses access within the lifetime of an access token.
    #[default]
    Always,
    /// Only when a handler requests the access token. For apps with more active sessions than the
    /// token endpoint accepts requests.
    OnDemand,
}

impl RefreshPolicy {
    pub(crate) const ALL: [Self; 2] = [Self::Always, Self::OnDemand];

    /// The name in configuration files, `always` or `on-demand`.
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
