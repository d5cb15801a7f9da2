use std::process::ExitCode;

use axum_oten::check::{EndpointHealth, health, site_health};
use clap::Args;

use super::settings::ConfigArgs;
use crate::{
    error::Error,
    terminal::{self, Spinner, StatusTable},
};

#[derive(Debug, Args)]
pub(crate) struct HealthArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Check the site on this machine instead, by requesting `/healthz` below `base_path` at `listen`
    #[arg(long = "self")]
    own: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Requests the provider's endpoints, or the site's own, and prints how they respond.
pub(crate) async fn run(args: HealthArgs) -> Result<ExitCode, Error> {
    let settings = args.config.settings()?;
    let spinner = Spinner::new();
    let health = if args.own {
        spinner.set_message("the site");
        site_health(settings).await?
    } else {
        spinner.set_message("the provider's endpoints");
        health(settings).await?
    };
    drop(spinner);
    if args.json {
        terminal::print_json(&health)?;
    } else {
        let table = StatusTable::new(health.endpoints.iter().map(|endpoint| endpoint.name));
        for endpoint in &health.endpoints {
            let help = endpoint.help.as_deref();
            table.print_row(endpoint.status, endpoint.name, &describe(endpoint), help);
        }
    }
    Ok(ExitCode::from(u8::from(health.has_failed())))
}

fn describe(endpoint: &EndpointHealth) -> String {
    let time = endpoint.milliseconds.map(|time| format!(" in {time} ms"));
    let url = endpoint.url.as_deref().map(|url| format!("  {url}"));
    [Some(endpoint.message.clone()), time, url]
        .into_iter()
        .flatten()
        .collect()
}
