use std::{fmt::Write, path::PathBuf};

use axum_oten::{
    Config,
    config::{ClientType, ConfigBuilder, Environment, Issuer, Jar},
};
use clap::Args;
use serde_json::{Value, json};
use url::Url;

use crate::{
    failure::Failure,
    output::{hint, print},
    unregistered,
};

/// What `oten register` can be told.
#[derive(Debug, Args)]
pub(crate) struct Register {
    /// Read this file; environment variables replace what it says
    ///
    /// The client's id and secret may be missing: they are what registering gives.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The application's name, as users will see it at Oten; by default the site's host
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Print the sheet as JSON
    #[arg(long)]
    json: bool,
}

/// Prints what the developer portal asks for.
pub(crate) fn run(arguments: Register) -> Result<(), Failure> {
    let builder = match arguments.config {
        Some(file) => ConfigBuilder::from_file(file)?,
        None => ConfigBuilder::from_env(),
    };
    let config = unregistered::build(builder)?;
    for warning in config.warnings() {
        hint(&format!("{warning}"));
    }
    let sheet = Sheet::new(&config, arguments.name);
    if arguments.json {
        return print(&format!("{:#}\n", sheet.to_json()));
    }
    print(&sheet.to_text())?;
    hint(after(&config));
    Ok(())
}

/// What a client is registered with.
struct Sheet<'a> {
    config: &'a Config,
    name: String,
    /// As the portal calls it, and what that means.
    application_type: (&'static str, &'static str),
    /// As the portal calls it, and what that means.
    jar: (Option<&'static str>, &'static str),
}

impl<'a> Sheet<'a> {
    fn new(config: &'a Config, name: Option<String>) -> Self {
        let host = config.redirect_uri().host_str().unwrap_or_default();
        let (application_type, jar) = match config.client().kind() {
            ClientType::Confidential { jar, .. } => (
                ("Web App", "confidential: it keeps a secret on its server"),
                match jar {
                    Jar::EdDsa(_) => (Some("EdDSA"), "the public keys are below"),
                    Jar::Off => (None, "switched off by Oten's support for a legacy client"),
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
        let (method, signing) = self.jar;
        let method = method.unwrap_or("none");
        let logout = config.post_logout_redirect_uri();
        let mut lines = vec![
            ("Where", portal(config)),
            ("Application name", self.name.clone()),
            ("Application type", with_note(self.application_type)),
            ("Redirect URI", config.redirect_uri().to_string()),
            (
                "Post-logout redirect URI",
                logout.map_or_else(|| recommended_logout(config), ToString::to_string),
            ),
            ("Back-channel logout URI", config.back_channel_logout_uri()),
            ("Scopes", config.scopes().join(" ")),
            ("JAR signing method", with_note((method, signing))),
        ];
        let keys = config.client().published_keys();
        if !keys.is_empty() {
            lines.push(("JWKS URI", config.jwks_uri()));
        }
        let width = lines.iter().map(|(label, _)| label.len()).max();
        let width = width.unwrap_or_default();
        let mut sheet = String::new();
        // Writing to a string does not fail.
        for (label, text) in &lines {
            let _ = writeln!(sheet, "{label:width$}   {text}");
        }
        for key in keys {
            let (key_id, pem, jwk) = (key.key_id(), key.to_pem(), key.to_jwk());
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

fn with_note((name, note): (&str, &str)) -> String {
    format!("{name} ({note})")
}

/// Each environment has a portal, clients and credentials of its own.
fn portal(config: &Config) -> String {
    match config.issuer() {
        Issuer::Environment(environment) => {
            let users = match environment {
                Environment::Sandbox => "test users",
                Environment::Production => "real users",
            };
            format!(
                "the {environment} developer portal of Oten ({users}; {})",
                config.issuer()
            )
        }
        issuer => format!("the provider at {issuer}"),
    }
}

/// The logout route itself knows what the browser comes back from.
fn recommended_logout(config: &Config) -> String {
    let (origin, base_path) = (config.origin(), config.base_path());
    format!("none; if you want one, set `post_logout_redirect_uri` to {origin}{base_path}/logout")
}

/// What to do when the form is sent.
fn after(config: &Config) -> &'static str {
    match config.client().kind() {
        ClientType::Confidential {
            jar: Jar::EdDsa(_), ..
        } => {
            "\nRegister either the public keys or the JWKS URI; the URI must be reachable for Oten. \
             Then set OTEN_CLIENT_ID and OTEN_CLIENT_SECRET to what the portal shows."
        }
        ClientType::Confidential { .. } => {
            "\nThen set OTEN_CLIENT_ID and OTEN_CLIENT_SECRET to what the portal shows."
        }
        _ => "\nThen set OTEN_CLIENT_ID to what the portal shows.",
    }
}
