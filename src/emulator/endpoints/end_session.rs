use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{RawQuery, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, header};
use serde_json::Value;
use url::Url;

use super::{
    response::{SignOutPage, message_page, page, rejected, see_other},
    sign_in,
};
use crate::{
    emulator::{
        client::RegisteredClient,
        error::Rejection,
        keys::ProviderKey,
        messages::{
            Form,
            request_object::{Claims, has_audience},
        },
        state::{Core, PendingLogout, session::SignedIn},
    },
    jose::{CompactJws, Verified},
};

/// How long the confirmation page waits for the user, in seconds.
const CONFIRMATION_LIFETIME: i64 = 10 * 60;

/// The end-session endpoint (OpenID Connect RP-Initiated Logout section 2).
pub(super) async fn get(
    core: State<Arc<Core>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let form = Form::parse(query.unwrap_or_default().as_bytes());
    respond(&core, &headers, LogoutRequest::new(&core, form))
}

/// The end-session endpoint with its parameters in a form.
pub(super) async fn post(core: State<Arc<Core>>, headers: HeaderMap, body: Bytes) -> Response {
    let form = Form::from_body(&headers, &body);
    respond(&core, &headers, LogoutRequest::new(&core, form))
}

fn respond(
    core: &Core,
    headers: &HeaderMap,
    request: Result<LogoutRequest, Rejection>,
) -> Response {
    let request = match request {
        Ok(request) => request,
        Err(rejection) => return rejected(&rejection),
    };
    match sign_in::session(core, headers) {
        Some(session) if !request.names(&session) => ask(core, &session, request),
        Some(_) => sign_out(core, headers, request.return_to),
        // A form posted by the app's site lacks the cookie, which is `SameSite=Lax`.
        None => {
            request.end_named_sessions(core);
            sign_out(core, headers, request.return_to)
        }
    }
}

/// Asks the user for confirmation.
fn ask(core: &Core, session: &SignedIn, request: LogoutRequest) -> Response {
    let pending = PendingLogout {
        sid: Arc::clone(&session.sid),
        return_to: request.return_to,
    };
    let logouts = &mut core.state().pending_logouts;
    let logout = logouts.add(pending, CONFIRMATION_LIFETIME);
    let question = SignOutPage {
        core,
        logout: &logout,
        client_id: request.client_id.as_deref(),
        user: session.user,
    };
    page(StatusCode::OK, &question)
}

/// Takes the user's answer. The browser returns to the app either way, because the app has already
/// signed the user out.
pub(super) async fn confirm(core: State<Arc<Core>>, headers: HeaderMap, body: Bytes) -> Response {
    let form = Form::from_body(&headers, &body).ok();
    let pending = form.as_ref().and_then(|form| {
        let id = form.get("logout")?;
        core.state().pending_logouts.remove(id)
    });
    let session = sign_in::session(&core, &headers);
    let pending = pending.filter(|logout| session.is_some_and(|session| session.sid == logout.sid));
    let (Some(form), Some(PendingLogout { return_to, .. })) = (form, pending) else {
        return message_page(
            StatusCode::BAD_REQUEST,
            "Sign-out page expired",
            "This page has expired, was already used, or belongs to another session. Go back to \
             the app and sign out again.",
        );
    };
    match return_to {
        return_to if form.get("decision") == Some("sign-out") => {
            sign_out(&core, &headers, return_to)
        }
        Some(url) => see_other(url.as_str()),
        None => message_page(
            StatusCode::OK,
            "You are still signed in",
            "Your session at this provider has not changed.",
        ),
    }
}

/// Ends the browser's session. Apps keep their tokens and receive no logout token.
fn sign_out(core: &Core, headers: &HeaderMap, return_to: Option<Url>) -> Response {
    let cookie = sign_in::end_session(core, headers);
    let next = match return_to {
        Some(url) => see_other(url.as_str()),
        None => message_page(
            StatusCode::OK,
            "You are signed out",
            "This browser has no session at this provider.",
        ),
    };
    ([(header::SET_COOKIE, cookie)], next).into_response()
}

