//! Signing out: the logout route and [`UserSession`].

use std::time::Duration;

use axum::{
    extract::FromRequestParts,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, header, request::Parts};
use tokio::time::timeout;
use url::Url;

use super::{
    context::RequestContext,
    error::Error,
    rejection::ErrorResponse,
    response::{
        confirm_sign_out_page, end_session, forbid_caching, protect, redirect, signed_out_page,
    },
};
use crate::{
    config::route,
    protocol::LogoutRequest,
    secret::Secret,
    session::{ActiveSession, EndedSession, SessionHandle},
};

/// Extractor for the session of the request, to sign the user out in a handler, and to list and end the
/// user's other sessions.
///
/// ```
/// use axum::{
///     Router, body::Body, http::{Request, StatusCode}, response::Redirect, routing::post,
/// };
/// use axum_oten::{User, web::{ErrorResponse, UserSession}};
/// # use axum_oten::{Config, MemoryStore, Oten, config::Environment};
/// # use tower::ServiceExt;
///
/// async fn close_account(user: User, session: UserSession) -> Result<Redirect, ErrorResponse> {
///     // … delete the account of `user.subject()`
/// #   let _ = user;
///     session.sign_out().await?;
///     Ok(Redirect::to("/goodbye"))
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let config = Config::builder()
/// #     .environment(Environment::Sandbox)
/// #     .client_id("my-site")
/// #     .client_secret("a-secret-of-at-least-32-bytes-as-Oten-makes-them")
/// #     .redirect_uri("http://localhost:3000/callback")
/// #     .build()?;
/// # let oten = Oten::new(config, MemoryStore::default())?;
/// let app: Router = Router::new()
///     .route("/close-account", post(close_account))
///     .layer(oten.layer());
///
/// // Without a signed-in user, the extractor `User` denies the request.
/// let request = Request::post("/close-account").body(Body::empty())?;
/// assert_eq!(app.oneshot(request).await?.status(), StatusCode::UNAUTHORIZED);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct UserSession(RequestContext);

impl UserSession {
    /// Signs the user out of this site: removes the session and its tokens from the store, revokes the
    /// refresh token at the provider in the background, and removes the browser's cookie. Does nothing
    /// if no user is signed in.
    ///
    /// The user stays signed in at the provider. To sign out there as well, let the browser send
    /// `POST /logout` instead.
    ///
    /// The session ends even if the response is an error.
    ///
    /// # Errors
    ///
    /// Returns a 503 response if the store is down; the user is still signed in then.
    pub async fn sign_out(self) -> Result<(), ErrorResponse> {
        let Self(context) = self;
        if context.has_token() {
            return Ok(());
        }
        let signed_out = async {
            context.require_usable_credential()?;
            Ok(context.session.sign_out().await?)
        };
        let signed_out = signed_out.await;
        signed_out.map_err(|error| ErrorResponse::new(&context, error))
    }

    /// Returns the sessions of the signed-in user, in all browsers, the most recently used first. Without a
    /// signed-in user there are none.
    ///
    /// [`Oten::account_routes`](crate::Oten::account_routes) has a page with them.
    ///
    /// # Errors
    ///
    /// Returns a 503 response if the store is down.
    pub async fn list(&self) -> Result<Vec<ActiveSession>, ErrorResponse> {
        let list = async {
            let Some(signed_in) = self.0.signed_in().await? else {
                return Ok(Vec::new());
            };
            let handle = self.0.session.handle(&signed_in);
            let subject = signed_in.user().subject();
            Ok(self
                .0
                .state
                .sessions
                .of_subject(subject, Some(handle))
                .await?)
        };
        self.rejected(list.await)
    }

    /// Ends a session of the signed-in user, like [`sign_out`](Self::sign_out) in its browser. Returns
    /// `false` if the user has no such session.
    ///
    /// Call it only for requests from a page of this site:
    /// [`require_same_origin`](super::RequireLogin::require_same_origin).
    ///
    /// # Errors
    ///
    /// Returns a 503 response if the store is down.
    pub async fn end(&self, session: SessionHandle) -> Result<bool, ErrorResponse> {
        let end = async {
            let Some(signed_in) = self.0.signed_in().await? else {
                return Ok(false);
            };
            if self.0.session.handle(&signed_in) == session {
                self.0.session.sign_out().await?;
                return Ok(true);
            }
            let (subject, origin) = (signed_in.user().subject(), self.0.session.origin().clone());
            let sessions = &self.0.state.sessions;
            Ok(sessions.end_one(subject, session, origin).await?)
        };
        self.rejected(end.await)
    }

