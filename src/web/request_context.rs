use std::{
    fmt,
    net::IpAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{
    extract::OriginalUri,
    response::{IntoResponse, Redirect, Response},
};
use http::{Extensions, HeaderMap, HeaderValue, Request, Uri, header};

use super::{
    Oten, cookies::SessionCookies, error::Error, oten::Inner, request_kind::RequestKind,
    security_headers::protect,
};
use crate::{
    metric,
    secret::{hex, random_bytes},
    session::{RequestSession, ReturnTo, SignedIn},
};

/// One request's way through this crate: its session, its cookies, what its browser wants.
#[derive(Clone)]
pub(super) struct RequestContext(Arc<State>);

struct State {
    oten: Oten,
    session: RequestSession,
    session_cookies: SessionCookies,
    request_kind: RequestKind,
    client_address: Option<IpAddr>,
    uri: Uri,
    correlation_id: OnceLock<String>,
    /// Somebody asked who is signed in.
    asked: AtomicBool,
    /// The answer is for a user.
    personal: AtomicBool,
    /// It went on although tokens could not be renewed.
    on_grace: AtomicBool,
    /// One of our own routes has written the session and its cookie already.
    settled: AtomicBool,
}

impl RequestContext {
    pub(super) fn new<B>(oten: &Oten, request: &Request<B>) -> Self {
        let inner = oten.inner();
        let session_cookies = inner.cookies.sessions(request.headers());
        Self(Arc::new(State {
            oten: oten.clone(),
            session: inner.sessions.of_request(session_cookies.only()),
            session_cookies,
            request_kind: RequestKind::of(request.method(), request.headers()),
            client_address: oten.client_address(request),
            uri: uri_in_browser(request).clone(),
            correlation_id: OnceLock::new(),
            asked: AtomicBool::new(false),
            personal: AtomicBool::new(false),
            on_grace: AtomicBool::new(false),
            settled: AtomicBool::new(false),
        }))
    }

    pub(super) fn oten(&self) -> &Oten {
        &self.0.oten
    }

    pub(super) fn inner(&self) -> &Inner {
        self.0.oten.inner()
    }

    pub(super) fn session(&self) -> &RequestSession {
        &self.0.session
    }

    /// The sessions the browser's cookies name, whether they exist or not.
    pub(super) fn session_cookies(&self) -> &SessionCookies {
        &self.0.session_cookies
    }

    pub(super) fn request_kind(&self) -> RequestKind {
        self.0.request_kind
    }

    /// Who sent the request, as far as the app and its proxies tell.
    pub(super) fn client_address(&self) -> Option<IpAddr> {
        self.0.client_address
    }

    /// This request's page, to come back to. Looked at when somebody is sent away, not before.
    pub(super) fn path(&self) -> Option<ReturnTo> {
        path_in_browser(self.inner().config.base_path(), &self.0.uri)
    }

    /// Ties what the browser shows to what the log says.
    pub(super) fn correlation_id(&self) -> &str {
        let id = || hex(random_bytes::<8>().as_ref());
        self.0.correlation_id.get_or_init(id)
    }

    /// Who is signed in. From here on the answer is personal.
    pub(super) async fn signed_in(&self) -> Result<Option<SignedIn>, Error> {
        let signed_in = self.session().signed_in().await.map_err(Error::Store)?;
        self.0.asked.store(true, Ordering::Relaxed);
        if signed_in.is_some() {
            self.0.personal.store(true, Ordering::Relaxed);
        }
        Ok(signed_in)
    }

    /// Goes on although tokens could not be renewed. A layer and a handler that both want the user
    /// are one request.
    pub(super) fn use_grace(&self) {
        if !self.0.on_grace.swap(true, Ordering::Relaxed) {
            metric::grace_used();
        }
    }

    /// Says that the session and its cookie need nothing more.
    pub(super) fn settle(&self) {
        self.0.settled.store(true, Ordering::Relaxed);
    }

    /// Whether they are settled.
    pub(super) fn is_settled(&self) -> bool {
        self.0.settled.load(Ordering::Relaxed)
    }

    /// Whether the answer depends on who is signed in.
    pub(super) fn is_asked(&self) -> bool {
        self.0.asked.load(Ordering::Relaxed)
    }

    /// Whether the answer is for a user.
    pub(super) fn is_personal(&self) -> bool {
        self.0.personal.load(Ordering::Relaxed)
    }

    /// The context of a request that came through the layer.
    pub(super) fn of(extensions: &Extensions) -> Option<Self> {
        extensions.get::<Self>().cloned()
    }
}

/// Rejections carry a context to whoever prints them: the session's id and what is in it stay inside.
impl fmt::Debug for RequestContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestContext")
            .field("correlation_id", &self.correlation_id())
            .field("request_kind", &self.request_kind())
            .field("path", &self.path())
            .finish_non_exhaustive()
    }
}

/// Keeps an answer that depends on the user out of every cache, unless the handler said something.
pub(super) fn keep_private(headers: &mut HeaderMap) {
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
}

/// Sends a browser elsewhere with GET; no cache may remember where to.
pub(super) fn redirect(to: &str) -> Response {
    let mut response = Redirect::to(to).into_response();
    protect(response.headers_mut());
    keep_private(response.headers_mut());
    response
}

/// The request's URI outside of `nest`.
fn uri_in_browser<B>(request: &Request<B>) -> &Uri {
    match request.extensions().get::<OriginalUri>() {
        Some(OriginalUri(uri)) => uri,
        None => request.uri(),
    }
}

/// A path as the browser sees it: under the base path also where a proxy cut that off.
fn path_in_browser(base: &str, uri: &Uri) -> Option<ReturnTo> {
    let path = uri.path_and_query()?.as_str();
    let beyond_base = uri.path().strip_prefix(base);
    if beyond_base.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
        ReturnTo::parse(path)
    } else {
        ReturnTo::parse(&format!("{base}{path}"))
    }
}
