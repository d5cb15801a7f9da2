use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{RawQuery, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, header};
use url::Url;

use super::{
    Rejection,
    authorize::see_other,
    core::Core,
    logout_request::{LogoutRequest, invalid},
    page,
    session::{self, SignedIn},
    token::read_form,
};
use crate::secret::Secret;

/// How long the question waits, in seconds.
const LIFETIME: i64 = 10 * 60;

/// A logout that waits for the person's yes or no.
pub(super) struct Unconfirmed {
    /// The session that was asked.
    sid: Arc<str>,
    back: Option<Url>,
}

/// The end-session endpoint (OpenID Connect RP-Initiated Logout section 2).
pub(super) async fn get(
    State(core): State<Arc<Core>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let request = LogoutRequest::read(&core, query.unwrap_or_default().as_bytes());
    go_on(&core, &headers, request)
}

/// The same endpoint with its parameters in a form.
pub(super) async fn post(
    State(core): State<Arc<Core>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let request = read_form(&headers, &body)
        .map_err(|(_, description)| invalid(description))
        .and_then(|form| LogoutRequest::check(&core, &form).map_err(invalid));
    go_on(&core, &headers, request)
}

/// Takes the person's yes or no. Either way the app has signed them out, so both lead back to it.
pub(super) async fn confirm(
    State(core): State<Arc<Core>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let form = read_form(&headers, &body).ok();
    let waiting = form.as_ref().and_then(|form| {
        let id = form.get("logout")?;
        core.state().unconfirmed_logouts.remove(id, core.now())
    });
    let person = session::signed_in(&core, &headers);
    let asked = waiting.filter(|it| person.is_some_and(|person| person.sid == it.sid));
    let (Some(form), Some(Unconfirmed { back, .. })) = (form, asked) else {
        return page::logout_over();
    };
    if form.get("decision") == Some("sign-out") {
        leave(&core, &headers, back)
    } else {
        back.map_or_else(page::still_signed_in, |url| see_other(url.as_str()))
    }
}

/// Ends the sessions that a request proves to be about, as if no browser said who is there.
pub(super) fn end_named(core: &Core, request: &LogoutRequest) {
    let sessions = &mut core.state().sessions;
    sessions.end_if(|session| request.names(session));
}

fn go_on(core: &Core, headers: &HeaderMap, request: Result<LogoutRequest, Rejection>) -> Response {
    let request = match request {
        Ok(request) => request,
        Err(refusal) => return page::refused(&refusal),
    };
    match session::signed_in(core, headers) {
        Some(person) if !request.names(&person) => ask(core, &person, request),
        Some(_) => leave(core, headers, request.back),
        // A form from the app's site comes without the cookie, for it is `SameSite=Lax`.
        None => {
            end_named(core, &request);
            leave(core, headers, request.back)
        }
    }
}

fn ask(core: &Core, person: &SignedIn, request: LogoutRequest) -> Response {
    let id = Secret::random();
    let now = core.now();
    let waiting = Unconfirmed {
        sid: Arc::clone(&person.sid),
        back: request.back,
    };
    core.state()
        .unconfirmed_logouts
        .insert(id.expose().to_owned(), waiting, now + LIFETIME, now);
    let client_id = request.client_id.as_deref().unwrap_or_default();
    page::sign_out(core, id.expose(), client_id, person.user)
}

/// Ends the browser's session. The tokens of the apps live on, and no logout token is sent.
fn leave(core: &Core, headers: &HeaderMap, back: Option<Url>) -> Response {
    let cookie = session::sign_out(core, headers);
    let next = back.map_or_else(page::signed_out, |url| see_other(url.as_str()));
    ([(header::SET_COOKIE, cookie)], next).into_response()
}
