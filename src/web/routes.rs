use axum::{
    Router,
    response::{IntoResponse, Response},
    routing::{MethodRouter, get, post},
};
use http::header;

use super::{
    Oten, back_channel, callback, error::Error, login, logout, rejection::Refusal,
    request_context::RequestContext,
};
use crate::config::route;

impl Oten {
    /// The routes `/login`, `/logout`, `/backchannel-logout` and the callback, whose path is that of
    /// the redirect URI.
    ///
    /// `GET /login?return_to=/path` starts to sign in and comes back to the local path, or to the
    /// configured home; a `return_to` that is not local, or given twice, is passed over. `POST
    /// /logout` signs out, here and, where the provider has an end-session endpoint, there (OpenID
    /// Connect RP-Initiated Logout 1.0). It must come from a page of this site: 403 unless
    /// `Sec-Fetch-Site` is `same-origin` or, from a browser that does not send it, `Origin` is this
    /// site's. `GET /logout` shows a button that does it:
    ///
    /// ```html
    /// <form method="post" action="/logout"><button>Sign out</button></form>
    /// ```
    ///
    /// A content security policy whose `form-action` covers that page must allow the origin of the
    /// end-session endpoint, too: browsers apply it to the redirects that answer a form.
    ///
    /// `POST /backchannel-logout` takes the provider's logout tokens (OpenID Connect Back-Channel
    /// Logout 1.0): 200 once the sessions have ended, 400 for a token that is refused, 5xx for one
    /// that may be sent again.
    ///
    /// Other methods, `HEAD` among them, get 405.
    pub fn routes<S>(&self) -> Router<S>
    where
        S: Clone + Send + Sync + 'static,
    {
        let logout = get(logout::get).post(logout::post);
        Router::new()
            .route(route::LOGIN, only(get(login::get), "GET"))
            .route(
                self.config().callback_path(),
                only(get(callback::get), "GET"),
            )
            .route(route::LOGOUT, only(logout, "GET, POST"))
            .route(
                route::BACK_CHANNEL_LOGOUT,
                only(post(back_channel::post), "POST"),
            )
    }
}

/// No other methods, and no `HEAD`: whoever looks at a link must not use up what is behind it.
fn only<S>(methods: MethodRouter<S>, allowed: &'static str) -> MethodRouter<S>
where
    S: Clone + Send + Sync + 'static,
{
    let refuse = async move |context| refuse(&context, allowed);
    methods.head(refuse).fallback(refuse)
}

/// RFC 9110 section 15.5.6 asks for `Allow`.
fn refuse(context: &RequestContext, allowed: &'static str) -> Response {
    let refusal = Refusal::new(context, Error::MethodNotAllowed);
    ([(header::ALLOW, allowed)], refusal).into_response()
}
