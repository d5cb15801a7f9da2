use axum_oten::{Clock, protocol, provider::ProviderMetadata};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use clap::Args;
use serde_json::{Map, Value, json};

use super::settings::ConfigArgs;
use crate::{
    error::Error,
    terminal::{print, print_note},
};

#[derive(Debug, Args)]
pub(crate) struct AuthorizeUrlArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print the URL, the header and the claims as JSON
    #[arg(long)]
    json: bool,
}

/// Prints an authorization URL as a login would use it, and its contents.
pub(crate) async fn run(args: AuthorizeUrlArgs) -> Result<(), Error> {
    let config = args.config.builder()?.build()?;
    let metadata = ProviderMetadata::discover(&config).await?;
    let url = protocol::sample_authorization_url(&config, &metadata, &Clock::system())
        .map_err(Error::AuthorizationRequest)?;
    let query: Map<String, Value> = url
        .query_pairs()
        .map(|(name, value)| (name.into_owned(), value.into()))
        .collect();
    let request_object = query.get("request").and_then(Value::as_str);
    let decoded = request_object.and_then(decode);
    let text = match &decoded {
        _ if args.json => {
            let decoded = decoded.as_ref();
            let document = json!({
                "url": url.as_str(),
                "parameters": query,
                "request_object":
                    decoded.map(|(header, claims)| json!({ "header": header, "claims": claims })),
            });
            format!("{document:#}\n")
        }
        Some((header, claims)) => format!(
            "{url}\n\nRequest object header\n{header:#}\n\nRequest object claims\n{claims:#}\n"
        ),
        None => format!("{url}\n\nParameters\n{:#}\n", Value::Object(query)),
    };
    print(&text)?;
    print_note(
        "\nFor support cases only: no login attempt is stored for this URL, so its callback never \
         signs a user in. A signed request object can be used once, until `exp`.",
    );
    Ok(())
}

/// Decodes the header and the claims of a compact JWS (RFC 7515 section 7.1).
fn decode(jws: &str) -> Option<(Value, Value)> {
    let mut parts = jws.split('.').map(|part| {
        let json = BASE64_URL_SAFE_NO_PAD.decode(part).ok()?;
        serde_json::from_slice(&json).ok()
    });
    Some((parts.next()??, parts.next()??))
}
