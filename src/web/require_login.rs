use std::{fmt, pin::Pin, sync::Arc, time::Duration};

use axum::{
    BoxError,
    extract::FromRequestParts,
    response::{IntoResponse, Response},
};
use http::{Extensions, Request, request::Parts};
use tokio::time::timeout;

use super::{
    context::{RequestContext, RequestKind},
    error::{DEADLINE, Error},
    kept_form,
    rejection::ErrorResponse,
    shared::Shared,
};
use crate::{
    config::{Denied, MAX_MAX_AGE, Rule},
    session::{SignedIn, User},
};

/// The shortest time that a sign-in counts as fresh: the user has to return from the provider.
const MIN_FRESH_MAX_AGE: Duration = Duration::from_secs(60);

/// The allowed difference between the provider's clock and this machine's in seconds, as for ID tokens.
const LEEWAY: i64 = 60;

/// Layer that requires a signed-in user, returned by
/// [`Oten::require_login`](crate::Oten::require_login).
///
/// If no user is signed in, a page navigation is redirected to the login route, and the browser
/// returns to the page after sign-in; any other request gets 401. A form of a user who has to sign in again
/// is kept, and the user can send it after the sign-in; see [the guide](crate::guide::access). Add the layer with
/// [`Router::route_layer`](axum::Router::route_layer) to the routes it protects.
///
/// ```
/// use axum::{Router, body::Body, http::{Request, StatusCode}, routing::get};
/// # use axum_oten::{Config, MemoryStore, Oten, config::Environment};
/// # use tower::ServiceExt;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let config = Config::builder()
/// #     .environment(Environment::Sandbox)
/// #     .client_id("my-site")
/// #     .client_secret("a-secret-of-at-least-32-bytes-as-Oten-makes-them")
/// #     .redirect_uri("http://localhost:3000/callback")
/// #     .build()?;
/// # let oten = Oten::new(config, MemoryStore::default())?;
/// let staff = oten.require_login().authorize(|user| {
///     user.claim("workspace").is_some_and(|workspace| workspace == "staff")
/// });
/// let app: Router = Router::new()
///     .route("/admin", get(async || "for the staff"))
///     .route_layer(staff)
///     .route("/", get(async || "for everyone"))
///     .layer(oten.layer());
///
/// let allowed = app.clone().oneshot(Request::get("/").body(Body::empty())?).await?;
/// assert_eq!(allowed.status(), StatusCode::OK);
/// let denied = app.oneshot(Request::get("/admin").body(Body::empty())?).await?;
/// assert_eq!(denied.status(), StatusCode::UNAUTHORIZED);
/// # Ok(()) }
/// ```
#[derive(Clone)]
#[must_use]
pub struct RequireLogin {
    state: Arc<Shared>,
    conditions: Arc<[Condition]>,
    same_origin: bool,
    fresh_max_age: Option<u64>,
    keeps_forms: bool,
}

/// A condition that the user must meet.
#[derive(Clone)]
enum Condition {
    Rule(Rule),
    Function(Arc<dyn Fn(&User) -> bool + Send + Sync>),
    Async(Arc<dyn Fn(User) -> Answer + Send + Sync>),
}

type Answer = Pin<Box<dyn Future<Output = Result<bool, BoxError>> + Send>>;

impl RequireLogin {
    pub(super) fn new(state: &Arc<Shared>) -> Self {
        Self {
            state: Arc::clone(state),
            conditions: Arc::default(),
            same_origin: false,
            fresh_max_age: None,
            keeps_forms: true,
        }
    }

    /// Admits only users whom the rule allows; others get 403. The rule, like every condition here, is
    /// applied to each request, after the user has signed in, so a denied user is not sent to the login
    /// route again, and new claims count with the refresh that brings them. If several conditions are
    /// added, all must hold.
    ///
    /// [`Oten::require`](crate::Oten::require) is short for it.
    pub fn rule(self, rule: Rule) -> Self {
        let rule = self.state.rule(rule);
        self.with(Condition::Rule(rule))
    }

    /// Admits only users for whom `rule` returns true; others get 403. Prefer a [`Rule`], which tells the
    /// log why it denies a user.
    pub fn authorize(self, rule: impl Fn(&User) -> bool + Send + Sync + 'static) -> Self {
        self.with(Condition::Function(Arc::new(rule)))
    }

