use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Bytes,
    response::{IntoResponse, Response},
    routing::{MethodRouter, any, get, post},
};
use http::{Request, header};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{
    api_proxy::ApiProxy,
    back_channel,
    bearer::RequireBearer,
    client_address,
    context::RequestContext,
    error::Error,
    kept_form,
    layer::OtenLayer,
    login, logout, native,
    outgoing::{ApiClient, ClientCredentials},
    page::Pages,
    readiness::Readiness,
    rejection::ErrorResponse,
    require_login::RequireLogin,
    session_routes::{self, END},
    session_state,
    shared::{SetupError, Shared},
};
use crate::{
    audit::{AuditLog, TARGET},
    clock::Clock,
    config::{Config, Rule, route},
    jose::Ed25519PublicKey,
    provider::{ProviderError, ProviderMetadata},
    session::{ActiveSession, Operator, REFRESH_LIMIT, SessionHandle, SessionPage},
    store::{OtenStore, StoreError},
};

/// Sign in with Oten for one app: the configuration, the session store and the provider.
///
/// Creates the [layer](Self::layer), the [routes](Self::routes) and the layer for
/// [protected routes](Self::require_login). Clones share their state. See the
/// [crate's example](crate).
#[derive(Clone, Debug)]
pub struct Oten(Arc<Shared>);

impl Oten {
    /// Checks that the store suits the environment and creates the HTTP client. Makes no calls to
    /// the provider, so the app starts even if the provider is down.
    ///
    /// # Errors
    ///
    /// Returns [`SetupError`] if the HTTP client cannot be set up, an external store is used without
    /// a session key, or an in-process store is used in production.
    pub fn new(config: Config, store: impl OtenStore) -> Result<Self, SetupError> {
        Self::builder(config, store).build()
    }

    /// Returns a builder that also takes a clock, an audit log and a layout for the pages.
    pub fn builder(config: Config, store: impl OtenStore) -> OtenBuilder {
        OtenBuilder {
            config,
            store: Arc::new(store),
            clock: Clock::system(),
            audit: None,
            pages: None,
        }
    }

    /// Returns the layer that gives each request its session and its user.
    ///
    /// The extractors, [`require_login`](Self::require_login) and [`routes`](Self::routes) need it:
    /// add it to the router after them.
    ///
    /// The layer inserts tower-sessions' [`Session`](tower_sessions::Session) for the app's own data
    /// into each request, unless an outer `SessionManagerLayer` of the app already did.
    pub fn layer(&self) -> OtenLayer {
        let state = Arc::clone(&self.0);
        OtenLayer { state }
    }

    /// Returns the routes `/login`, `/login/form`, `/logout`, `/backchannel-logout` and the callback, whose path is
    /// that of the redirect URI.
    ///
    /// - `GET /login?return_to=/path` starts the sign-in. Afterwards the browser returns to the local
    ///   path, or to the configured home if `return_to` is missing, repeated, not local or one of these
    ///   routes. A prefetch gets 403 and starts nothing. The query can set
    ///   [options](crate::config::ConfigBuilder::login_parameters), and another site can start the sign-in
    ///   with `iss`, `target_link_uri` and `login_hint` (OpenID Connect Core section 4).
    /// - `POST /login` redirects a form with these parameters to `GET /login`.
    /// - `GET /login/form` shows the user a form that the sign-in interrupted, with buttons that send it to its
    ///   own address or discard it (`POST /login/form`); see [`RequireLogin`].
    /// - `POST /logout` signs the user out, here and at the provider if it has an end-session endpoint
    ///   (OpenID Connect RP-Initiated Logout 1.0). The request must come from a page of this site:
    ///   it is denied with 403 unless `Sec-Fetch-Site` is `same-origin` or, if the browser does not
    ///   send that header, `Origin` is this site's.
    /// - `GET /logout` shows a page with a button that signs the user out.
    /// - `POST /backchannel-logout` receives the provider's logout tokens (OpenID Connect Back-Channel
    ///   Logout 1.0). It responds with 200 when the sessions have ended, 400 if it rejects the token,
    ///   and 5xx if the provider may send the token again.
    ///
    /// - If [`native_links`](crate::config::ConfigBuilder::native_links) are configured, `GET /native/start`,
    ///   `POST /native/confirm` and `POST /native/token` sign users in to native apps; see
    ///   [the guide](crate::guide::native_apps).
    ///
    /// Other methods, `HEAD` included, get 405.
    ///
    /// A sign-out button on a page of the app:
    ///
    /// ```html
    /// <form method="post" action="/logout"><button>Sign out</button></form>
    /// ```
    ///
    /// If that page has a content security policy with `form-action`, the policy must allow the origin
    /// of the end-session endpoint: browsers apply it to redirects after the form as well.
    pub fn routes<S>(&self) -> Router<S>
    where
        S: Clone + Send + Sync + 'static,
    {
        let logout = get(logout::get).post(logout::post);
        let native = if self.config().native_links().is_empty() {
            Router::new()
        } else {
            Router::new()
                .route(route::NATIVE_START, only(get(login::start_native), "GET"))
                .route(route::NATIVE_CONFIRM, only(post(native::confirm), "POST"))
                .route(route::NATIVE_TOKEN, only(post(native::token), "POST"))
        };
        native
            .route(
                route::LOGIN,
                only(get(login::login).post(login::login_form), "GET, POST"),
            )
            .route(
                route::KEPT_FORM,
                only(get(kept_form::show).post(kept_form::discard), "GET, POST"),
            )
            .route(
                self.config().callback_route(),
                only(get(login::callback), "GET"),
            )
            .route(route::LOGOUT, only(logout, "GET, POST"))
            .route(
                route::BACK_CHANNEL_LOGOUT,
                only(post(back_channel::post), "POST"),
            )
    }

