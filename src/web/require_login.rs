use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    BoxError,
    body::{Body, Bytes, HttpBody},
    response::{IntoResponse, Response},
};
use http::Request;
use tower::{Layer, Service};

use super::{Oten, error::Error, rejection::Refusal, request_context::RequestContext};
use crate::session::User;

type Rule = dyn Fn(&User) -> bool + Send + Sync;

impl Oten {
    /// The layer for routes that guests must not see; for [`Router::route_layer`](axum::Router::route_layer).
    pub fn require_login(&self) -> RequireLogin {
        RequireLogin {
            oten: self.clone(),
            rule: None,
        }
    }
}

/// Layer that applies the [`RequireLoginService`] middleware: guests do not pass.
///
/// [`Oten::require_login`](crate::Oten::require_login) makes one; add it with
/// [`Router::route_layer`](axum::Router::route_layer) to the routes it guards.
///
/// ```
/// # use axum::{Router, routing::get};
/// # fn guarded(oten: &axum_oten::Oten) -> Router {
/// Router::new()
///     .route("/admin", get(async || "for the staff"))
///     .route_layer(oten.require_login().authorize(|user| {
///         user.claim("workspace").is_some_and(|workspace| workspace == "staff")
///     }))
/// # }
/// ```
#[derive(Clone)]
#[must_use]
pub struct RequireLogin {
    oten: Oten,
    rule: Option<Arc<Rule>>,
}

impl RequireLogin {
    /// Admits only users for whom `rule` returns true; others get 403. It is asked after the login,
    /// so that a user without the right is not sent to sign in again and again. Of several rules
    /// all must hold. A rule is not async: what takes a database belongs into the handler.
    pub fn authorize(self, rule: impl Fn(&User) -> bool + Send + Sync + 'static) -> Self {
        let rule: Arc<Rule> = match self.rule {
            None => Arc::new(rule),
            Some(before) => Arc::new(move |user: &User| before(user) && rule(user)),
        };
        Self {
            rule: Some(rule),
            ..self
        }
    }
}

impl fmt::Debug for RequireLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequireLogin")
            .field("has_rule", &self.rule.is_some())
            .finish_non_exhaustive()
    }
}

impl<S> Layer<S> for RequireLogin {
    type Service = RequireLoginService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RequireLoginService {
            inner,
            guard: self.clone(),
        }
    }
}

/// Middleware that lets no guest pass: a page navigation is sent to sign in and comes back,
/// anything else gets 401.
#[derive(Clone, Debug)]
pub struct RequireLoginService<S> {
    inner: S,
    guard: RequireLogin,
}

impl RequireLogin {
    async fn check(&self, context: Option<RequestContext>) -> Result<(), Refusal> {
        // A layer of another `Oten` knows other users.
        let context = context
            .filter(|context| context.oten().is(&self.oten))
            .ok_or_else(Refusal::missing_layer)?;
        let signed_in = context.require_user().await?;
        match &self.rule {
            Some(rule) if !rule(signed_in.user()) => Err(Refusal::new(&context, Error::Forbidden)),
            _ => Ok(()),
        }
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for RequireLoginService<S>
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

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        // The service that was polled ready is the one to call.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let guard = self.guard.clone();
        let context = RequestContext::of(request.extensions());
        Box::pin(async move {
            match guard.check(context).await {
                Ok(()) => Ok(inner.call(request).await?.map(Body::new)),
                Err(refusal) => Ok(refusal.into_response()),
            }
        })
    }
}
