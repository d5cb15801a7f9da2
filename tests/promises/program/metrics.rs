//! The metrics that `oten serve` and `oten demo` serve to Prometheus.

use std::time::{Duration, Instant};

use axum_oten::{
    emulator::{EmulatedClient, Emulator},
    metric::{Metric, MetricKind},
};
use reqwest::{Method, StatusCode, Url};
use tokio::{io::AsyncReadExt, net::TcpStream, time::timeout};

use super::{
    process::{Running, command, run},
    site::{client, header_of},
};

async fn text(url: &str) -> String {
    let answer = client().get(url).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let format = header_of(&answer, "content-type");
    assert_eq!(format, "text/plain; version=0.0.4; charset=utf-8");
    answer.text().await.unwrap()
}

#[tokio::test]
async fn the_demo_serves_its_metrics_on_their_own_address() {
    let arguments = ["demo", "--listen", "127.0.0.1:0", "--metrics-listen"];
    let demo = Running::start(command(&arguments).arg("127.0.0.1:0")).await;
    let url = demo.banner_text("Metrics").await;
    assert!(url.starts_with("http://127.0.0.1:"), "{url}");

    // Every counter exists from the start, and counts.
    let before = text(&url).await;
    for metric in Metric::all() {
        let is_listed = before.contains(&format!("# HELP {} ", metric.name()));
        assert!(
            is_listed || metric.kind() != MetricKind::Counter,
            "{}: {before}",
            metric.name()
        );
    }
    assert!(
        before.contains("\noten_login_attempts_total 0\n"),
        "{before}"
    );
    client().get(demo.at("/login")).send().await.unwrap();
    let after = text(&url).await;
    assert!(after.contains("\noten_login_attempts_total 1\n"), "{after}");
    let discovery = "oten_provider_request_duration_seconds_count\
                     {endpoint=\"discovery\",outcome=\"success\"} 1\n";
    assert!(after.contains(discovery), "{after}");
    assert!(after.contains("le=\"0.25\""), "{after}");

    // The address serves nothing else, and the site does not serve the metrics.
    let site = demo.at("/metrics");
    assert_eq!(status(Method::GET, &site).await, StatusCode::NOT_FOUND);
    let root = url.replace("/metrics", "/");
    assert_eq!(status(Method::GET, &root).await, StatusCode::NOT_FOUND);
    let rejected = status(Method::POST, &url).await;
    assert_eq!(rejected, StatusCode::METHOD_NOT_ALLOWED);

    // The metrics stop with the site.
    let (ended, _) = demo.end().await;
    assert!(ended.success());
    assert!(client().get(url).send().await.is_err());
}

/// Idle clients of the metrics are few and time out.
#[tokio::test]
async fn b1_clients_of_the_metrics_do_not_block_the_site() {
    let arguments = ["demo", "--listen", "127.0.0.1:0", "--metrics-listen"];
    let demo = Running::start(command(&arguments).arg("127.0.0.1:0")).await;
    let url = demo.banner_text("Metrics").await;
    let address = Url::parse(&url).unwrap().socket_addrs(|| None).unwrap()[0];
    let began = Instant::now();
    let mut silent = Vec::new();
    for _ in 0..16 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    // The limit is reached: this request waits until the idle connections time out.
    text(&url).await;
    let waited = began.elapsed();
    assert!(waited > Duration::from_secs(4), "{waited:?}");
    assert!(waited < Duration::from_secs(20), "{waited:?}");
    assert_eq!(status(Method::GET, &demo.at("/")).await, StatusCode::OK);
    for mut stream in silent {
        let mut answer = Vec::new();
        let end = timeout(Duration::from_secs(20), stream.read_to_end(&mut answer));
        assert!(end.await.is_ok(), "the connection is still open");
    }
}

async fn status(method: Method, url: &str) -> StatusCode {
    let request = client().request(method, url);
    request.send().await.unwrap().status()
}

#[tokio::test]
async fn serve_uses_the_configured_metrics_address() {
    const SECRET: &str = "a secret of the test, of more than 32 bytes";
    const REDIRECT_URI: &str = "http://127.0.0.1:1/callback";
    let client = EmulatedClient::confidential("metrics", SECRET).redirect_uri(REDIRECT_URI);
    let emulator = Emulator::builder().client(client).start().await.unwrap();
    let mut serve = command(&["serve"]);
    serve.envs([
        ("OTEN_ISSUER", emulator.issuer()),
        ("OTEN_CLIENT_ID", "metrics"),
        ("OTEN_CLIENT_SECRET", SECRET),
        ("OTEN_REDIRECT_URI", REDIRECT_URI),
        ("OTEN_LISTEN", "127.0.0.1:0"),
    ]);
    let site = Running::start(&mut serve).await;
    assert!(site.banner_text("Metrics").await.starts_with("off"));
    let (ended, _) = site.end().await;
    assert!(ended.success());

    serve.env("OTEN_METRICS_LISTEN", "127.0.0.1:0");
    let site = Running::start(&mut serve).await;
    let url = site.banner_text("Metrics").await;
    let page = text(&url).await;
    assert!(page.contains("\noten_refusals_total{reason=\"not_signed_in\"} 0\n"));
    super::site::client()
        .get(site.at("/api/me"))
        .send()
        .await
        .unwrap();
    let page = text(&url).await;
    assert!(page.contains("\noten_refusals_total{reason=\"not_signed_in\"} 1\n"));

    // The address is in use.
    let address = url.replace("http://", "").replace("/metrics", "");
    let ended = run(serve.env("OTEN_METRICS_LISTEN", address)).await;
    assert!(!ended.status.success());
    assert!(
        ended.stderr.contains("--metrics-listen"),
        "{}",
        ended.stderr
    );
}
