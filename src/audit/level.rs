use serde::Serialize;

/// How much an event asks for attention; the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Level {
    /// Of no importance: a program without a session asked for a protected page.
    Debug,
    /// As it should be.
    Info,
    /// It happens, or somebody tries something. Many at once deserve a look.
    Warn,
    /// The site or the provider is at fault, and somebody has to look.
    Error,
}

impl Level {
    /// The name in lower case, as in `warn`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}
