use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::kit::*;
use crate::{
    emulator::{Deviation, EmulatorBuilder},
    jose::{Algorithm, CompactJws, JoseError, JwkSet},
};

async fn keys(kit: &Kit) -> JwkSet {
    let document = text_body(kit.get("/.well-known/jwks.json").await).await;
    JwkSet::from_json(document.as_bytes()).unwrap()
}

async fn discovery(kit: &Kit) -> Value {
    json_body(kit.get("/.well-known/openid-configuration").await).await
}

/// What our own verifier says to an ID token under this lie.
async fn verdict(kit: &Kit, lie: Deviation) -> Result<Value, JoseError> {
    kit.emulator.clear_deviations();
    kit.emulator.deviate(lie);
    let answer = kit.tokens().await;
    let keys = keys(kit).await;
    let jws = CompactJws::parse(answer["id_token"].as_str().unwrap())?;
    let algorithm = jws.algorithm(&[Algorithm::EdDsa])?;
    let key = keys
        .find(jws.key_id(), algorithm)
        .ok_or(JoseError::Key("unknown"))?;
    jws.verify::<Value>(key, &[Algorithm::EdDsa])
        .map(crate::jose::Verified::into_claims)
}

#[tokio::test]
async fn lies_about_signatures_are_told() {
    let kit = kit();
    for (lie, refusal) in [
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
        assert_eq!(verdict(&kit, lie.clone()).await, Err(refusal), "{lie:?}");
    }
    assert!(
        verdict(&kit, Deviation::NoKeyId).await.is_ok(),
        "the only key is meant"
    );
}

#[tokio::test]
async fn an_hs256_lie_holds_for_who_believes_it() {
    let kit = kit();
    kit.emulator.deviate(Deviation::Hs256WithClientSecret);
    let answer = kit.tokens().await;
    let key = crate::jose::VerifyingKey::hs256(&SECRET.into());
    let token = CompactJws::parse(answer["id_token"].as_str().unwrap()).unwrap();
    assert!(token.verify::<Value>(&key, &[Algorithm::Hs256]).is_ok());
}

#[tokio::test]
async fn lies_about_claims_are_signed() {
    let kit = kit();
    let claims = verdict(&kit, Deviation::Claim("aud", json!("other")))
        .await
        .unwrap();
    assert_eq!(claims["aud"], "other");
    let claims = verdict(&kit, Deviation::WithoutClaim("nonce"))
        .await
        .unwrap();
    assert_eq!(claims.get("nonce"), None);

    kit.emulator
        .deviate(Deviation::Claim("sub", json!("mallory")));
    let two = kit.tokens().await;
    let payload = two["id_token"].as_str().unwrap().split('.').nth(1).unwrap();
    let payload = BASE64_URL_SAFE_NO_PAD.decode(payload).unwrap();
    let claims: Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(
        (claims.get("nonce"), &claims["sub"]),
        (None, &json!("mallory"))
    );
}

#[tokio::test]
async fn lies_about_the_token_answer_are_told() {
    let kit = kit();
    kit.emulator
        .deviate(Deviation::TokenField("token_type", json!("mac")));
    kit.emulator
        .deviate(Deviation::WithoutTokenField("expires_in"));
    kit.emulator.deviate(Deviation::AccessTokenAsIdToken);
    kit.emulator
        .deviate(Deviation::UserinfoClaim("sub", json!("mallory")));
    let answer = kit.tokens().await;
    assert_eq!(answer["token_type"], "mac");
    assert_eq!(answer.get("expires_in"), None);
    assert_eq!(answer["id_token"], answer["access_token"]);
    let access = answer["access_token"].as_str().unwrap();
    assert_eq!(
        json_body(kit.userinfo(access).await).await["sub"],
        "mallory"
    );

    kit.emulator.clear_deviations();
    kit.emulator.deviate(Deviation::NoIdToken);
    assert_eq!(kit.tokens().await.get("id_token"), None);
}

#[tokio::test]
async fn the_discovery_document_has_the_documented_fields() {
    let kit = kit();
    let issuer = kit.emulator.issuer();
    assert_eq!(
        discovery(&kit).await,
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
async fn lies_about_discovery_are_told() {
    let kit = kit_with(EmulatorBuilder::advertise_iss);
    assert_eq!(
        discovery(&kit).await["authorization_response_iss_parameter_supported"],
        true
    );
    kit.emulator.deviate(Deviation::IssuerMismatch);
    kit.emulator.deviate(Deviation::InsecureEndpoints);
    kit.emulator
        .deviate(Deviation::DiscoveryField("jwks_uri", json!(7)));
    kit.emulator
        .deviate(Deviation::WithoutDiscoveryField("scopes_supported"));
    let document = discovery(&kit).await;
    assert_ne!(document["issuer"], kit.emulator.issuer());
    assert_eq!(
        document["token_endpoint"],
        "http://insecure.example/v1/oauth/token"
    );
    assert_eq!(document["jwks_uri"], 7);
    assert_eq!(document.get("scopes_supported"), None);
    kit.emulator.clear_deviations();
    assert_eq!(discovery(&kit).await["issuer"], kit.emulator.issuer());
}

#[tokio::test]
async fn a_rotated_key_is_the_only_one() {
    let kit = kit();
    let before = keys(&kit).await;
    kit.emulator.rotate_keys();
    let after = keys(&kit).await;
    assert_eq!(after.keys().len(), 1);
    assert_ne!(before.keys()[0].key_id(), after.keys()[0].key_id());
    let answer = kit.tokens().await;
    let token = CompactJws::parse(answer["id_token"].as_str().unwrap()).unwrap();
    assert_eq!(token.key_id(), after.keys()[0].key_id());
}

#[tokio::test]
async fn the_newer_algorithm_name_can_be_used() {
    let kit = kit_with(EmulatorBuilder::rfc9864_algorithm_name);
    let algorithms = &discovery(&kit).await["id_token_signing_alg_values_supported"];
    assert_eq!(algorithms, &json!(["Ed25519"]));
    let keys = json_body(kit.get("/.well-known/jwks.json").await).await;
    assert_eq!(keys["keys"][0]["alg"], "Ed25519");
    assert!(
        verdict(&kit, Deviation::UserinfoClaim("x", json!(1)))
            .await
            .is_ok()
    );
}
