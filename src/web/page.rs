use std::{fmt, sync::LazyLock};

use askama::Template;
use axum::response::{Html, IntoResponse, Response};
use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderValue, StatusCode, header};
use sha2::{Digest, Sha256};

use crate::{
    audit::Reason,
    text::{self, Language, Text},
};

/// A page of this crate, as data: an error, a question before the user signs out, a list of sessions.
///
/// Implementations of [`Pages`] show it in the layout of the app.
///
/// **The texts may contain what users and other sites have sent. Escape them in HTML**, as template engines
/// do. [`content`](Self::content) is HTML already.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Page {
    /// The status of the response, which [`Pages`] cannot change.
    pub status: StatusCode,
    /// The language of the texts, from `Accept-Language`.
    pub language: Language,
    /// The heading. Plain text, as all fields but `content`.
    pub title: String,
    /// The account that the page is about: an email address, a name or a subject.
    pub account: Option<String>,
    /// What happened and what the user can do, in one to three sentences.
    pub text: String,
    /// Links and buttons, the most useful first. The last one leads to the home page.
    pub actions: Vec<Action>,
    /// Why the request failed. `None` for a page that is no error.
    pub reason: Option<Reason>,
    /// What support needs to find the request in the log. `None` for a page that is no error.
    pub correlation_id: Option<String>,
    /// All of this as HTML, for the element `main`. Pages that consist of more than a message, such as the
    /// list of sessions or the fields of a form, show the rest only here. The classes are those of `templates/page.css`; it needs no
    /// script.
    pub content: String,
}

/// A link or a button of a [`Page`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Action {
    /// The text of the link or button.
    pub label: &'static str,
    /// The URL of the link or of the form.
    pub url: String,
    /// Whether this is a button that sends a form without fields by `POST`, instead of a link.
    pub is_form: bool,
}

/// Shows the pages of this crate in the layout of the app.
///
/// Set it with [`OtenBuilder::pages`](super::OtenBuilder::pages). Closures that take a [`&Page`](Page)
/// implement this trait. The status, `no-store` and the other security headers of the response are those
/// of this crate. Without a `Content-Security-Policy` from the app, the response gets one that forbids
/// frames and `base` elements only. A policy with `form-action` must allow the links of native apps and the
/// provider, to which forms of these pages lead.
///
/// ```
/// use axum::response::{Html, IntoResponse, Response};
/// use axum_oten::web::{Page, Pages};
///
/// fn escape(text: &str) -> String {
///     // A template engine does this.
///     text.replace('&', "&amp;").replace('<', "&lt;")
/// }
///
/// fn in_layout(page: &Page) -> Response {
///     let (lang, title) = (page.language.tag(), escape(&page.title));
///     Html(format!(
///         "<!doctype html><html lang={lang}><title>{title} - Shop</title>\
///          <link rel=stylesheet href=/shop.css><nav>…</nav><main>{}</main></html>",
///         page.content,
///     ))
///     .into_response()
/// }
///
/// fn takes(pages: impl Pages) {}
/// takes(in_layout);
/// ```
pub trait Pages: Send + Sync + 'static {
    /// Returns the response for a page. **This must not block.**
    fn show(&self, page: &Page) -> Response;
}

impl<F: Fn(&Page) -> Response + Send + Sync + 'static> Pages for F {
    fn show(&self, page: &Page) -> Response {
        self(page)
    }
}

impl Page {
    /// Returns a page with a heading and a sentence that is no error and has no actions yet.
    pub(super) fn new(language: Language, title: Text, text: Text) -> Self {
        Self {
            status: StatusCode::OK,
            language,
            title: title.get(language).to_owned(),
            account: None,
            text: text.get(language).to_owned(),
            actions: Vec::new(),
            reason: None,
            correlation_id: None,
            content: String::new(),
        }
    }

    pub(super) fn link(mut self, label: Text, url: impl Into<String>) -> Self {
        self.actions.push(Action {
            label: label.get(self.language),
            url: url.into(),
            is_form: false,
        });
        self
    }

    pub(super) fn form(mut self, label: Text, url: impl Into<String>) -> Self {
        self.actions.push(Action {
            label: label.get(self.language),
            url: url.into(),
            is_form: true,
        });
        self
    }

    /// Completes a page that is a message.
    pub(super) fn into_message(self, home: &str) -> askama::Result<Self> {
        let page = self.link(text::BACK_TO_SITE, home);
        let content = Message { page: &page }.render()?;
        Ok(Self { content, ..page })
    }
}

const STYLE: &str = include_str!("../../templates/page.css");

/// Allows the inline style sheet of the pages and nothing else. Has no `form-action`: browsers also
/// apply it to the redirects after a form, and after signing out these may lead to other origins.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = BASE64_STANDARD.encode(Sha256::digest(STYLE));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; frame-ancestors 'none'"
    );
    HeaderValue::from_str(&policy).expect("base64 is valid in a header")
});

/// Shows a page in the layout of this crate.
pub(super) fn in_layout(page: &Page) -> Response {
    let Ok(html) = (Layout { page, style: STYLE }).render() else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let policy = [(header::CONTENT_SECURITY_POLICY, POLICY.clone())];
    (policy, Html(html)).into_response()
}

#[derive(Template)]
#[template(path = "page.html")]
struct Layout<'a> {
    page: &'a Page,
    style: &'static str,
}

#[derive(Template)]
#[template(path = "message.html")]
struct Message<'a> {
    page: &'a Page,
}

impl fmt::Debug for dyn Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pages")
    }
}
