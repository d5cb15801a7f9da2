//! The keys that ID tokens are checked with.

use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::{
    Finding,
    checks::KEY_SET,
    text::{count, no_answer, unfit_answer},
};
use crate::{
    http::{HttpClient, HttpRequest},
    jose::{Algorithm, JwkSet},
    metric::Endpoint,
};

const THEIRS: &str = "Check the issuer: without such a key nobody can sign in.";

pub(super) async fn check(http: HttpClient, jwks_uri: Url) -> Finding {
    match http
        .send(&HttpRequest::get(Endpoint::Jwks, &jwks_uri))
        .await
    {
        Err(error) => {
            let (message, help) = no_answer(&error);
            KEY_SET.failed(format!("{jwks_uri}: {message}"), help)
        }
        Ok(answer) if !answer.status.is_success() => {
            let (message, help) = unfit_answer(&answer);
            KEY_SET.failed(format!("{jwks_uri}: {message}"), help)
        }
        Ok(answer) => usable(answer.body()),
    }
}

fn usable(document: &[u8]) -> Finding {
    #[derive(Deserialize)]
    struct AllKeys {
        keys: Vec<Value>,
    }
    let (Ok(all), Ok(set)) = (
        serde_json::from_slice::<AllKeys>(document),
        JwkSet::from_json(document),
    ) else {
        return KEY_SET.failed("the answer is no JSON Web Key Set", THEIRS);
    };
    if all.keys.is_empty() {
        return KEY_SET.failed("the key set is empty", THEIRS);
    }
    if set.keys().is_empty() {
        let keys = count(all.keys.len(), "key");
        let message = format!("{keys}, none of them an Ed25519 signature key that can be used");
        return KEY_SET.failed(message, THEIRS);
    }
    // As a token's header asks for it.
    let found = |key_id| set.find(key_id, Algorithm::EdDsa).is_some();
    let keys = set.keys().iter();
    let named = keys
        .filter(|key| key.key_id().is_some() && found(key.key_id()))
        .count();
    match named {
        0 if found(None) => KEY_SET.warning(
            "the only Ed25519 key has no `kid`",
            "It works while it is the only one; the provider is to name it before it changes keys.",
        ),
        0 => KEY_SET.failed(
            "no Ed25519 key has a `kid` of its own, so none can be chosen",
            THEIRS,
        ),
        named => KEY_SET.passed(format!("{} with a `kid`", count(named, "Ed25519 key"))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{check::Status, jose::Ed25519KeyPair};

    #[test]
    fn each_set_has_its_verdict() {
        let jwk = |key_id: Option<&str>| {
            let mut jwk = Ed25519KeyPair::generate().public_jwk();
            match key_id {
                Some(key_id) => jwk["kid"] = json!(key_id),
                None => drop(jwk.as_object_mut().unwrap().remove("kid")),
            }
            jwk
        };
        let rsa = json!({"kty": "RSA", "kid": "a", "n": "AQAB", "e": "AQAB"});
        for (keys, status, words) in [
            (vec![jwk(Some("a"))], Status::Passed, "1 Ed25519 key with"),
            (
                vec![rsa.clone(), jwk(Some("a")), jwk(Some("b"))],
                Status::Passed,
                "2 Ed25519 keys",
            ),
            (vec![], Status::Failed, "empty"),
            (vec![rsa], Status::Failed, "none of them an Ed25519"),
            (vec![jwk(None)], Status::Warning, "no `kid`"),
            (
                vec![jwk(None), jwk(None)],
                Status::Failed,
                "none can be chosen",
            ),
            (
                vec![jwk(Some("a")), jwk(Some("a"))],
                Status::Failed,
                "none can be chosen",
            ),
        ] {
            let finding = usable(json!({ "keys": keys }).to_string().as_bytes());
            assert_eq!(finding.status, status, "{words}");
            assert!(finding.message.contains(words), "{}", finding.message);
        }
        assert_eq!(usable(b"<html>").status, Status::Failed);
    }
}
