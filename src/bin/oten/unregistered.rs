use axum_oten::{
    Config, Secret,
    config::{ConfigBuilder, ConfigError, Origin},
};

use crate::session_key;

/// The `client_id` while there is none.
const NO_CLIENT_ID: &str = "not-registered-yet";

/// The configuration of a client that may not be registered yet: for what registering gives, its id
/// and its secret, stand-ins are taken. Everything else is checked as ever.
///
/// It must not be used to talk to the provider as this client.
pub(crate) fn build(builder: ConfigBuilder) -> Result<Config, ConfigError> {
    let error = match builder.clone().build() {
        Ok(config) => return Ok(config),
        Err(error) => error,
    };
    // Only where nothing was said: what was said and is wrong stays wrong.
    let is_missing = |key| {
        let mut problems = error.problems().iter();
        problems.any(|problem| problem.key() == key && *problem.origin() == Origin::Missing)
    };
    let mut builder = builder;
    if is_missing("client_id") {
        builder = builder.client_id(NO_CLIENT_ID);
    }
    if is_missing("client_secret") {
        builder = builder.client_secret(Secret::random());
    }
    // Nothing is stored before the site runs, and then it is asked for.
    if error
        .problems()
        .iter()
        .any(|problem| problem.key() == "session_key")
    {
        builder = builder.session_key(session_key::generate());
    }
    builder.build()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(toml: &str) -> Vec<String> {
        let builder = ConfigBuilder::from_toml("test", toml).unwrap();
        let problems = |error: ConfigError| {
            let problems = error.problems().iter();
            problems.map(|problem| problem.key().to_owned()).collect()
        };
        build(builder).map_or_else(problems, |_| Vec::new())
    }

    const SITE: &str = "environment = 'production'\nredirect_uri = 'https://a.example/callback'\n";

    #[test]
    fn only_what_registering_gives_may_be_missing() {
        assert!(problems(SITE).is_empty());
        let outside = format!("{SITE}session_store = 'redis://h'");
        assert!(problems(&outside).is_empty());
        let not_made_yet = format!("{outside}\nsession_key_file = 'is-not-there.key'");
        assert!(problems(&not_made_yet).is_empty());
        assert!(problems(&format!("{SITE}client_type = 'public'")).is_empty());
        assert!(problems(&format!("{SITE}client_id = 'known'")).is_empty());
        assert_eq!(
            problems("environment = 'sandbox'"),
            ["redirect_uri"],
            "the stand-ins are not among the problems"
        );
        assert_eq!(problems(&format!("{SITE}jar = 'EdDSA'")), ["jar_key_file"]);
    }

    #[test]
    fn what_was_said_and_is_wrong_stays_wrong() {
        assert_eq!(problems(&format!("{SITE}client_id = 'a b'")), ["client_id"]);
        let short = format!("{SITE}client_secret = 'short'");
        assert!(problems(&short).contains(&"client_secret".to_owned()));
    }
}
