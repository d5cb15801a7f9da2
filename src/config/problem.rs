use std::{fmt, path::PathBuf};

/// Error returned when a configuration is invalid. It lists every problem, each with its help.
///
/// It contains no value of a setting except networks and redirect URIs in their normal form, so it is safe to log
/// and to print.
#[derive(Clone, PartialEq, Eq)]
pub struct ConfigError {
    problems: Vec<Problem>,
}

impl ConfigError {
    pub(super) fn new(problems: Vec<Problem>) -> Self {
        Self { problems }
    }

    /// The problems, at least one.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.len() {
            1 => f.write_str("1 problem in the configuration:")?,
            n => write!(f, "{n} problems in the configuration:")?,
        }
        self.problems
            .iter()
            .try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

/// The same text: a `main` that returns the error prints it with `Debug`.
impl fmt::Debug for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for ConfigError {}

/// A problem with one setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub(super) key: String,
    pub(super) origin: Origin,
    pub(super) message: String,
    pub(super) help: String,
}

impl Problem {
    /// The name of the setting in a TOML file, or the unknown name that was used.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Where the value comes from.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The predicate of a sentence about the setting, such as "is missing".
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// How to fix the problem, in full sentences.
    #[must_use]
    pub fn help(&self) -> &str {
        &self.help
    }

    /// The setting, its origin and the message, without the help.
    pub(crate) fn describe(&self) -> String {
        match &self.origin {
            Origin::Missing => format!("{}: {}", self.key, self.message),
            origin => format!("{} ({origin}): {}", self.key, self.message),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}. {}", self.describe(), self.help)
    }
}

/// Where the value of a setting comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// The configuration file with this path.
    File(PathBuf),
    /// The environment variable with this name.
    Variable(String),
    /// A setter of [`ConfigBuilder`](super::ConfigBuilder).
    Builder,
    /// The setting is not set and has a default.
    Default,
    /// The setting is not set and has no default.
    Missing,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "from {}", path.display()),
            Self::Variable(name) => write!(f, "from {name}"),
            Self::Builder => f.write_str("set in code"),
            Self::Default => f.write_str("by default"),
            Self::Missing => f.write_str("not set"),
        }
    }
}

/// Why a value is invalid. Neither text quotes the value, which may be a password in the wrong line.
#[derive(Debug, thiserror::Error)]
#[error("{message}. {help}")]
pub(crate) struct Invalid {
    /// See [`Problem::message`].
    pub(super) message: String,
    /// See [`Problem::help`].
    pub(super) help: String,
}

/// The `Err` of a rule that rejects a value.
pub(super) fn invalid<T>(
    message: impl Into<String>,
    help: impl Into<String>,
) -> Result<T, Invalid> {
    Err(Invalid {
        message: message.into(),
        help: help.into(),
    })
}
