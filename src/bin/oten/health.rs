use std::process::ExitCode;

use axum_oten::check::{EndpointHealth, health, own_health};

use crate::{cli, failure::Failure, print, settings, wait::Wait};

/// Asks the provider's endpoints, or the site's own, whether they answer.
pub(crate) async fn run(arguments: cli::Health) -> Result<ExitCode, Failure> {
    let settings = settings::read(arguments.config.as_deref())?;
    let wait = Wait::new();
    let health = if arguments.own {
        wait.waits_for("the site");
        own_health(settings).await?
    } else {
        wait.waits_for("the provider's endpoints");
        health(settings).await?
    };
    drop(wait);
    if arguments.json {
        print::json(&health).map_err(Failure::Runtime)?;
    } else {
        let table = print::Table::new(health.endpoints.iter().map(|endpoint| endpoint.name));
        for endpoint in &health.endpoints {
            let help = endpoint.help.as_deref();
            table.row(endpoint.status, endpoint.name, &describe(endpoint), help);
        }
    }
    Ok(if health.has_failed() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn describe(endpoint: &EndpointHealth) -> String {
    let time = endpoint.milliseconds.map(|time| format!(" in {time} ms"));
    let url = endpoint.url.as_deref().map(|url| format!("  {url}"));
    [Some(endpoint.message.clone()), time, url]
        .into_iter()
        .flatten()
        .collect()
}
