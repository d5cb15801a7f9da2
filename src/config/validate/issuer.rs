use super::{
    refusal::{Refusal, refuse},
    url::provider_url,
    validator::{Validator, one_of},
};
use crate::config::{Environment, Issuer, keys};

pub(super) fn check(validator: &mut Validator<'_>) -> Option<Issuer> {
    let named = (
        validator.raw.is_set(&keys::ENVIRONMENT),
        validator.raw.is_set(&keys::ISSUER),
    );
    if named == (false, false) {
        return validator.refuse(
            &keys::ENVIRONMENT,
            "is missing, and so is `issuer`",
            "Set `environment` or OTEN_ENVIRONMENT to `sandbox` or `production`; or set `issuer` \
             or OTEN_ISSUER to the URL of another provider.",
        );
    }
    if named == (true, true) {
        let environment = validator.raw.origin(&keys::ENVIRONMENT);
        validator.refuse::<()>(
            &keys::ISSUER,
            format!("is set beside `environment` ({environment})"),
            "Keep one of the two: an environment has an issuer already.",
        );
    }
    // With a default for neither, at most one of the two is there from here on.
    let environment = validator.optional(&keys::ENVIRONMENT, environment);
    let issuer = validator.optional(&keys::ISSUER, issuer);
    validator.production = environment == Some(Environment::Production);
    environment
        .map(Issuer::Environment)
        .or_else(|| issuer.map(Issuer::Custom))
}

fn environment(text: &str) -> Result<Environment, Refusal> {
    let names = Environment::ALL.map(Environment::name);
    match Environment::ALL
        .into_iter()
        .find(|known| known.name() == text)
    {
        Some(environment) => Ok(environment),
        None => refuse(
            "is not one of Oten's environments",
            format!("Write {}.", one_of(&names)),
        ),
    }
}

fn issuer(text: &str) -> Result<::url::Url, Refusal> {
    let url = provider_url(text)?;
    // As a custom issuer it would escape the rules of production.
    match Environment::ALL
        .into_iter()
        .find(|known| url.as_str().trim_end_matches('/') == known.issuer())
    {
        Some(known) => refuse(
            "is one of Oten's own environments",
            format!("Remove it and set `environment` to `{known}`."),
        ),
        None => Ok(url),
    }
}
