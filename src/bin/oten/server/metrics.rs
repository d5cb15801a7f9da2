use std::{net::SocketAddr, time::Duration};

use axum::{
    Router,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use axum_oten::metric::Metric;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::{net::TcpListener, time};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tower_http::{limit::RequestBodyLimitLayer, timeout::TimeoutLayer};

use super::connections::{self, Connections, Limits};
use crate::error::Error;

/// Bounds in seconds. Most calls take a few hundredths of a second, and none more than ten seconds.
const BUCKETS: &[f64] = &[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// How often measurements are aggregated, so that they do not accumulate between scrapes.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// How long a request may take. A scrape takes milliseconds.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The metrics for Prometheus, served on their own address until this is dropped.
#[derive(Debug)]
pub(crate) struct Metrics {
    url: String,
    _server: Option<AbortOnDropHandle<()>>,
}

impl Metrics {
    /// Serves metrics, if there is an address. Call it before creating an `Oten`, which describes
    /// the metrics to the recorder.
    pub(crate) fn start(address: Option<SocketAddr>) -> Result<Self, Error> {
        let Some(address) = address else {
            return Ok(Self {
                url: "off; set `metrics_listen` to serve them".to_owned(),
                _server: None,
            });
        };
        let (socket, address) = connections::bind(address, "--metrics-listen")?;
        let durations = Matcher::Full(Metric::ProviderRequestDuration.name().to_owned());
        let handle = PrometheusBuilder::new()
            .set_buckets_for_metric(durations, BUCKETS)
            .and_then(PrometheusBuilder::install_recorder)
            .map_err(Error::Metrics)?;
        Ok(Self {
            url: format!("http://{address}/metrics"),
            _server: Some(AbortOnDropHandle::new(tokio::spawn(serve(socket, handle)))),
        })
    }

    /// The URL of the metrics, or how to get one.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

async fn serve(socket: TcpListener, handle: PrometheusHandle) {
    let connections = Connections {
        app: routes(handle.clone()),
        tls: None,
        // A few programs request the metrics from time to time.
        limits: Limits {
            connections: 16,
            head_timeout: Duration::from_secs(5),
            write_timeout: Duration::from_secs(5),
            ..Limits::default()
        },
    };
    let upkeep = async {
        let mut ticks = time::interval(UPKEEP_INTERVAL);
        loop {
            ticks.tick().await;
            handle.run_upkeep();
        }
    };
    tokio::select! {
        () = connections.serve(socket, CancellationToken::new()) => {}
        () = upkeep => {}
    }
}

fn routes(handle: PrometheusHandle) -> Router {
    let metrics = async move || {
        let format = [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )];
        (format, handle.render()).into_response()
    };
    Router::new()
        .route("/metrics", get(metrics))
        .layer(RequestBodyLimitLayer::new(0))
        .layer(TimeoutLayer::with_status_code(
            StatusCode::SERVICE_UNAVAILABLE,
            TIMEOUT,
        ))
}
