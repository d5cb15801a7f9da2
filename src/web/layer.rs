use std::{
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
};

use axum::{
    BoxError,
    body::{Body, Bytes, HttpBody},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, Request, header};
use tower::{Layer, Service};
use tower_sessions::Session;

use super::{
    bearer::RequireBearer,
    context::RequestContext,
    error::Error,
    rejection::ErrorResponse,
    require_login::RequireLogin,
    response::{end_session, forbid_caching, prevent_caching},
    shared::Shared,
};
use crate::session::CookieChange;

/// Layer that gives each request its session and its user, returned by
/// [`Oten::layer`](crate::Oten::layer).
///
/// The store is read only when a handler, an extractor or another layer needs the user or the
/// session. If the session cannot be saved after the handler, the response is replaced by 503 and
/// the cookie stays as it is. The inner service's error type is unchanged.
///
/// See [`web`](crate::web) for an example.
#[derive(Clone, Debug)]
#[must_use]
pub struct OtenLayer {
    pub(super) state: Arc<Shared>,
}

impl<S> Layer<S> for OtenLayer {
    type Service = OtenService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        OtenService {
            inner,
            middleware: Middleware::Session(Arc::clone(&self.state)),
        }
    }
}

impl<S> Layer<S> for RequireLogin {
    type Service = OtenService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        OtenService {
            inner,
            middleware: Middleware::RequireLogin(self.clone()),
        }
    }
}

impl<S> Layer<S> for RequireBearer {
    type Service = OtenService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        OtenService {
            inner,
            middleware: Middleware::RequireBearer(self.clone()),
        }
    }
}

/// Middleware applied by [`OtenLayer`], [`RequireLogin`] and [`RequireBearer`].
#[derive(Clone, Debug)]
pub struct OtenService<S> {
    inner: S,
    middleware: Middleware,
}

#[derive(Clone, Debug)]
enum Middleware {
    Session(Arc<Shared>),
    RequireLogin(RequireLogin),
    RequireBearer(RequireBearer),
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for OtenService<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone + Send + 'static,
    S::Future: Send,
    ReqBody: Send + 'static,
    ResBody: HttpBody<Data = Bytes> + Send + 'static,
    ResBody::Error: Into<BoxError>,
{
    type Response = Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        match &self.middleware {
            Middleware::Session(state) => {
                let attached = attach_session(state, &mut request);
                let response = self.inner.call(request);
                Box::pin(async move {
                    let response = response.await?.map(Body::new);
                    Ok(match attached {
                        Some(context) => finish_response(&context, response).await,
                        None => response,
                    })
                })
            }
            Middleware::RequireLogin(require_login) => {
                let mut inner = take_ready(&mut self.inner);
                let require_login = require_login.clone();
                Box::pin(async move {
                    match require_login.admit(&mut request).await {
                        Ok(()) => Ok(inner.call(request).await?.map(Body::new)),
                        Err(denied) => Ok(denied),
                    }
                })
            }
            Middleware::RequireBearer(require_bearer) => {
                let mut inner = take_ready(&mut self.inner);
                let require_bearer = require_bearer.clone();
                let (mut parts, body) = request.into_parts();
                Box::pin(async move {
                    match require_bearer.check(&mut parts).await {
                        Ok(()) => {
                            let request = Request::from_parts(parts, body);
                            Ok(inner.call(request).await?.map(Body::new))
                        }
                        Err(denied) => Ok(denied.into_response()),
                    }
                })
            }
        }
    }
}

/// Returns the service that `poll_ready` made ready, and leaves its clone, which is not.
fn take_ready<S: Clone>(inner: &mut S) -> S {
    let clone = inner.clone();
    std::mem::replace(inner, clone)
}

/// Adds the context and the session to a request, unless an outer layer of the same `Oten` did.
fn attach_session<B>(state: &Arc<Shared>, request: &mut Request<B>) -> Option<RequestContext> {
    if request
        .extensions()
        .get::<RequestContext>()
        .is_some_and(|context| context.belongs_to(state))
    {
        return None;
    }
    let context = RequestContext::new(state, request);
    let extensions = request.extensions_mut();
    if extensions.get::<Session>().is_none() {
        extensions.insert(context.session.app_session().clone());
    }
    extensions.insert(context.clone());
    Some(context)
}

/// Saves the session and sets the response's cookie and cache headers.
async fn finish_response(context: &RequestContext, mut response: Response) -> Response {
    if !context.is_session_written()
        && context.session.is_finish_due()
        && let Err(error) = Box::pin(save_session(context, &mut response)).await
    {
        response = ErrorResponse::new(context, error).into_response();
    }
    let is_session_used = context.session.is_used() || context.is_session_written();
    let headers = response.headers_mut();
    let mut set_cookies = headers.get_all(header::SET_COOKIE).iter();
    // A cache would give one user's cookie or page to the next.
    if set_cookies.any(|cookie| context.state.cookies.contain(cookie)) {
        prevent_caching(headers);
    } else if is_session_used {
        forbid_caching(headers);
    }
    if is_session_used || context.depends_on_user.load(Ordering::Relaxed) {
        // A cache must not serve a page for guests to a user.
        let vary = if context.state.config.native_links().is_empty() {
            "cookie"
        } else {
            "cookie, authorization"
        };
        let vary = HeaderValue::from_static(vary);
        headers.append(header::VARY, vary);
    }
    response
}

/// Saves what the app changed, and changes the cookie accordingly.
async fn save_session(context: &RequestContext, response: &mut Response) -> Result<(), Error> {
    // Like tower-sessions, discards what a failed request changed.
    let discard_changes = response.status().is_server_error();
    let change = context.session.finish(discard_changes).await?;
    let (state, headers) = (&context.state, response.headers_mut());
    match change {
        CookieChange::None => {}
        CookieChange::Set(id, expiry) => {
            let cookie = state.cookies.session(id, expiry, state.clock.now());
            headers.append(header::SET_COOKIE, cookie);
        }
        CookieChange::Removed => end_session(state, headers),
    }
    Ok(())
}
