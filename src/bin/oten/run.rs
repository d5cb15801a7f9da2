use std::env;

use axum_oten::config::{ConfigBuilder, ConfigError, Key, Origin};

use crate::{cli, demo, failure::Failure, serve};

/// The one setting that says nothing about the site: a demo listens somewhere, too.
const LISTEN: &str = "listen";

/// Runs the site if the environment says anything about one, and else the demo: what a container
/// does that is told nothing.
pub(crate) async fn run() -> Result<(), Failure> {
    if is_site(&ConfigBuilder::from_env()) {
        serve::run(cli::Serve::default()).await
    } else {
        demo::run(cli::Demo::default()).await
    }
}

/// Whether the environment says anything about a site. The demo lets everybody in, so half a
/// configuration, or a misspelt one, is a site's: it is refused, with what is missing.
fn is_site(environment: &ConfigBuilder) -> bool {
    let mut settings = Key::all().iter().filter(|key| key.name() != LISTEN);
    settings.any(|key| environment.is_set(key.name()))
        || has_unknown_variable(environment)
        || has_empty_variable()
}

/// A setting that is set to nothing counts as unset. But whoever wrote it down means a site, perhaps
/// one whose secrets did not arrive.
fn has_empty_variable() -> bool {
    let is_setting = |name: &str| {
        let name = name.strip_prefix("OTEN_");
        name.is_some_and(|name| !name.eq_ignore_ascii_case(LISTEN))
    };
    env::vars_os().any(|(name, value)| value.is_empty() && name.to_str().is_some_and(is_setting))
}

fn has_unknown_variable(environment: &ConfigBuilder) -> bool {
    let error = environment.clone().build().err();
    let mut problems = error.iter().flat_map(ConfigError::problems);
    problems
        .any(|problem| problem.key() != LISTEN && matches!(problem.origin(), Origin::Variable(_)))
}
