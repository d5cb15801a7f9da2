//! The login route and the callback (OpenID Connect Core 1.0 section 3.1).

use std::{fmt, time::Duration};

use axum::{
    body::Body,
    extract::FromRequestParts,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, Request, header, request::Parts};
use tokio::time::{Instant, timeout};
use url::{Position, Url, form_urlencoded};

use super::{
    context::{RequestContext, is_prefetch},
    cookies::LoginCookie,
    error::{DEADLINE, Error},
    form::read_form,
    native,
    rejection::ErrorResponse,
    response::{not_prefetched, other_user_page, redirect},
    shared::Shared,
};
use crate::{
    audit::{EventKind, Reason},
    config::{FRESH, LOGIN_HINT, LoginOptions, MAX_MAX_AGE, SWITCH_ACCOUNT, route},
    http::CALL_TIMEOUT,
    metric,
    protocol::{
        AuthorizationRequest, CallbackError, CallbackParameters, ExpectedIdToken, ExpectedNonce,
        IdTokenError, TokenEndpoint, TokenResponse, verify_id_token,
    },
    provider::{ProviderMetadata, is_same_issuer},
    session::{
        AttemptState, Device, FreshLogin, Identity, LoginAttempt, NativeSignIn, ReturnTo, Tokens,
        UsedAttempt,
    },
};

/// Maximum number of open login attempts per browser. A new attempt replaces the oldest.
const MAX_ATTEMPTS: usize = 8;

/// Maximum number of attempts that one request removes, however many cookies it has.
const MAX_REMOVALS: usize = 16;

/// The query parameter of the login route that says that a callback restarted the login.
const RESTART: &str = "restart";

/// The query parameter of the login route that says that another site starts the sign-in.
const ISS: &str = "iss";

/// The page of this site to which another site sends the user.
const TARGET_LINK_URI: &str = "target_link_uri";

/// Maximum size of a form that starts a sign-in. It becomes the query of a URL.
const MAX_FORM_BYTES: usize = 4 * 1024;

/// The query parameter of the return path that says that a silent sign-in signed no user in.
const LOGIN_REQUIRED: &str = "login_required=1";

/// Extractor for handlers that start a sign-in with options of their own.
///
/// ```
/// use axum::response::Response;
/// use axum_oten::web::{ErrorResponse, Login, LoginOptions};
/// use std::time::Duration;
///
/// /// Asks the user to authenticate again, whatever sign-in exists.
/// async fn confirm(login: Login) -> Result<Response, ErrorResponse> {
///     let options = LoginOptions::new().max_age(Duration::ZERO);
///     login.start(options, "/payments/new").await
/// }
/// ```
///
/// # Silent sign-in
///
/// With `prompt=none` the provider shows no page. If it would have to, the browser returns to the return
/// path without a sign-in and without an error page, and the path gets the parameter `login_required=1`.
/// A page that starts a silent sign-in must not do so again if it has this parameter. For the next minute,
/// another silent sign-in of the same browser ends in the same way without asking the provider:
///
/// ```
/// use axum::{http::Uri, response::{IntoResponse, Response}};
/// use axum_oten::{User, web::{ErrorResponse, Login, LoginOptions}};
///
/// /// Signs in users who are signed in at the provider, and shows the page to all others.
/// async fn home(user: Option<User>, login: Login, uri: Uri) -> Result<Response, ErrorResponse> {
///     let was_silent = uri.query().is_some_and(|query| query.contains("login_required=1"));
///     if user.is_none() && !was_silent {
///         return login.start(LoginOptions::new().prompt("none"), "/").await;
///     }
///     Ok("the page".into_response())
/// }
/// ```
pub struct Login {
    context: RequestContext,
    headers: HeaderMap,
}

