use std::process::ExitCode;

use axum_oten::check::{Check, Checker, Finding, Progress, Report, Status};

use crate::{cli, failure::Failure, print, settings, wait::Wait};

/// Finds out what is wrong, and prints each finding as it comes.
pub(crate) async fn run(arguments: cli::Check) -> Result<ExitCode, Failure> {
    let settings = settings::read(arguments.config.as_deref())?;
    let mut checker = Checker::new(settings::as_served(settings)?);
    if let Some(file) = &arguments.against {
        checker = checker.against(settings::as_served(settings::read_alone(file)?)?);
    }
    if arguments.offline {
        checker = checker.offline();
    }
    let report = if arguments.json {
        let report = watch(checker, |_| {}).await;
        print::json(&report).map_err(Failure::Runtime)?;
        report
    } else {
        let table = print::Table::new(Check::all().iter().map(|check| check.name()));
        let report = watch(checker, |finding| {
            if finding.status != Status::Skipped {
                let (name, help) = (finding.check.name(), finding.help.as_deref());
                table.row(finding.status, name, &finding.message, help);
            }
        })
        .await;
        for (reason, names) in skipped(&report) {
            let message = format!("{}: {reason}", names.join(", "));
            table.row(Status::Skipped, "skipped", &message, None);
        }
        print::line(format_args!("\n  {}", summary(&report)));
        report
    };
    Ok(if report.has_failed() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// Runs the checker and shows on a terminal what it waits for.
async fn watch(checker: Checker, found: impl Fn(&Finding) + Send + Sync) -> Report {
    let wait = Wait::new();
    let observe = |progress: Progress<'_>| match progress {
        Progress::WaitingFor(what) => wait.waits_for(what),
        Progress::Found(finding) => wait.aside(|| found(finding)),
        _ => {}
    };
    checker.run(observe).await
}

/// What could not be looked at, by the reason: one row each would bury what is wrong.
fn skipped(report: &Report) -> Vec<(&str, Vec<&str>)> {
    let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
    for finding in &report.findings {
        if finding.status != Status::Skipped {
            continue;
        }
        let (reason, name) = (finding.message.as_str(), finding.check.name());
        match reasons.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, names)) => names.push(name),
            None => reasons.push((reason, vec![name])),
        }
    }
    reasons
}

fn summary(report: &Report) -> String {
    let counts = report.summary;
    let warnings = match counts.warnings {
        1 => "1 warning".to_owned(),
        warnings => format!("{warnings} warnings"),
    };
    format!(
        "{} passed, {warnings}, {} failed, {} skipped",
        counts.passed, counts.failed, counts.skipped
    )
}
