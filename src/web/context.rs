use std::{
    borrow::Cow,
    fmt,
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::extract::OriginalUri;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header};
use url::form_urlencoded;

use super::{
    bearer::bearer_token, client_address, cookies::SessionCookies, error::Error, shared::Shared,
};
use crate::{
    audit::{Event, EventKind, EventOrigin},
    iter::exactly_one,
    metric,
    session::{NATIVE_PREFIX, RequestSession, ReturnTo, SessionWatch, SignedIn},
    text::Language,
};

/// A request in the layer, with its session, its cookies and its kind. An extension of the request.
#[derive(Clone)]
pub(super) struct RequestContext(Arc<Inner>);

pub(super) struct Inner {
    pub(super) state: Arc<Shared>,
    pub(super) session: RequestSession,
    /// The credential in `Authorization`, which replaces the cookies: `None` if the request is not from a
    /// native app, an error if the header is unusable.
    native: Option<Result<(), &'static str>>,
    /// The sessions that the browser's cookies name, whether they exist or not.
    pub(super) session_cookies: SessionCookies,
    pub(super) kind: RequestKind,
    /// Whether the request asks for a WebSocket.
    pub(super) is_handshake: bool,
    /// Whether a page of another site may have caused the request, and it changes state or opens a
    /// WebSocket.
    is_foreign: bool,
    /// `Accept-Language`, which only pages read.
    accept_language: Option<HeaderValue>,
    /// The URI outside of `nest`.
    pub(super) uri: Uri,
    /// Whether the response depends on whether a user is signed in.
    pub(super) depends_on_user: AtomicBool,
    /// Whether an access token has admitted the request, so that no rule was checked for the user.
    has_token: AtomicBool,
    uses_grace: AtomicBool,
    is_session_written: AtomicBool,
}

impl RequestContext {
    pub(super) fn new<B>(state: &Arc<Shared>, request: &Request<B>) -> Self {
        let (headers, extensions) = (request.headers(), request.extensions());
        let native = native_credential(state, headers);
        let session_cookies = match native {
            None => state.cookies.sessions(headers),
            Some(_) => SessionCookies::default(),
        };
        let original_uri = extensions.get::<OriginalUri>().map(|original| &original.0);
        let client_address =
            client_address::of_request(state.config.trusted_proxies(), extensions, headers);
        let origin = EventOrigin::new(client_address);
        let is_handshake = is_websocket_handshake(request.method(), headers);
        let needs_proof = is_handshake || changes_state(request.method());
        let is_native = native.is_some();
        Self(Arc::new(Inner {
            session: match &native {
                None => state.sessions.for_request(session_cookies.only(), origin),
                Some(credential) => {
                    let credential = credential.as_ref().ok().copied();
                    state.sessions.for_native_request(credential, origin)
                }
            },
            native: native.map(|credential| credential.map(drop)),
            session_cookies,
            kind: if is_native {
                RequestKind::Api
            } else {
                RequestKind::of(request.method(), headers)
            },
            is_handshake,
            // No page can make a browser send the credential.
            is_foreign: needs_proof
                && !is_native
                && !is_same_origin(headers, &state.config.origin()),
            accept_language: headers.get(header::ACCEPT_LANGUAGE).cloned(),
            uri: original_uri.unwrap_or(request.uri()).clone(),
            state: Arc::clone(state),
            depends_on_user: AtomicBool::new(false),
            has_token: AtomicBool::new(false),
            uses_grace: AtomicBool::new(false),
            is_session_written: AtomicBool::new(false),
        }))
    }

    /// Whether this is a request in a layer of the same [`Oten`](super::Oten). A request may pass
    /// through layers of several.
    pub(super) fn belongs_to(&self, state: &Arc<Shared>) -> bool {
        Arc::ptr_eq(&self.state, state)
    }

    /// Whether the request has the credential of a native app.
    pub(super) fn is_native(&self) -> bool {
        self.native.is_some()
    }

    /// The request's path and query as the browser sees them, to return to after a sign-in. A proxy
    /// may have cut off the base path.
    pub(super) fn path(&self) -> Option<ReturnTo> {
        ReturnTo::parse(&self.seen_path(self.uri.path_and_query()?.as_str()))
    }