    /// Returns the layer for routes that require a signed-in user, for
    /// [`Router::route_layer`](axum::Router::route_layer).
    ///
    /// See [`RequireLogin`] for an example.
    pub fn require_login(&self) -> RequireLogin {
        RequireLogin::new(&self.0)
    }

    /// Returns the layer for routes that only some users may request, for
    /// [`Router::route_layer`](axum::Router::route_layer).
    ///
    /// A guest signs in first, as with [`require_login`](Self::require_login). A user whom the rule denies
    /// gets 403, and can switch to another account.
    ///
    /// ```
    /// use axum::{Router, body::Body, http::{Request, StatusCode}, routing::get};
    /// use axum_oten::Rule;
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
    ///     .route("/admin", get(async || "for admins"))
    ///     .route_layer(oten.require(Rule::claim("roles").contains("admin")))
    ///     .layer(oten.layer());
    ///
    /// let guest = Request::get("/admin").body(Body::empty())?;
    /// assert_eq!(app.oneshot(guest).await?.status(), StatusCode::UNAUTHORIZED);
    /// # Ok(()) }
    /// ```
    pub fn require(&self, rule: Rule) -> RequireLogin {
        self.require_login().rule(rule)
    }

    /// Returns the layer for routes with dangerous actions, for
    /// [`Router::route_layer`](axum::Router::route_layer): the user must have authenticated at the provider
    /// at most `max_age` ago, from a minute to 365 days.
    ///
    /// See [`RequireLogin::fresh`], which combines it with a rule:
    /// `oten.require(rule).fresh(max_age)`.
    ///
    /// ```
    /// use axum::{Router, body::Body, http::{Request, StatusCode}, routing::get};
    /// use std::time::Duration;
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
    ///     .route("/delete", get(async || "Really?").post(async || "deleted"))
    ///     .route_layer(oten.require_fresh_login(Duration::from_secs(5 * 60)))
    ///     .layer(oten.layer());
    ///
    /// let guest = Request::post("/delete").body(Body::empty())?;
    /// assert_eq!(app.oneshot(guest).await?.status(), StatusCode::UNAUTHORIZED);
    /// # Ok(()) }
    /// ```
    pub fn require_fresh_login(&self, max_age: Duration) -> RequireLogin {
        self.require_login().fresh(max_age)
    }

