use std::collections::BTreeMap;

use axum_oten::metric::{Metric, MetricKind};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use super::scenario;
use crate::common::TestSite;

/// Values by series, such as `name{label="value"}`.
pub type Series = BTreeMap<String, f64>;

/// Parses the Prometheus text format.
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

/// The series of a metric. Those of a histogram have suffixes.
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

/// The labels of `name{label="value",…}`. No value contains a comma.
fn labels(series: &str) -> impl Iterator<Item = (&str, &str)> {
    let (_, labels) = series.split_once('{').unwrap_or((series, "}"));
    let labels = labels.trim_end_matches('}').split(',');
    labels.filter_map(|label| label.split_once('='))
}

// The recorder is local to the thread; the runtime of a test has only this one.
#[tokio::test]
async fn each_listed_metric_changes_and_no_other_exists() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _here = metrics::set_default_local_recorder(&recorder);
    let handle = recorder.handle();
    let _site = TestSite::start().await;
    let at_start = all(&handle);
    scenario::run(|oten| oten).await;
    let at_end = all(&handle);

    for &metric in Metric::all() {
        let is_changed = of(&at_end, metric).any(|(series, value)| {
            let before = at_start.get(series).copied();
            // The grace period is over. Another test covers its use.
            metric == Metric::GraceInUse || before.unwrap_or_default() < value
        });
        assert!(is_changed, "{}: {at_end:#?}", metric.name());
    }
    for series in at_end.keys() {
        let metric = Metric::all().iter();
        let mut metric =
            metric.filter(|metric| of(&at_end, **metric).any(|(other, _)| other == series));
        let metric = metric.next();
        let metric = metric.unwrap_or_else(|| panic!("{series} is not listed"));
        for (name, value) in labels(series).filter(|(name, _)| !["le", "quantile"].contains(name)) {
            let label = metric.labels().iter().find(|label| label.name() == name);
            let label = label.unwrap_or_else(|| panic!("{series}: no label `{name}`"));
            let value = value.trim_matches('"');
            assert!(label.values().contains(&value), "{series}: `{value}`");
        }
    }
}

#[tokio::test]
async fn metrics_count_the_events_of_a_scenario() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _here = metrics::set_default_local_recorder(&recorder);
    let handle = recorder.handle();
    scenario::run(|oten| oten).await;
    let all = all(&handle);
    for (series, expected) in [
        // Including one restarted login.
        ("oten_login_attempts_total", 11.0),
        ("oten_logins_total{outcome=\"signed_in\"}", 8.0),
        ("oten_logins_total{outcome=\"cancelled\"}", 1.0),
        ("oten_logins_total{outcome=\"refused\"}", 1.0),
        ("oten_refusals_total{reason=\"not_signed_in\"}", 1.0),
        ("oten_refusals_total{reason=\"cancelled\"}", 1.0),
        ("oten_refusals_total{reason=\"forbidden\"}", 1.0),
        ("oten_refreshes_total{outcome=\"refreshed\"}", 3.0),
        ("oten_refreshes_total{outcome=\"failed\"}", 1.0),
        ("oten_refreshes_total{outcome=\"ended\"}", 1.0),
        ("oten_refreshes_total{outcome=\"lost\"}", 1.0),
        ("oten_sign_outs_total{by=\"user\"}", 2.0),
        ("oten_sign_outs_total{by=\"provider\"}", 1.0),
        ("oten_jwks_refetches_total{outcome=\"failed\"}", 1.0),
        ("oten_grace_requests_total", 1.0),
        ("oten_grace_in_use", 0.0),
        ("oten_store_failures_total{cause=\"timed_out\"}", 0.0),
        (
            "oten_provider_request_duration_seconds_count\
             {endpoint=\"revocation\",outcome=\"refused\"}",
            2.0,
        ),
    ] {
        assert_eq!(all.get(series), Some(&expected), "{series}: {all:#?}");
    }
    assert!(all["oten_store_failures_total{cause=\"error\"}"] > 0.0);
    // Old keys are refetched in the background, possibly after the scenario.
    assert!(all["oten_jwks_refetches_total{outcome=\"success\"}"] >= 2.0);
    let left = all["oten_token_budget_left"];
    assert!((1.0..60.0).contains(&left), "{left}");
}

#[tokio::test]
async fn grace_is_in_use_until_a_refresh_succeeds() {
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
async fn r4_a_request_with_a_live_session_changes_no_metric() {
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
fn names_and_units_follow_prometheus_conventions() {
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