    /// Admits only users for whom `rule` returns true; others get 403. It may use the app's state, for
    /// example a database, and gets a clone of it with each request.
    ///
    /// If it returns an error, or nothing within 11 seconds, the request gets 503, and the log has the
    /// error.
    ///
    /// ```
    /// use axum::{Router, body::Body, http::{Request, StatusCode}, routing::get};
    /// # use axum_oten::{Config, MemoryStore, Oten, config::Environment};
    /// # use tower::ServiceExt;
    ///
    /// #[derive(Clone)]
    /// struct Database(/* … */);
    ///
    /// impl Database {
    ///     async fn is_admin(&self, subject: &str) -> Result<bool, std::io::Error> {
    /// #       let _ = subject;
    ///         // …
    /// #       Ok(true)
    ///     }
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
    /// let admins = oten.require_login().authorize_async(Database(), async |user, database| {
    ///     database.is_admin(user.subject()).await
    /// });
    /// let app: Router = Router::new()
    ///     .route("/admin", get(async || "for admins"))
    ///     .route_layer(admins)
    ///     .layer(oten.layer());
    ///
    /// let denied = app.oneshot(Request::get("/admin").body(Body::empty())?).await?;
    /// assert_eq!(denied.status(), StatusCode::UNAUTHORIZED);
    /// # Ok(()) }
    /// ```
    pub fn authorize_async<S, F, A, E>(self, state: S, rule: F) -> Self
    where
        S: Clone + Send + Sync + 'static,
        F: Fn(User, S) -> A + Send + Sync + 'static,
        A: Future<Output = Result<bool, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        self.with(Condition::Async(Arc::new(move |user| {
            let answer = rule(user, state.clone());
            Box::pin(async { answer.await.map_err(Into::into) })
        })))
    }

    /// Requires that requests that change state come from a page of this site, so that no other site can
    /// send them with the user's cookie. Others get 403.
    ///
    /// These are requests with any method other than `GET`, `HEAD` and `OPTIONS`, be it from a form or from
    /// a script. `Sec-Fetch-Site` must be `same-origin` or, if the browser does not send that header,
    /// `Origin` must be this site's; a request with neither is denied. Without this option, a request may
    /// come from any page whose browser sends the cookie, which is `SameSite=Lax`: from other hosts of the
    /// same domain, too. A WebSocket handshake is held to the same rule with or without it.
    ///
    /// ```
    /// use axum::{Router, body::Body, http::{Request, StatusCode}, routing::post};
    /// # use axum_oten::{Config, MemoryStore, Oten, config::Environment};
    /// # use tower::ServiceExt;
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
    ///     .route("/orders", post(async || "ordered"))
    ///     .route_layer(oten.require_login().require_same_origin())
    ///     .layer(oten.layer());
    ///
    /// // Guests get 401, users on pages of other sites 403.
    /// let guest = Request::post("/orders").body(Body::empty())?;
    /// assert_eq!(app.oneshot(guest).await?.status(), StatusCode::UNAUTHORIZED);
    /// # Ok(()) }
    /// ```
    pub fn require_same_origin(self) -> Self {
        let same_origin = true;
        Self {
            same_origin,
            ..self
        }
    }

    /// Requires that the user authenticated at the provider at most `max_age` ago, from a minute to 365 days,
    /// by `auth_time` in the ID token, with a leeway of 60 seconds. A page redirects to the provider, which
    /// asks the user to sign in again (`prompt=login`, `max_age`); other requests get 401. A form is kept until
    /// the user has signed in. For dangerous actions.
    ///
    /// If the provider does not confirm the new sign-in with `auth_time`, the user gets a page that says so,
    /// and stays signed in. If another user signs in instead, the browser does not return to the page.
    ///
    /// [`Oten::require_fresh_login`](crate::Oten::require_fresh_login) is short for it. If it is called
    /// several times, the shortest time applies.
    pub fn fresh(self, max_age: Duration) -> Self {
        let max_age = max_age.clamp(MIN_FRESH_MAX_AGE, MAX_MAX_AGE).as_secs();
        let shortest = self
            .fresh_max_age
            .map_or(max_age, |other| other.min(max_age));
        Self {
            fresh_max_age: Some(shortest),
            ..self
        }
    }

    /// Keeps no form that a sign-in interrupts. Use it for forms with passwords or other secrets that must not
    /// be stored, even for a few minutes.
    ///
    /// Without this option, a form is kept for 30 minutes if its user is known, and the user can send it again
    /// after the sign-in; [the guide](crate::guide::access) says which forms are kept, and how. If a route has
    /// several layers, each needs the option.
    ///
    /// ```
    /// use axum::{Router, body::Body, http::{Request, StatusCode}, routing::post};
    /// # use std::time::Duration;
    /// # use axum_oten::{Config, MemoryStore, Oten, config::Environment};
    /// # use tower::ServiceExt;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let config = Config::builder()
    /// #     .environment(Environment::Sandbox)
    /// #     .client_id("my-site")
    /// #     .client_secret("a-secret-of-at-least-32-bytes-as-Oten-makes-them")
    /// #     .redirect_uri("http://localhost:3000/callback")
    /// #     .build()?;
    /// # let oten = Oten::new(config, MemoryStore::default())?;
    /// let fresh = oten.require_fresh_login(Duration::from_secs(5 * 60));
    /// let app: Router = Router::new()
    ///     .route("/credentials", post(async || "stored"))
    ///     .route_layer(fresh.discard_forms())
    ///     .layer(oten.layer());
    ///
    /// let guest = Request::post("/credentials").body(Body::empty())?;
    /// assert_eq!(app.oneshot(guest).await?.status(), StatusCode::UNAUTHORIZED);
    /// # Ok(()) }
    /// ```
    pub fn discard_forms(self) -> Self {
        let keeps_forms = false;
        Self {
            keeps_forms,
            ..self
        }
    }

    /// Returns the context of a request, unless it comes from the layer of another `Oten`, which has
    /// different sessions.
    pub(super) fn context(&self, extensions: &Extensions) -> Option<RequestContext> {
        let context = extensions.get::<RequestContext>();
        context
            .filter(|context| context.belongs_to(&self.state))
            .cloned()
    }

    /// Checks a request. Keeps the form of a request that a sign-in interrupts, and replaces a request that
    /// sends a kept form by the form.
    pub(super) async fn admit<B: 'static>(&self, request: &mut Request<B>) -> Result<(), Response> {
        kept_form::hold(request.extensions_mut());
        let Some(context) = self.context(request.extensions()) else {
            return Err(ErrorResponse::missing_layer().into_response());
        };
        match kept_form::id_of(request).await {
            None => {
                if let Err(error) = self.check(&context).await {
                    return Err(Box::pin(self.interrupt(&context, request, error)).await);
                }
            }
            Some(id) if context.kind == RequestKind::Page => {
                return Err(kept_form::redirect_to_page(&context, &id));
            }
            Some(id) => {
                let restored = Box::pin(self.restore(&context, request, &id)).await;
                restored.map_err(ErrorResponse::into_response)?;
            }
        }
        kept_form::hand_over(request.extensions_mut());
        Ok(())
    }

    async fn interrupt<B: 'static>(
        &self,
        context: &RequestContext,
        request: &mut Request<B>,
        error: Error,
    ) -> Response {
        if error.requires_sign_in()
            && self.keeps_forms
            && !kept_form::is_sending(request.extensions())
            && let Some(signed_in) = self.interrupted_user(context).await
        {
            return kept_form::interrupt(context, request, signed_in.user(), error).await;
        }
        let denied = kept_form::deny(context, request.extensions_mut(), error);
        denied.await.into_response()
    }

    /// Returns the user of a session that has ended during the request, or that is not fresh enough, unless
    /// a condition denies the user.
    async fn interrupted_user(&self, context: &RequestContext) -> Option<SignedIn> {
        let signed_in = context.session.signed_in().await.ok()??;
        for condition in &*self.conditions {
            condition.check(&signed_in).await.ok()?;
        }
        Some(signed_in)
    }

    async fn restore<B: 'static>(
        &self,
        context: &RequestContext,
        request: &mut Request<B>,
        id: &str,
    ) -> Result<(), ErrorResponse> {
        match self.check(context).await {
            Ok(signed_in) => kept_form::restore(context, request, id, signed_in.user())
                .await
                .map_err(|error| ErrorResponse::new(context, error)),
            Err(error) => {
                let headers = request.headers();
                Err(kept_form::interrupt_again(context, headers, id, error).await)
            }
        }
    }

    /// Returns the user if the request may pass.
    pub(super) async fn check(&self, context: &RequestContext) -> Result<SignedIn, Error> {
        let signed_in = context.require_user().await?;
        if self.same_origin {
            context.require_same_origin()?;
        }
        for condition in &*self.conditions {
            condition.check(&signed_in).await?;
        }
        // Last: a user without access need not sign in again.
        self.check_age(signed_in.user())?;
        Ok(signed_in)
    }

    fn check_age(&self, user: &User) -> Result<(), Error> {
        let Some(max_age) = self.fresh_max_age else {
            return Ok(());
        };
        // In whole seconds, like `auth_time`.
        let now = self.state.clock.unix_now();
        let age = user.authenticated_at().map(|at| now - at.unix_timestamp());
        let latest = i64::try_from(max_age)
            .unwrap_or(i64::MAX)
            .saturating_add(LEEWAY);
        match age {
            Some(age) if age <= latest => Ok(()),
            _ => Err(Error::LoginTooOld { max_age }),
        }
    }

    fn with(self, condition: Condition) -> Self {
        let conditions = self.conditions.iter().cloned().chain([condition]);
        Self {
            conditions: conditions.collect(),
            ..self
        }
    }
}