impl Login {
    /// Starts a sign-in, and returns the redirect to the provider. Afterwards the browser returns to the
    /// local path `return_to`, or to the configured home if it is not local or one of this crate's routes.
    ///
    /// A prefetch gets 403 and starts nothing.
    ///
    /// # Errors
    ///
    /// Returns an error page if an option is invalid (400) or the provider or the store is down (503).
    pub async fn start(
        self,
        options: LoginOptions,
        return_to: &str,
    ) -> Result<Response, ErrorResponse> {
        let Self { context, headers } = self;
        if is_prefetch(&headers) {
            return Ok(not_prefetched());
        }
        let return_to = allowed(&context, ReturnTo::parse(return_to));
        let started = timeout(
            DEADLINE,
            start_login(
                &context,
                &headers,
                options,
                LoginAttempt::new(return_to.clone()),
            ),
        );
        let started = started.await.unwrap_or(Err(Error::TooSlow));
        started.map_err(|error| refusal(&context, error, return_to))
    }
}

impl<S: Sync> FromRequestParts<S> for Login {
    type Rejection = ErrorResponse;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ErrorResponse> {
        Ok(Self {
            context: RequestContext::from_request_parts(parts, state).await?,
            headers: parts.headers.clone(),
        })
    }
}

/// Prints nothing of the headers.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("context", &self.context)
            .finish_non_exhaustive()
    }
}

/// `GET /login`: starts a login attempt and redirects the browser to the provider.
pub(super) async fn login(context: RequestContext, headers: HeaderMap) -> Response {
    if is_prefetch(&headers) {
        return not_prefetched();
    }
    let return_to = requested_path(&context);
    let cookies = &context.state.cookies;
    if context.query_parameter(RESTART).is_some() && !cookies.is_restarted(&headers) {
        // The browser keeps no cookies, so the next callback would match no login attempt either.
        let error = Error::UnknownAttempt { has_cookie: false };
        let mut response = failure(&context, error, return_to);
        // In a browser that keeps cookies now, a reload of this page starts the sign-in.
        let headers = response.headers_mut();
        headers.append(header::SET_COOKIE, cookies.restart());
        return response;
    }
    let login = handle_login(&context, &headers, return_to.clone());
    timeout(DEADLINE, login)
        .await
        .unwrap_or(Err(Error::TooSlow))
        .unwrap_or_else(|error| failure(&context, error, return_to))
}

/// `POST /login`: another site starts a sign-in with a form (OpenID Connect Core section 4).
///
/// The browser sends no `SameSite=Lax` cookies with it, so this request cannot tell a signed-in user from a
/// guest. It changes nothing and redirects to the same request with `GET`, with which the cookies come.
pub(super) async fn login_form(context: RequestContext, request: Request<Body>) -> Response {
    timeout(DEADLINE, repeat_with_get(&context, request))
        .await
        .unwrap_or(Err(Error::TooSlow))
        .unwrap_or_else(|error| failure(&context, error, None))
}

async fn repeat_with_get(
    context: &RequestContext,
    request: Request<Body>,
) -> Result<Response, Error> {
    let form = read_form(request, MAX_FORM_BYTES).await;
    let form = form.map_err(Error::LoginForm)?;
    let options = context.state.config.login_parameters();
    let is_known = |name: &str| {
        [ISS, TARGET_LINK_URI, LOGIN_HINT].contains(&name) || options.iter().any(|it| it == name)
    };
    // Repeated parameters stay repeated, and are treated as such.
    let mut query = form_urlencoded::Serializer::new(String::new());
    let mut is_third_party = false;
    for (name, value) in form_urlencoded::parse(&form).filter(|(name, _)| is_known(name)) {
        is_third_party |= name == ISS;
        query.append_pair(&name, &value);
    }
    if !is_third_party {
        return Err(Error::LoginForm("`iss` is missing"));
    }
    let path = context.state.path(route::LOGIN);
    Ok(redirect(&format!("{path}?{}", query.finish())))
}

async fn handle_login(
    context: &RequestContext,
    headers: &HeaderMap,
    return_to: Option<ReturnTo>,
) -> Result<Response, Error> {
    let is_third_party = is_third_party(context)?;
    let max_age = fresh_max_age(context);
    let options = fresh_options(options_in_query(context, is_third_party), max_age);
    // Another site can send the browser here: it must not replace the user's session.
    let keeps_user = is_third_party || options.is_silent();
    if keeps_user && context.signed_in().await?.is_some() {
        return Ok(redirect_back(context, return_to.as_ref()));
    }
    let mut attempt = LoginAttempt::new(return_to);
    if let Some(max_age) = max_age {
        let signed_in = context.signed_in().await?;
        let subject = signed_in.map(|signed_in| signed_in.user().subject().to_owned());
        attempt.fresh = Some(FreshLogin { max_age, subject });
    }
    start_login(context, headers, options, attempt).await
}

