//! The pages of our own: errors, and the way out. For programs the same as problem details
//! (RFC 9457).

use std::sync::LazyLock;

use askama::Template;
use axum::{
    body::Body,
    response::{Html, IntoResponse, Response},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderValue, StatusCode, header};
use serde_json::json;
use sha2::{Digest, Sha256};
use url::form_urlencoded;

use super::{
    Oten,
    error::{Description, Error, Remedy},
    request_context::{RequestContext, keep_private},
    request_kind::RequestKind,
    security_headers::protect_page,
};
use crate::session::ReturnTo;

const STYLE: &str = include_str!("../../templates/page.css");

/// Nothing is loaded, and of styles only the one above is used. `form-action` is left out: browsers
/// apply it to where a form's answer redirects, which after signing out may be elsewhere.
static CONTENT_SECURITY_POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = BASE64_STANDARD.encode(Sha256::digest(STYLE));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; frame-ancestors 'none'"
    );
    HeaderValue::from_str(&policy).expect("base64 is a header value")
});

#[derive(Template)]
#[template(path = "page.html")]
struct Page<'a> {
    title: &'a str,
    sentence: &'a str,
    action: Action<'a>,
    home: &'a str,
    correlation_id: Option<&'a str>,
    style: &'static str,
}

/// The one thing a page offers to do.
enum Action<'a> {
    Link { text: &'a str, href: String },
    Post { text: &'a str, href: String },
    None,
}

/// An error, as a page or as problem details.
pub(super) fn error(
    context: &RequestContext,
    error: &Error,
    return_to: Option<&ReturnTo>,
) -> Response {
    let description = error.description();
    let mut response = match context.request_kind() {
        RequestKind::Api => problem(context, &description),
        RequestKind::Page | RequestKind::Form => {
            let action = match description.remedy {
                Remedy::SignIn(text) => Action::Link {
                    text,
                    href: login_url(context.oten(), return_to),
                },
                Remedy::SignOut => sign_out_button(context.oten()),
                Remedy::Nothing => Action::None,
            };
            page(&Page {
                title: description.title,
                sentence: description.sentence,
                action,
                home: context.oten().config().home(),
                correlation_id: (description.status != StatusCode::OK)
                    .then(|| context.correlation_id()),
                style: STYLE,
            })
        }
    };
    *response.status_mut() = description.status;
    if let Some(after) = description.retry_after {
        let seconds = HeaderValue::from(after.as_secs().max(1));
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    response
}

/// The page that asks a signed-in user whether to sign out.
pub(super) fn sign_out(oten: &Oten) -> Response {
    page(&Page {
        title: "Sign out?",
        sentence: "You are signed in to this site.",
        action: sign_out_button(oten),
        home: oten.config().home(),
        correlation_id: None,
        style: STYLE,
    })
}

/// The page after signing out.
pub(super) fn signed_out(oten: &Oten) -> Response {
    farewell(oten, "Nobody is signed in to this site in this browser.")
}

/// The page for who comes back from signing out at the provider.
pub(super) fn signed_out_at_provider(oten: &Oten) -> Response {
    let sentence = "You have left this site, and Oten was asked to sign you out there, too.";
    farewell(oten, sentence)
}

fn farewell(oten: &Oten, sentence: &'static str) -> Response {
    page(&Page {
        title: "You are signed out",
        sentence,
        action: Action::Link {
            text: "Sign in",
            href: login_url(oten, None),
        },
        home: oten.config().home(),
        correlation_id: None,
        style: STYLE,
    })
}

/// The login route, with the page to come back to.
pub(super) fn login_url(oten: &Oten, return_to: Option<&ReturnTo>) -> String {
    let path = oten.login_path();
    match return_to {
        None => path,
        Some(return_to) => {
            let query = form_urlencoded::Serializer::new(String::new())
                .append_pair("return_to", return_to.as_str())
                .finish();
            format!("{path}?{query}")
        }
    }
}

fn sign_out_button(oten: &Oten) -> Action<'static> {
    Action::Post {
        text: "Sign out",
        href: oten.logout_path(),
    }
}

fn page(page: &Page<'_>) -> Response {
    let Ok(html) = page.render() else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let mut response = Html(html).into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        CONTENT_SECURITY_POLICY.clone(),
    );
    protect_page(headers);
    keep_private(headers);
    response
}

fn problem(context: &RequestContext, description: &Description) -> Response {
    let mut problem = json!({
        "type": "about:blank",
        "title": description.title,
        "status": description.status.as_u16(),
        "detail": description.sentence,
        "reason": description.reason,
        "correlation_id": context.correlation_id(),
    });
    if matches!(description.remedy, Remedy::SignIn(_)) {
        problem["login_url"] = context.oten().login_path().into();
    }
    let mut response = Response::new(Body::from(problem.to_string()));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/problem+json"),
    );
    protect_page(headers);
    keep_private(headers);
    response
}
