use std::fmt;

use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde_json::json;

use super::{
    context::{RequestContext, RequestKind},
    error::{Error, ErrorPage},
    response::{Form, JSON, Links, account_of, error_page, protect_page, redirect, uncached_json},
    shared::Shared,
};
use crate::{
    audit::{AuditTrail, Event, EventKind, Level, Reason},
    clock::Clock,
    config::route,
    error::with_causes,
    metric,
    session::{ReturnTo, User},
};

/// Response to a request that failed or was denied.
///
/// By [request kind](crate::web#request-kinds) the response is a redirect to the login route, a page
/// or problem details (RFC 9457). Its extensions hold [`ErrorDetails`].
pub struct ErrorResponse(Box<Inner>);

struct Inner {
    error: Error,
    page: ErrorPage,
    details: ErrorDetails,
    /// `None` if the request did not pass through the layer.
    context: Option<RequestContext>,
    links: Links,
}

/// Description of an [`ErrorResponse`], inserted into the response's extensions.
///
/// An outer layer can use it to replace the response. Keep the headers of a response that leaves
/// [`Oten::layer`](crate::Oten::layer): they may set cookies.
///
/// ```
/// use axum::{
///     Router, body::Body, http::{Request, StatusCode}, middleware::map_response,
///     response::{IntoResponse, Response}, routing::get,
/// };
/// use axum_oten::{audit::Reason, web::ErrorDetails};
/// # use axum_oten::{Config, MemoryStore, Oten, User, config::Environment};
/// # use tower::ServiceExt;
///
/// async fn replace_error(response: Response) -> Response {
///     match response.extensions().get::<ErrorDetails>() {
///         Some(details) if details.reason == Reason::NotSignedIn => {
///             (details.status, "Members only").into_response()
///         }
///         _ => response,
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
/// let app: Router = Router::new()
///     .route("/", get(async || "Welcome"))
///     .route("/members", get(async |_: User| "Hello"))
///     .layer(map_response(replace_error))
///     .layer(oten.layer());
///
/// let allowed = app.clone().oneshot(Request::get("/").body(Body::empty())?).await?;
/// assert_eq!(allowed.status(), StatusCode::OK);
/// let denied = app.oneshot(Request::get("/members").body(Body::empty())?).await?;
/// assert_eq!(denied.status(), StatusCode::UNAUTHORIZED);
/// let body = axum::body::to_bytes(denied.into_body(), 1024).await?;
/// assert_eq!(body, "Members only");
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ErrorDetails {
    /// The status of the response: 303 if it redirects to the login route.
    pub status: StatusCode,
    /// Why the request failed or was denied.
    pub reason: Reason,
    /// The ID that the response shares with its `refused` event. `None` for a redirect to the login
    /// route, which records no event, and for a request that did not pass through
    /// [`Oten::layer`](crate::Oten::layer).
    pub correlation_id: Option<String>,
}

impl ErrorResponse {
    pub(super) fn new(context: &RequestContext, error: Error) -> Self {
        Self::with_context(Some(context.clone()), error)
    }

    /// The request did not pass through the layer.
    pub(super) fn missing_layer() -> Self {
        Self::with_context(None, Error::MissingLayer)
    }

    fn with_context(context: Option<RequestContext>, error: Error) -> Self {
        let page = error.page();
        let navigation = context
            .as_ref()
            .filter(|context| context.kind == RequestKind::Page);
        // The URLs of our own pages contain secrets.
        let return_to = navigation.and_then(|context| {
            let path = context.path()?;
            (!context.state.is_own_page(&path)).then_some(path)
        });
        let redirects_to_login = error.requires_sign_in() && navigation.is_some();
        let account = error.user().map(account_of);
        let is_form = context
            .as_ref()
            .is_some_and(|context| context.kind == RequestKind::Form);
        let form = (is_form && error.requires_sign_in()).then_some(Form::Lost);
        let fresh_max_age = error.fresh_max_age();
        let context_of_event = context.as_ref().filter(|_| !redirects_to_login);
        let details = ErrorDetails {
            status: if redirects_to_login {
                StatusCode::SEE_OTHER
            } else {
                page.status
            },
            reason: error.reason(),
            correlation_id: context_of_event.map(|context| context.correlation_id().to_owned()),
        };
        Self(Box::new(Inner {
            error,
            page,
            details,
            context,
            links: Links {
                retry_url: return_to.as_ref().map(|path| path.as_str().to_owned()),
                return_to,
                account,
                app: None,
                fresh_max_age,
                form,
            },
        }))
    }

