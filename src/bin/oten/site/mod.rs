//! The site: a public page, a page and a JSON document for signed-in users, and probes.

mod canonical_origin;
mod headers;
mod pages;
mod probes;
mod state;

pub(crate) use self::{canonical_origin::canonical_origin, headers::provider_origin, state::Site};

use std::{sync::Arc, time::Duration};

use axum::{Router, extract::Request, http::StatusCode, middleware, routing::get};
use axum_oten::{Config, Oten, RedactedUri};
use tokio_util::sync::CancellationToken;
use tower_http::{
    limit::RequestBodyLimitLayer,
    timeout::TimeoutLayer,
    trace::{DefaultOnRequest, DefaultOnResponse, TraceLayer},
};
use tracing::Level;

use self::state::STYLESHEET;
use crate::error::Error;

// The site's own paths, besides the root and the library's routes.
const PROFILE: &str = "/profile";
const ME: &str = "/api/me";
const HEALTHZ: &str = "/healthz";
const READYZ: &str = "/readyz";
const ICON: &str = "/icon.svg";

/// The maximum size of a request body in bytes. The forms of the site and the emulator are smaller.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// How long a response may take. Calls to the provider take less, and so does a token refresh that
/// waits for the lease of a process that died.
const TIMEOUT: Duration = Duration::from_secs(20);

impl Site {
    /// The home page lists `users`.
    pub(crate) fn new(oten: Oten, users: Vec<(&'static str, &'static str)>) -> Arc<Self> {
        Arc::new(Self {
            stylesheet: pages::stylesheet_path(),
            content_security_policy: headers::content_security_policy(oten.config()),
            oten,
            users,
        })
    }
}

/// Rejects a configuration whose callback path the site uses itself.
pub(crate) fn check_paths(config: &Config) -> Result<(), Error> {
    let callback = config.callback_route();
    if [PROFILE, ME, HEALTHZ, READYZ, STYLESHEET, ICON].contains(&callback) {
        let path = callback.to_owned();
        return Err(Error::PathTaken { path });
    }
    Ok(())
}

/// The site's routes, inside the library's layer. The site is not ready once `stopping` is cancelled.
pub(crate) fn routes(site: &Arc<Site>, stopping: CancellationToken) -> Router {
    let oten = &site.oten;
    let protected = Router::new()
        .route(PROFILE, get(pages::profile))
        .route(ME, get(pages::me))
        .route_layer(oten.require_login());
    let readyz = get(probes::readyz).with_state((oten.clone(), stopping));
    let probes = [(HEALTHZ, get(probes::healthz)), (READYZ, readyz)];
    let home = get(pages::home).with_state(Arc::clone(site));
    let mut app = Router::new()
        .merge(protected)
        .with_state(Arc::clone(site))
        .route("/", home.clone())
        .merge(oten.routes())
        .layer(oten.layer())
        .route(STYLESHEET, get(pages::stylesheet))
        .route(ICON, get(pages::icon));
    if !oten.config().client().published_keys().is_empty() {
        app = app.merge(oten.jwks_route());
    }
    // Outside the layer: probes must respond when the session store does not.
    for (path, probe) in &probes {
        app = app.route(path, probe.clone());
    }
    let base = oten.config().base_path();
    if base.is_empty() {
        return app;
    }
    // A router nested at `/app` answers `/app`, and some proxies append a slash to it.
    let mut app = Router::new()
        .nest(base, app)
        .route(&format!("{base}/"), home.layer(oten.layer()));
    for (path, probe) in probes {
        // Supervisors bypass the proxy and need not know the base path.
        if path != base {
            app = app.route(path, probe);
        }
    }
    app
}

/// Adds limits, security headers, error pages and a request log to an app.
pub(crate) fn harden(site: &Arc<Site>, app: Router) -> Router {
    let oten = site.oten.clone();
    let span = move |request: &Request| {
        tracing::info_span!(
            "request",
            method = %request.method(),
            // Without the values of the query, such as the code of a callback.
            uri = %RedactedUri(request.uri()),
            client = oten.client_address(request).map(tracing::field::display),
        )
    };
    let trace = TraceLayer::new_for_http()
        .make_span_with(span)
        .on_request(DefaultOnRequest::new().level(Level::DEBUG))
        .on_response(DefaultOnResponse::new().level(Level::INFO));
    // The layer added last is the first to process a request.
    app.layer(RequestBodyLimitLayer::new(MAX_BODY_BYTES))
        .layer(TimeoutLayer::with_status_code(
            StatusCode::SERVICE_UNAVAILABLE,
            TIMEOUT,
        ))
        .layer(middleware::map_response_with_state(
            Arc::clone(site),
            pages::add_error_page,
        ))
        .layer(middleware::map_response_with_state(
            Arc::clone(site),
            headers::add_missing,
        ))
        .layer(trace)
}