impl Condition {
    async fn check(&self, signed_in: &SignedIn) -> Result<(), Error> {
        let user = signed_in.user();
        match self {
            Self::Rule(rule) => require(rule, user),
            Self::Function(rule) if rule(user) => Ok(()),
            Self::Function(_) => Err(forbidden(user, None)),
            Self::Async(rule) => match timeout(DEADLINE, rule(user.clone())).await {
                Ok(Ok(true)) => Ok(()),
                Ok(Ok(false)) => Err(forbidden(user, None)),
                Ok(Err(error)) => Err(Error::AccessCheck(error)),
                Err(elapsed) => Err(Error::AccessCheck(elapsed.into())),
            },
        }
    }
}

fn require(rule: &Rule, user: &User) -> Result<(), Error> {
    rule.check(user)
        .map_err(|denied| forbidden(user, Some(denied)))
}

fn forbidden(user: &User, denied: Option<Denied>) -> Error {
    let user = user.clone();
    Error::Forbidden { user, denied }
}

/// Extractor for handlers that require a [`Rule`], such as one that depends on the request.
///
/// ```
/// use axum::extract::Path;
/// use axum_oten::{Rule, web::{Access, ErrorResponse}};
///
/// /// Only the owner may open a document.
/// async fn document(Path(id): Path<u64>, access: Access) -> Result<String, ErrorResponse> {
///     # let owner_of = |_| "alice";
///     let owner = Rule::subjects([owner_of(id)]);
///     let user = access.require(owner).await?;
///     Ok(format!("document {id} of {}", user.subject()))
/// }
/// ```
#[derive(Debug)]
pub struct Access(RequestContext);

impl Access {
    /// Returns the signed-in user if the rule allows the user.
    ///
    /// # Errors
    ///
    /// Returns the response of [`require_login`](crate::Oten::require_login) for a guest, and 403 for a
    /// user whom the rule denies.
    pub async fn require(&self, rule: Rule) -> Result<User, ErrorResponse> {
        let user = async {
            let signed_in = self.0.require_user().await?;
            require(&self.0.state.rule(rule), signed_in.user())?;
            Ok(signed_in.user().clone())
        };
        user.await
            .map_err(|error| ErrorResponse::new(&self.0, error))
    }
}

impl<S: Sync> FromRequestParts<S> for Access {
    type Rejection = ErrorResponse;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ErrorResponse> {
        let context = RequestContext::from_request_parts(parts, state).await?;
        Ok(Self(context))
    }
}

impl fmt::Debug for RequireLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequireLogin")
            .field("conditions", &self.conditions.len())
            .field("same_origin", &self.same_origin)
            .field("fresh_max_age", &self.fresh_max_age)
            .field("keeps_forms", &self.keeps_forms)
            .finish_non_exhaustive()
    }
}
