//! The site: an admin panel with pages for guests, users and operators, and probes.

mod activity;
mod canonical_origin;
mod headers;
mod layout;
mod operate;
mod pages;
mod probes;
mod state;

pub(crate) use self::{
    activity::{Activity, Entry, plain},
    canonical_origin::canonical_origin,
    headers::provider_origin,
    layout::{Layout, STYLESHEET, Time, page, stylesheet, stylesheet_path},
    pages::library_page,
    state::{DemoProvider, Site, is_within},
};

use std::{sync::Arc, time::Duration};

use axum::{Router, extract::Request, http::StatusCode, middleware, routing::get};
use axum_oten::{Config, Oten, RedactedUri, Rule};
use tokio_util::sync::CancellationToken;
use tower_http::{
    limit::RequestBodyLimitLayer,
    timeout::TimeoutLayer,
    trace::{DefaultOnRequest, DefaultOnResponse, TraceLayer},
};
use tracing::Level;

use self::{
    headers::Policies,
    layout::{ICON, icon},
    state::{
        ALL_SESSIONS, AUDIT, CLEAR, DASHBOARD, FEED, FEED_EVENTS, HEALTHZ, ME, OWN_SESSIONS,
        PROFILE, READYZ, SETTINGS, USERS,
    },
};
use crate::error::Error;

/// The maximum size of a request body in bytes. The forms of the site and the emulator are smaller.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// How long a response may take. Calls to the provider take less, and so does a token refresh that
/// waits for the lease of a process that died.
const TIMEOUT: Duration = Duration::from_secs(20);

/// How long ago the user may have signed in for a dangerous action: short, so that a visitor of the demo
/// sees how it is required.
const FRESH_LOGIN: Duration = Duration::from_secs(60);

/// How long ago an operator who ends sessions may have signed in.
const FRESH_LOGIN_TO_END: Duration = Duration::from_secs(15 * 60);

impl Site {
    /// The site stops when `stopping` is cancelled.
    pub(crate) fn new(
        oten: Oten,
        activity: Activity,
        provider: Option<DemoProvider>,
        stopping: CancellationToken,
    ) -> Arc<Self> {
        Arc::new(Self {
            stylesheet: stylesheet_path(),
            policies: Arc::new(Policies::new(oten.config())),
            operators: operators(oten.config(), provider.is_some()),
            oten,
            activity,
            provider,
            stopping,
        })
    }
}

/// The users who may open the pages for operators: those whom the rule `operators` of the configuration
/// allows. In the demo they have a default. A real site without the rule has no such pages, because they
/// show the activity of all its users.
fn operators(config: &Config, is_demo: bool) -> Option<Rule> {
    let default = is_demo.then(|| Rule::subjects(["alice"]));
    config.rule("operators").cloned().or(default)
}

/// Rejects a configuration whose callback path the site uses itself.
pub(crate) fn check_paths(config: &Config) -> Result<(), Error> {
    let own = [
        PROFILE,
        ME,
        HEALTHZ,
        READYZ,
        STYLESHEET,
        ICON,
        DASHBOARD,
        AUDIT,
        FEED,
        FEED_EVENTS,
        USERS,
        SETTINGS,
        CLEAR,
    ];
    let callback = config.callback_route();
    // Those routes have paths below.
    let nested = [OWN_SESSIONS, ALL_SESSIONS];
    let is_nested = nested.iter().any(|path| is_within(callback, path));
    if own.contains(&callback) || is_nested {
        let path = callback.to_owned();
        return Err(Error::PathTaken { path });
    }
    Ok(())
}

/// The site's routes, inside the library's layer.
pub(crate) fn routes(site: &Arc<Site>) -> Router {
    let oten = &site.oten;
    let protected = Router::new()
        .route(PROFILE, get(pages::profile))
        .route(ME, get(pages::me))
        .route_layer(oten.require_login());
    let readyz = get(probes::readyz).with_state((oten.clone(), site.stopping.clone()));
    let probes = [(HEALTHZ, get(probes::healthz)), (READYZ, readyz)];
    let home = get(pages::home).with_state(Arc::clone(site));
    let mut app = Router::new()
        .merge(protected)
        .nest(OWN_SESSIONS, oten.account_routes());
    if let Some(rule) = &site.operators {
        app = app.merge(operator_routes(site, rule));
    }
    let navigation = middleware::from_fn_with_state(Arc::clone(site), pages::add_navigation);
    let mut app = app
        .layer(navigation)
        .with_state(Arc::clone(site))
        .route("/", home.clone())
        .merge(oten.routes())
        .layer(oten.layer())
        .route(STYLESHEET, get(stylesheet))
        .route(ICON, get(icon));
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

/// The pages for operators. Only pages of the same origin can change anything.
fn operator_routes(site: &Arc<Site>, rule: &Rule) -> Router<Arc<Site>> {
    let mut routes = Router::new()
        .route(DASHBOARD, get(operate::dashboard))
        .route(AUDIT, get(operate::audit))
        .route(FEED, get(operate::feed))
        .route(FEED_EVENTS, get(operate::feed_events))
        .route(SETTINGS, get(operate::settings));
    if site.provider.is_some() {
        routes = routes.route(USERS, get(operate::users).post(operate::change_user));
    }
    let operators = site.oten.require(rule.clone()).require_same_origin();
    let sessions = site
        .oten
        .operator_routes_with_fresh_login(rule.clone(), FRESH_LOGIN_TO_END);
    let dangerous = get(operate::confirm_clear).post(operate::clear);
    let dangerous = Router::new()
        .route(CLEAR, dangerous)
        .route_layer(operators.clone().fresh(FRESH_LOGIN));
    routes
        .route_layer(operators)
        .merge(dangerous)
        .nest(ALL_SESSIONS, sessions)
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
            pages::add_page,
        ))
        .layer(middleware::map_response_with_state(
            Arc::clone(&site.policies),
            headers::add_missing,
        ))
        .layer(trace)
}
