use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::support::*;
use crate::{
    emulator::{Deviation, EmulatorBuilder},
    jose::{Algorithm, CompactJws, JoseError, JwkSet},
};

async fn keys(provider: &TestProvider) -> JwkSet {
    let document = text_body(provider.get("/.well-known/jwks.json").await).await;
    JwkSet::from_json(document.as_bytes()).unwrap()
}

async fn discovery(provider: &TestProvider) -> Value {
    json_body(provider.get("/.well-known/openid-configuration").await).await
}

/// Verifies an ID token with this deviation by the crate's own verifier.
async fn verify(provider: &TestProvider, deviation: Deviation) -> Result<Value, JoseError> {
    provider.emulator.clear_deviations();
    provider.emulator.deviate(deviation);
    let answer = provider.tokens().await;
    let keys = keys(provider).await;
    let jws = CompactJws::parse(answer["id_token"].as_str().unwrap())?;
    let algorithm = jws.algorithm(&[Algorithm::EdDsa])?;
    let key = keys
        .find(jws.key_id(), algorithm)
        .ok_or(JoseError::Key("unknown"))?;
    jws.verify::<Value>(key, &[Algorithm::EdDsa])
        .map(crate::jose::Verified::into_claims)
}

#[tokio::test]
async fn deviates_in_signatures() {
    let provider = provider();
    for (deviation, error) in [
        (Deviation::BadSignature, JoseError::BadSignature),
        (Deviation::AlgNone, JoseError::Unsigned),
        (
            Deviation::Hs256WithClientSecret,
            JoseError::AlgorithmNotAllowed,
        ),
        (
            Deviation::Hs256WithPublicKey,
            JoseError::AlgorithmNotAllowed,
        ),
        (Deviation::UnknownKey, JoseError::Key("unknown")),
        (Deviation::EmbeddedKey, JoseError::HeaderNotAllowed("jwk")),
        (
            Deviation::Header("crit", json!(["exp"])),
            JoseError::HeaderNotAllowed("crit"),
        ),
        (
            Deviation::Header("jku", json!("https://x.example")),
            JoseError::HeaderNotAllowed("jku"),
        ),
        (
            Deviation::Header("x5u", json!("https://x.example")),
            JoseError::HeaderNotAllowed("x5u"),
        ),
        (Deviation::NoKeys, JoseError::Key("unknown")),
    ] {
        assert_eq!(
            verify(&provider, deviation.clone()).await,
            Err(error),
            "{deviation:?}"
        );
    }
    assert!(
        verify(&provider, Deviation::NoKeyId).await.is_ok(),
        "a token without `kid` uses the only key"
    );
}

#[tokio::test]
async fn signs_hs256_with_the_client_secret() {
    let provider = provider();
    provider.emulator.deviate(Deviation::Hs256WithClientSecret);
    let answer = provider.tokens().await;
    let key = crate::jose::VerifyingKey::hs256(&SECRET.into());
    let token = CompactJws::parse(answer["id_token"].as_str().unwrap()).unwrap();
    assert!(token.verify::<Value>(&key, &[Algorithm::Hs256]).is_ok());
}

#[tokio::test]
async fn signs_deviating_claims() {
    let provider = provider();
    let claims = verify(&provider, Deviation::Claim("aud", json!("other")))
        .await
        .unwrap();
    assert_eq!(claims["aud"], "other");
    let claims = verify(&provider, Deviation::WithoutClaim("nonce"))
        .await
        .unwrap();
    assert_eq!(claims.get("nonce"), None);

    provider
        .emulator
        .deviate(Deviation::Claim("sub", json!("mallory")));
    let two = provider.tokens().await;
    let payload = two["id_token"].as_str().unwrap().split('.').nth(1).unwrap();
    let payload = BASE64_URL_SAFE_NO_PAD.decode(payload).unwrap();
    let claims: Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(
        (claims.get("nonce"), &claims["sub"]),
        (None, &json!("mallory"))
    );
}

#[tokio::test]
async fn deviates_in_token_and_userinfo_responses() {
    let provider = provider();
    provider
        .emulator
        .deviate(Deviation::TokenField("token_type", json!("mac")));
    provider
        .emulator
        .deviate(Deviation::WithoutTokenField("expires_in"));
    provider.emulator.deviate(Deviation::AccessTokenAsIdToken);
    provider
        .emulator
        .deviate(Deviation::UserinfoClaim("sub", json!("mallory")));
    let answer = provider.tokens().await;
    assert_eq!(answer["token_type"], "mac");
    assert_eq!(answer.get("expires_in"), None);
    assert_eq!(answer["id_token"], answer["access_token"]);
    let access = answer["access_token"].as_str().unwrap();
    assert_eq!(
        json_body(provider.userinfo(access).await).await["sub"],
        "mallory"
    );

    provider.emulator.clear_deviations();
    provider.emulator.deviate(Deviation::NoIdToken);
    assert_eq!(provider.tokens().await.get("id_token"), None);
}

