//! Health and readiness for load balancers and supervisors. They are open to every client, so
//! details of a failure are in the log only.

use axum::{
    Json,
    extract::State,
    http::{HeaderName, StatusCode, header::CACHE_CONTROL},
    response::{IntoResponse, Response},
};
use axum_oten::Oten;
use serde_json::json;
use tokio_util::sync::CancellationToken;

const NO_STORE: [(HeaderName, &str); 1] = [(CACHE_CONTROL, "no-store")];

/// `/healthz`: whether the process responds. Restart one that does not.
pub(super) async fn healthz() -> impl IntoResponse {
    (NO_STORE, "ok\n")
}

/// `/readyz`: 200 if the site can serve requests, 503 if its store does not work or it is stopping.
pub(super) async fn readyz(State((oten, stopping)): State<(Oten, CancellationToken)>) -> Response {
    let readiness = oten.readiness().await;
    // After the probe, during which the site may have begun to stop.
    let (code, status) = match (stopping.is_cancelled(), readiness.is_ready()) {
        (true, _) => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
        (false, false) => (StatusCode::SERVICE_UNAVAILABLE, "unready"),
        (false, true) => (StatusCode::OK, "ready"),
    };
    let body = Json(json!({
        "status": status,
        // A process does not start with an invalid configuration.
        "configuration": "ok",
        "store": readiness.store.name(),
        "provider": readiness.provider.name(),
    }));
    (code, NO_STORE, body).into_response()
}