/// `GET /native/start`: starts a login attempt for a native app.
pub(super) async fn start_native(context: RequestContext, headers: HeaderMap) -> Response {
    if is_prefetch(&headers) {
        return not_prefetched();
    }
    let request = match native::requested(&context) {
        Ok(request) => request,
        Err(error) => return ErrorResponse::new(&context, error).into_response(),
    };
    let max_age = fresh_max_age(&context);
    let attempt = LoginAttempt {
        native: Some(request),
        fresh: max_age.map(|max_age| FreshLogin {
            max_age,
            subject: None,
        }),
        ..LoginAttempt::new(None)
    };
    let used = attempt.used();
    let options = fresh_options(options_in_query(&context, false), max_age);
    timeout(DEADLINE, start_login(&context, &headers, options, attempt))
        .await
        .unwrap_or(Err(Error::TooSlow))
        .unwrap_or_else(|error| attempt_failure(&context, error, used))
}

fn fresh_options(options: LoginOptions, max_age: Option<u64>) -> LoginOptions {
    match max_age {
        Some(max_age) => options
            .prompt("login")
            .max_age(Duration::from_secs(max_age)),
        None => options,
    }
}

/// Returns how long ago the user may have authenticated, if a page requires that the user signs in again.
fn fresh_max_age(context: &RequestContext) -> Option<u64> {
    let seconds: u64 = context.query_parameter(FRESH)?.parse().ok()?;
    (seconds <= MAX_MAX_AGE.as_secs()).then_some(seconds)
}

/// Whether another site starts the sign-in (OpenID Connect Core section 4): the request names an issuer,
/// which is compared and never contacted.
fn is_third_party(context: &RequestContext) -> Result<bool, Error> {
    if !context.has_query_parameter(ISS) {
        return Ok(false);
    }
    let configured = context.state.config.issuer().to_string();
    match context.query_parameter(ISS) {
        Some(iss) if is_same_issuer(&iss, &configured) => Ok(true),
        _ => Err(Error::ForeignLoginRequest),
    }
}

/// Returns the options that the query may set.
fn options_in_query(context: &RequestContext, is_third_party: bool) -> LoginOptions {
    let mut options = LoginOptions::new();
    if context.has_query_parameter(SWITCH_ACCOUNT) {
        options = options.prompt("select_account");
    }
    let names = context.state.config.login_parameters().iter();
    let hint = is_third_party.then_some(LOGIN_HINT);
    for name in names.map(String::as_str).chain(hint) {
        if let Some(value) = context.query_parameter(name) {
            options.set_if_valid(name, &value);
        }
    }
    options
}

/// `GET` of the redirect URI: completes a login attempt with the provider's response.
pub(super) async fn callback(context: RequestContext, headers: HeaderMap) -> Response {
    if is_prefetch(&headers) {
        return not_prefetched();
    }
    let mut used = UsedAttempt::default();
    let response = timeout(DEADLINE, handle_callback(&context, &headers, &mut used))
        .await
        .unwrap_or(Err(Error::TooSlow));
    response.unwrap_or_else(|error| attempt_failure(&context, error, used))
}

/// Returns the error of a login attempt to the browser, or to the native app that started it.
fn attempt_failure(context: &RequestContext, error: Error, used: UsedAttempt) -> Response {
    let response = refusal(context, error, used.return_to);
    match &used.native {
        Some(request) => native::failed(response, request),
        None => response.into_response(),
    }
}

fn failure(context: &RequestContext, error: Error, return_to: Option<ReturnTo>) -> Response {
    refusal(context, error, return_to).into_response()
}

fn refusal(context: &RequestContext, error: Error, return_to: Option<ReturnTo>) -> ErrorResponse {
    let response = ErrorResponse::new(context, error).of_sign_in(&context.state, return_to);
    metric::login(match response.reason() {
        Reason::Cancelled => metric::Login::Cancelled,
        _ => metric::Login::Refused,
    });
    response
}

