use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{
    Deviation,
    core::{Client, Core},
    grant::{AccessToken, Grant},
    id_token::id_token,
    keys::base64url,
};
use crate::secret::random_bytes;

/// The fields of a successful token answer (RFC 6749 section 5.1), with fresh tokens in them.
pub(super) fn issue(
    core: &Core,
    client: &Client,
    grant: &Arc<Grant>,
    scope: &str,
    is_refresh: bool,
) -> Value {
    let now = core.now();
    let settings = &core.settings;
    let mut guard = core.state();
    let state = &mut *guard;

    let token = AccessToken {
        grant: Arc::clone(grant),
        scope: scope.to_owned(),
        issued_at: now,
        expires_at: now.saturating_add(settings.access_token_lifetime),
    };
    let header = json!({
        "alg": settings.algorithm_name,
        "typ": "at+jwt",
        "kid": state.key.key_id,
    });
    let access_token = state.key.sign(&header, &access_token_claims(core, &token));
    let id_token = (!is_refresh || settings.refresh.id_token)
        .then(|| id_token(core, state, client, grant, &access_token, is_refresh))
        .flatten();
    state.grants.add_access_token(access_token.clone(), token);

    let mut answer = Map::new();
    answer.insert("access_token".into(), json!(access_token));
    answer.insert("token_type".into(), json!("Bearer"));
    answer.insert("expires_in".into(), json!(settings.access_token_lifetime));
    answer.insert("scope".into(), json!(scope));
    answer.extend(id_token.map(|token| ("id_token".to_owned(), json!(token))));
    if settings.refresh.tokens && (!is_refresh || settings.refresh.rotate) {
        let expires_at = now.saturating_add(settings.refresh_token_lifetime);
        let token = state.grants.new_refresh_token(grant, expires_at, now);
        answer.insert("refresh_token".into(), json!(token));
    }
    for lie in &state.lies {
        match lie {
            Deviation::TokenField(name, value) => answer.insert((*name).to_owned(), value.clone()),
            Deviation::WithoutTokenField(name) => answer.remove(*name),
            _ => None,
        };
    }
    Value::Object(answer)
}

/// The claims of RFC 9068 section 2.2.
fn access_token_claims(core: &Core, token: &AccessToken) -> Value {
    json!({
        "iss": core.issuer,
        "sub": token.grant.user.sub,
        "aud": token.grant.client_id,
        "client_id": token.grant.client_id,
        "iat": token.issued_at,
        "exp": token.expires_at,
        "jti": base64url(*random_bytes::<16>()),
        "scope": token.scope,
    })
}