/// A valid logout request.
pub(crate) struct LogoutRequest {
    client_id: Option<String>,
    /// The URL to which the browser returns.
    pub(crate) return_to: Option<Url>,
    /// The claims of `id_token_hint`.
    hint: Option<Claims>,
}

impl LogoutRequest {
    /// Validates the parameters. Rejections are never redirected, because the parameters that name
    /// the URL are then unproven.
    pub(crate) fn new(core: &Core, form: Result<Form, String>) -> Result<Self, Rejection> {
        form.and_then(|form| Self::validate(core, &form).map_err(str::to_owned))
            .map_err(|description| Rejection::page("invalid_request", description))
    }

    fn validate(core: &Core, form: &Form) -> Result<Self, &'static str> {
        let hint = form
            .get("id_token_hint")
            .map(|hint| verify_hint(core, hint))
            .transpose()?;
        let audience = hint.as_ref().and_then(|claims| claims.get("aud")?.as_str());
        let client_id = form.get("client_id").or(audience);
        if let Some(claims) = &hint {
            let client_id = client_id.ok_or("client_id is missing")?;
            if !has_audience(claims, client_id) {
                return Err("id_token_hint was issued to another client");
            }
            if text(claims, "sub").is_none() {
                return Err("id_token_hint has no sub");
            }
        }
        let client = client_id
            .map(|id| core.clients.get(id).ok_or("client_id is not registered"))
            .transpose()?;
        Ok(Self {
            client_id: client.map(|client| client.id().to_owned()),
            return_to: return_to(client, form)?,
            hint,
        })
    }

    /// Whether the hint names this session, or its user if the hint has no `sid`.
    fn names(&self, session: &SignedIn) -> bool {
        self.hint.as_ref().is_some_and(|claims| {
            let same_session = text(claims, "sid").is_none_or(|sid| sid == &*session.sid);
            same_session && text(claims, "sub") == Some(session.user.sub)
        })
    }

    /// Ends the sessions that the hint names, regardless of the browser.
    pub(crate) fn end_named_sessions(&self, core: &Core) {
        let sessions = &mut core.state().sessions;
        sessions.remove_if(|session| self.names(session));
    }
}

/// Returns the registered URI that the request names, with its `state`.
fn return_to(client: Option<&RegisteredClient>, form: &Form) -> Result<Option<Url>, &'static str> {
    let Some(uri) = form.get("post_logout_redirect_uri") else {
        return Ok(None);
    };
    let client = client.ok_or("post_logout_redirect_uri needs id_token_hint or client_id")?;
    let mut registered = client.registration.post_logout_redirect_uris.iter();
    if !registered.any(|known| known == uri) {
        return Err("post_logout_redirect_uri must repeat a registered URI exactly");
    }
    let mut url = Url::parse(uri).expect("a registered logout URI is a URL");
    if let Some(state) = form.get("state") {
        url.query_pairs_mut().append_pair("state", state);
    }
    Ok(Some(url))
}

/// Verifies an ID token of the emulator, expired or not, with a current or former key.
fn verify_hint(core: &Core, hint: &str) -> Result<Claims, &'static str> {
    let allowed = [core.settings.algorithm];
    let jws = CompactJws::parse(hint).map_err(|_| "id_token_hint is not a signed JWT")?;
    // Access tokens and logout tokens have another `typ`.
    if jws.typ() != Some("JWT") {
        return Err("id_token_hint is not an ID token");
    }
    jws.algorithm(&allowed)
        .map_err(|_| "id_token_hint has an alg that this provider does not use")?;
    let key_id = jws.key_id().ok_or("id_token_hint has no kid")?;
    let key = core
        .state()
        .find_key(key_id)
        .map(ProviderKey::verifying_key);
    let key = key.ok_or("id_token_hint has a kid that this provider never used")?;
    let claims: Claims = jws
        .verify(&key, &allowed)
        .map(Verified::into_claims)
        .map_err(|_| "id_token_hint has an invalid signature")?;
    if text(&claims, "iss") != Some(&core.issuer) {
        return Err("id_token_hint has another issuer");
    }
    Ok(claims)
}

fn text<'a>(claims: &'a Claims, name: &str) -> Option<&'a str> {
    claims.get(name).and_then(Value::as_str)
}