#[test]
fn deviates_in_callbacks() {
    let provider = provider_with(EmulatorBuilder::advertise_iss);
    let emulator = &provider.emulator;
    emulator.deviate(Deviation::CallbackParameter("state", "changed"));
    emulator.deviate(Deviation::WithoutCallbackParameter("iss"));
    let callbacks = [
        emulator.approve(provider.valid_url(), "alice").unwrap(),
        emulator.deny(provider.valid_url()).unwrap(),
    ];
    for callback in callbacks {
        assert_eq!(query_value(&callback, "state").unwrap(), "changed");
        assert_eq!(query_value(&callback, "iss"), None);
    }
}

#[tokio::test]
async fn publishes_only_the_documented_discovery_fields() {
    let provider = provider();
    let issuer = provider.emulator.issuer();
    assert_eq!(
        discovery(&provider).await,
        json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{issuer}/v1/oauth/authorize"),
            "token_endpoint": format!("{issuer}/v1/oauth/token"),
            "jwks_uri": format!("{issuer}/.well-known/jwks.json"),
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["EdDSA"],
            "scopes_supported": ["openid", "profile", "email"],
            "token_endpoint_auth_methods_supported": ["client_secret_post"],
            "claims_supported": ["sub", "name", "email"],
            "code_challenge_methods_supported": ["S256", "plain"],
            "grant_types_supported": ["authorization_code", "refresh_token"],
        })
    );
}

#[tokio::test]
async fn deviates_in_discovery() {
    let provider = provider_with(EmulatorBuilder::advertise_iss);
    assert_eq!(
        discovery(&provider).await["authorization_response_iss_parameter_supported"],
        true
    );
    provider.emulator.deviate(Deviation::IssuerMismatch);
    provider.emulator.deviate(Deviation::InsecureEndpoints);
    provider
        .emulator
        .deviate(Deviation::DiscoveryField("jwks_uri", json!(7)));
    provider
        .emulator
        .deviate(Deviation::WithoutDiscoveryField("scopes_supported"));
    let document = discovery(&provider).await;
    assert_ne!(document["issuer"], provider.emulator.issuer());
    assert_eq!(
        document["token_endpoint"],
        "http://insecure.example/v1/oauth/token"
    );
    assert_eq!(document["jwks_uri"], 7);
    assert_eq!(document.get("scopes_supported"), None);
    provider.emulator.clear_deviations();
    assert_eq!(
        discovery(&provider).await["issuer"],
        provider.emulator.issuer()
    );
}

#[tokio::test]
async fn deviates_in_key_sets() {
    let provider = provider();
    let get = async |deviation| {
        provider.emulator.clear_deviations();
        provider.emulator.deviate(deviation);
        text_body(provider.get("/.well-known/jwks.json").await).await
    };
    let types = |document: &str, member: &str| {
        let document: Value = serde_json::from_str(document).unwrap();
        let keys = document["keys"].as_array().unwrap().clone();
        keys.into_iter()
            .map(|mut key| key[member].take())
            .collect::<Vec<_>>()
    };
    let foreign = get(Deviation::ForeignKeys(2)).await;
    assert_eq!(types(&foreign, "kty"), ["RSA", "RSA", "OKP"]);
    let repeated = get(Deviation::KeyPerAlgorithmName).await;
    assert_eq!(types(&repeated, "alg"), ["EdDSA", "Ed25519"]);
    let shared = types(&get(Deviation::SharedKeyId).await, "kid");
    assert_eq!(shared[0], shared[1]);
    let marked = get(Deviation::ByteOrderMark).await;
    assert!(marked.starts_with("\u{feff}{"), "{marked}");
}

#[tokio::test]
async fn spells_the_issuer_in_capitals() {
    let provider = provider_with(EmulatorBuilder::issuer_in_capitals);
    let issuer = provider.emulator.issuer();
    let document = discovery(&provider).await;
    assert!(issuer.starts_with("HTTP://"), "{issuer}");
    assert_eq!(document["issuer"], issuer);
    let lower_case = issuer.to_ascii_lowercase();
    let endpoint = document["token_endpoint"].as_str().unwrap();
    assert!(endpoint.starts_with(&lower_case), "{endpoint}");
}

#[tokio::test]
async fn publishes_only_the_rotated_key() {
    let provider = provider();
    let before = keys(&provider).await;
    provider.emulator.rotate_keys();
    let after = keys(&provider).await;
    assert_eq!(after.keys().len(), 1);
    assert_ne!(before.keys()[0].key_id(), after.keys()[0].key_id());
    let answer = provider.tokens().await;
    let token = CompactJws::parse(answer["id_token"].as_str().unwrap()).unwrap();
    assert_eq!(token.key_id(), after.keys()[0].key_id());
}

#[tokio::test]
async fn uses_the_rfc9864_algorithm_name() {
    let provider = provider_with(EmulatorBuilder::rfc9864_algorithm_name);
    let algorithms = &discovery(&provider).await["id_token_signing_alg_values_supported"];
    assert_eq!(algorithms, &json!(["Ed25519"]));
    let keys = json_body(provider.get("/.well-known/jwks.json").await).await;
    assert_eq!(keys["keys"][0]["alg"], "Ed25519");
    assert!(
        verify(&provider, Deviation::UserinfoClaim("x", json!(1)))
            .await
            .is_ok()
    );
}
