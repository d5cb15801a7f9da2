//! The checker as an app calls it, with its own store and clock.

use axum_oten::{
    Clock, MemoryStore,
    check::{Checker, Progress, Report, Status, health},
    config::ConfigBuilder,
    emulator::{EmulatedClient, Emulator},
};
use std::{sync::Mutex, time::Duration};

use crate::common::{ExternalStore, Operation, SECRET, WatchedStore};

pub(crate) const KEY: &str = "session_key = 'AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8='\n";

fn settings(more: &str) -> String {
    format!(
        "issuer = 'http://127.0.0.1:1'\nclient_id = 'test-site'\nclient_secret = '{SECRET}'\n\
         redirect_uri = 'http://127.0.0.1:3000/callback'\n{more}"
    )
}

pub(crate) fn checker(more: &str) -> Checker {
    Checker::new(ConfigBuilder::from_toml("test.toml", &settings(more))).offline()
}

fn status(report: &Report, check: &str) -> Status {
    let mut findings = report.findings.iter();
    let found = findings.find(|finding| finding.check.name() == check);
    found.unwrap_or_else(|| panic!("no {check}")).status
}

#[tokio::test]
async fn l7_an_external_store_of_the_app_must_be_sealed() {
    let store = ExternalStore::new(MemoryStore::default());
    let report = checker("").store(store.clone()).run(|_| {}).await;
    assert_eq!(status(&report, "store"), Status::Passed);
    assert_eq!(status(&report, "sealing"), Status::Failed);

    let store = ExternalStore::new(MemoryStore::default());
    let report = checker(KEY).store(store.clone()).run(|_| {}).await;
    assert_eq!(status(&report, "sealing"), Status::Passed);
    let written = store.written("probe");
    assert_eq!(written.len(), 1);
    assert_ne!(written[0].1[0], b'"', "the record is readable JSON");
}

#[tokio::test]
async fn with_environment_and_issuer_no_provider_is_called() {
    let both = settings("environment = 'sandbox'\n");
    let both = || ConfigBuilder::from_toml("test.toml", &both);
    let report = Checker::new(both()).run(|_| {}).await;
    assert_eq!(status(&report, "configuration"), Status::Failed);
    for check in ["environment", "discovery", "client_authentication"] {
        assert_eq!(status(&report, check), Status::Skipped, "{check}");
    }
    let error = health(both()).await.unwrap_err().to_string();
    assert!(error.contains("in addition to `environment`"), "{error}");
}

#[tokio::test]
async fn l8_a_failing_or_hanging_store_fails_the_check() {
    for operation in [Operation::Insert, Operation::Load, Operation::Take] {
        let store = WatchedStore::new(MemoryStore::default());
        store.fails(&[operation]);
        let report = checker("").store(store).run(|_| {}).await;
        assert_eq!(status(&report, "store"), Status::Failed, "{operation:?}");
    }
    let store = WatchedStore::new(MemoryStore::default());
    store.hangs(&[Operation::Load]);
    let since = std::time::Instant::now();
    let report = checker("").store(store).run(|_| {}).await;
    assert_eq!(status(&report, "store"), Status::Failed);
    assert!(since.elapsed() < Duration::from_secs(10), "the check hangs");
}

#[tokio::test]
async fn a_clock_that_is_ahead_fails_the_check() {
    let emulator = Emulator::builder()
        .client(
            EmulatedClient::confidential("test-site", SECRET)
                .redirect_uri("http://127.0.0.1:3000/callback"),
        )
        .start()
        .await
        .unwrap();
    let settings = settings("").replace("http://127.0.0.1:1'", &format!("{}'", emulator.issuer()));
    let clock = Clock::manual();
    clock.advance(Duration::from_secs(600));
    let checker = Checker::new(ConfigBuilder::from_toml("test.toml", &settings)).clock(clock);
    let report = checker.run(|_| {}).await;
    let failed: Vec<_> = report
        .findings
        .iter()
        .filter(|finding| finding.status == Status::Failed)
        .collect();
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(failed[0].check.name(), "clock");
    assert!(
        failed[0].message.contains("10 minutes ahead of"),
        "{failed:?}"
    );
}

#[tokio::test]
async fn findings_are_observed_and_reported() {
    let observed = Mutex::new(Vec::new());
    let report = checker("")
        .run(|progress| {
            if let Progress::Found(finding) = progress {
                observed.lock().unwrap().push(finding.clone());
            }
        })
        .await;
    assert_eq!(*observed.lock().unwrap(), report.findings);
    let summary = report.summary;
    let all = summary.passed + summary.warnings + summary.failed + summary.skipped;
    assert_eq!(all, report.findings.len());
}
