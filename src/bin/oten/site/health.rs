//! For load balancers and supervisors. What is wrong is in the log: these answer anybody.

use axum::{
    Json,
    extract::State,
    http::{HeaderName, StatusCode, header::CACHE_CONTROL},
    response::{IntoResponse, Response},
};
use axum_oten::Oten;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

const NOT_KEPT: [(HeaderName, &str); 1] = [(CACHE_CONTROL, "no-store")];

/// How the site is, and what it depends on.
#[derive(Debug, Serialize)]
struct Ready {
    status: &'static str,
    /// A process whose configuration is not valid does not come so far.
    configuration: &'static str,
    store: &'static str,
    provider: &'static str,
}

/// Whether the process answers: it needs nothing else for that. One that does not should be
/// restarted.
pub(super) async fn healthz() -> impl IntoResponse {
    (NOT_KEPT, "ok\n")
}

/// Whether requests should be sent here: 200, or 503 while the store does not work or the program
/// stops.
pub(super) async fn readyz(State((oten, stopping)): State<(Oten, CancellationToken)>) -> Response {
    let readiness = oten.readiness().await;
    // Asked last: it may have begun meanwhile.
    let status = match (stopping.is_cancelled(), readiness.is_ready()) {
        (true, _) => "stopping",
        (false, false) => "unready",
        (false, true) => "ready",
    };
    let code = match status {
        "ready" => StatusCode::OK,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    let body = Json(Ready {
        status,
        configuration: "ok",
        store: readiness.store.name(),
        provider: readiness.provider.name(),
    });
    (code, NOT_KEPT, body).into_response()
}
