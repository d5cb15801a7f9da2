use std::env;

use axum_oten::config::{ConfigBuilder, ConfigError, Key, Origin};

use super::{
    demo::{self, DemoArgs},
    serve::{self, ServeArgs},
};
use crate::error::Error;

/// The one setting that the demo uses, too.
const LISTEN: &str = "listen";

/// Runs the site if the environment configures one, otherwise the demo.
pub(crate) async fn run() -> Result<(), Error> {
    if configures_site(&ConfigBuilder::from_env()) {
        serve::run(ServeArgs::default()).await
    } else {
        demo::run(DemoArgs::default()).await
    }
}

/// Whether a variable of the environment is meant for a site. An incomplete or misspelled
/// configuration counts: it must fail, because the demo would let every visitor sign in.
fn configures_site(environment: &ConfigBuilder) -> bool {
    Key::all()
        .iter()
        .any(|key| key.name() != LISTEN && environment.is_set(key.name()))
        || has_unknown_variable(environment)
        || has_empty_variable()
}

/// An empty variable counts as unset, but may stand for a secret that was not delivered.
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