    /// Marks the error of a sign-in, which the user can try again at the login route.
    pub(super) fn of_sign_in(mut self, state: &Shared, return_to: Option<ReturnTo>) -> Self {
        self.0.links = Links {
            retry_url: Some(state.login_url(return_to.as_ref())),
            return_to,
            ..self.0.links
        };
        self
    }

    /// Marks the error of a sign-out, which the user can try again at the logout route.
    pub(super) fn of_sign_out(mut self, state: &Shared) -> Self {
        self.0.links.retry_url = Some(state.path(route::LOGOUT));
        self
    }

    /// Marks the error of a request whose form is kept. The browser returns to the page at this path.
    pub(super) fn of_kept_form(mut self, page: &str) -> Self {
        self.0.links.return_to = ReturnTo::parse(page);
        self.0.links.form = Some(Form::Kept);
        self
    }

    /// Marks the error of a native app's sign-in, which the user returns to the app with this link.
    pub(super) fn with_app_link(mut self, link: String) -> Self {
        self.0.links.app = Some(link);
        self
    }

    /// Returns the error as JSON with this `error` (RFC 6749 section 5.2). It names the rule that the request
    /// broke and nothing else.
    pub(super) fn into_oauth_response(self, code: &str) -> Response {
        self.record();
        let Inner { page, details, .. } = *self.0;
        let body = json!({
            "error": code,
            "error_description": format!("{} ({})", page.text.english(), details.reason),
            "correlation_id": details.correlation_id,
        });
        let mut response = uncached_json(JSON, &body);
        *response.status_mut() = page.status;
        let headers = response.headers_mut();
        if let Some(after) = page.retry_after {
            headers.insert(header::RETRY_AFTER, after.as_secs().max(1).into());
        }
        response.extensions_mut().insert(details);
        response
    }

    /// The status of the response: 303 if it redirects to the login route.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.0.details.status
    }

    /// Why the request failed or was denied.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.0.details.reason
    }

    pub(super) fn page(&self) -> &ErrorPage {
        &self.0.page
    }

    /// Records the `refused` event.
    pub(super) fn record(&self) {
        let error = &self.0.error;
        let level = match error {
            Error::NotSignedIn | Error::LoginTooOld { .. } | Error::KeptForm(_) => Level::Debug,
            // The parameters came through the browser, which can send anything.
            Error::Callback(_) => Level::Warn,
            // Any client can cause it, with logout tokens.
            _ if self.reason() == Reason::KeyPending => Level::Warn,
            _ if self.status().is_server_error() => Level::Error,
            _ => Level::Warn,
        };
        let record = |trail: &AuditTrail, event: Event| {
            let event = event.with_refusal(level, self.reason(), self.status().as_u16());
            trail.record(&event.with_cause(with_causes(error)));
        };
        if let Some(context) = &self.0.context {
            let trail = &context.state.trail;
            let subject = |user: &User| trail.pseudonym(user.issuer(), user.subject());
            let event = context.event(EventKind::Refused);
            record(trail, event.with_subject(error.user().map(subject)));
        } else {
            let trail = AuditTrail::new(Clock::system(), metric::count_event);
            record(&trail, trail.event(EventKind::Refused));
        }
    }
}

/// Prints the error and nothing of the request.
impl fmt::Debug for ErrorResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ErrorResponse").field(&self.0.error).finish()
    }
}

impl IntoResponse for ErrorResponse {
    fn into_response(self) -> Response {
        let is_redirect = self.status() == StatusCode::SEE_OTHER;
        // A redirect to the login route records no event, so that a crawler does not fill the log.
        if !is_redirect {
            self.record();
        }
        let Inner {
            page,
            details,
            context,
            links,
            ..
        } = *self.0;
        let mut response = match &context {
            Some(context) if is_redirect => redirect(&links.login_url(&context.state)),
            Some(context) => error_page(context, &page, details.reason, links),
            // Without the layer, the paths of the site's pages are unknown.
            None => {
                let mut response = (page.status, page.text.english()).into_response();
                protect_page(response.headers_mut());
                response
            }
        };
        response.extensions_mut().insert(details);
        response
    }
}