    /// Ends all sessions of the signed-in user but that of this request, also those of sign-ins in
    /// progress, and returns their number. See [`end`](Self::end).
    ///
    /// # Errors
    ///
    /// Returns a 503 response if the store is down. Some of the sessions may have ended then; call it again.
    pub async fn end_others(&self) -> Result<usize, ErrorResponse> {
        let end = async {
            let Some(signed_in) = self.0.signed_in().await? else {
                return Ok(0);
            };
            let handle = self.0.session.handle(&signed_in);
            let (subject, origin) = (signed_in.user().subject(), self.0.session.origin().clone());
            let sessions = &self.0.state.sessions;
            Ok(sessions.end_others(subject, handle, origin).await?)
        };
        self.rejected(end.await)
    }

    fn rejected<T>(&self, result: Result<T, Error>) -> Result<T, ErrorResponse> {
        result.map_err(|error| ErrorResponse::new(&self.0, error))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for UserSession {
    type Rejection = ErrorResponse;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ErrorResponse> {
        let context = RequestContext::from_request_parts(parts, state).await?;
        Ok(Self(context))
    }
}

/// Time limit for the discovery document, so that signing out does not wait for the provider.
const DISCOVERY_TIMEOUT: Duration = Duration::from_secs(2);

/// `GET /logout`: shows a sign-out button to a user, and to a guest that the user is signed out. It
/// never signs out: an image or a link on another site can cause this request.
pub(super) async fn get(context: RequestContext, headers: HeaderMap) -> Response {
    let state = &context.state;
    // The provider returns the `state` of the logout request.
    let returned = context.query_parameter("state").map(Secret::from);
    let from_provider = returned.is_some() && returned == state.cookies.logout_state(&headers);
    let mut response = match context.signed_in().await {
        Ok(Some(_)) => confirm_sign_out_page(&context),
        Ok(None) => signed_out_page(&context, from_provider),
        Err(error) => return failure(&context, error),
    };
    if from_provider {
        let removed = state.cookies.remove_logout();
        response.headers_mut().append(header::SET_COOKIE, removed);
    }
    response
}

/// `POST /logout`: ends the session in the store, then in the browser, then at the provider. A native app
/// gets 204.
pub(super) async fn post(context: RequestContext, headers: HeaderMap) -> Response {
    sign_out(&context, &headers)
        .await
        .unwrap_or_else(|error| failure(&context, error))
}

fn failure(context: &RequestContext, error: Error) -> Response {
    let response = ErrorResponse::new(context, error);
    response.of_sign_out(&context.state).into_response()
}

async fn sign_out(context: &RequestContext, headers: &HeaderMap) -> Result<Response, Error> {
    let state = &context.state;
    let proof = context.require_same_origin();
    proof.map_err(|_| Error::CrossSite)?;
    context.require_usable_credential()?;
    if context.is_native() {
        context.session.sign_out().await?;
        return Ok(no_content());
    }
    // Ends all sessions that the browser names, so that none is left if a neighboring site set one.
    let named = context.session_cookies.all();
    let origin = context.session.origin().clone();
    let ended = state.sessions.sign_out(named, false, origin).await?;
    context.mark_session_written();
    let mut response = match end_session_endpoint(context).await {
        Some(endpoint) => redirect_to_provider(context, &endpoint, &ended),
        None => match state.config.post_logout_redirect_uri() {
            Some(uri) => redirect(uri.as_str()),
            None => redirect(&state.path(route::LOGOUT)),
        },
    };
    end_session(state, response.headers_mut());
    if state.cookies.form_browser(headers).is_some() {
        let removed = state.cookies.remove_form();
        response.headers_mut().append(header::SET_COOKIE, removed);
    }
    Ok(response)
}

/// The response to a native app.
fn no_content() -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    protect(response.headers_mut());
    forbid_caching(response.headers_mut());
    response
}

async fn end_session_endpoint(context: &RequestContext) -> Option<Url> {
    let endpoint = context.state.provider.end_session_endpoint();
    timeout(DISCOVERY_TIMEOUT, endpoint).await.ok().flatten()
}

/// Redirects a guest as well: after a second click on the button, the browser follows the second
/// response.
fn redirect_to_provider(
    context: &RequestContext,
    endpoint: &Url,
    ended: &[EndedSession],
) -> Response {
    let state = &context.state;
    // If the browser sent two session cookies, either session may belong to another user.
    let ended = match context.session_cookies.only() {
        Some(_) => ended.first(),
        None => None,
    };
    let tokens = ended.and_then(|ended| ended.tokens.as_ref());
    let id_token = tokens.and_then(|tokens| tokens.id_token.as_ref());
    let logout_state = Secret::random();
    let back = state.config.post_logout_redirect_uri();
    let request = LogoutRequest {
        client_id: state.config.client().id(),
        id_token_hint: id_token.map(|stored| &stored.0),
        return_to: back.map(|uri| (uri, &logout_state)),
    };
    let mut response = redirect(request.url(endpoint).as_str());
    if back.is_some() {
        let cookie = state.cookies.logout(&logout_state);
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}
