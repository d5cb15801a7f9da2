use std::sync::Arc;

use axum::{extract::State, response::Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};

use super::{
    Deviation,
    core::{Core, Extra},
    token::json_response,
};

/// The discovery document (OpenID Connect Discovery section 4): the fields Oten documents and no
/// others.
pub(super) async fn discovery(State(core): State<Arc<Core>>) -> Response {
    cacheable(&Value::Object(document(&core)))
}

/// The public keys (RFC 7517 section 5).
pub(super) async fn jwks(State(core): State<Arc<Core>>) -> Response {
    let state = core.state();
    let keys = if state.lies.contains(&Deviation::NoKeys) {
        Vec::new()
    } else {
        vec![state.key.public_jwk(core.settings.algorithm_name)]
    };
    cacheable(&json!({ "keys": keys }))
}

fn document(core: &Core) -> Map<String, Value> {
    let mut document = Map::new();
    let mut set = |name: &str, value: Value| document.insert(name.to_owned(), value);
    set("issuer", json!(core.issuer));
    set(
        "authorization_endpoint",
        json!(core.url("/v1/oauth/authorize")),
    );
    set("token_endpoint", json!(core.url("/v1/oauth/token")));
    set("jwks_uri", json!(core.url("/.well-known/jwks.json")));
    set("response_types_supported", json!(["code"]));
    set("subject_types_supported", json!(["public"]));
    let algorithms = json!([core.settings.algorithm_name]);
    set("id_token_signing_alg_values_supported", algorithms);
    set("scopes_supported", json!(["openid", "profile", "email"]));
    set(
        "token_endpoint_auth_methods_supported",
        json!(["client_secret_post"]),
    );
    let mut claims = vec!["sub", "name", "email"];
    if core.offers(Extra::BackChannelLogout) {
        claims.push("sid");
        set("backchannel_logout_supported", json!(true));
        set("backchannel_logout_session_supported", json!(true));
    }
    set("claims_supported", json!(claims));
    set("code_challenge_methods_supported", json!(["S256", "plain"]));
    set(
        "grant_types_supported",
        json!(["authorization_code", "refresh_token"]),
    );
    if core.offers(Extra::Iss) {
        set(
            "authorization_response_iss_parameter_supported",
            json!(true),
        );
    }
    if core.offers(Extra::EndSession) {
        set("end_session_endpoint", json!(core.url("/v1/oauth/logout")));
    }
    if core.offers(Extra::Revocation) {
        set("revocation_endpoint", json!(core.url("/v1/oauth/revoke")));
        set(
            "revocation_endpoint_auth_methods_supported",
            json!(["client_secret_post"]),
        );
    }
    for lie in &core.state().lies {
        tell(lie, &mut document);
    }
    document
}

fn tell(lie: &Deviation, document: &mut Map<String, Value>) {
    match lie {
        Deviation::IssuerMismatch => {
            document.insert("issuer".into(), json!("https://somebody-else.example"));
        }
        Deviation::InsecureEndpoints => {
            for (name, path) in [
                ("authorization_endpoint", "/v1/oauth/authorize"),
                ("token_endpoint", "/v1/oauth/token"),
                ("jwks_uri", "/.well-known/jwks.json"),
            ] {
                document.insert(name.into(), json!(format!("http://insecure.example{path}")));
            }
        }
        Deviation::DiscoveryField(name, value) => {
            document.insert((*name).to_owned(), value.clone());
        }
        Deviation::WithoutDiscoveryField(name) => {
            document.remove(*name);
        }
        _ => {}
    }
}

fn cacheable(body: &Value) -> Response {
    let mut response = json_response(StatusCode::OK, body);
    let public = HeaderValue::from_static("public, max-age=300");
    response.headers_mut().insert(header::CACHE_CONTROL, public);
    response
}
