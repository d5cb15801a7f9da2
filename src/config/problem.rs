use std::{fmt, path::PathBuf};

/// Why a configuration was refused: every problem at once, each with its help.
///
/// No value of a secret is in it; it may be logged and printed.
#[derive(Clone, Debug, PartialEq, Eq)]
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

impl std::error::Error for ConfigError {}

/// One thing that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub(super) key: String,
    pub(super) origin: Origin,
    pub(super) message: String,
    pub(super) help: String,
}

impl Problem {
    /// The setting, by its name in a TOML file; for an unknown name that name.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Who made the setting.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// What is wrong, to be read after the key: "is missing".
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do about it, a sentence.
    #[must_use]
    pub fn help(&self) -> &str {
        &self.help
    }
}

impl Problem {
    /// Which setting, who made it, and what is wrong, without the help.
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

/// Who made a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// The configuration file with this path.
    File(PathBuf),
    /// The environment variable of this name.
    Variable(String),
    /// The program, by a setter of [`ConfigBuilder`](super::ConfigBuilder).
    Builder,
    /// Nobody, and there is a default.
    Default,
    /// Nobody, and there is no default.
    Missing,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "from {}", path.display()),
            Self::Variable(name) => write!(f, "from {name}"),
            Self::Builder => f.write_str("set in code"),
            Self::Default => f.write_str("by default"),
            Self::Missing => f.write_str("set nowhere"),
        }
    }
}
