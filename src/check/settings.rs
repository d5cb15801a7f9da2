//! Checks of the settings themselves.

use super::{
    finding::{CONFIGURATION, COOKIES, ENVIRONMENT, Finding, REDIRECT_URI, Status},
    report::Reporter,
    text::{SEE_CONFIGURATION, list},
};
use crate::config::{Config, Environment, Issuer, Partial, is_loopback};

pub(super) fn check(settings: &Partial, report: &mut Reporter<'_>) {
    for problem in &settings.problems {
        report.found(CONFIGURATION.problem(Status::Failed, problem));
    }
    for problem in &settings.warnings {
        report.found(CONFIGURATION.problem(Status::Warning, problem));
    }
    if !report.has(&CONFIGURATION) {
        report.found(CONFIGURATION.passed("all settings are valid"));
    }
    report.found(environment(settings));
    report.found(redirect_uri(settings));
    report.found(match &settings.config {
        Some(config) => cookies(config),
        None => COOKIES.skipped(SEE_CONFIGURATION),
    });
}

fn environment(settings: &Partial) -> Finding {
    let Some(issuer) = &settings.issuer else {
        return ENVIRONMENT.skipped(SEE_CONFIGURATION);
    };
    ENVIRONMENT.passed(match issuer {
        Issuer::Environment(Environment::Production) => {
            format!("production, {issuer}: real users, strict rules")
        }
        Issuer::Environment(Environment::Sandbox) => format!("sandbox, {issuer}: test users"),
        issuer => format!("custom issuer, {issuer}"),
    })
}

fn redirect_uri(settings: &Partial) -> Finding {
    let Some(uri) = &settings.redirect_uri else {
        return REDIRECT_URI.skipped(SEE_CONFIGURATION);
    };
    let note = if is_loopback(uri) {
        "; it works only in browsers on this machine"
    } else {
        ""
    };
    REDIRECT_URI.passed(format!("{uri}; register exactly this URL{note}"))
}

fn cookies(config: &Config) -> Finding {
    let name = config.session_cookie_name();
    if config.secure_cookies() {
        let attributes = list(&["Secure", "HttpOnly", "SameSite=Lax"]);
        COOKIES.passed(format!("`{name}`: {attributes}"))
    } else {
        COOKIES.passed(format!(
            "`{name}`: HttpOnly and SameSite=Lax; not Secure, because browsers drop Secure cookies \
             over http"
        ))
    }
}
