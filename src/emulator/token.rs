use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use super::{
    core::{Client, Core},
    form::Form,
    token_answer::issue,
};
use crate::secret::Secret;

/// An error code and which rule was broken.
pub(super) type TokenError = (&'static str, String);

/// The token endpoint (RFC 6749 section 3.2).
pub(super) async fn token(
    State(core): State<Arc<Core>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    match exchange(&core, &headers, &body) {
        Ok(answer) => json_response(StatusCode::OK, &answer),
        Err((error, description)) => error_response(error, &description),
    }
}

fn exchange(core: &Core, headers: &HeaderMap, body: &[u8]) -> Result<Value, TokenError> {
    let form = read_form(headers, body)?;
    let client = find_client(core, headers, &form)?;
    let is_public = client.registered.is_public();
    // The type of the client decides before its credentials do.
    match form.get("grant_type") {
        Some("authorization_code" | "refresh_token") => {}
        Some("client_credentials") if is_public => {
            return Err(error(
                "unauthorized_client",
                "Only confidential clients may do this",
            ));
        }
        Some(_) => {
            return Err(error(
                "unsupported_grant_type",
                "This grant is not supported",
            ));
        }
        None => return Err(error("invalid_request", "grant_type is missing")),
    }
    authenticate(client, &form)?;
    if form.get("grant_type") == Some("refresh_token") {
        refresh(core, client, &form)
    } else {
        redeem_code(core, client, &form)
    }
}

fn redeem_code(core: &Core, client: &Client, form: &Form) -> Result<Value, TokenError> {
    let given = required(form, "code")?;
    let redirect_uri = form.get("redirect_uri");
    let verifier = form.get("code_verifier");
    let id = &client.registered.id;
    let grant = core
        .state()
        .grants
        .redeem(given, id, redirect_uri, verifier, core.now())
        .map_err(|description| error("invalid_grant", description))?;
    Ok(issue(core, client, &grant, &grant.scope, false))
}

fn refresh(core: &Core, client: &Client, form: &Form) -> Result<Value, TokenError> {
    let token = required(form, "refresh_token")?;
    let now = core.now();
    let grant = {
        let state = &mut *core.state();
        let grant = state
            .grants
            .refresh(token, &client.registered.id, now)
            .map_err(|description| error("invalid_grant", description))?;
        if state.disabled_users.contains(grant.user.sub) {
            return Err(error("invalid_grant", "The person is disabled"));
        }
        let granted = |wanted: &str| grant.scope.split(' ').any(|scope| scope == wanted);
        if !form
            .get("scope")
            .is_none_or(|scope| scope.split(' ').all(granted))
        {
            return Err(error("invalid_scope", "The scope was not granted"));
        }
        if core.settings.refresh.rotate {
            state.grants.use_refresh_token(token, now);
        }
        grant
    };
    let scope = form.get("scope").unwrap_or(&grant.scope);
    Ok(issue(core, client, &grant, scope, true))
}

/// Reads a form; no other body is understood, and no parameter may appear twice (RFC 6749 section
/// 3.2).
pub(super) fn read_form(headers: &HeaderMap, body: &[u8]) -> Result<Form, TokenError> {
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let media_type = content_type.and_then(|value| value.split(';').next());
    if !media_type.is_some_and(|value| {
        value
            .trim()
            .eq_ignore_ascii_case("application/x-www-form-urlencoded")
    }) {
        return Err(error("invalid_request", "The body must be a form"));
    }
    Form::parse(body).map_err(|name| {
        let description = format!("The parameter {name} appears more than once");
        ("invalid_request", description)
    })
}

pub(super) fn find_client<'a>(
    core: &'a Core,
    headers: &HeaderMap,
    form: &Form,
) -> Result<&'a Client, TokenError> {
    if headers.contains_key(header::AUTHORIZATION) {
        return Err(error(
            "invalid_client",
            "Only client_secret_post is supported",
        ));
    }
    let client = form.get("client_id").and_then(|id| core.clients.get(id));
    client.ok_or_else(|| error("invalid_client", "The client is not registered"))
}

/// `client_secret_post` for confidential clients, no secret at all for public ones: whoever sends
/// one there has mixed up two clients.
pub(super) fn authenticate(client: &Client, form: &Form) -> Result<(), TokenError> {
    match (&client.registered.secret, form.get("client_secret")) {
        (None, None) => Ok(()),
        (Some(secret), Some(sent)) if *secret == Secret::from(sent) => Ok(()),
        (Some(_), _) => Err(error("invalid_client", "Client authentication failed")),
        (None, Some(_)) => Err(error("invalid_client", "A public client has no secret")),
    }
}

pub(super) fn required<'a>(form: &'a Form, name: &str) -> Result<&'a str, TokenError> {
    let missing = || ("invalid_request", format!("{name} is missing"));
    form.get(name).ok_or_else(missing)
}

/// An OAuth error as JSON (RFC 6749 section 5.2).
pub(super) fn error_response(error: &str, description: &str) -> Response {
    let status = match error {
        "invalid_client" => StatusCode::UNAUTHORIZED,
        "server_error" => StatusCode::INTERNAL_SERVER_ERROR,
        "temporarily_unavailable" => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::BAD_REQUEST,
    };
    let body = json!({ "error": error, "error_description": description });
    json_response(status, &body)
}

/// JSON that no cache keeps.
pub(super) fn json_response(status: StatusCode, body: &Value) -> Response {
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        ),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (status, headers, body.to_string()).into_response()
}

fn error(code: &'static str, description: &str) -> TokenError {
    (code, description.to_owned())
}
