use std::sync::Arc;

use axum_oten::{
    Config, Oten,
    config::{ConfigBuilder, Issuer},
    store,
};

use crate::{
    announce::announce,
    cli,
    failure::Failure,
    listen::Listener,
    site::{self, Site},
};

/// Runs the site against the configured issuer until told to stop.
pub(crate) async fn run(arguments: cli::Serve) -> Result<(), Failure> {
    let config = configure(arguments)?;
    let listener = Listener::bind(config.listen()).await?;
    let provider = provider_origin(&config);
    let site = Arc::new(Site::new(config.base_path(), Vec::new()));
    let seen_at = format!("{}{}", config.origin(), site.path("/"));
    let store = store::open(config.session_store()).await?;
    let oten = Oten::new(config, store)?;
    let app = site::routes(&oten, &site);
    announce(
        "Oten site",
        &[
            ("Listens on", &format!("http://{}", listener.address())),
            ("Seen at", &seen_at),
            ("Provider", &provider),
            ("Stop", "Ctrl-C"),
        ],
    );
    listener
        .serve(site::harden(app, site, Some(&provider)))
        .await
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
fn provider_origin(config: &Config) -> String {
    match config.issuer() {
        Issuer::Environment(environment) => environment.issuer().to_owned(),
        Issuer::Custom(url) => url.origin().ascii_serialization(),
        // A kind of issuer that is younger than this program.
        _ => config.origin(),
    }
}
