use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    BoxError,
    body::{Body, Bytes, HttpBody},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, Request, StatusCode, header};
use tower::Service;
use tower_sessions::Session;

use super::{
    Oten,
    error::Error,
    event,
    rejection::Refusal,
    request_context::{RequestContext, keep_private},
};
use crate::session::CookieChange;

/// Middleware that gives each request its session and its user.
///
/// It reads the store only when somebody asks for the user or the session, and answers by itself
/// only when the session cannot be saved at the end: 503, with the cookie left alone. It does not
/// change the inner service's error.
#[derive(Clone, Debug)]
pub struct OtenService<S> {
    inner: S,
    oten: Oten,
}

impl<S> OtenService<S> {
    pub(super) fn new(inner: S, oten: Oten) -> Self {
        Self { inner, oten }
    }
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
        // The service that was polled ready is the one to call.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);

        let here_already = request
            .extensions()
            .get::<RequestContext>()
            .is_some_and(|context| context.oten().is(&self.oten));
        if here_already {
            return Box::pin(async move { Ok(inner.call(request).await?.map(Body::new)) });
        }

        let context = RequestContext::new(&self.oten, &request);
        if request.extensions().get::<Session>().is_none() {
            let session = context.session().for_app().clone();
            request.extensions_mut().insert(session);
        }
        request.extensions_mut().insert(context.clone());
        Box::pin(async move {
            let response = inner.call(request).await?.map(Body::new);
            Ok(finish(&context, response).await)
        })
    }
}

/// What there is to do when the answer is known.
async fn finish(context: &RequestContext, mut response: Response) -> Response {
    if !context.is_settled() {
        match save_session(context, response.status()).await {
            Ok(None) => {}
            Ok(Some(cookie)) => {
                response.headers_mut().append(header::SET_COOKIE, cookie);
                // A cache that keeps it would give one visitor's session to the next.
                keep_private(response.headers_mut());
            }
            Err(error) => response = Refusal::new(context, error).into_response(),
        }
    }
    if context.is_personal() {
        keep_private(response.headers_mut());
    }
    if context.is_asked() {
        // A cache must not show a guest's page to a user, either.
        let cookie = HeaderValue::from_static("cookie");
        response.headers_mut().append(header::VARY, cookie);
    }
    response
}

/// Saves what the app changed; the cookie, if it has to change too.
async fn save_session(
    context: &RequestContext,
    status: StatusCode,
) -> Result<Option<HeaderValue>, Error> {
    // As tower-sessions does: what a request changed that failed is not kept.
    let failed = status.is_server_error();
    let left = context
        .session()
        .finish(context.session_cookies().only(), failed)
        .await
        .map_err(Error::Store)?;
    if let Some(signed_out) = left.signed_out {
        event::signed_out(context, signed_out.user());
    }
    if let Some(tokens) = left.tokens {
        let revoker = &context.inner().revoker;
        revoker.revoke(&tokens, context.correlation_id());
    }
    let cookies = &context.inner().cookies;
    Ok(match left.cookie {
        CookieChange::None => None,
        CookieChange::NewId(id) => Some(cookies.session(id)),
        CookieChange::Removed => Some(cookies.no_session()),
    })
}
