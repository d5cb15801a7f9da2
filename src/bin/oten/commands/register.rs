use std::fmt::Write;

use axum_oten::{
    Config, Secret,
    config::{ClientType, ConfigBuilder, ConfigError, Issuer, Jar, Origin},
};
use clap::Args;
use serde_json::{Value, json};
use url::Url;

use super::settings::ConfigArgs;
use crate::{
    error::Error,
    key_file,
    terminal::{self, print, print_note},
};

/// The client ID until the client is registered.
const PLACEHOLDER_CLIENT_ID: &str = "not-registered-yet";

#[derive(Debug, Args)]
pub(crate) struct RegisterArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The application's name as users see it at Oten; defaults to the site's host
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Prints the values that the developer portal asks for.
pub(crate) fn run(args: RegisterArgs) -> Result<(), Error> {
    let config = build(args.config.builder()?)?;
    for warning in config.warnings() {
        print_note(&warning.to_string());
    }
    let sheet = Sheet::new(&config, args.name);
    if args.json {
        return print(&format!("{:#}\n", sheet.to_json()));
    }
    print(&sheet.to_text())?;
    print_note(next_step(&config));
    Ok(())
}

/// Builds the configuration of a client that may not be registered yet, with placeholders for a
/// missing ID, secret or session key. Do not send requests to the provider with it.
fn build(mut builder: ConfigBuilder) -> Result<Config, ConfigError> {
    let error = match builder.clone().build() {
        Ok(config) => return Ok(config),
        Err(error) => error,
    };
    for problem in error.problems() {
        // A value that is set but wrong stays a problem.
        builder = match (problem.key(), problem.origin()) {
            ("client_id", Origin::Missing) => builder.client_id(PLACEHOLDER_CLIENT_ID),
            ("client_secret", Origin::Missing) => builder.client_secret(Secret::random()),
            // Registration needs no session key, so its file may not exist yet.
            ("session_key", _) => builder.session_key(key_file::generate_session_key()),
            _ => builder,
        };
    }
    builder.build()
}

/// The values to register a client with.
struct Sheet<'a> {
    config: &'a Config,
    name: String,
    /// The name in the portal, and a note.
    application_type: (&'static str, &'static str),
    /// The name of the signing method in the portal, if the client signs, and a note.
    jar: (Option<&'static str>, &'static str),
}

impl<'a> Sheet<'a> {
    fn new(config: &'a Config, name: Option<String>) -> Self {
        let host = config.redirect_uri().host_str().unwrap_or_default();
        let (application_type, jar) = match config.client().client_type() {
            ClientType::Confidential { jar, .. } => (
                ("Web App", "confidential: its server keeps a secret"),
                match jar {
                    Jar::EdDsa(_) => (Some("EdDSA"), "the public keys are below"),
                    Jar::Off => (
                        None,
                        "off: only for a legacy client that Oten's support has exempted",
                    ),
                    _ => (Some("HS256"), "with the client secret"),
                },
            ),
            _ => (
                ("SPA", "public: it has no secret"),
                (None, "public clients do not sign; they use PKCE"),
            ),
        };
        Self {
            config,
            name: name.unwrap_or_else(|| host.to_owned()),
            application_type,
            jar,
        }
    }

    fn to_text(&self) -> String {
        let config = self.config;
        let (application_type, type_note) = self.application_type;
        let (method, method_note) = self.jar;
        let method = method.unwrap_or("none");
        let logout = config.post_logout_redirect_uri();
        let mut lines = vec![
            ("Register at", portal(config)),
            ("Application name", self.name.clone()),
            (
                "Application type",
                format!("{application_type} ({type_note})"),
            ),
            ("Redirect URI", config.redirect_uri().to_string()),
            (
                "Post-logout redirect URI",
                logout.map_or_else(|| suggest_post_logout(config), ToString::to_string),
            ),
            ("Back-channel logout URI", config.back_channel_logout_uri()),
            ("Scopes", config.scopes().join(" ")),
            ("JAR signing method", format!("{method} ({method_note})")),
        ];
        let keys = config.client().published_keys();
        if !keys.is_empty() {
            lines.push(("JWKS URI", config.jwks_uri()));
        }
        let mut sheet = terminal::format_rows(&lines);
        for key in keys {
            let (key_id, pem, jwk) = (key.key_id(), key.to_pem(), key.to_jwk());
            // Writing to a string does not fail.
            let _ = write!(
                sheet,
                "\nPublic key {key_id}, as PEM and as a JWK\n{pem}{jwk}\n"
            );
        }
        sheet
    }

