use axum::{
    Router,
    response::{IntoResponse, Response},
    routing::{MethodRouter, get},
};

use super::{Oten, callback, error::Error, login, logout, rejection::Refusal, visit::Visit};

impl Oten {
    /// The routes `/login`, `/logout` and the callback, whose path is that of the redirect URI.
    ///
    /// `GET /login?return_to=/path` starts to sign in and comes back to the local path, or to the
    /// configured home. `POST /logout` signs out, `GET /logout` shows a button that does.
    pub fn routes<S>(&self) -> Router<S>
    where
        S: Clone + Send + Sync + 'static,
    {
        Router::new()
            .route("/login", only(get(login::get)))
            .route(self.config().callback_path(), only(get(callback::get)))
            .route("/logout", only(get(logout::get).post(logout::post)))
    }
}

/// No other methods, and no `HEAD`: whoever looks at a link must not use up what is behind it.
fn only<S>(methods: MethodRouter<S>) -> MethodRouter<S>
where
    S: Clone + Send + Sync + 'static,
{
    methods.head(refuse).fallback(refuse)
}

async fn refuse(visit: Visit) -> Response {
    Refusal::new(&visit, Error::MethodNotAllowed).into_response()
}
