use serde::Serialize;

use super::{Check, Finding, Progress, Status};

/// Everything a [`Checkup`](super::Checkup) found, in the order of [`Check::all`](super::Check::all).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// How many findings there are of each kind.
    pub summary: Summary,
    /// The findings.
    pub findings: Vec<Finding>,
}

/// How many findings there are of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Summary {
    /// As it should be.
    pub passed: usize,
    /// Works, and should not stay so.
    pub warnings: usize,
    /// Does not work, or is not safe.
    pub failed: usize,
    /// Could not be looked at.
    pub skipped: usize,
}

impl Report {
    /// Whether anything failed. Warnings do not count.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.summary.failed > 0
    }
}

impl Summary {
    fn count(&mut self, status: Status) {
        *match status {
            Status::Passed => &mut self.passed,
            Status::Warning => &mut self.warnings,
            Status::Failed => &mut self.failed,
            Status::Skipped => &mut self.skipped,
        } += 1;
    }
}

/// Collects findings and tells each at once.
pub(super) struct Reporter<'a> {
    observe: &'a mut (dyn FnMut(Progress<'_>) + Send),
    report: Report,
}

impl<'a> Reporter<'a> {
    pub(super) fn new(observe: &'a mut (dyn FnMut(Progress<'_>) + Send)) -> Self {
        Self {
            observe,
            report: Report {
                summary: Summary::default(),
                findings: Vec::new(),
            },
        }
    }

    /// Tells what is being waited for.
    pub(super) fn waits_for(&mut self, what: &'static str) {
        (self.observe)(Progress::WaitsFor(what));
    }

    pub(super) fn found(&mut self, finding: Finding) {
        (self.observe)(Progress::Found(&finding));
        self.report.summary.count(finding.status);
        self.report.findings.push(finding);
    }

    /// Whether this check has a finding already.
    pub(super) fn has(&self, check: &'static Check) -> bool {
        self.report
            .findings
            .iter()
            .any(|finding| finding.check == check)
    }

    pub(super) fn into_report(self) -> Report {
        self.report
    }
}