    fn to_json(&self) -> Value {
        let config = self.config;
        let keys = config.client().published_keys();
        let jwks_uri = (!keys.is_empty()).then(|| config.jwks_uri());
        let keys: Vec<Value> = keys
            .iter()
            .map(|key| json!({ "kid": key.key_id(), "pem": key.to_pem(), "jwk": key.to_jwk() }))
            .collect();
        let environment = match config.issuer() {
            Issuer::Environment(environment) => Some(environment.name()),
            _ => None,
        };
        json!({
            "environment": environment,
            "issuer": config.issuer().to_string(),
            "application_name": self.name,
            "application_type": self.application_type.0,
            "redirect_uris": [config.redirect_uri().as_str()],
            "post_logout_redirect_uris":
                Vec::from_iter(config.post_logout_redirect_uri().map(Url::as_str)),
            "backchannel_logout_uri": config.back_channel_logout_uri(),
            "scopes": config.scopes(),
            "jar_signing_method": self.jar.0,
            "jwks_uri": jwks_uri,
            "public_keys": keys,
        })
    }
}

/// Names the portal. Each environment has its own, with separate clients and credentials.
fn portal(config: &Config) -> String {
    match config.issuer() {
        Issuer::Environment(environment) => {
            let users = if config.issuer().is_production() {
                "real users"
            } else {
                "test users"
            };
            format!(
                "the {environment} developer portal of Oten ({users}; {})",
                config.issuer()
            )
        }
        issuer => format!("the provider at {issuer}"),
    }
}

/// The logout route can serve as the post-logout redirect URI.
fn suggest_post_logout(config: &Config) -> String {
    let (origin, base_path) = (config.origin(), config.base_path());
    format!("none; to use one, set `post_logout_redirect_uri` to {origin}{base_path}/logout")
}

fn next_step(config: &Config) -> &'static str {
    match config.client().client_type() {
        ClientType::Confidential {
            jar: Jar::EdDsa(_), ..
        } => {
            "\nRegister either the public keys or the JWKS URI. Oten must be able to reach the URI.\n\
             Then set OTEN_CLIENT_ID and OTEN_CLIENT_SECRET to the values from the portal."
        }
        ClientType::Confidential { .. } => {
            "\nThen set OTEN_CLIENT_ID and OTEN_CLIENT_SECRET to the values from the portal."
        }
        _ => "\nThen set OTEN_CLIENT_ID to the value from the portal.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(toml: &str) -> Vec<String> {
        let builder = ConfigBuilder::from_toml("test", toml).unwrap();
        let problems = |error: ConfigError| {
            let problems = error.problems().iter();
            problems.map(|problem| problem.key().to_owned()).collect()
        };
        build(builder).map_or_else(problems, |_| Vec::new())
    }

    const SITE: &str = "environment = 'production'\nredirect_uri = 'https://a.example/callback'\n";

    #[test]
    fn only_values_that_the_portal_issues_may_be_missing() {
        assert!(problems(SITE).is_empty());
        let external = format!("{SITE}session_store = 'redis://h'");
        assert!(problems(&external).is_empty());
        let missing_file = format!("{external}\nsession_key_file = 'is-not-there.key'");
        assert!(problems(&missing_file).is_empty());
        assert!(problems(&format!("{SITE}client_type = 'public'")).is_empty());
        assert!(problems(&format!("{SITE}client_id = 'known'")).is_empty());
        assert_eq!(
            problems("environment = 'sandbox'"),
            ["redirect_uri"],
            "the placeholders are not among the problems"
        );
        assert_eq!(problems(&format!("{SITE}jar = 'EdDSA'")), ["jar_key_file"]);
    }

    #[test]
    fn a_value_that_is_set_but_wrong_stays_a_problem() {
        assert_eq!(problems(&format!("{SITE}client_id = 'a b'")), ["client_id"]);
        let short = format!("{SITE}client_secret = 'short'");
        assert!(problems(&short).contains(&"client_secret".to_owned()));
    }
}
