use std::{collections::BTreeMap, path::PathBuf, process::ExitCode};

use axum_oten::check::{Check, Checker, Finding, Progress, Report, Status};
use clap::Args;

use super::settings::{self, ConfigArgs, Settings};
use crate::{
    error::Error,
    key_file,
    terminal::{self, Spinner, StatusTable},
};

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Check that the configuration in this file shares no secret and no store with the checked one
    ///
    /// Environment variables do not apply to this file.
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Send no request to the provider
    #[arg(long)]
    offline: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the checks and prints each finding as soon as it is known.
pub(crate) async fn run(args: CheckArgs) -> Result<ExitCode, Error> {
    let mut checker = Checker::new(as_served(args.config.settings()?)?);
    if let Some(file) = &args.against {
        checker = checker.against(as_served(settings::read_file_only(file)?)?);
    }
    if args.offline {
        checker = checker.offline();
    }
    let report = if args.json {
        let report = run_checks(checker, |_| {}).await;
        terminal::print_json(&report)?;
        report
    } else {
        let table = StatusTable::new(Check::all().iter().map(|check| check.name()));
        let report = run_checks(checker, |finding| {
            if finding.status != Status::Skipped {
                let (name, help) = (finding.check.name(), finding.help.as_deref());
                table.print_row(finding.status, name, &finding.message, help);
            }
        })
        .await;
        for (reason, names) in skipped(&report) {
            let message = format!("{}: {reason}", names.join(", "));
            table.print_row(Status::Skipped, "skipped", &message, None);
        }
        terminal::print_line(format_args!("\n  {}", summary(&report)));
        report
    };
    Ok(ExitCode::from(u8::from(report.has_failed())))
}

/// The settings that `oten serve` would use. Neither the store nor the key file is created.
fn as_served(settings: Settings) -> Result<Settings, Error> {
    match settings {
        Ok(builder) => {
            settings::with_default_store(builder, key_file::read_or_generate_session_key).map(Ok)
        }
        error => Ok(error),
    }
}

async fn run_checks(checker: Checker, print: impl Fn(&Finding) + Send + Sync) -> Report {
    let spinner = Spinner::new();
    let observe = |progress: Progress<'_>| match progress {
        Progress::WaitingFor(subject) => spinner.set_message(subject),
        Progress::Found(finding) => spinner.suspend(|| print(finding)),
        _ => {}
    };
    checker.run(observe).await
}

/// The names of the skipped checks by reason. A row for each would hide the failed ones.
fn skipped(report: &Report) -> BTreeMap<&str, Vec<&str>> {
    let mut names: BTreeMap<_, Vec<_>> = BTreeMap::new();
    let findings = report.findings.iter();
    for finding in findings.filter(|finding| finding.status == Status::Skipped) {
        let names = names.entry(finding.message.as_str()).or_default();
        names.push(finding.check.name());
    }
    names
}

fn summary(report: &Report) -> String {
    let counts = report.summary;
    let plural = if counts.warnings == 1 { "" } else { "s" };
    format!(
        "{} passed, {} warning{plural}, {} failed, {} skipped",
        counts.passed, counts.warnings, counts.failed, counts.skipped
    )
}