    /// Returns the access rule that the operator named so in the configuration, under `access`.
    ///
    /// # Errors
    ///
    /// Returns [`SetupError::UnknownRule`] if there is no such rule.
    ///
    /// ```
    /// use axum_oten::{MemoryStore, Oten, config::ConfigBuilder};
    ///
    /// let text = r#"
    ///     environment = "sandbox"
    ///     client_id = "my-site"
    ///     client_type = "public"
    ///     redirect_uri = "http://localhost:3000/callback"
    ///
    ///     [access.admin]
    ///     any = [
    ///         { claim = ["realm", "roles"], contains = "admin" },
    ///         { email_domain = "example.com" },
    ///     ]
    /// "#;
    /// let config = ConfigBuilder::from_toml("site.toml", text)?.build()?;
    /// let oten = Oten::new(config, MemoryStore::default())?;
    /// let admins = oten.require(oten.rule("admin")?);
    /// assert!(oten.rule("admins").is_err());
    /// # drop(admins);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn rule(&self, name: &str) -> Result<Rule, SetupError> {
        let rule = self.config().rule(name).cloned();
        rule.ok_or_else(|| SetupError::UnknownRule(name.to_owned()))
    }

    /// Returns the layer for routes that require an access token, for
    /// [`Router::route_layer`](axum::Router::route_layer).
    ///
    /// See [`RequireBearer`] for the rules.
    ///
    /// ```
    /// use axum::{Router, body::Body, http::{Request, StatusCode}, routing::get};
    /// use axum_oten::{User, web::BearerToken};
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
    /// async fn orders(token: Option<BearerToken>, user: Option<User>) -> String {
    ///     let subject = token.as_ref().and_then(BearerToken::subject);
    ///     format!("orders of {:?}", subject.or(user.as_ref().map(User::subject)))
    /// }
    ///
    /// // For clients with an access token, and for the site's own scripts:
    /// let orders_layer = oten.bearer().require_scope("orders").or_session(oten.require_login());
    /// let app: Router = Router::new()
    ///     .route("/orders", get(orders))
    ///     .route_layer(orders_layer)
    ///     .route("/", get(async || "for everyone"))
    ///     .layer(oten.layer());
    ///
    /// let allowed = app.clone().oneshot(Request::get("/").body(Body::empty())?).await?;
    /// assert_eq!(allowed.status(), StatusCode::OK);
    /// let denied = app.oneshot(Request::get("/orders").body(Body::empty())?).await?;
    /// assert_eq!(denied.status(), StatusCode::UNAUTHORIZED);
    /// # Ok(()) }
    /// ```
    pub fn bearer(&self) -> RequireBearer {
        RequireBearer::new(Arc::clone(&self.0.api))
    }

    /// Returns the source of this client's own access tokens (RFC 6749 section 4.4), to call APIs in the
    /// app's own name. Without scopes, the provider grants the client's default ones.
    ///
    /// # Errors
    ///
    /// Returns [`SetupError::NoClientSecret`] if the client is public.
    pub fn client_credentials<S: Into<String>>(
        &self,
        scopes: impl IntoIterator<Item = S>,
    ) -> Result<ClientCredentials, SetupError> {
        ClientCredentials::new(&self.0.outgoing, scopes)
    }

    /// Returns a client for calls to the APIs at these origins, such as `https://orders.example`, with
    /// a token of the signed-in user or of the client itself.
    ///
    /// # Errors
    ///
    /// Returns [`SetupError::ApiOrigin`] if a text is not an https origin, or http on a loopback host, and
    /// [`SetupError::HttpClient`] if the HTTP client cannot be set up.
    pub fn api_client<S: AsRef<str>>(
        &self,
        origins: impl IntoIterator<Item = S>,
    ) -> Result<ApiClient, SetupError> {
        ApiClient::new(&self.0.outgoing.http, origins)
    }

    /// Returns the route `GET /session`, which tells a script on a page whether a user is signed in.
    ///
    /// For a user it responds with JSON: the listed claims of the user, `sub` included if it is listed, the
    /// seconds until the session expires unless the user becomes active, and the paths to sign in and out.
    /// For a guest it responds with 401 and problem details with the `login_url`. The response contains
    /// no token and is not cached. A script may poll it: it neither extends the session nor refreshes
    /// tokens, so a user who was disabled at the provider stays visible until another request refreshes
    /// them. Mount it inside of [`layer`](Self::layer).
    ///
    /// ```
    /// use axum::{Router, body::Body, http::{Request, StatusCode}};
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
    /// let app: Router = oten
    ///     .routes()
    ///     .merge(oten.session_route(["name", "picture"]))
    ///     .layer(oten.layer());
    ///
    /// // {"user":{"name":"Alice"},"expires_in":3600,"login_url":"/login","logout_url":"/logout"}
    /// let request = Request::get("/session").body(Body::empty())?;
    /// let guest = app.oneshot(request).await?;
    /// assert_eq!(guest.status(), StatusCode::UNAUTHORIZED);
    /// # Ok(()) }
    /// ```
    pub fn session_route<S>(&self, claims: impl IntoIterator<Item = impl Into<String>>) -> Router<S>
    where
        S: Clone + Send + Sync + 'static,
    {
        let claims: Arc<[String]> = claims.into_iter().map(Into::into).collect();
        let get = get(async move |context| session_state::get(&context, &claims).await);
        Router::new().route(route::SESSION, only(get, "GET"))
    }

    /// Returns routes with which the signed-in user sees and ends sessions: a page, and JSON for scripts.
    ///
    /// - `GET /` lists the user's sessions, 50 at a time: when each was started and last used, in which
    ///   browser, and which one belongs to the request. To a script it responds with the JSON of
    ///   [`SessionPage`]; the query parameter `next` asks for the next page.
    /// - `POST /end` is a form with `end=one` and the `session` to end, or with `end=others` to end all but
    ///   that of the request. The browser returns to the list; a script gets `{"ended":1}`. The request
    ///   must come from a page of this site. A session of another user, or one that has ended, counts as 0.
    ///
    /// Nest the routes inside of [`layer`](Self::layer). For a page of your own, see
    /// [`UserSession::list`](crate::UserSession::list).
    ///
    /// ```
    /// use axum::{Router, body::Body, http::{Request, StatusCode}};
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
    /// let app: Router = oten
    ///     .routes()
    ///     .nest("/account", oten.account_routes())
    ///     .layer(oten.layer());
    ///
    /// let guest = Request::get("/account").body(Body::empty())?;
    /// assert_eq!(app.oneshot(guest).await?.status(), StatusCode::UNAUTHORIZED);
    /// # Ok(()) }
    /// ```
    pub fn account_routes<S>(&self) -> Router<S>
    where
        S: Clone + Send + Sync + 'static,
    {
        Router::new()
            .route("/", only(get(session_routes::list_own), "GET"))
            .route(END, only(post(session_routes::end_own), "POST"))
            .route_layer(self.require_login().require_same_origin())
    }

    /// Returns routes with which operators see and end the sessions of all users. Users whom `rule` denies
    /// get 403.
    ///
    /// - `GET /` lists the sessions, like [`account_routes`](Self::account_routes). With the query parameter
    ///   `subject`, it lists those of the user with this `sub`.
    /// - `GET /end` is the page on which an operator confirms that the sessions of all users end or, with
    ///   `subject`, those of a user.
    /// - `POST /end` is a form with `end=one`, the `session` and its `subject`; `end=subject` and the
    ///   `subject`; or `end=all`. If it takes longer than 11 seconds, it completes in the background, and a
    ///   script gets 202 with `{"ended":null}`.
    ///
    /// Each change records the event `sessions_ended`, which names the operator.
    ///
    /// ```
    /// use axum::{Router, body::Body, http::{Request, StatusCode}};
    /// use axum_oten::Rule;
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
    /// let operators = oten.operator_routes(Rule::claim("role").equals("operator"));
    /// let app: Router = oten
    ///     .routes()
    ///     .nest("/admin/sessions", operators)
    ///     .layer(oten.layer());
    ///
    /// let guest = Request::get("/admin/sessions").body(Body::empty())?;
    /// assert_eq!(app.oneshot(guest).await?.status(), StatusCode::UNAUTHORIZED);
    /// # Ok(()) }
    /// ```
    pub fn operator_routes<S>(&self, rule: Rule) -> Router<S>
    where
        S: Clone + Send + Sync + 'static,
    {
        self.operators(rule, |operator| operator)
    }

    /// Returns [`operator_routes`](Self::operator_routes) that end sessions only for operators who have
    /// authenticated at the provider at most `max_age` ago, as [`RequireLogin::fresh`] describes.
    ///
    /// The list needs no fresh sign-in. The page on which an operator confirms does, so that the form
    /// is not interrupted.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use axum::Router;
    /// use axum_oten::Rule;
    /// # use axum_oten::{Config, MemoryStore, Oten, config::Environment};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let config = Config::builder()
    /// #     .environment(Environment::Sandbox)
    /// #     .client_id("my-site")
    /// #     .client_secret("a-secret-of-at-least-32-bytes-as-Oten-makes-them")
    /// #     .redirect_uri("http://localhost:3000/callback")
    /// #     .build()?;
    /// # let oten = Oten::new(config, MemoryStore::default())?;
    /// let rule = Rule::claim("role").equals("operator");
    /// let operators = oten.operator_routes_with_fresh_login(rule, Duration::from_secs(15 * 60));
    /// let app: Router = oten
    ///     .routes()
    ///     .nest("/admin/sessions", operators)
    ///     .layer(oten.layer());
    /// # Ok(()) }
    /// ```
    pub fn operator_routes_with_fresh_login<S>(&self, rule: Rule, max_age: Duration) -> Router<S>
    where
        S: Clone + Send + Sync + 'static,
    {
        self.operators(rule, |operator| operator.fresh(max_age))
    }

    fn operators<S>(
        &self,
        rule: Rule,
        for_ending: impl FnOnce(RequireLogin) -> RequireLogin,
    ) -> Router<S>
    where
        S: Clone + Send + Sync + 'static,
    {
        let operator = self.require(rule).require_same_origin();
        let list = get(session_routes::list_all).route_layer(operator.clone());
        let end = get(session_routes::confirm).post(session_routes::end_any);
        let end = end.route_layer(for_ending(operator));
        Router::new()
            .route("/", only(list, "GET"))
            .route(END, only(end, "GET, POST"))
    }

    /// Returns routes that forward every request below `prefix` to an API, with the user's access token, so
    /// that the scripts of a page can call the API and never see the token.
    ///
    /// A request to `/api/orders?page=2` is forwarded to `https://orders.example/v1/orders?page=2` if
    /// `prefix` is `/api` and `url` is `https://orders.example/v1`. Mount the routes inside of
    /// [`layer`](Self::layer).
    ///
    /// - The token is that of [`AccessToken`](crate::AccessToken): refreshed if necessary, sent to this URL
    ///   only. The rejections are the same, too. Redirects are not followed: the browser gets them. A
    ///   `Location` below `url` becomes one below `prefix`.
    /// - A request that changes state must come from a page of this site, as with
    ///   [`require_same_origin`](RequireLogin::require_same_origin).
    /// - Headers of the request are forwarded only if they describe its content, conditions, ranges and
    ///   preferences (`Accept`, `Content-Type`, `If-Match`, `Range`, `Prefer`, `Idempotency-Key` and the like),
    ///   or are IDs for logs (`traceparent`, `X-Request-Id`).
    ///   [`api_proxy_with_headers`](Self::api_proxy_with_headers) adds others.
    /// - `Set-Cookie`, `Access-Control-…`, `Cache-Control` and other headers of the response that act on the
    ///   whole site are removed, and `WWW-Authenticate` unless it asks for an access token. The response is not
    ///   cached, and a document in it cannot run scripts.
    /// - Bodies are streamed both ways, without trailers. Interim responses (1xx) end at this site.
    ///   WebSocket handshakes, `CONNECT` and `TRACE`, and paths that could leave the prefix, such as
    ///   `/api/%2e%2e/admin`, get 400.
    /// - If the API cannot be reached within 3 seconds or sends no valid response, the response is 502. If
    ///   nothing is transferred for 60 seconds, it is 504 or, if the response has begun, the connection
    ///   is closed. So is that of a stream, a response without `Content-Length`, when the session ends, as
    ///   with [`SessionEnd`](super::SessionEnd).
    ///
    /// # Errors
    ///
    /// Returns [`SetupError::ApiUrl`] unless `url` is an https URL, or http on a loopback host, and
    /// [`SetupError::HttpClient`] if the HTTP client cannot be set up.
    ///
    /// # Panics
    ///
    /// Like [`Router::nest_service`], if `prefix` is empty, `/` or does not begin with `/`.
    ///
    /// ```
    /// use axum::{Router, body::Body, http::{Request, StatusCode}};
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
    /// let app: Router = oten
    ///     .routes()
    ///     .merge(oten.api_proxy("/api", "https://orders.example/v1")?)
    ///     .layer(oten.layer());
    ///
    /// let guest = Request::get("/api/orders").body(Body::empty())?;
    /// assert_eq!(app.oneshot(guest).await?.status(), StatusCode::UNAUTHORIZED);
    /// assert!(oten.api_proxy::<()>("/api", "http://orders.example").is_err());
    /// # Ok(()) }
    /// ```
    pub fn api_proxy<S>(&self, prefix: &str, url: &str) -> Result<Router<S>, SetupError>
    where
        S: Clone + Send + Sync + 'static,
    {
        self.api_proxy_with_headers(prefix, url, [])
    }

    /// Like [`api_proxy`](Self::api_proxy), and forwards these headers of the request, too.
    ///
    /// Any script of the page, and any user with another client, chooses their values. Add no header that the
    /// API takes for proof, for example of the user, the tenant or the client's address.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`api_proxy`](Self::api_proxy), and [`SetupError::ApiHeader`] for
    /// `Authorization`, `Cookie`, `Host`, `Content-Length`, `Expect`, hop-by-hop headers and what is not a name.
    ///
    /// # Panics
    ///
    /// Panics under the same conditions as [`api_proxy`](Self::api_proxy).
    ///
    /// ```
    /// # use axum::Router;
    /// # use axum_oten::{Oten, web::SetupError};
    /// fn api(oten: &Oten) -> Result<Router, SetupError> {
    ///     oten.api_proxy_with_headers("/api", "https://orders.example/v1", ["X-Api-Version"])
    /// }
    /// ```
    pub fn api_proxy_with_headers<'a, S>(
        &self,
        prefix: &str,
        url: &str,
        headers: impl IntoIterator<Item = &'a str>,
    ) -> Result<Router<S>, SetupError>
    where
        S: Clone + Send + Sync + 'static,
    {
        let proxy = ApiProxy::new(self.config(), url, headers)?;
        let forward =
            async move |context: RequestContext, request| proxy.forward(&context, request).await;
        Ok(Router::new().nest_service(prefix, any(forward).with_state(())))
    }

    /// The path of the login route as the browser sees it: `/login` under the base path.
    #[must_use]
    pub fn login_path(&self) -> String {
        self.0.path(route::LOGIN)
    }

    /// The path of the logout route as the browser sees it: `/logout` under the base path.
    #[must_use]
    pub fn logout_path(&self) -> String {
        self.0.path(route::LOGOUT)
    }

    /// The path of the back-channel logout route: `/backchannel-logout` under the base path.
    ///
    /// With the site's origin in front it is the `backchannel_logout_uri` to register with Oten
    /// (OpenID Connect Back-Channel Logout 1.0 section 2.2).
    #[must_use]
    pub fn back_channel_logout_path(&self) -> String {
        self.0.path(route::BACK_CHANNEL_LOGOUT)
    }

    /// The path of [`jwks_route`](Self::jwks_route): `/.well-known/jwks.json` under the base path.
    ///
    /// [`Config::jwks_uri`] is the whole URL to register with Oten.
    #[must_use]
    pub fn jwks_path(&self) -> String {
        self.0.path(route::JWKS)
    }

    /// The configuration in use.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// Returns the provider's endpoints and features. Fetches the discovery document if no valid one
    /// is cached.
    ///
    /// # Errors
    ///
    /// Returns [`ProviderError`] if no valid document is cached and none can be fetched.
    pub async fn provider_metadata(&self) -> Result<Arc<ProviderMetadata>, ProviderError> {
        self.0.provider.metadata().await
    }

    /// Returns the sessions of a user that have not ended, the most recently used first. There are at most
    /// about as many as [`sessions_per_user`](crate::config::ConfigBuilder::sessions_per_user).
    ///
    /// For the sessions of the signed-in user, see [`UserSession::list`](crate::UserSession::list).
    ///
    /// # Errors
    ///
    /// Returns [`StoreError`] if the store is down.
    ///
    /// ```
    /// # use axum_oten::{Config, MemoryStore, Oten, config::Environment};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let config = Config::builder()
    /// #     .environment(Environment::Sandbox)
    /// #     .client_id("my-site")
    /// #     .client_secret("a-secret-of-at-least-32-bytes-as-Oten-makes-them")
    /// #     .redirect_uri("http://localhost:3000/callback")
    /// #     .build()?;
    /// # let oten = Oten::new(config, MemoryStore::default())?;
    /// for session in oten.sessions_of("alice").await? {
    ///     let device = session.device().unwrap_or_default();
    ///     println!("{} {} {device}", session.handle(), session.last_used_at());
    /// }
    /// assert_eq!(oten.end_sessions_of("alice").await?, 0);
    /// # Ok(()) }
    /// ```
    pub async fn sessions_of(&self, subject: &str) -> Result<Vec<ActiveSession>, StoreError> {
        self.0.sessions.of_subject(subject, None).await
    }

    /// Returns at most `limit` (1 to 1,000) of the sessions of all users, from the
    /// [`next`](SessionPage::next) of an earlier page on.
    ///
    /// The order is stable, but neither by user nor by time. A session that starts meanwhile may be
    /// missing. A page costs a few store reads besides one for each session, also among 100,000.
    ///
    /// # Errors
    ///
    /// Returns [`StoreError`] if the store is down.
    ///
    /// ```
    /// # use axum_oten::{Config, MemoryStore, Oten, config::Environment};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let config = Config::builder()
    /// #     .environment(Environment::Sandbox)
    /// #     .client_id("my-site")
    /// #     .client_secret("a-secret-of-at-least-32-bytes-as-Oten-makes-them")
    /// #     .redirect_uri("http://localhost:3000/callback")
    /// #     .build()?;
    /// # let oten = Oten::new(config, MemoryStore::default())?;
    /// let (mut next, mut count) = (None, 0);
    /// loop {
    ///     let page = oten.sessions_page(next.as_deref(), 100).await?;
    ///     count += page.sessions.len();
    ///     next = page.next;
    ///     if next.is_none() {
    ///         break;
    ///     }
    /// }
    /// assert_eq!(count, 0);
    /// # Ok(()) }
    /// ```
    pub async fn sessions_page(
        &self,
        next: Option<&str>,
        limit: usize,
    ) -> Result<SessionPage, StoreError> {
        self.0.sessions.page(next, limit, None).await
    }

    /// Ends a session of a user like a sign-out in its browser: removes the session and its tokens, and
    /// revokes the refresh token in the background. Returns `false` if the user has no such session.
    ///
    /// # Errors
    ///
    /// Returns [`StoreError`] if the store is down.
    pub async fn end_session(
        &self,
        subject: &str,
        session: SessionHandle,
    ) -> Result<bool, StoreError> {
        let operator = Operator::default();
        self.0.sessions.end_one_as(subject, session, operator).await
    }

    /// Ends all sessions of a user, also those of sign-ins in progress, and returns their number. See
    /// [`end_session`](Self::end_session).
    ///
    /// The user can sign in again. To lock a user out, disable the account at Oten.
    ///
    /// # Errors
    ///
    /// Returns [`StoreError`] if the store is down. Some of the sessions may have ended then; call it again.
    pub async fn end_sessions_of(&self, subject: &str) -> Result<usize, StoreError> {
        self.0
            .sessions
            .end_subject(subject, Operator::default())
            .await
    }

    /// Ends the sessions of all users, also those of sign-ins in progress, and returns their number: for an
    /// incident. See [`end_session`](Self::end_session).
    ///
    /// Works through all sessions, so that it takes a while on a large site. Refresh tokens are revoked
    /// in the background, 32 at a time. [`shutdown`](Self::shutdown) waits for both, but not for longer
    /// than 15 seconds.
    ///
    /// # Errors
    ///
    /// Returns [`StoreError`] if the store is down. Some of the sessions may have ended then; call it again.
    pub async fn end_all_sessions(&self) -> Result<usize, StoreError> {
        self.0.sessions.end_site(Operator::default()).await
    }

    /// Waits until all token refreshes and revocations have finished, at most 15 seconds.
    ///
    /// Call it after the server has stopped and before the process exits. A refresh that is cut off
    /// forces its user to sign in again.
    pub async fn shutdown(&self) {
        let tasks = &self.0.tasks;
        tasks.close();
        if timeout(REFRESH_LIMIT, tasks.wait()).await.is_err() {
            tracing::warn!(
                target: TARGET,
                tasks = tasks.len(),
                "the process exits before all token refreshes and revocations have finished"
            );
        }
    }

    /// Returns the client's address: the address of the peer or, if the peer is one of the configured
    /// [`trusted_proxies`](crate::config::ConfigBuilder::trusted_proxies), the address in `Forwarded`
    /// (RFC 7239) or `X-Forwarded-For`.
    ///
    /// Returns `None` if the peer is unknown. Serve the app with
    /// [`into_make_service_with_connect_info::<SocketAddr>()`](axum::Router::into_make_service_with_connect_info)
    /// to make it known.
    ///
    /// If the two headers disagree, both are ignored; configure the proxy to strip the one it does not
    /// set. The address is for logs and limits. This crate names it in events and shares the token
    /// requests for sign-ins between addresses; it bases no other decision on it.
    ///
    /// ```
    /// use axum::{extract::ConnectInfo, http::Request};
    /// # use axum_oten::{Config, MemoryStore, Oten, config::Environment};
    /// use std::net::SocketAddr;
    ///
    /// # let config = Config::builder()
    /// #     .environment(Environment::Sandbox)
    /// #     .client_id("my-site")
    /// #     .client_secret("a-secret-of-at-least-32-bytes-as-Oten-makes-them")
    /// #     .redirect_uri("http://localhost:3000/callback");
    /// let config = config.trusted_proxies(["10.0.0.0/8"]).build()?;
    /// let oten = Oten::new(config, MemoryStore::default())?;
    /// let request = |peer: &str| {
    ///     let peer: SocketAddr = peer.parse().unwrap();
    ///     let forwarded = ("x-forwarded-for", "192.0.2.1, 203.0.113.9");
    ///     Request::get("/").header(forwarded.0, forwarded.1).extension(ConnectInfo(peer)).body(())
    /// };
    ///
    /// // The trusted proxy appended the address of its client; the entry before it may be forged.
    /// let proxied = oten.client_address(&request("10.0.0.7:4711")?);
    /// assert_eq!(proxied, Some("203.0.113.9".parse()?));
    /// // The headers of any other peer are ignored.
    /// let direct = oten.client_address(&request("198.51.100.4:4711")?);
    /// assert_eq!(direct, Some("198.51.100.4".parse()?));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn client_address<B>(&self, request: &Request<B>) -> Option<IpAddr> {
        client_address::of_request(
            self.config().trusted_proxies(),
            request.extensions(),
            request.headers(),
        )
    }

    /// Checks whether the store and the provider are available.
    ///
    /// Takes at most 2 seconds. The result is reused for 1 second, so frequent probes cause no more
    /// than one check per second.
    ///
    /// ```
    /// use axum_oten::web::DependencyStatus;
    /// # use axum_oten::{Config, MemoryStore, Oten};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let config = Config::builder()
    /// #     .issuer("http://127.0.0.1:1") // nothing listens on this port
    /// #     .client_id("my-site")
    /// #     .client_secret("a-secret-of-at-least-32-bytes-as-Oten-makes-them")
    /// #     .redirect_uri("http://localhost:3000/callback");
    /// let oten = Oten::new(config.build()?, MemoryStore::default())?;
    /// let readiness = oten.readiness().await;
    /// assert_eq!(readiness.store, DependencyStatus::Ok);
    /// // While the provider is down, signed-in users keep their sessions: the app is ready.
    /// assert_eq!(readiness.provider, DependencyStatus::Unreachable);
    /// assert!(readiness.is_ready());
    /// # Ok(()) }
    /// ```
    pub async fn readiness(&self) -> Readiness {
        self.0.readiness.run(&self.0.provider).await
    }

    /// Returns the route `GET /.well-known/jwks.json`, which publishes the client's public keys as a
    /// JWK set (RFC 7517 section 5).
    ///
    /// Mount it if the provider fetches the keys from a URI. The set is empty unless request objects
    /// are signed with an Ed25519 key. The route needs no layer and no session; caches may keep the
    /// response for 5 minutes.
    ///
    /// ```
    /// use axum::{Router, body::Body, http::{Request, StatusCode}};
    /// use axum_oten::{Config, MemoryStore, Oten, Secret, config::Environment, jose::Ed25519KeyPair};
    /// use tower::ServiceExt;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let config = Config::builder()
    ///     .environment(Environment::Sandbox)
    ///     .client_id("my-site")
    ///     .client_secret(Secret::random())
    ///     .redirect_uri("http://localhost:3000/callback")
    ///     .jar_eddsa(Ed25519KeyPair::generate())
    ///     .build()?;
    /// let oten = Oten::new(config, MemoryStore::default())?;
    /// let app: Router = oten.routes().layer(oten.layer()).merge(oten.jwks_route());
    ///
    /// let read = Request::get("/.well-known/jwks.json").body(Body::empty())?;
    /// assert_eq!(app.clone().oneshot(read).await?.status(), StatusCode::OK);
    /// let write = Request::post("/.well-known/jwks.json").body(Body::empty())?;
    /// assert_eq!(app.oneshot(write).await?.status(), StatusCode::METHOD_NOT_ALLOWED);
    /// # Ok(()) }
    /// ```
    pub fn jwks_route<S>(&self) -> Router<S>
    where
        S: Clone + Send + Sync + 'static,
    {
        let keys = self.config().client().published_keys();
        let keys: Vec<Value> = keys.iter().map(Ed25519PublicKey::to_jwk).collect();
        let document = Bytes::from(json!({ "keys": keys }).to_string());
        let headers = [
            // Clients accept it more widely than `application/jwk-set+json` (RFC 7517 section 8.5.1).
            (header::CONTENT_TYPE, "application/json"),
            // A new key must be published for longer than `max-age` before it signs.
            (header::CACHE_CONTROL, "public, max-age=300"),
        ];
        Router::new().route(route::JWKS, get(async move || (headers, document)))
    }
}