    /// Returns the start of the request's path as the browser sees it, up to `rest`, which a nested router
    /// got.
    pub(super) fn prefix_of(&self, rest: &str) -> Cow<'_, str> {
        let path = self.uri.path();
        // Without the slash that nesting adds.
        self.seen_path(path.strip_suffix(rest).unwrap_or(path))
    }

    /// Returns a path of this site as the browser sees it.
    pub(super) fn seen_path<'a>(&self, path: &'a str) -> Cow<'a, str> {
        let base = self.state.config.base_path();
        let below_base = path.strip_prefix(base);
        if below_base.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?'])) {
            path.into()
        } else {
            format!("{base}{path}").into()
        }
    }

    /// Returns the value of a query parameter that is given exactly once.
    pub(super) fn query_parameter(&self, name: &str) -> Option<String> {
        let query = self.uri.query().unwrap_or_default();
        let named = form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key == name);
        exactly_one(named).map(|(_, value)| value.into_owned())
    }

    pub(super) fn has_query_parameter(&self, name: &str) -> bool {
        let query = self.uri.query().unwrap_or_default();
        form_urlencoded::parse(query.as_bytes()).any(|(key, _)| key == name)
    }

    /// The language of pages.
    pub(super) fn language(&self) -> Language {
        let header = self.accept_language.as_ref();
        let header = header.and_then(|header| header.to_str().ok());
        Language::accepted(header.unwrap_or_default())
    }

    /// The ID that ties an error page to its events.
    pub(super) fn correlation_id(&self) -> &str {
        self.session.origin().correlation_id()
    }

    /// Makes the request one without a user: an access token has admitted it.
    pub(super) fn count_token_only(&self) {
        self.has_token.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_token(&self) -> bool {
        self.has_token.load(Ordering::Relaxed)
    }

    /// Reads the session and returns the signed-in user.
    pub(super) async fn signed_in(&self) -> Result<Option<SignedIn>, Error> {
        self.depends_on_user.store(true, Ordering::Relaxed);
        if self.has_token() {
            return Ok(None);
        }
        if self.is_handshake {
            self.require_same_origin()?;
        }
        self.require_usable_credential()?;
        Ok(self.session.signed_in().await?)
    }

    /// Requires that the credential of a native app can be read, if the request has one.
    pub(super) fn require_usable_credential(&self) -> Result<(), Error> {
        match self.native {
            Some(Err(reason)) => Err(Error::Credential(reason)),
            _ => Ok(()),
        }
    }

    /// Requires that a request that changes state, or opens a WebSocket, comes from a page of this site.
    pub(super) fn require_same_origin(&self) -> Result<(), Error> {
        if self.is_foreign {
            return Err(Error::ForeignOrigin);
        }
        Ok(())
    }

    /// Returns a value that waits for the end of the signed-in user's session.
    pub(super) async fn watch(&self) -> Result<SessionWatch, Error> {
        self.require_user().await?;
        self.session.watch().await?.ok_or(Error::NotSignedIn)
    }

    /// Counts that the request continues in the grace period, once even if a layer and a handler
    /// both need the user.
    pub(super) fn count_grace(&self) {
        if !self.uses_grace.swap(true, Ordering::Relaxed) {
            metric::grace_used();
        }
    }

    /// Marks the session and its cookie as written by the route, so that the layer does not write
    /// them.
    pub(super) fn mark_session_written(&self) {
        self.is_session_written.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_session_written(&self) -> bool {
        self.is_session_written.load(Ordering::Relaxed)
    }

    /// Returns an event of this request, to be completed and recorded.
    pub(super) fn event(&self, kind: EventKind) -> Event {
        let event = self.state.trail.event(kind);
        event.with_origin(self.session.origin())
    }

    pub(super) fn record(&self, event: &Event) {
        self.state.trail.record(event);
    }
}

impl Deref for RequestContext {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

/// Without the session's ID and data: rejections print it.
impl fmt::Debug for RequestContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestContext")
            .field("correlation_id", &self.correlation_id())
            .field("kind", &self.kind)
            .field("path", &self.path())
            .finish_non_exhaustive()
    }
}

/// Returns the credential of a native app in `Authorization`, if the request has one.
fn native_credential<'a>(
    state: &Shared,
    headers: &'a HeaderMap,
) -> Option<Result<&'a str, &'static str>> {
    if state.config.native_links().is_empty() {
        return None;
    }
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    if !values.any(|value| {
        value
            .to_str()
            .is_ok_and(|text| text.contains(NATIVE_PREFIX))
    }) {
        return None;
    }
    match bearer_token(headers) {
        Ok(token) => token
            .filter(|token| token.starts_with(NATIVE_PREFIX))
            .map(Ok),
        Err(reason) => Some(Err(reason)),
    }
}

/// Whether the request's headers say that it comes from a page of this site: `Sec-Fetch-Site`, or
/// `Origin` if the browser does not send Fetch Metadata.
fn is_same_origin(headers: &HeaderMap, origin: &str) -> bool {
    match headers.get("sec-fetch-site") {
        Some(site) => site == "same-origin",
        None => headers
            .get(header::ORIGIN)
            .is_some_and(|sent| sent == origin),
    }
}

/// Whether a request is expected to change state, by its method (RFC 9110 section 9.2.1).
fn changes_state(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Whether a request asks for a WebSocket (RFC 6455 section 4.1; RFC 8441 section 4 for HTTP/2), which
/// pages of other sites can open with the user's cookies.
fn is_websocket_handshake(method: &Method, headers: &HeaderMap) -> bool {
    let upgrade = headers.get(header::UPGRADE);
    let upgrade = upgrade.and_then(|protocol| protocol.to_str().ok());
    *method == Method::CONNECT
        || upgrade.is_some_and(|protocol| protocol.to_ascii_lowercase().contains("websocket"))
}

/// What the response must look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestKind {
    /// A browser navigates to a page: it can be redirected.
    Page,
    /// A browser submits a form: it shows a page, but a redirect would lose the form's data.
    Form,
    /// A script or another program: it expects JSON.
    Api,
}

