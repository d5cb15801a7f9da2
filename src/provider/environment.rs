//! The endpoints that Oten documents for each environment, for what discovery leaves out and for
//! the time while it cannot be reached.

use url::Url;

use crate::config::Environment;

pub(super) fn authorization_endpoint(environment: Environment) -> Url {
    endpoint(environment, "/v1/oauth/authorize")
}

pub(super) fn token_endpoint(environment: Environment) -> Url {
    endpoint(environment, "/v1/oauth/token")
}

pub(super) fn jwks_uri(environment: Environment) -> Url {
    endpoint(environment, "/.well-known/jwks.json")
}

pub(super) fn userinfo_endpoint(environment: Environment) -> Url {
    endpoint(environment, "/v1/userinfo")
}

pub(super) fn token_validation_endpoint(environment: Environment) -> Url {
    endpoint(environment, "/v1/token/validate")
}

fn endpoint(environment: Environment, path: &str) -> Url {
    let url = format!("{}{path}", environment.issuer());
    Url::parse(&url).expect("the table holds absolute URLs")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_endpoint_is_an_https_url() {
        for environment in Environment::ALL {
            for endpoint in [
                authorization_endpoint,
                token_endpoint,
                jwks_uri,
                userinfo_endpoint,
                token_validation_endpoint,
            ] {
                let url = endpoint(environment);
                assert_eq!(url.scheme(), "https");
                assert!(url.as_str().starts_with(environment.issuer()));
            }
        }
    }
}
