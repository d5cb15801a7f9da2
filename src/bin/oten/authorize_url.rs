use std::{fmt::Write, path::PathBuf};

use axum_oten::{Clock, Config, protocol, provider::ProviderMetadata};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use clap::Args;
use serde_json::{Map, Value, json};

use crate::{
    failure::Failure,
    output::{hint, print},
};

/// What `oten authorize-url` can be told.
#[derive(Debug, Args)]
pub(crate) struct AuthorizeUrl {
    /// Read this file; environment variables replace what it says
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print URL, header and claims as JSON
    #[arg(long)]
    json: bool,
}

/// Prints an authorization URL as a sign-in would use it, and what is in it.
pub(crate) async fn run(arguments: AuthorizeUrl) -> Result<(), Failure> {
    let config = match arguments.config {
        Some(file) => Config::from_file(file)?,
        None => Config::from_env()?,
    };
    let metadata = ProviderMetadata::discover(&config).await?;
    let url = protocol::throwaway_authorization_url(&config, &metadata, &Clock::system())
        .map_err(Failure::Request)?;
    let query: Map<String, Value> = url
        .query_pairs()
        .map(|(name, value)| (name.into_owned(), value.into()))
        .collect();
    let request_object = query.get("request").and_then(Value::as_str);
    let decoded = request_object.and_then(decode);
    if arguments.json {
        let request_object = decoded
            .as_ref()
            .map(|(header, claims)| json!({ "header": header, "claims": claims }));
        let document = json!({
            "url": url.as_str(),
            "parameters": query,
            "request_object": request_object,
        });
        print(&format!("{document:#}\n"))?;
    } else {
        let mut text = format!("{url}\n");
        // Writing to a string does not fail.
        let _ = match &decoded {
            Some((header, claims)) => write!(
                text,
                "\nHeader of the request object\n{header:#}\n\nClaims of the request object\n{claims:#}\n"
            ),
            None => write!(text, "\nParameters\n{:#}\n", Value::Object(query)),
        };
        print(&text)?;
    }
    hint(
        "\nFor support cases only: nothing was stored for this URL, and its `state` and `nonce` are \
         thrown away. The site signs nobody in with the callback that comes of it. A signed request \
         is good for one use, until `exp`.",
    );
    Ok(())
}

/// Header and claims of a compact JWS (RFC 7515 section 7.1) that was made here.
fn decode(jws: &str) -> Option<(Value, Value)> {
    let mut parts = jws.split('.').map(|part| {
        let json = BASE64_URL_SAFE_NO_PAD.decode(part).ok()?;
        serde_json::from_slice(&json).ok()
    });
    Some((parts.next()??, parts.next()??))
}
