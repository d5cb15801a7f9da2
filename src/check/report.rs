use serde::Serialize;

use super::finding::{Check, Finding, Status};

/// Progress of a [`Checker`](super::Checker).
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Progress<'a> {
    /// The checker waits for this, for up to a few seconds.
    WaitingFor(&'static str),
    /// A check has finished.
    Found(&'a Finding),
}

/// All findings of a [`Checker`](super::Checker), in the order of [`Check::all`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The number of findings by status.
    pub summary: Summary,
    /// The findings.
    pub findings: Vec<Finding>,
}

/// The number of findings by status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Summary {
    /// Findings with [`Status::Passed`].
    pub passed: usize,
    /// Findings with [`Status::Warning`].
    pub warnings: usize,
    /// Findings with [`Status::Failed`].
    pub failed: usize,
    /// Findings with [`Status::Skipped`].
    pub skipped: usize,
}

impl Report {
    /// Returns whether any check failed. Warnings do not count.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.summary.failed > 0
    }
}

/// Collects findings and passes each to the observer.
pub(super) struct Reporter<'a> {
    observe: &'a mut (dyn FnMut(Progress<'_>) + Send),
    pub(super) report: Report,
}

impl<'a> Reporter<'a> {
    pub(super) fn new(observe: &'a mut (dyn FnMut(Progress<'_>) + Send)) -> Self {
        Self {
            observe,
            report: Report::default(),
        }
    }

    pub(super) fn waiting_for(&mut self, what: &'static str) {
        (self.observe)(Progress::WaitingFor(what));
    }

    pub(super) fn found(&mut self, finding: Finding) {
        (self.observe)(Progress::Found(&finding));
        let summary = &mut self.report.summary;
        *match finding.status {
            Status::Passed => &mut summary.passed,
            Status::Warning => &mut summary.warnings,
            Status::Failed => &mut summary.failed,
            Status::Skipped => &mut summary.skipped,
        } += 1;
        self.report.findings.push(finding);
    }

    /// Returns whether the check has a finding.
    pub(super) fn has(&self, check: &'static Check) -> bool {
        let mut findings = self.report.findings.iter();
        findings.any(|finding| finding.check == check)
    }
}