/// Returns the path that the query names: as `return_to`, or as the `target_link_uri` of another site,
/// which must be a page of this site.
fn requested_path(context: &RequestContext) -> Option<ReturnTo> {
    let path = if context.has_query_parameter(ISS) {
        let target: Url = context.query_parameter(TARGET_LINK_URI)?.parse().ok()?;
        let site = context.state.config.redirect_uri();
        let is_own = target.origin() == site.origin()
            && target.username().is_empty()
            && target.password().is_none();
        is_own.then(|| target[Position::BeforePath..].to_owned())?
    } else {
        context.query_parameter("return_to")?
    };
    allowed(context, ReturnTo::parse(&path))
}

/// Rejects, in any spelling, the crate's own routes, which would start over.
fn allowed(context: &RequestContext, return_to: Option<ReturnTo>) -> Option<ReturnTo> {
    return_to.filter(|path| !context.state.is_own_page(path))
}

/// Stores a login attempt, binds it to the browser by a cookie and redirects the browser to the provider.
async fn start_login(
    context: &RequestContext,
    headers: &HeaderMap,
    options: LoginOptions,
    attempt: LoginAttempt,
) -> Result<Response, Error> {
    let state = &context.state;
    // A native app decides itself what to do if no page may be shown.
    let is_silent = options.is_silent() && attempt.native.is_none();
    let options = options.over(state.config.login_defaults())?;
    if is_silent && state.cookies.is_silent_in_vain(headers) {
        return Ok(redirect_guest(context, attempt.return_to.as_ref()));
    }
    let attempt = LoginAttempt {
        max_age: options.verified_max_age().map(|age| age.as_secs()),
        is_silent,
        ..attempt
    };
    let metadata = state.provider.metadata().await?;
    let now = state.clock.now();
    let url = state.authorization_requests.url(&AuthorizationRequest {
        issuer: metadata.issuer(),
        endpoint: metadata.authorization_endpoint(),
        state: &attempt.state,
        nonce: &attempt.nonce,
        code_verifier: &attempt.code_verifier,
        options: &options,
        now: now.unix_timestamp(),
    });
    let url = url.map_err(Error::RequestObject)?;
    let (attempt_state, is_native) = (attempt.state.clone(), attempt.native.is_some());
    let id = state.attempts.open(attempt).await?;

    let mut response = redirect(&url);
    let open = state.cookies.logins_by_age(headers);
    let surplus = (open.len() + 1).saturating_sub(MAX_ATTEMPTS);
    for oldest in open.iter().take(surplus.min(MAX_REMOVALS)) {
        if state.attempts.remove(&oldest.id).await.is_err() {
            break; // the attempt expires
        }
        let removed = state.cookies.remove_login(oldest);
        response.headers_mut().append(header::SET_COOKIE, removed);
    }
    let cookie = state.cookies.login(&attempt_state, &id, is_native, now);
    response.headers_mut().append(header::SET_COOKIE, cookie);
    metric::login_started();
    Ok(response)
}

