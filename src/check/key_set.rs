//! Checks of the keys that ID tokens are verified with.

use std::collections::BTreeSet;

use serde::{Deserialize, de::IgnoredAny};
use url::Url;

use super::{
    finding::{Finding, KEY_SET},
    text::{count, no_response, unexpected_status},
};
use crate::{
    http::{HttpClient, HttpRequest},
    jose::{Algorithm, Jwk, JwkSet},
    json,
    metric::Endpoint,
};

const NO_USABLE_KEY_HELP: &str = "Check the issuer: without such a key users cannot sign in.";

pub(super) async fn check(http: HttpClient, jwks_uri: Url, algorithms: Vec<Algorithm>) -> Finding {
    let request = HttpRequest::get(Endpoint::Jwks, &jwks_uri);
    match http.send(&request).await {
        Err(error) => KEY_SET.failed_at(jwks_uri, no_response(&error)),
        Ok(response) if !response.status.is_success() => {
            KEY_SET.failed_at(jwks_uri, unexpected_status(&response))
        }
        Ok(response) => verdict(response.body(), &algorithms),
    }
}

fn verdict(document: &[u8], algorithms: &[Algorithm]) -> Finding {
    #[derive(Deserialize)]
    struct AllKeys {
        keys: Vec<IgnoredAny>,
    }
    let (Ok(all), Ok(set)) = (
        json::parse::<AllKeys>(document),
        JwkSet::for_algorithms(document, algorithms),
    ) else {
        return KEY_SET.failed("the response is not a JSON Web Key Set", NO_USABLE_KEY_HELP);
    };
    if all.keys.is_empty() {
        return KEY_SET.failed("the key set is empty", NO_USABLE_KEY_HELP);
    }
    let kind = if algorithms == [Algorithm::EdDsa] {
        "Ed25519 key".to_owned()
    } else {
        let names: Vec<_> = algorithms
            .iter()
            .map(|algorithm| algorithm.name())
            .collect();
        format!("{} key", names.join("/"))
    };
    if set.keys().is_empty() {
        let keys = count(all.keys.len(), "key");
        let message = format!("{keys}, none of them a usable {kind} for signatures");
        return KEY_SET.failed(message, NO_USABLE_KEY_HELP);
    }
    // Keys are looked up as for the header of an ID token.
    let is_found = |key_id| {
        let mut algorithms = algorithms.iter();
        algorithms.any(|algorithm| set.find(key_id, *algorithm).is_some())
    };
    let key_ids: BTreeSet<_> = set.keys().iter().filter_map(Jwk::key_id).collect();
    let named = key_ids.into_iter().filter(|key_id| is_found(Some(*key_id)));
    let named = named.count();
    match named {
        0 if is_found(None) => KEY_SET.warning(
            format!("the only {kind} has no `kid`"),
            "Report it to the provider: sign-ins fail as soon as it publishes a second key.",
        ),
        0 => KEY_SET.failed(
            format!("no {kind} has a unique `kid`, so none can be selected"),
            NO_USABLE_KEY_HELP,
        ),
        named => KEY_SET.passed(format!("{} with a `kid`", count(named, &kind))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{check::Status, jose::Ed25519KeyPair};

    #[test]
    fn key_sets_are_judged_by_their_ed25519_keys() {
        let jwk = |key_id: Option<&str>| {
            let mut jwk = Ed25519KeyPair::generate().public_jwk();
            match key_id {
                Some(key_id) => jwk["kid"] = json!(key_id),
                None => drop(jwk.as_object_mut().unwrap().remove("kid")),
            }
            jwk
        };
        let repeated = jwk(Some("a"));
        let rsa = json!({"kty": "RSA", "kid": "a", "n": "AQAB", "e": "AQAB"});
        for (keys, status, words) in [
            (vec![jwk(Some("a"))], Status::Passed, "1 Ed25519 key with"),
            (
                vec![rsa.clone(), jwk(Some("a")), jwk(Some("b"))],
                Status::Passed,
                "2 Ed25519 keys",
            ),
            (
                vec![repeated.clone(), repeated],
                Status::Passed,
                "1 Ed25519 key with",
            ),
            (vec![], Status::Failed, "empty"),
            (vec![rsa], Status::Failed, "none of them a usable Ed25519"),
            (vec![jwk(None)], Status::Warning, "no `kid`"),
            (
                vec![jwk(None), jwk(None)],
                Status::Failed,
                "none can be selected",
            ),
            (
                vec![jwk(Some("a")), jwk(Some("a"))],
                Status::Failed,
                "none can be selected",
            ),
        ] {
            let finding = verdict(
                json!({ "keys": keys }).to_string().as_bytes(),
                &[Algorithm::EdDsa],
            );
            assert_eq!(finding.status, status, "{words}");
            assert!(finding.message.contains(words), "{}", finding.message);
        }
        assert_eq!(
            verdict(b"<html>", &[Algorithm::EdDsa]).status,
            Status::Failed
        );
    }
}
