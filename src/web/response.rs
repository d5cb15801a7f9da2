use askama::Template;
use axum::response::{IntoResponse, Redirect, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::json;
use url::form_urlencoded;

use super::{
    context::{RequestContext, RequestKind},
    error::{ErrorPage, NextStep},
    page::{Page, in_layout},
    shared::Shared,
};
use crate::{
    audit::Reason,
    config::{FRESH, SWITCH_ACCOUNT, route},
    session::{ReturnTo, User},
    text,
};

/// Redirects the browser with `GET`. The response must not be cached.
pub(super) fn redirect(to: &str) -> Response {
    let mut response = Redirect::to(to).into_response();
    protect(response.headers_mut());
    forbid_caching(response.headers_mut());
    response
}

/// Where the links of an error page lead.
pub(super) struct Links {
    /// The page to return to after a sign-in.
    pub(super) return_to: Option<ReturnTo>,
    /// Where the user can try again. `None` for a form, whose data a link would lose.
    pub(super) retry_url: Option<String>,
    /// The account that the user is signed in with, if the page is about it.
    pub(super) account: Option<String>,
    /// The link that returns the error to a native app.
    pub(super) app: Option<String>,
    /// How long ago the user may have authenticated, if the page requires a recent sign-in.
    pub(super) fresh_max_age: Option<u64>,
    /// What became of the form that the browser has sent, if a sign-in interrupts it.
    pub(super) form: Option<Form>,
}

/// A form that a sign-in interrupts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Kept,
    Lost,
}

impl Links {
    /// Returns the URL of the sign-in that the page requires.
    pub(super) fn login_url(&self, state: &Shared) -> String {
        login_url(state, self.fresh_max_age, self.return_to.as_ref())
    }
}

fn login_url(state: &Shared, fresh_max_age: Option<u64>, return_to: Option<&ReturnTo>) -> String {
    let max_age = fresh_max_age.map(|seconds| seconds.to_string());
    let fresh = max_age.as_deref().map(|seconds| (FRESH, seconds));
    state.login_url_with(fresh, return_to)
}

/// Returns the response to a prefetch. The browser discards a response with an error status and
/// requests the URL again when the user follows the link. The status is not 503, so that no proxy and
/// no monitoring takes the site for down.
pub(super) fn not_prefetched() -> Response {
    let mut response = StatusCode::FORBIDDEN.into_response();
    protect(response.headers_mut());
    forbid_caching(response.headers_mut());
    response
}

