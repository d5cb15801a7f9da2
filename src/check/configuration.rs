//! The settings themselves.

use super::{
    Finding, Status,
    checks::{CONFIGURATION, COOKIES, ENVIRONMENT, REDIRECT_URI},
    report::Reporter,
    text::{SEE_CONFIGURATION, list},
};
use crate::config::{Config, Environment, Issuer, Partial, is_loopback};

pub(super) fn check(settings: &Partial, report: &mut Reporter<'_>) {
    for finding in configuration(settings) {
        report.found(finding);
    }
    report.found(environment(settings));
    report.found(redirect_uri(settings));
    report.found(match &settings.config {
        Some(config) => cookies(config),
        None => COOKIES.skipped(SEE_CONFIGURATION),
    });
}

/// Each problem and each warning is a finding of its own.
fn configuration(settings: &Partial) -> Vec<Finding> {
    let of = |status| move |problem| Finding::of_problem(&CONFIGURATION, status, problem);
    let problems = settings.problems.iter().map(of(Status::Failed));
    let warnings = settings.warnings.iter().map(of(Status::Warning));
    let mut findings: Vec<_> = problems.chain(warnings).collect();
    if findings.is_empty() {
        findings.push(CONFIGURATION.passed("every setting is right"));
    }
    findings
}

fn environment(settings: &Partial) -> Finding {
    match &settings.issuer {
        Some(issuer @ Issuer::Environment(Environment::Production)) => {
            ENVIRONMENT.passed(format!("production, {issuer}: real users, strict rules"))
        }
        Some(issuer @ Issuer::Environment(Environment::Sandbox)) => {
            ENVIRONMENT.passed(format!("sandbox, {issuer}: test users"))
        }
        Some(issuer) => ENVIRONMENT.passed(format!("an issuer of its own, {issuer}")),
        None => ENVIRONMENT.skipped(SEE_CONFIGURATION),
    }
}

fn redirect_uri(settings: &Partial) -> Finding {
    let Some(uri) = &settings.redirect_uri else {
        return REDIRECT_URI.skipped(SEE_CONFIGURATION);
    };
    let note = if is_loopback(uri) {
        "; only browsers on this machine come back to it"
    } else {
        ""
    };
    REDIRECT_URI.passed(format!("{uri}, to be registered in this spelling{note}"))
}

fn cookies(config: &Config) -> Finding {
    let name = config.session_cookie_name();
    if config.secure_cookies() {
        let attributes = list(&["Secure", "HttpOnly", "SameSite=Lax"]);
        COOKIES.passed(format!("`{name}`: {attributes}"))
    } else {
        COOKIES.passed(format!(
            "`{name}`: HttpOnly and SameSite=Lax; not Secure, over http on this machine browsers \
             would drop it"
        ))
    }
}
