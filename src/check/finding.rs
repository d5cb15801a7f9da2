use serde::Serialize;

use super::Check;
use crate::config::Problem;

/// What one check found. No secret is in it; it may be printed, logged and sent to support.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// Which check; its name in JSON.
    pub check: &'static Check,
    /// How it went.
    pub status: Status,
    /// The setting it is about, by its name in a TOML file, if it is about one.
    pub setting: Option<String>,
    /// What was found.
    pub message: String,
    /// What to do about it, a sentence or two. There whenever something failed.
    pub help: Option<String>,
}

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// As it should be.
    Passed,
    /// Could not be looked at; the message says why.
    Skipped,
    /// Works, and should not stay so; or could not be told for certain.
    Warning,
    /// Does not work, or is not safe.
    Failed,
}

impl Check {
    pub(super) fn passed(&'static self, message: impl Into<String>) -> Finding {
        self.finding(Status::Passed, message, None)
    }

    pub(super) fn skipped(&'static self, reason: impl Into<String>) -> Finding {
        self.finding(Status::Skipped, reason, None)
    }

    pub(super) fn warning(
        &'static self,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Finding {
        self.finding(Status::Warning, message, Some(help.into()))
    }

    pub(super) fn failed(
        &'static self,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Finding {
        self.finding(Status::Failed, message, Some(help.into()))
    }

    fn finding(
        &'static self,
        status: Status,
        message: impl Into<String>,
        help: Option<String>,
    ) -> Finding {
        Finding {
            check: self,
            status,
            setting: None,
            message: message.into(),
            help,
        }
    }
}

impl Finding {
    /// What is wrong with a setting.
    pub(super) fn of_problem(check: &'static Check, status: Status, problem: &Problem) -> Self {
        Self {
            check,
            status,
            setting: Some(problem.key().to_owned()),
            message: problem.describe(),
            help: Some(problem.help().to_owned()),
        }
    }
}
