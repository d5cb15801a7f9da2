//! The site: an open page, a protected page and a little JSON.

mod api;
mod assets;
mod headers;
mod pages;
mod problem;
mod sign_out_targets;

pub(crate) use self::sign_out_targets::{provider_origin, sign_out_targets};

use std::{sync::Arc, time::Duration};

use axum::{Router, http::StatusCode, middleware, routing::get};
use axum_oten::Oten;
use tower_http::{
    limit::RequestBodyLimitLayer,
    timeout::TimeoutLayer,
    trace::{DefaultOnRequest, DefaultOnResponse, TraceLayer},
};
use tracing::Level;

use crate::trace::request_span;

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

/// The site's routes with the library's login layer around them.
pub(crate) fn routes(oten: &Oten, site: &Arc<Site>) -> Router {
    let protected = Router::new()
        .route("/profile", get(pages::profile))
        .route("/api/me", get(api::me))
        .route_layer(oten.require_login());
    let pages = Router::new()
        .route("/", get(pages::home))
        .merge(protected)
        .with_state(Arc::clone(site))
        .merge(oten.routes())
        .layer(oten.layer());
    // Not behind the layer: they answer whatever becomes of the session store.
    let app = pages
        .route("/healthz", get(api::healthz))
        .route("/site.css", get(assets::stylesheet))
        .route("/icon.svg", get(assets::icon));
    let signs_with_a_key = !oten.config().client().published_keys().is_empty();
    let app = if signs_with_a_key {
        app.merge(oten.jwks_route())
    } else {
        app
    };
    match site.base_path.as_str() {
        "" => app,
        base => Router::new().nest(base, app),
    }
}

/// Puts around an app what every site on the internet needs: limits, security headers, pages for
/// bare errors, and a log.
///
/// `form_targets` are the origins elsewhere that the sign-out form may lead to.
pub(crate) fn harden(app: Router, site: Arc<Site>, form_targets: &[String]) -> Router {
    let policy = headers::content_security_policy(form_targets);
    let trace = TraceLayer::new_for_http()
        .make_span_with(request_span)
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
            policy,
            headers::add_missing,
        ))
        .layer(trace)
}
