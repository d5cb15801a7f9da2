use super::{
    Rejection,
    callback::Callback,
    client::RequestForm,
    core::{Client, Core},
    form::Form,
    parameters::{self, AuthorizationRequest},
    request_object,
};

/// Reads the query of an authorization request and checks everything about it.
///
/// Nothing is redirected until the client and its redirect URI are known to be registered (RFC
/// 6749 section 4.1.2.1), and `state` is taken only from where the client must have put it.
pub(super) fn read(core: &Core, query: &str) -> Result<AuthorizationRequest, Rejection> {
    let form = Form::parse(query.as_bytes()).map_err(|name| {
        let description = format!("The parameter {name} appears more than once");
        Rejection::page("invalid_request", description)
    })?;
    let client = form
        .get("client_id")
        .and_then(|id| core.clients.get(id))
        .ok_or_else(|| Rejection::page("invalid_request", "The client is not registered"))?;
    let request = form.get("request");
    let callback = match callback(client, &form) {
        // A request object says where to, and the query beside it need not.
        Err(_) if request.is_some() && form.get("redirect_uri").is_none() => None,
        callback => Some(callback?),
    };
    let refusal =
        |error: &str, description: &str| refusal(core, callback.as_ref(), error, description);

    match (request, form.get("request_uri")) {
        (Some(_), Some(_)) => {
            let description = "Use request or request_uri, not both";
            return Err(refusal("invalid_request", description));
        }
        (None, Some(_)) => {
            let description = "request_uri is not supported";
            return Err(refusal("request_uri_not_supported", description));
        }
        _ => {}
    }
    match (&client.request_form, request, &callback) {
        (RequestForm::Plain, None, Some(callback)) => {
            parameters::check(core, client, &form, callback)
        }
        (RequestForm::Plain, ..) => {
            let description = "This client must not send request objects";
            Err(refusal("request_not_supported", description))
        }
        (_, None, _) => {
            let description = "Request parameter is required";
            Err(refusal("invalid_request", description))
        }
        (_, Some(request), _) => signed(core, client, &form, callback.as_ref(), request),
    }
}

fn signed(
    core: &Core,
    client: &Client,
    outer: &Form,
    callback: Option<&Callback>,
    request: &str,
) -> Result<AuthorizationRequest, Rejection> {
    // Beside a request object the query says nothing: its `state` is anybody's.
    let unverified = callback.map(|callback| Callback {
        state: None,
        ..callback.clone()
    });
    let refusal =
        |error: &str, description: String| refusal(core, unverified.as_ref(), error, &description);
    let only = ["client_id", "request"];
    if let Some(extra) = outer.names().find(|name| !only.contains(name)) {
        let description = format!("The parameter {extra} belongs into the request object");
        return Err(refusal("invalid_request", description));
    }
    let claims = request_object::verify(core, client, request)
        .map_err(|description| refusal("invalid_request_object", description.to_owned()))?;
    let form = request_object::parameters(&claims)
        .map_err(|description| refusal("invalid_request_object", description.to_owned()))?;
    let callback = self::callback(client, &form)?;
    request_object::check(core, client, &claims)
        .map_err(|(error, description)| callback.refusal(core, error, description))?;
    parameters::check(core, client, &form, &callback)
}

/// To the callback, or to the person where it is not known which one it is.
fn refusal(core: &Core, callback: Option<&Callback>, error: &str, description: &str) -> Rejection {
    match callback {
        Some(callback) => callback.refusal(core, error, description),
        None => Rejection::page(error, description),
    }
}

/// The registered redirect URI that `form` names, or the only one if it names none.
fn callback(client: &Client, form: &Form) -> Result<Callback, Rejection> {
    let registered = &client.registered.redirect_uris;
    let redirect_uri = match (form.get("redirect_uri"), registered.as_slice()) {
        (Some(uri), _) if registered.iter().any(|known| known == uri) => uri,
        (None, [only]) => only,
        (Some(_), _) => {
            return Err(Rejection::page(
                "invalid_request",
                "The redirect_uri is not registered",
            ));
        }
        (None, _) => {
            return Err(Rejection::page(
                "invalid_request",
                "redirect_uri is missing",
            ));
        }
    };
    Ok(Callback {
        redirect_uri: redirect_uri.to_owned(),
        state: form.get("state").map(str::to_owned),
    })
}
