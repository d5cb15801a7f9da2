use std::collections::BTreeMap;

use axum_oten::metric::{Metric, MetricKind};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use super::life;
use crate::common::TestSite;

/// A metric's name and labels, as in `name{label="value"}`, and its value.
pub type Series = BTreeMap<String, f64>;

/// Reads the text format of Prometheus.
pub fn series(text: &str) -> Series {
    let lines = text.lines().filter(|line| !line.is_empty());
    let lines = lines.filter(|line| !line.starts_with('#'));
    let pairs = lines.map(|line| {
        let (series, value) = line.rsplit_once(' ').unwrap();
        (series.to_owned(), value.parse().unwrap())
    });
    pairs.collect()
}

fn all(handle: &PrometheusHandle) -> Series {
    series(&handle.render())
}

/// The series of a metric: those of a histogram have names of their own.
fn of(all: &Series, metric: Metric) -> impl Iterator<Item = (&str, f64)> {
    let suffixes: &[&str] = match metric.kind() {
        MetricKind::Histogram => &["_sum", "_count", "_bucket", ""],
        _ => &[""],
    };
    all.iter().filter_map(move |(series, value)| {
        let (name, _) = series.split_once('{').unwrap_or((series, ""));
        let is_of = |suffix: &&str| name.strip_suffix(*suffix) == Some(metric.name());
        suffixes
            .iter()
            .any(is_of)
            .then_some((series.as_str(), *value))
    })
}

/// The labels of `name{label="value",…}`; none of their values has a comma.
fn labels(series: &str) -> impl Iterator<Item = (&str, &str)> {
    let (_, labels) = series.split_once('{').unwrap_or((series, "}"));
    let labels = labels.trim_end_matches('}').split(',');
    labels.filter_map(|label| label.split_once('='))
}

// The runtime of a test has one thread, on which all of this happens.
#[tokio::test]
async fn every_metric_of_the_table_moves_and_there_is_no_other() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _here = metrics::set_default_local_recorder(&recorder);
    let handle = recorder.handle();
    // Gauges that go back to where they were are seen on the way.
    let begun = handle.clone();
    let _site = TestSite::start().await;
    let at_start = all(&begun);
    life::everything(|oten| oten).await;
    let at_end = all(&handle);

    for &metric in Metric::all() {
        let moved = of(&at_end, metric).any(|(series, value)| {
            let before = at_start.get(series).copied();
            // The grace is over; that it was in use is another test.
            metric == Metric::GraceInUse || before.unwrap_or_default() < value
        });
        assert!(moved, "{}: {at_end:#?}", metric.name());
    }
    for series in at_end.keys() {
        let metric = Metric::all().iter();
        let mut metric = metric.filter(|metric| of(&at_end, **metric).any(|(it, _)| it == series));
        let metric = metric.next();
        let metric = metric.unwrap_or_else(|| panic!("{series} is not in the table"));
        for (name, value) in labels(series).filter(|(name, _)| !["le", "quantile"].contains(name)) {
            let label = metric.labels().iter().find(|label| label.name() == name);
            let label = label.unwrap_or_else(|| panic!("{series}: no label `{name}`"));
            let value = value.trim_matches('"');
            assert!(label.values().contains(&value), "{series}: `{value}`");
        }
    }
}

#[tokio::test]
async fn what_is_counted_is_what_happened() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _here = metrics::set_default_local_recorder(&recorder);
    let handle = recorder.handle();
    life::everything(|oten| oten).await;
    let all = all(&handle);
    for (series, expected) in [
        // One fresh start is among them.
        ("oten_login_attempts_total", 8.0),
        ("oten_logins_total{outcome=\"signed_in\"}", 5.0),
        ("oten_logins_total{outcome=\"cancelled\"}", 1.0),
        ("oten_logins_total{outcome=\"refused\"}", 1.0),
        ("oten_refusals_total{reason=\"not_signed_in\"}", 1.0),
        ("oten_refusals_total{reason=\"cancelled\"}", 1.0),
        ("oten_refusals_total{reason=\"forbidden\"}", 0.0),
        ("oten_refreshes_total{outcome=\"refreshed\"}", 3.0),
        ("oten_refreshes_total{outcome=\"failed\"}", 1.0),
        ("oten_refreshes_total{outcome=\"ended\"}", 1.0),
        ("oten_refreshes_total{outcome=\"lost\"}", 1.0),
        ("oten_sign_outs_total{by=\"user\"}", 1.0),
        ("oten_sign_outs_total{by=\"provider\"}", 1.0),
        ("oten_jwks_refetches_total{outcome=\"failed\"}", 1.0),
        ("oten_grace_requests_total", 1.0),
        ("oten_grace_in_use", 0.0),
        ("oten_store_failures_total{cause=\"timed_out\"}", 0.0),
        (
            "oten_provider_request_duration_seconds_count\
             {endpoint=\"revocation\",outcome=\"refused\"}",
            1.0,
        ),
    ] {
        assert_eq!(all.get(series), Some(&expected), "{series}: {all:#?}");
    }
    assert!(all["oten_store_failures_total{cause=\"error\"}"] > 0.0);
    // Old keys are fetched again in the background, which may come after the end.
    assert!(all["oten_jwks_refetches_total{outcome=\"success\"}"] >= 2.0);
    let left = all["oten_token_budget_left"];
    assert!((1.0..60.0).contains(&left), "{left}");
}

#[tokio::test]
async fn the_grace_is_in_use_until_a_renewal_succeeds() {
    use axum_oten::emulator::{Endpoint::Token, Fault};
    use std::time::Duration;

    let recorder = PrometheusBuilder::new().build_recorder();
    let _here = metrics::set_default_local_recorder(&recorder);
    let handle = recorder.handle();
    let in_use = || all(&handle)["oten_grace_in_use"].to_string();
    let site = TestSite::start().await;
    let mut browser = site.signed_in("alice").await;
    let at_rest = in_use();
    site.clock.advance(Duration::from_secs(3600));
    site.emulator.fault(Token, Fault::Status(500));
    browser.get("/profile").await;
    let in_outage = in_use();
    site.emulator.clear_faults();
    site.clock.advance(Duration::from_secs(60));
    browser.get("/profile").await;
    assert_eq!([at_rest, in_outage, in_use()], ["0", "1", "0"]);
}

#[tokio::test]
async fn r4_a_request_of_a_live_session_moves_nothing() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _here = metrics::set_default_local_recorder(&recorder);
    let handle = recorder.handle();
    let site = TestSite::start().await;
    let mut browser = site.signed_in("alice").await;
    let before = all(&handle);
    browser.get("/profile").await;
    site.browser().get("/profile").await;
    assert_eq!(all(&handle), before);
}

#[test]
fn names_and_units_are_those_of_prometheus() {
    for metric in Metric::all() {
        let name = metric.name();
        assert!(name.starts_with("oten_"), "{name}");
        let is_total = name.ends_with("_total");
        assert_eq!(is_total, metric.kind() == MetricKind::Counter, "{name}");
        let is_duration = name.ends_with("_seconds");
        assert_eq!(
            is_duration,
            metric.kind() == MetricKind::Histogram,
            "{name}"
        );
    }
}
