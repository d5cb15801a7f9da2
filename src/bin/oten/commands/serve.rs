use axum_oten::{Config, Oten, store};
use clap::Args;

use super::settings::{ConfigArgs, ListenArgs, with_default_store};
use crate::{
    error::Error,
    key_file,
    server::{Metrics, PRE_STOP_DELAY, Server},
    site::{self, Activity, Site},
    terminal,
};

#[derive(Debug, Default, Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    listen: ListenArgs,
}

/// Runs the site against the configured issuer until a signal stops it.
pub(crate) async fn run(args: ServeArgs) -> Result<(), Error> {
    let config = configure(&args)?;
    site::check_paths(&config)?;
    tracing::info!(store = %config.session_store(), "opening the session store");
    let server = Server::bind(config.listen())?;
    let metrics = Metrics::start(config.metrics_listen())?;
    let store = store::open(config.session_store()).await?;
    let activity = Activity::default();
    let oten = Oten::builder(config, store)
        .audit(activity.clone())
        .pages(site::library_page)
        .build()?;
    let site = Site::new(oten.clone(), activity, None, server.stopping());
    terminal::print_banner(
        "Oten site",
        &[
            ("Listening on", &format!("http://{}", server.address())),
            ("Public URL", site.url().as_str()),
            ("Provider", &site::provider_origin(oten.config())),
            ("Metrics", metrics.url()),
            ("Stop", "Ctrl-C"),
        ],
    );
    let app = site::harden(&site, site::routes(&site));
    server.serve(app, PRE_STOP_DELAY, oten.shutdown()).await
}

fn configure(args: &ServeArgs) -> Result<Config, Error> {
    let builder = args.listen.apply(args.config.builder()?);
    // Reports every problem before a key file is created.
    if !builder.is_set("session_store") {
        builder.clone().build()?;
    }
    let builder = with_default_store(builder, key_file::read_or_create_session_key)?;
    Ok(builder.build()?)
}
