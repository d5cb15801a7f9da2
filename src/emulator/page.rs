use std::sync::LazyLock;

use askama::Template;
use axum::response::{IntoResponse, Response};
use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderName, StatusCode, header};
use sha2::{Digest, Sha256};

use super::{
    Rejection,
    core::Core,
    parameters::AuthorizationRequest,
    user::{USERS, User},
};

const STYLE: &str = include_str!("../../templates/emulator/style.css");

/// Nothing is loaded from anywhere, and only our own style counts. There is no `form-action`:
/// Chrome applies it to every redirect after a form, and the app behind the callback may send the
/// browser anywhere.
static CONTENT_SECURITY_POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = BASE64_STANDARD.encode(Sha256::digest(STYLE));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; frame-ancestors 'none'"
    )
});

#[derive(Template)]
#[template(path = "emulator/login.html")]
struct Login<'a> {
    style: &'static str,
    path: &'a str,
    interaction: &'a str,
    client_id: &'a str,
    users: &'static [User],
}

#[derive(Template)]
#[template(path = "emulator/consent.html")]
struct Consent<'a> {
    style: &'static str,
    path: &'a str,
    interaction: &'a str,
    client_id: &'a str,
    user: &'static User,
    scopes: Vec<(&'a str, &'static str)>,
}

#[derive(Template)]
#[template(path = "emulator/front.html")]
struct Front<'a> {
    style: &'static str,
    path: &'a str,
    issuer: &'a str,
    user: Option<&'static User>,
    clients: Vec<&'a str>,
}

#[derive(Template)]
#[template(path = "emulator/sign_out.html")]
struct SignOut<'a> {
    style: &'static str,
    path: &'a str,
    logout: &'a str,
    /// Empty when nothing says which app asks.
    client_id: &'a str,
    user: &'static User,
}

#[derive(Template)]
#[template(path = "emulator/message.html")]
struct Message<'a> {
    style: &'static str,
    title: &'a str,
    text: &'a str,
    code: &'a str,
}

pub(super) fn login(core: &Core, interaction: &str, request: &AuthorizationRequest) -> Response {
    let page = Login {
        style: STYLE,
        path: &core.path,
        interaction,
        client_id: &request.client_id,
        users: &USERS,
    };
    respond(StatusCode::OK, &page)
}

pub(super) fn consent(
    core: &Core,
    interaction: &str,
    request: &AuthorizationRequest,
    user: &'static User,
) -> Response {
    let scopes = request.scope.split_ascii_whitespace();
    let page = Consent {
        style: STYLE,
        path: &core.path,
        interaction,
        client_id: &request.client_id,
        user,
        scopes: scopes.map(|scope| (scope, description(scope))).collect(),
    };
    respond(StatusCode::OK, &page)
}

pub(super) fn front(core: &Core, user: Option<&'static User>) -> Response {
    let page = Front {
        style: STYLE,
        path: &core.path,
        issuer: &core.issuer,
        user,
        clients: core.clients.keys().map(String::as_str).collect(),
    };
    respond(StatusCode::OK, &page)
}

/// The question of a logout that proves too little about who is here.
pub(super) fn sign_out(
    core: &Core,
    logout: &str,
    client_id: &str,
    user: &'static User,
) -> Response {
    let page = SignOut {
        style: STYLE,
        path: &core.path,
        logout,
        client_id,
        user,
    };
    respond(StatusCode::OK, &page)
}

/// The end of a logout that leads nowhere else.
pub(super) fn signed_out() -> Response {
    let page = Message {
        style: STYLE,
        title: "You are signed out",
        text: "Nobody is signed in at this provider in this browser.",
        code: "",
    };
    respond(StatusCode::OK, &page)
}

/// The page of a logout question that was answered, has ended, or never was.
pub(super) fn logout_over() -> Response {
    let page = Message {
        style: STYLE,
        title: "This question is over",
        text: "It was answered before, waited too long, or was for somebody else.",
        code: "",
    };
    respond(StatusCode::BAD_REQUEST, &page)
}

/// The end of a logout that the person did not want.
pub(super) fn still_signed_in() -> Response {
    let page = Message {
        style: STYLE,
        title: "You are still signed in",
        text: "Nothing has changed at this provider.",
        code: "",
    };
    respond(StatusCode::OK, &page)
}

/// The page of a refusal that must not be redirected.
pub(super) fn refused(refusal: &Rejection) -> Response {
    let page = Message {
        style: STYLE,
        title: "This request cannot be answered",
        text: refusal.description(),
        code: refusal.error(),
    };
    respond(StatusCode::BAD_REQUEST, &page)
}

/// The page of an interaction that was used, has ended, or never was.
pub(super) fn over() -> Response {
    let page = Message {
        style: STYLE,
        title: "This sign-in is over",
        text: "Its page was used before or waited too long. Go back to the app and start again.",
        code: "",
    };
    respond(StatusCode::BAD_REQUEST, &page)
}

pub(super) fn unknown_user() -> Response {
    let page = Message {
        style: STYLE,
        title: "You cannot sign in",
        text: "This person does not live here or was disabled. Go back and choose another.",
        code: "",
    };
    respond(StatusCode::BAD_REQUEST, &page)
}

fn description(scope: &str) -> &'static str {
    match scope {
        "openid" => "Know that it is you",
        "profile" => "See your name",
        "email" => "See your email address",
        _ => "Something this emulator does not know",
    }
}

fn respond(status: StatusCode, page: &impl Template) -> Response {
    const TYPE: (HeaderName, &str) = (header::CONTENT_TYPE, "text/html; charset=utf-8");
    let Ok(html) = page.render() else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let headers = [
        TYPE,
        (header::CACHE_CONTROL, "no-store"),
        (
            header::CONTENT_SECURITY_POLICY,
            CONTENT_SECURITY_POLICY.as_str(),
        ),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (status, headers, html).into_response()
}