/// Builder of [`Oten`], returned by [`Oten::builder`].
///
/// ```
/// # use axum_oten::{Clock, Config, MemoryStore, Oten, config::Environment};
/// # let config = Config::builder()
/// #     .environment(Environment::Sandbox)
/// #     .client_id("my-site")
/// #     .client_secret("a-secret-of-at-least-32-bytes-as-Oten-makes-them")
/// #     .redirect_uri("http://localhost:3000/callback")
/// #     .build()?;
/// let clock = Clock::manual(); // a test advances it
/// let oten = Oten::builder(config, MemoryStore::default())
///     .clock(clock.clone())
///     .audit(|event: &axum_oten::audit::Event| println!("{}", event.kind().name()))
///     .build()?;
/// # drop(oten);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub struct OtenBuilder {
    config: Config,
    store: Arc<dyn OtenStore>,
    clock: Clock,
    audit: Option<Arc<dyn AuditLog>>,
    pages: Option<Arc<dyn Pages>>,
}

impl OtenBuilder {
    /// Sets the clock. Defaults to the system clock.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Sets the audit log, which receives every event. Defaults to none: events are written to
    /// `tracing` only.
    ///
    /// The log must not block; see [`audit`](crate::audit) for an example.
    pub fn audit(mut self, log: impl AuditLog) -> Self {
        self.audit = Some(Arc::new(log));
        self
    }