/// Checks the state before it calls the provider; then `iss`, `error` and `code`.
async fn handle_callback(
    context: &RequestContext,
    headers: &HeaderMap,
    used: &mut UsedAttempt,
) -> Result<Response, Error> {
    let parameters = CallbackParameters::parse(context.uri.query().unwrap_or_default())?;
    let state = parameters.state()?;
    let login = context.state.cookies.login_for(headers, state);
    let is_native = login.as_ref().is_some_and(|login| login.is_native);
    if context.session_cookies.are_several() && !is_native {
        // The browser would keep both session cookies after the sign-in, and both would be ignored.
        return Err(Error::SeveralSessionCookies);
    }
    let found = match &login {
        Some(login) => context.state.attempts.take(&login.id, state).await?,
        None => AttemptState::Unknown,
    };
    match (found, login) {
        (AttemptState::Taken { attempt, age }, Some(login)) => {
            *used = attempt.used();
            let device = device_of(context, headers);
            match complete(context, parameters, &attempt, age, &login, device).await {
                Err(Error::Callback(CallbackError::ErrorResponse(code)))
                    if attempt.is_silent && code.reason() == Reason::InteractionRequired =>
                {
                    Ok(redirect_guest(context, attempt.return_to.as_ref()))
                }
                Err(Error::IdToken(IdTokenError::AuthTime)) if attempt.fresh.is_some() => {
                    let max_age = attempt.fresh.map_or(0, |fresh| fresh.max_age);
                    Err(Error::FreshLogin { max_age })
                }
                result => result,
            }
        }
        (AttemptState::Used(found), Some(login)) => {
            *used = found;
            match used.native {
                Some(_) => native::confirm_again(context, &login).await,
                None => restart_login(context, headers, used.clone()).await,
            }
        }
        // A restart would sign the user in to this site.
        (_, Some(login)) if login.is_native => Err(Error::NativeSignInUsed),
        _ => {
            // Most likely the silent sign-in of a browser that keeps no cookies. The error is not proven,
            // but a guest may as well open the home page.
            let is_silent = parameters.requires_interaction()
                && !context.state.config.login_defaults().is_silent();
            let unknown = UsedAttempt {
                is_silent,
                ..UsedAttempt::default()
            };
            restart_login(context, headers, unknown).await
        }
    }
}

/// Handles a callback that matches no open login attempt of this browser: repeated, reached with the
/// back button, too late, without cookies, or forged. It never signs a user in or out. A signed-in
/// user continues to the page; for a guest the login restarts, at most once a minute, unless it was silent.
///
/// A cookie marks the browser, because the provider or a proxy may change `state`. The redirect leads
/// to the login route, which finds out whether the browser has kept the cookie: a browser that keeps
/// none would go back and forth between the site and the provider.
async fn restart_login(
    context: &RequestContext,
    headers: &HeaderMap,
    used: UsedAttempt,
) -> Result<Response, Error> {
    let return_to = used.return_to;
    if let Some(signed_in) = context.signed_in().await? {
        // Another user does not continue what the first has started.
        let is_other = |subject| signed_in.user().subject() != subject;
        let return_to = return_to.filter(|_| !used.subject.as_deref().is_some_and(is_other));
        return Ok(redirect_back(context, return_to.as_ref()));
    }
    if used.is_silent {
        return Ok(redirect_guest(context, return_to.as_ref()));
    }
    let state = &context.state;
    if state.cookies.is_restarted(headers) {
        return Err(Error::UnknownAttempt { has_cookie: true });
    }
    context.record(&context.event(EventKind::LoginRestarted));
    let login_url = state.login_url(return_to.as_ref());
    let separator = if login_url.contains('?') { '&' } else { '?' };
    let mut response = redirect(&format!("{login_url}{separator}{RESTART}=1"));
    let cookie = state.cookies.restart();
    response.headers_mut().append(header::SET_COOKIE, cookie);
    Ok(response)
}

