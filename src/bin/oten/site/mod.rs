//! The site: an open page, a protected page and a little JSON.

mod api;
mod assets;
mod headers;
mod health;
mod pages;
mod problem;
mod sign_out_targets;

pub(crate) use self::{headers::SecurityHeaders, sign_out_targets::provider_origin};

use std::{sync::Arc, time::Duration};

use axum::{Router, extract::Request, http::StatusCode, middleware, routing::get};
use axum_oten::{Config, Oten};
use tokio_util::sync::CancellationToken;
use tower_http::{
    limit::RequestBodyLimitLayer,
    timeout::TimeoutLayer,
    trace::{DefaultOnRequest, DefaultOnResponse, TraceLayer},
};
use tracing::Level;

use crate::{failure::Failure, trace::request_span};

/// No form of the site or the emulator comes near it.
const BODY_LIMIT: usize = 64 * 1024;

/// More than a call to the provider may take, and more than a renewal that waits for the lease of a
/// process that died, so that the answer still arrives.
const TIMEOUT: Duration = Duration::from_secs(20);

/// What every page knows about the site it belongs to.
#[derive(Debug)]
pub(crate) struct Site {
    base_path: String,
    stylesheet: String,
    users: Vec<TestUser>,
}

/// Somebody who can sign in at the emulator.
#[derive(Clone, Debug)]
pub(crate) struct TestUser {
    /// What the user is called there.
    pub(crate) name: &'static str,
    email: &'static str,
}

impl From<(&'static str, &'static str)> for TestUser {
    fn from((name, email): (&'static str, &'static str)) -> Self {
        Self { name, email }
    }
}

impl Site {
    /// A site under a base path: empty, or `/app` without a slash at its end. `users` are shown
    /// on the home page.
    pub(crate) fn new(base_path: &str, users: Vec<TestUser>) -> Self {
        Self {
            base_path: base_path.to_owned(),
            stylesheet: assets::stylesheet_path(),
            users,
        }
    }

    /// A path of the site as the browser sees it.
    pub(crate) fn path(&self, path: &str) -> String {
        match (self.base_path.as_str(), path) {
            // A router nested at `/app` answers `/app` and not `/app/`.
            (base, "/") if !base.is_empty() => base.to_owned(),
            (base, path) => format!("{base}{path}"),
        }
    }

    fn stylesheet(&self) -> String {
        self.path(&self.stylesheet)
    }

    fn users(&self) -> &[TestUser] {
        &self.users
    }
}

/// The site's own paths beside the root and the library's routes.
const PROFILE: &str = "/profile";
const ME: &str = "/api/me";
const HEALTHZ: &str = "/healthz";
const READYZ: &str = "/readyz";
const STYLESHEET: &str = "/site.css";
const ICON: &str = "/icon.svg";

/// A callback cannot be where the site has a page already.
pub(crate) fn check_paths(config: &Config) -> Result<(), Failure> {
    let callback = config.callback_path();
    if [PROFILE, ME, HEALTHZ, READYZ, STYLESHEET, ICON].contains(&callback) {
        let path = callback.to_owned();
        return Err(Failure::PathTaken { path });
    }
    Ok(())
}

/// The site's routes with the library's login layer around them. From `stopping` on the site is not
/// ready.
pub(crate) fn routes(oten: &Oten, site: &Arc<Site>, stopping: CancellationToken) -> Router {
    let protected = Router::new()
        .route(PROFILE, get(pages::profile))
        .route(ME, get(api::me))
        .route_layer(oten.require_login());
    let pages = Router::new()
        .route("/", get(pages::home))
        .merge(protected)
        .with_state(Arc::clone(site))
        .merge(oten.routes())
        .layer(oten.layer());
    let readyz = get(health::readyz).with_state((oten.clone(), stopping));
    // Not behind the layer: they answer whatever becomes of the session store.
    let probes = [(HEALTHZ, get(health::healthz)), (READYZ, readyz)];
    let mut app = pages
        .route(STYLESHEET, get(assets::stylesheet))
        .route(ICON, get(assets::icon));
    if !oten.config().client().published_keys().is_empty() {
        app = app.merge(oten.jwks_route());
    }
    for (path, probe) in &probes {
        app = app.route(path, probe.clone());
    }
    let base = site.base_path.as_str();
    if base.is_empty() {
        return app;
    }
    let mut app = Router::new().nest(base, app);
    for (path, probe) in probes {
        // Whoever probes the process itself goes past the proxy and need not know the base path.
        if path != base {
            app = app.route(path, probe);
        }
    }
    app
}

/// Puts around an app what every site on the internet needs: limits, security headers, pages for
/// bare errors, and a log.
pub(crate) fn harden(
    app: Router,
    oten: &Oten,
    site: Arc<Site>,
    headers: SecurityHeaders,
) -> Router {
    let oten = oten.clone();
    let trace = TraceLayer::new_for_http()
        .make_span_with(move |request: &Request| request_span(&oten, request))
        .on_request(DefaultOnRequest::new().level(Level::DEBUG))
        .on_response(DefaultOnResponse::new().level(Level::INFO));
    // The last one added is the first to see a request.
    app.layer(RequestBodyLimitLayer::new(BODY_LIMIT))
        .layer(TimeoutLayer::with_status_code(
            StatusCode::SERVICE_UNAVAILABLE,
            TIMEOUT,
        ))
        .layer(middleware::map_response_with_state(site, problem::dress))
        .layer(middleware::map_response_with_state(
            Arc::new(headers),
            headers::add_missing,
        ))
        .layer(trace)
}
