use axum::{
    Router,
    response::{IntoResponse, Response},
    routing::{MethodRouter, get},
};
use http::header;

use super::{Oten, callback, error::Error, login, logout, rejection::Refusal, visit::Visit};

pub(super) fn router<S>(oten: &Oten) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    Router::new()
        .route("/login", only(get(login::get), "GET"))
        .route(
            oten.config().callback_path(),
            only(get(callback::get), "GET"),
        )
        .route(
            "/logout",
            only(get(logout::get).post(logout::post), "GET, POST"),
        )
}

/// No other methods, and no `HEAD`: whoever looks at a link must not use up what is behind it.
fn only<S>(methods: MethodRouter<S>, allowed: &'static str) -> MethodRouter<S>
where
    S: Clone + Send + Sync + 'static,
{
    let refuse = async move |visit| refuse(&visit, allowed);
    methods.head(refuse).fallback(refuse)
}

/// RFC 9110 section 15.5.6 asks for `Allow`.
fn refuse(visit: &Visit, allowed: &'static str) -> Response {
    let refusal = Refusal::new(visit, Error::MethodNotAllowed);
    ([(header::ALLOW, allowed)], refusal).into_response()
}
