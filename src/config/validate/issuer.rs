use url::Url;

use super::{validator::Validator, value::choice, web_url};
use crate::config::{
    Environment, Issuer, keys,
    problem::{Invalid, invalid},
};

/// Validates the issuer, and decides whether production's rules apply.
pub(super) fn validate(validator: &mut Validator<'_>) -> Option<Issuer> {
    let raw = validator.raw;
    let are_set = (raw.is_set(&keys::ENVIRONMENT), raw.is_set(&keys::ISSUER));
    match are_set {
        (false, false) => validator.problem(
            &keys::ENVIRONMENT,
            "is missing, and so is `issuer`",
            "Set `environment` or OTEN_ENVIRONMENT to `sandbox` or `production`; or set `issuer` \
             or OTEN_ISSUER to the URL of another provider.",
        ),
        (true, true) => validator.problem(
            &keys::ISSUER,
            &format!(
                "is set in addition to `environment` ({})",
                raw.origin(&keys::ENVIRONMENT)
            ),
            "Remove one of the two: an environment has its own issuer.",
        ),
        _ => {}
    }
    let environment = validator.optional(&keys::ENVIRONMENT, |text| {
        choice(text, Environment::ALL.map(|known| (known.name(), known)))
    });
    let issuer = validator.optional(&keys::ISSUER, custom);
    validator.production = environment == Some(Environment::Production);
    let issuer = match environment {
        Some(environment) => Some(Issuer::Environment(environment)),
        None => issuer.map(Issuer::Custom),
    };
    // With both, no check sends the credentials of one provider to the other.
    let issuer = issuer.filter(|_| are_set != (true, true));
    validator.partial.issuer.clone_from(&issuer);
    issuer
}

fn custom(text: &str) -> Result<Url, Invalid> {
    let url = web_url::issuer(text)?;
    // As a custom issuer it would not be subject to production's rules.
    let own = Environment::ALL
        .into_iter()
        .find(|known| url.as_str().trim_end_matches('/') == known.issuer());
    match own {
        Some(known) => invalid(
            "is one of Oten's own environments",
            format!("Remove it, and set `environment` to `{known}`."),
        ),
        None => Ok(url),
    }
}