/// Returns an error as a page or as problem details (RFC 9457), by request kind.
pub(super) fn error_page(
    context: &RequestContext,
    page: &ErrorPage,
    reason: Reason,
    links: Links,
) -> Response {
    let fresh_max_age = links.fresh_max_age;
    let mut response = match context.kind {
        RequestKind::Api => problem_details(context, page, reason, fresh_max_age),
        RequestKind::Page | RequestKind::Form => html(context, page, reason, links),
    };
    *response.status_mut() = page.status;
    // RFC 9110 section 11.6.1. No registered authentication scheme is for cookies: `Bearer` would ask a
    // browser for a token, and `Basic`, `Digest` and `Negotiate` make it show a dialog. `Cookie` is the name
    // that others use, after an expired Internet-Draft (draft-broyer-http-cookie-auth).
    let challenge = match (page.status, context.is_native()) {
        (StatusCode::UNAUTHORIZED, false) => Some("Cookie"),
        (StatusCode::UNAUTHORIZED, true) => Some(r#"Bearer error="invalid_token""#),
        (StatusCode::BAD_REQUEST, true) => Some(r#"Bearer error="invalid_request""#),
        _ => None,
    };
    let challenge = match (challenge, fresh_max_age) {
        // RFC 9470 section 3.
        (Some(challenge), Some(max_age)) if page.status == StatusCode::UNAUTHORIZED => {
            let scheme = challenge.split(' ').next().unwrap_or_default();
            let error = "insufficient_user_authentication";
            HeaderValue::try_from(format!("{scheme} error=\"{error}\", max_age=\"{max_age}\"")).ok()
        }
        (challenge, _) => challenge.map(HeaderValue::from_static),
    };
    if let Some(challenge) = challenge {
        let headers = response.headers_mut();
        headers.insert(header::WWW_AUTHENTICATE, challenge);
    }
    if let Some(retry_after) = page.retry_after {
        let seconds = HeaderValue::from(retry_after.as_secs().max(1));
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    response
}

fn html(context: &RequestContext, error: &ErrorPage, reason: Reason, links: Links) -> Response {
    let state = &context.state;
    let is_error = error.status != StatusCode::OK;
    let login_url = links.login_url(state);
    let switch_url = switch_url(state, links.return_to.as_ref());
    let mut page = Page::new(context.language(), error.title, error.text);
    let next_steps = match links.app {
        Some(url) => {
            page = page.link(text::RETURN_TO_APP, url);
            // A sign-in of this site would not be the app's.
            &[]
        }
        None => error.next_steps,
    };
    for step in next_steps {
        page = match (step, &links.retry_url) {
            (NextStep::SignIn(text), _) => page.link(*text, &login_url),
            (NextStep::TryAgain, Some(url)) => page.link(text::TRY_AGAIN, url),
            (NextStep::SwitchAccount, _) => page.link(text::USE_ANOTHER_ACCOUNT, &switch_url),
            (NextStep::SignOut, _) => page.form(text::SIGN_OUT, state.path(route::LOGOUT)),
            // Every page has a link to the home page.
            (NextStep::GoBack, _) | (NextStep::TryAgain, None) => page,
        };
    }
    if let Some(form) = links.form {
        let text = match form {
            Form::Kept => text::FORM_IS_KEPT,
            Form::Lost => text::FORM_IS_NOT_KEPT,
        };
        page.text = format!("{} {}", page.text, text.get(page.language));
    }
    page.status = error.status;
    page.account = links.account;
    page.reason = is_error.then_some(reason);
    page.correlation_id = is_error.then(|| context.correlation_id().to_owned());
    message(context, page)
}

/// Returns the page on which a signed-in user confirms signing out.
pub(super) fn confirm_sign_out_page(context: &RequestContext) -> Response {
    let page = Page::new(
        context.language(),
        text::SIGN_OUT_QUESTION,
        text::ARE_SIGNED_IN,
    )
    .form(text::SIGN_OUT, context.state.path(route::LOGOUT));
    message(context, page)
}

/// Returns the name of an account, on one line and not too long.
fn account(name: &str) -> String {
    const MAX_CHARS: usize = 100;
    let name = name.chars().filter(|c| !c.is_control());
    name.take(MAX_CHARS).collect()
}

/// Returns how a page names a signed-in user.
pub(super) fn account_of(user: &User) -> String {
    account(user.email().or(user.name()).unwrap_or(user.subject()))
}

/// Returns the page on which the user confirms the sign-in of a native app. Another app may have registered
/// its link, and no other page of a sign-in may have been shown.
pub(super) fn confirm_app_page(
    context: &RequestContext,
    login_tag: &str,
    user: &str,
    link: &str,
) -> Response {
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("login", login_tag)
        .finish();
    let url = format!("{}?{query}", context.state.path(route::NATIVE_CONFIRM));
    let language = context.language();
    let mut page = Page::new(language, text::CONTINUE_TO_APP, text::APP_ASKS)
        .form(text::CONTINUE, &*url)
        .form(text::CANCEL, format!("{url}&cancel=1"));
    page.text = text::APP_ASKS.fill(language, &[("link", link)]);
    page.account = Some(account(user));
    page.correlation_id = Some(context.correlation_id().to_owned());
    message(context, page)
}

/// Returns the page after another user than the one who started it has signed in again.
pub(super) fn other_user_page(context: &RequestContext) -> Response {
    message(
        context,
        Page::new(context.language(), text::ANOTHER_ACCOUNT, text::OTHER_USER),
    )
}

/// Returns the page after signing out. `at_provider`: whether the browser returns from the provider's
/// sign-out.
pub(super) fn signed_out_page(context: &RequestContext, at_provider: bool) -> Response {
    let text = if at_provider {
        text::SIGNED_OUT_AT_PROVIDER
    } else {
        text::NOT_SIGNED_IN_HERE
    };
    let page = Page::new(context.language(), text::SIGNED_OUT, text)
        .link(text::SIGN_IN, context.state.login_url(None));
    message(context, page)
}

fn message(context: &RequestContext, page: Page) -> Response {
    match page.into_message(context.state.config.home()) {
        Ok(page) => show(context, &page),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Returns a page with more content than a message.
pub(super) fn show_with(context: &RequestContext, page: &Page, main: &impl Template) -> Response {
    let Ok(html) = main.render() else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let mut page = page.clone();
    page.content = html;
    show(context, &page)
}

/// Returns a page with its content, in the layout of the app if it has one for these pages.
fn show(context: &RequestContext, page: &Page) -> Response {
    let mut response = match &context.state.pages {
        Some(pages) => pages.show(page),
        None => in_layout(page),
    };
    *response.status_mut() = page.status;
    let headers = response.headers_mut();
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static(
            "base-uri 'none'; frame-ancestors 'none'",
        ));
    let language = HeaderValue::from_static(page.language.tag());
    headers.insert(header::CONTENT_LANGUAGE, language);
    headers.append(header::VARY, HeaderValue::from_static("accept-language"));
    protect_page(headers);
    prevent_caching(headers);
    response
}

/// Removes the session cookie and, unless the configuration says otherwise, what the browser has cached
/// of this site: pages of the app, and those that the back button shows.
pub(super) fn end_session(state: &Shared, headers: &mut HeaderMap) {
    headers.append(header::SET_COOKIE, state.cookies.remove_session());
    if state.config.clear_cache() {
        headers
            .entry("clear-site-data")
            .or_insert(HeaderValue::from_static("\"cache\""));
    }
}

/// Keeps a response that depends on the user out of caches, unless the handler has set
/// `Cache-Control`.
pub(super) fn forbid_caching(headers: &mut HeaderMap) {
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
}

/// Keeps a response out of all caches, whatever the handler has set.
pub(super) fn prevent_caching(headers: &mut HeaderMap) {
    // For the caches that prefer them to `Cache-Control` (RFC 9213).
    const OTHERS: [&str; 3] = ["edge-control", "surrogate-control", "x-accel-expires"];
    let is_other = |name: &&HeaderName| {
        name.as_str().ends_with("-cache-control") || OTHERS.contains(&name.as_str())
    };
    let others: Vec<_> = headers.keys().filter(is_other).cloned().collect();
    for name in others {
        headers.remove(name);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

/// Sets the security headers of a page. They isolate it from the window that opened it.
pub(super) fn protect_page(headers: &mut HeaderMap) {
    protect(headers);
    headers.insert(
        "cross-origin-opener-policy",
        HeaderValue::from_static("same-origin"),
    );
    // The policy of an app's layout may allow frames.
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
}

/// Sets the security headers of a response without content. Omits `Cross-Origin-Opener-Policy`, so
/// that an app can open the sign-in in a popup.
pub(super) fn protect(headers: &mut HeaderMap) {
    const SECURITY_HEADERS: [(HeaderName, HeaderValue); 2] = [
        (
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ),
        // The callback's URL must not leave this site. `no-referrer` would make browsers send
        // `Origin: null` with the sign-out form.
        (
            header::REFERRER_POLICY,
            HeaderValue::from_static("same-origin"),
        ),
    ];
    for (name, value) in SECURITY_HEADERS {
        headers.insert(name, value);
    }
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static(
            "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ));
}

/// Returns the URL at which the user signs in with another account.
fn switch_url(state: &Shared, return_to: Option<&ReturnTo>) -> String {
    state.login_url_with(Some((SWITCH_ACCOUNT, "1")), return_to)
}

fn problem_details(
    context: &RequestContext,
    page: &ErrorPage,
    reason: Reason,
    fresh_max_age: Option<u64>,
) -> Response {
    let mut problem = json!({
        "type": "about:blank",
        "title": page.title.english(),
        "status": page.status.as_u16(),
        "detail": page.text.english(),
        "reason": reason,
        "correlation_id": context.correlation_id(),
    });
    if let Some(max_age) = fresh_max_age {
        problem["max_age"] = max_age.into();
    }
    let state = &context.state;
    for step in page.next_steps {
        match step {
            // A native app signs in with its own route.
            NextStep::SignIn(_) if context.is_native() => {}
            NextStep::SignIn(_) => {
                problem["login_url"] = login_url(state, fresh_max_age, None).into();
            }
            NextStep::SwitchAccount => {
                problem["switch_account_url"] = switch_url(state, None).into();
            }
            NextStep::SignOut => problem["logout_url"] = state.path(route::LOGOUT).into(),
            NextStep::GoBack => problem["home_url"] = state.config.home().into(),
            // Scripts of other origins cannot read the header.
            NextStep::TryAgain => {
                if let Some(pause) = page.retry_after {
                    problem["retry_after"] = pause.as_secs().max(1).into();
                }
            }
        }
    }
    uncached_json(PROBLEM_JSON, &problem)
}

/// The media type of problem details (RFC 9457).
pub(in crate::web) const PROBLEM_JSON: &str = "application/problem+json";

pub(super) const JSON: &str = "application/json";

/// Returns JSON that must not be cached.
pub(in crate::web) fn uncached_json(media_type: &'static str, value: &impl Serialize) -> Response {
    let Ok(body) = serde_json::to_vec(value) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let content_type = [(header::CONTENT_TYPE, media_type)];
    let mut response = (content_type, body).into_response();
    protect_page(response.headers_mut());
    forbid_caching(response.headers_mut());
    response
}
