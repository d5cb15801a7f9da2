use std::{net::SocketAddr, sync::Arc};

use axum::{
    Extension,
    extract::{ConnectInfo, RawQuery, State},
    response::Response,
};
use http::HeaderMap;

use super::{response::limited, sign_in};
use crate::emulator::{
    client::RegisteredClient,
    error::Rejection,
    faults::Endpoint,
    messages::{
        Form,
        authorization::{AuthorizationRequest, Callback},
        request_object,
    },
    state::Core,
};

/// Makes the authorization endpoint send this error to the callback.
#[derive(Clone, Copy)]
pub(super) struct PlannedError(pub(super) &'static str);

/// The authorization endpoint (RFC 6749 section 3.1). It redirects to a page of its own, because a
/// page can be reloaded, whereas a request object can be used only once.
pub(super) async fn authorize(
    core: State<Arc<Core>>,
    RawQuery(query): RawQuery,
    planned: Option<Extension<PlannedError>>,
    peer: Option<Extension<ConnectInfo<SocketAddr>>>,
    headers: HeaderMap,
) -> Response {
    let address = peer.map_or_else(String::new, |Extension(peer)| peer.ip().to_string());
    if let Some(limited) = limited(&core, Endpoint::Authorization, &address) {
        return limited;
    }
    let query = query.unwrap_or_default();
    let next = read_request(&core, &query).and_then(|request| {
        if let Some(Extension(PlannedError(error))) = planned {
            let description = "Planned fault of the emulator";
            return Err(request.callback.reject(error, description));
        }
        let session = sign_in::session(&core, &headers);
        sign_in::next_step(&core, request, session, false)
    });
    sign_in::respond(next)
}

/// Reads and validates an authorization request.
///
/// Nothing is redirected before the client and its redirect URI are known to be registered (RFC 6749
/// section 4.1.2.1). `state` comes only from where the client must put it.
pub(crate) fn read_request(core: &Core, query: &str) -> Result<AuthorizationRequest, Rejection> {
    let invalid = |description: &str| Rejection::page("invalid_request", description);
    let form = Form::parse(query.as_bytes()).map_err(|description| invalid(&description))?;
    let client = form
        .get("client_id")
        .and_then(|id| core.clients.get(id))
        .ok_or_else(|| invalid("client_id is not registered"))?;
    let request = form.get("request");
    let callback = match new_callback(core, client, &form) {
        // The request object names the redirect URI, so the query may omit it.
        Err(_) if request.is_some() && form.get("redirect_uri").is_none() => None,
        callback => Some(callback?),
    };
    let reject = |error, description| reject(callback.as_ref(), error, description);
    let is_plain = client.sends_plain_parameters();

    match (request, form.get("request_uri"), &callback) {
        (Some(_), Some(_), _) => Err(reject(
            "invalid_request",
            "Send either request or request_uri, not both",
        )),
        (None, Some(_), _) => Err(reject(
            "request_uri_not_supported",
            "request_uri is not supported: send request",
        )),
        (None, None, Some(callback)) if is_plain => {
            AuthorizationRequest::new(client, &form, callback)
        }
        (Some(request), None, _) if !is_plain => {
            // The query beside a request object is not signed, so its `state` is not repeated.
            let unverified = callback.map(|callback| Callback {
                state: None,
                ..callback
            });
            read_request_object(core, client, &form, request, unverified.as_ref())
        }
        (Some(_), ..) => Err(reject(
            "request_not_supported",
            "This client must not send request objects",
        )),
        (None, ..) => Err(reject("invalid_request", "Request parameter is required")),
    }
}

fn read_request_object(
    core: &Core,
    client: &RegisteredClient,
    query: &Form,
    request: &str,
    callback: Option<&Callback>,
) -> Result<AuthorizationRequest, Rejection> {
    let mut names = query.names();
    if let Some(name) = names.find(|name| !["client_id", "request"].contains(name)) {
        let description = format!("Move the parameter {name} into the request object");
        return Err(reject(callback, "invalid_request", &description));
    }
    let invalid = |description| reject(callback, "invalid_request_object", description);
    let claims = request_object::verify(&client.request_form(), request).map_err(invalid)?;
    let parameters = request_object::parameters(&claims).map_err(invalid)?;

    let callback = new_callback(core, client, &parameters)?;
    let (jti, exp) = request_object::validate(&claims, client.id(), &core.issuer, core.now())
        .map_err(|(error, description)| callback.reject(error, description))?;
    if !core.state().use_request_object(client.id(), jti, exp) {
        let description = "The request object was already used: sign a new one";
        return Err(callback.reject("invalid_request_object", description));
    }
    AuthorizationRequest::new(client, &parameters, &callback)
}

fn new_callback(
    core: &Core,
    client: &RegisteredClient,
    parameters: &Form,
) -> Result<Callback, Rejection> {
    let deviations = core.state().deviations.clone();
    Callback::new(client, parameters, core.response_iss(), deviations)
}

fn reject(callback: Option<&Callback>, error: &str, description: &str) -> Rejection {
    match callback {
        Some(callback) => callback.reject(error, description),
        None => Rejection::page(error, description),
    }
}
