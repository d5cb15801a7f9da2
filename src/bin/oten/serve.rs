use std::sync::Arc;

use axum_oten::{
    Config, Oten,
    config::{ConfigBuilder, StoreUrl},
    store,
};

use crate::{
    announce::announce,
    cli,
    failure::Failure,
    listen::{Listener, PRE_STOP_DELAY},
    metrics::Metrics,
    session_key,
    settings::{DEFAULT_KEY, DEFAULT_STORE},
    site::{self, SecurityHeaders, Site},
};

/// Runs the site against the configured issuer until told to stop.
pub(crate) async fn run(arguments: cli::Serve) -> Result<(), Failure> {
    let config = configure(arguments)?;
    site::check_paths(&config)?;
    tracing::info!(store = %config.session_store(), "sessions are kept");
    let listener = Listener::bind(config.listen()).await?;
    let metrics = Metrics::bind(config.metrics_listen()).await?;
    let provider = site::provider_origin(&config);
    let site = Arc::new(Site::new(config.base_path(), Vec::new()));
    let seen_at = format!("{}{}", config.origin(), site.path("/"));
    let headers = SecurityHeaders::of(&config);
    let store = store::open(config.session_store()).await?;
    let oten = Oten::new(config, store)?;
    let app = site::routes(&oten, &site, listener.stopping());
    announce(
        "Oten site",
        &[
            ("Listens on", &format!("http://{}", listener.address())),
            ("Seen at", &seen_at),
            ("Provider", &provider),
            ("Metrics", &metrics.url()),
            ("Stop", "Ctrl-C"),
        ],
    );
    let app = site::harden(app, &oten, site, headers);
    metrics
        .beside(listener.serve(app, &oten, PRE_STOP_DELAY))
        .await
}

/// The configuration; where it names no store, people stay signed in over a restart all the same.
fn configure(arguments: cli::Serve) -> Result<Config, Failure> {
    let mut builder = match arguments.config {
        Some(file) => ConfigBuilder::from_file(file)?,
        None => ConfigBuilder::from_env(),
    };
    if let Some(address) = arguments.listen {
        builder = builder.listen(address);
    }
    if let Some(address) = arguments.metrics_listen {
        builder = builder.metrics_listen(address);
    }
    if !builder.is_set("session_store") {
        // Whole before anything is made: everything that is wrong with it is told at once.
        let in_production = builder.clone().build()?.issuer().is_production();
        builder = builder.session_store(StoreUrl::Sqlite(DEFAULT_STORE.into()));
        if !in_production && !builder.is_set("session_key") {
            builder = builder.session_key(session_key::read_or_create(DEFAULT_KEY.as_ref())?);
        }
    }
    Ok(builder.build()?)
}