/// Exchanges the code, verifies the ID token and signs the user in: here, or in the native app that asked
/// for it.
async fn complete(
    context: &RequestContext,
    parameters: CallbackParameters,
    attempt: &LoginAttempt,
    attempt_age: Duration,
    login: &LoginCookie,
    device: Device,
) -> Result<Response, Error> {
    let state = &context.state;
    let metadata = state.provider.metadata().await?;
    let code = parameters.into_code(
        metadata.issuer(),
        metadata.authorization_response_iss_parameter_supported(),
    )?;
    if let Some(budget) = &state.budget {
        budget.sign_in(context.session.origin().client_address())?;
    }
    let deadline = Instant::now() + CALL_TIMEOUT;
    let endpoint = TokenEndpoint {
        http: state.provider.http(),
        url: metadata.token_endpoint(),
        client: state.config.client(),
    };
    let start = state.sessions.start_sign_in(attempt_age).await?.on(device);
    let tokens = endpoint
        .exchange_code(state.config.redirect_uri(), &code, &attempt.code_verifier)
        .await?;
    let verified = verify(state, &metadata, &tokens, attempt, attempt_age).await;
    let mut tokens = Tokens::new(tokens, attempt.nonce.clone(), state.clock.now());
    let revoke = |_: &_| (state.sessions).revoke(&tokens, context.session.origin());
    let identity = verified.inspect_err(revoke)?;
    if state.config.claims_from_userinfo() {
        let (token, subject) = (&tokens.access_token, &identity.subject);
        let origin = context.session.origin();
        let claims = state
            .userinfo
            .added_claims(token, subject, origin, deadline);
        tokens.added_claims = claims.await.unwrap_or_default();
    }
    if let Some(request) = attempt.native.clone() {
        let sign_in = NativeSignIn::new(request, start, identity, tokens);
        return native::signed_in(context, login, sign_in).await;
    }
    let expected = attempt.fresh.as_ref().and_then(|it| it.subject.as_ref());
    let is_other_user = expected.is_some_and(|subject| *subject != identity.subject);
    let previous = context.session_cookies.only();
    let origin = context.session.origin().clone();
    let signed_in = state
        .sessions
        .sign_in(start, previous, identity, tokens, origin)
        .await?;
    let id = signed_in.ok_or(Error::SignedOutMeanwhile)?;
    context.mark_session_written();
    // The page may be an action that the first user has started.
    let mut response = if is_other_user {
        let mut response = other_user_page(context);
        let removed = state.cookies.remove_form();
        response.headers_mut().append(header::SET_COOKIE, removed);
        response
    } else {
        redirect_back(context, attempt.return_to.as_ref())
    };
    let cookie = state.cookies.session(id, None, state.clock.now());
    response.headers_mut().append(header::SET_COOKIE, cookie);
    Ok(response)
}

/// Returns the device that signs in, as the user sees it in the list of sessions.
fn device_of(context: &RequestContext, headers: &HeaderMap) -> Device {
    let user_agent = headers.get(header::USER_AGENT);
    let address = context.session.origin().client_address();
    Device::new(
        user_agent.map_or(&[], HeaderValue::as_bytes),
        address.filter(|_| context.state.config.session_addresses()),
    )
}

async fn verify(
    state: &Shared,
    metadata: &ProviderMetadata,
    tokens: &TokenResponse,
    attempt: &LoginAttempt,
    attempt_age: Duration,
) -> Result<Identity, Error> {
    let now = state.clock.unix_now();
    let since = |max_age: u64| {
        let seconds = attempt_age.as_secs().saturating_add(max_age);
        now.saturating_sub(i64::try_from(seconds).unwrap_or(i64::MAX))
    };
    let expected = ExpectedIdToken {
        issuer: metadata.issuer(),
        client: state.config.client(),
        subject: None,
        nonce: ExpectedNonce::Required(&attempt.nonce),
        auth_time: None,
        access_token: &tokens.access_token,
        authenticated_since: attempt.max_age.map(since),
        now,
    };
    let id_token = tokens.id_token.as_ref();
    let claims = verify_id_token(&state.provider, metadata, id_token, &expected).await?;
    Ok(Identity {
        issuer: metadata.issuer().to_owned(),
        auth_time: claims.auth_time,
        subject: claims.sub,
        sid: claims.sid,
        session_expiry: claims.session_expiry,
        claims: claims.other,
    })
}

fn redirect_back(context: &RequestContext, return_to: Option<&ReturnTo>) -> Response {
    redirect(return_to.map_or(context.state.config.home(), ReturnTo::as_str))
}

/// Returns a guest to the page after a silent sign-in, and marks the path and the browser, so that neither
/// the page nor the login route starts another one at once.
fn redirect_guest(context: &RequestContext, return_to: Option<&ReturnTo>) -> Response {
    let state = &context.state;
    let page = return_to.map_or(state.config.home(), ReturnTo::as_str);
    let (page, fragment) = page.split_at(page.find('#').unwrap_or(page.len()));
    let query = page.split_once('?').map(|(_, query)| query);
    let mut response = redirect(&match query {
        Some(query) if query.split('&').any(|part| part == LOGIN_REQUIRED) => {
            format!("{page}{fragment}")
        }
        Some(_) => format!("{page}&{LOGIN_REQUIRED}{fragment}"),
        None => format!("{page}?{LOGIN_REQUIRED}{fragment}"),
    });
    let cookie = state.cookies.silent();
    response.headers_mut().append(header::SET_COOKIE, cookie);
    response
}