/// Defines the rejection of an extractor.
macro_rules! rejection {
    (
        $(#[$meta:meta])*
        $name:ident {
            $($(#[$variant_meta:meta])* $variant:ident: $error:pat,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug)]
        #[non_exhaustive]
        pub enum $name {
            /// [`Oten::layer`](crate::Oten::layer) is missing: 500. The log says where to add it.
            MissingLayer(ErrorResponse),
            /// No user is signed in, or the user has to sign in again because the tokens cannot be
            /// refreshed: a page request is redirected to the login route (303), other requests get
            /// 401. A WebSocket handshake from a page of another site gets 403.
            NotSignedIn(ErrorResponse),
            /// The session store is down: 503 with `Retry-After`. The session cookie stays as it is.
            StoreUnavailable(ErrorResponse),
            /// The tokens could not be refreshed, and the access token or the grace period has
            /// expired: 503 with `Retry-After`.
            NotRefreshed(ErrorResponse),
            $($(#[$variant_meta])* $variant(ErrorResponse),)*
        }

        impl $name {
            /// The status of the response: 303 if it redirects to the login route.
            #[must_use]
            pub fn status(&self) -> StatusCode {
                self.response().status()
            }

            /// Why the extractor rejects the request.
            #[must_use]
            pub fn reason(&self) -> Reason {
                self.response().reason()
            }

            fn response(&self) -> &ErrorResponse {
                let (Self::MissingLayer(response)
                | Self::NotSignedIn(response)
                | Self::StoreUnavailable(response)
                | Self::NotRefreshed(response)
                $(| Self::$variant(response))*) = self;
                response
            }
        }

        impl From<ErrorResponse> for $name {
            fn from(response: ErrorResponse) -> Self {
                match &response.0.error {
                    Error::MissingLayer => Self::MissingLayer(response),
                    Error::Store(_) => Self::StoreUnavailable(response),
                    Error::NotRefreshed { .. } => Self::NotRefreshed(response),
                    $($error => Self::$variant(response),)*
                    _ => Self::NotSignedIn(response),
                }
            }
        }

        impl IntoResponse for $name {
            fn into_response(self) -> Response {
                let (Self::MissingLayer(response)
                | Self::NotSignedIn(response)
                | Self::StoreUnavailable(response)
                | Self::NotRefreshed(response)
                $(| Self::$variant(response))*) = self;
                response.into_response()
            }
        }
    };
}

rejection! {
    /// Rejection of the extractor [`User`](crate::User).
    ///
    /// ```
    /// use axum::response::{IntoResponse, Response};
    /// use axum_oten::{User, web::UserRejection};
    ///
    /// async fn greeting(user: Result<User, UserRejection>) -> Response {
    ///     match user {
    ///         Ok(user) => format!("Hello {}", user.subject()).into_response(),
    ///         Err(UserRejection::NotSignedIn(_)) => "Hello guest".into_response(),
    ///         Err(rejection) => {
    ///             println!("{} {}", rejection.status(), rejection.reason());
    ///             rejection.into_response()
    ///         }
    ///     }
    /// }
    /// ```
    UserRejection {}
}

rejection! {
    /// Rejection of the extractor [`AccessToken`](crate::AccessToken).
    ///
    /// ```
    /// use axum::response::{IntoResponse, Response};
    /// use axum_oten::{AccessToken, web::AccessTokenRejection};
    ///
    /// async fn orders(token: Result<AccessToken, AccessTokenRejection>) -> Response {
    ///     match token {
    ///         Ok(_token) => "orders from the API".into_response(),
    ///         Err(AccessTokenRejection::NotSignedIn(_)) => "no orders".into_response(),
    ///         Err(rejection) => rejection.into_response(),
    ///     }
    /// }
    /// ```
    AccessTokenRejection {
        /// The token has expired and cannot be refreshed: a page redirects to the login route (303),
        /// other requests get 401. If it expired within a minute after the sign-in, every request
        /// gets 502, because signing in again would not help.
        Expired: Error::AccessTokenExpired | Error::AccessTokenUseless,
    }
}