    /// Shows the pages of this crate in the layout of the app. Defaults to the layout of this crate.
    ///
    /// See [`Pages`] for an example.
    pub fn pages(mut self, pages: impl Pages) -> Self {
        self.pages = Some(Arc::new(pages));
        self
    }

    /// Creates the [`Oten`].
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`Oten::new`].
    pub fn build(self) -> Result<Oten, SetupError> {
        let mut state = Shared::new(self.config, self.store, self.clock, self.audit)?;
        state.pages = self.pages;
        Ok(Oten(Arc::new(state)))
    }
}

impl fmt::Debug for OtenBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OtenBuilder")
            .field("config", &self.config)
            .field("store", &self.store)
            .field("clock", &self.clock)
            .finish_non_exhaustive()
    }
}

/// Answers other methods with 405. `HEAD` is one of them: a link preview must not use up a callback.
fn only<S>(methods: MethodRouter<S>, allowed: &'static str) -> MethodRouter<S>
where
    S: Clone + Send + Sync + 'static,
{
    let reject = async move |context| method_not_allowed(&context, allowed);
    methods.head(reject).fallback(reject)
}

/// RFC 9110 section 15.5.6 requires `Allow`.
fn method_not_allowed(context: &RequestContext, allowed: &'static str) -> Response {
    let response = ErrorResponse::new(context, Error::MethodNotAllowed);
    ([(header::ALLOW, allowed)], response).into_response()
}
