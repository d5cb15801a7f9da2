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
use tokio_util::sync::CancellationToken;
use tower_http::{limit::RequestBodyLimitLayer, timeout::TimeoutLayer};

use crate::{
    connections::{self, Limits},
    failure::Failure,
};

/// In seconds, around what calls take: most of them a few hundredths, none more than ten.
const BUCKETS: &[f64] = &[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// What was measured is put together this often, so that it does not pile up where nobody asks.
const UPKEEP: Duration = Duration::from_secs(5);

/// A scrape takes milliseconds.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The metrics for Prometheus, on a listener of their own, if there is one.
#[derive(Debug)]
pub(crate) struct Metrics(Option<Open>);

#[derive(Debug)]
struct Open {
    socket: TcpListener,
    address: SocketAddr,
    handle: PrometheusHandle,
}

impl Metrics {
    /// Takes the address and begins to count. To be called before there is an `Oten`, which tells
    /// what there is to count.
    pub(crate) async fn bind(address: Option<SocketAddr>) -> Result<Self, Failure> {
        let Some(address) = address else {
            return Ok(Self(None));
        };
        let failed = |error| Failure::ListenForMetrics { address, error };
        let socket = TcpListener::bind(address).await.map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        let handle = install()?;
        Ok(Self(Some(Open {
            socket,
            address,
            handle,
        })))
    }

    /// Where they are, for whoever started the program.
    pub(crate) fn url(&self) -> String {
        match &self.0 {
            Some(open) => format!("http://{}/metrics", open.address),
            None => "off; `metrics_listen` says where".to_owned(),
        }
    }

    /// Shows them until the site has ended.
    pub(crate) async fn beside<T>(self, site: impl Future<Output = T>) -> T {
        let Self(Some(open)) = self else {
            return site.await;
        };
        tokio::select! {
            ended = site => ended,
            never = open.serve() => match never {},
        }
    }
}

impl Open {
    async fn serve(self) -> std::convert::Infallible {
        // Nobody tells it to stop: it ends with the site.
        let never = CancellationToken::new();
        let app = routes(self.handle.clone());
        let shown = connections::serve(self.socket, app, never, Limits::few());
        tokio::join!(keep_up(self.handle), shown).0
    }
}

fn install() -> Result<PrometheusHandle, Failure> {
    let durations = Matcher::Full(Metric::ProviderRequestDuration.name().to_owned());
    PrometheusBuilder::new()
        .set_buckets_for_metric(durations, BUCKETS)
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(Failure::Metrics)
}

async fn keep_up(handle: PrometheusHandle) -> std::convert::Infallible {
    let mut ticks = time::interval(UPKEEP);
    loop {
        ticks.tick().await;
        handle.run_upkeep();
    }
}

/// The one page, in the text format of Prometheus.
fn routes(handle: PrometheusHandle) -> Router {
    let show = async move || {
        let format = [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )];
        (format, handle.render()).into_response()
    };
    Router::new()
        .route("/metrics", get(show))
        // A request has nothing to say.
        .layer(RequestBodyLimitLayer::new(0))
        .layer(TimeoutLayer::with_status_code(
            StatusCode::SERVICE_UNAVAILABLE,
            TIMEOUT,
        ))
}
