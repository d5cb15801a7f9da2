use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{
    Extension,
    body::Bytes,
    extract::{ConnectInfo, State},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, StatusCode, header};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::response::{OAuthError, json_response, limited};
use crate::{
    emulator::{
        client::RegisteredClient,
        faults::{Deviation, Endpoint},
        messages::Form,
        state::{Core, grant::Grant},
        tokens::{access_token_claims, issue, signed_userinfo},
    },
    secret::Secret,
};

/// The token endpoint (RFC 6749 section 3.2).
pub(super) async fn token(
    core: State<Arc<Core>>,
    peer: Option<Extension<ConnectInfo<SocketAddr>>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, OAuthError> {
    let form = read_form(&headers, &body)?;
    let caller = find_client(&core, &headers, &form)?;
    let client = caller.client;
    if let Some(limited) = limited(&core, Endpoint::Token, client.id()) {
        return Ok(limited);
    }
    let grant_type = form.get("grant_type");
    // The client's type is checked before its credentials.
    match grant_type {
        Some("client_credentials") if client.is_public() => {
            let description = "client_credentials requires a confidential client";
            return Err(OAuthError::new("unauthorized_client", description));
        }
        Some("authorization_code" | "refresh_token" | "client_credentials") => {}
        Some(_) => {
            let description =
                "grant_type must be authorization_code, refresh_token or client_credentials";
            return Err(OAuthError::new("unsupported_grant_type", description));
        }
        None => return Err(OAuthError::new("invalid_request", "grant_type is missing")),
    }
    authenticate(&caller)?;
    check_address(client, peer.map(|Extension(ConnectInfo(peer))| peer.ip()))?;
    let response = match grant_type {
        Some("refresh_token") => refresh(&core, client, &form)?,
        Some("client_credentials") => {
            let scope = form.get("scope").unwrap_or_default();
            let grant = Grant::to_client(client.id(), scope, core.now());
            issue(&core, &grant, scope, false)
        }
        _ => redeem_code(&core, client, &form)?,
    };
    Ok(json_response(StatusCode::OK, &response))
}

fn redeem_code(core: &Core, client: &RegisteredClient, form: &Form) -> Result<Value, OAuthError> {
    let given = required(form, "code")?;
    let redirect_uri = form.get("redirect_uri");
    let verifier = form.get("code_verifier");
    let grant = core
        .state()
        .grants
        .redeem(given, client.id(), redirect_uri, verifier)
        .map_err(invalid_grant)?;
    Ok(issue(core, &grant, &grant.scope, false))
}

fn refresh(core: &Core, client: &RegisteredClient, form: &Form) -> Result<Value, OAuthError> {
    let token = required(form, "refresh_token")?;
    let grant = {
        let state = &mut *core.state();
        let grant = state.grants.refresh(token, client.id());
        let grant = grant.map_err(invalid_grant)?;
        if !grant.user.is_some_and(|user| state.is_enabled(user)) {
            return Err(invalid_grant("Invalid refresh token: the user is disabled"));
        }
        let is_granted = |value: &str| grant.scope.split(' ').any(|granted| granted == value);
        let scope = form.get("scope").unwrap_or(&grant.scope);
        if !scope.split(' ').all(is_granted) {
            let description = "scope must not exceed the granted scope";
            return Err(OAuthError::new("invalid_scope", description));
        }
        if core.settings.rotation {
            state.grants.use_refresh_token(token);
        }
        grant
    };
    let scope = form.get("scope").unwrap_or(&grant.scope);
    Ok(issue(core, &grant, scope, true))
}

/// The revocation endpoint (RFC 7009). It ignores `token_type_hint` and looks for tokens of both
/// types.
pub(super) async fn revoke(
    core: State<Arc<Core>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, OAuthError> {
    let form = read_form(&headers, &body)?;
    let caller = find_client(&core, &headers, &form)?;
    let client = caller.client;
    authenticate(&caller)?;
    let token = required(&form, "token")?;
    let revoked = core.state().grants.revoke(token, client.id());
    revoked.map_err(invalid_grant)?;
    Ok((StatusCode::OK, [(header::CACHE_CONTROL, "no-store")]).into_response())
}

/// The token validation endpoint. Oten has not published its contract, so this one follows RFC 7662
/// and responds with 401 to an invalid token.
pub(super) async fn validate(
    core: State<Arc<Core>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, OAuthError> {
    let form = read_form(&headers, &body)?;
    let caller = find_client(&core, &headers, &form)?;
    let client = caller.client;
    if let Some(limited) = limited(&core, Endpoint::Validation, client.id()) {
        return Ok(limited);
    }
    authenticate(&caller)?;
    let jwt = required(&form, "token")?;
    let state = core.state();
    let Some(token) = state.access_token(jwt) else {
        let body = json!({ "active": false });
        return Ok(json_response(StatusCode::UNAUTHORIZED, &body));
    };
    let mut body = access_token_claims(&core, token);
    body.insert("active".into(), json!(true));
    body.insert("token_type".into(), json!("Bearer"));
    Ok(json_response(StatusCode::OK, &Value::Object(body)))
}

/// The userinfo endpoint (OpenID Connect Core section 5.3). It accepts the token only in the header
/// (RFC 6750 section 2.1).
pub(super) async fn userinfo(core: State<Arc<Core>>, headers: HeaderMap) -> Response {
    let Some(token) = bearer(&headers) else {
        return unauthorized(r#"Bearer realm="oten""#);
    };
    if let Some(limited) = limited(&core, Endpoint::Userinfo, token) {
        return limited;
    }
    let state = core.state();
    let token = state.access_token(token);
    let user = token.and_then(|token| Some((token, token.grant.user?)));
    let Some((token, user)) = user else {
        return unauthorized(r#"Bearer realm="oten", error="invalid_token""#);
    };
    let mut claims = user.claims(&token.scope);
    for deviation in &state.deviations {
        if let Deviation::UserinfoClaim(name, value) = deviation {
            claims.insert((*name).to_owned(), value.clone());
        }
    }
    if core.settings.signed_userinfo {
        let jwt = signed_userinfo(&core, &state, &token.grant.client_id, claims);
        return ([(header::CONTENT_TYPE, "application/jwt")], jwt).into_response();
    }
    for deviation in &state.deviations {
        if let Deviation::WithoutUserinfoClaim(name) = deviation {
            claims.remove(*name);
        }
    }
    json_response(StatusCode::OK, &Value::Object(claims))
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("Bearer").then_some(token)
}

fn unauthorized(challenge: &'static str) -> Response {
    let headers = [(header::WWW_AUTHENTICATE, challenge)];
    (StatusCode::UNAUTHORIZED, headers).into_response()
}

fn read_form(headers: &HeaderMap, body: &[u8]) -> Result<Form, OAuthError> {
    Form::from_body(headers, body)
        .map_err(|description| OAuthError::new("invalid_request", description))
}

/// A client and the secret that it sends, which is not checked yet.
struct Caller<'a> {
    client: &'a RegisteredClient,
    secret: Option<Secret>,
}

fn find_client<'a>(
    core: &'a Core,
    headers: &HeaderMap,
    form: &Form,
) -> Result<Caller<'a>, OAuthError> {
    let header = headers.get(header::AUTHORIZATION);
    let basic = header.and_then(|header| basic_credentials(header.to_str().ok()?));
    let id = match &basic {
        Some((id, _)) => Some(id.as_str()),
        None => form.get("client_id"),
    };
    let client = id.and_then(|id| core.clients.get(id));
    let uses_basic = client.is_some_and(|client| client.registration.uses_basic);
    let description = match (header, basic, client) {
        (Some(_), Some((_, secret)), Some(client)) if uses_basic => {
            if form.get("client_secret").is_none() {
                let secret = Some(secret.into());
                return Ok(Caller { client, secret });
            }
            "Send the client's credentials once, in Authorization"
        }
        (None, _, Some(_)) if uses_basic => {
            "Send client_id and client_secret in Authorization, not in the form"
        }
        (Some(_), ..) => "Send client_id and client_secret in the form, not in Authorization",
        (None, _, Some(client)) => {
            let secret = form.get("client_secret").map(Secret::from);
            return Ok(Caller { client, secret });
        }
        (None, _, None) => "client_id is not registered",
    };
    Err(OAuthError::new("invalid_client", description))
}

/// Returns the ID and the secret of `Authorization: Basic` (RFC 7617), both of which are in the encoding of
/// a form (RFC 6749 section 2.3.1).
fn basic_credentials(header: &str) -> Option<(String, String)> {
    let (scheme, credentials) = header.split_once(' ')?;
    let decoded = STANDARD.decode(credentials).ok()?;
    let decoded = String::from_utf8(decoded).ok()?;
    let (id, secret) = decoded.split_once(':')?;
    let decode = |text: &str| {
        let text = text.replace('+', " ");
        let text = percent_decode_str(&text).decode_utf8().ok()?;
        Some(text.into_owned())
    };
    let is_basic = scheme.eq_ignore_ascii_case("Basic");
    is_basic.then_some((decode(id)?, decode(secret)?))
}

/// Checks the client's list of allowed addresses.
fn check_address(client: &RegisteredClient, address: Option<IpAddr>) -> Result<(), OAuthError> {
    let allowed = &client.registration.allowed_addresses;
    if allowed.is_empty() || address.is_some_and(|address| allowed.contains(&address)) {
        return Ok(());
    }
    let description = "The address is not on the client's list of allowed addresses";
    Err(OAuthError::new("invalid_client", description))
}

/// Checks the secret of a confidential client, and that a public client sends none.
fn authenticate(caller: &Caller<'_>) -> Result<(), OAuthError> {
    let description = match (&caller.client.registration.secret, &caller.secret) {
        (None, None) => return Ok(()),
        (Some(secret), Some(sent)) if secret == sent => return Ok(()),
        (Some(_), Some(_)) => "client_secret is wrong",
        (Some(_), None) => "client_secret is missing",
        (None, Some(_)) => "client_secret was sent for a public client: leave it out",
    };
    Err(OAuthError::new("invalid_client", description))
}

fn required<'a>(form: &'a Form, name: &str) -> Result<&'a str, OAuthError> {
    form.get(name)
        .ok_or_else(|| OAuthError::new("invalid_request", format!("{name} is missing")))
}

fn invalid_grant(description: &str) -> OAuthError {
    OAuthError::new("invalid_grant", description)
}
