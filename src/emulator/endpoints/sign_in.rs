use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{RawQuery, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, header};
use url::Url;

use super::response::{
    ConsentPage, FrontPage, LoginPage, message_page, page, rejected, see_other, sign_in_expired,
};
use crate::emulator::{
    error::Rejection,
    messages::{Form, authorization::AuthorizationRequest},
    state::{
        Core, Interaction,
        session::{SignedIn, User},
    },
};

/// The cookie of the user's session at the provider.
const COOKIE: &str = "oten_emulator";
/// How long a login or consent page waits for the user, in seconds.
const INTERACTION_LIFETIME: i64 = 10 * 60;

/// Decides whether the user has to sign in or consent. Returns the URL of that page, or the callback
/// URL with a code. `is_fresh` is set if the user signed in for this request.
pub(super) fn next_step(
    core: &Core,
    request: AuthorizationRequest,
    session: Option<SignedIn>,
    is_fresh: bool,
) -> Result<String, Rejection> {
    let is_silent = request.prompts("none");
    let must_sign_in = request.prompts("login") || request.prompts("select_account");
    let session = session.filter(|session| {
        let age = core.now() - session.auth_time;
        is_fresh || !must_sign_in && request.max_age.is_none_or(|max_age| age <= max_age)
    });
    let Some(session) = session else {
        if is_silent {
            let description = "The user has to sign in: send the request without prompt=none";
            return Err(request.callback.reject("login_required", description));
        }
        return Ok(interact(core, request, None));
    };
    let (client_id, scope) = (&request.client_id, &request.scope);
    let has_consent = core.state().has_consent(session.user, client_id, scope);
    if has_consent && !request.prompts("consent") {
        return Ok(approve(core, &request, session).into());
    }
    if is_silent {
        let description = "The user has to consent: send the request without prompt=none";
        return Err(request.callback.reject("consent_required", description));
    }
    Ok(interact(core, request, Some(session)))
}

/// Returns the URL of the login or consent page.
fn interact(core: &Core, request: AuthorizationRequest, user: Option<SignedIn>) -> String {
    let interaction = Interaction { request, user };
    let interactions = &mut core.state().interactions;
    let id = interactions.add(interaction, INTERACTION_LIFETIME);
    format!("{}/v1/oauth/interaction?id={id}", core.path)
}

/// Returns the client's callback URL with a new code.
pub(crate) fn approve(core: &Core, request: &AuthorizationRequest, session: SignedIn) -> Url {
    let new_code = core.state().grants.add_code(request, session);
    request.callback.with_code(&new_code)
}

/// Returns the client's callback URL with `access_denied`.
pub(crate) fn deny(request: &AuthorizationRequest) -> Url {
    let callback = &request.callback;
    callback.with_error("access_denied", "The user denied access")
}

pub(super) fn respond(next: Result<String, Rejection>) -> Response {
    match next {
        Ok(url) => see_other(&url),
        Err(rejection) => rejected(&rejection),
    }
}

/// Shows the login or consent page of an interaction.
pub(super) async fn show(core: State<Arc<Core>>, RawQuery(query): RawQuery) -> Response {
    let Ok(form) = Form::parse(query.unwrap_or_default().as_bytes()) else {
        return sign_in_expired();
    };
    let id = form.get("id").unwrap_or_default();
    let Some(Interaction { request, user }) = core.state().interactions.get(id).cloned() else {
        return sign_in_expired();
    };
    match user {
        Some(session) if form.get("as") != Some("another-user") => {
            let consent = ConsentPage {
                core: &core,
                interaction: id,
                request: &request,
                user: session.user,
            };
            page(StatusCode::OK, &consent)
        }
        _ => {
            let login = LoginPage {
                core: &core,
                interaction: id,
                request: &request,
            };
            page(StatusCode::OK, &login)
        }
    }
}

/// Signs the chosen user in.
pub(super) async fn login(core: State<Arc<Core>>, headers: HeaderMap, body: Bytes) -> Response {
    let Ok(form) = Form::from_body(&headers, &body) else {
        return sign_in_expired();
    };
    let user = form.get("user");
    let Some(user) = user.and_then(|sub| core.state().find_user(sub)) else {
        return message_page(
            StatusCode::BAD_REQUEST,
            "You cannot sign in",
            "This user does not exist or is disabled. Go back and choose another user.",
        );
    };
    let Some(interaction) = take_interaction(&core, &form) else {
        return sign_in_expired();
    };
    let (session, cookie) = start_session(&core, &headers, user);
    let next = next_step(&core, interaction.request, Some(session), true);
    ([(header::SET_COOKIE, cookie)], respond(next)).into_response()
}

/// Takes the user's consent or denial.
pub(super) async fn consent(core: State<Arc<Core>>, headers: HeaderMap, body: Bytes) -> Response {
    let Ok(form) = Form::from_body(&headers, &body) else {
        return sign_in_expired();
    };
    let Some(Interaction { request, user }) = take_interaction(&core, &form) else {
        return sign_in_expired();
    };
    let callback = match user {
        Some(session) if form.get("decision") == Some("allow") => {
            let (client_id, scope) = (&request.client_id, &request.scope);
            core.state().add_consent(session.user, client_id, scope);
            approve(&core, &request, session)
        }
        _ => deny(&request),
    };
    see_other(callback.as_str())
}

fn take_interaction(core: &Core, form: &Form) -> Option<Interaction> {
    let id = form.get("interaction")?;
    core.state().interactions.remove(id)
}

/// The front page, which shows the signed-in user.
pub(super) async fn front(core: State<Arc<Core>>, headers: HeaderMap) -> Response {
    let user = session(&core, &headers).map(|session| session.user);
    page(StatusCode::OK, &FrontPage { core: &core, user })
}

/// Signs the user out of the emulator. Apps receive no logout token.
pub(super) async fn sign_out(core: State<Arc<Core>>, headers: HeaderMap) -> Response {
    let cookie = end_session(&core, &headers);
    let front = see_other(core.front_path());
    ([(header::SET_COOKIE, cookie)], front).into_response()
}

/// Returns the browser's session, unless its user is disabled.
pub(super) fn session(core: &Core, headers: &HeaderMap) -> Option<SignedIn> {
    let cookie = cookie_value(headers)?;
    let state = core.state();
    let session = state.sessions.get(&cookie)?;
    state.is_enabled(session.user).then(|| session.clone())
}

/// Replaces the browser's session, and returns the new one with its `Set-Cookie` header. The same
/// user keeps the session ID.
fn start_session(core: &Core, headers: &HeaderMap, user: &'static User) -> (SignedIn, String) {
    let mut session = SignedIn::new(user, core.now());
    let mut state = core.state();
    let former = cookie_value(headers).and_then(|cookie| state.sessions.remove(&cookie));
    if let Some(former) = former.filter(|former| former.user == user) {
        session.sid = former.sid;
    }
    let value = state.start_session(session.clone());
    (session, set_cookie(core, &value, ""))
}

/// Ends the browser's session, and returns the `Set-Cookie` header that removes its cookie.
pub(super) fn end_session(core: &Core, headers: &HeaderMap) -> String {
    if let Some(cookie) = cookie_value(headers) {
        core.state().sessions.remove(&cookie);
    }
    set_cookie(core, "", "; Max-Age=0")
}

fn set_cookie(core: &Core, value: &str, attributes: &str) -> String {
    let path = core.front_path();
    format!("{COOKIE}={value}; Path={path}; HttpOnly; SameSite=Lax{attributes}")
}

fn cookie_value(headers: &HeaderMap) -> Option<String> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == COOKIE)
        .map(|(_, value)| value.to_owned())
}
