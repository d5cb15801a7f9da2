use std::sync::Arc;

use axum::{extract::State, response::Response};
use serde_json::json;

use super::response::cacheable_json;
use crate::emulator::{
    faults::{Deviation, Endpoint},
    keys::ProviderKey,
    state::{Core, Extension},
};

/// The discovery document (OpenID Connect Discovery section 4), with the fields that Oten documents.
pub(super) async fn discovery(core: State<Arc<Core>>) -> Response {
    let mut document = json!({
        "issuer": core.issuer,
        "authorization_endpoint": core.url(Endpoint::Authorization),
        "token_endpoint": core.url(Endpoint::Token),
        "jwks_uri": core.url(Endpoint::Jwks),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [core.settings.algorithm_name],
        "scopes_supported": ["openid", "profile", "email"],
        "token_endpoint_auth_methods_supported": ["client_secret_post"],
        "claims_supported": ["sub", "name", "email"],
        "code_challenge_methods_supported": ["S256", "plain"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
    });
    for extension in &core.settings.extensions {
        match extension {
            Extension::IssuerInCapitals => {}
            Extension::Userinfo => {
                document["userinfo_endpoint"] = json!(core.url(Endpoint::Userinfo));
            }
            Extension::Iss => {
                document["authorization_response_iss_parameter_supported"] = json!(true);
            }
            Extension::EndSession => {
                document["end_session_endpoint"] = json!(core.url(Endpoint::EndSession));
            }
            Extension::Revocation => {
                document["revocation_endpoint"] = json!(core.url(Endpoint::Revocation));
                document["revocation_endpoint_auth_methods_supported"] =
                    json!(["client_secret_post"]);
            }
            Extension::BackChannelLogout => {
                document["claims_supported"] = json!(["sub", "name", "email", "sid"]);
                document["backchannel_logout_supported"] = json!(true);
                document["backchannel_logout_session_supported"] = json!(true);
            }
        }
    }
    if let (Some(preset), Some(document)) = (core.settings.preset, document.as_object_mut()) {
        preset.change_metadata(document);
    }
    for deviation in &core.state().deviations {
        match deviation {
            Deviation::IssuerMismatch => {
                document["issuer"] = json!("https://another-issuer.example");
            }
            Deviation::InsecureEndpoints => {
                for (name, endpoint) in [
                    ("authorization_endpoint", Endpoint::Authorization),
                    ("token_endpoint", Endpoint::Token),
                    ("jwks_uri", Endpoint::Jwks),
                ] {
                    let url = format!("http://insecure.example{}", core.path_of(endpoint));
                    document[name] = json!(url);
                }
            }
            Deviation::DiscoveryField(name, value) => document[*name] = value.clone(),
            Deviation::WithoutDiscoveryField(name) => {
                document
                    .as_object_mut()
                    .and_then(|document| document.remove(*name));
            }
            _ => {}
        }
    }
    cacheable_json(&document)
}

/// The JWK set with the public key (RFC 7517 section 5).
pub(super) async fn jwks(core: State<Arc<Core>>) -> Response {
    let state = core.state();
    let mut key = state.key.public_jwk(core.settings.algorithm_name);
    let preset = core.settings.preset;
    let foreign = preset.and_then(|preset| preset.change_key(&mut key));
    let mut keys: Vec<_> = foreign.into_iter().chain([key]).collect();
    for deviation in &state.deviations {
        match deviation {
            Deviation::NoKeys => keys.clear(),
            Deviation::ForeignKeys(count) => {
                let foreign = json!({ "kty": "RSA", "n": "AQAB", "e": "AQAB" });
                keys.splice(..0, vec![foreign; *count]);
            }
            Deviation::KeyPerAlgorithmName => {
                keys = ["EdDSA", "Ed25519"]
                    .map(|name| state.key.public_jwk(name))
                    .into();
            }
            Deviation::SharedKeyId => {
                let other = ProviderKey::generate(core.settings.algorithm);
                let mut other = other.public_jwk(core.settings.algorithm_name);
                other["kid"] = json!(state.key.key_id);
                keys.push(other);
            }
            _ => {}
        }
    }
    cacheable_json(&json!({ "keys": keys }))
}
