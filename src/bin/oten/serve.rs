use std::{
    io::{self, Write},
    sync::Arc,
};

use axum_oten::{
    Config, MemoryStore, Oten,
    config::{ConfigBuilder, Issuer},
};

use crate::{
    cli,
    failure::Failure,
    listen,
    site::{self, Site},
};

/// Runs the site against the configured issuer until told to stop.
pub(crate) async fn run(arguments: cli::Serve) -> Result<(), Failure> {
    let config = configure(arguments)?;
    let (listener, address) = listen::bind(config.listen()).await?;
    let provider = provider_origin(config.issuer());
    let text = format!(
        "Listening on http://{address}; browsers see {}{}/\n",
        config.origin(),
        config.base_path(),
    );
    let site = Arc::new(Site::new(config.base_path(), Vec::new()));
    let oten = Oten::new(config, MemoryStore::default())?;
    let app = site::routes(&oten, &site);
    // Whoever closed stdout does not want to read it; the site goes on.
    let _ = io::stdout().lock().write_all(text.as_bytes());
    listen::serve(listener, site::harden(app, site, provider.as_deref())).await
}

fn configure(arguments: cli::Serve) -> Result<Config, Failure> {
    let mut builder = match arguments.config {
        Some(file) => ConfigBuilder::from_file(file)?,
        None => ConfigBuilder::from_env(),
    };
    if let Some(address) = arguments.listen {
        builder = builder.listen(address);
    }
    Ok(builder.build()?)
}

/// Where the provider's pages are, in the spelling of a content security policy.
fn provider_origin(issuer: &Issuer) -> Option<String> {
    match issuer {
        Issuer::Environment(environment) => Some(environment.issuer().to_owned()),
        Issuer::Custom(url) => Some(url.origin().ascii_serialization()),
        _ => None,
    }
}
