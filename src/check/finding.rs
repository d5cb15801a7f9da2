use std::fmt::Display;

use serde::{Serialize, Serializer};

use crate::config::Problem;

/// A check: a stable name and a description.
///
/// # Example
///
/// ```
/// use axum_oten::check::Check;
///
/// let names: Vec<_> = Check::all().iter().map(|check| check.name()).collect();
/// assert!(names.contains(&"client_authentication"));
/// ```
#[derive(Debug, PartialEq, Eq)]
pub struct Check {
    name: &'static str,
    description: &'static str,
}

/// The result of one check. Findings contain no secrets and can be sent to support.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// The check; serialized as its name.
    pub check: &'static Check,
    /// Whether the check passed.
    pub status: Status,
    /// The name, in a TOML file, of the setting that the finding is about.
    pub setting: Option<String>,
    /// What was found.
    pub message: String,
    /// How to fix it, in a sentence or two. Always present in warnings and failures.
    pub help: Option<String>,
}

/// The status of a [`Finding`] or of an endpoint, from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Status {
    /// Everything is in order.
    Passed,
    /// The check could not run. The message says why.
    Skipped,
    /// It works but should be changed, or the result is inconclusive.
    Warning,
    /// It does not work or is not secure.
    Failed,
}

impl Check {
    /// Returns all checks, in the order of their findings in a report.
    #[must_use]
    pub fn all() -> &'static [&'static Check] {
        CHECKS
    }

    /// Returns the name in reports, such as `client_authentication`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Returns what is checked, in one sentence.
    #[must_use]
    pub fn description(&self) -> &'static str {
        self.description
    }

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

    /// Creates a failed finding about a place, such as a URL, from a message and its help.
    pub(super) fn failed_at(
        &'static self,
        place: impl Display,
        (message, help): (String, String),
    ) -> Finding {
        self.failed(format!("{place}: {message}"), help)
    }

    /// Creates a finding about an invalid setting.
    pub(super) fn problem(&'static self, status: Status, problem: &Problem) -> Finding {
        Finding {
            setting: Some(problem.key().to_owned()),
            ..self.finding(status, problem.describe(), Some(problem.help().to_owned()))
        }
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

impl Serialize for Check {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name)
    }
}

/// Generates a static for each check, and the guide's table of checks.
macro_rules! checks {
    ($($ident:ident = $name:literal, $description:literal;)*) => {
        $(pub(super) static $ident: Check = Check { name: $name, description: $description };)*

        static CHECKS: &[&Check] = &[$(&$ident),*];

        /// Expands to a Markdown table of all checks.
        #[cfg(any(doc, test))]
        macro_rules! check_table {
            () => {
                concat!(
                    "\n| check | description |\n|---|---|\n",
                    $("| `", $name, "` | ", $description, " |\n"),*
                )
            };
        }
    };
}

checks! {
    CONFIGURATION = "configuration",
        "All settings are known and valid. Each invalid one is a finding of its own.";
    ENVIRONMENT = "environment",
        "Shows which provider users sign in with, and whether it is production.";
    REDIRECT_URI = "redirect_uri",
        "The redirect URI is https, or http on this machine.";
    COOKIES = "cookies",
        "Shows the name and attributes of the session cookie.";
    TLS = "tls",
        "The provider's certificate is trusted, in date and valid for its host name.";
    DISCOVERY = "discovery",
        "The discovery document can be fetched.";
    ISSUER = "issuer",
        "The discovery document names the configured issuer.";
    REQUIRED_FIELDS = "required_fields",
        "The discovery document has all fields that Oten documents as required.";
    ENDPOINTS = "endpoints",
        "All endpoints are https, or http on this machine if the issuer is, too.";
    OPTIONAL_FIELDS = "optional_fields",
        "The optional fields of the discovery document have usable values.";
    CODE_FLOW = "code_flow",
        "The provider supports the authorization code flow.";
    PKCE = "pkce",
        "The provider supports PKCE with S256.";
    SCOPES = "scopes",
        "The provider offers `openid` and all configured scopes.";
    AUTHENTICATION_METHOD = "authentication_method",
        "The provider supports the method in `token_endpoint_auth_method`, unless the client is public.";
    ID_TOKEN_ALGORITHM = "id_token_algorithm",
        "The provider signs ID tokens with one of `id_token_algorithms`.";
    REFRESH = "refresh",
        "The provider supports token refresh.";
    SIGN_OUT = "sign_out",
        "Shows which kinds of sign-out the provider supports. None is required.";
    CLOCK = "clock",
        "This machine's clock agrees with the provider's.";
    KEY_SET = "key_set",
        "The provider's key set can be fetched and has a key with a `kid` for one of `id_token_algorithms`.";
    CLIENT_AUTHENTICATION = "client_authentication",
        "The provider accepts the client's ID and secret. Costs one token request, or up to three if the \
         provider is busy.";
    USERINFO = "userinfo",
        "The provider has a userinfo endpoint if `claims_from_userinfo` is set.";
    TOKEN_VALIDATION = "token_validation",
        "Access tokens for this app's API can be validated as configured. With `remote` or \
         `token_validation_endpoint`, the endpoint is asked about an invalid token.";
    REQUEST_OBJECT = "request_object",
        "A request object can be signed and verified with the configured key.";
    STORE = "store",
        "A record can be written to the session store, read and removed within 2 seconds.";
    SEALING = "sealing",
        "Records in an external store are sealed.";
    SEPARATION = "separation",
        "Another environment shares no secret and no store with this one. Only with `--against`.";
}

#[cfg(any(doc, test))]
pub(crate) use check_table;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_unique_and_descriptions_are_sentences() {
        let names: HashSet<_> = CHECKS.iter().map(|check| check.name).collect();
        assert_eq!(names.len(), CHECKS.len());
        for check in CHECKS {
            let is_snake = |c: char| c.is_ascii_lowercase() || c == '_';
            assert!(check.name.chars().all(is_snake), "{}", check.name);
            assert!(check.description.ends_with('.'), "{}", check.name);
        }
    }

    #[test]
    fn the_guide_lists_every_check() {
        let rows = crate::check::check_table!().lines().skip(3);
        let cells: Vec<Vec<_>> = rows.map(|row| row.split('|').collect()).collect();
        assert_eq!(cells.len(), CHECKS.len());
        for (row, check) in cells.iter().zip(CHECKS) {
            let name = format!(" `{}` ", check.name);
            let description = format!(" {} ", check.description);
            assert_eq!(*row, ["", &name, &description, ""]);
        }
    }
}
