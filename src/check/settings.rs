//! Checks of the settings themselves.

use super::{
    finding::{CONFIGURATION, COOKIES, ENVIRONMENT, Finding, REDIRECT_URI, Status},
    report::Reporter,
    text::{SEE_CONFIGURATION, list},
};
use crate::config::{Config, Environment, Issuer, Partial, is_loopback};

/// Hosts of Oten that are not issuers of today, and the environment to use instead.
const OTHER_HOSTS: [(&str, &str, Environment); 3] = [
    (
        "account.oten.live",
        "the former address of Oten's production",
        Environment::Production,
    ),
    (
        "developer.oten.com",
        "Oten's developer portal, not an issuer",
        Environment::Production,
    ),
    (
        "developer-portal.sbx.oten.dev",
        "the sandbox's developer portal, not an issuer",
        Environment::Sandbox,
    ),
];

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
    report.found(match &settings.issuer {
        Some(issuer) => environment(issuer),
        None => ENVIRONMENT.skipped(SEE_CONFIGURATION),
    });
    report.found(redirect_uri(settings));
    report.found(match &settings.config {
        Some(config) => cookies(config),
        None => COOKIES.skipped(SEE_CONFIGURATION),
    });
}

fn environment(issuer: &Issuer) -> Finding {
    let host = match issuer {
        Issuer::Custom(url) => url.host_str().unwrap_or_default(),
        Issuer::Environment(_) => "",
    };
    let other = OTHER_HOSTS.iter().find(|(name, ..)| *name == host);
    if let Some((_, description, environment)) = other {
        return ENVIRONMENT.warning(
            format!("{issuer} is {description}"),
            format!("Remove `issuer`, and set `environment` to `{environment}`."),
        );
    }
    ENVIRONMENT.passed(match issuer {
        Issuer::Environment(Environment::Production) => {
            format!("production, {issuer}: real users, strict rules")
        }
        Issuer::Environment(Environment::Sandbox) => format!("sandbox, {issuer}: test users"),
        issuer if host == "account.dev.oten.dev" => format!("Oten's development, {issuer}"),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b3_hosts_of_oten_are_recognized() {
        for (url, status, words) in [
            ("https://account.oten.live", Status::Warning, "`production`"),
            (
                "https://developer.oten.com/apps",
                Status::Warning,
                "`production`",
            ),
            (
                "https://developer-portal.sbx.oten.dev",
                Status::Warning,
                "`sandbox`",
            ),
            (
                "https://account.dev.oten.dev",
                Status::Passed,
                "Oten's development",
            ),
            ("https://id.example", Status::Passed, "custom issuer"),
        ] {
            let finding = environment(&Issuer::Custom(url.parse().unwrap()));
            assert_eq!(finding.status, status, "{url}");
            let texts = finding.message + &finding.help.unwrap_or_default();
            assert!(texts.contains(words), "{texts}");
        }
    }
}
