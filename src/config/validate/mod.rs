//! The validation of the given values. It applies every rule once and collects every problem.

mod access;
mod api;
mod client;
mod file;
mod issuer;
mod jar_keys;
mod native_links;
mod network;
mod partial;
mod provider;
mod session;
mod sign_in;
mod site;
mod validator;
mod value;
mod web_url;

pub(crate) use self::partial::Partial;
pub(super) use self::{
    file::unreadable,
    value::{distinct_words, format_duration, one_of},
};

use super::{ApiConfig, Config, ConfigError, Problem, keys, raw::Raw};
use validator::Validator;

/// Returns the configuration, or every problem with it.
pub(super) fn validate(raw: &Raw) -> Result<Config, ConfigError> {
    let partial = examine(raw);
    partial
        .config
        .ok_or_else(|| ConfigError::new(partial.problems))
}

/// Returns the configuration of an API, or every problem with it.
pub(super) fn validate_api(raw: &Raw) -> Result<ApiConfig, ConfigError> {
    let mut validator = Validator::new(raw);
    let config = api_config(&mut validator);
    let Partial {
        problems, warnings, ..
    } = validator.partial;
    match config {
        Some(config) if problems.is_empty() => Ok(ApiConfig { warnings, ..config }),
        _ => Err(ConfigError::new(problems)),
    }
}

fn api_config(validator: &mut Validator<'_>) -> Option<ApiConfig> {
    let issuer = issuer::validate(validator);
    note_inline_secrets(validator);
    let client = api::client(validator);
    let algorithms = provider::algorithms(validator);
    let http = provider::network_path(validator, issuer.as_ref()).map(|(_, http)| http);
    let trusted_proxies = network::trusted_proxies(validator);
    let listen = network::listen(validator);
    let token_limit = provider::token_limit(validator, issuer.as_ref());
    let instances = validator.required(&keys::INSTANCES, value::count(1..=1_000));
    let settings = api::validate(validator, issuer.as_ref(), client.as_ref(), instances);
    Some(ApiConfig {
        issuer: issuer?,
        algorithms: algorithms?,
        client,
        http: http?,
        token_budget: token_limit
            .zip(instances)
            .map(|(limit, instances)| (limit / instances).max(1)),
        settings: settings?,
        trusted_proxies: trusted_proxies?,
        listen: listen?,
        warnings: Vec::new(),
    })
}

/// Returns the valid settings and every problem with the others.
pub(super) fn examine(raw: &Raw) -> Partial {
    let mut validator = Validator::new(raw);
    let config = config(&mut validator);
    let mut partial = validator.partial;
    if partial.problems.is_empty() {
        let warnings = partial.warnings.clone();
        partial.config = config.map(|config| Config { warnings, ..config });
    }
    partial
}

/// Whether production's rules apply.
pub(super) fn is_production(raw: &Raw) -> bool {
    let mut validator = Validator::new(raw);
    issuer::validate(&mut validator);
    validator.production
}

/// Applies every rule before it gives up on a missing or invalid value.
fn config(validator: &mut Validator<'_>) -> Option<Config> {
    // First, because it decides whether production's rules apply.
    let issuer = issuer::validate(validator);
    note_inline_secrets(validator);
    let client = client::validate(validator);
    let provider = provider::validate(validator, issuer.as_ref());
    let api = api::validate(
        validator,
        issuer.as_ref(),
        client.as_ref(),
        provider.as_ref().map(|provider| provider.instances),
    );
    let site = site::validate(validator);
    let sign_in = sign_in::validate(validator);
    let session = session::validate(validator);
    let access = access::validate(validator);
    let log_subjects = validator.required(&keys::LOG_SUBJECTS, value::flag);
    let network = network::validate(validator);
    Some(Config {
        issuer: issuer?,
        client: client?,
        provider: provider?,
        api: api?,
        site: site?,
        sign_in: sign_in?,
        session: session?,
        access: access?,
        log_subjects: log_subjects?,
        network: network?,
        warnings: Vec::new(),
    })
}

/// Reports secrets in a TOML file even if they are overridden. Such files get copied, shared and
/// committed.
fn note_inline_secrets(validator: &mut Validator<'_>) {
    for (key, origin) in &validator.raw.inline_secrets {
        let problem = Problem {
            key: key.name().to_owned(),
            origin: origin.clone(),
            message: "is a secret in plain text, in a file that gets copied and shared".to_owned(),
            help: format!(
                "Remove it from that file. Set {} instead, or set `{}` in that file to the path of \
                 a file that contains only the secret.",
                key.variable(),
                key.file_name().unwrap_or_default(),
            ),
        };
        if validator.production {
            validator.partial.problems.push(problem);
        } else {
            validator.partial.warnings.push(problem);
        }
    }
}
