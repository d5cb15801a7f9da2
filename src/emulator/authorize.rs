use std::sync::Arc;

use axum::{
    Extension,
    body::Bytes,
    extract::{RawQuery, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, StatusCode, header};

use super::{
    Rejection,
    core::Core,
    fault_layer::ForcedError,
    form::Form,
    interaction::{self, Step},
    page, request, session,
    token::read_form,
    user::User,
};

/// The authorization endpoint (RFC 6749 section 3.1). It shows no page itself: a page under an
/// address of its own can be reloaded, while a request object is good for one use.
pub(super) async fn authorize(
    State(core): State<Arc<Core>>,
    RawQuery(query): RawQuery,
    forced: Option<Extension<ForcedError>>,
    headers: HeaderMap,
) -> Response {
    let step = request::read(&core, query.as_deref().unwrap_or_default()).and_then(|request| {
        if let Some(Extension(ForcedError(error))) = forced {
            let description = "This is a planned fault";
            return Err(request.callback.refusal(&core, error, description));
        }
        let person = session::signed_in(&core, &headers);
        interaction::next(&core, request, person, false)
    });
    go_on(&core, step)
}

/// The page of an interaction: who are you, or do you agree.
pub(super) async fn show(State(core): State<Arc<Core>>, RawQuery(query): RawQuery) -> Response {
    let form = Form::parse(query.unwrap_or_default().as_bytes()).ok();
    let Some((form, id)) = form.as_ref().and_then(|form| Some((form, form.get("id")?))) else {
        return page::over();
    };
    match interaction::find(&core, id) {
        None => page::over(),
        Some(waiting) => match waiting.person {
            Some(person) if form.get("as") != Some("someone-else") => {
                page::consent(&core, id, &waiting.request, person.user)
            }
            _ => page::login(&core, id, &waiting.request),
        },
    }
}

/// Signs a person in.
pub(super) async fn login(
    State(core): State<Arc<Core>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Ok(form) = read_form(&headers, &body) else {
        return page::over();
    };
    let user = form.get("user").and_then(User::find);
    let Some(user) = user.filter(|user| !core.state().disabled_users.contains(user.sub)) else {
        return page::unknown_user();
    };
    let Some(waiting) = form
        .get("interaction")
        .and_then(|id| interaction::take(&core, id))
    else {
        return page::over();
    };
    let (person, cookie) = session::sign_in(&core, &headers, user);
    let step = interaction::next(&core, waiting.request, Some(person), true);
    ([(header::SET_COOKIE, cookie)], go_on(&core, step)).into_response()
}

/// Takes the person's yes or no.
pub(super) async fn consent(
    State(core): State<Arc<Core>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Ok(form) = read_form(&headers, &body) else {
        return page::over();
    };
    let Some(waiting) = form
        .get("interaction")
        .and_then(|id| interaction::take(&core, id))
    else {
        return page::over();
    };
    let request = &waiting.request;
    let step = match (waiting.person, form.get("decision")) {
        (Some(person), Some("allow")) => {
            let sessions = &mut core.state().sessions;
            sessions.remember_consent(person.user, &request.client_id, &request.scope);
            Ok(person)
        }
        _ => Err(interaction::deny(&core, request)),
    };
    let step = step.and_then(|person| interaction::approve(&core, request, person));
    go_on(&core, step.map(Step::Done))
}

/// The front page: who is signed in here.
pub(super) async fn front(State(core): State<Arc<Core>>, headers: HeaderMap) -> Response {
    let person = session::signed_in(&core, &headers);
    page::front(&core, person.map(|person| person.user))
}

/// Signs the person out of the emulator, not out of any app: no logout token is sent.
pub(super) async fn sign_out(State(core): State<Arc<Core>>, headers: HeaderMap) -> Response {
    let cookie = session::sign_out(&core, &headers);
    let front = see_other(if core.path.is_empty() {
        "/"
    } else {
        &core.path
    });
    ([(header::SET_COOKIE, cookie)], front).into_response()
}

fn go_on(core: &Core, step: Result<Step, Rejection>) -> Response {
    match step {
        Ok(Step::Done(callback)) => see_other(callback.as_str()),
        Ok(Step::Ask(id)) => see_other(&format!("{}/v1/oauth/interaction?id={id}", core.path)),
        Err(refusal) => match refusal.redirect() {
            Some(callback) => see_other(callback.as_str()),
            None => page::refused(&refusal),
        },
    }
}

pub(super) fn see_other(location: &str) -> Response {
    const NO_STORE: (HeaderName, &str) = (header::CACHE_CONTROL, "no-store");
    (
        StatusCode::SEE_OTHER,
        [NO_STORE, (header::LOCATION, location)],
    )
        .into_response()
}
