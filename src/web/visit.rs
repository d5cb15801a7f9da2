use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering},
};

use axum::extract::OriginalUri;
use http::{Extensions, HeaderMap, HeaderValue, Request, header};
use tower_sessions::session::Id;

use super::{Oten, audience::Audience, error::Error, oten::Inner};
use crate::{
    secret::{hex, random_bytes},
    session::{RequestSession, ReturnTo, SignedIn},
};

/// One request's way through this crate: its session, its cookies, what its browser wants.
#[derive(Clone, Debug)]
pub(super) struct Visit(Arc<State>);

#[derive(Debug)]
struct State {
    oten: Oten,
    session: RequestSession,
    session_cookie: Option<Id>,
    audience: Audience,
    path: Option<ReturnTo>,
    correlation_id: OnceLock<String>,
    /// The answer depends on who is signed in.
    personal: AtomicBool,
    /// One of our own routes has written the session and its cookie already.
    settled: AtomicBool,
}

impl Visit {
    pub(super) fn new<B>(oten: &Oten, request: &Request<B>) -> Self {
        let inner = oten.inner();
        let session_cookie = inner.cookies.session_id(request.headers());
        Self(Arc::new(State {
            oten: oten.clone(),
            session: inner.sessions.of_request(session_cookie),
            session_cookie,
            audience: Audience::of(request.method(), request.headers()),
            path: path_in_browser(inner, request),
            correlation_id: OnceLock::new(),
            personal: AtomicBool::new(false),
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

    /// The session the browser's cookie names, whether it exists or not.
    pub(super) fn session_cookie(&self) -> Option<Id> {
        self.0.session_cookie
    }

    pub(super) fn audience(&self) -> Audience {
        self.0.audience
    }

    /// This request's page, to come back to.
    pub(super) fn path(&self) -> Option<&ReturnTo> {
        self.0.path.as_ref()
    }

    /// Ties what the browser shows to what the log says.
    pub(super) fn correlation_id(&self) -> &str {
        let id = || hex(random_bytes::<8>().as_ref());
        self.0.correlation_id.get_or_init(id)
    }

    /// Who is signed in. From here on the answer is personal.
    pub(super) async fn signed_in(&self) -> Result<Option<SignedIn>, Error> {
        let signed_in = self.session().signed_in().await.map_err(Error::Store)?;
        // Stays so when the user signs out on the way: what came before may be in the answer.
        self.0
            .personal
            .fetch_or(signed_in.is_some(), Ordering::Relaxed);
        Ok(signed_in)
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
    pub(super) fn is_personal(&self) -> bool {
        self.0.personal.load(Ordering::Relaxed)
    }

    /// The visit of a request that came through the layer.
    pub(super) fn of(extensions: &Extensions) -> Option<Self> {
        extensions.get::<Self>().cloned()
    }
}

/// Keeps an answer that depends on the user out of every cache, unless the handler said something.
pub(super) fn keep_private(headers: &mut HeaderMap) {
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
}

/// The request's path as the browser sees it: outside of `nest`, and under the base path where a
/// proxy cut that off.
fn path_in_browser<B>(inner: &Inner, request: &Request<B>) -> Option<ReturnTo> {
    let uri = match request.extensions().get::<OriginalUri>() {
        Some(OriginalUri(uri)) => uri,
        None => request.uri(),
    };
    let path = uri.path_and_query()?.as_str();
    let base = inner.config.base_path();
    let beyond_base = uri.path().strip_prefix(base);
    if beyond_base.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
        ReturnTo::parse(path)
    } else {
        ReturnTo::parse(&format!("{base}{path}"))
    }
}