impl RequestKind {
    /// Reads the Fetch Metadata headers or, if the browser does not send them, `Accept`.
    fn of(method: &Method, headers: &HeaderMap) -> Self {
        if !is_navigation(headers) {
            Self::Api
        } else if matches!(*method, Method::GET | Method::HEAD) {
            Self::Page
        } else {
            Self::Form
        }
    }
}

static X_REQUESTED_WITH: HeaderName = HeaderName::from_static("x-requested-with");
static SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
static SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// Whether the browser will display the response as a page.
fn is_navigation(headers: &HeaderMap) -> bool {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if text(&X_REQUESTED_WITH).is_some_and(|by| by.eq_ignore_ascii_case("XMLHttpRequest")) {
        return false;
    }
    if let Some(dest) = text(&SEC_FETCH_DEST)
        && !matches!(dest, "document" | "frame" | "iframe")
    {
        return false;
    }
    if let Some(mode) = text(&SEC_FETCH_MODE) {
        return mode == "navigate";
    }
    headers.get_all(header::ACCEPT).iter().any(accepts_html)
}

/// Whether the browser requests a page before the user asks for it, by the standard header or those
/// that browsers sent before it.
pub(super) fn is_prefetch(headers: &HeaderMap) -> bool {
    ["sec-purpose", "purpose", "x-purpose", "x-moz"]
        .iter()
        .flat_map(|name| headers.get_all(*name))
        .any(|purpose| {
            let purpose = purpose.as_bytes().to_ascii_lowercase();
            // Parameters may follow, as in `prefetch;prerender`.
            purpose.starts_with(b"prefetch") || purpose == b"preview"
        })
}

/// Whether `Accept` names HTML. `*/*` does not count: every program sends it.
fn accepts_html(accept: &HeaderValue) -> bool {
    let Ok(accept) = accept.to_str() else {
        return false;
    };
    accept.split(',').any(|range| {
        let media_type = range.split(';').next().unwrap_or_default().trim();
        media_type.eq_ignore_ascii_case("text/html")
            || media_type.eq_ignore_ascii_case("application/xhtml+xml")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request_kind(method: &Method, headers: &[(&'static str, &'static str)]) -> RequestKind {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect();
        RequestKind::of(method, &headers)
    }

    #[test]
    fn r2_headers_determine_the_request_kind() {
        use RequestKind::{Api, Form, Page};
        const HTML: (&str, &str) = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
        const NAVIGATE: (&str, &str) = ("sec-fetch-mode", "navigate");
        for (method, headers, expected) in [
            (Method::GET, &[HTML][..], Page),
            (Method::HEAD, &[HTML], Page),
            (Method::POST, &[HTML], Form),
            (Method::GET, &[], Api),
            (Method::GET, &[("accept", "*/*")], Api),
            (Method::GET, &[("accept", "application/json")], Api),
            (Method::GET, &[("accept", "text/htmlx")], Api),
            (Method::GET, &[HTML, NAVIGATE], Page),
            (
                Method::GET,
                &[NAVIGATE, ("sec-fetch-dest", "document")],
                Page,
            ),
            (Method::GET, &[NAVIGATE, ("sec-fetch-dest", "iframe")], Page),
            (Method::GET, &[NAVIGATE, ("sec-fetch-dest", "object")], Api),
            (Method::GET, &[HTML, ("sec-fetch-mode", "cors")], Api),
            (Method::GET, &[HTML, ("sec-fetch-mode", "no-cors")], Api),
            (Method::GET, &[HTML, ("sec-fetch-dest", "image")], Api),
            (
                Method::GET,
                &[HTML, ("x-requested-with", "XMLHttpRequest")],
                Api,
            ),
            (
                Method::POST,
                &[NAVIGATE, ("sec-fetch-dest", "document")],
                Form,
            ),
        ] {
            assert_eq!(
                request_kind(&method, headers),
                expected,
                "{method} {headers:?}"
            );
        }
    }

    #[test]
    fn o1_only_a_page_of_this_site_has_the_same_origin() {
        for (headers, expected) in [
            (&[("sec-fetch-site", "same-origin")][..], true),
            (&[("sec-fetch-site", "same-site")], false),
            (&[("sec-fetch-site", "cross-site")], false),
            (&[("sec-fetch-site", "none")], false),
            (&[("sec-fetch-site", "")], false),
            (&[("origin", "https://app.example")], true),
            (&[("origin", "https://app.example:8443")], false),
            (&[("origin", "http://app.example")], false),
            (&[("origin", "https://evil.example")], false),
            (&[("origin", "null")], false),
            (&[], false),
            (
                &[
                    ("sec-fetch-site", "cross-site"),
                    ("origin", "https://app.example"),
                ],
                false,
            ),
        ] {
            let map = headers
                .iter()
                .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
                .collect();
            assert_eq!(
                is_same_origin(&map, "https://app.example"),
                expected,
                "{headers:?}"
            );
        }
    }
}
