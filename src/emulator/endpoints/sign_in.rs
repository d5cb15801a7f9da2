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
        session::{SignedIn, USERS, User},
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
    let has_consent = core
        .state()
        .sessions
        .has_consent(session.user, client_id, scope);
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

pub(crate) fn deny(request: &AuthorizationRequest) -> Rejection {
    request
        .callback
        .reject("access_denied", "The user denied access")
}

pub(super) fn respond(next: Result<String, Rejection>) -> Response {
    match next {
        Ok(url) => see_other(&url),
        Err(rejection) => rejected(&rejection),
    }
}

/// Shows the login or consent page of an interaction.
pub(super) async fn show(State(core): State<Arc<Core>>, RawQuery(query): RawQuery) -> Response {
    let form = Form::parse(query.unwrap_or_default().as_bytes()).ok();
    let Some((form, id)) = form.as_ref().and_then(|form| Some((form, form.get("id")?))) else {
        return sign_in_expired();
    };
    let Some(interaction) = core.state().interactions.get(id).cloned() else {
        return sign_in_expired();
    };
    let request = &interaction.request;
    match interaction.user {
        Some(session) if form.get("as") != Some("someone-else") => page(
            StatusCode::OK,
            &ConsentPage {
                path: &core.path,
                interaction: id,
                client_id: &request.client_id,
                user: session.user,
                scopes: request.scope.split_ascii_whitespace().collect(),
            },
        ),
        _ => page(
            StatusCode::OK,
            &LoginPage {
                path: &core.path,
                interaction: id,
                client_id: &request.client_id,
                users: &USERS,
            },
        ),
    }
}

/// Signs the chosen user in.
pub(super) async fn login(
    State(core): State<Arc<Core>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
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
pub(super) async fn consent(
    State(core): State<Arc<Core>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Ok(form) = Form::from_body(&headers, &body) else {
        return sign_in_expired();
    };
    let Some(Interaction { request, user }) = take_interaction(&core, &form) else {
        return sign_in_expired();
    };
    let next = match user {
        Some(session) if form.get("decision") == Some("allow") => {
            let sessions = &mut core.state().sessions;
            sessions.add_consent(session.user, &request.client_id, &request.scope);
            Ok(session)
        }
        _ => Err(deny(&request)),
    };
    respond(next.map(|session| approve(&core, &request, session).into()))
}

fn take_interaction(core: &Core, form: &Form) -> Option<Interaction> {
    let id = form.get("interaction")?;
    core.state().interactions.remove(id)
}

/// The front page, which shows the signed-in user.
pub(super) async fn front(State(core): State<Arc<Core>>, headers: HeaderMap) -> Response {
    let front = FrontPage {
        path: &core.path,
        issuer: &core.issuer,
        user: session(&core, &headers).map(|session| session.user),
        clients: core.clients.keys().map(String::as_str).collect(),
    };
    page(StatusCode::OK, &front)
}

/// Signs the user out of the emulator. Apps receive no logout token.
pub(super) async fn sign_out(State(core): State<Arc<Core>>, headers: HeaderMap) -> Response {
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
    let sessions = &mut core.state().sessions;
    let former = cookie_value(headers).and_then(|cookie| sessions.end(&cookie));
    if let Some(former) = former.filter(|former| former.user == user) {
        session.sid = former.sid;
    }
    let value = sessions.start(session.clone());
    (session, set_cookie(core, &value, ""))
}

/// Ends the browser's session, and returns the `Set-Cookie` header that removes its cookie.
pub(super) fn end_session(core: &Core, headers: &HeaderMap) -> String {
    if let Some(cookie) = cookie_value(headers) {
        core.state().sessions.end(&cookie);
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
        .flat_map(cookie::Cookie::split_parse)
        .filter_map(Result::ok)
        .find(|cookie| cookie.name() == COOKIE)
        .map(|cookie| cookie.value().to_owned())
}
